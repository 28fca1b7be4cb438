"""Six bars, computed by hand. k = 1 % (half spread + slippage), f = 1 %, 0.1 % interest and 0.2 %
borrow fee a day, trailing stop 8 % from the best price, target 10 %, decision lag 1."""

from __future__ import annotations

import pytest

from market_play import hold, notional, play, units, weight
from truefill.market.types import ExitReason, OrderStatus

BARS = [
    (100.0, 100.0, 100.0, 100.0),
    (100.0, 105.0, 98.0, 104.0),
    (106.0, 110.0, 104.0, 108.0),
    (107.0, 109.0, 100.0, 101.0),
    (102.0, 103.0, 99.0, 100.0),
    (101.0, 104.0, 90.0, 91.0),
    (80.0, 84.0, 79.0, 82.0),
]
ORDERS = [units(10.0), hold(), units(5.0), notional(-408.0), hold(), weight(0.5)]
NONE, FILLED = OrderStatus.NONE, OrderStatus.FILLED

# bar: cash, units, equity, status
TABLE = {
    1: (-20.10, 10.0, 1_019.90, FILLED),  # -10 x 101 - 10.10
    2: (-20.1201, 10.0, 1_059.8799, NONE),  # interest 0.0201
    3: (1_000.1438799, 0.0, 1_000.1438799, FILLED),  # 5 at 105.93, 5 stopped at 101.2 x 0.99
    4: (1_400.0246799, -4.0, 1_000.0246799, FILLED),  # 4 sold at 100.98
    5: (1_032.0613999, 0.0, 1_032.0613999, NONE),  # borrow 0.8, target at 90.882
    6: (505.6584828805, 6.450383749375, 1_034.58995032925, FILLED),  # 516.03... / 80 at 80.8
}


def test_six_bars_by_hand() -> None:
    played = play(
        BARS, ORDERS, fee=0.01, half_spread=0.005, slippage=0.005, max_leverage=2.0,
        interest=0.36525, borrow=0.7305, seconds=86_400.0, trail_distance=0.08, take_profit=0.1,
    )  # fmt: skip
    for t, (cash, held, equity, status) in TABLE.items():
        bar = played.bar(t)
        assert bar.cash == pytest.approx(cash, abs=1e-9), t
        assert bar.units == pytest.approx(held, abs=1e-12), t
        assert bar.equity == pytest.approx(equity, abs=1e-9), t
        assert bar.status == status, t
    stopped, target = played.bar(3).in_bar, played.bar(5).in_bar
    assert (stopped.reason, target.reason) == (ExitReason.TRAILING_STOP, ExitReason.TAKE_PROFIT)
    assert stopped.price == pytest.approx(100.188, abs=1e-12)
    assert target.price == pytest.approx(90.882, abs=1e-12)
    assert stopped.profit == pytest.approx(0.1438799, abs=1e-9)
    assert target.profit == pytest.approx(31.91752, abs=1e-9)
    assert played.bar(3).turnover == pytest.approx(1_030.59 / 1_049.8597799, abs=1e-12)
    assert played.bar(4).turnover == pytest.approx(403.92 / 1_000.1438799, abs=1e-12)
    assert [played.bar(t).interest for t in (2, 3)] == pytest.approx([0.0201, 0.0201201], abs=1e-12)
    assert played.bar(5).borrow == pytest.approx(0.8, abs=1e-12)
