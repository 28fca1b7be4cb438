"""Observation and action spaces of one account, and the check that every action lies in them."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

from truefill.core.errors import UsageError
from truefill.env.episodes import EnvSpec


def observation_space(spec: EnvSpec) -> gymnasium.Space[Any]:
    """Of one account: an unbounded float32 Box."""
    return gymnasium.spaces.Box(-np.inf, np.inf, (spec.observation_size,), np.float32)


def action_space(spec: EnvSpec) -> gymnasium.Space[Any]:
    """Of one account: Discrete, MultiDiscrete (more than one symbol) or Box."""
    if not spec.decoder.discrete:
        low, high = spec.decoder.low, spec.decoder.high
        return gymnasium.spaces.Box(low, high, (spec.action_size,), np.float32)
    if spec.num_symbols == 1:
        return gymnasium.spaces.Discrete(spec.decoder.num_actions)
    return gymnasium.spaces.MultiDiscrete([spec.decoder.num_actions] * spec.num_symbols)


def no_illegal(spec: EnvSpec, count: int) -> npt.NDArray[np.bool_]:
    """``Paid.illegal`` of accounts that have not acted yet."""
    return np.zeros((count, spec.num_symbols), bool)


def checked_actions(
    spec: EnvSpec, actions: Any, shape: tuple[int, ...], count: int
) -> npt.NDArray[Any]:
    """Actions of ``shape`` as [count, action size], int32 or float32.

    Raises:
        UsageError: another shape or type, or a value outside the action space (NaN is).
    """
    given = np.asarray(actions)
    decoder, discrete = spec.decoder, spec.decoder.discrete
    low, high = (0, decoder.num_actions - 1) if discrete else (decoder.low, decoder.high)
    kind = "an integer" if discrete else "a number"
    if given.shape != shape or given.dtype.kind not in ("iu" if discrete else "fiu"):
        raise UsageError(
            f"actions are {given.dtype} of shape {given.shape}",
            where="step",
            do=f"give {kind} from {low} to {high} in shape {shape}",
        )
    fine = (given >= low) & (given <= high)
    if not fine.all():
        raise UsageError(
            f"action {given[~fine].flat[0]} is outside the action space",
            where="step",
            do=f"give {kind} from {low} to {high}",
        )
    return given.reshape(count, -1).astype(np.int32 if discrete else np.float32)
