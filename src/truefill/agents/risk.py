"""How much the worst returns weigh: a ramp, and with a limit a dual variable on top of it."""

from __future__ import annotations

import jax.numpy as jnp

from truefill.agents.coefficients import Coefficients
from truefill.config.schema import CvarConfig
from truefill.market.types import Array


def weight(numbers: Coefficients, dual: Array, updates: Array) -> Array:
    """Weight of the tail's advantage after ``updates`` updates (0 at the first, with a ramp)."""
    ramp = jnp.minimum(updates / jnp.maximum(numbers.ramp_updates, 1.0), 1.0)
    ramp = jnp.where(numbers.ramp_updates > 0.0, ramp, 1.0)
    return ((numbers.weight + dual) * ramp).astype(jnp.float32)


def empirical_cvar(rewards: Array, alpha: Array) -> Array:
    """Mean of the worst ceil(alpha n) of n rewards, any shape.

    >>> float(empirical_cvar(jnp.arange(10.0), 0.15))  # the worst 2 of 10
    0.5
    """
    ordered = jnp.sort(rewards.reshape(-1))
    count = jnp.maximum(jnp.ceil(alpha * rewards.size), 1.0)
    worst = jnp.arange(rewards.size) < count
    return jnp.sum(jnp.where(worst, ordered, 0.0)) / count


def next_dual(dual: Array, found: Array, numbers: Coefficients, config: CvarConfig) -> Array:
    """The dual variable after an update whose rewards had the CVaR ``found``: it rises while that
    is below the limit and falls while it is not, between 0 and 1. Stays 0 without a limit."""
    if config.limit is None:
        return dual
    moved = dual + numbers.dual_learning_rate * (numbers.limit - found)
    return jnp.clip(moved, 0.0, 1.0).astype(jnp.float32)
