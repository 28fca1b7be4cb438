"""Returns that depend on the last one: what momentum and mean reversion share.

With x = log return + volatility^2 / 2: x[t+1] = c x[t] + sqrt(1 - c^2) volatility noise, which
explains the share c^2 of the variance: c = +-sqrt(strength).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt

import numpy as np
import polars as pl
from scipy.signal import lfilter

from truefill.core.errors import ConfigError
from truefill.data.join import Series
from truefill.data.synthetic.base import Floats, Ints, Walk, World
from truefill.data.synthetic.chain import Chain, Place, autoregression, nearest

GRID = 201
MOST = 0.99
"""Strength above this: the next return would be nothing but the last one again."""


def returns(world: World, coefficient: float, rng: np.random.Generator) -> Walk:
    """A stationary path, its first return drawn like any other."""
    _require_noise(world)
    sigma = world.volatility
    noise = rng.standard_normal(world.bars)
    noise[1:] *= sqrt(1.0 - coefficient**2)
    x = sigma * lfilter([1.0], [1.0, -coefficient], noise)
    return Walk(x - sigma**2 / 2.0, (1.0 - world.strength) * sigma**2)


def last_return_chain(world: World, sign: float) -> Chain:
    """z is the last return's x in units of volatility, times ``sign``."""
    _require_noise(world)
    sigma = world.volatility

    def read(grid: Floats) -> Place:
        def place(bars: pl.DataFrame, series: Mapping[str, Series]) -> Ints:
            moves = np.log(bars["close"].to_numpy() / bars["open"].to_numpy())
            return nearest(grid, sign * (moves + sigma**2 / 2.0) / sigma)

        return place

    return autoregression(sign * sqrt(world.strength), GRID, read)


def _require_noise(world: World) -> None:
    if world.strength > MOST:
        raise ConfigError(
            f"a market of kind {world.config.kind} takes a strength of {MOST:g} at most",
            where="data.synthetic.strength",
        )
