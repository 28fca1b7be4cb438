"""What a calculator is: a frozen parameter class and a function of one symbol's past.

A calculator maps a :class:`Context` to f64[T]: row t may depend on bars up to and including t, and
is NaN until enough of them exist (never zero, never back-filled). It never sees another symbol.

Facts given at registration: ``unit``; ``source`` (whose definition); ``crosses_session`` (its
window runs on over session breaks); ``normalized`` (already of order 1: takes ``normalizer:
none``); ``warmup`` (parameters -> leading bars without a value); ``values_needed`` (parameters ->
published values of a slow series before the first feature value; such a calculator has no warm-up
in bars).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import ceil, log
from typing import Any

import numpy as np
import numpy.typing as npt

from truefill.core.registry import Params, Registry
from truefill.data.join import Series

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

SEED_WEIGHT = 1e-6
"""A recursive filter has a value once its seed weighs less than this."""


@dataclass(frozen=True)
class Context:
    """One symbol's history: T bars, oldest first. All arrays are [T]."""

    symbol: str
    timestamps_s: Ints
    interval_s: float
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    session_fraction: Floats
    weekday: Ints
    days_per_week: int
    series: Mapping[str, Series] = field(default_factory=dict)
    extra: Mapping[str, Floats] = field(default_factory=dict)

    @property
    def closes_s(self) -> Ints:
        """Unix seconds at which each bar closes, and its decision is taken."""
        return self.timestamps_s + round(self.interval_s)

    def __len__(self) -> int:
        return len(self.timestamps_s)


Calculator = Callable[[Any, Context], Floats]
CALCULATORS: Registry[Calculator] = Registry("calculator")


def calculator(
    name: str,
    params: type[Params],
    *,
    unit: str,
    source: str,
    crosses_session: bool,
    normalized: bool = False,
    warmup: Callable[[Any], int] = lambda p: 0,
    values_needed: Callable[[Any], int] | None = None,
) -> Callable[[Calculator], Calculator]:
    """Decorator: register a calculator with all its facts."""
    return CALCULATORS.register(
        name,
        params,
        unit=unit,
        source=source,
        crosses_session=crosses_session,
        normalized=normalized,
        warmup=warmup,
        values_needed=values_needed,
    )


def wilder_settling(period: int) -> int:
    """Bars after the seed until it weighs less than :data:`SEED_WEIGHT` in Wilder's smoothing."""
    return ceil(log(SEED_WEIGHT) / log(1.0 - 1.0 / period)) if period > 1 else 0
