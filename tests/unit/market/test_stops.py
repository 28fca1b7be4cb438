"""Exits that no order asked for: gap, stop, target, trailing, ATR, maximum holding time."""

from __future__ import annotations

import pytest

from market_play import Played, flat, hold, play, units
from truefill.market.types import BarState, ExitReason, OrderStatus

close_to = pytest.approx
COSTS = {"fee": 0.01, "half_spread": 0.01, "slippage": 0.01}


def after_entry(bar: tuple[float, ...], sign: float = 1.0, **rules: float) -> Played:
    """One unit bought (sold) at 100, then a quiet bar, then ``bar`` as bar 3."""
    return play([flat(100.0)] * 3 + [bar], [units(sign)], **rules)


@pytest.mark.parametrize(
    ("sign", "bar", "price"),
    [(1.0, (98.0, 99.0, 94.0, 97.0), 95.0), (-1.0, (102.0, 106.0, 101.0, 103.0), 105.0)],
)
def test_stop_inside_the_bar_fills_at_its_level(
    sign: float, bar: tuple[float, ...], price: float
) -> None:
    out = after_entry(bar, sign, stop_loss=0.05).bar(3)
    assert out.in_bar.reason == ExitReason.STOP_LOSS
    assert out.in_bar.price == close_to(price)
    assert (out.units, out.equity) == (0.0, close_to(995.0))


def test_stop_pays_spread_slippage_and_fee() -> None:
    played = play(
        [flat(100.0)] * 2 + [(98.0, 99.0, 90.0, 97.0)], [units(1.0)], stop_loss=0.05, **COSTS
    )
    leg = played.bar(2).in_bar
    level = 102.0 * 0.95
    assert leg.price == close_to(level * 0.98)
    assert leg.spread == close_to(level * 0.02)
    assert leg.fee == close_to(level * 0.98 * 0.01)
    assert leg.profit == close_to(level * 0.98 * 0.99 - 102.0 * 1.01)


def test_stop_not_reached_does_nothing_and_touched_fills() -> None:
    assert after_entry((98.0, 99.0, 95.1, 97.0), stop_loss=0.05).bar(3).units == 1.0
    assert after_entry((98.0, 99.0, 95.0, 97.0), stop_loss=0.05).bar(3).units == 0.0


@pytest.mark.parametrize(
    ("sign", "bar", "price"),
    [(1.0, (90.0, 99.0, 89.0, 97.0), 90.0), (-1.0, (110.0, 112.0, 101.0, 103.0), 110.0)],
)
def test_gapped_stop_fills_at_the_open_not_at_its_level(
    sign: float, bar: tuple[float, ...], price: float
) -> None:
    out = after_entry(bar, sign, stop_loss=0.05).bar(3)
    assert out.at_open.reason == ExitReason.GAP_STOP
    assert out.at_open.price == price


def test_gapped_stop_pays_spread_slippage_and_fee() -> None:
    played = play(
        [flat(100.0)] * 2 + [(80.0, 99.0, 79.0, 97.0)], [units(1.0)], stop_loss=0.05, **COSTS
    )
    leg = played.bar(2).at_open
    assert (leg.price, leg.spread, leg.fee) == (close_to(78.4), close_to(1.6), close_to(0.784))


@pytest.mark.parametrize(
    ("sign", "bar", "price"),
    [(1.0, (103.0, 106.0, 102.0, 104.0), 105.0), (-1.0, (97.0, 98.0, 94.0, 96.0), 95.0)],
)
def test_target_inside_the_bar_fills_at_its_level(
    sign: float, bar: tuple[float, ...], price: float
) -> None:
    out = after_entry(bar, sign, take_profit=0.05).bar(3)
    assert (out.in_bar.reason, out.in_bar.price) == (ExitReason.TAKE_PROFIT, close_to(price))
    assert after_entry(bar, sign, take_profit=0.07).bar(3).units == sign


