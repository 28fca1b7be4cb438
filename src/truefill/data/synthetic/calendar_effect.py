"""Planted: a drift that depends on the hour of the week, a daily wave and a weekly one."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt

import numpy as np
import polars as pl
from pydantic import Field

from truefill.core.errors import ConfigError
from truefill.core.registry import Params
from truefill.data.join import Series
from truefill.data.synthetic.base import Floats, Ints, Walk, World, source
from truefill.data.synthetic.chain import Chain, cycle

WEEK_US = 7 * 86_400_000_000
PATTERN = 1_000_003
"""Second word of the pattern's seed: no symbol has this number."""


class CalendarParams(Params):
    """Planted: the hour of the week predicts the drift."""

    weekly_share: float = Field(
        0.3,
        ge=0.0,
        le=1.0,
        description="share of the pattern that is a weekly wave; the rest is daily",
    )


def pattern(p: CalendarParams, world: World) -> tuple[Ints, Floats]:
    """The places in the week (microseconds since Thursday 00:00 UTC) where bars start, and what
    each adds; mean 0 and variance 1 over the week, with the phases of the market's seed."""
    step_us = round(world.interval_s * 1e6)
    if WEEK_US % step_us or step_us == WEEK_US:
        raise ConfigError(
            "a calendar effect needs an interval that divides the week",
            where="data.interval",
            do="e.g. 1h or 1d",
        )
    first = int(world.starts_us[0]) % step_us
    places = np.arange(first, WEEK_US, step_us)
    phases = np.random.default_rng([world.config.seed, PATTERN]).random(2)
    week = 2.0 * np.pi * (places / WEEK_US + phases[0])
    day = 2.0 * np.pi * (places / WEEK_US * 7.0 + phases[1])
    raw = sqrt(p.weekly_share) * np.sin(week) + sqrt(1.0 - p.weekly_share) * np.sin(day)
    raw = raw - np.mean(raw)
    size = sqrt(float(np.mean(raw**2)))
    if size < 1e-9:
        raise ConfigError(
            "bars of a day or more see nothing of a daily wave",
            where="data.synthetic.params.weekly_share",
            do="set it above 0, or shorten the interval",
        )
    return places, raw / size


def _predictor(p: CalendarParams, world: World) -> Chain:
    places, values = pattern(p, world)
    step_us = round(world.interval_s * 1e6)

    def place(bars: pl.DataFrame, series: Mapping[str, Series]) -> Ints:
        following = bars["timestamp"].dt.epoch("us").to_numpy() + step_us
        return np.searchsorted(places, following % WEEK_US)

    return cycle(values, place)


@source("calendar_effect", CalendarParams, predictor=_predictor)
def calendar_effect(p: CalendarParams, world: World, rng: np.random.Generator) -> Walk:
    """Planted: the drift follows the hour of the week, the same in every week."""
    places, values = pattern(p, world)
    z = values[np.searchsorted(places, world.starts_us % WEEK_US)]
    noise = rng.standard_normal(world.bars)
    strength, sigma = world.strength, world.volatility
    moves = sigma * (sqrt(strength) * z + sqrt(1.0 - strength) * noise) - sigma**2 / 2.0
    return Walk(moves, (1.0 - strength) * sigma**2)
