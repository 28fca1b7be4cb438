"""Change anything after bar t: no observation, fill, reward or equity up to t moves a bit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from env_cases import environment, play, random_split
from truefill.data.split import SplitArrays

BARS = 40
KEYS: dict[str, Any] = {
    "market.allow_short": True,
    "env.action.kind": "short_flat_long",
    "market.decision_lag": 2,
    "market.max_leverage": 2.0,
    "market.stop_loss": 0.05,
    "market.trailing_stop": {"distance": 0.04},
    "env.window_bars": 3,
    "env.drawdown_limit": 0.3,
    "env.reward.drawdown": 0.3,
    "env.reward.differential_sharpe": 0.3,
    "env.state_features": [
        "position", "unrealized_pnl", "stop_proximity", "target_proximity", "bars_held", "drawdown",
        "cash_share", "hour_sin",
    ],
}  # fmt: skip
ATR = {"market.stop_loss": None, "market.trailing_stop": None, "market.atr_stops": {}}


def after(split: SplitArrays, other: SplitArrays, t: int) -> SplitArrays:
    """``split`` up to bar t, ``other`` from t + 1 on; the clock is told by the timestamps."""
    names = ("open", "high", "low", "close", "present", "atr", "features")
    cut = {
        n: np.concatenate([getattr(split, n)[: t + 1], getattr(other, n)[t + 1 :]]) for n in names
    }
    return replace(split, **cut)


@given(st.integers(0, 10_000), st.integers(2, BARS - 3), st.booleans())
@settings(max_examples=30)
def test_the_past_does_not_know_the_future(seed: int, t: int, atr: bool) -> None:
    keys = {**KEYS, **ATR} if atr else KEYS
    split = random_split(seed, bars=BARS)
    changed = after(split, random_split(seed + 77_777, bars=BARS), t)
    actions = np.random.default_rng(seed).integers(0, 3, (BARS - 1 - 2, 4, 2))
    one, other = (play(environment(s, keys), actions) for s in (split, changed))
    seen = t - 2 + 1  # observations of bars 2 .. t: play starts at bar 2
    assert np.array_equal(one[2][:seen], other[2][:seen])
    stepped = seen - 1  # steps that end at bar t or before
    for a, b in zip(leaves(one, stepped), leaves(other, stepped), strict=True):
        assert np.array_equal(a, b)
    assert not np.array_equal(one[2][seen:], other[2][seen:])


def leaves(played: tuple[Any, Any, np.ndarray], rows: int) -> list[np.ndarray]:
    return [x[:rows] for x in jax.tree.leaves(played[1])]


@given(st.integers(0, 10_000))
@settings(max_examples=15)
def test_rewards_add_up_to_the_log_of_equity(seed: int) -> None:
    """Base term, no clip: the sum over any span is log(equity after / equity before)."""
    keys = {
        "market.allow_short": True,
        "env.action.kind": "short_flat_long",
        "env.reward.clip": None,
        "env.reward.scale": 1.0,
    }
    env = environment(random_split(seed, bars=BARS), keys)
    actions = np.random.default_rng(seed).integers(0, 3, (BARS - 1, 4, 2))
    states, done, _ = play(env, actions)
    total = done.reward.astype(np.float64).sum(axis=0)
    expected = np.log(done.final.account.equity[-1] / states.account.equity[0])
    np.testing.assert_allclose(total, expected, atol=1e-6)
