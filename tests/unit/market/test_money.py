"""Financing, margin, ruin, the floor, and the figures of a bar."""

from __future__ import annotations

import math

import pytest

from market_play import flat, hold, play, units, weight
from truefill.market.types import ExitReason, OrderStatus

close_to = pytest.approx
DAY = 86_400.0
STILL = [flat(100.0)] * 4


def test_interest_is_paid_on_borrowed_cash_for_the_time_that_passed() -> None:
    played = play(STILL, [units(15.0)], max_leverage=3.0, interest=0.1, seconds=DAY)
    first = 500.0 * 0.1 / 365.25
    assert played.bar(1).interest == 0.0
    assert played.bar(2).interest == close_to(first)
    assert played.bar(3).interest == close_to((500.0 + first) * 0.1 / 365.25)
    assert played.bar(2).cash == close_to(-500.0 - first)
    longer = play(STILL, [units(15.0)], max_leverage=3.0, interest=0.1, seconds=3 * DAY)
    assert longer.bar(2).interest == close_to(3 * first)


def test_own_cash_bears_no_interest() -> None:
    assert play(STILL, [units(10.0)], interest=0.1, seconds=DAY).bar(2).interest == 0.0


def test_borrow_fee_is_paid_on_the_short_notional_at_the_last_mark() -> None:
    bars = [flat(100.0), (100.0, 120.0, 100.0, 120.0), flat(90.0)]
    played = play(bars, [units(-2.0)], borrow=0.1, seconds=DAY, cost_multiple=3.0)
    assert played.bar(1).borrow == 0.0
    assert played.bar(2).borrow == close_to(240.0 * 0.3 / 365.25)
    assert play(bars, [units(2.0)], borrow=0.1, seconds=DAY).bar(2).borrow == 0.0


def test_a_trade_bears_its_own_financing() -> None:
    bars = [[flat(100.0), flat(100.0), flat(50.0)]] * 4
    orders = [[units(10.0), units(5.0), units(-4.0)], [hold()] * 3, [units(0.0)] * 3]
    played = play(bars, orders, max_leverage=3.0, interest=0.1, borrow=0.2, seconds=DAY)
    interest = [played.bar(t).interest for t in (2, 3)]
    assert interest[0] == close_to(300.0 * 0.1 / 365.25)
    assert played.bar(3, 0).order.profit == close_to(-sum(interest) * 2 / 3)
    assert played.bar(3, 1).order.profit == close_to(-sum(interest) / 3)
    assert played.bar(3, 2).order.profit == close_to(-2 * 200.0 * 0.2 / 365.25)
    assert played.bar(3).cash == close_to(
        1_000.0 + sum(played.bar(3, s).order.profit for s in range(3))
    )


def test_below_maintenance_at_the_adverse_extreme_all_is_closed_there() -> None:
    bars = [flat(100.0), flat(100.0), (100.0, 101.0, 80.0, 100.0)]
    rules = {"max_leverage": 3.0, "half_spread": 0.01, "fee": 0.001}
    bar = play(bars, [units(25.0)], maintenance=0.24, **rules).bar(2)
    assert (bar.at_end.reason, bar.liquidated) == (ExitReason.LIQUIDATION, 1.0)
    assert bar.at_end.price == close_to(80.0 * 0.99)
    assert bar.at_end.fee == close_to(25.0 * 80.0 * 0.99 * 0.001)
    assert bar.units == 0.0


def test_margin_threshold() -> None:
    """1,000 - 25 x 20 = 500 of 2,000 gross is exactly a quarter."""
    bars = [flat(100.0), flat(100.0), (100.0, 101.0, 80.0, 100.0)]
    assert play(bars, [units(25.0)], max_leverage=3.0, maintenance=0.25).bar(2).units == 25.0
    assert play(bars, [units(25.0)], max_leverage=3.0, maintenance=0.251).bar(2).units == 0.0


def test_where_the_account_is_called_no_target_is_taken() -> None:
    """4 x long, target 105. At 70: 40 x 70 - 3,000 < 0; at 90: 600 of 3,600 is enough."""
    rules = {"max_leverage": 4.0, "maintenance": 0.1, "take_profit": 0.05}
    crash = [flat(100.0), flat(100.0), (100.0, 106.0, 70.0, 100.0)]
    bar = play(crash, [units(40.0)], **rules).bar(2)
    assert (bar.at_end.reason, bar.at_end.price) == (ExitReason.LIQUIDATION, 70.0)
    assert (bar.at_end.units, bar.in_bar.units, bar.ambiguous) == (-40.0, 0.0, 1.0)
    assert (bar.liquidated, bar.written_off) == (1.0, close_to(200.001))
    dip = [flat(100.0), flat(100.0), (100.0, 106.0, 90.0, 100.0)]
    won = play(dip, [units(40.0)], **rules).bar(2)
    assert (won.in_bar.reason, won.in_bar.price) == (ExitReason.TAKE_PROFIT, close_to(105.0))
    assert (won.liquidated, won.ambiguous, won.cash) == (0.0, 0.0, close_to(1_200.0))


