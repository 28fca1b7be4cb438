"""What comes with a position: dividends, splits, funding, derivatives, exchange rates."""

from __future__ import annotations

import pytest

from market_play import at_close, cash, flat, hold, limit, notional, play, stop, units, weight
from truefill.market.types import BarState, ExitReason, OrderStatus

DAY = 86_400.0
STILL = [flat(100.0)] * 6
HALVED = [flat(100.0), flat(100.0), flat(50.0), flat(50.0)]
SPLIT = {"split": [1.0, 1.0, 2.0]}
close_to = pytest.approx


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_longs_receive_dividends_and_shorts_pay_them(sign: float) -> None:
    played = play(STILL, [units(sign * 2.0), units(0.0)], dividend=[0.0, 0.0, 3.0, 7.0],
                  rate_open=2.0, rate_close=2.0)  # fmt: skip
    bar = played.bar(2)
    assert bar.dividends == close_to(sign * 2.0 * 3.0 * 2.0)
    assert bar.equity == close_to(1_000.0 + sign * 12.0)
    assert bar.order.profit == close_to(sign * 12.0)
    assert played.bar(3).dividends == 0.0


def test_who_buys_at_the_open_of_the_dividend_receives_none() -> None:
    assert play(STILL, [units(2.0)], dividend=[0.0, 3.0]).bar(1).dividends == 0.0


def test_dividends_are_paid_on_the_units_before_the_split() -> None:
    bar = play(HALVED, [units(2.0)], dividend=[0.0, 0.0, 3.0], **SPLIT).bar(2)
    assert (bar.dividends, bar.units) == (close_to(6.0), 4.0)


def test_dividends_and_splits_happen_on_masked_bars_too() -> None:
    played = play(HALVED, [units(2.0)], dividend=[0.0, 0.0, 3.0], state=[2, 2, 0], **SPLIT)
    bar = played.bar(2)
    assert (bar.dividends, bar.units, bar.mark) == (close_to(6.0), 4.0, 50.0)
    assert bar.equity == close_to(1_006.0)


@pytest.mark.parametrize("ratio", [2.0, 0.5, 1.5])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_split_changes_units_entry_and_best_but_no_money(sign: float, ratio: float) -> None:
    bars = [flat(100.0), flat(100.0), flat(100.0 / ratio)]
    bar = play(bars, [units(sign * 3.0)], split=[1.0, 1.0, ratio], fee=0.01).bar(2)
    assert (bar.units, bar.entry) == (close_to(sign * 3.0 * ratio), close_to(100.0 / ratio))
    assert bar.best == close_to(100.0 / ratio)
    assert (bar.equity, bar.log_return) == (close_to(997.0), close_to(0.0, abs=1e-15))
    assert (bar.turnover, bar.held) == (0.0, 2.0)


@pytest.mark.parametrize(
    ("rules", "level"),
    [({"stop_loss": 0.05}, 47.5), ({"trail_distance": 0.1}, 54.0), ({"take_profit": 0.3}, 65.0)],
)
def test_levels_follow_a_split(rules: dict[str, float], level: float) -> None:
    """Bought at 100, best 120: of 50, 60 after the split."""
    bars = [flat(100.0), (100.0, 120.0, 100.0, 110.0), (55.0, 60.0, 54.5, 55.0)]
    hit = (55.0, 66.0, 55.0, 55.0) if "take_profit" in rules else (55.0, 55.0, 47.0, 55.0)
    played = play([*bars, hit], [units(1.0)], **SPLIT, **rules)
    assert played.bar(2).units == 2.0
    assert (played.bar(3).in_bar.units, played.bar(3).in_bar.price) == (-2.0, close_to(level))


def test_the_atr_of_the_bar_before_a_split_is_in_new_units() -> None:
    """2 x 4 / 2 below an entry at 50."""
    bars = [flat(100.0), flat(100.0), flat(50.0), (50.0, 50.0, 44.0, 50.0)]
    bar = play(bars, [hold(), units(1.0)], use_atr=1.0, atr_stop=2.0, atr=4.0, **SPLIT).bar(3)
    assert (bar.in_bar.reason, bar.in_bar.price) == (ExitReason.STOP_LOSS, close_to(46.0))


