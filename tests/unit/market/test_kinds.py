"""Orders relative to what the account has: cash, position, reopen, reverse; and cancel."""

from __future__ import annotations

import pytest

from market_play import (
    cancel,
    cash,
    flat,
    hold,
    limit,
    notional,
    play,
    position,
    reopen,
    reverse,
    units,
    weight,
)
from truefill.market.types import BarState, ExitReason, OrderKind, OrderStatus

STILL = [flat(100.0)] * 6
COSTS = {"fee": 0.01, "half_spread": 0.02}
BUY, SELL = 100.0 * 1.02 * 1.01, 100.0 * 0.98 * 0.99
UNTRADABLE = {
    BarState.MASKED: OrderStatus.MASKED,
    BarState.NO_TRADE: OrderStatus.NOT_TRADABLE,
}
close_to = pytest.approx


def test_cash_buys_for_a_share_of_the_cash_and_pays_costs_on_top() -> None:
    played = play(STILL, [cash(0.5), cash(0.5)], **COSTS)
    assert played.bar(1).units == close_to(5.0)
    left = 1_000.0 - 5.0 * BUY
    assert played.bar(1).cash == close_to(left)
    more = 0.5 * left / 100.0
    assert played.bar(2).units == close_to(5.0 + more)
    assert played.bar(2).cash == close_to(left - more * BUY)


def test_a_negative_cash_order_sells_for_a_share_of_the_cash() -> None:
    played = play(STILL, [units(8.0), cash(-0.5)], allow_short=0.0)
    assert played.bar(2).units == close_to(8.0 - 0.5 * 200.0 / 100.0)
    assert (played.bar(2).order.units, played.bar(2).cash) == (close_to(-1.0), close_to(300.0))


def test_a_cash_sale_beyond_the_position_goes_short_only_where_allowed() -> None:
    orders = [units(2.0), cash(-0.5), cash(-1.0)]
    assert play(STILL, orders, allow_short=0.0).bar(2).units == 0.0
    assert play(STILL, orders, allow_short=0.0).bar(3).status == OrderStatus.NO_CHANGE
    assert play(STILL, orders, allow_short=1.0).bar(2).units == close_to(2.0 - 4.0)


@pytest.mark.parametrize("first", [weight(1.0), weight(2.0)])
def test_without_cash_of_its_own_a_cash_order_is_no_change(first: tuple[int, float]) -> None:
    """Spent to the last bit, or borrowed: 1e-9 of the equity counts as none."""
    rules = {"max_leverage": 1.0 if first == weight(1.0) else 3.0, "fee": 0.0013}
    bar = play(STILL, [first, cash(1.0)], **rules).bar(2)
    assert (bar.status, bar.order.units) == (OrderStatus.NO_CHANGE, 0.0)


def test_position_changes_the_position_by_a_share_of_itself() -> None:
    played = play(STILL, [units(4.0), position(-0.25), position(0.5), position(-1.0)])
    assert [played.bar(t).units for t in (2, 3, 4)] == close_to([3.0, 4.5, 0.0])
    assert played.bar(4).order.reason == ExitReason.ORDER


def test_position_of_a_short_and_of_nothing() -> None:
    played = play(STILL, [position(1.0), units(-4.0), position(-0.25), position(0.5)])
    assert (played.bar(1).status, played.bar(1).units) == (OrderStatus.NO_CHANGE, 0.0)
    assert [played.bar(t).units for t in (3, 4)] == close_to([-3.0, -4.5])


@pytest.mark.parametrize(("allow_short", "left"), [(0.0, 0.0), (1.0, -2.0)])
def test_position_beyond_minus_one_reverses_only_where_shorts_are_allowed(
    allow_short: float, left: float
) -> None:
    bar = play(STILL, [units(4.0), position(-1.5)], allow_short=allow_short).bar(2)
    assert (bar.units, bar.order.closed_units) == (close_to(left), 4.0)


def test_reopen_pays_a_round_trip_even_where_the_target_is_the_position() -> None:
    played = play(STILL, [units(5.0), reopen(0.5)], **COSTS)
    bar = played.bar(2)
    freed = 1_000.0 - 5.0 * BUY + 5.0 * SELL
    assert bar.at_open.price == close_to(98.0)
    assert bar.at_open.reason == ExitReason.ORDER
    assert bar.at_open.profit == close_to(5.0 * (SELL - BUY))
    assert (bar.order.units, bar.order.price) == (close_to(0.5 * freed / 100.0), close_to(102.0))
    assert bar.cash == close_to(freed - 0.5 * freed / 100.0 * BUY)
    assert (bar.held, bar.entry, bar.status) == (1.0, close_to(102.0), OrderStatus.FILLED)
    assert bar.turnover == close_to((490.0 + bar.order.units * 102.0) / (freed))


def test_reopen_of_a_flat_account_only_opens() -> None:
    bar = play(STILL, [reopen(-0.4)]).bar(1)
    assert (bar.units, bar.at_open.units, bar.status) == (close_to(-4.0), 0.0, OrderStatus.FILLED)


