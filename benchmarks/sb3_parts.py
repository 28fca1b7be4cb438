"""What Stable-Baselines3's PPO learns with: truefill's accounts, and a shared trunk as truefill's.

``truefill.env.sb3_view.Sb3VecEnv`` tells a dict an account and bar more; the view here is as thin
as Stable-Baselines3 allows, so that the benchmark measures the learner and not the telling.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor, nn

from truefill.env import episodes


@partial(jax.jit, static_argnames="spec")
def _reset(spec: Any, arrays: Any, uniform: Any) -> tuple[Any, Any]:
    state = episodes.reset(spec, arrays, episodes.draw_starts(spec, arrays, uniform))
    return state, episodes.observe(spec, arrays, state).values.T


_advance = jax.jit(episodes.advance, static_argnums=0)


@partial(jax.jit, static_argnames="spec")
def _step(spec: Any, arrays: Any, state: Any, action: Any, uniform: Any) -> tuple[Any, ...]:
    restart = episodes.draw_starts(spec, arrays, uniform)
    state, done = episodes.step(spec, arrays, state, action, restart)
    seen = episodes.observe(spec, arrays, state).values.T
    final = episodes.observe(spec, arrays, done.final).values.T
    ended = done.terminated | done.truncated
    return state, seen, done.reward, ended, done.truncated, final


def start_at(environment: Any, bar: int) -> Any:
    """One account at the close of ``bar``."""
    return episodes.reset(environment.spec, environment.arrays, jnp.full(1, bar, jnp.int32))


def step_to(environment: Any, state: Any, action: int) -> tuple[Any, bool, float]:
    """One bar of one account: the state, whether the account hit its drawdown limit, its equity."""
    found, taken = environment, jnp.full((1, 1), action, jnp.int32)
    state, done = _advance(found.spec, found.arrays, state, taken)
    return state, bool(done.terminated[0]), float(state.account.equity[0])


class MarketVecEnv(VecEnv):  # type: ignore[misc]
    """One call of the compiled step a bar; what Stable-Baselines3 reads of an info, and no more."""

    def __init__(self, environment: Any, num_envs: int, seed: int) -> None:
        spec = environment.spec
        self._environment, self._generator = environment, np.random.default_rng(seed)
        self._state: Any = None
        self._actions: Any = None
        super().__init__(
            num_envs,
            gymnasium.spaces.Box(-np.inf, np.inf, (spec.observation_size,), np.float32),
            gymnasium.spaces.Discrete(spec.decoder.num_actions),
        )

    def _uniform(self) -> Any:
        return self._generator.random(self.num_envs, np.float32)

    def reset(self) -> Any:
        found = self._environment
        self._state, seen = _reset(found.spec, found.arrays, self._uniform())
        return np.array(seen)

    def step_async(self, actions: Any) -> None:
        self._actions = jnp.asarray(actions, jnp.int32)[:, None]

    def step_wait(self) -> Any:
        found = self._environment
        self._state, *seen, final = _step(
            found.spec, found.arrays, self._state, self._actions, self._uniform()
        )
        observation, reward, ended, truncated = (np.array(x) for x in seen)
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        if ended.any():
            last = np.asarray(final)
            for i in np.flatnonzero(ended):
                infos[i] = {
                    "terminal_observation": last[i],
                    "TimeLimit.truncated": bool(truncated[i]),
                }
        return observation, reward, ended, infos

    def close(self) -> None:
        self._state = None

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [None] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        raise NotImplementedError(attr_name)

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> Any:
        raise NotImplementedError(method_name)

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        return [False] * self.num_envs


class Trunk(BaseFeaturesExtractor):  # type: ignore[misc]
    """Two relu layers of 64 that policy and value share."""

    def __init__(self, observation_space: Any) -> None:
        super().__init__(observation_space, features_dim=64)
        width = observation_space.shape[0]
        self.layers = nn.Sequential(nn.Linear(width, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU())

    def forward(self, observations: Tensor) -> Any:
        return self.layers(observations)
