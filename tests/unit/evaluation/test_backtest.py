"""A backtest is a replay of the orders the policy gave; its trades add up to its equity."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest

from env_cases import config_of
from truefill.core.errors import PolicyError
from truefill.data.split import SplitArrays
from truefill.env.setup import Environment, make_environment
from truefill.evaluation.backtest import (
    Trace,
    backtest,
    replay_equity,
    replay_orders,
)
from truefill.market.replay import replay
from truefill.market.types import Account, OrderKind, Orders, Route
from unit.evaluation.backtest_cases import (
    BARS,
    CONTRACT,
    DECODERS,
    EVERYTHING,
    KINDS,
    LAG,
    WINDOW,
    busy,
    drawn,
    env_of,
    market,
    policy_of,
)


def same_bits(a: Trace, b: Trace) -> None:
    for field in fields(Trace):
        one, two = getattr(a, field.name), getattr(b, field.name)
        if isinstance(one, np.ndarray):
            assert one.dtype == two.dtype, field.name
            assert one.tobytes() == two.tobytes(), field.name
        elif isinstance(one, pl.DataFrame):
            assert one.equals(two), field.name
        else:
            assert one == two, field.name


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_backtest_is_the_replay_of_its_orders_bit_for_bit(kind: str, seed: int) -> None:
    split = market(seed)
    assert not split.present.all()
    env = env_of(split, DECODERS[kind])
    actions = drawn(kind, seed)
    [trace] = backtest(policy_of(actions), env, split, CONTRACT)
    orders = env.spec.decoder.orders(jnp.asarray(actions))
    kinds, values = np.asarray(orders.kind)[None], np.asarray(orders.value)[None]
    [again] = replay_orders(kinds, values, env, split)
    same_bits(trace, again)
    assert trace.trades.height > 10
    assert trace.cost.sum() > 0.0
    np.testing.assert_array_equal(replay_equity(kinds, values, env)[0], trace.equity)


def test_rows_start_at_the_first_full_window_with_the_balance() -> None:
    split = market(0)
    env = env_of(split, {**DECODERS["short_flat_long"], "evaluation.initial_balance": 500.0})
    [trace] = backtest(policy_of(drawn("short_flat_long", 0)), env, split, CONTRACT)
    assert len(trace.equity) == BARS - (WINDOW - 1)
    np.testing.assert_array_equal(trace.timestamps_s, split.timestamps_s[WINDOW - 1 :])
    assert trace.equity[0] == 500.0
    assert not trace.weights[: 1 + LAG - 1].any()  # decided at row 0, filled LAG bars later
    curve = trace.curve("validation", "me")
    assert curve["equity"].to_list() == trace.equity.tolist()
    peak = np.maximum.accumulate(trace.equity)
    np.testing.assert_array_equal(curve["drawdown"], 1.0 - trace.equity / peak)
    assert curve["cost"][-1] == pytest.approx(trace.cost.sum())


def test_each_scenario_has_the_bits_it_has_alone() -> None:
    split, keys = market(3), DECODERS["short_flat_long"]
    policy = policy_of(drawn("short_flat_long", 3))
    cells = [(1.0, 0.0), (2.0, 0.0), (1.0, 10.0)]
    multiples, extras = (tuple(column) for column in zip(*cells, strict=True))
    many = env_of(split, keys, cost_multiples=multiples, extra_slippage_bps=extras)
    together = backtest(policy, many, split, CONTRACT)
    for (multiple, extra), trace in zip(cells, together, strict=True):
        one = env_of(split, keys, cost_multiples=(multiple,), extra_slippage_bps=(extra,))
        same_bits(trace, backtest(policy, one, split, CONTRACT)[0])
    plain = backtest(policy, env_of(split, keys), split, CONTRACT)[0]
    same_bits(together[0], plain)
    assert together[1].equity[-1] < plain.equity[-1]
    assert together[2].equity[-1] < plain.equity[-1]


def test_another_contract_is_refused() -> None:
    split = market(0)
    env = env_of(split, DECODERS["short_flat_long"])
    with pytest.raises(PolicyError, match="the policy's feature contract is cccccccccccc, the"):
        backtest(policy_of(drawn("short_flat_long", 0)), env, split, "d" * 64)


@pytest.mark.parametrize("call", ["backtest", "replay_orders", "replay_equity"])
def test_a_soft_market_is_refused(call: str) -> None:
    split = market(0)
    env = env_of(split, DECODERS["short_flat_long"])
    kind, value = np.zeros((1, BARS, 2), np.int32), np.zeros((1, BARS, 2))
    policy = policy_of(drawn("short_flat_long", 0))
    calls: dict[str, Callable[[Environment], Any]] = {
        "backtest": lambda env: backtest(policy, env, split, CONTRACT),
        "replay_orders": lambda env: replay_orders(kind, value, env, split),
        "replay_equity": lambda env: replay_equity(kind, value, env),
    }
    calls[call](env)
    soft = env.arrays.market._replace(temperature=jnp.asarray(0.1))
    melted = replace(env, arrays=env.arrays._replace(market=soft))
    with pytest.raises(PolicyError, match="soft fills are for gradients only"):
        calls[call](melted)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_with_everything_on_the_columns_of_a_trace_are_where_the_cash_went(seed: int) -> None:
    split, rng = busy(seed), np.random.default_rng(seed + 100)
    env = make_environment(config_of(EVERYTHING), split, "backtest", routes=True)
    shape = (3, *split.close.shape)
    kind = rng.choice([*[OrderKind.HOLD] * 4, *OrderKind], shape).astype(np.int32)
    value = rng.uniform(-1.0, 1.0, shape)
    value = np.where(kind == OrderKind.UNITS, 30.0 * value, value)
    value = np.where(kind == OrderKind.NOTIONAL, 8_000.0 * value, value)
    route = Route(
        rng.integers(0, 4, shape).astype(np.int32),
        split.close * np.exp(rng.normal(0.0, 0.01, shape)),
        rng.random(shape) < 0.5,
    )
    traces = replay_orders(kind, value, env, split, route)
    rows = jax.tree.map(
        lambda x: jnp.asarray(np.swapaxes(x, 0, 1)[:-1]), Orders(kind, value, route)
    )
    account, result = replay(env.arrays.bars, env.arrays.market, rows, lag=2)
    legs = result.legs
    assert len(legs) == 5 and env.spec.first_bar == 0
    for n, trace in enumerate(traces):
        cash = np.asarray(account.cash)[:, n]
        lifted = np.cumsum(np.asarray(result.written_off)[:, n])
        traded = sum(
            (-np.sign(leg.units[:, n]) * leg.notional[:, n] - leg.fee[:, n]).sum(-1) for leg in legs
        )
        moved = np.cumsum(traded - trace.financing[1:] + trace.dividends[1:])
        np.testing.assert_allclose(cash, trace.equity[0] + moved + lifted, rtol=1e-9)
        bar_of = {stamp: t for t, stamp in enumerate(split.timestamps_s[1:] * 1_000_000)}
        profit = np.zeros(len(cash))
        stamps = trace.trades["exit_time"].dt.epoch("us").to_list()
        for stamp, earned in zip(stamps, trace.trades["net_profit"], strict=True):
            profit[bar_of[stamp]] += earned
        flow = np.asarray(account.flow)[:, n].sum(-1)
        held = np.asarray(account.units)[:-1, n, 0] > 0.0  # S1 is a derivative, bears no interest
        borne = np.concatenate([[False], held])
        unborne = np.cumsum(np.where(borne, 0.0, np.asarray(result.interest)[:, n]))
        expected = trace.equity[0] + np.cumsum(profit) + flow + lifted - unborne
        np.testing.assert_allclose(cash, expected, rtol=1e-9, atol=1e-6)
    seen = set().union(*(trace.trades["reason"].unique().to_list() for trace in traces))
    assert {"order", "gap_stop", "take_profit", "stop_loss", "delisted"} <= seen
    assert np.any(result.at_cap.units)
    assert sum(trace.resolved for trace in traces) > 0
    assert all(trace.financing.any() and trace.dividends.any() for trace in traces)
    units_match(traces, account, split)


def units_match(traces: list[Trace], account: Account, split: SplitArrays) -> None:
    """Every trade that ends has the side and age that the account had."""
    for n, trace in enumerate(traces):
        assert trace.trades.height > 40
        units = np.asarray(account.units)[:, n]
        at = {stamp: t for t, stamp in enumerate(split.timestamps_s[1:] * 1_000_000)}
        for row in trace.trades.iter_rows(named=True):
            s = split.symbols.index(row["symbol"])
            entry, leave = (at[round(row[k].timestamp()) * 1_000_000]
                            for k in ("entry_time", "exit_time"))  # fmt: skip
            between = units[entry:leave, s]
            assert np.all(np.sign(between) == row["side"]), row
