"""What a calculator is: a frozen parameter class and a function of one symbol's past.

A calculator maps a :class:`Context` to f64[T]: row t may depend on bars up to and including t, and
is NaN until enough of them exist (never zero, never back-filled). Another symbol's bars reach it
only where a parameter names that symbol (``others``).

It comes in one of two forms, and both give the same bits computed at once or bar by bar:

- a function of a window: its value at t depends on the last ``lookback`` bars only, in an order of
  operations that does not depend on where in the history they lie;
- a :class:`Running` class, which carries its state from bar to bar (recursive filters, sums over
  long windows).

Facts given at registration: ``unit``; ``source`` (whose definition); ``crosses_session`` (its
window runs on over session breaks); ``normalized`` (already of order 1: takes ``normalizer:
none``); ``level`` (not stationary: grows with the price or the history); ``warmup`` (parameters ->
leading bars without a value); ``lookback`` (parameters -> bars that a value depends on, its own
included; a recursive one: until older bars weigh less than 1e-6; default ``warmup`` + 1);
``values_needed`` (parameters -> published values of a slow series before the first feature value;
such a calculator has no warm-up in bars).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import ceil, log
from typing import Any, TypeVar

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
    others: Mapping[str, Context] = field(default_factory=dict)
    """Histories of the other symbols, each on its own bars."""

    @property
    def closes_s(self) -> Ints:
        """Unix seconds at which each bar closes, and its decision is taken."""
        return self.timestamps_s + round(self.interval_s)

    def __len__(self) -> int:
        return len(self.timestamps_s)


Calculator = Callable[[Any, Context], Floats]
CALCULATORS: Registry[Calculator] = Registry("calculator")


class Running:
    """A calculator that carries its state: pushing a history in any portions gives the same bits.

    Its state lies in its attributes: numbers, arrays and filters (:mod:`truefill.features.filters`).
    """

    def __init__(self, p: Any) -> None:
        raise NotImplementedError

    def push(self, bars: Context) -> Floats:
        """f64[n] of the next n bars, NaN in the warm-up."""
        raise NotImplementedError


MakesCalculator = TypeVar("MakesCalculator", bound="Calculator | type[Running]")


def calculator(
    name: str,
    params: type[Params],
    *,
    unit: str,
    source: str,
    crosses_session: bool,
    normalized: bool = False,
    level: bool = False,
    warmup: Callable[[Any], int] = lambda p: 0,
    lookback: Callable[[Any], int] | None = None,
    values_needed: Callable[[Any], int] | None = None,
) -> Callable[[MakesCalculator], MakesCalculator]:
    """Decorator: register a calculator (a function, or a :class:`Running` class) with all its
    facts."""

    def decorate(made: MakesCalculator) -> MakesCalculator:
        running = made if isinstance(made, type) else None
        CALCULATORS.register(
            name,
            params,
            unit=unit,
            source=source,
            crosses_session=crosses_session,
            normalized=normalized,
            level=level,
            warmup=warmup,
            lookback=lookback or (lambda p: warmup(p) + 1),
            values_needed=values_needed,
            running=running,
        )(_batch(running) if running else made)
        return made

    return decorate


def _batch(running: type[Running]) -> Calculator:
    """A running calculator on a whole history at once."""

    def at_once(p: Any, bars: Context) -> Floats:
        return running(p).push(bars)

    at_once.__doc__ = running.__doc__
    return at_once


def wilder_settling(period: int) -> int:
    """Bars after the seed until it weighs less than :data:`SEED_WEIGHT` in Wilder's smoothing."""
    return ceil(log(SEED_WEIGHT) / log(1.0 - 1.0 / period)) if period > 1 else 0
