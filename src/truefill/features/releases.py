"""Features of economic events: how long since and until, how important, how surprising.

Each looks at a calendar as it was known at the bar's close (:mod:`truefill.data.releases`): past
events, and scheduled ones within ``known_ahead``; figures only once they are out. With several
calendars the nearest, most important or latest event of all counts. Without a value (NaN) where a
calendar does not cover the bar.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from truefill.core.errors import ConfigError
from truefill.core.registry import Params
from truefill.data.releases import IMPACTS, Releases
from truefill.features.base import Context, Floats, Ints, calculator

Bools = npt.NDArray[np.bool_]
Moments = npt.NDArray[np.floating[Any]] | Ints
Impact = Literal["high", "medium", "low", "none"]
HOUR_S = 3_600.0


class EventFilter(Params):
    """Which events count; an empty list: all."""

    currencies: tuple[str, ...] = Field((), description="currencies, as the calendar writes them")
    impacts: tuple[Impact, ...] = Field((), description="impacts: high, medium, low, none")
    contains: str = Field("", description="part of the event's name, in any case")

    def chosen(self, calendar: Releases) -> Bools:
        """bool[N]: events of the calendar that pass."""
        keep = np.ones(len(calendar), np.bool_)
        if self.currencies:
            keep &= np.isin(calendar.currency, self.currencies)
        if self.impacts:
            keep &= np.isin(calendar.impact, [IMPACTS[impact] for impact in self.impacts])
        if self.contains:
            keep &= np.char.find(np.char.lower(calendar.name), self.contains.lower()) >= 0
        return keep


def _calendars(p: EventFilter, bars: Context) -> Iterator[tuple[Releases, Bools]]:
    if not bars.releases:
        raise ConfigError(
            "features of economic events need a calendar", where="data.releases",
            do="name its file and known_ahead",
        )  # fmt: skip
    for calendar in bars.releases:
        yield calendar, p.chosen(calendar)


def _covered(bars: Context, values: Floats) -> Floats:
    """``values``, NaN where some calendar does not cover the bar's close."""
    covered = np.ones(len(bars), np.bool_)
    for calendar in bars.releases:
        covered &= calendar.covers(bars.closes_s)
    return np.where(covered, values, np.nan)


class HoursSinceParams(EventFilter):
    """Hours since the last event."""

    cap: float = Field(168.0, gt=0.0, description="largest value, hours; also where there is none")


@calculator(
    "hours_since_event", HoursSinceParams, unit="hours", crosses_session=True,
    source="bar's close - moment of the last event before or at it",
    values_needed=lambda p: 1,
)  # fmt: skip
def hours_since_event(p: HoursSinceParams, bars: Context) -> Floats:
    """Hours from the last event to the bar's close, ``cap`` at most."""
    out = np.full(len(bars), p.cap)
    for calendar, chosen in _calendars(p, bars):
        times = calendar.time_s[chosen]
        n = np.searchsorted(times, bars.closes_s, side="right")
        past = np.append(-np.inf, times)[n]
        out = np.minimum(out, (bars.closes_s - past) / HOUR_S)
    return _covered(bars, out)


class HoursToParams(EventFilter):
    """Hours to the next scheduled event."""

    cap: float = Field(168.0, gt=0.0, description="largest value, hours; also where none is known")


@calculator(
    "hours_to_event", HoursToParams, unit="hours", crosses_session=True,
    source="moment of the next event known ahead - bar's close",
    values_needed=lambda p: 1,
)  # fmt: skip
def hours_to_event(p: HoursToParams, bars: Context) -> Floats:
    """Hours from the bar's close to the next event that the calendar shows by then, at most
    ``cap``; also ``cap`` where it shows none within ``known_ahead``."""
    out = np.full(len(bars), p.cap)
    for calendar, chosen in _calendars(p, bars):
        times = calendar.time_s[chosen]
        n = np.searchsorted(times, bars.closes_s, side="right")
        ahead = np.append(times, np.inf)[n] - bars.closes_s
        known = ahead <= calendar.known_ahead_s
        out = np.where(known, np.minimum(out, ahead / HOUR_S), out)
    return _covered(bars, out)


