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
none``); ``level`` (parameters -> not stationary: grows with the price or the history); ``columns``
(parameters -> further columns of the bars that it reads); ``warmup`` (parameters -> leading bars
without a value); ``lookback`` (parameters -> bars that a value depends on, its own
included; a recursive one: until older bars weigh less than 1e-6; default ``warmup`` + 1);
``values_needed`` (parameters -> published values of a slow series before the first feature value;
such a calculator has no warm-up in bars); ``irregular`` (where it has no value depends on which
bars there are: ``warmup`` is then the least, and NaN later on is no error); ``timeframe``
(parameters -> seconds of the bars in which ``warmup`` and ``lookback`` count; null: the
dataset's); ``clock`` (depends on clock and symbol alone: the audit asks it of users' calculators
that no change of the bars moves). ``unit``, ``normalized`` and ``level`` may be functions of the
parameters too (:func:`fact`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil, log
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt

from truefill.core.registry import Entry, Params, Registry
from truefill.data.join import Series
from truefill.data.releases import Releases
from truefill.data.sessions import Session
from truefill.features.state import Stateful

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

SEED_WEIGHT = 1e-6
"""A recursive filter has a value once its seed weighs less than this."""
WHOLE_HISTORY = 2**31 - 1
"""``lookback`` of a level that counts from the first bar on; no purge has room for it."""


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
    session: Session | None = None
    """None: round the clock, in UTC."""
    series: Mapping[str, Series] = field(default_factory=dict)
    extra: Mapping[str, Floats] = field(default_factory=dict)
    others: Mapping[str, Context] = field(default_factory=dict)
    """Histories of the other symbols, each on its own bars."""
    releases: Sequence[Releases] = ()
    """Economic calendars."""

    @property
    def closes_s(self) -> Ints:
        """Unix seconds at which each bar closes, and its decision is taken."""
        return self.timestamps_s + round(self.interval_s)

    def __len__(self) -> int:
        return len(self.timestamps_s)

    def rows(self, start: int, stop: int) -> Context:
        """Bars ``start`` to ``stop``; series and other symbols stay whole."""
        cut = {name: getattr(self, name)[start:stop] for name in PER_BAR}
        extra = {name: values[start:stop] for name, values in self.extra.items()}
        return replace(self, **cut, extra=extra)

    def with_bars(
        self,
        per_bar: Mapping[str, Any],
        extra: Mapping[str, Floats],
        interval_s: float | None = None,
    ) -> Context:
        """The same symbol's context of other bars (arrays named as in ``PER_BAR``), of another
        length where ``interval_s`` is given."""
        return replace(self, **per_bar, extra=extra, interval_s=interval_s or self.interval_s)

    def followed_by(self, later: Context) -> Context:
        """These bars and later ones of the same symbol; series and other symbols are those of the
        later."""
        pairs = {name: (getattr(self, name), getattr(later, name)) for name in PER_BAR}
        joined: dict[str, Any] = {name: np.concatenate(pair) for name, pair in pairs.items()}
        extra = {name: np.concatenate([self.extra[name], v]) for name, v in later.extra.items()}
        return replace(later, **joined, extra=extra)


PER_BAR = (
    "timestamps_s", "open", "high", "low", "close", "volume", "session_fraction", "weekday",
)  # fmt: skip
"""Fields of a context with one value a bar, besides ``extra``."""


Calculator = Callable[[Any, Context], Floats]
CALCULATORS: Registry[Calculator] = Registry("calculator", plugged=True)


class Running(Stateful):
    """A calculator that carries its state: pushing a history in any portions gives the same bits.

    Its state lies in its attributes: numbers, arrays, filters (:mod:`truefill.features.filters`).
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
    unit: str | Callable[[Any], str],
    source: str,
    crosses_session: bool,
    normalized: bool | Callable[[Any], bool] = False,
    level: bool | Callable[[Any], bool] = False,
    warmup: Callable[[Any], int] = lambda p: 0,
    lookback: Callable[[Any], int] | None = None,
    values_needed: Callable[[Any], int] | None = None,
    columns: Callable[[Any], Sequence[str]] = lambda p: (),
    irregular: bool = False,
    timeframe: Callable[[Any], float] | None = None,
    clock: bool = False,
) -> Callable[[MakesCalculator], MakesCalculator]:
    """Decorator: register a calculator (a function, or a :class:`Running` class) with all its
    facts."""

    def decorate(made: MakesCalculator) -> MakesCalculator:
        running = made if isinstance(made, type) else None
        make = _batch(running) if running else cast(Calculator, made)
        CALCULATORS.register(
            name,
            params,
            unit=unit,
            source=source,
            crosses_session=crosses_session,
            normalized=normalized,
            level=level if callable(level) else (lambda p: level),
            warmup=warmup,
            lookback=lookback or (lambda p: warmup(p) + 1),
            values_needed=values_needed,
            columns=columns,
            irregular=irregular or values_needed is not None,
            timeframe=timeframe,
            clock=clock,
            running=running,
        )(make)
        return made

    return decorate


def fact(entry: Entry[Calculator], name: str, params: Any) -> Any:
    """A fact of a calculator under these parameters."""
    value = entry.facts[name]
    return value(params) if callable(value) else value


def _batch(running: type[Running]) -> Calculator:
    """A running calculator on a whole history at once."""

    def at_once(p: Any, bars: Context) -> Floats:
        return running(p).push(bars)

    at_once.__doc__ = running.__doc__
    return at_once


def wilder_settling(period: int) -> int:
    """Bars after the seed until it weighs less than :data:`SEED_WEIGHT` in Wilder's smoothing."""
    return ceil(log(SEED_WEIGHT) / log(1.0 - 1.0 / period)) if period > 1 else 0
