"""N accounts as a Stable-Baselines3 ``VecEnv``; needs the extra ``sb3``.

What ``DummyVecEnv`` makes of N ``MarketEnv``, from :class:`MarketVectorEnv`'s one call a bar: the
same seeds and actions give the same observations, rewards and infos.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from truefill.core.errors import UsageError
from truefill.env.gym_view import MarketVectorEnv, Values
from truefill.env.setup import Environment
from truefill.env.view_info import Bools, Info

try:
    from stable_baselines3.common.vec_env import VecEnv
    from stable_baselines3.common.vec_env import VecMonitor as VecMonitor
except ModuleNotFoundError as error:
    raise UsageError(
        f"the extra 'sb3' is not installed (there is no {error.name})",
        do="pip install 'truefill[sb3]'",
    ) from error

Indices = int | Iterable[int] | None


class Sb3VecEnv(VecEnv):
    """The accounts of one compiled program; there are no single environments inside.

    An info has what one account's has (:mod:`truefill.env.view_info`), ``TimeLimit.truncated``,
    and, where the episode ended, ``terminal_observation`` and ``episode_summary``. ``reset_infos``
    holds each running episode's first info. Where the decoder forbids actions and the config masks
    them, ``env_method("action_masks")`` gives the masks that sb3-contrib's MaskablePPO asks for.
    """

    def __init__(self, environment: Environment, num_envs: int) -> None:
        """``environment`` as training builds it (``make_environment(..., "train")``)."""
        self._env = MarketVectorEnv(environment, num_envs)
        self._actions: npt.NDArray[Any] | None = None
        self._legal: Bools | None = None
        spec = environment.spec
        self._masks = spec.mask_illegal and spec.decoder.legal is not None
        super().__init__(
            num_envs, self._env.single_observation_space, self._env.single_action_space
        )

    def reset(self) -> Values:
        """Fresh accounts; uses up what ``seed`` and ``set_options`` left."""
        given = any(self._options)
        if given and not all(set(options) == {"start"} for options in self._options):
            raise UsageError(
                f"the options of the accounts are {self._options}",
                where="set_options",
                do="give every account a 'start' and nothing else, or none any options",
            )
        options = {"start": [of["start"] for of in self._options]} if given else None
        values, infos = self._env.reset(seed=self._seeds, options=options)
        self._reset_seeds()
        self._reset_options()
        self._actions = None
        self._legal = infos.get("legal")
        self.reset_infos = _rows(infos, self.num_envs)
        return values

    def step_async(self, actions: npt.NDArray[Any]) -> None:
        """Keep the actions for ``step_wait``."""
        self._actions = actions

    def step_wait(self) -> tuple[Values, npt.NDArray[np.float32], Bools, list[Info]]:
        """One bar. An episode that ends restarts, as everywhere in Stable-Baselines3."""
        if self._actions is None:
            raise UsageError("there are no actions to wait for", do="call step_async first")
        values, reward, terminated, truncated, infos = self._env.step(self._actions)
        self._actions = None
        self._legal = infos.get("legal")
        rows = _rows(infos, self.num_envs)
        for row, limit in zip(rows, truncated.tolist(), strict=True):
            row["TimeLimit.truncated"] = limit
        ended = terminated | truncated
        if ended.any():
            last = _rows(infos["final_info"], self.num_envs)
            for i in np.flatnonzero(ended):
                self.reset_infos[i] = rows[i]
                limit = self.reset_infos[i].pop("TimeLimit.truncated")
                rows[i] = {
                    **last[i],
                    "TimeLimit.truncated": limit,
                    "terminal_observation": infos["final_obs"][i],
                }
        return values, reward, ended, rows

    def close(self) -> None:
        """Let go of the accounts."""
        self._env.close()

    def get_attr(self, attr_name: str, indices: Indices = None) -> list[Any]:
        """What a single environment would say of itself.

        Raises:
            AttributeError: for anything but spaces, ``render_mode``, ``np_random_seed`` and, where
                actions are masked, ``action_masks``.
        """
        wanted = list(self._get_indices(indices))
        if attr_name in ("observation_space", "action_space"):
            return [getattr(self, attr_name) for _ in wanted]
        if attr_name == "render_mode":
            return [self._env.render_mode for _ in wanted]
        if attr_name == "np_random_seed":
            return [self._env.np_random_seed[i] for i in wanted]
        if attr_name == "action_masks" and self._masks:
            return [partial(self._mask, i) for i in wanted]
        raise AttributeError(f"the accounts of Sb3VecEnv have no attribute {attr_name!r}")

    def set_attr(self, attr_name: str, value: Any, indices: Indices = None) -> None:
        """Refused: the accounts share one compiled program and have nothing of their own to set."""
        raise NotImplementedError(
            f"{attr_name!r} cannot be set on the accounts of Sb3VecEnv; change the config"
        )

    def env_method(
        self, method_name: str, *method_args: Any, indices: Indices = None, **method_kwargs: Any
    ) -> list[Any]:
        """``action_masks``, where actions are masked: bool [S * A] an account, after ``reset``.

        Raises:
            NotImplementedError: for anything else; there are no single environments to call.
        """
        if method_name != "action_masks" or not self._masks:
            raise NotImplementedError(f"the accounts of Sb3VecEnv have no method {method_name!r}")
        methods = self.get_attr(method_name, indices)
        return [method(*method_args, **method_kwargs) for method in methods]

    def env_is_wrapped(self, wrapper_class: type[Any], indices: Indices = None) -> list[bool]:
        """Never: there are no single environments to wrap."""
        return [False for _ in self._get_indices(indices)]

    def _mask(self, i: int) -> Bools:
        if self._legal is None:
            raise UsageError("there are no action masks yet", do="call reset first")
        mask: Bools = self._legal[i].ravel()
        return mask


def _rows(infos: Info, count: int) -> list[Info]:
    """One dict an account of what a vector environment's ``infos`` say of it."""
    rows: list[Info] = [{} for _ in range(count)]
    for key, value in infos.items():
        if key.startswith(("_", "final_")):
            continue
        has = infos[f"_{key}"]
        values = _rows(value, count) if isinstance(value, dict) else _items(value)
        for row, item, given in zip(rows, values, has.tolist(), strict=True):
            if given:
                row[key] = item
    return rows


def _items(value: npt.NDArray[Any]) -> list[Any]:
    """Plain numbers of [N], arrays of [N, ...]."""
    return value.tolist() if value.ndim == 1 else list(value)
