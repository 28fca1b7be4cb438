"""Time features: where a bar lies in its session, week, month and year. Known in advance.

Those of the session (data.session) follow its local wall clock; ``hour``, ``month`` and
``day_of_month`` follow UTC. All but ``minutes_to_close`` speak of the bar's start.
"""

from __future__ import annotations

import numpy as np

from truefill.core.registry import Params
from truefill.data.sessions import session_of, session_time
from truefill.features.base import Context, Floats, calculator
from truefill.features.parts import SessionStarts

_DAY_S = 86_400


class SessionSinParams(Params):
    """Sine of the session fraction at the bar's start."""


class SessionCosParams(Params):
    """Cosine of the session fraction at the bar's start."""


class WeekdaySinParams(Params):
    """Sine of the weekday: Monday 0, a full turn in 5 days (7 for a market open at weekends)."""


class WeekdayCosParams(Params):
    """Cosine of the weekday: Monday 0, a full turn in 5 days (7 for a market open at weekends)."""


class HourSinParams(Params):
    """Sine of the time of day in UTC at the bar's start."""


class HourCosParams(Params):
    """Cosine of the time of day in UTC at the bar's start."""


class MonthSinParams(Params):
    """Sine of the month: January 0, a full turn in 12 months."""


class MonthCosParams(Params):
    """Cosine of the month: January 0, a full turn in 12 months."""


class DayOfMonthSinParams(Params):
    """Sine of the day of the month: the 1st is 0, a full turn in the month's days."""


class DayOfMonthCosParams(Params):
    """Cosine of the day of the month: the 1st is 0, a full turn in the month's days."""


class MinutesToCloseParams(Params):
    """Minutes from the bar's close to the scheduled end of its session."""


class FirstBarParams(Params):
    """1 on the first bar of a session, else 0."""


class LastBarParams(Params):
    """1 on the bar that closes at the scheduled end of its session, else 0."""


@calculator(
    "session_sin", SessionSinParams, unit="-1..1", source="sin(2 pi fraction)",
    crosses_session=False, normalized=True,
)  # fmt: skip
def session_sin(p: SessionSinParams, bars: Context) -> Floats:
    """sin(2 pi x fraction of the session), 0 at its start; the session is data.session."""
    return np.sin(2.0 * np.pi * bars.session_fraction)


@calculator(
    "session_cos", SessionCosParams, unit="-1..1", source="cos(2 pi fraction)",
    crosses_session=False, normalized=True,
)  # fmt: skip
def session_cos(p: SessionCosParams, bars: Context) -> Floats:
    """cos(2 pi x fraction of the session), 1 at its start."""
    return np.cos(2.0 * np.pi * bars.session_fraction)


@calculator(
    "dow_sin", WeekdaySinParams, unit="-1..1", source="sin(2 pi weekday / days a week)",
    crosses_session=False, normalized=True,
)  # fmt: skip
def dow_sin(p: WeekdaySinParams, bars: Context) -> Floats:
    """sin(2 pi x weekday / 5), or / 7 where the session has weekend days."""
    return np.sin(2.0 * np.pi * bars.weekday / bars.days_per_week)


@calculator(
    "dow_cos", WeekdayCosParams, unit="-1..1", source="cos(2 pi weekday / days a week)",
    crosses_session=False, normalized=True,
)  # fmt: skip
def dow_cos(p: WeekdayCosParams, bars: Context) -> Floats:
    """cos(2 pi x weekday / 5), or / 7 where the session has weekend days."""
    return np.cos(2.0 * np.pi * bars.weekday / bars.days_per_week)


@calculator(
    "hour_sin", HourSinParams, unit="-1..1", source="sin(2 pi seconds of the UTC day / 86400)",
    crosses_session=False, normalized=True,
)  # fmt: skip
def hour_sin(p: HourSinParams, bars: Context) -> Floats:
    """sin(2 pi x share of the UTC day gone at the bar's start)."""
    return np.sin(2.0 * np.pi * (bars.timestamps_s % _DAY_S) / _DAY_S)