def test_margin_counts_who_reached_the_target_as_held() -> None:
    """20 x 70 + 20 x 100 - 3,000 = 400 of 3,400; sold at 105 it were 1,100 of 2,000."""
    bars = [[flat(100.0)] * 2] * 2 + [[(100.0, 106.0, 70.0, 100.0), flat(100.0)]]
    played = play(bars, [[units(20.0), units(20.0)]], max_leverage=4.0, maintenance=0.2,
                  take_profit=0.05)  # fmt: skip
    assert [played.bar(2, s).at_end.price for s in (0, 1)] == [70.0, 100.0]
    assert [played.bar(2, s).ambiguous for s in (0, 1)] == [1.0, 0.0]


def test_margin_counts_who_was_stopped_as_sold_at_the_stop() -> None:
    """1,000 - 40 x 101 x 1.01 + 20 x 69.993 x 0.99 + 20 x 100 = 305.46 of 2,000 is 0.15273;
    the stop is 0.7 x 101, less the spread."""
    bars = [[flat(100.0)] * 2] * 2 + [[(100.0, 101.0, 60.0, 100.0), flat(100.0)]]
    rules = {"max_leverage": 5.0, "stop_loss": 0.3, "half_spread": 0.01, "fee": 0.01}
    kept = play(bars, [[units(20.0), units(20.0)]], maintenance=0.1527, **rules)
    assert (kept.bar(2, 0).in_bar.price, kept.bar(2, 1).units) == (close_to(69.993), 20.0)
    called = play(bars, [[units(20.0), units(20.0)]], maintenance=0.1528, **rules)
    assert called.bar(2, 0).in_bar.reason == ExitReason.STOP_LOSS
    assert called.bar(2, 1).at_end.reason == ExitReason.LIQUIDATION


def test_shorts_are_liquidated_at_the_high() -> None:
    bars = [flat(100.0), flat(100.0), (100.0, 120.0, 99.0, 100.0)]
    bar = play(bars, [units(-25.0)], max_leverage=3.0, maintenance=0.2).bar(2)
    assert (bar.at_end.reason, bar.at_end.price) == (ExitReason.LIQUIDATION, 120.0)


def test_margin_looks_at_the_extremes_of_all_symbols_at_once() -> None:
    still, dip, spike = flat(100.0), (100.0, 100.0, 85.0, 100.0), (100.0, 115.0, 100.0, 100.0)
    orders = [[units(12.0), units(-12.0)]]
    rules = {"max_leverage": 3.0, "maintenance": 0.3}
    both = play([[still, still]] * 2 + [[dip, spike]], orders, **rules)
    assert [both.bar(2, s).at_end.price for s in (0, 1)] == [85.0, 115.0]
    one = play([[still, still]] * 2 + [[dip, still]], orders, **rules)
    assert one.bar(2, 0).units == 12.0


def test_liquidation_leaves_masked_symbols_alone() -> None:
    still, crash = flat(100.0), (100.0, 100.0, 60.0, 70.0)
    played = play([[still, still]] * 2 + [[crash, crash]], [[units(12.0), units(12.0)]],
                  max_leverage=3.0, maintenance=0.3, state=[[2, 2], [2, 2], [2, 0]])  # fmt: skip
    assert (played.bar(2, 0).units, played.bar(2, 1).units) == (0.0, 12.0)
    assert played.bar(2, 1).mark == 100.0


def test_liquidation_and_ruin_cancel_what_is_queued() -> None:
    crash = (100.0, 100.0, 60.0, 70.0)
    bars = [flat(100.0)] * 3 + [crash] + [flat(70.0)] * 3
    orders = [units(20.0), hold(), units(1.0), units(2.0)]
    called = play(bars, orders, max_leverage=3.0, maintenance=0.3, lag=2)
    assert [called.bar(t).units for t in range(2, 6)] == [20.0, 0.0, 0.0, 2.0]
    broke = play(bars, orders, max_leverage=3.0, maintenance=0.0, ruin_fraction=0.5, lag=2)
    assert [broke.bar(t).order.units for t in range(2, 6)] == [20.0, 0.0, 0.0, 0.0]


def test_a_ruined_account_trades_no_more() -> None:
    bars = [flat(100.0), flat(100.0), (100.0, 100.0, 70.0, 75.0)] + [flat(75.0)] * 2
    orders = [units(30.0), hold(), units(1.0)]
    rules = {"max_leverage": 3.0, "half_spread": 0.0}
    broke = play(bars, orders, ruin_fraction=0.25, **rules).bar(3)
    assert (broke.order.units, broke.status, broke.equity) == (
        0.0,
        OrderStatus.NONE,
        close_to(250.0),
    )
    alive = play(bars, orders, ruin_fraction=0.249, **rules).bar(3)
    assert (alive.order.units, alive.status) == (-29.0, OrderStatus.FILLED)


