"""Sessions of an exchange: holidays, early closes, special closes and lunch breaks.

The calendars are those of ``exchange_calendars``, read for the years the bars cover and only where
a config names one. A session's times are known long before it, so nothing here looks ahead.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from truefill.core.errors import ConfigError, DataError, did_you_mean

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_DAY_S = 86_400
_NANOS = 1_000_000_000


@dataclass(frozen=True)
class Schedule:
    """Sessions in order: ``day`` (of the session's date, days since 1970-01-01), ``open_s`` and
    ``close_s`` (unix seconds, close exclusive), ``break_start_s`` and ``break_end_s`` (equal to the
    close where there is no break); all i64[N]."""

    day: Ints
    open_s: Ints
    close_s: Ints
    break_start_s: Ints
    break_end_s: Ints

    def session_of(self, timestamps_s: Ints, bar_s: float) -> Ints:
        """i64[T]: the last session that opens before the end of each bar; the first one before."""
        ends = timestamps_s + max(round(bar_s), 1)
        return np.maximum(np.searchsorted(self.open_s, ends, side="left") - 1, 0)

    def inside(self, timestamps_s: Ints, bar_s: float) -> Bools:
        """Bars with some time in a session: they end after its open and start before its close."""
        n = self.session_of(timestamps_s, bar_s)
        ends = timestamps_s + max(round(bar_s), 1)
        open_ = (ends > self.open_s[n]) & (timestamps_s < self.close_s[n])
        resting = (timestamps_s >= self.break_start_s[n]) & (ends <= self.break_end_s[n])
        return open_ & ~resting


@dataclass(frozen=True)
class Exchange:
    """Timezone, trading weekdays (0 = Monday), usual length of a session (seconds), and the version
    of the calendars' package."""

    timezone: str
    days: tuple[int, ...]
    length_s: int
    version: str


@cache
def exchange(name: str) -> Exchange:
    """The exchange called ``name``, or by an alias; ``ConfigError`` with the nearest one else."""
    found = _probe(name)
    days = tuple(day for day in range(7) if found.weekmask[day] == "1")
    lengths = (np.asarray(found.closes_nanos) - np.asarray(found.opens_nanos)) // _NANOS
    usual = int(np.sort(lengths)[len(lengths) // 2])
    return Exchange(str(found.tz), days, usual, _package().__version__)


def schedule(name: str, timestamps_s: Ints) -> Schedule:
    """Every session of the years that the bars cover, and of the months beside them.

    Raises ``DataError`` (``calendar_range``) for years that the calendar does not know.
    """
    ends = [timestamps_s.min(), timestamps_s.max()] if len(timestamps_s) else [0, 0]
    first, last = np.array(ends).astype("datetime64[s]").astype("datetime64[Y]").astype(int) + 1970
    return _schedule(name, int(first), int(last))


@cache
def _schedule(name: str, first: int, last: int) -> Schedule:
    calendar = _calendar(name, first, last)
    opens, closes = (
        np.asarray(nanos, np.int64) // _NANOS
        for nanos in (calendar.opens_nanos, calendar.closes_nanos)
    )
    starts, ends = (
        np.asarray(nanos, np.int64)
        for nanos in (calendar.break_starts_nanos, calendar.break_ends_nanos)
    )
    rests = starts > 0
    days = calendar.sessions.to_numpy().astype("datetime64[D]").astype(np.int64)
    return Schedule(
        days,
        opens,
        closes,
        np.where(rests, starts // _NANOS, closes),
        np.where(rests, ends // _NANOS, closes),
    )


def _calendar(name: str, first: int, last: int) -> Any:
    """The calendar from December before ``first`` to January after ``last``, or its bounds."""
    found = _probe(name)
    lowest, highest = (
        None if bound is None else f"{bound:%Y-%m-%d}"
        for bound in (found.bound_min(), found.bound_max())
    )
    start, end = f"{first - 1:04d}-12-01", f"{last + 1:04d}-01-31"
    if (lowest and f"{first:04d}" < lowest[:4]) or (highest and f"{last:04d}" > highest[:4]):
        raise DataError(
            "calendar_range",
            f"bars run from {first} to {last}, and the calendar {name} is known from "
            f"{lowest or 'the beginning'} to {highest or 'the end'}",
            where="data.session.calendar",
            do="give bars of these years, or days, start and end instead of the calendar",
        )
    return _between(name, max(start, lowest or start), min(end, highest or end))


@cache
def _probe(name: str) -> Any:
    """A month of the calendar ``name``, in which every exchange is known."""
    names = _package().get_calendar_names(include_aliases=True)
    if name not in names:
        raise ConfigError(
            f"no exchange calendar is called {name!r}",
            where="data.session.calendar",
            do=did_you_mean(name, names),
        )
    return _between(name, "2022-01-01", "2022-01-31")


def _between(name: str, start: str, end: str) -> Any:
    """The calendar of these days; rule ``unusable_calendar`` where its package cannot make it."""
    try:
        with _quiet():
            return _package().get_calendar(name, start=start, end=end)
    except (NotImplementedError, ValueError) as error:
        raise DataError(
            "unusable_calendar",
            f"exchange_calendars {_package().__version__} cannot make {name} from {start} to "
            f"{end}: {str(error)[:80]}",
            where="data.session.calendar",
            do="use another calendar, or days, start and end",
        ) from error


def holidays_of(name: str, days: Ints) -> dict[int, str]:
    """Which of these days (since 1970-01-01) are weekdays on which the exchange rests, and the
    holiday's name, empty where the calendar has none for it."""
    if not len(days):
        return {}
    listed = schedule(name, np.array([days.min(), days.max()]) * _DAY_S).day
    trading = np.isin((days + 3) % 7, exchange(name).days)
    missed = np.unique(days[trading & ~np.isin(days, listed)])
    regular = _probe(name).regular_holidays
    named: dict[int, str] = {}
    if regular is not None and len(missed):
        ends = missed[[0, -1]].astype("datetime64[D]").astype(str)
        with _quiet():
            found = regular.holidays(ends[0], ends[1], return_name=True)
        dates = found.index.to_numpy().astype("datetime64[D]").astype(np.int64)
        named = dict(zip(dates.tolist(), [str(text) for text in found.to_list()], strict=True))
    return {int(day): named.get(int(day), "") for day in missed}


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings of the package about its own use of pandas."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def _package() -> ModuleType:
    """Imported on first use: it brings pandas along."""
    import exchange_calendars  # type: ignore[import-untyped]

    return exchange_calendars
