"""Convolutions along the window (LeCun et al. 1989), each followed by relu and pooling of pairs,
then fully connected layers over all positions."""

from __future__ import annotations

from itertools import pairwise

import jax
from pydantic import Field, model_validator

from truefill.config.fields import Count
from truefill.core.registry import Params
from truefill.forecast.networks.base import Inputs, Network, network
from truefill.forecast.networks.parts import RELU, Head, Rate, dense_adds
from truefill.market.types import Array
from truefill.nn.convolution import convolve, pool_pairs, same
from truefill.nn.layers import Dense, activate, hidden


class CnnParams(Params):
    """Convolutions along the window: patterns of a few bars, wherever they lie."""

    channels: tuple[Count, ...] = Field(
        (32, 64, 128), min_length=1, description="units a bar after each layer"
    )
    kernels: tuple[Count, ...] = Field(
        (3, 5, 7), min_length=1, description="bars that each layer looks at together"
    )
    hidden: tuple[Count, ...] = Field((128, 64), description="units of fully connected layers")
    dropout: Rate = Field(
        0.0, description="share of units silenced after each fully connected layer"
    )

    @model_validator(mode="after")
    def _as_many(self) -> CnnParams:
        if len(self.channels) != len(self.kernels):
            raise ValueError("channels and kernels differ in number")
        return self


def lengths(params: CnnParams, window: int) -> list[int]:
    """Positions before each layer, and after the last one's pooling."""
    found = [window]
    for _ in params.channels:
        found.append(max(found[-1] // 2, 1))
    return found


def _adds(params: CnnParams, inputs: Inputs) -> int:
    bars, before = lengths(params, inputs.window), [inputs.features, *params.channels]
    layers = zip(bars, params.kernels, pairwise(before), strict=False)
    total = sum(n * kernel * a * b for n, kernel, (a, b) in layers)
    return total + dense_adds(bars[-1] * before[-1], params.hidden, inputs)


@network("cnn", CnnParams, multiply_adds=_adds)
class Cnn(Network):
    """Each layer keeps the length (zeros outside the window), pooling halves it."""

    layers: tuple[Dense, ...]
    """Weights [kernel * channels before, channels], the oldest bar of the kernel first."""
    head: Head

    def __init__(self, key: Array, params: CnnParams, inputs: Inputs) -> None:
        *keys, head_key = jax.random.split(key, len(params.channels) + 1)
        sizes = pairwise([inputs.features, *params.channels])
        self.layers = tuple(
            hidden(k, kernel * a, b, RELU)
            for k, kernel, (a, b) in zip(keys, params.kernels, sizes, strict=True)
        )
        size = lengths(params, inputs.window)[-1] * params.channels[-1]
        self.head = Head(head_key, size, params.hidden, inputs, params.dropout)

    def __call__(self, x: Array, key: Array | None) -> Array:
        x = x.swapaxes(0, 1)
        for layer in self.layers:
            padded, taps = same(x, layer.weight.shape[0] // x.shape[0])
            # relu keeps the order: pooling first leaves it half the positions.
            x = activate(RELU, pool_pairs(convolve(layer, padded, taps)))
        return self.head(x.reshape(-1, x.shape[-1]), key)