def test_ruin_closes_at_the_close_and_says_so() -> None:
    bars = [flat(100.0), flat(100.0), (100.0, 100.0, 70.0, 75.0)]
    bar = play(bars, [units(30.0)], max_leverage=3.0, ruin_fraction=0.25, half_spread=0.0).bar(2)
    assert (bar.at_end.reason, bar.at_end.price, bar.ruined) == (ExitReason.RUIN, 75.0, 1.0)
    assert (bar.equity, bar.liquidated) == (close_to(250.0), 0.0)
    alive = play(bars, [units(30.0)], max_leverage=3.0, ruin_fraction=0.249).bar(2)
    assert (alive.units, alive.ruined) == (30.0, 0.0)


def test_ruin_pays_spread_and_fee() -> None:
    bars = [flat(100.0), flat(100.0), flat(60.0)]
    bar = play(bars, [units(9.0)], ruin_fraction=0.7, half_spread=0.01, fee=0.01).bar(2)
    assert (bar.at_end.price, bar.at_end.fee) == (close_to(59.4), close_to(9 * 59.4 * 0.01))


def test_ruin_without_a_position_is_still_ruin() -> None:
    bars = [flat(100.0), flat(100.0), flat(60.0), flat(60.0)]
    played = play(bars, [units(9.0)], ruin_fraction=0.7)
    assert [played.bar(t).ruined for t in (1, 2, 3)] == [0.0, 1.0, 1.0]


def test_negative_equity_is_lifted_to_the_floor_and_reported() -> None:
    bars = [flat(100.0), flat(100.0), flat(50.0), flat(50.0)]
    played = play(bars, [units(30.0)], max_leverage=3.0)
    bar = played.bar(2)
    assert (bar.equity, bar.cash, bar.units) == (close_to(1e-3), close_to(1e-3), 0.0)
    assert bar.written_off == close_to(500.001)
    assert bar.log_return == close_to(math.log(1e-3 / 1_000.0))
    assert played.bar(3).written_off == close_to(0.0, abs=1e-12)


def test_positive_equity_is_never_written_off() -> None:
    bars = [flat(100.0), flat(100.0), flat(67.0)]
    bar = play(bars, [units(30.0)], max_leverage=3.0).bar(2)
    assert (bar.equity, bar.written_off) == (close_to(10.0), 0.0)


def test_turnover_is_traded_notional_at_fill_prices_over_equity_at_the_open() -> None:
    bars = [flat(100.0), flat(100.0), (110.0, 111.0, 100.0, 105.0)]
    played = play(bars, [units(5.0), units(-2.0)], half_spread=0.01)
    cash = 1_000.0 - 5 * 101.0
    assert played.bar(1).turnover == close_to(505.0 / 1_000.0)
    assert played.bar(2).turnover == close_to(7 * 108.9 / (cash + 550.0))
    assert played.bar(3).turnover == 0.0


def test_turnover_counts_stops() -> None:
    bars = [flat(100.0), (100.0, 100.0, 90.0, 95.0)]
    assert play(bars, [units(5.0)], stop_loss=0.05).bar(1).turnover == close_to(0.5 + 0.475)


def test_drawdown_is_measured_from_the_highest_close() -> None:
    bars = [flat(100.0), flat(100.0), (100.0, 200.0, 100.0, 120.0), flat(90.0), flat(130.0)]
    played = play(bars, [units(10.0)])
    found = [played.bar(t).drawdown for t in (1, 2, 3, 4)]
    assert found == close_to([0.0, 0.0, 0.25, 0.0])
    assert played.bar(3).peak == close_to(1_200.0)


def test_log_returns_sum_to_the_log_of_the_growth() -> None:
    bars = [flat(p) for p in (100.0, 103.0, 99.0, 107.0, 111.0, 102.0)]
    played = play(bars, [weight(0.7), weight(-0.5), hold(), weight(1.0)], fee=0.002)
    returns = [played.bar(t).log_return for t in range(1, 8)]
    assert sum(returns) == close_to(math.log(played.bar(7).equity / 1_000.0), abs=1e-14)


def test_flat_pays_nothing() -> None:
    bars = [flat(p) for p in (100.0, 50.0, 200.0, 10.0)]
    played = play(bars, [hold()], fee=0.01, half_spread=0.01, interest=0.5, borrow=0.5)
    for t in range(1, 8):
        bar = played.bar(t)
        assert bar.equity == bar.cash == 1_000.0
        assert bar.log_return == bar.turnover == bar.drawdown == bar.interest == bar.borrow == 0.0
