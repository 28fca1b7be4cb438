"""A backtest is a replay of the orders the policy gave; its trades add up to its equity."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest

from env_cases import NO_COSTS, config_of, random_split, split_of
from truefill.core.errors import PolicyError
from truefill.data.split import SplitArrays
from truefill.env.setup import Environment, make_environment
from truefill.evaluation.backtest import (
    TRADES,
    Trace,
    backtest,
    closed_trades,
    replay_equity,
    replay_orders,
)
from truefill.market.types import Array, ExitReason, Leg, OrderKind

CONTRACT = "c" * 64
WINDOW, LAG, BARS = 3, 2, 120
COSTS = {"market.fee_bps": 7, "market.half_spread_bps": 3, "market.slippage_bps": 2,
         "market.interest_rate_annual": 0.5, "market.borrow_rate_annual": 0.4}  # fmt: skip


@dataclass(frozen=True)
class TableOfActions:
    """Looks its action up by the bar's number, which is the last feature of the window.

    ``decide`` returns [S, N] and refuses (with NaN) a window that does not end at the bar.
    """

    parameters: dict[str, Array]
    contract_sha256: str = CONTRACT

    @staticmethod
    def decide(parameters: dict[str, Array], values: Array, legal: Array | None) -> Array:
        rows = values[: parameters["offsets"].shape[0]]
        bar = rows[-1].astype(jnp.int32)
        table = parameters["table"]
        action = table[bar].T
        right = jnp.all(rows == rows[-1] + parameters["offsets"][:, None], axis=0)
        return jnp.where(right, action, jnp.asarray(99, action.dtype))


def numbered(split: SplitArrays) -> np.ndarray:
    """Features [T, S, 1] that hold the bar's number."""
    bars, symbols = split.close.shape
    return np.broadcast_to(np.arange(bars, dtype=np.float32)[:, None, None], (bars, symbols, 1))


def market(seed: int, bars: int = BARS) -> SplitArrays:
    """Two symbols with gaps and masked bars, features that count bars."""
    base = random_split(seed, bars=bars, masked=0.15)
    return split_of(
        base.close, opens=base.open, wick=0.01, features=numbered(base), present=base.present
    )


def env_of(split: SplitArrays, keys: dict[str, Any], **scenarios: Any) -> Environment:
    base = {"market.allow_short": True, "market.max_leverage": 2.0, "market.max_weight": 2.0,
            "env.window_bars": WINDOW, "market.decision_lag": LAG, **COSTS}  # fmt: skip
    return make_environment(config_of({**base, **keys}), split, "backtest", **scenarios)


def policy_of(actions: np.ndarray, window: int = WINDOW, symbols: int = 2) -> TableOfActions:
    """``actions`` [T, S]."""
    offsets = np.repeat(np.arange(1 - window, 1, dtype=np.float32), symbols)
    return TableOfActions({"table": jnp.asarray(actions), "offsets": jnp.asarray(offsets)})


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


DECODERS = {
    "short_flat_long": {"env.action": {"kind": "short_flat_long", "params": {"size": 0.7}},
                        "market.stop_loss": 0.05, "market.take_profit": 0.08,
                        "market.min_hold_bars": 2},
    "target_weight": {"env.action": {"kind": "target_weight"}, "market.no_trade_band": 0.05,
                      "market.atr_stops": {}, "market.decision_interval_bars": 3},
}  # fmt: skip


