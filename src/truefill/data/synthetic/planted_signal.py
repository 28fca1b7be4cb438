"""Planted: a column of the bars tells part of the next bar's return.

The log return of bar t+1 is volatility (sqrt(strength) signal[t] + sqrt(1 - strength) noise[t+1]) -
volatility^2 / 2 with independent standard normal signal and noise. Without the signal the price is
a martingale.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from typing import Any

import numpy as np
import polars as pl

from truefill.data.join import Series
from truefill.data.synthetic.base import Floats, Ints, NoParams, Walk, World, source
from truefill.data.synthetic.chain import Chain, Place, independent, nearest

GRID = 201


def _predictor(p: Any, world: World) -> Chain:
    def read(grid: Floats) -> Place:
        def place(bars: pl.DataFrame, series: Mapping[str, Series]) -> Ints:
            return nearest(grid, bars["signal"].to_numpy())

        return place

    return independent(GRID, read)


@source("planted_signal", NoParams, predictor=_predictor)
def planted_signal(p: Any, world: World, rng: np.random.Generator) -> Walk:
    """Planted: the column ``signal`` (calculator ``column``) predicts the next bar."""
    signal = rng.standard_normal(world.bars + 1)  # signal[0] was known before the first bar
    noise = rng.standard_normal(world.bars)
    strength, sigma = world.strength, world.volatility
    known = sqrt(strength) * signal[:-1] + sqrt(1.0 - strength) * noise
    moves = sigma * known - sigma**2 / 2.0
    return Walk(moves, (1.0 - strength) * sigma**2, columns={"signal": signal[1:]})
