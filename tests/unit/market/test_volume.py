"""Slippage by participation, and the share of a bar's volume that an order may take."""

from __future__ import annotations

import pytest

from market_play import flat, limit, notional, play, reopen, units, weight
from truefill.market.types import ExitReason, OrderStatus

STILL = [flat(100.0)] * 6
IMPACT = {"impact": 0.1, "volume": 1_000.0}
POOR = {"initial_balance": 600.0, "max_leverage": 3.0}
close_to = pytest.approx


@pytest.mark.parametrize(("exponent", "slippage"), [(0.5, 0.01), (1.0, 0.001), (0.0, 0.1)])
def test_impact_is_a_power_of_the_share_of_volume(exponent: float, slippage: float) -> None:
    """10 units of 1,000."""
    for sign in (1.0, -1.0):
        bar = play(STILL, [units(sign * 10.0)], impact_exponent=exponent, half_spread=0.005,
                   max_leverage=2.0, **IMPACT).bar(1)  # fmt: skip
        assert bar.order.price == close_to(100.0 * (1.0 + sign * (0.005 + slippage)))
        assert bar.order.spread == close_to(10.0 * 100.0 * (0.005 + slippage))


def test_impact_takes_the_volume_of_the_bar_of_the_fill_and_the_cost_multiple() -> None:
    played = play(STILL, [units(4.0), units(8.0)], impact=0.1, volume=[1e9, 400.0, 1_600.0],
                  cost_multiple=2.0, max_leverage=2.0)  # fmt: skip
    assert played.bar(1).order.price == close_to(100.0 * (1.0 + 0.2 * 0.1))
    assert played.bar(2).order.price == close_to(100.0 * (1.0 + 0.2 * 0.05))


def test_impact_is_that_of_what_the_room_lets_through_not_of_what_was_wanted() -> None:
    """20 wanted, room for 10 at no cost: 10 of 1,000 are asked, costs then take some."""
    bar = play(STILL, [weight(2.0)], **IMPACT).bar(1)
    assert bar.order.price == close_to(101.0)
    assert bar.units == close_to(1_000.0 / 101.0)
    assert (bar.status, bar.cash) == (OrderStatus.PARTIAL, close_to(0.0, abs=1e-9))


def test_costs_alone_make_no_order_partial() -> None:
    bar = play(STILL, [weight(1.0)], **IMPACT).bar(1)
    assert (bar.status, bar.units) == (OrderStatus.FILLED, close_to(1_000.0 / 101.0))


def test_a_reversal_asks_for_both_its_parts() -> None:
    """6 out and 3 in: 9 of 900."""
    bar = play(STILL, [units(6.0), units(-3.0)], impact=0.1, volume=[1e9, 1e9, 900.0]).bar(2)
    assert bar.order.price == close_to(100.0 * (1.0 - 0.01), rel=1e-5)


def test_a_partial_reduction_asks_for_its_own_units() -> None:
    bar = play(STILL, [units(8.0), units(4.0)], impact=0.1, volume=[1e9, 1e9, 400.0]).bar(2)
    assert bar.order.price == close_to(100.0 * (1.0 - 0.1 * (4.0 / 400.0) ** 0.5))


@pytest.mark.parametrize(
    ("bar", "rules", "reason", "reference"),
    [
        ((100.0, 101.0, 94.0, 100.0), {"stop_loss": 0.05}, ExitReason.STOP_LOSS, 95.0),
        ((90.0, 99.0, 90.0, 98.0), {"stop_loss": 0.05}, ExitReason.GAP_STOP, 90.0),
        ((99.0, 99.0, 98.0, 98.0), {"max_hold": 1}, ExitReason.MAX_HOLD, 99.0),
        ((99.0, 99.0, 98.0, 98.0), {"ruin_fraction": 0.99}, ExitReason.RUIN, 98.0),
        ((99.0, 99.0, 90.0, 98.0), {"maintenance": 0.65, **POOR}, ExitReason.LIQUIDATION, 90.0),
    ],
)
def test_exits_pay_the_impact_of_the_whole_position(
    bar: tuple[float, ...], rules: dict[str, float], reason: ExitReason, reference: float
) -> None:
    """9 units of 900."""
    out = play([flat(100.0), flat(100.0), bar], [units(9.0)], impact=0.1,
               volume=[1e9, 1e15, 900.0], **rules).bar(2)  # fmt: skip
    leg = next(leg for leg in (out.at_open, out.in_bar, out.at_end) if leg.units)
    assert (leg.reason, leg.units) == (reason, -9.0)
    assert leg.price == close_to(reference * 0.99, rel=1e-6)


