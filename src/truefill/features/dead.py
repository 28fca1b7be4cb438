"""Dead features: constant, all zero, duplicated or mostly empty on train. Each is named.

A feature that never moves looks like an input and is none; two of the five systems truefill grew
from fed constants to their agents for months.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from truefill.core.errors import DataError

MAX_EMPTY = 0.5
"""Largest share of a split's rows that may lack a value (warm-up and staleness together)."""
_REPAIR = "drop the feature from the config, or repair its source"
SAME = 1.0 - 1e-9
"""Two features whose absolute correlation on train reaches this carry the same numbers."""


def refuse_empty(empty_share: dict[str, dict[str, float]]) -> None:
    """Rule ``dead_feature`` for features (split -> name -> share) mostly without a value."""
    found = [
        f"{name} has no value on {share:.0%} of {split} rows"
        for split, shares in empty_share.items()
        for name, share in shares.items()
        if share > MAX_EMPTY
    ]
    _refuse(found, "give more history before the split, a shorter window, or a fresher series")


def refuse_constant(constants: dict[str, float]) -> None:
    """Rule ``dead_feature`` for features without any spread on train (name -> their one value)."""
    found = [
        f"{name} is all zero" if value == 0.0 else f"{name} is constant ({value:g})"
        for name, value in constants.items()
    ]
    _refuse(found, _REPAIR)


def find_dead(names: Sequence[str], train: npt.NDArray[np.float32]) -> list[str]:
    """What is dead in ``train`` f32[n, F] (normalized, no NaN), in words that name the feature."""
    found = []
    alive = []
    for i, name in enumerate(names):
        values = train[:, i]
        if not values.any():
            found.append(f"{name} is all zero")
        elif values.min() == values.max():
            found.append(f"{name} is constant ({values[0]:g})")
        else:
            alive.append(i)
    centred = train[:, alive].astype(np.float64)
    centred -= centred.mean(axis=0)
    centred /= np.sqrt((centred**2).sum(axis=0))
    for right in range(len(alive)):
        for left in range(right):
            correlation = float((centred[:, left] * centred[:, right]).sum())
            if abs(correlation) >= SAME:
                found.append(f"{names[alive[right]]} duplicates {names[alive[left]]}")
    return found


def refuse_dead(names: Sequence[str], train: npt.NDArray[np.float32]) -> None:
    """Rule ``dead_feature`` when :func:`find_dead` finds any."""
    _refuse(find_dead(names, train), _REPAIR)


def _refuse(found: list[str], do: str) -> None:
    if found:
        raise DataError("dead_feature", "; ".join(found), where="features", do=do)
