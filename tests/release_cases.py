"""A made-up economic calendar, and the same one with all that was not yet known replaced."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from data_cases import HOUR, START_S
from truefill.data.releases import Releases

NAMES = ("CPI m/m", "Core CPI m/m", "Rate Statement", "PMI")
CURRENCIES = ("USD", "EUR")


def release_table(
    events: int, *, seed: int = 5, known_ahead_s: float = 30 * HOUR, hours: int = 600
) -> Releases:
    """``events`` at random quarters of an hour, from four days before the bars on."""
    rng = np.random.default_rng(seed)
    times = START_S - 96 * HOUR + 900 * np.sort(rng.integers(0, 4 * hours, events))
    actual, forecast, previous = 0.01 * rng.standard_normal((3, events))
    actual[rng.random(events) < 0.2] = np.nan
    return Releases(
        file="calendar.csv",
        time_s=times.astype(np.int64),
        impact=rng.integers(0, 4, events),
        name=np.array(NAMES)[rng.integers(0, len(NAMES), events)],
        currency=np.array(CURRENCIES)[rng.integers(0, len(CURRENCIES), events)],
        actual=actual,
        forecast=forecast,
        previous=previous,
        known_ahead_s=known_ahead_s,
        actual_lag_s=60.0,
        max_gap_s=4.0 * 24 * HOUR,
    )


def changed_releases(calendar: Releases, known_s: int, seed: int) -> Releases:
    """The calendar with every event replaced that was not yet listed at ``known_s``, and with every
    figure that was not yet out."""
    n = len(calendar)
    other = release_table(n, seed=seed + 1000)
    unlisted = calendar.time_s - calendar.known_ahead_s > known_s
    unpublished = calendar.time_s + calendar.actual_lag_s > known_s
    first = known_s + round(calendar.known_ahead_s) + 1
    moved = first + 60 * np.sort(np.random.default_rng(seed).integers(0, 20_000, n))
    return replace(
        calendar,
        time_s=np.where(unlisted, moved, calendar.time_s),
        **{k: np.where(unlisted, getattr(other, k), getattr(calendar, k))
           for k in ("impact", "name", "currency")},
        **{k: np.where(unpublished, getattr(other, k), getattr(calendar, k))
           for k in ("actual", "forecast", "previous")},
    )  # fmt: skip


def first_events(calendar: Releases, count: int) -> Releases:
    """The calendar when only its first ``count`` events were ever listed, and none is missed."""
    per_event = ("time_s", "impact", "name", "currency", "actual", "forecast", "previous")
    cut = {key: getattr(calendar, key)[:count] for key in per_event}
    return replace(calendar, **cut, max_gap_s=1e9)
