"""The end of a session and of a symbol: caps at the last close, delisting; and finer bars."""

from __future__ import annotations

from typing import Any

import pytest

from market_play import Played, at_close, flat, hold, limit, play, units
from truefill.market.types import NEVER, BarState, ExitReason, OrderKind, OrderStatus

COSTS = {"fee": 0.01, "half_spread": 0.02}
END = {"session_end": [0.0, 0.0, 1.0]}
HOLE = (-NEVER, NEVER)
NEVER_ENDS = {"session_end": 0.0}
STILL = [flat(100.0)] * 6
close_to = pytest.approx


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_weight_at_the_close_holds_exactly_after_costs(sign: float) -> None:
    played = play(STILL, [units(sign * 8.0)], weight_at_close=0.5, **COSTS, **END)
    assert played.bar(1).at_cap.units == 0.0
    bar = played.bar(2)
    assert abs(bar.units) * 100.0 == close_to(0.5 * bar.equity)
    cost = 1.0 - 0.98 * 0.99 if sign > 0.0 else 1.02 * 1.01 - 1.0
    before = played.bar(1).equity
    sold = (800.0 - 0.5 * before) / (1.0 - 0.5 * cost) / 100.0
    assert bar.at_cap.units == close_to(-sign * sold)
    assert bar.at_cap.price == close_to(100.0 * (1.0 - sign * 0.02))
    assert bar.at_cap.fee == close_to(sold * bar.at_cap.price * 0.01)
    assert (bar.at_cap.reason, bar.entry) == (ExitReason.NONE, played.bar(1).entry)
    assert bar.turnover == close_to(sold * bar.at_cap.price / before)


def test_within_the_caps_and_inside_the_session_nothing_is_sold() -> None:
    caps = {"weight_at_close": 0.9, "leverage_at_close": 0.9}
    assert play(STILL, [units(8.9)], **caps, **END).bar(2).at_cap.units == 0.0
    assert play(STILL, [units(9.1)], **caps, **NEVER_ENDS).bar(2).at_cap.units == 0.0
    assert play(STILL, [units(9.1)], **caps, **END).bar(2).at_cap.units == close_to(-0.1)


def test_leverage_at_the_close_sells_the_same_share_of_every_symbol() -> None:
    bars = [[flat(100.0), flat(50.0)]] * 4
    played = play(bars, [[units(15.0), units(-20.0)]], leverage_at_close=1.0, max_leverage=3.0,
                  session_end=[[0, 0], [0, 0], [1, 1]], **COSTS)  # fmt: skip
    first, second = played.bar(2, 0), played.bar(2, 1)
    assert first.units * 100.0 - second.units * 50.0 == close_to(first.equity)
    assert first.units / 15.0 == close_to(second.units / -20.0)
    before = played.bar(1).equity
    costs = 1_500.0 * (1.0 - 0.98 * 0.99) + 1_000.0 * (1.02 * 1.01 - 1.0)
    assert 1.0 - first.units / 15.0 == close_to((2_500.0 - before) / (2_500.0 - costs))


def test_only_symbols_whose_session_ends_are_sold_and_all_count() -> None:
    bars = [[flat(100.0), flat(50.0)]] * 4
    played = play(bars, [[units(15.0), units(10.0)]], leverage_at_close=1.0, max_leverage=3.0,
                  session_end=[[0, 0], [0, 0], [1, 0]])  # fmt: skip
    assert (played.bar(2, 0).units, played.bar(2, 1).units) == (close_to(5.0), 10.0)


def test_the_weight_cap_comes_first_and_leverage_takes_of_what_is_left() -> None:
    """15 and 10 units at 100: weight 0.8 leaves 8 and 8, leverage 1.2 six each."""
    bars = [[flat(100.0), flat(100.0)]] * 4
    played = play(bars, [[units(15.0), units(10.0)]], weight_at_close=0.8, leverage_at_close=1.2,
                  max_leverage=3.0, session_end=[[0, 0], [0, 0], [1, 1]])  # fmt: skip
    assert [played.bar(2, s).units for s in (0, 1)] == close_to([6.0, 6.0])