@pytest.mark.parametrize(
    ("sign", "bar", "price"),
    [(1.0, (110.0, 112.0, 109.0, 111.0), 105.0), (-1.0, (90.0, 91.0, 89.0, 90.0), 95.0)],
)
def test_gapped_target_fills_at_its_level_never_better(
    sign: float, bar: tuple[float, ...], price: float
) -> None:
    out = after_entry(bar, sign, take_profit=0.05).bar(3)
    assert (out.at_open.reason, out.at_open.price) == (ExitReason.TAKE_PROFIT, close_to(price))


def test_target_pays_the_fee_and_no_spread() -> None:
    played = play([flat(100.0)] * 2 + [(120.0,) * 4], [units(1.0)], take_profit=0.05, **COSTS)
    leg = played.bar(2).at_open
    assert leg.price == close_to(102.0 * 1.05)
    assert (leg.spread, leg.fee) == (0.0, close_to(102.0 * 1.05 * 0.01))


def test_target_inside_the_bar_pays_the_fee_and_no_spread() -> None:
    bars = [flat(100.0), flat(100.0), (100.0, 110.0, 99.0, 100.0)]
    leg = play(bars, [units(1.0)], take_profit=0.05, **COSTS).bar(2).in_bar
    assert leg.price == close_to(102.0 * 1.05)
    assert (leg.spread, leg.fee) == (0.0, close_to(102.0 * 1.05 * 0.01))


def test_where_both_were_hit_the_stop_was() -> None:
    out = after_entry((100.0, 106.0, 94.0, 104.0), stop_loss=0.05, take_profit=0.05).bar(3)
    assert (out.in_bar.reason, out.ambiguous) == (ExitReason.STOP_LOSS, 1.0)
    alone = after_entry((100.0, 106.0, 96.0, 104.0), stop_loss=0.05, take_profit=0.05).bar(3)
    assert (alone.in_bar.reason, alone.ambiguous) == (ExitReason.TAKE_PROFIT, 0.0)


def test_stop_is_live_on_the_bar_of_the_entry() -> None:
    bar = play([flat(100.0), (100.0, 101.0, 90.0, 100.0)], [units(1.0)], stop_loss=0.05).bar(1)
    assert (bar.in_bar.reason, bar.in_bar.price) == (ExitReason.STOP_LOSS, close_to(95.0))
    assert bar.order.units == 1.0


def test_fresh_position_beyond_its_stop_fills_at_the_open_not_better() -> None:
    bar = play([flat(100.0), (100.0, 101.0, 90.0, 99.0)], [units(1.0)], half_spread=0.05,
               stop_loss=0.01).bar(1)  # fmt: skip
    assert bar.order.price == close_to(105.0)
    assert bar.in_bar.price == close_to(95.0)


def test_distance_trailing_stop_follows_the_best_price() -> None:
    bars = [flat(100.0), flat(100.0), (100.0, 120.0, 100.0, 118.0), (117.0, 117.0, 107.0, 110.0)]
    out = play(bars, [units(1.0)], trail_distance=0.1).bar(3)
    assert (out.in_bar.reason, out.in_bar.price) == (ExitReason.TRAILING_STOP, close_to(108.0))
    assert play(bars, [units(1.0)], trail_distance=0.11).bar(3).units == 1.0


def test_trailing_stop_of_a_short_follows_the_lowest_low() -> None:
    bars = [flat(100.0), flat(100.0), (100.0, 100.0, 80.0, 82.0), (83.0, 89.0, 83.0, 84.0)]
    out = play(bars, [units(-1.0)], trail_distance=0.1).bar(3)
    assert (out.in_bar.reason, out.in_bar.price) == (ExitReason.TRAILING_STOP, close_to(88.0))


def test_trailing_stop_uses_completed_bars_only() -> None:
    """The bar whose own high would lift the level above its own low stops nothing."""
    bars = [flat(100.0), flat(100.0), (100.0, 120.0, 95.0, 115.0)]
    assert play(bars, [units(1.0)], trail_distance=0.1).bar(2).units == 1.0


