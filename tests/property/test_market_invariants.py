"""What holds on every path: money is conserved, flat is free, the order of profits is the order of
log returns, the past does not know the future, and bits do not depend on the batch."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market_cases import Case, engine_bars, engine_orders, engine_params, rule_arrays
from market_compare import LEGS, engine_record
from market_fuzz import blind_orders, random_case
from truefill.market import rules
from truefill.market.types import BarState, OrderKind, Orders

SEEDS = st.integers(0, 2**31)
EXAMPLES = 12


def wild(seed: int) -> Case:
    """All rules on; the shape of the fuzzed comparison with the ledger, compiled once."""
    case = random_case(seed, bars=201, accounts=64, symbols=3, lag=2)
    return blind_orders(case, seed + 1)


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
@given(SEEDS)
def test_money_changes_only_through_prices_costs_financing_and_write_offs(seed: int) -> None:
    case = wild(seed)
    got = engine_record(case)
    first = np.broadcast_to(case.prices["close"][:1, None], got["units"][:1].shape)
    start = np.broadcast_to(case.rules["initial_balance"], (1, 64))
    units = np.concatenate([np.zeros_like(got["units"][:1]), got["units"]])
    mark = np.concatenate([first, got["mark"]])
    equity = np.concatenate([start, got["equity"]])
    moves = (units[:-1] * np.diff(mark, axis=0)).sum(-1)
    fees = sum(got[f"{leg}.fee"].sum(-1) for leg in LEGS)
    traded = sum(got[f"{leg}.units"] for leg in LEGS)
    bought = sum(got[f"{leg}.units"] * (mark[1:] - got[f"{leg}.price"]) for leg in LEGS).sum(-1)
    expected = moves + bought - fees - got["interest"] - got["borrow"] + got["written_off"]
    scale = equity[:-1] + (np.abs(units[:-1]) * mark[:-1]).sum(-1) + np.abs(moves) + np.abs(bought)
    assert np.all(np.abs(np.diff(equity, axis=0) - expected) <= 1e-11 * scale)
    assert np.all(np.abs(np.diff(units, axis=0) - traded) * mark[1:] <= 1e-11 * scale[..., None])


@settings(max_examples=EXAMPLES)
@given(SEEDS)
def test_closed_profits_and_open_flows_add_up_to_the_cash(seed: int) -> None:
    case = wild(seed)
    got = engine_record(case)
    profit = np.cumsum(sum(got[f"{leg}.profit"].sum(-1) for leg in LEGS), axis=0)
    lifted = np.cumsum(got["written_off"], axis=0)
    had_longs = np.concatenate([np.zeros((1, 64), bool), (got["units"] > 0.0).any(-1)[:-1]])
    unborne = np.cumsum(np.where(had_longs, 0.0, got["interest"]), axis=0)
    expected = case.rules["initial_balance"] + profit + got["flow"].sum(-1) + lifted - unborne
    scale = case.rules["initial_balance"] + np.abs(got["flow"]).sum(-1) + lifted
    assert np.all(np.abs(got["cash"] - expected) <= 1e-9 * scale)


@settings(max_examples=EXAMPLES)
@given(SEEDS)
def test_order_fills_pay_exactly_the_spread_they_report(seed: int) -> None:
    case = wild(seed)
    got = engine_record(case)
    fill = got["order.units"] != 0.0
    paid = got["order.units"] * (got["order.price"] - case.prices["open"][1:, None])
    assert np.all(got["order.spread"][fill] >= 0.0)
    assert got["order.spread"][fill] == pytest.approx(paid[fill], rel=1e-6)


@settings(max_examples=EXAMPLES)
@given(SEEDS)
def test_limits_hold_on_every_bar(seed: int) -> None:
    """Gross after an opening stays within leverage x equity after costs; no stop is passed over."""
    case = wild(seed)
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
@given(SEEDS)
def test_flat_pays_nothing_under_any_rules(seed: int) -> None:
    case = wild(seed)
    case = case.with_orders(np.zeros_like(case.kind), np.zeros_like(case.value))
    got = engine_record(case)
    assert np.all(got["equity"] == case.rules["initial_balance"])
    assert np.all(got["cash"] == case.rules["initial_balance"])
    for name in ("log_return", "turnover", "interest", "borrow", "drawdown", "written_off"):
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
@given(SEEDS, st.integers(2, 198))
def test_past_does_not_know_the_future(seed: int, t: int) -> None:
    """New bars after t, and new orders from the close of t on, move nothing at or before t."""
    case, other = wild(seed), wild(seed + 7)

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
    )
    before, after = engine_record(case), engine_record(changed)
    moved = 0
    for name, values in before.items():
        assert np.array_equal(values[:t], after[name][:t]), name
        moved += not np.array_equal(values[t:], after[name][t:])
    assert moved > 10


def accounts_of(case: Case, chosen: np.ndarray) -> Case:
    return replace(
        case,
        rules={name: values[chosen] for name, values in case.rules.items()},
        kind=case.kind[:, chosen],
        value=case.value[:, chosen],
    )


def test_bits_do_not_depend_on_the_place_in_the_batch() -> None:
    case = wild(3)
    order = np.roll(np.arange(64), 17)[::-1]
    whole, moved = engine_record(case), engine_record(accounts_of(case, order))
    for name, values in whole.items():
        assert np.array_equal(values[:, order], moved[name]), name


def test_one_account_step_by_step_scanned_and_in_a_batch_has_the_same_bits() -> None:
    case = wild(3)
    batch = engine_record(case)
    for n in (0, 29, 63):
        alone = accounts_of(case, np.array([n]))
        scanned = engine_record(alone)
        for name, values in scanned.items():
            assert np.array_equal(values, batch[name][:, [n]]), name
        bars, params, orders = engine_bars(alone), engine_params(alone), engine_orders(alone)
        account = rules.open_account(params, 1, 3, 2, bars.table[0, 3][None])
        row = jax.jit(lambda bars, t: bars.row(t))
        for t in range(1, 201):
            due = Orders(orders.kind[t - 1], orders.value[t - 1])
            account, result = rules.step_jit(account, due, row(bars, jnp.full(1, t)), params)
            for name in ("equity", "cash", "units", "entry", "best", "flow", "peak", "held"):
                assert np.array_equal(getattr(account, name), batch[name][t - 1, [n]]), (name, t)
            for name in ("log_return", "turnover", "interest", "borrow", "status"):
                assert np.array_equal(getattr(result, name), batch[name][t - 1, [n]]), (name, t)
