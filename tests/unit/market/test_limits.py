"""What stands between an order and its fill: min-hold, lots, minimum, leverage."""

from __future__ import annotations

import pytest

from market_play import flat, hold, play, side, units, weight
from truefill.market.types import ExitReason, OrderStatus

STILL = [flat(100.0)] * 6
close_to = pytest.approx


@pytest.mark.parametrize("wanted", [0.0, -3.0, 1.0])
def test_min_hold_binds_close_reverse_and_reduce(wanted: float) -> None:
    played = play(STILL, [units(2.0), units(wanted), units(wanted)], min_hold=2)
    assert (played.bar(2).status, played.bar(2).units) == (OrderStatus.MIN_HOLD, 2.0)
    assert (played.bar(3).status, played.bar(3).units) == (OrderStatus.FILLED, wanted)


def test_min_hold_lets_adding_and_opening_pass() -> None:
    played = play(STILL, [units(2.0), units(3.0)], min_hold=5)
    assert [played.bar(t).units for t in (1, 2)] == [2.0, 3.0]


def test_min_hold_starts_anew_after_a_reversal() -> None:
    played = play(STILL, [units(1.0), hold(), units(-1.0), units(0.0), units(0.0)], min_hold=2)
    assert [played.bar(t).units for t in range(1, 6)] == [1.0, 1.0, -1.0, -1.0, 0.0]


def test_min_hold_never_binds_a_stop() -> None:
    played = play([flat(100.0), flat(100.0), (100.0, 100.0, 80.0, 90.0)], [units(1.0)],
                  min_hold=9, stop_loss=0.05)  # fmt: skip
    assert played.bar(2).in_bar.reason == ExitReason.STOP_LOSS


@pytest.mark.parametrize(("wanted", "bought"), [(2.7, 2.5), (2.5, 2.5), (-2.7, -2.5)])
def test_opening_is_rounded_toward_zero_to_whole_lots(wanted: float, bought: float) -> None:
    assert play(STILL, [units(wanted)], lot=0.5).bar(1).units == bought


def test_reduction_is_rounded_toward_the_current_position() -> None:
    assert play(STILL, [units(3.0), units(1.7)], lot=0.5).bar(2).units == 2.0


def test_full_close_and_reversal_take_odd_lots() -> None:
    split = [flat(100.0), flat(100.0), flat(100.0)]
    played = play(split, [units(2.5), units(0.0)], lot=0.4)
    assert (played.bar(1).units, played.bar(2).units) == (close_to(2.4), 0.0)
    turned = play(split, [units(2.5), units(-1.0)], lot=0.4, min_notional=100.0)
    assert turned.bar(2).order.closed_units == close_to(2.4)
    assert (turned.bar(2).units, turned.bar(2).status) == (0.0, OrderStatus.FILLED)


def test_last_bit_noise_never_flips_a_lot() -> None:
    assert play(STILL, [units(0.1 + 0.2 - 1e-12)], lot=0.1).bar(1).units == close_to(0.3, abs=1e-15)
    assert play(STILL, [units(0.3 - 1e-6)], lot=0.1).bar(1).units == close_to(0.2, abs=1e-15)


@pytest.mark.parametrize("lots", [6, 13])
def test_a_target_within_the_lot_tolerance_of_flat_ends_the_trade(lots: int) -> None:
    """0.1 and five or twelve lots of 0.1 differ in the last bit from six or thirteen of them."""
    bars = [flat(100.0), flat(100.0), flat(100.0), flat(110.0)]
    bar = play(bars, [units(0.1), units(lots * 0.1), units(1e-13)], lot=0.1).bar(3)
    assert (bar.units, bar.order.reason) == (0.0, ExitReason.ORDER)
    assert bar.order.profit == close_to(lots)


def test_less_than_a_lot_is_no_room() -> None:
    bar = play(STILL, [units(0.4)], lot=0.5).bar(1)
    assert (bar.status, bar.units) == (OrderStatus.NO_ROOM, 0.0)


def test_min_notional_drops_openings_and_partial_reductions_but_no_close() -> None:
    played = play(STILL, [units(0.9), units(3.0), units(2.5), units(3.5), units(0.0)],
                  min_notional=100.0)  # fmt: skip
    assert [played.bar(t).units for t in range(1, 6)] == [0.0, 3.0, 3.0, 3.0, 0.0]
    below = OrderStatus.BELOW_MINIMUM
    assert [played.bar(t).status for t in (1, 3, 4)] == [below] * 3
    small = play(STILL, [units(1.0), units(0.0)], min_notional=100.0)
    assert [small.bar(t).units for t in (1, 2)] == [1.0, 0.0]


