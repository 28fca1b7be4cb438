"""Losses of the distance from the target. u = target - prediction, in units of the target's spread
(one unit unless :class:`~truefill.forecast.losses.base.TargetFacts` says otherwise)."""

from __future__ import annotations

from typing import Annotated, Self

import jax
import jax.numpy as jnp
from pydantic import Field, model_validator

from truefill.core.registry import Params
from truefill.forecast.losses.base import Batch, NoParams, loss, mean
from truefill.market.types import Array


class MseParams(NoParams):
    """Squared error: the minimiser is the mean."""


@loss("mse", MseParams)
def mse(p: MseParams, b: Batch) -> Array:
    """mean u^2."""
    return mean(jnp.square(b.target - b.prediction), b.known)


class MaeParams(NoParams):
    """Absolute error: the minimiser is the median."""


@loss("mae", MaeParams)
def mae(p: MaeParams, b: Batch) -> Array:
    """mean |u|."""
    return mean(jnp.abs(b.target - b.prediction), b.known)


class HuberParams(Params):
    """Squared error up to delta, absolute beyond."""

    delta: float = Field(1.0, gt=0.0, allow_inf_nan=False, description="threshold, unit target")


@loss("huber", HuberParams)
def huber(p: HuberParams, b: Batch) -> Array:
    """mean of u^2 / 2 where |u| <= delta, else delta (|u| - delta / 2) (Huber 1964)."""
    size = jnp.abs(b.target - b.prediction)
    inside = jnp.minimum(size, p.delta)
    return mean(inside * (size - 0.5 * inside), b.known)


Level = Annotated[float, Field(gt=0.0, lt=1.0)]


class PinballParams(Params):
    """Quantiles: output i learns quantile i, so the prediction has as many outputs."""

    quantiles: tuple[Level, ...] = Field(
        (0.1, 0.5, 0.9), min_length=1, description="levels, ascending"
    )

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if list(self.quantiles) != sorted(set(self.quantiles)):
            raise ValueError("quantiles must ascend")
        return self


@loss("pinball", PinballParams, outputs=lambda p: len(p.quantiles))
def pinball(p: PinballParams, b: Batch) -> Array:
    """mean over quantiles q of max(q u, (q - 1) u) (Koenker & Bassett 1978)."""
    q = jnp.asarray(p.quantiles, b.prediction.dtype)
    outputs = b.prediction.reshape(*b.target.shape, len(p.quantiles))
    u = b.target[..., None] - outputs
    return mean(jnp.mean(jnp.maximum(q * u, (q - 1.0) * u), axis=-1), b.known)


class DirectionalParams(Params):
    """Squared error plus a logistic margin that asks for the right sign."""

    margin: float = Field(
        0.5, ge=0.0, le=1.0, description="share of the margin; the squared error has the rest"
    )


@loss("directional", DirectionalParams)
def directional(p: DirectionalParams, b: Batch) -> Array:
    """mean of (1 - margin) u^2 + margin log(1 + exp(-prediction x target))."""
    squared = jnp.square(b.target - b.prediction)
    margin = jax.nn.softplus(-b.prediction * b.target)
    return mean((1.0 - p.margin) * squared + p.margin * margin, b.known)
