"""Orders and their fills: kinds, prices, costs, caps, the no-trade band, the decision lag."""

from __future__ import annotations

import pytest

from market_play import flat, hold, notional, play, side, units, weight
from truefill.market.types import BarState, ExitReason, OrderStatus

UP = [flat(100.0), (100.0, 112.0, 99.0, 110.0), (110.0, 121.0, 110.0, 120.0), flat(120.0)]
close_to = pytest.approx


def test_buy_fills_at_the_open_plus_spread_and_pays_the_fee() -> None:
    bar = play(UP, [units(2.0)], fee=0.01, half_spread=0.002, slippage=0.003).bar(1)
    assert bar.order.price == close_to(100.5)
    assert bar.order.fee == close_to(2.01)
    assert bar.order.spread == close_to(1.0)
    assert bar.cash == close_to(1_000.0 - 201.0 - 2.01)
    assert bar.equity == close_to(1_000.0 - 201.0 - 2.01 + 220.0)
    assert bar.status == OrderStatus.FILLED
    assert bar.entry == close_to(100.5)


def test_sell_fills_at_the_open_minus_spread_and_pays_the_fee() -> None:
    bar = play(UP, [units(-2.0)], fee=0.01, half_spread=0.002, slippage=0.003).bar(1)
    assert bar.order.price == close_to(99.5)
    assert bar.cash == close_to(1_000.0 + 199.0 - 1.99)
    assert bar.equity == close_to(1_000.0 + 199.0 - 1.99 - 220.0)


def test_without_costs_a_round_trip_is_free() -> None:
    played = play([flat(100.0)] * 4, [units(2.0), units(0.0)])
    assert played.bar(2).equity == 1_000.0
    assert played.bar(2).order.fee == played.bar(2).order.spread == 0.0


def test_cost_multiple_scales_fee_and_spread_and_extra_slippage_comes_after_it() -> None:
    bar = play(
        UP, [units(1.0)], fee=0.01, half_spread=0.002, slippage=0.003, cost_multiple=2.0,
        extra_slippage=0.04,
    ).bar(1)  # fmt: skip
    assert bar.order.price == close_to(100.0 * (1.0 + 0.01 + 0.04))
    assert bar.order.fee == close_to(105.0 * 0.02)


def test_costs_are_those_of_the_bar_of_the_fill() -> None:
    from market_cases import by_hand
    from market_compare import engine_record

    case = by_hand([flat(100.0)] * 4, [units(1.0), units(2.0)])
    case.costs["fee"][1] = 0.01
    case.costs["fee"][2] = 0.02
    record = engine_record(case)
    assert record["order.fee"][:3, 0, 0].tolist() == close_to([1.0, 2.0, 0.0])


@pytest.mark.parametrize(
    ("order", "wanted"),
    [
        (units(3.0), 3.0),
        (notional(450.0), 4.5),
        (weight(0.5), 5.0),
        (side(-0.25), -2.5),
        (hold(), 0.0),
    ],
)
def test_order_kinds(order: tuple[int, float], wanted: float) -> None:
    bar = play(UP, [order]).bar(1)
    assert bar.units == close_to(wanted)
    assert bar.status == (OrderStatus.FILLED if wanted else OrderStatus.NONE)


def test_weight_is_taken_of_equity_at_the_open() -> None:
    bars = [flat(100.0), flat(100.0), (150.0, 160.0, 140.0, 155.0)]
    played = play(bars, [units(4.0), weight(0.75)])
    assert played.bar(2).units == close_to(0.75 * 1_200.0 / 150.0)


def test_same_target_again_is_no_change() -> None:
    bar = play(UP, [units(2.0), units(2.0)]).bar(2)
    assert bar.status == OrderStatus.NO_CHANGE
    assert bar.order.units == 0.0
    assert bar.turnover == 0.0


def test_side_does_not_trade_when_already_there() -> None:
    played = play(UP, [side(0.5), side(0.9), side(0.1)])
    assert [played.bar(t).status for t in (2, 3)] == [OrderStatus.NO_CHANGE] * 2
    assert played.bar(3).units == close_to(5.0)


def test_side_reverses_and_closes() -> None:
    played = play([flat(100.0)] * 4, [side(0.5), side(-0.5), side(0.0)])
    assert played.bar(2).units == close_to(-5.0)
    assert played.bar(2).order.units == close_to(-10.0)
    assert played.bar(2).order.reason == ExitReason.ORDER
    assert played.bar(3).units == 0.0


@pytest.mark.parametrize("order", [units(-2.0), notional(-200.0), weight(-0.2), side(-0.2)])
def test_without_shorting_a_negative_order_means_flat(order: tuple[int, float]) -> None:
    played = play(UP, [order, units(3.0), order], allow_short=0.0)
    assert played.bar(1).units == 0.0
    assert played.bar(1).status == OrderStatus.NO_CHANGE
    assert played.bar(2).units == 3.0
    assert played.bar(3).units == 0.0


def test_with_shorting_a_negative_order_sells() -> None:
    assert play(UP, [units(-2.0)], allow_short=1.0).bar(1).units == -2.0


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_max_weight_caps(sign: float) -> None:
    assert play(UP, [units(sign * 9.0)], max_weight=0.3).bar(1).units == close_to(sign * 3.0)
    assert play(UP, [units(sign * 2.0)], max_weight=0.3).bar(1).units == sign * 2.0