@pytest.mark.parametrize("cap", ["weight_at_close", "leverage_at_close"])
@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("rules", [COSTS, {"lot": 0.35}])
def test_a_cap_of_zero_closes_everything(cap: str, sign: float, rules: dict[str, float]) -> None:
    bar = play(STILL, [units(sign * 7.0)], **{cap: 0.0}, **END, **rules).bar(2)
    assert (bar.units, bar.at_cap.reason) == (0.0, ExitReason.SESSION_CAP)
    assert (bar.held, bar.flow, bar.cash) == (0.0, 0.0, bar.equity)
    assert bar.at_cap.profit == close_to(bar.equity - 1_000.0)


def test_cap_sales_are_rounded_up_to_whole_lots() -> None:
    rules = {"lot": 2.0, "weight_at_close": 0.5}
    assert play(STILL, [units(8.0)], **END, **rules).bar(2).units == 4.0
    assert play(STILL, [units(10.0)], **END, **rules).bar(2).units == 4.0


def test_min_hold_binds_no_cap() -> None:
    bar = play(STILL, [units(8.0)], min_hold=9, weight_at_close=0.5, **END).bar(2)
    assert bar.units == close_to(5.0)


@pytest.mark.parametrize("state", [BarState.MASKED, BarState.NO_TRADE])
def test_a_cap_needs_a_bar_that_trades(state: BarState) -> None:
    bar = play(STILL, [units(8.0)], weight_at_close=0.5, state=[2, 2, state], **END).bar(2)
    assert (bar.units, bar.at_cap.units) == (8.0, 0.0)


def test_caps_come_after_orders_at_the_close_and_look_at_the_close() -> None:
    bars = [flat(100.0), flat(100.0), (100.0, 200.0, 100.0, 200.0)]
    bar = play(bars, [units(2.0), at_close(units(5.0))], weight_at_close=0.5, **END).bar(2)
    assert (bar.order.units, bar.at_cap.price) == (3.0, 200.0)
    assert bar.units == close_to(0.5 * 1_200.0 / 200.0)


def test_margin_comes_before_the_cap() -> None:
    bars = [flat(100.0), flat(100.0), (100.0, 100.0, 80.0, 100.0)]
    bar = play(bars, [units(25.0)], max_leverage=3.0, maintenance=0.3, leverage_at_close=1.0,
               **END).bar(2)  # fmt: skip
    assert (bar.at_end.reason, bar.at_end.price) == (ExitReason.LIQUIDATION, 80.0)
    assert (bar.at_cap.units, bar.units) == (0.0, 0.0)


# ---- the last bar of a symbol


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_last_bar_sells_what_is_held_at_its_close_with_costs(sign: float) -> None:
    bars = [flat(100.0), flat(100.0), (100.0, 120.0, 100.0, 110.0), flat(1.0)]
    played = play(bars, [units(sign * 2.0)], state=[2, 2, BarState.LAST, 0], **COSTS)
    leg = played.bar(2).at_end
    assert (leg.reason, leg.units) == (ExitReason.DELISTED, -sign * 2.0)
    assert leg.price == close_to(110.0 * (1.0 - sign * 0.02))
    assert leg.fee == close_to(2.0 * leg.price * 0.01)
    assert played.bar(2).units == 0.0
    assert played.bar(3).equity == played.bar(2).equity


def test_the_last_bar_fills_orders_and_cancels_working_ones() -> None:
    played = play(STILL, [hold(), units(2.0)], state=[2, 2, BarState.LAST, 0])
    bar = played.bar(2)
    assert (bar.order.units, bar.at_end.units, bar.status) == (2.0, -2.0, OrderStatus.FILLED)
    waits = play(STILL, [limit(units(2.0), 90.0)], state=[2, 2, BarState.LAST, 0]).bar(2)
    assert (waits.status, waits.working.kind) == (OrderStatus.CANCELLED, OrderKind.HOLD)


# ---- finer bars


