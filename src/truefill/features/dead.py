"""Dead features: constant, all zero, duplicated or mostly empty on train. Each is named.

A feature that never moves looks like an input and is none; two of the five systems truefill grew
from fed constants to their agents for months.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum

import numpy as np
import numpy.typing as npt

from truefill.core.errors import DataError
from truefill.data.sums import blocks, mean_and_std

MAX_EMPTY = 0.5
"""Largest share of a split's rows that may lack a value (warm-up and staleness together)."""
_REPAIR = "drop the feature from the config, or repair its source"
SAME = 1.0 - 1e-9
"""Two features whose absolute correlation on train reaches this carry the same numbers."""
LIKELY = 1.0 - 1e-6
"""Correlation from which a pair is looked at exactly."""
_BLOCK = 1 << 15
Column = npt.NDArray[np.float32]


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


def find_dead(
    names: Sequence[str], columns: Sequence[Column], keep: npt.NDArray[np.bool_] | None = None
) -> list[str]:
    """What is dead in ``columns`` (f32[n] each, normalized, no NaN; only the rows to ``keep`` count
    where that is given), in words that name the feature."""
    found = []
    alive = []
    for i, name in enumerate(names):
        values = columns[i] if keep is None else columns[i][keep]
        if not values.any():
            found.append(f"{name} is all zero")
        elif values.min() == values.max():
            found.append(f"{name} is constant ({values[0]:g})")
        else:
            alive.append(i)
    likely = _likely_same([columns[i] for i in alive], keep)
    for left, right in likely:
        one, other = (columns[alive[i]] for i in (left, right))
        if keep is not None:
            one, other = one[keep], other[keep]
        if abs(_correlation(one, other)) >= SAME:
            found.append(f"{names[alive[right]]} duplicates {names[alive[left]]}")
    return found


def _likely_same(
    columns: Sequence[Column], keep: npt.NDArray[np.bool_] | None
) -> list[tuple[int, int]]:
    """Pairs of columns whose correlation is 1 or -1 as far as a quick matrix product can tell."""
    size = len(columns)
    shift = np.array([float(c[0]) for c in columns])
    total, products, n = np.zeros(size), np.zeros((size, size)), 0
    for at in range(0, len(columns[0]) if columns else 0, _BLOCK):
        block = np.stack([c[at : at + _BLOCK].astype(np.float64) for c in columns])
        if keep is not None:
            block = block[:, keep[at : at + _BLOCK]]
        block -= shift[:, None]
        total += block.sum(axis=1)
        products += block @ block.T
        n += block.shape[1]
    covariance = products - np.outer(total, total) / max(n, 1)
    scale = np.sqrt(np.diag(covariance))
    near = np.abs(covariance) >= LIKELY * np.outer(scale, scale)
    return [(left, right) for right in range(size) for left in range(right) if near[left, right]]


def _correlation(one: Column, other: Column) -> float:
    """Pearson's, summed in a fixed order."""
    means = [mean_and_std(column) for column in (one, other)]
    pairs = zip(blocks(one), blocks(other), strict=True)
    (mean_1, std_1), (mean_2, std_2) = means
    total = fsum(float(((a - mean_1) * (b - mean_2)).sum()) for a, b in pairs)
    return total / len(one) / (std_1 * std_2)


def refuse_dead(
    names: Sequence[str], columns: Sequence[Column], keep: npt.NDArray[np.bool_] | None = None
) -> None:
    """Rule ``dead_feature`` when :func:`find_dead` finds any."""
    _refuse(find_dead(names, columns, keep), _REPAIR)


def _refuse(found: list[str], do: str) -> None:
    if found:
        raise DataError("dead_feature", "; ".join(found), where="features", do=do)
