"""Time features: where a bar lies in its session and week. Known in advance; no past needed."""

from __future__ import annotations

import numpy as np

from truefill.core.registry import Params
from truefill.features.base import Context, Floats, calculator


class SessionSinParams(Params):
    """Sine of the session fraction at the bar's start."""


class SessionCosParams(Params):
    """Cosine of the session fraction at the bar's start."""


class WeekdaySinParams(Params):
    """Sine of the weekday: Monday 0, a full turn in 5 days (7 for a market open at weekends)."""


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
