"""What a loss is: a number that a network's predictions lower, and what it asks of them.

Predictions and targets have rows on axis 0; further axes are heads (horizons) of their own: a loss
is taken over the rows of each head, and the heads are averaged. A loss with several outputs a head
(quantiles, classes) has them on the last axis of the prediction. Null targets (NaN) take no part:
they have no loss, no gradient, and no weight in any mean; a head without any target is left out.

Real targets are counted in units of their standard deviation on train rows
(:attr:`TargetFacts.scale`), and so are predictions of them; parameters with the unit "target" are
in these units. So a weighted sum means the same for hourly returns and for daily ones.

Facts given at registration: ``target`` ("real" or "class"), ``outputs`` (parameters -> values a
head predicts) and ``position`` (parameters, prediction -> position in -1 .. 1; None: the prediction
is no position).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from truefill.core.errors import DataError
from truefill.core.registry import Params, Registry
from truefill.market.types import Array

TargetKind = Literal["real", "class"]


@dataclass(frozen=True)
class TargetFacts:
    """What the train rows say of the targets. ``scale``: standard deviation of real targets;
    ``class_counts``: how often each class occurs; ``balanced``: the balanced weights of the classes
    f[classes] where they are known already, as inside a compiled fit."""

    scale: float | Array = 1.0
    class_counts: tuple[int, ...] | None = None
    balanced: Array | None = None

    @staticmethod
    def of(values: npt.NDArray[np.float64], classes: int) -> TargetFacts:
        """Facts of train labels (NaN: null); ``classes`` as in ``Labels``.

        Raises:
            DataError: ``no_label``: all are null; ``dead_label``: they do not vary.
        """
        known = values[np.isfinite(values)]
        if not len(known):
            raise DataError("no_label", "no train row has a label")
        if (known == known[0]).all():
            raise DataError("dead_label", f"all {len(known):,} train labels are {known[0]:g}")
        if classes:
            counts = np.bincount(known.astype(np.int64), minlength=classes)
            return TargetFacts(class_counts=tuple(int(count) for count in counts))
        return TargetFacts(scale=float(known.std()))


@dataclass(frozen=True)
class Batch:
    """What a loss function gets. ``prediction``: of real targets in units of their spread;
    ``target``: the same, 0 where null; ``known``: f, 1 where there is a target, else 0."""

    prediction: Array
    target: Array
    known: Array
    facts: TargetFacts


LossFunction = Callable[[Any, Batch], Array]
Position = Callable[[Any, Array], Array]
LOSSES: Registry[LossFunction] = Registry("loss", plugged=True)


def loss(
    name: str,
    params: type[Params],
    *,
    target: TargetKind = "real",
    outputs: Callable[[Any], int] = lambda p: 1,
    position: Position | None = None,
) -> Callable[[LossFunction], LossFunction]:
    """Decorator: register a loss with its facts."""
    return LOSSES.register(name, params, target=target, outputs=outputs, position=position)


class NoParams(Params):
    """No parameters."""


def head_means(x: Array, weight: Array) -> tuple[Array, Array]:
    """Weighted mean over the rows of each head, and whether the head has any weight."""
    total = jnp.sum(weight, axis=0)
    there = total > 0.0
    return jnp.sum(weight * x, axis=0) / jnp.where(there, total, 1.0), there


def over_heads(values: Array, there: Array) -> Array:
    """Mean over the heads that have targets; 0 if none has."""
    count = jnp.sum(there)
    return jnp.sum(jnp.where(there, values, 0.0)) / jnp.maximum(count, 1)


def mean(x: Array, weight: Array) -> Array:
    """Weighted mean over rows, then over heads."""
    return over_heads(*head_means(x, weight))