def drawn(kind: str, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if kind == "short_flat_long":
        return rng.integers(0, 3, (BARS, 2)).astype(np.int32)
    return rng.uniform(-1.2, 1.2, (BARS, 2)).astype(np.float32)


@pytest.mark.parametrize("kind", DECODERS)
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


# ---- trades


def replayed(
    closes: list[float], orders: list[tuple[OrderKind, float]], **keys: Any
) -> tuple[Trace, SplitArrays]:
    """One symbol, lag 1, window 1, free of costs unless ``keys`` say otherwise; each bar opens at
    the last close, so an order of row t fills at closes[t]."""
    split = split_of(closes)
    base = {"market.allow_short": True, "market.max_leverage": 3.0, "market.max_weight": 3.0,
            "market.maintenance_margin": 0.0, **NO_COSTS}  # fmt: skip
    named = {key.replace("__", "."): value for key, value in keys.items()}
    env = make_environment(config_of({**base, **named}), split, "backtest")
    kind = np.zeros((1, len(closes), 1), np.int32)
    value = np.zeros((1, len(closes), 1))
    for t, (k, v) in enumerate(orders):
        kind[0, t, 0], value[0, t, 0] = k, v
    return replay_orders(kind, value, env, split)[0], split


HOLD = (OrderKind.HOLD, 0.0)


def units(value: float) -> tuple[OrderKind, float]:
    return (OrderKind.UNITS, value)


@pytest.mark.parametrize("kind", DECODERS)
@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_profits_of_trades_are_the_change_of_equity(kind: str, seed: int) -> None:
    """Flat at the end: every cent is in a closed trade, interest and borrow fees included."""
    base = market(seed)
    last = np.ones_like(base.present)
    last[:-8] = base.present[:-8]
    split = split_of(base.close, opens=base.open, wick=0.01, features=numbered(base), present=last)
    keys = {**DECODERS[kind], "market.min_hold_bars": 0, "market.decision_interval_bars": 1}
    actions = drawn(kind, seed)
    actions[-8:] = 1 if kind == "short_flat_long" else 0.0
    [trace] = backtest(policy_of(actions), env_of(split, keys), split, CONTRACT)
    assert not trace.weights[-1].any()
    assert trace.financing.sum() > 0.0
    earned = trace.trades["net_profit"].sum()
    assert earned == pytest.approx(trace.equity[-1] - trace.equity[0], rel=1e-9)


def test_an_open_position_is_the_rest_of_the_change_of_equity() -> None:
    closes = [100.0, 100.0, 110.0, 120.0, 90.0, 95.0]
    trace, _ = replayed(closes, [units(10.0), HOLD, units(0.0), units(-5.0)])
    assert trace.trades["net_profit"].to_list() == pytest.approx([100.0])
    assert trace.equity[-1] - trace.equity[0] == pytest.approx(100.0 + 5.0 * (120.0 - 95.0))


def test_a_reversal_is_two_trades() -> None:
    closes = [100.0, 100.0, 110.0, 120.0, 90.0, 90.0]
    orders = [units(10.0), HOLD, units(-4.0), HOLD, units(0.0)]
    trace, split = replayed(closes, orders, market__fee_bps=100)
    first, second = trace.trades.rows(named=True)
    at = [stamp * 1_000_000 for stamp in split.timestamps_s]
    stamps = trace.trades.select(pl.col("entry_time", "exit_time").dt.epoch("us")).rows()
    assert stamps == [(at[1], at[3]), (at[3], at[5])]
    assert (first["side"], first["units"], first["entry_price"], first["exit_price"]) == (
        1, 10.0, 100.0, 110.0,
    )  # fmt: skip
    assert (second["side"], second["units"]) == (-1, pytest.approx(4.0))
    assert (second["entry_price"], second["exit_price"]) == (110.0, 90.0)
    assert [first["bars_held"], second["bars_held"]] == [2, 2]
    assert [first["reason"], second["reason"]] == ["order", "order"]
    # each trade pays its own part of the reversal's fee: 1 % of 10 x 110, and of 4 x 110
    assert first["net_profit"] == pytest.approx(100.0 - 10.0 - 11.0)
    assert second["net_profit"] == pytest.approx(80.0 - 4.4 - 3.6)
    assert first["return"] == pytest.approx(79.0 / 1_000.0)
    assert second["return"] == pytest.approx(72.0 / 440.0)


def test_adding_averages_the_entry_price_and_reducing_keeps_it() -> None:
    closes = [100.0, 110.0, 130.0, 130.0, 120.0, 120.0]
    orders = [units(10.0), units(30.0), units(15.0), units(0.0)]
    trace, _ = replayed(closes, orders)
    [trade] = trace.trades.rows(named=True)
    assert trade["entry_price"] == pytest.approx((10.0 * 100.0 + 20.0 * 110.0) / 30.0)
    assert trade["exit_price"] == pytest.approx(130.0)
    assert trade["units"] == pytest.approx(15.0)
    profit = 15.0 * 130.0 + 15.0 * 130.0 - 10.0 * 100.0 - 20.0 * 110.0
    assert trade["net_profit"] == pytest.approx(profit)
    assert trade["return"] == pytest.approx(profit / 3_200.0)
    assert trade["bars_held"] == 3


def test_a_stop_and_a_new_entry_are_separate_trades() -> None:
    closes = [100.0, 100.0, 80.0, 80.0, 88.0, 88.0]
    orders = [units(10.0), HOLD, units(5.0), HOLD, units(0.0)]
    trace, _ = replayed(closes, orders, market__stop_loss=0.1)
    assert trace.trades["reason"].to_list() == ["stop_loss", "order"]
    assert trace.trades["exit_price"].to_list() == pytest.approx([90.0, 88.0])
    assert trace.trades["entry_price"].to_list() == pytest.approx([100.0, 80.0])
    assert trace.trades["net_profit"].to_list() == pytest.approx([-100.0, 40.0])
    assert trace.equity[-1] - trace.equity[0] == pytest.approx(-60.0)


def test_trades_of_all_symbols_are_in_order_of_exit() -> None:
    split = market(5)
    env = env_of(split, DECODERS["short_flat_long"])
    [trace] = backtest(policy_of(drawn("short_flat_long", 5)), env, split, CONTRACT)
    assert trace.trades["exit_time"].is_sorted()
    assert set(trace.trades["symbol"]) == {"S0", "S1"}
    assert (trace.trades["exit_time"] >= trace.trades["entry_time"]).all()
    assert set(trace.trades["side"]) == {-1, 1}
    assert (trace.trades["units"] > 0.0).all()


def test_no_trades_is_an_empty_table_of_the_same_shape() -> None:
    trace, split = replayed([100.0] * 4, [HOLD])
    assert trace.trades.height == 0
    assert dict(trace.trades.schema) == TRADES
    assert trace.cost.sum() == 0.0
    nothing = Leg(*(np.zeros((3, 1)) for _ in Leg._fields))
    assert closed_trades((nothing,), split, 0).schema == trace.trades.schema
    assert ExitReason.NONE == 0
