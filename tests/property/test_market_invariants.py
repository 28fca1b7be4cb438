"""What holds on every path: money is conserved, flat is free, the order of profits is the order of
log returns, and the past does not know the future."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market_cases import Case, rule_arrays
from market_compare import ALL_LEGS, engine_record
from market_fuzz import NOTHING, SHAPES, Shape, blind_orders, random_case
from truefill.market.types import BarState, OrderKind

SEEDS = st.integers(0, 2**31)
EXAMPLES = 8
BARE = Shape(symbols=3, lag=2, groups=NOTHING)
FULL = SHAPES[1]
"""All groups of rules, two symbols: compiled once with the fuzzed comparison with the ledger."""
WILD = st.sampled_from([BARE, FULL])


def wild(seed: int, shape: Shape = FULL) -> Case:
    """All rules of the shape on, in random mixes, and random orders."""
    case = random_case(
        seed, bars=shape.bars, accounts=shape.accounts, symbols=shape.symbols, lag=shape.lag,
        groups=shape.groups,
    )  # fmt: skip
    return blind_orders(case, seed + 1)


def legs_of(got: dict[str, np.ndarray]) -> list[str]:
    return [leg for leg in ALL_LEGS if f"{leg}.units" in got]


def column(case: Case, name: str, neutral: float) -> np.ndarray:
    """An optional column of bars 1 .. T - 1, [T - 1, 1, S]."""
    values = case.extra.get(name, np.full(case.state.shape, neutral))
    return values[1:, None]


def shifted(first: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """What each row was one bar before."""
    return np.concatenate([np.broadcast_to(first, rows[:1].shape), rows[:-1]])


def tame(seed: int, accounts: int, bars: int) -> Case:
    """All rules off, costs on, one symbol, every bar tradable."""
    case = random_case(seed, bars=bars, accounts=accounts, symbols=1, lag=1)
    masked = case.state == BarState.MASKED
    prices = {name: np.where(masked, 50.0, values) for name, values in case.prices.items()}
    return replace(
        case,
        prices=prices,
        state=np.full_like(case.state, BarState.TRADABLE),
        rules=rule_arrays(accounts, 1, {}),
    )


@settings(max_examples=EXAMPLES)
@given(SEEDS, WILD)
def test_money_changes_only_through_prices_costs_financing_and_write_offs(
    seed: int, shape: Shape
) -> None:
    """Cash moves by what was traded, its fees, what carrying costs and brings, and what is written
    off; units by what was traded and by splits; equity is cash and units at their marks."""
    case = wild(seed, shape)
    got = engine_record(case)
    legs = legs_of(got)
    flow = -sum(np.sign(got[f"{leg}.units"]) * got[f"{leg}.notional"] for leg in legs).sum(-1)
    fees = sum(got[f"{leg}.fee"] for leg in legs).sum(-1)
    carry = got["interest"] + got["borrow"] + got.get("funding", 0.0) - got.get("dividends", 0.0)
    cash = shifted(case.rules["initial_balance"], got["cash"])
    traded = sum(got[f"{leg}.notional"] for leg in legs).sum(-1)
    held = (np.abs(got["units"]) * got["mark"]).sum(-1)
    scale = np.abs(cash) + np.abs(got["cash"]) + traded + held + got["written_off"]
    wanted = cash + flow - fees - carry + got["written_off"]
    assert np.all(np.abs(got["cash"] - wanted) <= 1e-11 * scale)
    equity = got["cash"] + (got["units"] * got["mark"]).sum(-1)
    assert np.all(np.abs(got["equity"] - equity) <= 1e-11 * scale)
    units = shifted(np.zeros(1), got["units"]) * column(case, "split", 1.0)
    wanted = units + sum(got[f"{leg}.units"] for leg in legs)
    assert np.all(np.abs(got["units"] - wanted) * got["mark"] <= 1e-11 * scale[..., None])


@settings(max_examples=EXAMPLES)
@given(SEEDS, WILD)
def test_notional_is_units_at_the_price_and_rate_and_turnover_is_its_sum(
    seed: int, shape: Shape
) -> None:
    case = wild(seed, shape)
    got = engine_record(case)
    rates = {"at_open": "rate_open", "order": None}
    for leg in legs_of(got):
        rate = rates.get(leg, "rate_close")
        if rate is None:
            continue
        value = np.abs(got[f"{leg}.units"]) * got[f"{leg}.price"] * column(case, rate, 1.0)
        assert np.all(np.abs(got[f"{leg}.notional"] - value) <= 1e-12 * value), leg
    turned = got["turnover"] > 0.0
    assert np.array_equal(turned, sum(got[f"{leg}.notional"] for leg in legs_of(got)).sum(-1) > 0.0)


@settings(max_examples=EXAMPLES)
@given(SEEDS, WILD)
def test_closed_profits_and_open_flows_add_up_to_the_cash(seed: int, shape: Shape) -> None:
    """Interest of a bar without longs that borrow is in no trade."""
    case = wild(seed, shape)
    got = engine_record(case)
    profit = np.cumsum(sum(got[f"{leg}.profit"].sum(-1) for leg in legs_of(got)), axis=0)
    lifted = np.cumsum(got["written_off"], axis=0)
    borrowing = got["units"] * (1.0 - case.rules.get("derivative", 0.0)) > 0.0
    unborne = np.where(shifted(np.zeros(1), borrowing).any(-1), 0.0, got["interest"])
    balance = case.rules["initial_balance"]
    expected = balance + profit + got["flow"].sum(-1) + lifted - np.cumsum(unborne, axis=0)
    scale = balance + np.abs(got["flow"]).sum(-1) + np.maximum.accumulate(got["equity"]) + lifted
    assert np.all(np.abs(got["cash"] - expected) <= 1e-9 * scale)


@settings(max_examples=EXAMPLES)
@given(SEEDS)
def test_order_fills_pay_exactly_the_spread_they_report(seed: int) -> None:
    case = wild(seed, BARE)
    got = engine_record(case)
    fill = got["order.units"] != 0.0
    paid = got["order.units"] * (got["order.price"] - case.prices["open"][1:, None])
    assert np.all(got["order.spread"][fill] >= 0.0)
    assert got["order.spread"][fill] == pytest.approx(paid[fill], rel=1e-6)


@settings(max_examples=EXAMPLES)
@given(SEEDS)
def test_limits_hold_on_every_bar(seed: int) -> None:
    """Gross after an opening stays within leverage x equity after costs."""
    case = wild(seed, BARE)
    got = engine_record(case)
    opened = (np.abs(got["order.units"]).sum(-1) > 0.0) & ~(got["at_open.reason"] > 0).any(-1)
    alone = opened & (case.state[1:] == BarState.TRADABLE).all(-1)[:, None]
    before = np.concatenate([np.zeros_like(got["units"][:1]), got["units"][:-1]])
    after = before + got["order.units"]
    opens = case.prices["open"][1:, None]
    fees = sum(got[f"{leg}.fee"].sum(-1) for leg in ("in_bar", "at_end"))
    flow = sum((got[f"{leg}.units"] * got[f"{leg}.price"]).sum(-1) for leg in ("in_bar", "at_end"))
    cash = got["cash"] - got["written_off"] + flow + fees
    equity = cash + (after * opens).sum(-1)
    gross = (np.abs(after) * opens).sum(-1)
    grew = alone & (gross > (np.abs(before) * opens).sum(-1) + 1e-9 * np.abs(equity))
    limit = case.rules["max_leverage"] * equity
    assert grew.sum() > 20
    assert np.all(gross[grew] <= limit[grew] * (1.0 + 1e-8))
    none = case.rules["allow_short"] == 0.0
    assert np.all(got["units"][:, none] >= 0.0)


@settings(max_examples=EXAMPLES)
@given(SEEDS)
def test_volume_caps_and_shorts_hold_on_every_bar(seed: int) -> None:
    """Orders take at most their share of the volume; gross at a session's last close is within the
    cap after costs where all symbols end and trade; what may not be short is not."""
    case = wild(seed)
    got = engine_record(case)
    share = case.rules["max_participation"] * column(case, "volume", 0.0)
    assert np.all(np.abs(got["order.units"]) <= share * (1.0 + 1e-9))
    ends = (case.extra["session_end"] > 0.0) & (case.state == BarState.TRADABLE)
    whole = ends[1:].all(-1)[:, None] & (got["at_end.units"] == 0.0).all(-1)
    gross = (np.abs(got["units"]) * got["mark"]).sum(-1)
    limit = case.rules["leverage_at_close"] * got["equity"]
    assert (whole & (np.abs(got["at_cap.units"]) > 0.0).any(-1)).sum() > 20
    assert np.all((gross <= limit * (1.0 + 1e-9) + 1e-9)[whole])
    assert np.all(got["units"][:, case.rules["allow_short"] == 0.0] >= 0.0)


@settings(max_examples=EXAMPLES)
@given(SEEDS)
def test_buy_and_hold_is_the_price_path_less_one_entry_cost(seed: int) -> None:
    case = tame(seed, accounts=64, bars=201)
    multiple = np.linspace(0.0, 3.0, 64)
    kind, value = case.kind.copy(), case.value.copy()
    kind[0], value[0] = OrderKind.WEIGHT, 1.0
    case = replace(case, rules=case.rules | {"cost_multiple": multiple}, kind=kind, value=value)
    got = engine_record(case)
    cost = {name: values[1, 0] * multiple for name, values in case.costs.items()}
    entry = (1.0 + cost["half_spread"] + cost["slippage"]) * (1.0 + cost["fee"])
    path = case.prices["close"][1:] / case.prices["open"][1] * 1_000.0 / entry
    assert np.max(np.abs(got["equity"] / path - 1.0)) < 1e-12


@settings(max_examples=EXAMPLES)
@given(SEEDS, WILD)
def test_flat_pays_nothing_under_any_rules(seed: int, shape: Shape) -> None:
    case = wild(seed, shape)
    case = case.with_orders(np.zeros_like(case.kind), np.zeros_like(case.value), case.route)
    got = engine_record(case)
    assert np.all(got["equity"] == case.rules["initial_balance"])
    assert np.all(got["cash"] == case.rules["initial_balance"])
    nothing = ("log_return", "turnover", "interest", "borrow", "drawdown", "written_off", "status")
    for name in (*nothing, *({"funding", "dividends", "working.kind"} & set(got))):
        assert not got[name].any(), name


def four_strategies(case: Case) -> Case:
    """Perfect foresight of the opens, buy and hold, flat, churn: accounts 0 to 3."""
    kind = np.full(case.kind.shape, OrderKind.WEIGHT, np.int32)
    value = np.zeros(case.kind.shape)
    opens = np.append(case.prices["open"][1:, 0], case.prices["close"][-1, 0])
    gains = np.log(opens[1:] / opens[:-1])
    cost = sum(case.costs[name].max() for name in ("fee", "half_spread", "slippage"))
    position = 0.0
    for t, gain in enumerate(gains):
        position = 1.0 if gain > 2 * cost else 0.0 if gain < -2 * cost else position
        value[t, 0] = position
    value[:, 1] = 1.0
    kind[1:, 1] = OrderKind.HOLD
    kind[:, 2] = OrderKind.HOLD
    value[::2, 3] = 1.0
    return case.with_orders(kind, value)


def test_order_by_log_equity_is_the_order_by_net_profit() -> None:
    in_order = 0
    for seed in range(60):
        case = four_strategies(tame(seed, accounts=4, bars=61))
        got = engine_record(case)
        profit = got["equity"][-1] - 1_000.0
        reward = got["log_return"].sum(0)
        assert np.argsort(reward).tolist() == np.argsort(profit).tolist()
        assert reward == pytest.approx(np.log(got["equity"][-1] / 1_000.0), abs=1e-12)
        assert reward[2] == profit[2] == 0.0
        if profit[0] > profit[1] > profit[2] > profit[3]:
            in_order += 1
            assert reward[0] > reward[1] > reward[2] > reward[3]
    assert in_order >= 3


@settings(max_examples=EXAMPLES)
@given(SEEDS, st.integers(2, 198), WILD)
def test_past_does_not_know_the_future(seed: int, t: int, shape: Shape) -> None:
    """New bars after t, and new orders from the close of t on, move nothing at or before t."""
    case, other = wild(seed, shape), wild(seed + 7, shape)

    def join(old: np.ndarray, new: np.ndarray, upto: int) -> np.ndarray:
        return np.concatenate([old[:upto], new[upto:]])

    late = np.concatenate([np.zeros(t + 1), np.full(200 - t, 12_345.0)])
    changed = replace(
        case,
        timestamps_s=case.timestamps_s + late,
        prices={k: join(v, other.prices[k], t + 1) for k, v in case.prices.items()},
        costs={k: join(v, other.costs[k], t + 1) for k, v in case.costs.items()},
        state=join(case.state, other.state, t + 1),
        atr=join(case.atr, other.atr, t + 1),
        interest=join(case.interest, other.interest, t + 1),
        kind=join(case.kind, other.kind, t),
        value=join(case.value, other.value, t),
        extra={k: join(v, other.extra[k], t + 1) for k, v in case.extra.items()},
        route={k: join(v, other.route[k], t) for k, v in case.route.items()}
        if case.route and other.route
        else None,
    )
    before, after = engine_record(case), engine_record(changed)
    moved = 0
    for name, values in before.items():
        assert np.array_equal(values[:t], after[name][:t]), name
        moved += not np.array_equal(values[t:], after[name][t:])
    assert moved > 10