@pytest.mark.parametrize("lag", [1, 2])
def test_working_orders_follow_a_split_in_price_and_units(lag: int) -> None:
    """Working at lag 1, queued at lag 2 when the split comes."""
    bars = [flat(100.0), flat(100.0), flat(50.0), (50.0, 50.0, 44.0, 50.0)]
    bar = play(bars, [limit(units(3.0), 90.0)], lag=lag, **SPLIT).bar(3)
    assert (bar.order.price, bar.units) == (45.0, 6.0)
    worth = play(bars, [limit(notional(270.0), 90.0)], lag=lag, **SPLIT).bar(3)
    assert (worth.order.price, worth.units) == (45.0, close_to(6.0))


def test_an_order_that_arrives_with_the_split_is_in_new_units() -> None:
    bars = [flat(100.0), flat(100.0), (50.0, 56.0, 50.0, 50.0)]
    assert play(bars, [hold(), units(3.0)], **SPLIT).bar(2).units == 6.0
    assert play(bars, [hold(), at_close(units(3.0))], **SPLIT).bar(2).units == 6.0
    assert play(bars, [hold(), weight(0.5)], **SPLIT).bar(2).units == close_to(10.0)
    bar = play(bars, [hold(), stop(units(3.0), 110.0)], **SPLIT).bar(2)
    assert (bar.order.price, bar.units) == (55.0, 6.0)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_funding_is_paid_by_longs_to_shorts_on_the_last_mark(sign: float) -> None:
    bars = [flat(100.0), (100.0, 110.0, 100.0, 110.0), flat(120.0), flat(120.0)]
    rules = {"funding": [0.0, 0.5, 0.01, -0.02], "cost_multiple": 3.0}
    played = play(bars, [units(sign * 2.0), units(0.0)], **rules)
    assert played.bar(1).funding == 0.0
    assert played.bar(2).funding == close_to(sign * 2.2)
    assert played.bar(2).cash == close_to(1_000.0 + sign * (40.0 - 2.2))
    assert played.bar(2).order.profit == close_to(sign * (40.0 - 2.2))
    kept = play(bars, [units(sign * 2.0)], **rules).bar(3)
    assert kept.funding == close_to(-sign * 4.8)


def test_funding_is_due_on_masked_bars_too() -> None:
    bar = play(STILL, [units(2.0)], funding=[0.0, 0.0, 0.01], state=[2, 2, BarState.MASKED])
    assert bar.bar(2).funding == close_to(2.0)


def test_derivatives_bear_no_interest_and_no_borrow_fee() -> None:
    rules = {"max_leverage": 3.0, "interest": 0.1, "borrow": 0.2, "seconds": DAY}
    for sign in (1.0, -1.0):
        bar = play(STILL, [units(sign * 15.0)], derivative=1.0, **rules).bar(2)
        assert (bar.interest, bar.borrow, bar.equity) == (0.0, 0.0, close_to(1_000.0))


def test_only_what_is_no_derivative_is_borrowed_and_bears_the_interest() -> None:
    """10 of the derivative, 15 of the stock at 100: 500 are borrowed."""
    bars = [[flat(100.0), flat(100.0)]] * 4
    orders = [[units(10.0), units(15.0)], [hold(), hold()], [units(0.0), units(0.0)]]
    played = play(bars, orders, derivative=[[1.0, 0.0]], max_leverage=3.0, interest=0.1,
                  seconds=DAY)  # fmt: skip
    due = 500.0 * 0.1 / 365.25
    assert played.bar(2).interest == close_to(due)
    again = (500.0 + due) * 0.1 / 365.25
    assert played.bar(3, 0).order.profit == 0.0
    assert played.bar(3, 1).order.profit == close_to(-due - again)