def test_keep_profit_stop_arms_at_its_activation() -> None:
    bars = [flat(100.0), flat(100.0), (100.0, 110.0, 100.0, 109.0), (108.0, 108.0, 102.0, 103.0)]
    rules = {"trail_keep": 0.5, "trail_floor": 0.01}
    out = play(bars, [units(1.0)], trail_activation=0.1, **rules).bar(3)
    assert (out.in_bar.reason, out.in_bar.price) == (ExitReason.TRAILING_STOP, close_to(105.0))
    assert play(bars, [units(1.0)], trail_activation=0.11, **rules).bar(3).units == 1.0


def test_keep_profit_stop_keeps_at_least_its_floor() -> None:
    bars = [flat(100.0), flat(100.0), (100.0, 110.0, 100.0, 109.0), (108.5, 109.0, 102.0, 103.0)]
    out = play(bars, [units(1.0)], trail_activation=0.1, trail_keep=0.5, trail_floor=0.08).bar(3)
    assert out.in_bar.price == close_to(108.0)


def test_nearest_of_all_stops_counts() -> None:
    bars = [flat(100.0), flat(100.0), (100.0, 110.0, 100.0, 109.0), (108.0, 108.0, 90.0, 95.0)]
    loose = {"stop_loss": 0.05, "trail_distance": 0.2}
    fixed = play(bars, [units(1.0)], **loose).bar(3)
    assert (fixed.in_bar.reason, fixed.in_bar.price) == (ExitReason.STOP_LOSS, close_to(95.0))
    tight = play(bars, [units(1.0)], trail_activation=0.1, trail_keep=0.2, **loose).bar(3)
    assert (tight.in_bar.reason, tight.in_bar.price) == (ExitReason.TRAILING_STOP, close_to(102.0))


def test_gap_through_a_trailing_stop_fills_at_the_open() -> None:
    bars = [flat(100.0), flat(100.0), (100.0, 120.0, 100.0, 118.0), (104.0, 109.0, 103.0, 105.0)]
    out = play(bars, [units(1.0)], trail_distance=0.1).bar(3)
    assert (out.at_open.reason, out.at_open.price) == (ExitReason.GAP_STOP, 104.0)


def test_atr_stop_uses_the_atr_of_the_bar_before_the_fill() -> None:
    bars = [flat(100.0), flat(100.0), (100.0, 100.0, 91.0, 95.0)]
    rules = {"use_atr": 1.0, "atr_stop": 2.0, "stop_loss": 0.01}
    out = play(bars, [units(1.0)], atr=[4.0, 40.0, 40.0, 40.0], **rules).bar(2)
    assert out.in_bar.price == close_to(92.0)
    assert play(bars, [units(1.0)], atr=[5.0, 0.1, 0.1, 0.1], **rules).bar(2).units == 1.0


@pytest.mark.parametrize(("atr", "price"), [(0.5, 97.0), (2.0, 96.0), (50.0, 94.0)])
def test_atr_stop_is_clamped(atr: float, price: float) -> None:
    bars = [flat(100.0), flat(100.0), (100.0, 100.0, 50.0, 60.0)]
    out = play(bars, [units(1.0)], atr=atr, use_atr=1.0, atr_stop=2.0, atr_stop_min=0.03,
               atr_stop_max=0.06).bar(2)  # fmt: skip
    assert out.in_bar.price == close_to(price)


@pytest.mark.parametrize(("atr", "price"), [(0.5, 103.0), (2.0, 108.0), (50.0, 109.0)])
def test_atr_target_is_clamped(atr: float, price: float) -> None:
    bars = [flat(100.0), flat(100.0), (100.0, 150.0, 100.0, 140.0)]
    out = play(bars, [units(1.0)], atr=atr, use_atr=1.0, atr_stop_min=0.5, atr_target=4.0,
               atr_target_min=0.03, atr_target_max=0.09).bar(2)  # fmt: skip
    assert out.in_bar.price == close_to(price)


