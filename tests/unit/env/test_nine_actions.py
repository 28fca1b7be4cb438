"""The nine actions in money: what each does to cash and position, by formula, costs and all.

Costs: fee F of notional, half spread + slippage K of price. A purchase of u units at the open o
takes u o (1 + K)(1 + F) from the cash, a sale brings u o (1 - K)(1 - F).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from env_cases import environment, play, split_of
from truefill.env.setup import Environment
from truefill.market.types import OrderStatus

F, K = 10e-4, 2e-4 + 3e-4
BUY, SELL = (1.0 + K) * (1.0 + F), (1.0 - K) * (1.0 - F)
CASH = 10_000.0
CLOSES = np.asarray([100.0, 103.0, 96.0, 90.0, 108.0, 111.0, 94.0, 100.0])
OPENS = np.asarray([100.0, 101.0, 104.0, 95.0, 92.0, 110.0, 112.0, 93.0])
KEYS: dict[str, Any] = {
    "market.allow_short": True, "market.interest_rate_annual": 0, "market.borrow_rate_annual": 0,
    "market.maintenance_margin": 0.0, "env.action.kind": "nine_actions",
    "env.action.illegal": "no_op",
}  # fmt: skip
SHARES = {1: 0.25, 2: 0.5, 3: 1.0}


def market(**changes: Any) -> Environment:
    named = {f"market.{name}": value for name, value in changes.items()}
    return environment(split_of(CLOSES, opens=OPENS), {**KEYS, **named})


def money(env: Environment, *taken: int) -> tuple[np.ndarray, np.ndarray, Any]:
    """Cash and units at the close of bars 0, 1, ... (one more than actions), and transitions."""
    states, done, _ = play(env, np.asarray(taken)[:, None, None])
    after = done.final.account
    cash = np.concatenate([states.account.cash[:1, 0], after.cash[:, 0]])
    units = np.concatenate([states.account.units[:1, 0, 0], after.units[:, 0, 0]])
    return cash, units, done


def opened(cash: float, share: float, price: float) -> tuple[float, float]:
    """Cash and units after a purchase worth ``share`` of the cash, or all that it pays for."""
    units = min(share * cash / price, cash / (price * BUY))
    return cash - units * price * BUY, units


def went_short(cash: float, price: float) -> tuple[float, float]:
    """100 % of the cash: as much as leverage 1 allows once the sale has paid its own costs."""
    units = cash / (price * (1.0 + (1.0 - SELL)))
    return cash + units * price * SELL, -units


def closed(cash: float, units: float, price: float) -> float:
    return cash + units * price * (SELL if units > 0.0 else BUY)


def test_0_holds_and_costs_nothing() -> None:
    cash, units, done = money(market(), 0, 0, 0)
    assert (cash == CASH).all()
    assert (units == 0.0).all()
    assert not done.illegal.any()


@pytest.mark.parametrize(("action", "share"), SHARES.items())
def test_1_2_3_open_a_long_with_a_share_of_the_cash(action: int, share: float) -> None:
    cash, units, _ = money(market(), action, 0)
    wanted = opened(CASH, share, OPENS[1])
    np.testing.assert_allclose([cash[1], units[1]], wanted, rtol=1e-12, atol=1e-8)
    assert (cash[2], units[2]) == (cash[1], units[1])
    if share == 1.0:
        assert cash[1] == pytest.approx(0.0, abs=1e-8)


@pytest.mark.parametrize("again", [1, 2, 3])
def test_opening_closes_first_and_pays_for_the_round_trip(again: int) -> None:
    """Also where the size stays: 25 % on top of 25 % is a sale and a purchase."""
    cash, units, done = money(market(), 1, again)
    first_cash, first_units = opened(CASH, 0.25, OPENS[1])
    middle = closed(first_cash, first_units, OPENS[2])
    wanted = opened(middle, SHARES[again], OPENS[2])
    np.testing.assert_allclose([cash[2], units[2]], wanted, rtol=1e-12, atol=1e-8)
    result = done.result
    fees = (result.at_open.fee + result.order.fee)[1, 0, 0]
    sold, bought = first_units * OPENS[2] * (1.0 - K), units[2] * OPENS[2] * (1.0 + K)
    assert fees == pytest.approx(F * (sold + bought), rel=1e-12)
    assert result.turnover[1, 0] == pytest.approx((sold + bought) / middle, rel=1e-12)


def test_opening_while_short_buys_back_first() -> None:
    cash, units, _ = money(market(), 3, 8, 2)
    long_cash, long_units = opened(CASH, 1.0, OPENS[1])
    short_cash, short_units = went_short(closed(long_cash, long_units, OPENS[2]), OPENS[2])
    middle = closed(short_cash, short_units, OPENS[3])
    wanted = opened(middle, 0.5, OPENS[3])
    np.testing.assert_allclose([cash[3], units[3]], wanted, rtol=1e-12)


@pytest.mark.parametrize(("action", "share"), [(4, 0.25), (5, 0.5)])
@pytest.mark.parametrize("short", [False, True])
def test_4_and_5_reduce_the_position_by_a_share_of_itself(
    action: int, share: float, short: bool
) -> None:
    before = (3, 8) if short else (2,)
    cash, units, done = money(market(), *before, action)
    t = len(before)
    gone = share * units[t]
    assert gone != 0.0
    assert units[t + 1] == pytest.approx(units[t] - gone, rel=1e-12)
    assert cash[t + 1] == pytest.approx(closed(cash[t], gone, OPENS[t + 1]), rel=1e-12)
    assert not done.illegal.any()


@pytest.mark.parametrize("action", [6, 7])
@pytest.mark.parametrize("short", [False, True])
def test_6_and_7_close_all_of_it(action: int, short: bool) -> None:
    before = (3, 8) if short else (2,)
    cash, units, _ = money(market(), *before, action)
    t = len(before)
    assert units[t + 1] == 0.0
    assert cash[t + 1] == pytest.approx(closed(cash[t], units[t], OPENS[t + 1]), rel=1e-12)


@pytest.mark.parametrize("action", [6, 7])
def test_closing_is_exempt_from_lots_and_the_smallest_order_and_reducing_is_not(
    action: int,
) -> None:
    """25 units at 101 are 2,525; half of them, and all of them at 95, fall below 2,400."""
    env = market(lot_size=5.0, min_notional=2_400.0)
    cash, units, done = money(env, 2, 5, 5, action)
    assert units[1] == 45.0
    assert units[2] == 45.0  # half of 45 is 4 lots, worth 2,080
    assert done.result.status[1, 0, 0] == OrderStatus.BELOW_MINIMUM
    assert units[4] == 0.0
    assert cash[4] == pytest.approx(closed(cash[3], 45.0, OPENS[4]), rel=1e-12)
    few = market(lot_size=5.0, min_notional=2_400.0)
    cash, units, _ = money(few, 1, 0, action)
    assert units.tolist() == [0.0, 0.0, 0.0, 0.0]  # 24.75 units are 4 lots: 2,020, below 2,400


def test_8_reverses_to_a_short_with_all_the_cash_and_back() -> None:
    cash, units, done = money(market(), 1, 8, 8)
    long_cash, long_units = opened(CASH, 0.25, OPENS[1])
    middle = closed(long_cash, long_units, OPENS[2])
    short = went_short(middle, OPENS[2])
    np.testing.assert_allclose([cash[2], units[2]], short, rtol=1e-12)
    # gross exposure equals what is left after all costs: leverage 1
    assert -units[2] * OPENS[2] == pytest.approx(cash[2] + units[2] * OPENS[2], rel=1e-12)
    back = opened(closed(*short, OPENS[3]), 1.0, OPENS[3])
    np.testing.assert_allclose([cash[3], units[3]], back, rtol=1e-12, atol=1e-8)
    assert not done.illegal.any()


def test_what_is_illegal_is_a_hold() -> None:
    for action in (4, 5, 6, 7, 8):
        cash, units, done = money(market(), action)
        assert done.illegal.all()
        assert (cash[1], units[1]) == (CASH, 0.0)
    for short in (False, True):
        cash, units, done = money(market(allow_short=short), 2, 8)
        assert done.illegal[:, 0, 0].tolist() == [False, not short]
        assert (units[2] == units[1]) != short


def test_what_is_legal_follows_the_position_and_the_market() -> None:
    for short in (True, False):
        env = market(allow_short=short)
        legal = env.spec.decoder.legal
        assert legal is not None
        states, _, _ = play(env, np.asarray([2, 8 if short else 0, 0])[:, None, None])
        rows = {}
        for t in range(3):
            account = states.account._replace(queue=None, units=states.account.units[t])
            side = int(np.sign(account.units[0, 0]))
            rows[side] = np.asarray(legal(account, env.arrays.market))[0, 0].tolist()
        assert rows[0] == [True] * 4 + [False] * 5
        assert rows[1] == [True] * 8 + [short]
        if short:
            assert rows[-1] == [True] * 9


def test_orders_meet_the_position_at_the_fill_not_at_the_decision() -> None:
    """Decision lag 2. Both reversals are decided on a long: the second meets a short and buys.
    The reduction decided on that short meets a long and sells half of it."""
    cash, units, done = money(market(decision_lag=2), 3, 0, 8, 8, 5, 0, 0)
    assert np.sign(units).tolist() == [0, 0, 1, 1, -1, 1, 1, 1]
    assert not done.illegal.any()
    long = opened(CASH, 1.0, OPENS[2])
    np.testing.assert_allclose([cash[2], units[2]], long, rtol=1e-12, atol=1e-8)
    short = went_short(closed(*long, OPENS[4]), OPENS[4])
    np.testing.assert_allclose([cash[4], units[4]], short, rtol=1e-12)
    again = opened(closed(*short, OPENS[5]), 1.0, OPENS[5])
    np.testing.assert_allclose([cash[5], units[5]], again, rtol=1e-12, atol=1e-8)
    assert units[6] == pytest.approx(0.5 * units[5], rel=1e-12)
    assert cash[6] == pytest.approx(closed(cash[5], 0.5 * units[5], OPENS[6]), rel=1e-12)


def test_a_reversal_that_meets_no_position_opens_none() -> None:
    """Lag 2: decided on a long that an earlier order closes first."""
    cash, units, done = money(market(decision_lag=2), 3, 0, 7, 8, 0)
    assert not done.illegal.any()
    assert np.sign(units).tolist() == [0, 0, 1, 1, 0, 0]
    assert cash[5] == cash[4]


def test_money_is_conserved_whatever_is_done() -> None:
    """Equity moves by price changes of what is held, less fees and spread; nothing else."""
    rng = np.random.default_rng(0)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, 202)))
    opens = close * np.exp(rng.normal(0.0, 0.005, 202))
    env = environment(split_of(close, opens=opens), KEYS)
    states, done, _ = play(env, rng.integers(0, 9, (200, 32, 1)))
    now, after, result = states.account, done.final.account, done.result
    o, c, last = opens[1:201, None], close[1:201, None], close[:200, None]
    moved = now.units[..., 0] * (o - last) + after.units[..., 0] * (c - o)
    costs = sum(leg.fee + leg.spread for leg in (result.at_open, result.order))[..., 0]
    np.testing.assert_allclose(after.equity - now.equity, moved - costs, atol=1e-8)
    assert (after.units < 0.0).any()
    assert (after.units > 0.0).any()
    assert set(np.unique(result.status)) >= {OrderStatus.FILLED, OrderStatus.NONE}