def test_close_is_exempt_from_the_minimum_when_the_position_has_shrunk() -> None:
    bars = [flat(100.0), flat(100.0), flat(10.0)]
    assert play(bars, [units(2.0), units(0.0)], min_notional=100.0).bar(2).units == 0.0


def test_at_leverage_one_everything_buys_what_cash_pays_for() -> None:
    bar = play(STILL, [weight(1.0)], fee=0.01, half_spread=0.02).bar(1)
    each = 100.0 * 1.02 * 1.01
    assert bar.units == close_to(1_000.0 / (100.0 * (1.0 + 1.02 * 1.01 - 1.0)))
    assert bar.cash == close_to(1_000.0 - bar.units * each, abs=1e-9)
    assert bar.cash == close_to(0.0, abs=1e-9)
    assert bar.status == OrderStatus.FILLED


def test_within_leverage_nothing_is_scaled() -> None:
    assert play(STILL, [weight(0.9)], fee=0.01).bar(1).units == close_to(9.0)


def test_an_order_cut_by_leverage_beyond_its_costs_is_partial() -> None:
    """What is scaled for its costs alone is filled; what the room is too small for is not."""
    for wanted, status in ((1.0, OrderStatus.FILLED), (1.001, OrderStatus.PARTIAL)):
        assert play(STILL, [weight(wanted)], fee=0.01).bar(1).status == status
    turned = play(STILL, [units(5.0), units(-20.0), units(-3.0)], fee=0.01)
    assert [turned.bar(t).status for t in (2, 3)] == [OrderStatus.PARTIAL, OrderStatus.FILLED]


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_gross_after_costs_is_leverage_times_equity_after_costs(sign: float) -> None:
    bar = play(STILL, [weight(sign * 5.0)], fee=0.01, half_spread=0.02, max_leverage=3.0).bar(1)
    assert abs(bar.units) * 100.0 == close_to(3.0 * bar.equity)
    cost = 1.02 * 1.01 - 1.0 if sign > 0 else 1.0 - 0.98 * 0.99
    assert abs(bar.units) == close_to(3_000.0 / (100.0 * (1.0 + 3.0 * cost)))
    assert bar.status == OrderStatus.PARTIAL


def test_symbols_share_the_room_by_one_factor() -> None:
    bars = [[flat(100.0), flat(50.0)]] * 3
    played = play(bars, [[weight(0.9), weight(0.6)]])
    assert played.bar(1, 0).units == close_to(6.0)
    assert played.bar(1, 1).units == close_to(8.0)
    assert [played.bar(1, s).status for s in (0, 1)] == [OrderStatus.PARTIAL] * 2


def test_sells_come_first_and_free_their_room() -> None:
    bars = [[flat(100.0), flat(50.0)]] * 4
    played = play(bars, [[weight(1.0), hold()], [weight(0.0), weight(1.0)]], fee=0.01)
    first = played.bar(1, 0)
    left = first.units * 100.0 * 0.99
    bought = left / (50.0 * 1.01)
    assert played.bar(2, 1).units == close_to(bought)
    assert played.bar(2).cash == close_to(0.0, abs=1e-9)


@pytest.mark.parametrize("fee", [0.0002, 0.0011, 0.0013, 0.0014])
def test_no_room_left_opens_nothing_not_even_the_last_bit(fee: float) -> None:
    """With these fees the room left is not 0 but some 1e-13."""
    bars = [[flat(p), flat(q)] for p, q in ((100.0, 50.0), (101.7, 50.3), (99.9, 49.7))]
    bar = play(bars, [[weight(1.0), hold()], [hold(), side(1.0)]], fee=fee).bar(2, 1)
    assert (bar.status, bar.units) == (OrderStatus.NO_ROOM, 0.0)


def test_what_falls_beyond_leverage_by_drift_is_not_sold() -> None:
    """Only what opens or adds is limited; maintenance is another rule."""
    bars = [flat(100.0), flat(100.0), flat(80.0)]
    played = play(bars, [weight(3.0), units(31.0)], max_leverage=3.0)
    assert played.bar(2).units == close_to(30.0)
    assert played.bar(2).status == OrderStatus.NO_ROOM


def test_no_equity_no_opening() -> None:
    bars = [flat(100.0), flat(100.0), flat(60.0), flat(60.0)]
    played = play(bars, [weight(3.0), weight(3.0)], max_leverage=3.0)
    assert played.bar(2).equity == close_to(1e-3)
    assert played.bar(2).units == 0.0
