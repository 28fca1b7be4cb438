"""Replay a list of orders through the market: baselines, plans, logs, tests."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from truefill.market import rules
from truefill.market.bars import MarketBars
from truefill.market.closing import has_caps
from truefill.market.gates import refuse_soft
from truefill.market.types import Account, Array, BarResult, MarketParams, Orders

Record = Callable[[Account, BarResult], Any]


def everything(account: Account, result: BarResult) -> tuple[Account, BarResult]:
    """Record the account after each bar and all that the bar did."""
    return account, result


def equity_only(account: Account, result: BarResult) -> Array:
    """Record the equity at each close, [N]."""
    return account.equity


def replay(
    bars: MarketBars, params: MarketParams, orders: Orders, *, lag: int, record: Record = everything
) -> Any:
    """Trade ``orders`` on all bars.

    Args:
        bars: T bars.
        params: limits and rules, one set or one an account.
        orders: [T - 1, N, S]; row t is decided at the close of bar t. With a route they may wait
            for a price; the bars then need maker_fee and session_end, the rules a fill_buffer.
        lag: decision lag in bars; an order of row t is due at bar t + lag.
        record: what to keep of each bar 1 .. T - 1.

    Returns:
        What ``record`` returns, stacked over T - 1 bars.

    Raises:
        ValueError: the orders meet bars or rules that cannot take them, or the rules are soft.
    """
    refuse_soft(params)
    return scan_orders(bars, params, orders, lag=lag, record=record)


@partial(jax.jit, static_argnames=("lag", "record"))
def scan_orders(
    bars: MarketBars, params: MarketParams, orders: Orders, *, lag: int, record: Record
) -> Any:
    """``replay`` for hard or soft rules; see there."""
    _, count, symbols = orders.kind.shape
    check_columns(bars, params, routes=orders.route is not None)
    mark = bars.mark(jnp.zeros(count, jnp.int32))
    account = rules.open_account(params, count, symbols, lag, mark, routes=orders.route is not None)

    def one_bar(account: Account, xs: tuple[MarketBars, Orders]) -> tuple[Account, Any]:
        bar, due = xs
        account, result = rules.step(account, due, bar.for_all(account.age), params)
        return account, record(account, result)

    rows = jax.tree.map(lambda x: x[1:], bars)
    return jax.lax.scan(one_bar, account, (rows, orders))[1]


def check_columns(bars: MarketBars, params: MarketParams, *, routes: bool) -> None:
    """Raise ``ValueError`` where a rule is set and the bars lack what it needs."""
    if routes:
        missing = {"maker_fee", "session_end"} - set(bars.columns)
        if missing or params.fill_buffer is None:
            what = ", ".join(sorted(missing)) or "params.fill_buffer"
            raise ValueError(f"limit and stop orders need {what}")
    by_volume = params.impact is not None or params.max_participation is not None
    if by_volume and "volume" not in bars.columns:
        raise ValueError("slippage and limits by participation need the column volume")
    if has_caps(params) and "session_end" not in bars.columns:
        raise ValueError("caps at the session's end need the column session_end")
