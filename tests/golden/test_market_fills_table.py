"""Golden table of fills: seven orders on six bars, slippage x fill buffer x decision lag.

``fills_table.json`` comes from the independent ledger (``make_fills_table.py``); the engine must
give the same numbers. Orders are in ``market_fills_cases.py``: 10 units, half spread 2 bps, fee
10 bps, maker fee 2 bps, 10,000 of cash.

One row by hand, "limit sell, gap through | slippage 5 bps | buffer 0 bps | lag 1":
    decided at the close of bar 1, due on bar 2, waits on bars 2 to 4 (highs 100.8, 100, 102.6);
    bar 5 opens at 104: through 103.95 x (1 + 0), so it fills at the open;
    k = 2 + 5 bps = 0.0007, price = max(104 x (1 - 0.0007), 103.95) = max(103.9272, 103.95);
    as a taker: fee = 10 x 103.95 x 0.001 = 1.0395;
    equity at the close of bar 6 (104.5) = 10,000 + 1,039.5 - 1.0395 - 10 x 104.5 = 9,993.4605.
With a buffer of 5 bps the open is not through (103.95 x 1.0005 = 104.001975 > 104), the high of 105
is: it rests and fills at 103.95 as a maker, fee 10 x 103.95 x 0.0002 = 0.2079.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from market_compare import engine_record
from market_fills_cases import CELLS, LAGS, cell, key

TABLE: dict[str, list[float]] = json.loads(
    Path(__file__).with_name("fills_table.json").read_text(encoding="utf-8")
)
close_to = pytest.approx


@pytest.mark.parametrize("lag", LAGS)
def test_engine_gives_the_table(lag: int) -> None:
    assert set(TABLE) == {key(*name) for name in CELLS}
    for name in CELLS:
        if name[-1] != lag:
            continue
        record = engine_record(cell(*name))
        bar, price, fee, equity = TABLE[key(*name)]
        units = record["order.units"][:, 0, 0]
        assert np.flatnonzero(units).tolist() == [bar - 1], key(*name)
        assert record["order.price"][int(bar) - 1, 0, 0] == close_to(price, abs=1e-9), key(*name)
        assert record["order.fee"][int(bar) - 1, 0, 0] == close_to(fee, abs=1e-9), key(*name)
        assert record["equity"][5, 0] == close_to(equity, abs=1e-8), key(*name)


def row(order: str, slippage_bps: int, fill_buffer_bps: int, lag: int) -> list[float]:
    return TABLE[key(order, slippage_bps, fill_buffer_bps, lag)]


def test_the_row_of_the_comment() -> None:
    assert row("limit sell, gap through", 5, 0, 1) == close_to([5, 103.95, 1.0395, 9_993.4605])
    assert row("limit sell, gap through", 5, 5, 1) == close_to([5, 103.95, 0.2079, 9_994.2921])


def test_a_touch_fills_only_without_a_buffer() -> None:
    """Bar 2's low is exactly the limit, 99; with lag 2 the order is due a bar later."""
    equity = 10_000.0 - 10 * 99.0 - 10 * 99.0 * 0.0002 + 10 * 104.5
    assert row("limit buy, only touched on bar 2", 20, 0, 1) == close_to([2, 99.0, 0.198, equity])
    assert row("limit buy, only touched on bar 2", 20, 5, 1) == close_to([3, 99.0, 0.198, equity])
    assert row("limit buy, only touched on bar 2", 20, 0, 2) == close_to([3, 99.0, 0.198, equity])


def test_a_resting_limit_pays_no_slippage_and_a_stop_does() -> None:
    limit = [row("limit buy", slippage, 20, 1) for slippage in (0, 5, 10, 20)]
    assert limit == [limit[0]] * 4
    for slippage in (0, 5, 10, 20):
        price = 101.0 * (1.0 + (2 + slippage) * 1e-4)
        fee = 10 * price * 1e-3
        assert row("stop buy", slippage, 5, 1) == close_to(
            [4, price, fee, 10_000.0 - 10 * price - fee + 10 * 104.5]
        )


def test_a_gap_fills_a_stop_at_the_open() -> None:
    """Bar 5 opens at 104, beyond 103."""
    price = 104.0 * (1.0 + 22e-4)
    equity = 10_000.0 - 10 * price * 1.001 + 10 * 104.5
    assert row("stop buy, gap over", 20, 20, 2) == close_to([5, price, 10 * price * 1e-3, equity])


def test_a_marketable_limit_fills_at_the_open_of_its_lag() -> None:
    for lag, bar, open_ in ((1, 4, 100.5), (2, 5, 104.0)):
        price = open_ * (1.0 - 12e-4)
        equity = 10_000.0 + 10 * price * (1.0 - 1e-3) - 10 * 104.5
        expected = [bar, price, 10 * price * 1e-3, equity]
        assert row("limit sell, marketable", 10, 5, lag) == close_to(expected)