@pytest.mark.parametrize("order", [reopen(0.0), reopen(-0.5), reverse(0.5)])
def test_reopen_that_opens_nothing_is_filled_by_its_close(order: tuple[int, float]) -> None:
    bar = play(STILL, [units(5.0), order, order], allow_short=0.0).bar(2)
    assert (bar.units, bar.at_open.units, bar.status) == (0.0, -5.0, OrderStatus.FILLED)
    flat_now = play(STILL, [units(5.0), order, order], allow_short=0.0).bar(3)
    assert flat_now.status == OrderStatus.NO_CHANGE


def test_reopen_below_a_lot_closes_and_says_that_there_was_no_room() -> None:
    bar = play(STILL, [units(5.0), reopen(0.04)], lot=0.5).bar(2)
    assert (bar.units, bar.at_open.units, bar.status) == (0.0, -5.0, OrderStatus.NO_ROOM)


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("value", [0.3, -0.3])
def test_reverse_opens_the_size_on_the_other_side(sign: float, value: float) -> None:
    played = play(STILL, [units(sign * 5.0), reverse(value)], **COSTS)
    bar = played.bar(2)
    first, out = (BUY, SELL) if sign > 0.0 else (SELL, BUY)
    freed = 1_000.0 - sign * 5.0 * first + sign * 5.0 * out
    assert bar.at_open.units == close_to(-sign * 5.0)
    assert bar.units == close_to(-sign * 0.3 * freed / 100.0)


def test_reverse_of_nothing_is_no_change() -> None:
    bar = play(STILL, [reverse(0.5)]).bar(1)
    assert (bar.status, bar.units) == (OrderStatus.NO_CHANGE, 0.0)


@pytest.mark.parametrize("order", [reopen(0.3), reverse(0.3)])
def test_min_hold_binds_reopen_and_reverse_as_a_whole(order: tuple[int, float]) -> None:
    played = play(STILL, [units(5.0), order, order], min_hold=2)
    early, late = played.bar(2), played.bar(3)
    assert (early.status, early.units, early.at_open.units) == (OrderStatus.MIN_HOLD, 5.0, 0.0)
    assert (late.status, late.at_open.units, late.held) == (OrderStatus.FILLED, -5.0, 1.0)


@pytest.mark.parametrize("order", [cash(0.5), position(-1.0), reopen(0.5), reverse(0.5)])
@pytest.mark.parametrize("state", [BarState.MASKED, BarState.NO_TRADE])
def test_no_kind_trades_on_an_untradable_bar(order: tuple[int, float], state: BarState) -> None:
    played = play(STILL, [units(5.0), order], state=[2, 2, state])
    bar = played.bar(2)
    assert (bar.status, bar.units) == (UNTRADABLE[state], 5.0)
    assert bar.at_open.units == bar.order.units == 0.0
    assert played.bar(3).units == 5.0


def test_kinds_are_decoded_when_they_are_due_not_when_they_are_decided() -> None:
    """Lag 2: the cash and the position are those of the open of the fill."""
    bars = [flat(100.0), flat(100.0), flat(100.0), flat(50.0), flat(50.0)]
    spent = play(bars, [units(4.0), cash(0.5)], lag=2)
    assert spent.bar(3).units == close_to(4.0 + 0.5 * 600.0 / 50.0)
    turned = play(bars, [units(4.0), reverse(1.0)], lag=2)
    assert (turned.bar(2).units, turned.bar(3).units) == (4.0, close_to(-800.0 / 50.0))


def test_reopen_leaves_the_queue_alone() -> None:
    played = play(STILL, [units(4.0), reopen(0.5), units(1.0)], lag=2)
    assert [played.bar(t).units for t in (2, 3, 4)] == close_to([4.0, 5.0, 1.0])


@pytest.mark.parametrize("order", [reopen(0.5), reverse(0.5)])
def test_reopen_and_reverse_fill_at_the_open_whatever_their_type(
    order: tuple[int, float],
) -> None:
    bar = play(STILL, [units(5.0), limit(order, 1.0)]).bar(2)
    assert (bar.at_open.units, bar.status) == (-5.0, OrderStatus.FILLED)
    assert bar.working.kind == OrderKind.HOLD


@pytest.mark.parametrize("state", list(BarState))
def test_cancel_ends_the_working_order_on_any_bar(state: BarState) -> None:
    orders = [limit(units(5.0), 90.0), cancel(), cancel()]
    bars = [*STILL[:2], (100.0, 100.0, 80.0, 100.0), *STILL]
    played = play(bars, orders, state=[2, 2, state])
    assert (played.bar(1).status, played.bar(1).working.value) == (OrderStatus.WORKING, 5.0)
    bar = played.bar(2)
    assert (bar.status, bar.units) == (OrderStatus.CANCELLED, 0.0)
    assert (bar.working.kind, played.bar(3).status) == (OrderKind.HOLD, OrderStatus.NO_CHANGE)


def test_cancel_without_working_orders_is_no_change() -> None:
    bar = play(STILL, [notional(200.0), cancel(), hold()]).bar(2)
    assert (bar.status, bar.units) == (OrderStatus.NO_CHANGE, 2.0)
