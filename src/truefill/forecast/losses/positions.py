"""Losses of what a position earns: pos = squash(prediction), gain = pos x target return.

They know no costs, fills or turnover: what a forecast nets is told by the market alone.
"""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
from pydantic import Field

from truefill.core.registry import Params
from truefill.forecast.losses.base import Batch, head_means, loss, mean, over_heads
from truefill.market.types import Array


class Squashed(Params):
    """How a prediction becomes a position."""

    squash: Literal["tanh", "softsign"] = Field(
        "tanh", description="tanh(x), or x / (1 + |x|), which saturates late"
    )
    sharpness: float = Field(
        1.0, gt=0.0, allow_inf_nan=False, description="multiplies the prediction first"
    )


def squash(p: Squashed, prediction: Array) -> Array:
    """Position in -1 .. 1 of a prediction in units of the target's spread."""
    x = p.sharpness * prediction
    return jnp.tanh(x) if p.squash == "tanh" else jax.nn.soft_sign(x)


class SharpeParams(Squashed):
    """-mean(gain) / (std(gain) + eps) over the rows of a batch."""

    eps: float = Field(1e-3, gt=0.0, description="added to the standard deviation, unit target")


@loss("sharpe", SharpeParams, position=squash)
def sharpe(p: SharpeParams, b: Batch) -> Array:
    """-mean(gain) / (std(gain) + eps), std over the population of the batch's rows."""
    centre, std, there = _moments(squash(p, b.prediction) * b.target, b.known)
    return over_heads(-centre / (std + p.eps), there)


class ReturnVolatilityParams(Squashed):
    """-mean(gain) + aversion x std(gain)."""

    aversion: float = Field(
        0.5, ge=0.0, allow_inf_nan=False, description="lambda: weight of the standard deviation"
    )


@loss("return_volatility", ReturnVolatilityParams, position=squash)
def return_volatility(p: ReturnVolatilityParams, b: Batch) -> Array:
    """-mean(gain) + aversion x std(gain)."""
    centre, std, there = _moments(squash(p, b.prediction) * b.target, b.known)
    return over_heads(-centre + p.aversion * std, there)


class PositionParams(Squashed):
    """-mean(gain - cost |pos|): the position itself is what the network says."""

    cost: float = Field(
        0.0, ge=0.0, allow_inf_nan=False,
        description="price of holding a full position over a row, as a fraction (of the return)",
    )  # fmt: skip
    width: float = Field(
        0.01, gt=0.0, description="e of the smooth |pos| = sqrt(pos^2 + e^2) - e, exactly 0 at 0"
    )


@loss("position", PositionParams, position=squash)
def position(p: PositionParams, b: Batch) -> Array:
    """-mean(pos x target - cost |pos|)."""
    held = squash(p, b.prediction)
    size = jnp.sqrt(jnp.square(held) + p.width**2) - p.width
    return mean(p.cost / b.facts.scale * size - held * b.target, b.known)


def _moments(x: Array, known: Array) -> tuple[Array, Array, Array]:
    """Mean and population standard deviation of each head, and whether it has targets. The
    gradient is 0, not NaN, where nothing varies."""
    centre, there = head_means(x, known)
    variance, _ = head_means(jnp.square(x - centre), known)
    varies = variance > 0.0
    std = jnp.where(varies, jnp.sqrt(jnp.where(varies, variance, 1.0)), 0.0)
    return centre, std, there
