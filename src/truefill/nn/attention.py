"""Blocks of self-attention over the bars of windows [units, bars, N] (Vaswani et al. 2017),
normalization before each part (Xiong et al. 2020)."""

from __future__ import annotations

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from truefill.config.schema import NetworkConfig
from truefill.market.types import Array
from truefill.nn.layers import Dense, LayerNorm, activate, hidden

FORBIDDEN = -1e9
"""Score of a later bar."""


class Block(eqx.Module):
    """Attention and a two-layer network, each added to what comes in."""

    before: LayerNorm
    query: Dense
    keys_values: Dense
    """[width, 2 * width]: keys, then values."""
    out: Dense
    between: LayerNorm
    wide: Dense
    narrow: Dense
    heads: int = eqx.field(static=True)
    network: NetworkConfig = eqx.field(static=True)
    causal: bool = eqx.field(static=True)

    def __init__(
        self,
        key: Array,
        width: int,
        heads: int,
        expansion: int,
        network: NetworkConfig,
        *,
        causal: bool,
    ) -> None:
        """``expansion``: units of the two-layer network / width; ``network``: activation and
        initialization; ``causal``: a bar reads no later one."""
        keys = jax.random.split(key, 5)
        kind = network.initialization
        self.heads, self.network, self.causal = heads, network, causal
        self.before, self.between = LayerNorm(width), LayerNorm(width)
        self.query = Dense(keys[0], width, width, 1.0, kind)
        self.keys_values = Dense(keys[1], width, 2 * width, 1.0, kind)
        self.out = Dense(keys[2], width, width, 1.0, kind)
        self.wide = hidden(keys[3], width, expansion * width, network)
        self.narrow = Dense(keys[4], expansion * width, width, 1.0, kind)

    def __call__(self, x: Array, *, last: bool) -> Array:
        """[width, bars, N] -> the same, or its last bar alone [width, 1, N]."""
        normal = each(self.before, x)
        asked = normal[:, -1:] if last else normal
        query = self._by_head(each(self.query, asked))
        both = self._by_head(each(self.keys_values, normal), 2)
        heard = _attend(query, both[0], both[1], causal=self.causal)
        x = (x[:, -1:] if last else x) + each(self.out, heard.reshape(asked.shape))
        wide = activate(self.network, each(self.wide, each(self.between, x)))
        return x + each(self.narrow, wide)

    def _by_head(self, x: Array, parts: int = 1) -> Array:
        """[parts * width, bars, N] -> [parts, heads, width / heads, bars, N]; of 1 part that."""
        out = x.reshape(parts, self.heads, -1, *x.shape[1:])
        return out if parts > 1 else out[0]


def sinusoidal(width: int, bars: int) -> Any:
    """Places of Vaswani et al. 2017, float32 [width, bars]: row 2i is the sine of, row 2i + 1 the
    cosine of bar / 10000^(2i / width)."""
    rate = 10_000.0 ** (-2.0 * (np.arange(width) // 2) / width)
    angle = rate[:, None] * np.arange(bars)
    return np.where(np.arange(width)[:, None] % 2 == 0, np.sin(angle), np.cos(angle)).astype("f4")


def each(layer: Any, x: Array) -> Array:
    """A layer on every bar: [in, bars, N] -> [out, bars, N]."""
    out = layer(x.reshape(x.shape[0], -1))
    return out.reshape(out.shape[0], *x.shape[1:])


def _attend(query: Array, key: Array, value: Array, *, causal: bool) -> Array:
    """[heads, depth, asked, N] of the last ``asked`` bars, over keys and values [heads, depth,
    bars, N]; ``causal``: of the bars up to each. Batched products, although the batch lies along
    the last axis: XLA keeps every product of a sum that is written out element by element in
    memory."""
    asked, bars = query.shape[2], key.shape[2]
    score = jnp.einsum("hdan,hdbn->habn", query, key) / math.sqrt(key.shape[1])
    if causal and asked > 1:
        later = np.arange(bars) > np.arange(bars - asked, bars)[:, None]
        score = jnp.where(later[:, :, None], jnp.float32(FORBIDDEN), score)
    return jnp.einsum("habn,hdbn->hdan", jax.nn.softmax(score, axis=2), value)
