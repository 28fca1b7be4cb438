"""Orders that wait: when a bar reaches their price, what they pay, how long they last."""

from __future__ import annotations

import pytest

from market_play import (
    Routed,
    at_close,
    flat,
    hold,
    limit,
    notional,
    play,
    reopen,
    side,
    stop,
    units,
    weight,
)
from truefill.market.types import BarState, ExitReason, OrderKind, OrderStatus

STILL = [flat(100.0)] * 6
COSTS = {"fee": 0.01, "maker_fee": 0.002, "half_spread": 0.02}
WIDE = (100.0, 108.0, 94.0, 102.0)
close_to = pytest.approx


@pytest.mark.parametrize(
    ("order", "price"),
    [
        ((*units(2.0), 0, 1.0, False), 100.0),
        (at_close(units(2.0)), 102.0),
        (limit(units(2.0), 97.0), 97.0),
        (stop(units(2.0), 105.0), 105.0),
        (limit(units(-2.0), 105.0), 105.0),
        (stop(units(-2.0), 97.0), 97.0),
    ],
)
def test_order_types(order: Routed, price: float) -> None:
    bar = play([flat(100.0), WIDE], [order]).bar(1)
    assert (bar.order.price, bar.units) == (close_to(price), order[1])
    assert (bar.status, bar.cash) == (OrderStatus.FILLED, close_to(1_000.0 - order[1] * price))
    assert (bar.working.kind, bar.held) == (OrderKind.HOLD, 1.0)


def test_order_at_the_close_pays_taker_costs_and_decodes_at_the_close() -> None:
    bar = play([flat(100.0), WIDE], [at_close(weight(0.5))], **COSTS).bar(1)
    assert bar.units == close_to(500.0 / 102.0)
    assert bar.order.price == close_to(102.0 * 1.02)
    assert bar.order.fee == close_to(500.0 * 1.02 * 0.01)
    assert bar.best == close_to(102.0 * 1.02)


@pytest.mark.parametrize(
    ("sign", "through", "touched"), [(1.0, 97.99, 98.01), (-1.0, 102.01, 101.99)]
)
def test_limit_needs_the_bar_to_trade_through_by_the_buffer(
    sign: float, through: float, touched: float
) -> None:
    start = 101.0 if sign > 0.0 else 99.0
    order = limit(units(sign * 2.0), 100.0)
    for extreme, status in ((through, OrderStatus.FILLED), (touched, OrderStatus.WORKING)):
        bar = (start, max(start, extreme), min(start, extreme), start)
        found = play([flat(start), bar], [order], fill_buffer=0.02).bar(1)
        assert found.status == status
        assert found.order.price == (100.0 if status == OrderStatus.FILLED else 0.0)


def test_without_a_buffer_a_touched_limit_fills() -> None:
    touched = play([flat(100.0), (100.0, 100.0, 97.0, 100.0)], [limit(units(1.0), 97.0)])
    assert touched.bar(1).order.price == 97.0
    above = play([flat(100.0), (100.0, 100.0, 97.1, 100.0)], [limit(units(1.0), 97.0)])
    assert (above.bar(1).status, above.bar(1).units) == (OrderStatus.WORKING, 0.0)


def test_an_open_within_the_buffer_of_a_limit_is_no_better_price() -> None:
    bar = play([flat(100.0), (99.0, 99.0, 97.0, 99.0)], [limit(units(1.0), 100.0)],
               fill_buffer=0.02, **COSTS).bar(1)  # fmt: skip
    assert (bar.order.price, bar.order.fee) == (100.0, close_to(0.2))


@pytest.mark.parametrize(
    ("sign", "opened", "spread", "price"),
    [
        (1.0, 95.0, 0.02, 95.0 * 1.02),
        (1.0, 95.0, 0.1, 100.0),
        (-1.0, 105.0, 0.02, 105.0 * 0.98),
        (-1.0, 105.0, 0.1, 100.0),
    ],
)
def test_limit_through_at_the_open_fills_there_never_worse_than_its_price(
    sign: float, opened: float, spread: float, price: float
) -> None:
    bar = play([flat(opened), flat(opened)], [limit(units(sign * 2.0), 100.0)],
               fee=0.01, maker_fee=0.002, half_spread=spread).bar(1)  # fmt: skip
    assert bar.order.price == close_to(price)
    assert bar.order.fee == close_to(2.0 * price * 0.01)
    assert bar.order.spread == close_to(2.0 * abs(price - opened))


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_resting_limit_pays_the_maker_fee_and_no_spread(sign: float) -> None:
    bar = play([flat(100.0), WIDE], [limit(units(sign * 2.0), 100.0 - sign * 5.0)],
               cost_multiple=3.0, **COSTS).bar(1)  # fmt: skip
    price = 100.0 - sign * 5.0
    assert (bar.order.price, bar.order.spread) == (price, 0.0)
    assert bar.order.fee == close_to(2.0 * price * 0.002 * 3.0)


