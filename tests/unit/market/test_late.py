"""A working order and a stop inside one bar: which came first, and what a late position knows."""

from __future__ import annotations

import pytest

from market_play import Played, Routed, at_close, flat, limit, play, reverse, stop, units
from truefill.market.types import ExitReason, OrderKind, OrderStatus

close_to = pytest.approx
COSTS = {"fee": 0.01, "maker_fee": 0.002, "half_spread": 0.02}


def held_one(bar: tuple[float, ...], order: Routed, **rules: float) -> Played:
    """One unit bought at 100, then ``order`` works on ``bar``."""
    return play([flat(100.0), flat(100.0), bar], [units(1.0), order], **rules)


@pytest.mark.parametrize(
    "order",
    [
        limit(units(0.0), 103.0),
        limit(units(0.5), 103.0),
        limit(units(-1.0), 103.0),
        stop(units(0.0), 97.0),
    ],
)
def test_the_stop_comes_before_an_order_that_leaves_the_position(order: Routed) -> None:
    both = held_one((100.0, 104.0, 94.0, 100.0), order, stop_loss=0.05).bar(2)
    assert (both.status, both.ambiguous) == (OrderStatus.STOPPED, 1.0)
    assert (both.in_bar.price, both.units, both.order.units) == (close_to(95.0), 0.0, 0.0)
    assert both.working.kind == OrderKind.HOLD
    alone = held_one((100.0, 104.0, 96.0, 100.0), order, stop_loss=0.05).bar(2)
    assert (alone.order.price, alone.ambiguous) == (order[3], 0.0)
    assert alone.in_bar.units == 0.0


@pytest.mark.parametrize(
    "order", [stop(units(0.0), 94.0), limit(units(3.0), 94.0), limit(units(3.0), 95.0)]
)
def test_an_order_beyond_the_stop_certainly_comes_after_it(order: Routed) -> None:
    """Also one that adds: it would have bought where the position was sold."""
    bar = held_one((100.0, 100.0, 93.0, 100.0), order, stop_loss=0.05).bar(2)
    assert (bar.status, bar.ambiguous) == (OrderStatus.STOPPED, 0.0)
    assert (bar.in_bar.price, bar.units, bar.order.units) == (close_to(95.0), 0.0, 0.0)


def test_an_order_that_adds_before_the_stop_is_filled_and_then_stopped() -> None:
    """Entry (100 + 98) / 2, stop 5 % below it."""
    bar = held_one((100.0, 100.0, 93.0, 100.0), limit(units(2.0), 98.0), stop_loss=0.05).bar(2)
    assert (bar.order.units, bar.order.price) == (1.0, 98.0)
    assert (bar.in_bar.units, bar.in_bar.price) == (-2.0, close_to(99.0 * 0.95))
    assert (bar.status, bar.ambiguous, bar.units) == (OrderStatus.FILLED, 0.0, 0.0)


def test_where_min_hold_binds_the_order_waits_and_the_stop_cancels_it() -> None:
    played = held_one((100.0, 104.0, 94.0, 100.0), limit(units(0.0), 103.0), stop_loss=0.05,
                      min_hold=5)  # fmt: skip
    bar = played.bar(2)
    assert (bar.status, bar.ambiguous) == (OrderStatus.STOPPED, 0.0)
    assert (bar.in_bar.reason, bar.units) == (ExitReason.STOP_LOSS, 0.0)


def test_the_order_comes_before_the_target() -> None:
    """Only the stop is the worse of the two."""
    bar = held_one((100.0, 106.0, 99.0, 100.0), limit(units(0.0), 103.0), take_profit=0.05).bar(2)
    assert (bar.order.price, bar.in_bar.units) == (103.0, 0.0)


@pytest.mark.parametrize(
    "order", [limit(units(0.0), 120.0), limit(units(-1.0), 105.0), stop(units(2.0), 106.0)]
)
def test_the_target_comes_before_an_order_beyond_it(order: Routed) -> None:
    """Also before one that adds: nothing is left to average."""
    bar = held_one((100.0, 125.0, 99.0, 110.0), order, take_profit=0.05).bar(2)
    assert (bar.status, bar.ambiguous, bar.order.units) == (OrderStatus.STOPPED, 0.0, 0.0)
    assert (bar.in_bar.reason, bar.in_bar.price) == (ExitReason.TAKE_PROFIT, close_to(105.0))
    assert (bar.in_bar.units, bar.in_bar.profit, bar.cash) == (
        -1.0, close_to(5.0), close_to(1_005.0),
    )  # fmt: skip
    assert bar.working.kind == OrderKind.HOLD


def test_an_order_that_adds_short_of_the_target_comes_before_it() -> None:
    """Entry (100 + 104) / 2, its target of 107.1 in the bar too."""
    bar = held_one((100.0, 108.0, 99.0, 104.0), stop(units(2.0), 104.0), take_profit=0.05).bar(2)
    assert (bar.order.units, bar.order.price, bar.status) == (1.0, 104.0, OrderStatus.FILLED)
    assert (bar.in_bar.units, bar.in_bar.price) == (-2.0, close_to(107.1))