class EventImpactParams(EventFilter):
    """Largest impact of the events around a bar."""

    before: float = Field(1.0, ge=0.0, description="hours ahead of an event in which it counts")
    after: float = Field(1.0, ge=0.0, description="hours after an event in which it counts")


@calculator(
    "event_impact", EventImpactParams, unit="0 none, 1 low, 2 medium, 3 high", crosses_session=True,
    source="largest impact of the events in the window, the scheduled ones as far as known ahead",
    normalized=True, values_needed=lambda p: 1,
)  # fmt: skip
def event_impact(p: EventImpactParams, bars: Context) -> Floats:
    """Largest impact among events from ``after`` hours before the close to ``before`` hours after
    it; 0 where there is none."""
    out = np.zeros(len(bars))
    for calendar, chosen in _calendars(p, bars):
        first = bars.closes_s - p.after * HOUR_S
        last = bars.closes_s + min(p.before * HOUR_S, calendar.known_ahead_s)
        for level in sorted(set(IMPACTS.values())):
            times = calendar.time_s[chosen & (calendar.impact == level)]
            out = np.where(_between(times, first, last), np.maximum(out, level), out)
    return _covered(bars, out)


class RecentHighImpactParams(EventFilter):
    """1 while an event of high impact lies in the last hours."""

    impacts: tuple[Impact, ...] = Field(("high",), description="impacts that count")
    hours: float = Field(96.0, gt=0.0, description="hours for which an event counts")


@calculator(
    "recent_high_impact", RecentHighImpactParams, unit="0 or 1", crosses_session=True,
    source="an event of these impacts in the last hours (as in system 001, over 96 h)",
    normalized=True, values_needed=lambda p: 1,
)  # fmt: skip
def recent_high_impact(p: RecentHighImpactParams, bars: Context) -> Floats:
    """1.0 where an event took place in the ``hours`` up to the bar's close, else 0.0."""
    out = np.zeros(len(bars))
    for calendar, chosen in _calendars(p, bars):
        times, closes = calendar.time_s[chosen], bars.closes_s
        out = np.where(_between(times, closes - p.hours * HOUR_S, closes), 1.0, out)
    return _covered(bars, out)


def _between(times: Ints, first: Moments, last: Moments) -> Bools:
    """bool[T]: some of ``times`` (ascending) lies in [first, last]."""
    before = np.searchsorted(times, first, side="left")
    return np.searchsorted(times, last, side="right") > before


class EventSurpriseParams(EventFilter):
    """Actual minus forecast of the latest release."""

    scale: float = Field(
        gt=0.0, description="size of a usual surprise, in the figure's unit (percent: 0.001 = 0.1%)"
    )
    clip: float = Field(5.0, gt=0.0, description="clip to +- this, in usual surprises")
    half_life: float | None = Field(
        24.0, gt=0.0, description="hours in which it fades by half; null = until the next release"
    )


@calculator(
    "event_surprise", EventSurpriseParams, unit="usual surprises", crosses_session=True,
    source="(actual - forecast) / scale of the latest release that is out, fading",
    normalized=True, values_needed=lambda p: 1,
)  # fmt: skip
def event_surprise(p: EventSurpriseParams, bars: Context) -> Floats:
    """Clipped surprise of the latest release with both figures whose ``actual_lag`` has passed; of
    several at one moment the last in the file; 0 before the first one."""
    out = np.zeros(len(bars))
    latest = np.full(len(bars), -np.inf)
    for calendar, chosen in _calendars(p, bars):
        both = chosen & ~np.isnan(calendar.actual) & ~np.isnan(calendar.forecast)
        surprise = (calendar.actual - calendar.forecast)[both] / p.scale
        times = calendar.time_s[both]
        n = np.searchsorted(times + calendar.actual_lag_s, bars.closes_s, side="right")
        moment = np.append(-np.inf, times)[n]
        value = np.append(0.0, np.clip(surprise, -p.clip, p.clip))[n]
        out = np.where(moment > latest, value, out)
        latest = np.maximum(latest, moment)
    if p.half_life is not None:
        out *= np.exp2(-(bars.closes_s - latest) / (p.half_life * HOUR_S))
    return _covered(bars, out)