@pytest.mark.parametrize(
    ("sign", "bar", "price"),
    [
        (1.0, (100.0, 106.0, 99.0, 101.0), 105.0 * 1.02),
        (1.0, (107.0, 108.0, 99.0, 101.0), 107.0 * 1.02),
        (-1.0, (100.0, 101.0, 94.0, 99.0), 95.0 * 0.98),
        (-1.0, (92.0, 99.0, 91.0, 99.0), 92.0 * 0.98),
    ],
)
def test_stop_fills_at_its_price_or_at_the_open_beyond_it_as_a_taker(
    sign: float, bar: tuple[float, ...], price: float
) -> None:
    order = stop(units(sign * 2.0), 100.0 + sign * 5.0)
    found = play([flat(100.0), bar], [order], **COSTS).bar(1)
    assert found.order.price == close_to(price)
    assert found.order.fee == close_to(2.0 * price * 0.01)


def test_stop_that_is_not_touched_waits_and_touched_fires() -> None:
    order = stop(units(1.0), 105.0)
    assert play([flat(100.0), (100.0, 104.9, 99.0, 100.0)], [order]).bar(1).status == (
        OrderStatus.WORKING
    )
    assert play([flat(100.0), (100.0, 105.0, 99.0, 100.0)], [order]).bar(1).units == 1.0


def test_working_weight_is_taken_of_equity_now_at_the_price_of_the_order() -> None:
    bars = [flat(100.0), flat(100.0), (110.0, 110.0, 75.0, 100.0)]
    bar = play(bars, [units(5.0), limit(weight(0.6), 80.0)]).bar(2)
    assert bar.units == close_to(0.6 * (500.0 + 5.0 * 110.0) / 80.0)


@pytest.mark.parametrize(
    ("order", "paid"),
    [
        (limit(units(5.0), 101.0), 500.0),
        (stop(units(5.0), 99.5), 500.0),
        (limit(units(5.0), 98.0), 441.0),
        (stop(units(5.0), 104.0), 468.0),
        (limit(notional(490.0), 98.0), 441.0),
    ],
)
def test_working_orders_filled_at_the_open_are_converted_at_its_rate(
    order: Routed, paid: float
) -> None:
    """1.0 at the open, 0.9 inside the bar; the last buys 490 / (98 x 1.0) units."""
    bar = play([flat(100.0), (100.0, 105.0, 97.0, 100.0)], [order], rate_open=1.0,
               rate_close=[1.0, 0.9]).bar(1)  # fmt: skip
    assert (bar.units, bar.order.notional) == (close_to(5.0), close_to(paid))
    assert (bar.cash, bar.equity) == (close_to(1_000.0 - paid), close_to(1_450.0 - paid))


def test_the_room_of_an_order_filled_at_the_open_is_taken_at_its_rate() -> None:
    bar = play([flat(100.0), (100.0, 105.0, 97.0, 100.0)], [limit(units(50.0), 101.0)],
               rate_open=1.0, rate_close=[1.0, 0.9]).bar(1)  # fmt: skip
    assert (bar.units, bar.cash) == (close_to(10.0), close_to(0.0, abs=1e-9))


@pytest.mark.parametrize("order", [side(0.9), units(2.0)])
def test_an_order_without_a_side_is_not_triggered_and_waits(order: tuple[int, float]) -> None:
    played = play([flat(100.0), flat(100.0), WIDE], [units(2.0), limit(order, 97.0)])
    assert (played.bar(2).status, played.bar(2).working.kind) == (OrderStatus.WORKING, order[0])


def test_day_orders_expire_with_the_session_and_others_do_not() -> None:
    for gtc in (False, True):
        order = limit(units(1.0), 90.0, gtc=gtc)
        played = play([*STILL[:4], flat(89.0)], [order], session_end=[0, 0, 0, 1])
        assert [played.bar(t).status for t in (1, 2)] == [OrderStatus.WORKING] * 2
        last = OrderStatus.WORKING if gtc else OrderStatus.EXPIRED
        assert played.bar(3).status == last
        assert played.bar(4).units == (1.0 if gtc else 0.0)
        assert played.bar(3).working.kind == (OrderKind.UNITS if gtc else OrderKind.HOLD)


@pytest.mark.parametrize("state", [BarState.MASKED, BarState.NO_TRADE])
def test_day_orders_expire_on_bars_without_trade_too(state: BarState) -> None:
    played = play(STILL, [limit(units(1.0), 90.0, gtc=False)], session_end=[0, 0, 1],
                  state=[2, 2, state])  # fmt: skip
    assert played.bar(2).status == OrderStatus.EXPIRED


def test_a_day_order_may_fill_on_the_sessions_last_bar() -> None:
    bar = play([flat(100.0), WIDE], [limit(units(1.0), 97.0, gtc=False)], session_end=[0, 1])
    assert (bar.bar(1).status, bar.bar(1).units) == (OrderStatus.FILLED, 1.0)


