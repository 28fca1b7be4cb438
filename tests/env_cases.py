"""Small environments for tests: bars from numpy, a config from a few keys, actions in one scan."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from config_cases import base_tree, put
from truefill.config.load import parse_config
from truefill.config.schema import AgentConfig, Config, NetworkConfig, Window
from truefill.data.no_trade import rules_id
from truefill.data.split import SplitArrays
from truefill.data.windows import in_daily
from truefill.env import episodes
from truefill.env.episodes import EnvArrays, EnvSpec, EnvState, Transition
from truefill.env.rewards import Step
from truefill.env.setup import Environment, make_environment
from truefill.market.types import Array

START_S = 1_577_836_800
HOUR_S = 3_600
NO_COSTS = {
    "market.fee_bps": 0, "market.half_spread_bps": 0, "market.slippage_bps": 0,
    "market.interest_rate_annual": 0, "market.borrow_rate_annual": 0,
}  # fmt: skip


def agent_of(**network: Any) -> AgentConfig:
    """The learner whose network is so."""
    return AgentConfig(network=NetworkConfig(**network))


def config_of(keys: dict[str, Any] | None = None) -> Config:
    """The base config with ``keys`` ("a.b.c" -> value) set."""
    tree = base_tree()
    for key, value in (keys or {}).items():
        put(tree, key, deepcopy(value))
    return parse_config(tree)


def split_of(
    close: Any,
    *,
    opens: Any = None,
    wick: float = 0.0,
    features: np.ndarray | None = None,
    present: np.ndarray | None = None,
) -> SplitArrays:
    """Bars of ``close`` [T] or [T, S]; each opens where the last one closed unless ``opens`` says
    otherwise. ``features`` [T, S, F]; by default one that holds the bar's number."""
    close = np.asarray(close, np.float64)
    close = close[:, None] if close.ndim == 1 else close
    T, S = close.shape
    first = np.concatenate([close[:1], close[:-1]])
    first = first if opens is None else np.asarray(opens, np.float64).reshape(T, S)
    if features is None:
        features = np.repeat(np.arange(T, dtype=np.float32)[:, None, None], S, axis=1)
    phase = 2.0 * np.pi * np.arange(T) / 24.0
    clock = np.stack([np.sin(phase), np.cos(phase), np.sin(phase / 7), np.cos(phase / 7)], axis=1)
    return SplitArrays(
        name="train",
        symbols=tuple(f"S{s}" for s in range(S)),
        timestamps_s=START_S + HOUR_S * np.arange(T, dtype=np.int64),
        open=first,
        high=np.maximum(first, close) * (1.0 + wick),
        low=np.minimum(first, close) * (1.0 - wick),
        close=close,
        volume=np.ones((T, S)),
        present=np.ones((T, S), bool) if present is None else present,
        atr=np.full((T, S), 0.01) * close,
        features=features.astype(np.float32),
        feature_names=tuple(f"f{f}" for f in range(features.shape[2])),
        clock=clock.astype(np.float32),
        interval_s=float(HOUR_S),
        periods_per_year=8_766.0,
    )


def random_split(
    seed: int, *, bars: int = 40, symbols: int = 2, masked: float = 0.1
) -> SplitArrays:
    """A jumpy path with gaps, wicks, masked bars and three random features."""
    rng = np.random.default_rng(seed)
    shape = (bars, symbols)
    moves = rng.normal(0.0, 0.02, shape) + np.where(rng.random(shape) < 0.03, -0.2, 0.0)
    close = 100.0 * np.exp(np.cumsum(moves, axis=0))
    opens = np.concatenate([close[:1], close[:-1]]) * np.exp(rng.normal(0.0, 0.005, shape))
    present = rng.random(shape) >= masked
    present[0] = True
    features = rng.normal(size=(*shape, 3))
    return split_of(close, opens=opens, wick=0.01, features=features, present=present)


def with_windows(split: SplitArrays, config: Config) -> SplitArrays:
    """``split`` as the dataset stage would close it by the daily windows of ``config``."""
    rules = config.market.no_trade
    closed = np.zeros(split.present.shape, bool)
    for rule in rules:
        assert isinstance(rule, Window)
        closed |= in_daily(rule, split.timestamps_s)[:, None]
    return replace(split, closed=closed & split.present, closed_by=rules_id(rules))


def environment(
    split: SplitArrays, keys: dict[str, Any] | None = None, stage: Any = "train"
) -> Environment:
    return make_environment(config_of(keys), split, stage)


@partial(jax.jit, static_argnames="spec")
def _play(
    arrays: EnvArrays, start: Array, actions: Array, *, spec: EnvSpec
) -> tuple[EnvState, Transition, Array]:
    first = episodes.reset(spec, arrays, start)

    def one_bar(state: EnvState, action: Array) -> tuple[EnvState, Any]:
        seen = episodes.observe(spec, arrays, state)
        after, done = episodes.advance(spec, arrays, state, action)
        return after, (state, done, seen.values)

    return jax.lax.scan(one_bar, first, actions)[1]


def play(env: Environment, actions: Any, start: int | None = None) -> tuple[Any, Any, np.ndarray]:
    """Play ``actions`` [T, N, S] without resets; returns states BEFORE each step, transitions and
    observations [T, size, N], stacked over T."""
    actions = np.asarray(actions)
    kind = np.int32 if env.spec.decoder.discrete else np.float32
    begin = env.spec.first_bar if start is None else start
    starts = jnp.full(actions.shape[1], begin, jnp.int32)
    played = _play(env.arrays, starts, jnp.asarray(actions.astype(kind)), spec=env.spec)
    states, done, values = jax.tree.map(np.asarray, played)
    return states, done, values


def steps_of(env: Environment, states: Any, done: Any) -> Step:
    """What each reward term saw, [T, N]."""
    return Step(
        before=states.account._replace(queue=None),
        result=done.result,
        old=states.moments,
        new=done.final.moments,
        gamma=env.arrays.reward.gamma,
        ended=done.terminated,
    )
