"""The Gymnasium view is the training environment: same observations, rewards and endings."""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import truefill
from config_cases import base_tree, put
from truefill.config.load import parse_config
from truefill.config.schema import Config
from truefill.core.errors import SealedTestError, UsageError
from truefill.env import episodes
from truefill.env.gym_view import MarketVectorEnv


@partial(jax.jit, static_argnames="spec")
def step(arrays: Any, state: Any, action: Any, start: Any, *, spec: Any) -> Any:
    """One bar as training takes it."""
    return episodes.step(spec, arrays, state, action, start)


def small(**changes: object) -> Config:
    tree = base_tree()
    tree["env"] = {"action": {"kind": "flat_long"}, "episode_bars": 7}
    for key, value in changes.items():
        put(tree, key.replace("__", "."), value)
    return parse_config(tree)


@pytest.fixture(scope="module")
def env() -> MarketVectorEnv:
    return truefill.make_env(small(), num_envs=3)


def test_spaces_fit_what_comes_out(env: MarketVectorEnv) -> None:
    seen, _ = env.reset(seed=1)
    assert env.observation_space.contains(seen)
    assert env.single_action_space == gymnasium.spaces.Discrete(2)
    seen, reward, terminated, truncated, _ = env.step(env.action_space.sample())
    assert env.observation_space.contains(seen)
    assert reward.shape == terminated.shape == truncated.shape == (3,)


def test_equal_seeds_give_equal_episodes(env: MarketVectorEnv) -> None:
    def rollout() -> list[np.ndarray]:
        seen, _ = env.reset(seed=5)
        out = [seen]
        for t in range(20):
            seen, reward, *_ = env.step(np.asarray([1, t % 2, 0]))
            out += [seen, reward]
        return out

    assert all(np.array_equal(a, b) for a, b in zip(rollout(), rollout(), strict=True))


def test_a_time_limit_is_truncation_and_keeps_the_last_observation(env: MarketVectorEnv) -> None:
    env.reset(seed=2)
    for t in range(1, 15):
        seen, _, terminated, truncated, info = env.step(np.ones(3, int))
        assert not terminated.any()
        assert truncated.all() == (t % 7 == 0)
        assert ("final_obs" in info) == (t % 7 == 0)
        if t % 7 == 0:
            position = len(small().features)
            assert info["_final_obs"].all()
            assert all(last[position] > 0.5 for last in info["final_obs"])
            assert (seen[:, position] == 0.0).all()
            assert (info["equity"] == 10_000.0).all()


def test_a_flat_agent_earns_nothing(env: MarketVectorEnv) -> None:
    _, info = env.reset(seed=3)
    for _ in range(20):
        _, reward, _, _, info = env.step(np.zeros(3, int))
        assert (reward == 0.0).all()
        assert (info["equity"] == 10_000.0).all()


def test_it_steps_as_training_does(env: MarketVectorEnv) -> None:
    env.reset(seed=4)
    assert env._running is not None
    state, action, start = env._running.state, np.asarray([1, 0, 1]), jnp.asarray([50, 60, 70])
    for _ in range(7):
        state, done = step(env._arrays, state, jnp.asarray(action)[:, None], start, spec=env._spec)
        _, reward, terminated, truncated, _ = env.step(action)
        assert reward.tobytes() == np.asarray(done.reward).tobytes()
        assert terminated.tolist() == done.terminated.tolist()
        assert truncated.tolist() == done.truncated.tolist()
    assert truncated.all()


def test_masks_and_continuous_actions() -> None:
    masked = truefill.make_env(small(env__action__kind="hold_buy_sell_close"), num_envs=2)
    _, info = masked.reset(seed=1)
    assert info["legal"].tolist() == [[[True, True, False, False]]] * 2
    *_, info = masked.step(np.asarray([3, 1]))
    assert info["illegal"].ravel().tolist() == [True, False]
    weights = truefill.make_env(
        small(env__action__kind="target_weight", market__no_trade_band=0.05), num_envs=2
    )
    assert weights.single_action_space.shape == (1,)
    weights.reset(seed=1)
    seen, *_ = weights.step(np.full((2, 1), 0.5, np.float32))
    assert seen.shape == (2, weights.single_observation_space.shape[0])


def test_step_before_reset_and_the_sealed_split() -> None:
    config = small()
    with pytest.raises(gymnasium.error.ResetNeeded):
        truefill.make_env(config, num_envs=2).step(np.zeros(2, int))
    with pytest.raises(SealedTestError, match="sealed"):
        truefill.make_env(config, "test")
    with pytest.raises(UsageError, match="no split is called 'tset'"):
        truefill.make_env(config, "tset")
    with pytest.raises(UsageError, match="no kind is called 'gym'"):
        truefill.make_env(config, kind="gym")  # type: ignore[call-overload]
    with pytest.raises(UsageError, match="takes a Config or its path, not dict"):
        truefill.make_env({})  # type: ignore[call-overload]


def test_without_stable_baselines3_the_error_names_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("stable_baselines3", "stable_baselines3.common.vec_env"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "truefill.env.sb3_view", raising=False)
    with pytest.raises(UsageError, match="the extra 'sb3' is not installed") as caught:
        truefill.make_env(small(), kind="sb3")
    assert caught.value.do == "pip install 'truefill[sb3]'"