@pytest.mark.parametrize(
    ("second", "held", "kind"),
    [
        (limit(units(2.0), 96.0), 2.0, OrderKind.HOLD),
        (limit(units(2.0), 90.0), 0.0, OrderKind.UNITS),
        (units(3.0), 3.0, OrderKind.HOLD),
        (at_close(units(4.0)), 4.0, OrderKind.HOLD),
        (reopen(0.5), 5.0, OrderKind.HOLD),
        (hold(), 1.0, OrderKind.HOLD),
    ],
)
def test_any_order_but_hold_replaces_the_working_one(
    second: tuple[float, ...], held: float, kind: OrderKind
) -> None:
    bars = [flat(100.0), flat(100.0), (100.0, 100.0, 95.0, 100.0), flat(100.0)]
    bar = play(bars, [limit(units(1.0), 97.0), second]).bar(2)
    assert (bar.units, bar.working.kind) == (close_to(held), kind)


@pytest.mark.parametrize("state", [BarState.MASKED, BarState.NO_TRADE])
def test_a_market_order_that_cannot_trade_has_replaced_the_working_one_all_the_same(
    state: BarState,
) -> None:
    bars = [flat(100.0), flat(100.0), flat(100.0), WIDE]
    played = play(bars, [limit(units(1.0), 97.0), units(2.0)], state=[2, 2, state])
    assert (played.bar(2).working.kind, played.bar(3).units) == (OrderKind.HOLD, 0.0)


@pytest.mark.parametrize("state", [BarState.MASKED, BarState.NO_TRADE])
@pytest.mark.parametrize("order", [limit(units(1.0), 97.0), stop(units(1.0), 105.0)])
def test_a_working_order_waits_where_the_bar_cannot_trade(order: Routed, state: BarState) -> None:
    played = play([flat(100.0), WIDE, WIDE], [order], state=[2, state])
    assert (played.bar(1).status, played.bar(1).units) == (OrderStatus.WORKING, 0.0)
    assert (played.bar(2).status, played.bar(2).units) == (OrderStatus.FILLED, 1.0)


@pytest.mark.parametrize("order", [limit(units(0.0), 105.0), stop(units(0.0), 97.0)])
def test_min_hold_makes_a_triggered_order_wait(order: Routed) -> None:
    played = play([flat(100.0), flat(100.0), WIDE, WIDE], [units(2.0), order], min_hold=2)
    bar = played.bar(2)
    assert (bar.status, bar.units, bar.working.kind) == (
        OrderStatus.MIN_HOLD,
        2.0,
        OrderKind.UNITS,
    )
    assert (played.bar(3).units, played.bar(3).order.reason) == (0.0, ExitReason.ORDER)
    assert played.bar(3).order.price == order[3]


def test_symbols_that_fill_share_the_room_by_one_factor() -> None:
    """At their own prices: 8 x 90 + 16 x 45 wanted, 1,000 there."""
    bars = [[flat(100.0), flat(50.0)], [(100.0, 100.0, 90.0, 100.0), (50.0, 50.0, 45.0, 50.0)]]
    played = play(bars, [[limit(units(8.0), 90.0), limit(units(16.0), 45.0)]])
    factor = 1_000.0 / (8.0 * 90.0 + 16.0 * 45.0)
    assert played.bar(1, 0).units == close_to(8.0 * factor)
    assert played.bar(1, 1).units == close_to(16.0 * factor)
    assert played.bar(1, 0).status == played.bar(1, 1).status == OrderStatus.PARTIAL


def test_a_symbol_that_does_not_fill_counts_at_the_open() -> None:
    """Room is 2 x 1,040, of which 4 x 110 are taken, whatever the other symbol does later."""
    bars = [[flat(100.0), flat(100.0)]] * 2
    bars.append([(110.0, 120.0, 80.0, 90.0), (100.0, 100.0, 90.0, 100.0)])
    orders = [[units(4.0), hold()], [hold(), limit(units(40.0), 90.0)]]
    bar = play(bars, orders, max_leverage=2.0).bar(2, 1)
    assert bar.units == close_to((2.0 * (600.0 + 440.0) - 440.0) / 90.0)


def test_an_exit_at_the_open_cancels_the_working_order() -> None:
    bars = [flat(100.0), flat(100.0), (90.0, 120.0, 90.0, 100.0), WIDE]
    played = play(bars, [units(1.0), limit(units(3.0), 80.0)], stop_loss=0.05)
    bar = played.bar(2)
    assert (bar.at_open.reason, bar.status) == (ExitReason.GAP_STOP, OrderStatus.STOPPED)
    assert bar.working.kind == OrderKind.HOLD


@pytest.mark.parametrize("order", [limit(units(3.0), 80.0), at_close(units(3.0))])
def test_a_stop_in_the_bar_cancels_what_works_and_what_is_due_at_the_close(
    order: Routed,
) -> None:
    bars = [flat(100.0), flat(100.0), (100.0, 101.0, 94.0, 100.0)]
    bar = play(bars, [units(1.0), order], stop_loss=0.05).bar(2)
    assert (bar.in_bar.reason, bar.status) == (ExitReason.STOP_LOSS, OrderStatus.STOPPED)
    assert (bar.working.kind, bar.units) == (OrderKind.HOLD, 0.0)
