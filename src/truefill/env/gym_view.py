"""N accounts as a Gymnasium ``VectorEnv``, for learners that live outside this project.

The same market, costs and rewards as in training. ``terminated`` is ruin or the drawdown limit,
``truncated`` the time limit or the end of the data. :mod:`truefill.env.view_info` says what
``infos`` holds. Shapes: N accounts, S symbols.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from truefill.core.errors import UsageError
from truefill.env import view_info, view_spaces, view_step
from truefill.env.setup import Environment
from truefill.env.view_info import Bools, Info
from truefill.env.view_step import Running

Values = npt.NDArray[np.float32]


class MarketVectorEnv(VectorEnv[Values, npt.NDArray[Any], npt.NDArray[Any]]):
    """N accounts trading one split: what ``SyncVectorEnv`` makes of N ``MarketEnv``, in one call.

    An episode that ends restarts in the same step: the observation returned is the new episode's
    first; ``infos["final_obs"]`` and ``infos["final_info"]`` hold the old one's last, and
    ``_final_obs`` and ``_final_info`` say where. Every other key has its ``_key`` mask too.
    Account i draws its starts from its own generator: ``reset(seed=7)`` seeds it with 7 + i.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012
        "autoreset_mode": AutoresetMode.SAME_STEP,
        "render_modes": [],
    }

    def __init__(self, environment: Environment, num_envs: int) -> None:
        """``environment`` as training builds it (``make_environment(..., "train")``)."""
        if num_envs < 1:
            raise UsageError(f"num_envs is {num_envs}", do="ask for at least one account")
        self._spec, self._arrays = environment.spec, environment.arrays
        self._running: Running | None = None
        self._seeded: list[tuple[np.random.Generator, int]] = []
        self.num_envs = num_envs
        self.single_observation_space = view_spaces.observation_space(self._spec)
        self.single_action_space = view_spaces.action_space(self._spec)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    @property  # type: ignore[misc]
    def np_random(self) -> tuple[np.random.Generator, ...]:  # type: ignore[override]
        """Each account's generator."""
        return tuple(generator for generator, _ in self._generators())

    @property
    def np_random_seed(self) -> tuple[int, ...]:  # type: ignore[override]
        """Each account's seed."""
        return tuple(seed for _, seed in self._generators())

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Values, Info]:
        """Fresh accounts at random bars.

        Args:
            seed: account i gets ``seed + i``; or one an account, None keeps its generator.
            options: ``{"start": bar}``, or one bar an account.
        """
        self._refuse_closed()
        start = view_step.given_starts(self._spec, self._arrays, options, self.num_envs)
        self._seed(seed)
        if start is None:
            start = self._starts(np.ones(self.num_envs, bool))
        self._running, seen = view_step.begin(self._arrays, jnp.asarray(start), spec=self._spec)
        close = jax.device_get(seen)
        illegal = view_spaces.no_illegal(self._spec, self.num_envs)
        return np.array(close.values), view_info.masked(
            view_info.facts(close, illegal), np.ones(self.num_envs, bool)
        )

    def step(
        self, actions: npt.NDArray[Any]
    ) -> tuple[Values, npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any], Info]:
        """One bar. ``actions`` is [N], [N, S] or [N, action size], as ``action_space`` says."""
        self._refuse_closed()
        if self._running is None:
            raise gymnasium.error.ResetNeeded("call reset before step")
        shape = self.action_space.shape or ()
        taken = view_spaces.checked_actions(self._spec, actions, shape, self.num_envs)
        self._running, *seen = view_step.advance(
            self._arrays, self._running, jnp.asarray(taken), spec=self._spec
        )
        close, paid = jax.device_get(seen)
        ended = paid.terminated | paid.truncated
        info: Info = {}
        values, facts = np.array(close.values), view_info.facts(close, paid.illegal)
        if ended.any():
            info = self._final(values, facts, ended)
            values, facts = self._restart(values, facts, ended)
        info |= view_info.masked(facts, np.ones(self.num_envs, bool))
        return (
            values,
            np.array(paid.reward),
            np.array(paid.terminated),
            np.array(paid.truncated),
            info,
        )

    def close_extras(self, **kwargs: Any) -> None:
        """Let go of the accounts; neither ``reset`` nor ``step`` works afterwards."""
        self._running = None

    def _final(self, values: Values, facts: Info, ended: Bools) -> Info:
        """The last observation and info of the episodes that ``ended``."""
        last = np.full(self.num_envs, None, object)
        for i in np.flatnonzero(ended):
            last[i] = values[i].copy()
        assert self._running is not None
        facts = {**facts, "episode_summary": view_info.summary(self._arrays, self._running)}
        return {
            "final_obs": last,
            "_final_obs": ended.copy(),
            "final_info": view_info.masked(facts, ended),
            "_final_info": ended.copy(),
        }

    def _restart(self, values: Values, facts: Info, ended: Bools) -> tuple[Values, Info]:
        """Begin anew where ``ended``; observations and facts of the others stay as they are."""
        assert self._running is not None
        self._running, seen = view_step.restart(
            self._arrays, self._running, jnp.asarray(ended), self._starts(ended), spec=self._spec
        )
        close = jax.device_get(seen)
        new = view_info.facts(close, view_spaces.no_illegal(self._spec, self.num_envs))
        pick = {k: np.where(view_info.along(ended, old), new[k], old) for k, old in facts.items()}
        return np.where(ended[:, None], close.values, values), pick

    def _starts(self, wanted: Bools) -> npt.NDArray[np.int32]:
        """A random start from the own generator of each account that is ``wanted``; 0 elsewhere."""
        uniform = np.zeros(self.num_envs)
        generators = self._generators()
        for i in np.flatnonzero(wanted):
            uniform[i] = generators[i][0].random()
        return view_step.draw(self._spec, self._arrays, uniform)

    def _generators(self) -> list[tuple[np.random.Generator, int]]:
        if not self._seeded:
            self._seeded = [seeding.np_random() for _ in range(self.num_envs)]
        return self._seeded

    def _seed(self, seed: int | list[int | None] | None) -> None:
        if seed is None:
            return
        seeds = (
            [seed + i for i in range(self.num_envs)]
            if isinstance(seed, int | np.integer)
            else list(seed)
        )
        if len(seeds) != self.num_envs:
            raise UsageError(
                f"{len(seeds)} seeds for {self.num_envs} accounts",
                where="reset",
                do="give one seed, or one an account",
            )
        self._seeded = [
            seeding.np_random(own) if own is not None or not self._seeded else self._seeded[i]
            for i, own in enumerate(seeds)
        ]

    def _refuse_closed(self) -> None:
        if self.closed:
            raise gymnasium.error.ClosedEnvironmentError("the environment was closed")
