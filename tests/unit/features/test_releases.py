"""Features of economic events, by hand: what a bar's close knows of the calendar."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from data_cases import HOUR, START_S, context, walk
from truefill.core.errors import ConfigError
from truefill.data.releases import Releases
from truefill.features.registry import CALCULATORS, Context

DAY = 24 * HOUR


def calendar(*events: tuple[float, str, str, int, float, float], **options: Any) -> Releases:
    """Events (hour, name, currency, impact, actual, forecast); known a day ahead, figures a minute
    after, and no hole counts."""
    hours, names, currencies, impacts, actual, forecast = zip(*events, strict=True)
    rule = {"known_ahead_s": 24.0 * HOUR, "actual_lag_s": 60.0, "max_gap_s": 1e9, **options}
    return Releases(
        "c.csv", (START_S + HOUR * np.array(hours)).astype(np.int64), np.array(impacts),
        np.array(names), np.array(currencies), np.array(actual), np.array(forecast),
        np.full(len(hours), np.nan), **rule,
    )  # fmt: skip


EVENTS = calendar(
    (2.0, "CPI m/m", "USD", 3, 0.004, 0.002),
    (2.0, "Core CPI m/m", "USD", 2, 0.001, 0.002),
    (10.5, "Rate Statement", "EUR", 3, np.nan, np.nan),
    (48.0, "CPI m/m", "USD", 3, 0.009, np.nan),
    (60.0, "CPI m/m", "USD", 1, 0.001, 0.002),
)


def seen(name: str, *calendars: Releases, bars: int = 80, **params: Any) -> dict[float, float]:
    """The feature by the hour at which each bar closes."""
    history: Context = replace(context(walk(bars)), releases=calendars or (EVENTS,))
    entry = CALCULATORS.get(name)
    values = entry.make(entry.params(**params), history)
    closes = (history.closes_s - START_S) / HOUR
    return dict(zip(closes.tolist(), values.tolist(), strict=True))


def test_hours_since_the_last_event_that_passes_the_filters() -> None:
    usd = seen("hours_since_event", currencies=["USD"], cap=30)
    assert np.isnan(usd[1.0])  # nothing is listed before
    assert [usd[h] for h in (2.0, 3.0, 11.0, 32.0, 40.0, 48.0)] == [0, 1, 9, 30, 30, 0]
    high = seen("hours_since_event", impacts=["high"])
    assert [high[h] for h in (10.0, 11.0, 47.0, 60.0)] == [8, 0.5, 36.5, 12]
    core = seen("hours_since_event", contains="CORE")
    assert core[50.0] == 48.0
    assert seen("hours_since_event", currencies=["JPY"])[50.0] == 168.0  # none: the cap


def test_hours_to_the_next_event_only_once_it_is_known_ahead() -> None:
    cpi = seen("hours_to_event", contains="cpi", cap=100)
    assert [cpi[h] for h in (23.0, 24.0, 47.0, 48.0, 59.0)] == [100, 24, 1, 12, 1]
    assert cpi[60.0] == cpi[79.0] == 100  # none is listed any more
    short = seen("hours_to_event", contains="cpi", cap=6)
    assert [short[h] for h in (30.0, 42.0, 43.0)] == [6, 6, 5]


def test_the_largest_impact_around_a_bar() -> None:
    impact = seen("event_impact", before=3, after=1)
    assert [impact[h] for h in (2.0, 3.0, 4.0, 7.0, 8.0, 11.0, 12.0)] == [3, 3, 0, 0, 3, 3, 0]
    assert [impact[h] for h in (44.0, 45.0, 57.0, 61.0, 62.0)] == [0, 3, 1, 1, 0]
    far = seen("event_impact", before=100, after=0)  # no further than what is known ahead
    assert [far[h] for h in (23.0, 24.0)] == [0, 3]


def test_a_surprise_shows_once_its_figures_are_out_and_fades() -> None:
    """At its very hour the figure is not out: its lag is a minute. Of two at one moment the last in
    the file counts; one without a forecast is none."""
    params: dict[str, Any] = {"scale": 0.001, "half_life": 2}
    both = seen("event_surprise", contains="cpi", **params)
    assert both[2.0] == 0.0
    np.testing.assert_allclose([both[h] for h in (3.0, 4.0, 6.0)], -(0.5 ** np.array([0.5, 1, 2])))
    usd = seen("event_surprise", contains="CPI m/m", impacts=["high"], clip=1.5, scale=0.001,
               half_life=None)  # fmt: skip
    assert [usd[h] for h in (3.0, 47.0, 49.0, 79.0)] == [1.5, 1.5, 1.5, 1.5]
    at_once = replace(EVENTS, actual_lag_s=0.0)
    assert seen("event_surprise", at_once, contains="core", scale=0.001)[2.0] == -1.0
    assert seen("event_surprise", contains="nothing", scale=1.0)[50.0] == 0.0


def test_recent_high_impact_lasts_its_hours() -> None:
    flag = seen("recent_high_impact", hours=5)
    assert [flag[h] for h in (2.0, 7.0, 8.0, 11.0, 15.0, 16.0, 60.0)] == [1, 1, 0, 1, 1, 0, 0]
    assert seen("recent_high_impact")[79.0] == 1.0  # 96 hours


def test_the_nearest_of_several_calendars_counts_and_all_must_cover() -> None:
    other = calendar((1.0, "CPI m/m", "USD", 1, 0.0, 0.0), (20.0, "CPI m/m", "USD", 1, 0.5, 0.0),
                     known_ahead_s=2.0 * HOUR)  # fmt: skip
    since = seen("hours_since_event", EVENTS, other)
    assert np.isnan(since[1.0]) and [since[h] for h in (3.0, 20.0, 21.0)] == [1, 0, 1]
    to = seen("hours_to_event", EVENTS, other, contains="cpi", cap=50)
    assert [to[h] for h in (17.0, 18.0, 24.0, 47.0)] == [50, 2, 24, 1]
    surprise = seen("event_surprise", EVENTS, other, contains="cpi", scale=1.0, half_life=None)
    assert [surprise[h] for h in (20.0, 21.0, 61.0)] == [-0.001, 0.5, -0.001]
    assert seen("event_impact", EVENTS, other, before=0, after=0)[20.0] == 1.0
    holed = replace(other, max_gap_s=10.0 * HOUR)
    assert np.isnan(seen("hours_since_event", EVENTS, holed)[12.0])


def test_where_the_calendar_has_a_hole_nothing_is_said() -> None:
    """No event for 37.5 hours from 10.5 on, and 24 known ahead: a hole is known once the gap to
    what is listed exceeds the limit."""
    holed = replace(EVENTS, max_gap_s=30.0 * HOUR)
    found = seen("recent_high_impact", holed)
    assert [np.isnan(found[h]) for h in (10.0, 16.0, 17.0, 47.0, 48.0, 60.0, 67.0)] == [
        False, False, True, True, False, False, True,
    ]  # fmt: skip


def test_without_a_calendar_the_config_is_refused() -> None:
    entry = CALCULATORS.get("event_impact")
    with pytest.raises(ConfigError, match=r"data\.releases"):
        entry.make(entry.params(), context(walk(3)))