def test_band_holds_back_small_changes_of_weight() -> None:
    bars = [flat(100.0)] * 4
    held = play(bars, [weight(0.5), weight(0.59)], band=0.1).bar(2)
    assert (held.status, held.units) == (OrderStatus.NO_CHANGE, close_to(5.0))
    moved = play(bars, [weight(0.5), weight(0.61)], band=0.1).bar(2)
    assert (moved.status, moved.units) == (OrderStatus.FILLED, close_to(6.1))


def test_band_compares_the_capped_weight() -> None:
    bars = [flat(100.0), flat(100.0), flat(104.0), flat(104.0)]
    bar = play(bars, [weight(0.9), weight(0.9)], max_weight=0.5, band=0.1).bar(2)
    assert (bar.status, bar.units) == (OrderStatus.NO_CHANGE, close_to(5.0))


def test_band_never_holds_back_going_flat_nor_other_kinds() -> None:
    bars = [flat(100.0)] * 4
    assert play(bars, [weight(0.05), weight(0.0)], band=0.1).bar(1).units == 0.0
    assert play(bars, [weight(0.5), weight(0.0)], band=0.9).bar(1).units == 0.0
    assert play(bars, [units(0.5), weight(0.0)], band=0.1).bar(2).units == 0.0
    assert play(bars, [units(0.5), units(0.4)], band=0.1).bar(2).units == 0.4


def test_band_holds_nothing_back_when_no_equity_is_left() -> None:
    bars = [flat(1.0), flat(1.0), flat(0.5)]
    rules = {"initial_balance": 1.0, "max_leverage": 3.0, "band": 0.1}
    bar = play(bars, [units(3.0), weight(1.5)], **rules).bar(2)
    assert (bar.status, bar.order.units) == (OrderStatus.FILLED, -3.0)


@pytest.mark.parametrize("lag", [1, 2, 3])
def test_order_fills_at_the_open_lag_bars_later(lag: int) -> None:
    bars = [flat(100.0 + t) for t in range(6)]
    played = play(bars, [hold(), units(2.0)], lag=lag)
    for t in range(1, 6):
        assert played.bar(t).units == (2.0 if t >= 1 + lag else 0.0)
    assert played.bar(1 + lag).order.price == 100.0 + 1 + lag


def test_a_new_position_does_not_earn_the_gap_and_a_held_one_does() -> None:
    bars = [flat(100.0), (110.0, 110.0, 110.0, 110.0), (120.0, 120.0, 120.0, 120.0)]
    played = play(bars, [units(1.0)])
    assert played.bar(1).equity == 1_000.0
    assert played.bar(2).equity == 1_010.0


def test_decision_interval_turns_the_other_orders_into_hold() -> None:
    played = play([flat(100.0)] * 6, [units(t + 1.0) for t in range(5)], decision_interval=2)
    assert [played.bar(t).units for t in range(1, 6)] == [1.0, 1.0, 3.0, 3.0, 5.0]
    assert [played.bar(t).status for t in (2, 4)] == [OrderStatus.NONE] * 2


def test_decision_interval_looks_at_when_the_order_was_decided() -> None:
    played = play([flat(100.0)] * 6, [units(t + 1.0) for t in range(5)], decision_interval=2, lag=2)
    assert [played.bar(t).units for t in range(1, 6)] == [0.0, 1.0, 1.0, 3.0, 3.0]


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (BarState.MASKED, OrderStatus.MASKED),
        (BarState.NO_TRADE, OrderStatus.NOT_TRADABLE),
    ],
)
def test_order_on_an_untradable_bar_is_cancelled(state: BarState, status: OrderStatus) -> None:
    played = play(UP, [units(1.0)], state=[2, state, 2, 2])
    assert played.bar(1).status == status
    assert all(played.bar(t).units == 0.0 for t in (1, 2, 3))


def test_hold_on_an_untradable_bar_is_nothing() -> None:
    assert play(UP, [hold()], state=[2, 1, 2, 2]).bar(1).status == OrderStatus.NONE


def test_reversal_is_one_fill_and_two_trades() -> None:
    played = play([flat(100.0), flat(100.0), flat(110.0), flat(99.0)],
                  [units(2.0), units(-1.0), units(0.0)], fee=0.01)  # fmt: skip
    turn = played.bar(2)
    assert turn.order.units == -3.0
    assert turn.order.fee == close_to(3.3)
    assert turn.order.profit == close_to(2 * 10.0 - 2.0 - 2.2)
    assert turn.order.closed_units == 2.0
    assert (turn.units, turn.entry, turn.held) == (-1.0, 110.0, 1.0)
    assert played.bar(3).order.profit == close_to(11.0 - 1.1 - 0.99)


def test_adding_averages_the_entry_and_keeps_the_age() -> None:
    played = play([flat(100.0), flat(100.0), flat(130.0)], [units(2.0), units(3.0)])
    bar = played.bar(2)
    assert (bar.entry, bar.held, bar.best) == (close_to(110.0), 2.0, 130.0)
    assert bar.order.reason == ExitReason.NONE


def test_reducing_keeps_the_entry_and_ends_no_trade() -> None:
    bar = play([flat(100.0), flat(100.0), flat(130.0)], [units(2.0), units(0.5)]).bar(2)
    assert (bar.entry, bar.units, bar.order.profit) == (100.0, 0.5, 0.0)
    assert bar.order.reason == ExitReason.NONE
