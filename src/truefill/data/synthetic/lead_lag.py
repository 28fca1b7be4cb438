"""Planted: a slow series from outside moves first, and the bars until its next value follow.

Every ``every_bars`` bars a value of the series ``leader`` is published. Its log change since the
value before, over LEADER_VOLATILITY, is the z of the bars that follow. It is stamped with a value
date ``lag`` before its publication: joined on the value date it would tell of bars that nobody
could know of yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from typing import Annotated, Any

import numpy as np
import polars as pl
from pydantic import Field

from truefill.config.fields import Duration
from truefill.core.registry import Params
from truefill.data.join import Series
from truefill.data.synthetic.base import Floats, Ints, Walk, World, source
from truefill.data.synthetic.chain import Chain, Place, held, nearest

LEADER = "leader"
"""Name of the series, for features (e.g. ``macro_pct_change``)."""
LEADER_VOLATILITY = 0.01
GRID = 61
SEED = 1_000_004


class LeadLagParams(Params):
    """Planted: the slow series ``leader`` predicts the bars until its next value."""

    every_bars: int = Field(24, ge=1, description="bars from one value of the leader to the next")
    lag: Annotated[Duration, Field(gt=0.0)] = Field(
        86_400.0, description="from a value's date to its publication"
    )


def _changes(p: LeadLagParams, world: World) -> Floats:
    """z of every stretch of bars: standard normal draws, the same for all symbols."""
    count = -(-world.bars // p.every_bars)
    return np.random.default_rng([world.config.seed, SEED]).standard_normal(count)


def leader(p: LeadLagParams, world: World) -> Series:
    """The series as a reader of files would have made it."""
    z = _changes(p, world)
    first_s = round(world.starts_us[0] / 1e6)
    stretch_s = p.every_bars * world.interval_s
    published = first_s + np.round(np.arange(-1, len(z)) * stretch_s).astype(np.int64)
    level = 100.0 * np.exp(LEADER_VOLATILITY * np.concatenate([[0.0], np.cumsum(z)]))
    return Series(
        name=LEADER,
        value_date_s=published - round(p.lag),
        available_at_s=published,
        values=level,
        max_staleness_s=2.0 * stretch_s,
        publication_lag_s=p.lag,
        file="synthetic:lead_lag",
    )


def _predictor(p: LeadLagParams, world: World) -> Chain:
    def read(grid: Floats) -> Place:
        def place(bars: pl.DataFrame, series: Mapping[str, Series]) -> Ints:
            closes_s = bars["timestamp"].dt.epoch("s").to_numpy() + round(world.interval_s)
            known = series[LEADER]
            z = np.diff(np.log(known.values), prepend=0.0) / LEADER_VOLATILITY
            newest = np.searchsorted(known.available_at_s, closes_s, side="right") - 1
            since_s = closes_s - known.available_at_s[newest]
            phase = np.round(since_s / world.interval_s).astype(np.int64)
            return np.minimum(phase, p.every_bars - 1) * GRID + nearest(grid, z[newest])

        return place

    return held(p.every_bars, GRID, read)


def _series(p: Any, world: World) -> Series:
    return leader(p, world)


@source("lead_lag", LeadLagParams, predictor=_predictor, series=_series)
def lead_lag(p: LeadLagParams, world: World, rng: np.random.Generator) -> Walk:
    """Planted: the slow series ``leader`` moves first; its last change predicts the bars."""
    z = np.repeat(_changes(p, world), p.every_bars)[: world.bars]
    noise = rng.standard_normal(world.bars)
    strength, sigma = world.strength, world.volatility
    moves = sigma * (sqrt(strength) * z + sqrt(1.0 - strength) * noise) - sigma**2 / 2.0
    return Walk(moves, (1.0 - strength) * sigma**2)
