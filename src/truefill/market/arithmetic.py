"""Arithmetic that is fast and whose bits do not depend on the batch it runs in."""

from __future__ import annotations

import jax.numpy as jnp

from truefill.market.types import Array, MarketParams


def cut(x: Array, params: MarketParams) -> Array:
    """Phase boundary: x / 1.0 is exact, and XLA computes a division once instead of once in every
    fusion that needs it (``docs/decisions/0001-engine.md``)."""
    return (x / params.one).astype(x.dtype)


def cut_gate(gate: Array, params: MarketParams) -> Array:
    """``cut`` for a gate. XLA makes convert(bool) / one a choice between two scalars, and computes
    the gate again wherever it is used; with a traced number in place of the 1 it cannot."""
    if gate.dtype != jnp.bool_:
        return gate
    return cut(jnp.where(gate, params.one, 0.0), params) != 0.0


def total(x: Array, params: MarketParams) -> Array:
    """Sum over symbols (the last axis) in their order.

    XLA's own sum has other last bits in other batch sizes, and so has a sum of products that it may
    contract to fused multiply-adds: the terms are settled first.
    """
    x = cut(x, params)
    out = x[..., 0]
    for s in range(1, x.shape[-1]):
        out = out + x[..., s]
    return out
