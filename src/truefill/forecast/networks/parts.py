"""What several networks have: dropout, fully connected layers and the head."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

import equinox as eqx
import jax
import jax.numpy as jnp
from pydantic import Field

from truefill.config.schema import NetworkConfig
from truefill.forecast.networks.base import Inputs
from truefill.market.types import Array
from truefill.nn.layers import Dense, activate, hidden

Rate = Annotated[float, Field(ge=0.0, lt=1.0)]
"""Share of units that dropout silences."""
RELU = NetworkConfig(activation="relu")
HEAD_GAIN = 0.1
"""Of a head's first weights: forecasts begin near 0, probabilities nearly equal."""
_STEPS = 1 << 16
"""A unit is silenced with a probability of so many parts: 16 random bits each."""


def dropout(x: Array, rate: float, key: Array | None) -> Array:
    """``x`` with each value 0 with probability ``rate`` (in steps of 2^-16), the others scaled so
    that the mean stays (Srivastava et al. 2014). Without a key: ``x``."""
    silenced = round(rate * _STEPS)
    if key is None or silenced == 0:
        return x
    kept = jax.random.bits(key, x.shape, jnp.uint16) >= silenced
    return jnp.where(kept, x * jnp.float32(_STEPS / (_STEPS - silenced)), 0.0)


def keys_of(key: Array | None, count: int) -> Sequence[Array | None]:
    """``count`` keys, or as many None."""
    return [None] * count if key is None else list(jax.random.split(key, count))


class Head(eqx.Module):
    """Fully connected layers with relu, then the raw outputs of every head."""

    layers: tuple[Dense, ...]
    out: Dense
    heads: int = eqx.field(static=True)
    rate: float = eqx.field(static=True)

    def __init__(
        self, key: Array, size_in: int, sizes: Sequence[int], inputs: Inputs, rate: float = 0.0
    ) -> None:
        """``sizes``: units of the layers before the last; ``rate``: dropout after each of them."""
        keys = jax.random.split(key, len(sizes) + 1)
        self.heads, self.rate = inputs.heads, rate
        steps = list(pairwise([size_in, *sizes]))
        self.layers = tuple(
            hidden(k, a, b, RELU) for k, (a, b) in zip(keys[:-1], steps, strict=True)
        )
        last = sizes[-1] if sizes else size_in
        self.out = Dense(keys[-1], last, inputs.heads * inputs.outputs, HEAD_GAIN)

    def __call__(self, x: Array, key: Array | None) -> Array:
        """[N, heads, outputs] of units [in, N]."""
        for layer, own in zip(self.layers, keys_of(key, len(self.layers)), strict=True):
            x = dropout(activate(RELU, layer(x)), self.rate, own)
        out = self.out(x)
        return jnp.transpose(out.reshape(self.heads, -1, out.shape[-1]), (2, 0, 1))


def dense_adds(size_in: int, sizes: Sequence[int], inputs: Inputs) -> int:
    """Multiply-adds of a :class:`Head` of one row."""
    steps = pairwise([size_in, *sizes, inputs.heads * inputs.outputs])
    return sum(a * b for a, b in steps)
