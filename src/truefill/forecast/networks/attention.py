"""Self-attention over the whole window (Vaswani et al. 2017), normalization before each part (Xiong
et al. 2020). The window ends at the row, so that no bar needs to be hidden from another."""

from __future__ import annotations

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from pydantic import Field, model_validator

from truefill.config.fields import Count
from truefill.config.schema import NetworkConfig
from truefill.core.registry import Params
from truefill.forecast.networks.base import Inputs, Network, network
from truefill.forecast.networks.parts import Head, Rate, dense_adds, dropout, keys_of
from truefill.market.types import Array
from truefill.nn.attention import Block, each, sinusoidal
from truefill.nn.layers import Dense, LayerNorm

POSITION_SCALE = 0.02
"""Standard deviation of learned positions at first."""
BLOCK = NetworkConfig(activation="relu")


class AttentionParams(Params):
    """Self-attention over the window: what matters decides which bars are read."""

    layers: Count = Field(2, description="blocks of attention and a two-layer network")
    heads: Count = Field(8, description="heads of attention; divide width")
    width: Count = Field(128, description="units a bar")
    expansion: Count = Field(4, description="units of the two-layer network / width")
    positions: Literal["learned", "sinusoidal"] = Field(
        "learned", description="how a bar knows its place in the window"
    )
    pooling: Literal["last", "mean"] = Field(
        "last", description="what forecasts: the newest bar, or the mean of all"
    )
    dropout: Rate = Field(0.0, description="share of units silenced after each block")

    @model_validator(mode="after")
    def _divisible(self) -> AttentionParams:
        if self.width % self.heads:
            raise ValueError(f"heads {self.heads} do not divide width {self.width}")
        return self


def _adds(params: AttentionParams, inputs: Inputs) -> int:
    bars, width = inputs.window, params.width
    block = 2 * bars * width * width  # keys and values
    ask = width * width * (2 + 2 * params.expansion) + 2 * bars * width  # of one bar
    asked = (params.layers - 1) * bars + (1 if params.pooling == "last" else bars)
    total = bars * inputs.features * width + params.layers * block + asked * ask
    return total + dense_adds(width, (), inputs)


@network("attention", AttentionParams, multiply_adds=_adds)
class Attention(Network):
    """Embedding of each bar, its place, blocks, normalization, and the pooled units' head."""

    embed: Dense
    places: Array
    """[width, window] where positions are learned, else empty."""
    blocks: tuple[Block, ...]
    norm: LayerNorm
    head: Head
    params: AttentionParams = eqx.field(static=True)

    def __init__(self, key: Array, params: AttentionParams, inputs: Inputs) -> None:
        embed_key, place_key, head_key, *keys = jax.random.split(key, 3 + params.layers)
        self.params = params
        self.embed = Dense(embed_key, inputs.features, params.width, 1.0)
        shape = (params.width, inputs.window if params.positions == "learned" else 0)
        self.places = POSITION_SCALE * jax.random.normal(place_key, shape, jnp.float32)
        self.blocks = tuple(
            Block(k, params.width, params.heads, params.expansion, BLOCK, causal=False)
            for k in keys
        )
        self.norm = LayerNorm(params.width)
        self.head = Head(head_key, params.width, (), inputs)

    def __call__(self, x: Array, key: Array | None) -> Array:
        p, keys = self.params, keys_of(key, len(self.blocks))
        bars = x.shape[0]
        x = each(self.embed, x.swapaxes(0, 1))
        places = self.places if self.places.shape[1] else jnp.asarray(sinusoidal(p.width, bars))
        x = x + places[:, :, None]
        for i, (block, own) in enumerate(zip(self.blocks, keys, strict=True), start=1):
            newest = p.pooling == "last" and i == p.layers
            x = dropout(block(x, last=newest), p.dropout, own)
        pooled = each(self.norm, x).mean(axis=1)
        return self.head(pooled, None)
