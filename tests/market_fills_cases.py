"""Seven orders on six bars, for the golden table of fills; see ``test_market_fills_table.py``."""

from __future__ import annotations

from market_cases import Case, by_hand
from market_play import Routed, flat, limit, stop, units

SLIPPAGE_BPS = (0, 5, 10, 20)
FILL_BUFFER_BPS = (0, 5, 20)
LAGS = (1, 2)
HALF_SPREAD, FEE, MAKER_FEE = 2e-4, 1e-3, 2e-4
BARS = [
    flat(100.0),
    (100.0, 100.5, 99.5, 100.0),
    (100.0, 100.8, 99.0, 100.0),
    (99.5, 100.0, 98.0, 99.9),
    (100.5, 102.6, 100.2, 102.4),
    (104.0, 105.0, 103.5, 104.5),
    (104.5, 104.5, 104.5, 104.5),
]
# name: bar at whose close it is decided, order of 10 units
ORDERS: dict[str, tuple[int, Routed]] = {
    "limit buy": (1, limit(units(10.0), 98.9)),
    "limit buy, only touched on bar 2": (1, limit(units(10.0), 99.0)),
    "limit sell": (1, limit(units(-10.0), 102.0)),
    "limit sell, gap through": (1, limit(units(-10.0), 103.95)),
    "limit sell, marketable": (3, limit(units(-10.0), 100.1)),
    "stop buy": (1, stop(units(10.0), 101.0)),
    "stop buy, gap over": (1, stop(units(10.0), 103.0)),
}


def cell(order: str, slippage_bps: int, fill_buffer_bps: int, lag: int) -> Case:
    """One order of the table under one set of costs."""
    decided, routed = ORDERS[order]
    waiting = [(0, 0.0)] * decided
    return by_hand(
        BARS, [*waiting, routed], lag=lag, slippage=slippage_bps * 1e-4, half_spread=HALF_SPREAD,
        fill_buffer=fill_buffer_bps * 1e-4, fee=FEE, maker_fee=MAKER_FEE, max_leverage=2.0,
        initial_balance=10_000.0,
    )  # fmt: skip


def key(order: str, slippage_bps: int, fill_buffer_bps: int, lag: int) -> str:
    return f"{order} | slippage {slippage_bps} bps | buffer {fill_buffer_bps} bps | lag {lag}"


CELLS = [
    (order, slippage, buffer, lag)
    for order in ORDERS
    for lag in LAGS
    for slippage in SLIPPAGE_BPS
    for buffer in FILL_BUFFER_BPS
]
