"""One-dimensional convolutions along the window (LeCun et al. 1989; dilation: van den Oord et al.
2016).

Positions count from the newest bar, which is always seen; nothing is padded.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from pydantic import Field

from truefill.agents.encoders.base import WHERE, Encoder, Inputs, encoder, require_window
from truefill.config.fields import Count
from truefill.config.schema import NetworkConfig
from truefill.core.errors import ConfigError
from truefill.core.registry import Params
from truefill.market.types import Array
from truefill.nn.convolution import convolve
from truefill.nn.layers import Dense, activate, hidden


class CnnParams(Params):
    """Convolutions along the window: patterns of a few bars, wherever they lie."""

    channels: tuple[Count, ...] = Field(
        (32, 32), min_length=1, description="units a bar after each layer"
    )
    kernel: Count = Field(3, description="bars that a layer looks at together")
    stride: Count = Field(2, description="a layer keeps every n-th position")
    dilation: Count = Field(
        1, description="layer k looks at every dilation^k-th position, k from 0; 1 = neighbours"
    )
    pooling: Literal["flatten", "last", "mean", "max"] = Field(
        "flatten", description="what goes on: all positions, the newest, their mean or maximum"
    )


def lengths(params: CnnParams, window: int) -> list[int]:
    """Positions before the first layer and after each one.

    Raises:
        ConfigError: a layer is left with fewer bars than its kernel spans.
    """
    found = [window]
    for k in range(len(params.channels)):
        span = (params.kernel - 1) * params.dilation**k + 1
        if found[-1] < span:
            raise ConfigError(
                f"layer {k + 1} of the cnn spans {span} positions, and {found[-1]} are left of a "
                f"window of {window}",
                where=f"{WHERE}.params",
                do="lengthen env.window_bars, or lower kernel, stride, dilation or the layers",
            )
        found.append((found[-1] - span) // params.stride + 1)
    return found


def _adds(params: CnnParams, inputs: Inputs) -> int:
    """Multiply-adds of one account's bar."""
    after = lengths(params, inputs.window)[1:]
    total, before = 0, inputs.features
    for positions, channels in zip(after, params.channels, strict=True):
        total += positions * params.kernel * before * channels
        before = channels
    return total


@encoder("cnn", CnnParams, multiply_adds=_adds)
class Cnn(Encoder):
    """Layers of convolutions, then pooling."""

    layers: tuple[Dense, ...]
    """Weights [kernel * channels before, channels], the oldest bar of the kernel first."""
    params: CnnParams = eqx.field(static=True)
    network: NetworkConfig = eqx.field(static=True)

    def __init__(self, key: Array, params: CnnParams, inputs: Inputs) -> None:
        require_window("cnn", inputs)
        lengths(params, inputs.window)
        self.params, self.network = params, inputs.network
        keys = jax.random.split(key, len(params.channels))
        before = (inputs.features, *params.channels[:-1])
        self.layers = tuple(
            hidden(k, params.kernel * a, b, inputs.network)
            for k, a, b in zip(keys, before, params.channels, strict=True)
        )

    def positions(self, market: Array) -> Array:
        """Units at each position after the last layer, [channels, positions, N]."""
        x = jnp.moveaxis(market, 0, 1)
        for layer, slices in zip(self.layers, self._taps(market.shape[0]), strict=True):
            x = activate(self.network, convolve(layer, x, slices))
        return x

    def __call__(self, market: Array, state: Array) -> Array:
        x = self.positions(market)
        if self.params.pooling == "flatten":
            return x.reshape(-1, x.shape[-1])
        if self.params.pooling == "last":
            return x[:, -1]
        return x.mean(axis=1) if self.params.pooling == "mean" else x.max(axis=1)

    def _taps(self, window: int) -> Iterator[list[slice]]:
        """By layer: the positions that each bar of the kernel falls on, oldest bar first."""
        p = self.params
        found = lengths(p, window)
        for k, (before, after) in enumerate(pairwise(found)):
            step = p.dilation**k
            newest = before - 1 - (after - 1) * p.stride
            starts = [newest - (p.kernel - 1 - j) * step for j in range(p.kernel)]
            yield [slice(s, s + (after - 1) * p.stride + 1, p.stride) for s in starts]
