"""The environment as a Gymnasium ``VectorEnv``, for learners that live outside this project.

The same compiled step as in training, so the same rules, costs and rewards. Shapes: N environments,
S symbols, A actions per symbol.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from truefill.env import episodes
from truefill.env.episodes import EnvArrays, EnvSpec, EnvState, Observation
from truefill.env.setup import Environment
from truefill.market.types import Array

Values = npt.NDArray[np.float32]
Info = dict[str, Any]


@partial(jax.jit, static_argnames="spec")
def _reset(arrays: EnvArrays, uniform: Array, *, spec: EnvSpec) -> tuple[EnvState, Observation]:
    state = episodes.reset(spec, arrays, episodes.draw_starts(spec, arrays, uniform))
    return state, episodes.observe(spec, arrays, state)


@partial(jax.jit, static_argnames="spec")
def _step(
    arrays: EnvArrays, state: EnvState, action: Array, uniform: Array, *, spec: EnvSpec
) -> tuple[EnvState, Observation, episodes.Transition, Observation]:
    restart = episodes.draw_starts(spec, arrays, uniform)
    state, done = episodes.step(spec, arrays, state, action, restart)
    final = episodes.observe(spec, arrays, done.final)
    return state, episodes.observe(spec, arrays, state), done, final


class MarketVectorEnv(VectorEnv[Values, npt.NDArray[Any], npt.NDArray[Any]]):
    """N accounts trading one split, each episode from a random bar.

    An episode that ends restarts in the same step: the observation returned is the new episode's
    first, ``infos["final_obs"]`` holds the old one's last (object array, with ``_final_obs`` saying
    where). ``terminated`` is ruin or the drawdown limit, ``truncated`` the time limit or the end of
    the data. ``infos["legal"]`` (bool [N, S, A]) marks the actions that are legal, where the
    decoder forbids any; ``infos["equity"]`` is f64 [N].
    """

    metadata: dict[str, Any] = {"autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012

    def __init__(self, environment: Environment, num_envs: int) -> None:
        """``environment`` as training builds it (``make_environment(..., "train")``)."""
        self._spec, self._arrays = environment.spec, environment.arrays
        self._state: EnvState | None = None
        self.num_envs = num_envs
        self.single_observation_space = gymnasium.spaces.Box(
            -np.inf, np.inf, (self._spec.observation_size,), np.float32
        )
        self.single_action_space = _action_space(self._spec)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Values, Info]:
        """Fresh accounts at random bars. A list of seeds seeds all with its first."""
        first = seed[0] if isinstance(seed, list) else seed
        super().reset(seed=first, options=options)
        self._state, seen = _reset(self._arrays, self._uniform(), spec=self._spec)
        return _rows(seen), self._info(self._state, seen)

    def step(
        self, actions: npt.NDArray[Any]
    ) -> tuple[Values, npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any], Info]:
        """One bar. ``actions`` is [N] or [N, S], as ``action_space`` says."""
        if self._state is None:
            raise gymnasium.error.ResetNeeded("call reset before step")
        kind = np.int32 if self._spec.decoder.discrete else np.float32
        taken = jnp.asarray(np.asarray(actions, kind).reshape(self.num_envs, -1))
        self._state, seen, done, final = _step(
            self._arrays, self._state, taken, self._uniform(), spec=self._spec
        )
        terminated, truncated = np.asarray(done.terminated), np.asarray(done.truncated)
        info = self._info(self._state, seen)
        info["illegal"] = np.asarray(done.illegal)
        ended = terminated | truncated
        if ended.any():
            last, rows = np.full(self.num_envs, None, object), _rows(final)
            for i in np.flatnonzero(ended):
                last[i] = rows[i]
            info["final_obs"], info["_final_obs"] = last, ended
        return _rows(seen), np.asarray(done.reward), terminated, truncated, info

    def _uniform(self) -> Array:
        return jnp.asarray(self.np_random.random(self.num_envs))

    def _info(self, state: EnvState, seen: Observation) -> Info:
        info: Info = {"equity": np.asarray(state.account.equity)}
        if seen.legal is not None:
            info["legal"] = np.asarray(seen.legal)
        return info


def _rows(seen: Observation) -> Values:
    """[N, observation_size] of our [observation_size, N]."""
    return np.ascontiguousarray(np.asarray(seen.values).T)


def _action_space(spec: EnvSpec) -> gymnasium.Space[Any]:
    if not spec.decoder.discrete:
        return gymnasium.spaces.Box(-1.0, 1.0, (spec.num_symbols,), np.float32)
    if spec.num_symbols == 1:
        return gymnasium.spaces.Discrete(spec.decoder.num_actions)
    return gymnasium.spaces.MultiDiscrete([spec.decoder.num_actions] * spec.num_symbols)