@pytest.mark.parametrize("order", [limit(units(0.0), 99.0), stop(units(0.0), 101.0)])
def test_an_order_filled_at_the_open_comes_before_stop_and_target(order: Routed) -> None:
    bar = held_one((100.0, 106.0, 94.0, 100.0), order, stop_loss=0.05, take_profit=0.05).bar(2)
    assert (bar.order.units, bar.order.price) == (-1.0, 100.0)
    assert (bar.status, bar.ambiguous, bar.in_bar.units) == (OrderStatus.FILLED, 0.0, 0.0)


def four_times(order: Routed, **rules: float) -> Played:
    """40 units at 100 with 1,000 of own money; 3,000 borrowed is more than 40 x 70."""
    bars = [flat(100.0), flat(100.0), (100.0, 104.0, 70.0, 100.0)]
    return play(bars, [units(40.0), order], **{"max_leverage": 4.0, "maintenance": 0.1, **rules})


@pytest.mark.parametrize(
    "order", [limit(units(10.0), 103.0), limit(units(-1.0), 103.0), stop(units(0.0), 97.0)]
)
def test_a_margin_call_comes_before_an_order_that_leaves_the_position(order: Routed) -> None:
    bar = four_times(order).bar(2)
    assert (bar.status, bar.ambiguous, bar.order.units) == (OrderStatus.STOPPED, 1.0, 0.0)
    assert (bar.at_end.reason, bar.at_end.price) == (ExitReason.LIQUIDATION, 70.0)
    assert (bar.at_end.units, bar.liquidated) == (-40.0, 1.0)


def test_a_margin_call_comes_after_orders_that_add_or_fill_at_the_open() -> None:
    added = four_times(limit(units(45.0), 98.0), max_leverage=5.0).bar(2)
    assert (added.order.units, added.order.price) == (5.0, 98.0)
    assert (added.at_end.units, added.ambiguous) == (-45.0, 0.0)
    left = four_times(limit(units(10.0), 99.0)).bar(2)
    assert (left.order.units, left.order.price, left.units) == (-30.0, 100.0, 10.0)
    assert (left.liquidated, left.ambiguous, left.cash) == (0.0, 0.0, close_to(0.0))


@pytest.mark.parametrize(("close", "out"), [(99.7, 0.0), (99.8, 99.75)])
def test_a_late_limit_reaches_its_target_only_at_the_close(close: float, out: float) -> None:
    """Bought at 95, target 99.75: the high of 104 may have been before."""
    bars = [flat(100.0), (100.0, 104.0, 94.0, close)]
    bar = play(bars, [limit(units(2.0), 95.0)], take_profit=0.05, **COSTS).bar(1)
    assert bar.order.price == 95.0
    assert (bar.in_bar.price, bar.ambiguous) == (close_to(out), 0.0)


def test_a_late_stop_entry_reaches_its_target_at_the_high() -> None:
    bars = [flat(100.0), (100.0, 111.0, 99.0, 107.0)]
    bar = play(bars, [stop(units(2.0), 105.0)], take_profit=0.05).bar(1)
    assert (bar.in_bar.reason, bar.in_bar.price) == (ExitReason.TAKE_PROFIT, close_to(110.25))


def test_the_stop_of_a_late_limit_is_no_guess() -> None:
    """Down to 95 to buy, on to 93 to stop at 93.1."""
    bar = play([flat(100.0), (100.0, 104.0, 93.0, 98.0)], [limit(units(2.0), 95.0)],
               stop_loss=0.02).bar(1)  # fmt: skip
    assert (bar.in_bar.reason, bar.in_bar.price) == (ExitReason.STOP_LOSS, close_to(93.1))
    assert bar.ambiguous == 0.0


def test_the_stop_of_a_late_stop_entry_is_ambiguous_and_at_its_level() -> None:
    """The low of 97 may have been before; the open of 98 surely was: no fill there."""
    bar = play([flat(100.0), (98.0, 107.0, 97.0, 106.0)], [stop(units(2.0), 105.0)],
               stop_loss=0.05).bar(1)  # fmt: skip
    assert (bar.in_bar.price, bar.ambiguous) == (close_to(105.0 * 0.95), 1.0)
    above = play([flat(100.0), (100.0, 107.0, 99.9, 106.0)], [stop(units(2.0), 105.0)],
                 stop_loss=0.05).bar(1)  # fmt: skip
    assert (above.units, above.ambiguous) == (2.0, 0.0)


def test_a_position_of_a_limit_filled_at_the_open_is_not_late() -> None:
    bars = [flat(100.0), (94.0, 104.0, 93.5, 95.0)]
    bar = play(bars, [limit(units(2.0), 95.0)], take_profit=0.05).bar(1)
    assert bar.in_bar.price == close_to(94.0 * 1.05)
    assert play(bars, [limit(units(2.0), 95.0)]).bar(1).best == 104.0


