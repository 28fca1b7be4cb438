"""How well values foretell returns: explained variance and R2, plain, weighted and by symbol.

Explained variance is blind to a bias that is everywhere the same, R2 is not, so both are told.
Both are NaN, undefined, where the returns do not vary; no floor makes a number of it.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp

from truefill.market.types import Array


class Fit(NamedTuple):
    """Scores of one group of rows, or [groups]."""

    explained_variance: Array
    """1 - Var(target - value) / Var(target)."""
    r2: Array
    """1 - mean (target - value)^2 / Var(target)."""


def fit(value: Array, target: Array, weight: Array | None = None) -> Fit:
    """Scores over all rows; with ``weight`` >= 0, as if each row were there so many times.

    >>> value, target = jnp.asarray([1.0, 2.0, 3.0]), jnp.asarray([2.0, 3.0, 4.0])
    >>> score = fit(value, target)
    >>> float(score.explained_variance), float(score.r2)  # perfect but for a bias of 1
    (1.0, -0.5)
    """
    rows = jnp.ones_like(target) if weight is None else weight
    return _scores(value.reshape(1, -1), target.reshape(1, -1), rows.reshape(1, -1), first=True)


def fit_by_group(value: Array, target: Array, group: Array, count: int) -> Fit:
    """Scores of each of ``count`` groups, [count]; ``group`` is int32, the shape of ``value``."""
    member = group.reshape(1, -1) == jnp.arange(count, dtype=group.dtype)[:, None]
    return _scores(
        value.reshape(1, -1), target.reshape(1, -1), member.astype(value.dtype), first=False
    )


def _scores(value: Array, target: Array, weight: Array, *, first: bool) -> Fit:
    """Over the last axis; ``weight`` [groups, rows]."""
    total = jnp.sum(weight, axis=-1, keepdims=True)

    def average(x: Array) -> Array:
        return jnp.sum(weight * x, axis=-1, keepdims=True) / total

    residual = target - value
    variance = average(jnp.square(target - average(target)))[..., 0]
    unexplained = average(jnp.square(residual - average(residual)))[..., 0]
    squared = average(jnp.square(residual))[..., 0]
    varies = variance > 0.0
    safe = jnp.where(varies, variance, 1.0)
    found = Fit(
        jnp.where(varies, 1.0 - unexplained / safe, jnp.nan),
        jnp.where(varies, 1.0 - squared / safe, jnp.nan),
    )
    return Fit(*(x[0] for x in found)) if first else found
