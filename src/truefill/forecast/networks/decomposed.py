"""Networks that part a window into a moving average (trend) and what remains, each read by itself.

The average sees the window alone: at its ends the first and the last bar are repeated (Wu et al.
2021). DLinear: Zeng et al. 2023.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from pydantic import Field

from truefill.config.fields import Count
from truefill.core.registry import Params
from truefill.forecast.networks.base import Inputs, Network, network
from truefill.forecast.networks.parts import Head, dense_adds, keys_of
from truefill.forecast.networks.recurrent import RecurrentParams, Stack, stack_adds
from truefill.market.types import Array


def averaging(window: int, bars: int) -> np.ndarray:
    """float32 [window, window]: row t averages the ``bars`` bars around bar t, the greater half of
    an even rest before it; bars outside the window are its first or last."""
    around = np.arange(bars) - bars // 2
    seen = np.clip(np.arange(window)[:, None] + around, 0, window - 1)
    counts = (seen[:, :, None] == np.arange(window)).sum(axis=1)
    return np.asarray(counts / bars, np.float32)


def decompose(x: Array, bars: int) -> tuple[Array, Array]:
    """Trend and remainder, each [T, features, N], of windows [T, features, N]."""
    mean = jnp.asarray(averaging(x.shape[0], bars))
    trend = (mean @ x.reshape(x.shape[0], -1)).reshape(x.shape)
    return trend, x - trend


class DlstmParams(RecurrentParams):
    """The window's moving average and what remains of it, each read by LSTMs of its own."""

    average_bars: Count = Field(10, description="bars of the moving average")


def _dlstm_adds(params: DlstmParams, inputs: Inputs) -> int:
    parts = inputs.window**2 * inputs.features + 2 * stack_adds(4, params, inputs)
    return parts + dense_adds(params.units, params.hidden, inputs)


@network("dlstm", DlstmParams, multiply_adds=_dlstm_adds)
class Dlstm(Network):
    """The last states of trend and remainder are added."""

    trend: Stack
    remainder: Stack
    head: Head
    average_bars: int = eqx.field(static=True)

    def __init__(self, key: Array, params: DlstmParams, inputs: Inputs) -> None:
        keys = jax.random.split(key, 3)
        self.average_bars = params.average_bars
        self.trend = Stack(keys[0], "lstm", inputs.features, params)
        self.remainder = Stack(keys[1], "lstm", inputs.features, params)
        self.head = Head(keys[2], params.units, params.hidden, inputs, params.dropout)

    def __call__(self, x: Array, key: Array | None) -> Array:
        trend, remainder = decompose(x, self.average_bars)
        keys = keys_of(key, 3)
        state = self.trend(trend, keys[0]) + self.remainder(remainder, keys[1])
        return self.head(state, keys[2])


class DlinearParams(Params):
    """Linear in the window's moving average and in what remains of it."""

    average_bars: Count = Field(10, description="bars of the moving average")
    individual: bool = Field(
        False, description="each feature has weights over time of its own; else all share them"
    )


def _dlinear_adds(params: DlinearParams, inputs: Inputs) -> int:
    bars, features, raw = inputs.window, inputs.features, inputs.heads * inputs.outputs
    return features * (bars**2 + 2 * bars * raw) + dense_adds(raw * features, (), inputs)


@network("dlinear", DlinearParams, multiply_adds=_dlinear_adds)
class Dlinear(Network):
    """Weights over time for each part, added, then a head over what they give of all features."""

    trend: Array
    """[window, outputs], or [features, window, outputs] where they are individual."""
    remainder: Array
    head: Head
    average_bars: int = eqx.field(static=True)

    def __init__(self, key: Array, params: DlinearParams, inputs: Inputs) -> None:
        raw = inputs.heads * inputs.outputs
        keys = jax.random.split(key, 3)
        shape = (inputs.features,) if params.individual else ()
        self.average_bars = params.average_bars
        self.trend, self.remainder = (
            jax.random.normal(k, (*shape, inputs.window, raw), jnp.float32) / inputs.window**0.5
            for k in keys[:2]
        )
        self.head = Head(keys[2], inputs.features * raw, (), inputs)

    def __call__(self, x: Array, key: Array | None) -> Array:
        trend, remainder = decompose(x, self.average_bars)
        seen = _over_time(self.trend, trend) + _over_time(self.remainder, remainder)
        return self.head(seen, key)


def _over_time(weight: Array, x: Array) -> Array:
    """[features * outputs, N] of a part [T, features, N]."""
    if weight.ndim == 3:
        return jnp.einsum("fto,tfn->fon", weight, x).reshape(-1, x.shape[2])
    out = weight.T @ x.reshape(len(x), -1)
    return jnp.swapaxes(out.reshape(-1, *x.shape[1:]), 0, 1).reshape(-1, x.shape[2])
