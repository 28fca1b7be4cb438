"""One account (or a few), one bar at a time, as bars arrive: the same rules as everywhere."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from truefill.market import rules
from truefill.market.bars import MarketBars
from truefill.market.gates import refuse_soft
from truefill.market.types import Account, Array, BarResult, MarketParams, Orders


class Stream:
    """Accounts that live from bar to bar.

    ``bars`` are ``make_bars`` of one bar (``previous_s`` and ``previous_atr`` say what came before
    it); orders are [N, S], decided at the close of the bar before. ``account`` is all there is to
    know: keep it to go on later, from another process too.

    >>> from truefill.market.examples import hold, two_bars, weight
    >>> bars, params = two_bars(open=100.0, close=110.0)
    >>> stream = Stream(bars.at(0), params, lag=1)
    >>> result = stream.step(weight(0.5), bars.at(1))
    >>> float(stream.account.equity[0])
    1050.0
    """

    def __init__(
        self,
        bars: MarketBars,
        params: MarketParams,
        *,
        lag: int,
        num_accounts: int = 1,
        routes: bool = False,
    ) -> None:
        """Fresh accounts at the close of the (last) bar of ``bars``.

        Args:
            lag: decision lag in bars.
            routes: orders come with types and prices (``Orders.route``).

        Raises:
            ValueError: lag below 1, or soft parameters.
        """
        refuse_soft(params)
        if lag < 1:
            raise ValueError(f"the decision lag is at least 1 bar, not {lag}")
        last = jnp.full(num_accounts, bars.num_bars - 1, jnp.int32)
        self.params = params
        self.account: Account = rules.open_account(
            params, num_accounts, bars.num_symbols, lag, bars.mark(last), routes=routes
        )

    def step(self, orders: Orders, bars: MarketBars) -> BarResult:
        """Trade the (first) bar of ``bars``; ``account`` is then as of its close.

        Raises:
            ValueError: the orders' route does not fit the stream.
        """
        if (orders.route is not None) != (self.account.working is not None):
            raise ValueError("orders must have a route exactly when the stream was made with one")
        result: BarResult
        self.account, result = _step(self.account, orders, bars, self.params)
        return result

    @property
    def equity(self) -> Array:
        """At the last close, account currency, [N]."""
        return self.account.equity


@jax.jit
def _step(
    account: Account, orders: Orders, bars: MarketBars, params: MarketParams
) -> tuple[Account, BarResult]:
    first = jnp.zeros(account.cash.shape, jnp.int32)
    return rules.step(account, orders, bars.row(first), params)