def test_a_sale_at_the_sessions_end_pays_the_impact_of_the_whole_position() -> None:
    bar = play(STILL, [units(9.0)], impact=0.1, volume=[1e9, 1e15, 900.0], weight_at_close=0.5,
               session_end=[0, 0, 1]).bar(2)  # fmt: skip
    assert -9.0 < bar.at_cap.units < 0.0
    assert bar.at_cap.price == close_to(99.0)


def test_targets_and_resting_limits_have_no_impact() -> None:
    bars = [flat(100.0), (100.0, 112.0, 95.0, 106.0), (106.0, 112.0, 100.0, 106.0)]
    bar = play(bars, [limit(units(9.0), 96.0)], take_profit=0.125, **IMPACT)
    assert bar.bar(1).order.price == 96.0
    assert bar.bar(2).in_bar.price == close_to(108.0)


def test_spread_with_impact_is_at_most_nine_tenths_of_the_price() -> None:
    bar = play(STILL, [notional(-100.0)], impact=0.1, volume=1e-9, impact_exponent=0.5).bar(1)
    assert bar.order.price == close_to(10.0)


def test_opening_takes_at_most_its_share_of_the_volume() -> None:
    rules = {"max_participation": 0.1, "volume": 50.0}
    played = play(STILL, [units(8.0), units(8.0), units(9.0)], **rules)
    assert [played.bar(t).units for t in (1, 2, 3)] == close_to([5.0, 8.0, 9.0])
    assert [played.bar(t).status for t in (1, 2)] == [OrderStatus.PARTIAL, OrderStatus.FILLED]


@pytest.mark.parametrize("wanted", [0.0, 1.0, -3.0])
def test_a_reduction_beyond_its_share_of_the_volume_is_cut_and_opens_nothing(
    wanted: float,
) -> None:
    bar = play(STILL, [units(9.0), units(wanted)], max_participation=0.1,
               volume=[1e9, 1e9, 50.0]).bar(2)  # fmt: skip
    assert (bar.units, bar.status) == (close_to(4.0), OrderStatus.PARTIAL)
    assert bar.order.reason == ExitReason.NONE


def test_a_reversal_opens_with_the_volume_that_its_close_leaves() -> None:
    bar = play(STILL, [units(3.0), units(-4.0)], max_participation=0.1,
               volume=[1e9, 1e9, 50.0]).bar(2)  # fmt: skip
    assert (bar.units, bar.status) == (close_to(-2.0), OrderStatus.PARTIAL)


def test_a_reduction_cut_by_volume_is_rounded_down_to_whole_lots() -> None:
    bar = play(STILL, [units(8.0), units(0.0)], max_participation=0.1, lot=2.0,
               volume=[1e9, 1e9, 50.0]).bar(2)  # fmt: skip
    assert (bar.units, bar.status) == (4.0, OrderStatus.PARTIAL)


@pytest.mark.parametrize("rules", [{"lot": 2.0}, {"min_notional": 150.0}])
@pytest.mark.parametrize("first", [0.0, 8.0])
def test_nothing_left_of_an_order_cut_by_volume_is_no_volume(
    first: float, rules: dict[str, float]
) -> None:
    """1 unit is less than a lot and less than the minimum, for opening and closing alike."""
    wanted = 8.0 - first
    bar = play(STILL, [units(first), units(wanted)], max_participation=0.1,
               volume=[1e9, 1e9, 10.0], **rules).bar(2)  # fmt: skip
    assert (bar.units, bar.status) == (first, OrderStatus.NO_VOLUME)


def test_exits_are_not_cut_by_volume() -> None:
    bars = [flat(100.0), flat(100.0), (100.0, 100.0, 94.0, 96.0)]
    bar = play(bars, [units(9.0)], stop_loss=0.05, max_participation=0.1,
               volume=[1e9, 1e9, 10.0]).bar(2)  # fmt: skip
    assert bar.in_bar.units == -9.0


def test_the_close_of_a_reopen_is_not_cut_by_volume_and_its_opening_is() -> None:
    bar = play(STILL, [units(9.0), reopen(0.5)], max_participation=0.1,
               volume=[1e9, 1e9, 10.0]).bar(2)  # fmt: skip
    assert (bar.at_open.units, bar.order.units) == (-9.0, close_to(1.0))
    assert bar.status == OrderStatus.PARTIAL
