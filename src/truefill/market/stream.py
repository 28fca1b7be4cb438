"""One account (or a few), one bar at a time, as bars arrive: the same rules as everywhere."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from truefill.market import rules
from truefill.market.bars import FINER, MarketBars
from truefill.market.gates import refuse_soft
from truefill.market.packing import Packing
from truefill.market.replay import check_columns
from truefill.market.types import Account, Array, BarResult, BarRow, MarketParams, Orders

F64 = npt.NDArray[np.float64]


class Stream:
    """Accounts that live from bar to bar.

    ``bars`` are ``make_bars`` of one bar (``previous_s`` and ``previous_atr`` say what came before
    it); orders are [N, S], decided at the close of the bar before. ``account`` is all there is to
    know: keep it, and give it to a new stream to go on later, from another process too.

    >>> from truefill.market.examples import two_bars, weight
    >>> bars, params = two_bars(open=100.0, close=110.0)
    >>> stream = Stream(bars.at(0), params, lag=1)
    >>> result = stream.step(weight(0.5), bars.at(1))
    >>> float(stream.equity[0])
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
        account: Account | None = None,
    ) -> None:
        """Fresh accounts at the close of the (last) bar of ``bars``, or ``account`` as it was.

        Args:
            lag: decision lag in bars.
            num_accounts, routes: of fresh accounts; routes: orders come with types and prices.

        Raises:
            ValueError: lag below 1 or not that of the account, soft parameters, or bars without a
                column that the rules need.
        """
        refuse_soft(params)
        if lag < 1:
            raise ValueError(f"the decision lag is at least 1 bar, not {lag}")
        if account is None:
            last = jnp.full(num_accounts, bars.num_bars - 1, jnp.int32)
            symbols, mark = bars.num_symbols, bars.mark(last)
            account = rules.open_account(params, num_accounts, symbols, lag, mark, routes=routes)
        elif account.queue.kind.shape[0] != lag - 1:
            raise ValueError(f"the account waits {account.queue.kind.shape[0] + 1} bars, not {lag}")
        check_columns(bars, params, routes=account.working is not None)
        self._num_accounts = int(account.cash.shape[0])
        self._routes = account.working is not None
        self._accounts = Packing.of(account)
        self._rules = Packing.of(params)
        self._state: F64 = self._accounts.pack(account)
        self._params = jnp.asarray(self._rules.pack(params))
        self._inputs: Packing | None = None
        self._results: Packing | None = None

    def step(self, orders: Orders, bars: MarketBars) -> BarResult:
        """Trade the (first) bar of ``bars``; ``account`` is then as of its close. The result holds
        numpy arrays.

        Raises:
            ValueError: the orders' route does not fit the stream.
        """
        if (orders.route is not None) != self._routes:
            raise ValueError("orders must have a route exactly when the stream was made with one")
        row = _first_row(bars, self._num_accounts)
        given = (orders, row)
        if self._inputs is None or self._results is None:
            self._inputs = Packing.of(given)
            shapes = jax.eval_shape(rules.step, self.account, orders, row, self.params)
            self._results = Packing.of(shapes[1])
            self._step = _compiled(self._accounts, self._inputs, self._rules)
        state, result = self._step(self._state, self._inputs.pack(given), self._params)
        self._state = np.asarray(state)
        done: BarResult = self._results.unpack(np.asarray(result))
        return done

    @property
    def account(self) -> Account:
        """Of numpy arrays, at the last close."""
        found: Account = self._accounts.unpack(self._state)
        return found

    @property
    def params(self) -> MarketParams:
        """The rules, as given."""
        found: MarketParams = self._rules.unpack(np.asarray(self._params))
        return found

    @property
    def equity(self) -> F64:
        """At the last close, account currency, [N]."""
        return np.asarray(self.account.equity)


def _first_row(bars: MarketBars, accounts: int) -> BarRow:
    """The first bar, once for each account, on the host: a row that the compiler could see to be
    the same for all would be folded into the arithmetic and change its last bits."""
    rows = [np.asarray(part)[0] for part in (bars.table, bars.per_bar)]
    table, per_bar = (
        np.broadcast_to(row[:, None], (len(row), accounts, *row.shape[1:])) for row in rows
    )
    fields: dict[str, Any] = dict(zip(bars.columns, table, strict=True))
    fields["interest"], fields["years"] = per_bar
    if bars.finer is not None:
        finer = np.asarray(bars.finer)[0]
        wide = (len(finer), accounts, *finer.shape[1:])
        fields |= zip(FINER, np.broadcast_to(finer[:, None], wide), strict=True)
    return BarRow(**fields)


@cache
def _compiled(
    accounts: Packing, inputs: Packing, params: Packing
) -> Callable[[F64, F64, Array], tuple[Array, Array]]:
    """One bar of packed accounts, compiled once for streams of the same shapes."""

    def step(state: Array, given: Array, limits: Array) -> tuple[Array, Array]:
        orders, row = inputs.unpack(given)
        account, result = rules.step(accounts.unpack(state), orders, row, params.unpack(limits))
        return accounts.pack_traced(account), accounts.pack_traced(result)

    compiled: Callable[[F64, F64, Array], tuple[Array, Array]] = jax.jit(step)
    return compiled