@calculator(
    "hour_cos", HourCosParams, unit="-1..1", source="cos(2 pi seconds of the UTC day / 86400)",
    crosses_session=False, normalized=True,
)  # fmt: skip
def hour_cos(p: HourCosParams, bars: Context) -> Floats:
    """cos(2 pi x share of the UTC day gone at the bar's start)."""
    return np.cos(2.0 * np.pi * (bars.timestamps_s % _DAY_S) / _DAY_S)


def _month(bars: Context) -> Floats:
    """Share of the year's months gone, f64[T]: January 0, December 11/12."""
    months = bars.timestamps_s.astype("datetime64[s]").astype("datetime64[M]").astype(np.int64)
    return months % 12 / 12.0


def _day_of_month(bars: Context) -> Floats:
    """Share of the month's days gone, f64[T]: 0 on the 1st."""
    days = bars.timestamps_s.astype("datetime64[s]").astype("datetime64[D]")
    months = days.astype("datetime64[M]")
    first = months.astype("datetime64[D]")
    length = ((months + 1).astype("datetime64[D]") - first).astype(np.int64)
    return (days - first).astype(np.int64) / length


@calculator(
    "month_sin", MonthSinParams, unit="-1..1", source="sin(2 pi (month - 1) / 12), UTC",
    crosses_session=False, normalized=True,
)  # fmt: skip
def month_sin(p: MonthSinParams, bars: Context) -> Floats:
    """sin(2 pi x (month - 1) / 12)."""
    return np.sin(2.0 * np.pi * _month(bars))


@calculator(
    "month_cos", MonthCosParams, unit="-1..1", source="cos(2 pi (month - 1) / 12), UTC",
    crosses_session=False, normalized=True,
)  # fmt: skip
def month_cos(p: MonthCosParams, bars: Context) -> Floats:
    """cos(2 pi x (month - 1) / 12)."""
    return np.cos(2.0 * np.pi * _month(bars))


@calculator(
    "day_of_month_sin", DayOfMonthSinParams, unit="-1..1",
    source="sin(2 pi (day - 1) / days of the month), UTC",
    crosses_session=False, normalized=True,
)  # fmt: skip
def day_of_month_sin(p: DayOfMonthSinParams, bars: Context) -> Floats:
    """sin(2 pi x (day - 1) / days of the month)."""
    return np.sin(2.0 * np.pi * _day_of_month(bars))


@calculator(
    "day_of_month_cos", DayOfMonthCosParams, unit="-1..1",
    source="cos(2 pi (day - 1) / days of the month), UTC",
    crosses_session=False, normalized=True,
)  # fmt: skip
def day_of_month_cos(p: DayOfMonthCosParams, bars: Context) -> Floats:
    """cos(2 pi x (day - 1) / days of the month)."""
    return np.cos(2.0 * np.pi * _day_of_month(bars))


def _left_s(bars: Context) -> Floats:
    """Seconds from each bar's close to its session's scheduled end; 0 where the bar holds it."""
    when = session_time(bars.session or session_of(None), bars.timestamps_s)
    return np.maximum(when.close_s - bars.closes_s, 0).astype(np.float64)


@calculator(
    "minutes_to_close", MinutesToCloseParams, unit="minutes",
    source="scheduled end of the session - the bar's close, 0 at least", crosses_session=False,
)  # fmt: skip
def minutes_to_close(p: MinutesToCloseParams, bars: Context) -> Floats:
    """Minutes of the session left when the bar closes; early closes of single days are known where
    the session is an exchange's calendar."""
    return _left_s(bars) / 60.0


@calculator(
    "is_first_bar", FirstBarParams, unit="0 or 1", source="another session than the bar before",
    crosses_session=False, normalized=True, warmup=lambda p: 1,
)  # fmt: skip
def is_first_bar(p: FirstBarParams, bars: Context) -> Floats:
    """1 where the session differs from the bar's before; unknown (NaN) at the first bar."""
    out = SessionStarts().push(bars).astype(np.float64)
    out[:1] = np.nan
    return out


@calculator(
    "is_last_bar", LastBarParams, unit="0 or 1", source="the session is to end by the bar's close",
    crosses_session=False, normalized=True,
)  # fmt: skip
def is_last_bar(p: LastBarParams, bars: Context) -> Floats:
    """1 where the bar holds the session's scheduled end, whatever bars follow."""
    return (_left_s(bars) == 0.0).astype(np.float64)