def both_hit(finer: Any, sign: float = 1.0, **rules: float) -> Any:
    """Stop at 95 and target at 105 (a short's the other way) lie inside bar 2."""
    bars = [flat(100.0), flat(100.0), (100.0, 106.0, 94.0, 100.0)]
    played: Played = play(bars, [units(sign)], stop_loss=0.05, take_profit=0.05,
                          finer=[None, None, finer], **rules)  # fmt: skip
    return played.bar(2)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_finer_bars_decide_which_came_first(sign: float) -> None:
    up, down = [(101.0, 99.0), (106.0, 100.0), (104.0, 94.0)], [(101.0, 94.0), (106.0, 94.0)]
    win, lose = (up, down) if sign > 0.0 else (down, up)
    found = both_hit(win, sign)
    assert (found.in_bar.reason, found.in_bar.price) == (
        ExitReason.TAKE_PROFIT,
        close_to(100.0 + sign * 5.0),
    )
    assert (found.resolved, found.ambiguous) == (1.0, 0.0)
    lost = both_hit(lose, sign)
    assert (lost.in_bar.reason, lost.resolved, lost.ambiguous) == (ExitReason.STOP_LOSS, 1.0, 0.0)
    assert lost.in_bar.price == close_to(100.0 - sign * 5.0)


@pytest.mark.parametrize("finer", [None, [(106.0, 94.0)], [(104.0, 96.0), (106.0, 94.0)]])
def test_where_finer_bars_do_not_say_the_stop_came_first(finer: Any) -> None:
    """None there, or both in one."""
    assert_undecided(both_hit(finer))


@pytest.mark.parametrize(
    "finer",
    [
        [HOLE, (106.0, 100.0), (104.0, 94.0)],
        [HOLE, (104.0, 94.0), (106.0, 100.0)],
        [(104.0, 96.0), HOLE, (104.0, 94.0)],
        [(106.0, 100.0), (104.0, 96.0)],
        [(106.0, 100.0), HOLE],
    ],
)
def test_incomplete_finer_bars_decide_nothing(finer: Any) -> None:
    """One is missing before the first that reaches a level, or none reaches the stop."""
    assert_undecided(both_hit(finer))


def test_a_finer_bar_missing_later_takes_nothing_back() -> None:
    won = both_hit([(106.0, 100.0), HOLE, (104.0, 94.0)])
    assert (won.in_bar.reason, won.resolved, won.ambiguous) == (ExitReason.TAKE_PROFIT, 1.0, 0.0)
    lost = both_hit([(104.0, 94.0), HOLE, (106.0, 100.0)])
    assert (lost.in_bar.reason, lost.resolved, lost.ambiguous) == (ExitReason.STOP_LOSS, 1.0, 0.0)


def assert_undecided(found: Any) -> None:
    assert found.in_bar.price == close_to(95.0)
    assert (found.in_bar.reason, found.resolved) == (ExitReason.STOP_LOSS, 0.0)
    assert found.ambiguous == 1.0


def test_finer_bars_say_nothing_where_only_one_was_hit() -> None:
    bars = [flat(100.0), flat(100.0), (100.0, 106.0, 96.0, 100.0)]
    bar = play(bars, [units(1.0)], stop_loss=0.05, take_profit=0.05,
               finer=[None, None, [(106.0, 96.0)]]).bar(2)  # fmt: skip
    assert (bar.in_bar.reason, bar.resolved, bar.ambiguous) == (ExitReason.TAKE_PROFIT, 0.0, 0.0)


def test_finer_bars_decide_nothing_for_a_late_position() -> None:
    """Bought at 98; stop 93.1, target 102.9, the close beyond it; the target in finer bar 0."""
    bars = [flat(100.0), (100.0, 106.0, 93.0, 103.0)]
    bar = play(bars, [limit(units(1.0), 98.0)], stop_loss=0.05, take_profit=0.05,
               finer=[None, [(106.0, 98.0), (100.0, 93.0)]]).bar(1)  # fmt: skip
    assert (bar.in_bar.reason, bar.in_bar.price) == (ExitReason.STOP_LOSS, close_to(93.1))
    assert (bar.resolved, bar.ambiguous) == (0.0, 1.0)