@pytest.mark.parametrize(
    ("order", "best"),
    [
        (limit(units(2.0), 95.0), 98.0),
        (stop(units(2.0), 103.0), 103.0),
        (at_close(units(2.0)), 98.0),
        (units(2.0), 104.0),
        (limit(units(-2.0), 103.0), 98.0),
        (stop(units(-2.0), 95.0), 95.0),
    ],
)
def test_the_best_price_of_a_late_position_starts_at_its_entry_and_the_close(
    order: tuple[float, ...], best: float
) -> None:
    bar = play([flat(100.0), (100.0, 104.0, 94.0, 98.0)], [order]).bar(1)
    assert (bar.best, bar.held) == (best, 1.0)


def test_adding_late_keeps_the_best_price_of_the_whole_bar() -> None:
    bar = held_one((100.0, 104.0, 94.0, 98.0), limit(units(2.0), 95.0)).bar(2)
    assert (bar.units, bar.best) == (2.0, 104.0)


def test_liquidation_cancels_working_orders_and_those_due_at_the_close_of_all_symbols() -> None:
    still, crash = flat(100.0), (100.0, 100.0, 60.0, 70.0)
    for order in (limit(units(1.0), 50.0), at_close(units(1.0))):
        played = play([[still, still]] * 2 + [[crash, still]], [[units(20.0), (0, 0.0)],
                      [(0, 0.0), order]], max_leverage=3.0, maintenance=0.3)  # fmt: skip
        assert played.bar(2, 0).at_end.reason == ExitReason.LIQUIDATION
        bar = played.bar(2, 1)
        assert (bar.status, bar.units) == (OrderStatus.STOPPED, 0.0)
        assert bar.working.kind == OrderKind.HOLD


def test_ruin_cancels_working_orders() -> None:
    bars = [flat(100.0), flat(100.0), flat(60.0), flat(60.0)]
    played = play(bars, [units(9.0), limit(units(12.0), 50.0)], ruin_fraction=0.7)
    bar = played.bar(2)
    assert (bar.at_end.reason, bar.status) == (ExitReason.RUIN, OrderStatus.CANCELLED)
    assert bar.working.kind == OrderKind.HOLD


def test_ruin_without_a_position_cancels_working_orders_on_the_next_bar() -> None:
    still, gap = flat(100.0), flat(60.0)
    bars = [[still, still]] * 2 + [[gap, still]] + [[gap, still]] * 2
    orders = [[units(9.0), limit(units(1.0), 50.0)], [(0, 0.0), (0, 0.0)]]
    played = play(bars, orders, ruin_fraction=0.7, stop_loss=0.05)
    assert (played.bar(2, 1).ruined, played.bar(2, 1).status) == (1.0, OrderStatus.WORKING)
    assert played.bar(3, 1).status == OrderStatus.CANCELLED
    assert played.bar(4, 1).status == OrderStatus.NONE


def test_a_reversal_by_limit_is_one_fill_and_two_trades() -> None:
    bar = held_one((100.0, 106.0, 99.0, 104.0), limit(units(-2.0), 105.0)).bar(2)
    assert (bar.order.units, bar.order.closed_units, bar.order.profit) == (-3.0, 1.0, 5.0)
    assert (bar.units, bar.entry, bar.best) == (-2.0, 105.0, 104.0)
    assert play([flat(100.0)] * 3, [units(1.0), limit(reverse(0.5), 1.0)]).bar(2).units < 0.0


VOLUME = {"volume": 10.0, "max_participation": 0.1}


@pytest.mark.parametrize(
    ("status", "order", "rules"),
    [
        (OrderStatus.FILLED, limit(units(3.0), 95.0), {}),
        (OrderStatus.PARTIAL, limit(units(30.0), 95.0), {}),
        (OrderStatus.PARTIAL, limit(units(3.0), 95.0), VOLUME),
        (OrderStatus.NO_VOLUME, limit(units(3.0), 95.0), {**VOLUME, "lot": 2.0}),
        (OrderStatus.NO_ROOM, limit(units(1.4), 95.0), {"lot": 1.0}),
        (OrderStatus.BELOW_MINIMUM, limit(units(1.4), 95.0), {"min_notional": 50.0}),
        (OrderStatus.MIN_HOLD, limit(units(0.0), 103.0), {"min_hold": 2}),
        (OrderStatus.WORKING, limit(units(3.0), 90.0), {}),
        (OrderStatus.EXPIRED, limit(units(3.0), 90.0, gtc=False), {"session_end": 1.0}),
        (OrderStatus.STOPPED, limit(units(3.0), 90.0), {"stop_loss": 0.05}),
        (OrderStatus.CANCELLED, limit(units(3.0), 90.0), {"ruin_fraction": 0.999}),
    ],
)  # fmt: skip
def test_every_status_of_a_working_order(
    status: OrderStatus, order: Routed, rules: dict[str, float]
) -> None:
    bar = held_one((100.0, 104.0, 94.0, 98.0), order, **rules).bar(2)
    assert bar.status == status
    waits = status in (OrderStatus.WORKING, OrderStatus.MIN_HOLD)
    assert (bar.working.kind != OrderKind.HOLD) == waits
