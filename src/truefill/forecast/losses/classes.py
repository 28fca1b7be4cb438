"""Losses of class probabilities."""

from __future__ import annotations

from typing import Annotated, Literal

import jax
import jax.numpy as jnp
from pydantic import Field

from truefill.core.errors import ConfigError, DataError
from truefill.core.registry import Params
from truefill.forecast.losses.base import Batch, TargetFacts, head_means, loss, over_heads
from truefill.market.types import Array

Weight = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]


class CrossEntropyParams(Params):
    """Log loss of the target's class; predictions are logits, never probabilities."""

    classes: int = Field(3, ge=2, description="logits a head predicts")
    weights: Literal["balanced"] | tuple[Weight, ...] | None = Field(
        None,
        description="weight of each class; balanced: rows / (classes x rows of the class), in "
        "train; null: 1",
    )


@loss("cross_entropy", CrossEntropyParams, target="class", outputs=lambda p: p.classes)
def cross_entropy(p: CrossEntropyParams, b: Batch) -> Array:
    """sum w(y) (-log softmax(prediction)_y) / sum w(y)."""
    logits = b.prediction.reshape(*b.target.shape, p.classes)
    klass = b.target.astype(jnp.int32)
    missed = -jnp.take_along_axis(jax.nn.log_softmax(logits), klass[..., None], axis=-1)[..., 0]
    known = b.facts.balanced if p.weights == "balanced" else None
    each = class_weights(p, b.facts) if known is None else known
    weight = jnp.asarray(each, logits.dtype)[klass]
    return over_heads(*head_means(missed, weight * b.known))


def class_weights(p: CrossEntropyParams, facts: TargetFacts) -> tuple[float, ...]:
    """Weight of each class.

    >>> class_weights(CrossEntropyParams(weights="balanced"), TargetFacts(class_counts=(1, 2, 1)))
    (1.3333333333333333, 0.6666666666666666, 1.3333333333333333)

    Raises:
        ConfigError: not as many weights as classes, or balanced without counts.
        DataError: ``missing_class``: balanced, and a class is in no train row.
    """
    if p.weights is None:
        return (1.0,) * p.classes
    if p.weights != "balanced":
        if len(p.weights) != p.classes:
            raise ConfigError(f"{len(p.weights)} weights for {p.classes} classes")
        return p.weights
    counts = facts.class_counts
    if counts is None or len(counts) != p.classes:
        raise ConfigError(f"balanced weights need the counts of {p.classes} classes in train")
    if 0 in counts:
        raise DataError(
            "missing_class",
            f"class {counts.index(0)} is in no train row, so it has no balanced weight",
            do="lower the label's threshold, or give the weights",
        )
    return tuple(sum(counts) / (p.classes * count) for count in counts)
