"""Decoders of sizes: a score, a bin or a weight per symbol becomes a position's size."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import jax.numpy as jnp
from pydantic import Field, model_validator

from truefill.core.registry import Params
from truefill.env.decoders.base import DECODERS, Decoder, Wish
from truefill.market.types import Array, OrderKind, Orders


class Score(Params):
    """A continuous score in [-1, 1] with one threshold."""

    threshold: float = Field(0.35, gt=0.0, lt=1.0, description="|score| below is flat")
    size: float = Field(1.0, gt=0.0, description="position size, fraction of equity")


@DECODERS.register("score", Score)
def score(p: Score) -> Decoder:
    """|a| < threshold: flat; else the sign is the side. Needs shorts.

    Trades only when the side changes; for several sizes see ``zones``.
    """

    def orders(action: Array) -> Orders:
        a = jnp.clip(action.astype(jnp.float64), -1.0, 1.0)
        flat = jnp.abs(a) < p.threshold
        value = jnp.where(flat, 0.0, jnp.sign(a) * p.size)
        kind = jnp.where(flat, OrderKind.WEIGHT, OrderKind.SIDE)
        return Orders(kind.astype(jnp.int32), value)

    return Decoder(0, orders, needs_short=True, toward=lambda wish: jnp.sign(wish.desired))


class Zones(Params):
    """A continuous score in [-1, 1] with several thresholds, each with a size."""

    thresholds: tuple[float, ...] = Field(
        (0.2, 0.6), min_length=1, description="|score| from here on takes its size; rising, 0..1"
    )
    sizes: tuple[float, ...] = Field((0.5, 1.0), description="one a threshold, fractions of equity")
    long_only: bool = Field(False, description="negative scores are flat instead of short")

    @model_validator(mode="after")
    def _consistent(self) -> Zones:
        if len(self.sizes) != len(self.thresholds):
            raise ValueError(
                f"{len(self.thresholds)} thresholds need as many sizes, not {len(self.sizes)}"
            )
        if not all(a < b for a, b in pairwise((0.0, *self.thresholds, 1.0))):
            raise ValueError("thresholds must rise, each between 0 and 1")
        if min(self.sizes) <= 0.0 or not all(a != b for a, b in pairwise(self.sizes)):
            raise ValueError("sizes must be above 0, neighbours different")
        return self


@DECODERS.register("zones", Zones)
def zones(p: Zones) -> Decoder:
    """The last threshold reached gives the size. Needs a no-trade band; shorts unless long_only.

    |a| below all thresholds is flat. The sign of a is the side, mirrored, or with ``long_only``
    negative scores are flat. A weight is ordered at every decision, so without a no-trade band
    drift alone would trade.
    """
    weights = (0.0, *p.sizes)
    middles = tuple((a + b) / 2.0 for a, b in pairwise((0.0, *p.thresholds, 1.0)))

    def toward(wish: Wish) -> Array:
        """The middle of the zone whose size is nearest."""
        score = jnp.asarray(middles)[_nearest(jnp.abs(wish.desired) * max(weights), weights)]
        return jnp.sign(wish.desired) * score

    def orders(action: Array) -> Orders:
        a = jnp.clip(action.astype(jnp.float64), 0.0 if p.long_only else -1.0, 1.0)
        reached = _count(jnp.abs(a)[..., None] >= jnp.asarray(p.thresholds))
        return _weights(jnp.sign(a) * jnp.asarray(weights)[reached])

    return Decoder(
        0,
        orders,
        needs_band=True,
        needs_short=not p.long_only,
        max_weight=max(weights),
        min_step=_smallest_step(weights),
        toward=toward,
    )


class VolumeBins(Params):
    """A position of one of a few sizes, chosen by a score or by a discrete action."""

    bins: tuple[float, ...] = Field(
        (0.0, 0.2, 0.6, 1.0), min_length=2, description="fractions of equity; rising from 0"
    )
    form: Literal["score", "discrete"] = Field(
        "score", description="score: a value in [-1, 1]; discrete: one action a bin"
    )
    long_only: bool = Field(True, description="false: the bins of shorts as well, mirrored")

    @model_validator(mode="after")
    def _rising(self) -> VolumeBins:
        if self.bins[0] != 0.0 or not all(a < b for a, b in pairwise(self.bins)):
            raise ValueError("bins must rise from 0, the bin that leaves the market")
        return self


@DECODERS.register("volume_bins", VolumeBins)
def volume_bins(p: VolumeBins) -> Decoder:
    """The nearest of a few sizes, long only unless asked. Needs a no-trade band.

    Score: x = (a + 1) / 2 in [0, 1] goes to the nearest bin, and halfway between two to the smaller
    one. With shorts x = |a|, and the sign of a is the side. Discrete: action i takes bin i; with
    shorts the actions run from the largest short over flat to the largest long.
    """
    weights = p.bins if p.long_only else (*(-b for b in reversed(p.bins[1:])), *p.bins)
    middles = tuple((a + b) / 2.0 for a, b in pairwise(p.bins))

    def chosen(action: Array) -> Orders:
        return _weights(jnp.asarray(weights)[action])

    def nearest(action: Array) -> Orders:
        a = jnp.clip(action.astype(jnp.float64), -1.0, 1.0)
        x = (a + 1.0) / 2.0 if p.long_only else jnp.abs(a)
        size = jnp.asarray(p.bins)[_count(x[..., None] > jnp.asarray(middles))]
        return _weights(size if p.long_only else jnp.sign(a) * size)

    def toward(wish: Wish) -> Array:
        wanted = wish.desired * p.bins[-1]
        if discrete:
            return _nearest(wanted, weights)
        return 2.0 * wanted - 1.0 if p.long_only else wanted

    discrete = p.form == "discrete"
    return Decoder(
        len(weights) if discrete else 0,
        chosen if discrete else nearest,
        needs_band=True,
        needs_short=not p.long_only,
        max_weight=p.bins[-1],
        min_step=_smallest_step(p.bins),
        toward=toward,
    )


class TargetWeight(Params):
    """A continuous target weight in [-1, 1], times a scale."""

    scale: float = Field(1.0, gt=0.0, description="weight at action 1, fraction of equity")


@DECODERS.register("target_weight", TargetWeight)
def target_weight(p: TargetWeight) -> Decoder:
    """The action times the scale is the weight. Needs a no-trade band, which keeps dust away."""

    def orders(action: Array) -> Orders:
        return _weights(jnp.clip(action.astype(jnp.float64), -1.0, 1.0) * p.scale)

    return Decoder(0, orders, needs_band=True, toward=lambda wish: wish.desired)


def _weights(value: Array) -> Orders:
    return Orders(jnp.full(value.shape, OrderKind.WEIGHT, jnp.int32), value)


def _count(reached: Array) -> Array:
    """How many of the last axis are true, int32."""
    return jnp.sum(reached, axis=-1, dtype=jnp.int32)


def _nearest(value: Array, among: tuple[float, ...]) -> Array:
    """Index of the nearest of ``among``, int32; of equals the first."""
    return jnp.argmin(jnp.abs(value[..., None] - jnp.asarray(among)), axis=-1).astype(jnp.int32)


def _smallest_step(weights: tuple[float, ...]) -> float:
    return min(abs(b - a) for a, b in pairwise(weights))