def test_rates_turn_prices_into_account_currency() -> None:
    """Bought at 100 x 2, marked at 110 x 2.5; the fee is in account currency."""
    bars = [flat(100.0), (100.0, 110.0, 100.0, 110.0)]
    bar = play(bars, [weight(0.5)], rate_open=2.0, rate_close=2.5, fee=0.01, half_spread=0.05).bar(
        1
    )
    assert (bar.units, bar.order.price) == (close_to(2.5), close_to(105.0))
    assert bar.entry == close_to(105.0)
    assert bar.order.fee == close_to(2.5 * 105.0 * 2.0 * 0.01)
    assert bar.order.spread == close_to(2.5 * 5.0 * 2.0)
    assert bar.mark == close_to(275.0)
    assert bar.equity == close_to(1_000.0 - 2.5 * 210.0 * 1.01 + 2.5 * 275.0)


def test_the_exchange_rate_alone_moves_the_equity() -> None:
    rules = {"rate_open": [10.0, 10.0, 11.0], "rate_close": [10.0, 10.0, 12.0]}
    bar = play(STILL, [units(0.5)], **rules).bar(2)
    assert bar.equity == close_to(1_000.0 - 0.5 * 1_000.0 + 0.5 * 1_200.0)
    flat_account = play(STILL, [hold()], **rules).bar(2)
    assert flat_account.equity == 1_000.0


@pytest.mark.parametrize(
    ("order", "limit_units"),
    [(notional(400.0), 4.0), (weight(0.4), 4.0), (cash(0.4), 4.0), (units(2.0), 2.0)],
)
def test_order_kinds_are_decoded_in_account_currency(
    order: tuple[int, float], limit_units: float
) -> None:
    """At the open's rate of 2: 400 are 2 units at 100, or 4 at a limit of 50."""
    bar = play(STILL, [order], rate_open=2.0, rate_close=4.0).bar(1)
    assert bar.units == close_to(2.0)
    waiting = play([flat(100.0), (100.0, 100.0, 50.0, 100.0)], [limit(order, 50.0)],
                   rate_open=2.0, rate_close=4.0).bar(1)  # fmt: skip
    assert waiting.units == close_to(limit_units)


def test_inside_the_bar_and_at_its_close_the_rate_of_the_close_holds() -> None:
    """Levels are prices; what they bring is price x rate."""
    bars = [flat(100.0), flat(100.0), (100.0, 100.0, 94.0, 96.0)]
    rules = {"rate_open": 2.0, "rate_close": [2.0, 2.0, 3.0]}
    bar = play(bars, [units(1.0)], stop_loss=0.05, **rules).bar(2)
    assert (bar.in_bar.price, bar.in_bar.notional) == (close_to(95.0), close_to(285.0))
    assert bar.cash == close_to(1_000.0 - 200.0 + 285.0)
    closed = play(bars, [units(1.0), at_close(units(0.0))], **rules).bar(2)
    assert closed.cash == close_to(1_000.0 - 200.0 + 288.0)
    gap = play([*bars[:2], flat(90.0)], [units(1.0)], stop_loss=0.05, **rules).bar(2)
    assert (gap.at_open.reason, gap.cash) == (ExitReason.GAP_STOP, close_to(1_000.0 - 20.0))


def test_margin_is_called_in_account_currency() -> None:
    """E at the low of 80: 1,000 - 5 x 400 + 5 x 80 x 4 = 600 of 1,600 gross."""
    bars = [flat(100.0), flat(100.0), (100.0, 100.0, 80.0, 100.0)]
    rules = {"rate_open": 4.0, "rate_close": 4.0, "max_leverage": 3.0}
    assert play(bars, [units(5.0)], maintenance=0.375, **rules).bar(2).units == 5.0
    assert play(bars, [units(5.0)], maintenance=0.376, **rules).bar(2).liquidated == 1.0


def test_masked_symbols_keep_their_mark_whatever_the_rate_does() -> None:
    rules = {"rate_open": 2.0, "rate_close": [2.0, 2.0, 9.0], "state": [2, 2, BarState.MASKED]}
    bar = play(STILL, [units(2.0)], **rules).bar(2)
    assert (bar.mark, bar.equity, bar.status) == (200.0, 1_000.0, OrderStatus.NONE)