def test_distances_of_a_position_stay_when_it_grows() -> None:
    bars = [flat(100.0), flat(100.0), flat(100.0), (100.0, 100.0, 50.0, 60.0)]
    out = play(bars, [units(1.0), units(2.0)], atr=[2.0, 20.0, 20.0], use_atr=1.0).bar(3)
    assert (out.in_bar.price, out.in_bar.closed_units) == (close_to(96.0), 2.0)


def test_max_hold_closes_at_the_open_with_costs() -> None:
    bars = [flat(100.0)] * 3 + [(110.0, 111.0, 109.0, 110.0)]
    out = play(bars, [units(1.0)], max_hold=2, **COSTS).bar(3)
    assert (out.at_open.reason, out.at_open.price) == (ExitReason.MAX_HOLD, close_to(107.8))
    assert out.at_open.fee == close_to(1.078)
    assert play(bars, [units(1.0)], max_hold=3).bar(3).units == 1.0


def test_max_hold_waits_for_a_tradable_bar() -> None:
    played = play([flat(100.0)] * 5, [units(1.0)], max_hold=2, state=[2, 2, 2, 1, 2])
    assert played.bar(3).units == 1.0
    assert played.bar(4).at_open.reason == ExitReason.MAX_HOLD


def test_exit_at_the_open_cancels_the_order_and_says_so() -> None:
    bars = [flat(100.0), flat(100.0), (90.0, 91.0, 89.0, 90.0), flat(90.0)]
    played = play(bars, [units(1.0), units(2.0)], stop_loss=0.05)
    assert (played.bar(2).status, played.bar(2).units) == (OrderStatus.STOPPED, 0.0)
    silent = play(bars, [units(1.0), hold()], stop_loss=0.05)
    assert silent.bar(2).status == OrderStatus.NONE


@pytest.mark.parametrize("gap", [True, False])
def test_a_stop_cancels_what_is_queued_but_not_what_comes_after(gap: bool) -> None:
    hit = (90.0, 91.0, 89.0, 90.0) if gap else (100.0, 100.0, 89.0, 90.0)
    bars = [flat(100.0)] * 3 + [hit] + [flat(90.0)] * 4
    orders = [units(1.0), hold(), units(2.0), units(3.0)]
    played = play(bars, orders, stop_loss=0.05, lag=2)
    assert [played.bar(t).units for t in range(1, 6)] == [0.0, 1.0, 0.0, 0.0, 3.0]


def test_a_stop_cancels_only_its_own_symbol() -> None:
    still, hit = flat(100.0), (90.0, 91.0, 89.0, 90.0)
    bars = [[still, still], [still, still], [hit, still]]
    played = play(bars, [[units(1.0), hold()], [units(2.0), units(2.0)]], stop_loss=0.05)
    assert (played.bar(2, 0).units, played.bar(2, 1).units) == (0.0, 2.0)


def test_masked_bars_have_no_stops_no_marks_and_no_age() -> None:
    bars = [flat(100.0), (100.0, 103.0, 99.0, 102.0), (50.0, 500.0, 1.0, 60.0), flat(102.0)]
    played = play(bars, [units(1.0)], stop_loss=0.05, take_profit=0.05, state=[2, 2, 0, 2])
    masked = played.bar(2)
    assert (masked.units, masked.mark, masked.equity) == (1.0, 102.0, 1_002.0)
    assert (masked.held, masked.best) == (1.0, 103.0)
    assert played.bar(3).held == 2.0


def test_stops_work_on_no_trade_bars() -> None:
    bars = [flat(100.0), flat(100.0), (100.0, 101.0, 90.0, 92.0)]
    out = play(bars, [units(1.0)], stop_loss=0.05, state=[2, 2, BarState.NO_TRADE]).bar(2)
    assert out.in_bar.reason == ExitReason.STOP_LOSS


def test_switched_off_rules_never_fire() -> None:
    bars = [flat(100.0), flat(100.0), (100.0, 1e6, 1e-6, 100.0), (1e-5, 1e7, 1e-6, 100.0)]
    played = play(bars, [units(1.0)])
    assert [played.bar(t).units for t in (2, 3)] == [1.0, 1.0]
