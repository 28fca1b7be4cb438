"""What every registered state feature must be: finite, in its declared range, neutral when flat."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from env_cases import NO_COSTS, environment, play, random_split, split_of
from truefill.core.errors import ConfigError
from truefill.env.episodes import EnvSpec
from truefill.env.setup import QUEUE_FEATURES
from truefill.env.state_features import STATE_FEATURES
from truefill.market.types import EQUITY_FLOOR, OrderKind

BARS, SYMBOLS, LAG = 40, 2, 3
EVERY = [entry.name for entry in STATE_FEATURES if entry.name not in QUEUE_FEATURES]
KEYS: dict[str, Any] = {
    "market.allow_short": True,
    "market.decision_lag": LAG,
    "market.max_leverage": 5.0,
    "market.max_weight": 4.0,
    "market.maintenance_margin": 0.01,
    "market.no_trade_band": 0.01,
    "market.stop_loss": 0.05,
    "market.take_profit": 0.08,
    "market.trailing_stop": {"distance": 0.04},
    "market.max_hold_bars": 9,
    "env.action": {"kind": "target_weight", "params": {"scale": 5.0}},
    "env.state_features": EVERY,
}
TOLERANCE = 1e-6
"""float32, and weights x prices that add up to 1 only to the last bits."""


def columns(spec: EnvSpec, values: np.ndarray) -> dict[str, np.ndarray]:
    """The state part of observations [T, size, N] by feature, [T, width, N]."""
    at = spec.window * spec.num_features
    found = {}
    for name in spec.state_features:
        width = spec.width(name)
        found[name] = values[:, at : at + width]
        at += width
    assert at == values.shape[1] == spec.observation_size
    return found


def actions(seed: int, accounts: int = 6) -> np.ndarray:
    """Weights that are held for a few bars each; the first account never trades."""
    rng = np.random.default_rng(seed)
    rows = rng.uniform(-1.2, 1.2, (BARS // 4, accounts, SYMBOLS))
    rows = np.where(rng.random(rows.shape) < 0.3, 0.0, rows)
    rows[:, 0] = 0.0
    return np.repeat(rows, 4, axis=0)[: BARS - 1]


@given(st.integers(0, 10_000))
@settings(max_examples=15)
def test_every_feature_is_finite_in_range_and_neutral_when_flat(seed: int) -> None:
    env = environment(random_split(seed, bars=BARS), KEYS)
    states, _, values = play(env, actions(seed))
    assert values.dtype == np.float32
    assert np.isfinite(values).all()
    for name, column in columns(env.spec, values).items():
        facts = STATE_FEATURES.get(name).facts
        assert column.min() >= facts["low"] - TOLERANCE, name
        assert column.max() <= facts["high"] + TOLERANCE, name
        if facts["flat"] is None:
            continue
        # The flat account's queue holds orders for weight 0: asked for, worth nothing.
        own = column[:, :, 0] if name != "pending_kind" else column[0]
        assert (own == facts["flat"]).all(), name
        if facts["per_symbol"] and name not in QUEUE_FEATURES:
            flat = states.account.units.transpose(0, 2, 1) == 0.0
            assert (column[flat] == facts["flat"]).all(), name
            assert (column[~flat] != facts["flat"]).any(), f"{name} never moved"


def test_a_ruined_account_is_still_seen_in_range() -> None:
    """Leverage 4 into a fall of 70 %: equity at its floor, nothing runs away."""
    close = np.full(12, 100.0)
    close[6:] = 30.0
    split = split_of(np.stack([close, close], axis=1))
    off = {"market.stop_loss": None, "market.trailing_stop": None, "market.take_profit": None}
    env = environment(split, {**KEYS, **off, "market.max_hold_bars": None})
    states, done, values = play(env, np.ones((11, 1, SYMBOLS)))
    assert done.result.ruined.any()
    assert states.account.equity.min() == pytest.approx(10_000.0 * EQUITY_FLOOR)
    assert np.isfinite(values).all()
    for name, column in columns(env.spec, values).items():
        facts = STATE_FEATURES.get(name).facts
        assert column.min() >= facts["low"] - TOLERANCE, name
        assert column.max() <= facts["high"] + TOLERANCE, name


def single(keys: dict[str, Any], close: list[float]) -> dict[str, np.ndarray]:
    """Long at weight 1 from the open of bar 1, no costs; [T] by feature, read before each step."""
    shared = {**NO_COSTS, "env.action.kind": "flat_long", "env.state_features": EVERY}
    env = environment(split_of(close), {**shared, **keys})
    _, _, values = play(env, np.ones((len(close) - 1, 1, 1)))
    return {name: column[:, 0, 0] for name, column in columns(env.spec, values).items()}


def test_values_by_hand() -> None:
    keys = {"market.stop_loss": 0.2, "market.take_profit": 0.4, "market.max_hold_bars": 10}
    seen = single(keys, [100.0, 110.0, 90.0, 95.0])
    assert seen["position"] == pytest.approx([0.0, 1.0, 1.0])
    assert seen["unrealized_pnl"] == pytest.approx([0.0, 0.1, -0.1])
    assert seen["stop_proximity"] == pytest.approx([1.0, 0.75, 0.25])  # (mark - 80) / 40
    assert seen["target_proximity"] == pytest.approx([0.0, 0.25, 0.0])
    assert seen["bars_held"] == pytest.approx([0.0, 0.1, 0.2])
    assert seen["drawdown"] == pytest.approx([0.0, 0.0, 2.0 / 11.0])
    assert seen["cash_share"] == pytest.approx([1.0, 0.0, 0.0], abs=1e-6)
    assert seen["hour_sin"] == pytest.approx(np.sin(2 * np.pi * np.arange(3) / 24), abs=1e-6)
    assert seen["hour_cos"] == pytest.approx(np.cos(2 * np.pi * np.arange(3) / 24), abs=1e-6)


def test_stop_proximity_without_a_stop_and_with_a_trailing_one_only() -> None:
    assert single({}, [100.0, 110.0, 90.0, 95.0])["stop_proximity"] == pytest.approx([1.0] * 3)
    trailing = {"market.trailing_stop": {"distance": 0.2}}
    # Best price 110 (bar 1's high) -> stop 88; (110 - 88) / 100 / 0.2 / 2 = 0.55, then 0.15.
    seen = single(trailing, [100.0, 110.0, 94.0, 95.0])["stop_proximity"]
    assert seen == pytest.approx([1.0, 0.55, 0.15])


def test_bars_held_without_a_limit_is_a_share_of_864_bars() -> None:
    assert single({}, [100.0] * 4)["bars_held"] == pytest.approx([0.0, 1 / 864, 2 / 864])


def test_a_lag_of_two_adds_the_queue_to_the_observation_asked_for_or_not() -> None:
    split = split_of(np.full((6, SYMBOLS), 100.0))
    keys = {"market.no_trade_band": 0.01, "env.action.kind": "target_weight"}
    one = environment(split, keys).spec
    two = environment(split, {**keys, "market.decision_lag": 2})
    assert two.spec.state_features == (*one.state_features, "pending", "pending_kind")
    assert two.spec.observation_size == one.observation_size + 2 * SYMBOLS
    row = np.asarray([[0.25, 0.5]])
    _, _, values = play(two, np.stack([row, row, row, row, row]))
    seen = columns(two.spec, values)
    assert seen["pending"][:, :, 0].tolist() == [[0.0, 0.0]] + [[0.25, 0.5]] * 4
    weight = pytest.approx(OrderKind.WEIGHT / max(OrderKind))
    assert seen["pending_kind"][:, :, 0].tolist() == [[0.0, 0.0]] + [[weight, weight]] * 4


def test_a_decision_interval_adds_its_phase_to_the_observation() -> None:
    keys = {"env.action.kind": "flat_long", "market.decision_interval_bars": 3}
    env = environment(split_of([100.0] * 8), keys)
    assert env.spec.state_features[-1] == "decision_phase"
    states, _, values = play(env, np.asarray([0, 0, 1, 1, 0, 0, 0])[:, None, None])
    phase = columns(env.spec, values)["decision_phase"][:, 0, 0]
    assert phase == pytest.approx([0, 1 / 3, 2 / 3, 0, 1 / 3, 2 / 3, 0])
    # Only what is asked for at phase 0 is done: long from bar 4, flat again from bar 7.
    assert (states.account.units[:, 0, 0] > 0.0).tolist() == [False] * 4 + [True] * 3


def test_the_queue_is_refused_where_nothing_waits() -> None:
    with pytest.raises(ConfigError, match="decision_lag of 2"):
        environment(split_of([100.0] * 4), {"env.action.kind": "flat_long",
                                            "env.state_features": ["pending"]})  # fmt: skip
    with pytest.raises(ConfigError, match="drawdown"):
        environment(split_of([100.0] * 4), {"env.action.kind": "flat_long",
                                            "env.state_features": ["drawdwn"]})  # fmt: skip
