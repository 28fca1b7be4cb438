"""Trading sessions: which bars count, and where in its session a bar lies.

A session is a span of wall-clock time in one timezone on chosen weekdays. It may run past midnight
(start 17:00, end 16:00): it then belongs to the day on which it starts. Without a session the
market trades round the clock, and the "session" is the UTC day.

Or the sessions are those of an exchange's calendar (:mod:`truefill.data.exchange`): a bar counts
when some of its time lies in one, so that an hourly bar from 09:00 that holds 09:30 to 10:00 does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from truefill.config.schema import SessionConfig
from truefill.data import exchange

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY_S = 86_400


@dataclass(frozen=True)
class Session:
    """``start_s``: wall-clock second of the day; ``length_s``: seconds; ``days``: 0 = Monday.

    With a ``calendar`` (the name of an exchange's) each session has its own times: ``start_s`` is
    then 0, ``length_s`` that of a usual session, and ``bar_s`` the length of a bar, seconds.
    """

    timezone: str
    days: tuple[int, ...]
    start_s: int
    length_s: int
    calendar: str | None = None
    bar_s: float = 0.0

    @property
    def days_per_week(self) -> int:
        """5 for a market that rests at weekends, else 7: one turn of the weekday circle."""
        return 5 if set(self.days) <= {0, 1, 2, 3, 4} else 7

    def as_dict(self) -> dict[str, Any]:
        """JSON-able, for lineage and the feature contract."""
        named = {"calendar": self.calendar, "bar_s": self.bar_s} if self.calendar else {}
        return {
            "timezone": self.timezone,
            "days": list(self.days),
            "start_s": self.start_s,
            "length_s": self.length_s,
            **named,
        }

    @staticmethod
    def from_dict(value: Mapping[str, Any]) -> Session:
        named = (str(value["calendar"]), float(value["bar_s"])) if "calendar" in value else ()
        return Session(
            str(value["timezone"]),
            tuple(int(day) for day in value["days"]),
            int(value["start_s"]),
            int(value["length_s"]),
            *named,
        )


@dataclass(frozen=True)
class SessionTime:
    """Per bar: ``inside`` [T] bool, ``fraction`` f64[T] of the session at bar start (0..1),
    ``weekday`` i64[T] of the session's day (0 = Monday), ``day`` i64[T]: that day, in days since
    1970-01-01; ``close_s`` i64[T]: scheduled end of that session, unix seconds (of a wall-clock
    session: if the clock does not change within it)."""

    inside: npt.NDArray[np.bool_]
    fraction: Floats
    weekday: Ints
    day: Ints
    close_s: Ints


def session_of(config: SessionConfig | None, interval_s: float = 0.0) -> Session:
    """The session of a config; round the clock in UTC without one.

    ``interval_s``: of the bars; an exchange's calendar needs it. Raises ``ConfigError`` for an
    unknown calendar.
    """
    if config is None:
        return Session("UTC", tuple(range(7)), 0, _DAY_S)
    if config.calendar is not None:
        found = exchange.exchange(config.calendar)
        return Session(found.timezone, found.days, 0, found.length_s, config.calendar, interval_s)
    start = config.start.hour * 3600 + config.start.minute * 60 + config.start.second
    end = _DAY_S
    if config.end is not None:
        end = config.end.hour * 3600 + config.end.minute * 60 + config.end.second
    length = (end - start) % _DAY_S or _DAY_S
    return Session(config.timezone, tuple(_DAYS.index(day) for day in config.days), start, length)


def session_time(session: Session, timestamps_s: Ints) -> SessionTime:
    """Where each bar start (unix seconds, i64[T]) lies in the session, by the local wall clock, or
    in the session that the exchange's calendar gives."""
    if session.calendar is not None:
        return _exchange_time(session, session.calendar, timestamps_s)
    day, second = np.divmod(_wall(session.timezone, timestamps_s) - session.start_s, _DAY_S)
    weekday = (day + 3) % 7  # 1970-01-01 was a Thursday
    trading = np.isin(np.arange(7), session.days)
    inside = (second < session.length_s) & trading[weekday]
    fraction = second / float(session.length_s)
    close_s = timestamps_s + session.length_s - second
    return SessionTime(inside, fraction, weekday, day, close_s)


def _wall(timezone: str, timestamps_s: Ints) -> Ints:
    """What the clock of the timezone shows, as if it were unix seconds."""
    if timezone == "UTC":
        return timestamps_s
    utc = pl.Series(timestamps_s * 1_000_000).cast(pl.Datetime("us", "UTC"))
    local = utc.dt.convert_time_zone(timezone).dt.replace_time_zone(None)
    return local.dt.epoch("s").to_numpy().astype(np.int64)


def _exchange_time(session: Session, calendar: str, timestamps_s: Ints) -> SessionTime:
    listed = exchange.schedule(calendar, timestamps_s)
    n = listed.session_of(timestamps_s, session.bar_s)
    since = np.maximum(timestamps_s - listed.open_s[n], 0)  # a bar may start before the open
    fraction = since / (listed.close_s[n] - listed.open_s[n])
    day = listed.day[n]
    inside = listed.inside(timestamps_s, session.bar_s)
    close_s = listed.close_s[n].astype(np.int64)
    return SessionTime(inside, np.minimum(fraction, 1.0), (day + 3) % 7, day, close_s)


def session_ends(
    session: Session, timestamps_s: Ints, present: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """bool[T, S]: the last ``present`` (bool[T, S]) bar of each symbol on each session day; with an
    exchange's calendar the bar in which the exchange closes, if it is ``present``."""
    if session.calendar is not None:
        listed = exchange.schedule(session.calendar, timestamps_s)
        n = listed.session_of(timestamps_s, session.bar_s)
        closing = timestamps_s + max(round(session.bar_s), 1) >= listed.close_s[n]
        closing &= listed.inside(timestamps_s, session.bar_s)
        return present & closing[:, None]
    day = session_time(session, timestamps_s).day
    ends = np.zeros(present.shape, np.bool_)
    for s in range(present.shape[1]):
        at = np.flatnonzero(present[:, s])
        own = day[at]
        ends[at, s] = np.append(own[1:] != own[:-1], [True] * bool(len(own)))
    return ends


def clock_columns(session: Session, timestamps_s: Ints) -> npt.NDArray[np.float32]:
    """f32[T, 4]: sine and cosine of the session fraction, then of the weekday."""
    when = session_time(session, timestamps_s)
    hour = 2.0 * np.pi * when.fraction
    day = 2.0 * np.pi * when.weekday / session.days_per_week
    columns = (np.sin(hour), np.cos(hour), np.sin(day), np.cos(day))
    return np.stack(columns, axis=1).astype(np.float32)


def keep_session(table: pl.DataFrame, session: Session) -> tuple[pl.DataFrame, int]:
    """Bars inside the session, and how many were outside."""
    seconds = table["timestamp"].dt.epoch("s").to_numpy().astype(np.int64)
    inside = session_time(session, seconds).inside
    return table.filter(pl.Series(inside)), int((~inside).sum())
