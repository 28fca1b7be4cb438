"""Causal self-attention over the window (Vaswani et al. 2017), normalization before each block
(Xiong et al. 2020), read out at the last bar.

Only the last bar is read, so the last block asks its question for that bar alone: with one block
attention costs a product with keys and values a bar, and nothing that grows with the window's
square.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from pydantic import Field, model_validator

from truefill.agents.encoders.base import Encoder, Inputs, encoder, require_window
from truefill.config.fields import Count
from truefill.config.schema import NetworkConfig
from truefill.core.registry import Params
from truefill.market.types import Array
from truefill.nn.layers import Dense, LayerNorm, activate, hidden

FORBIDDEN = -1e9
"""Score of a later bar."""
CHUNK = 256
"""Accounts that are taken together: their bars' units then stay in the cache, which makes forth and
back twice as fast at 2,048 accounts."""
POSITION_SCALE = 0.02
"""Standard deviation of learned positions at first."""


class AttentionParams(Params):
    """Self-attention over the window: what matters now decides which bars are read."""

    layers: Count = Field(1, description="blocks of attention and a two-layer network")
    heads: Count = Field(2, description="heads; divide width")
    width: Count = Field(32, description="units a bar")
    expansion: Count = Field(2, description="units of the two-layer network / width")
    positions: Literal["learned", "sinusoidal"] = Field(
        "learned", description="how a bar knows its place in the window"
    )

    @model_validator(mode="after")
    def _divisible(self) -> AttentionParams:
        if self.width % self.heads:
            raise ValueError(f"heads {self.heads} do not divide width {self.width}")
        return self


def _adds(params: AttentionParams, inputs: Inputs) -> int:
    """Multiply-adds of one account's bar."""
    bars, width = inputs.window, params.width
    block = 2 * bars * width * width  # keys and values
    ask = width * width * (2 + 2 * params.expansion) + 2 * bars * width  # of one bar
    return (
        bars * inputs.features * width
        + params.layers * block
        + ask * (1 + (params.layers - 1) * bars)
    )


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

    def __init__(self, key: Array, params: AttentionParams, network: NetworkConfig) -> None:
        keys, width = jax.random.split(key, 5), params.width
        kind = network.initialization
        self.heads, self.network = params.heads, network
        self.before, self.between = LayerNorm(width), LayerNorm(width)
        self.query = Dense(keys[0], width, width, 1.0, kind)
        self.keys_values = Dense(keys[1], width, 2 * width, 1.0, kind)
        self.out = Dense(keys[2], width, width, 1.0, kind)
        self.wide = hidden(keys[3], width, params.expansion * width, network)
        self.narrow = Dense(keys[4], params.expansion * width, width, 1.0, kind)

    def __call__(self, x: Array, *, last: bool) -> Array:
        """[width, bars, N] -> the same, or its last bar alone [width, 1, N]."""
        normal = _each(self.before, x)
        asked = normal[:, -1:] if last else normal
        query = self._by_head(_each(self.query, asked))
        both = self._by_head(_each(self.keys_values, normal), 2)
        heard = _attend(query, both[0], both[1])
        x = (x[:, -1:] if last else x) + _each(self.out, heard.reshape(asked.shape))
        wide = activate(self.network, _each(self.wide, _each(self.between, x)))
        return x + _each(self.narrow, wide)

    def _by_head(self, x: Array, parts: int = 1) -> Array:
        """[parts * width, bars, N] -> [parts, heads, width / heads, bars, N]; of 1 part that."""
        out = x.reshape(parts, self.heads, -1, *x.shape[1:])
        return out if parts > 1 else out[0]


@encoder("attention", AttentionParams, multiply_adds=_adds)
class Attention(Encoder):
    """Embedding of each bar, its place, blocks, and the last bar's units normalized."""

    embed: Dense
    places: Array
    """[width, window] where positions are learned, else empty."""
    blocks: tuple[Block, ...]
    norm: LayerNorm

    def __init__(self, key: Array, params: AttentionParams, inputs: Inputs) -> None:
        require_window("attention", inputs)
        embed_key, place_key, *keys = jax.random.split(key, 2 + params.layers)
        width, network = params.width, inputs.network
        self.embed = Dense(embed_key, inputs.features, width, 1.0, network.initialization)
        shape = (width, inputs.window if params.positions == "learned" else 0)
        self.places = POSITION_SCALE * jax.random.normal(place_key, shape, jnp.float32)
        self.blocks = tuple(Block(k, params, network) for k in keys)
        self.norm = LayerNorm(width)

    def embedded(self, market: Array) -> Array:
        """Each bar with its place, [width, window, N]."""
        x = _each(self.embed, jnp.moveaxis(market, 0, 1))
        width, bars = x.shape[:2]
        places = self.places if self.places.shape[1] else jnp.asarray(sinusoidal(width, bars))
        return x + places[:, :, None]

    def bars(self, market: Array) -> Array:
        """Units of every bar before the last block, [width, window, N]: bar t depends on the bars
        up to t."""
        x = self.embedded(market)
        for block in self.blocks[:-1]:
            x = block(x, last=False)
        return x

    def __call__(self, market: Array, state: Array) -> Array:
        count = market.shape[-1]
        if count <= CHUNK or count % CHUNK:
            return self._last(market)
        parts = jnp.moveaxis(market.reshape(*market.shape[:2], -1, CHUNK), 2, 0)
        out = jax.lax.map(self._last, parts)
        return jnp.moveaxis(out, 0, 1).reshape(-1, count)

    def _last(self, market: Array) -> Array:
        return self.norm(self.blocks[-1](self.bars(market), last=True)[:, 0])


def sinusoidal(width: int, bars: int) -> Any:
    """Places of Vaswani et al. 2017, float32 [width, bars]: row 2i is the sine of, row 2i + 1 the
    cosine of bar / 10000^(2i / width)."""
    rate = 10_000.0 ** (-2.0 * (np.arange(width) // 2) / width)
    angle = rate[:, None] * np.arange(bars)
    return np.where(np.arange(width)[:, None] % 2 == 0, np.sin(angle), np.cos(angle)).astype("f4")


def _each(layer: Any, x: Array) -> Array:
    """A layer on every bar: [in, bars, N] -> [out, bars, N]."""
    out = layer(x.reshape(x.shape[0], -1))
    return out.reshape(out.shape[0], *x.shape[1:])


def _attend(query: Array, key: Array, value: Array) -> Array:
    """[heads, depth, asked, N] of the last ``asked`` bars, over keys and values [heads, depth,
    bars, N] of the bars up to each. Batched products, although accounts lie along the last axis:
    XLA keeps every product of a sum that is written out element by element in memory."""
    asked, bars = query.shape[2], key.shape[2]
    score = jnp.einsum("hdan,hdbn->habn", query, key) / math.sqrt(key.shape[1])
    if asked > 1:
        later = np.arange(bars) > np.arange(bars - asked, bars)[:, None]
        score = jnp.where(later[:, :, None], jnp.float32(FORBIDDEN), score)
    return jnp.einsum("habn,hdbn->hdan", jax.nn.softmax(score, axis=2), value)
