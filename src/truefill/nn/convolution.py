"""One-dimensional convolution along windows [channels, positions, N] as one matrix product over the
unfolded window: XLA's own leaves its fast path inside a compiled loop on a CPU, and was 20 to 40
times as slow there."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp

from truefill.market.types import Array
from truefill.nn.layers import Dense


def convolve(layer: Dense, x: Array, taps: Sequence[slice]) -> Array:
    """[channels out, positions, N] of ``x`` [channels in, bars, N]. ``taps``: by bar of the kernel
    the positions that it falls on, as many each; the layer's weights are [kernel * channels in,
    channels out], in that order."""
    seen = jnp.concatenate([x[:, tap] for tap in taps])
    out = layer(seen.reshape(seen.shape[0], -1))
    return out.reshape(out.shape[0], *seen.shape[1:])


def same(x: Array, kernel: int) -> tuple[Array, list[slice]]:
    """``x`` [channels, bars, N] with zeros before and behind, and the taps of a kernel that gives
    as many positions as there were bars."""
    bars, before = x.shape[1], kernel // 2
    padded = jnp.pad(x, ((0, 0), (before, kernel - 1 - before), (0, 0)))
    return padded, [slice(j, j + bars) for j in range(kernel)]


def pool_pairs(x: Array) -> Array:
    """The greater of two neighbours, [channels, positions // 2, N], counted from the newest: of an
    odd number the oldest is left out. One position stays one."""
    if x.shape[1] < 2:
        return x
    odd = x.shape[1] % 2
    return jnp.maximum(x[:, odd::2], x[:, odd + 1 :: 2])
