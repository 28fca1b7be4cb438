"""Causal self-attention over the window (Vaswani et al. 2017), normalization before each block
(Xiong et al. 2020), read out at the last bar.

Only the last bar is read, so the last block asks its question for that bar alone: with one block
attention costs a product with keys and values a bar, and nothing that grows with the window's
square.
"""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
from pydantic import Field, model_validator

from truefill.agents.encoders.base import Encoder, Inputs, encoder, require_window
from truefill.config.fields import Count
from truefill.core.registry import Params
from truefill.market.types import Array
from truefill.nn.attention import Block, each, sinusoidal
from truefill.nn.layers import Dense, LayerNorm

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
        self.blocks = tuple(
            Block(k, params.width, params.heads, params.expansion, network, causal=True)
            for k in keys
        )
        self.norm = LayerNorm(width)

    def embedded(self, market: Array) -> Array:
        """Each bar with its place, [width, window, N]."""
        x = each(self.embed, jnp.moveaxis(market, 0, 1))
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
