"""PopArt: the critic's unit follows the returns, and its outputs do not jump when it moves.

Mean and spread of the returns are watched as moving averages (the shadow) and become the critic's
unit when the guards allow it; the last layer is rescaled so that every output stays what it was
(van Hasselt et al. 2016, "Learning values across many orders of magnitude").

The guards: enough updates and returns have been seen; the held-out bars are explained well enough;
a later change of the unit is small; the unit has a floor. Where the epochs of several updates in a
row cost the held-out bars explained variance, the unit stays as it is until they no longer do.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp

from truefill.config.schema import PopArtConfig
from truefill.market.types import Array


class PopArtState(NamedTuple):
    """Scalars; part of every checkpoint."""

    mean: Array
    """Shadow: moving average of the returns' mean."""
    square: Array
    """Shadow: moving average of their mean square."""
    updates: Array
    """int32, updates watched."""
    samples: Array
    """int64, returns watched."""
    failures: Array
    """int32, updates in a row whose epochs made the held-out bars worse explained."""
    live: Array
    """bool: the unit has been taken over."""


class Unit(NamedTuple):
    """output = mean + std x what the last layer says; float32 scalars."""

    mean: Array
    std: Array


def init() -> PopArtState:
    """Nothing seen."""
    zero = jnp.zeros((), jnp.float32)
    none = jnp.zeros((), jnp.int32)
    return PopArtState(zero, zero, none, jnp.zeros((), jnp.int64), none, jnp.asarray(False))


def watch(
    state: PopArtState, returns: Array, weight: Array | None, config: PopArtConfig
) -> PopArtState:
    """The shadow after an update's returns; those of weight 0 do not count."""
    rows = jnp.ones_like(returns) if weight is None else weight
    count = jnp.sum(rows)
    safe = jnp.maximum(count, 1.0)
    mean = jnp.sum(rows * returns) / safe
    square = jnp.sum(rows * jnp.square(returns)) / safe
    old = jnp.where(state.samples == 0, 0.0, config.decay).astype(jnp.float32)
    old = jnp.where(count > 0.0, old, 1.0)
    return state._replace(
        mean=old * state.mean + (1.0 - old) * mean,
        square=old * state.square + (1.0 - old) * square,
        updates=state.updates + 1,
        samples=state.samples + count.astype(jnp.int64),
    )


def next_unit(
    state: PopArtState, unit: Unit, explained: Array, config: PopArtConfig
) -> tuple[PopArtState, Unit]:
    """The unit for the coming epochs.

    Args:
        explained: explained variance of the held-out bars now; NaN where it is undefined.
    """
    std = jnp.sqrt(jnp.maximum(state.square - jnp.square(state.mean), 0.0))
    std = jnp.maximum(std, config.std_floor)
    ready = (state.updates > config.warmup_updates) & (state.samples >= config.min_samples)
    if config.ev_floor is not None:
        ready &= explained >= config.ev_floor
    step = config.max_relative_step
    near = Unit(
        unit.mean + jnp.clip(state.mean - unit.mean, -step * unit.std, step * unit.std),
        jnp.clip(std, unit.std * (1.0 - step), unit.std * (1.0 + step)),
    )
    calm = state.failures < config.patience
    follow = state.live & calm
    take_over = ready & ~state.live

    def choose(first: Array, later: Array, stay: Array) -> Array:
        moved = jnp.where(follow, later, stay)
        return jnp.where(take_over, first, moved).astype(jnp.float32)

    chosen = Unit(choose(state.mean, near.mean, unit.mean), choose(std, near.std, unit.std))
    return state._replace(live=state.live | take_over), chosen


def judge(state: PopArtState, before: Array, after: Array, config: PopArtConfig) -> PopArtState:
    """Book what the epochs did to the explained variance of the held-out bars."""
    worse = before - after > config.ev_tolerance
    return state._replace(failures=jnp.where(worse, state.failures + 1, 0).astype(jnp.int32))


def rescaled(weight: Array, bias: Array, old: Unit, new: Unit) -> tuple[Array, Array]:
    """Last layer's ``weight`` [in, out] and ``bias`` [out] under ``new``: the same outputs."""
    ratio = old.std / new.std
    return weight * ratio, bias * ratio + (old.mean - new.mean) / new.std
