"""What a label is: a rule that asks one question of every bar, and the stretch of bars it looks at.

A rule sees one symbol's own bars (:class:`LabelBars`: a masked bar is no bar) and gives every bar a
*quantity*, NaN where it is not defined, and the first and last bar that it looked at. No quantity
moves when bars after its interval change. A label that asks for a class cuts the quantity by
thresholds, which come from train rows only (:func:`fit_label`).

Facts given at registration: ``classes`` (3: fall, still, rise; 0: the quantity is the label),
``threshold`` (parameters -> a number, "auto" = fitted on train rows, or None: the rule gives the
classes itself), ``horizon`` (name of the parameter that says how many bars ahead it looks) and
``random_walk`` (:data:`WalkRule`: what the label is, given the past, if prices are a random walk).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from truefill.config.forecast import LabelConfig
from truefill.core.errors import ConfigError, DataError, UsageError
from truefill.core.registry import Params, Registry
from truefill.data.folds import Rows
from truefill.data.split import SplitArrays

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

FALL, STILL, RISE = 0, 1, 2
CLASSES = ("fall", "still", "rise")


@dataclass(frozen=True)
class LabelBars:
    """One symbol's own T bars, oldest first, all [T]. ``session``: number of the session day that
    a bar belongs to, ascending."""

    timestamps_s: Ints
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    session: Ints

    def __len__(self) -> int:
        return len(self.timestamps_s)

    @property
    def log_return(self) -> Floats:
        """f64[T]: log(close / the close before); NaN on the first bar."""
        out = np.full(len(self), np.nan)
        out[1:] = np.log(self.close[1:] / self.close[:-1])
        return out


@dataclass(frozen=True)
class Asked:
    """What a rule found for every bar, [T]: ``quantity`` f64 (NaN: not defined), ``first`` and
    ``last`` i64: positions of the first and last bar looked at; ``klass`` f64 where the rule gives
    the classes itself; ``settled`` i64: the bar that must be there for the row to have a label,
    where that is not ``last``."""

    quantity: Floats
    first: Ints
    last: Ints
    klass: Floats | None = None
    settled: Ints | None = None


@dataclass(frozen=True)
class Labels:
    """One symbol's labels on T rows of a time axis.

    value f64[T]: the class (0 fall, 1 still, 2 rise) or the quantity itself; NaN = null: a masked
    bar, or one whose interval is not all there. quantity f64[T]: what the class was cut from.
    start_s, end_s i64[T]: bar starts (unix seconds) of the first and last bar looked at; on null
    rows the row's own. settled_s i64[T]: of the bar at whose close the label is known to exist, at
    or after end_s. classes: 3, or 0 for a quantity.
    """

    timestamps_s: Ints
    value: Floats
    quantity: Floats
    start_s: Ints
    end_s: Ints
    settled_s: Ints
    classes: int

    @property
    def known(self) -> Bools:
        """bool[T]: rows that have a label."""
        return np.isfinite(self.value)

    def rows(self, window_start_s: Ints | None = None) -> tuple[Ints, Rows]:
        """Positions of the rows that have a label, and these rows for the purge of
        :mod:`truefill.data.folds`: a row knows what its label looked at, besides its features'
        window (``window_start_s`` i64[T]: bar starts)."""
        at = np.flatnonzero(self.known)
        own = self.timestamps_s if window_start_s is None else window_start_s
        start = np.minimum(np.minimum(own, self.start_s), self.timestamps_s)
        return at, Rows(self.timestamps_s[at], self.end_s[at], start[at])


@dataclass(frozen=True)
class Walk:
    """A random walk of log prices: mean of a step, and its standard deviation, or f64[T], that of
    the steps after each bar."""

    drift: float
    sigma: float | Floats


Rule = Callable[[Any, LabelBars], Asked]
WalkRule = Callable[[Any, LabelBars, Walk, float], Floats]
"""Parameters, bars, walk, threshold (NaN where the label has none) -> probabilities of the classes
[T, 3], or the expected quantity [T]; NaN where the past is too short."""
LABELS: Registry[Rule] = Registry("label", plugged=True)


def label(
    name: str,
    params: type[Params],
    *,
    classes: int,
    random_walk: WalkRule,
    horizon: str = "horizon",
    threshold: Callable[[Any], float | str | None] = lambda p: None,
) -> Callable[[Rule], Rule]:
    """Decorator: register a rule with its facts."""
    facts = {"horizon": horizon, "threshold": threshold, "random_walk": random_walk}
    return LABELS.register(name, params, classes=classes, **facts)


def label_heads(config: LabelConfig) -> tuple[Params, ...]:
    """Parameters of the configured label, one a horizon.

    Raises:
        ConfigError: an unknown label or parameter, or a horizon given twice.
    """
    entry = LABELS.get(config.label)
    if not config.horizons:
        return (LABELS.parse(config.label, config.params),)
    key = entry.facts["horizon"]
    if key in config.params:
        raise ConfigError(f"label {config.label}: {key} is given by horizons and by params")
    return tuple(LABELS.parse(config.label, {**config.params, key: h}) for h in config.horizons)


@dataclass(frozen=True)
class FittedLabel:
    """A label whose thresholds are known. ``thresholds``: by symbol, units of the quantity; empty
    where the label needs none."""

    name: str
    params: Params
    thresholds: Mapping[str, float] = field(default_factory=dict)

    @property
    def classes(self) -> int:
        """3, or 0 for a quantity."""
        return int(LABELS.get(self.name).facts["classes"])

    @property
    def horizon(self) -> int:
        """Bars that the label looks ahead, at most."""
        return int(getattr(self.params, LABELS.get(self.name).facts["horizon"]))

    def of(self, symbol: str, bars: LabelBars) -> Labels:
        """Labels on the symbol's own bars.

        Raises:
            UsageError: the threshold of this symbol was never fitted.
        """
        entry = LABELS.get(self.name)
        asked = entry.make(self.params, bars)
        value = asked.quantity if asked.klass is None else asked.klass
        if entry.facts["threshold"](self.params) is not None:
            if symbol not in self.thresholds:
                raise UsageError(f"label {self.name}: no threshold was fitted for {symbol!r}")
            value = cut(asked.quantity, self.thresholds[symbol])
        known = np.isfinite(value)
        at = np.arange(len(bars))
        stamps = bars.timestamps_s
        settled = asked.last if asked.settled is None else asked.settled
        return Labels(
            timestamps_s=stamps,
            value=value,
            quantity=asked.quantity,
            start_s=stamps[np.where(known, asked.first, at)],
            end_s=stamps[np.where(known, asked.last, at)],
            settled_s=stamps[np.where(known, settled, at)],
            classes=self.classes,
        )

    def of_a_walk(self, symbol: str, bars: LabelBars, walk: Walk) -> Floats:
        """The label of every bar if prices walk at random from its close on: probabilities
        f64[T, 3], or the expected quantity f64[T]. NaN where the past is too short."""
        rule: WalkRule = LABELS.get(self.name).facts["random_walk"]
        return rule(self.params, bars, walk, self.thresholds.get(symbol, float("nan")))

    def of_split(self, split: SplitArrays, symbol: str) -> Labels:
        """Labels of one symbol of a split on the split's own axis; nothing outside the split is
        looked at, so its last rows are null."""
        at, bars = bars_of(split, symbol)
        own = self.of(symbol, bars)
        stamps = split.timestamps_s
        value, quantity = np.full(len(stamps), np.nan), np.full(len(stamps), np.nan)
        start, end, settled = stamps.copy(), stamps.copy(), stamps.copy()
        value[at], quantity[at] = own.value, own.quantity
        start[at], end[at], settled[at] = own.start_s, own.end_s, own.settled_s
        return Labels(stamps, value, quantity, start, end, settled, self.classes)


def fit_label(
    name: str,
    params: Params,
    bars: Mapping[str, LabelBars],
    train: Mapping[str, Bools] | None = None,
) -> FittedLabel:
    """The label with its thresholds: a fixed one for every symbol, or ("auto") each symbol's median
    |quantity| over its train rows.

    Args:
        name: of a registered label.
        bars: by symbol.
        train: by symbol, bool[T]: the rows that may be looked at; None: all (the bars are train).

    Raises:
        DataError: ``no_label``: no train row of a symbol has one.
    """
    entry = LABELS.get(name)
    threshold = entry.facts["threshold"](params)
    if threshold is None:
        return FittedLabel(name, params)
    if not isinstance(threshold, str):
        return FittedLabel(name, params, {symbol: float(threshold) for symbol in bars})
    found = {}
    for symbol, own in bars.items():
        size = np.abs(entry.make(params, own).quantity)
        use = np.isfinite(size) if train is None else np.isfinite(size) & train[symbol]
        if not use.any():
            raise DataError(
                "no_label",
                f"label {name} is defined on none of the {len(own):,} train bars of {symbol}",
                do="shorten the horizon",
            )
        found[symbol] = float(np.median(size[use]))
    return FittedLabel(name, params, found)


def cut(quantity: Floats, threshold: float) -> Floats:
    """f64[T]: rise above ``threshold``, fall below its negative, else still; NaN stays NaN.

    >>> cut(np.array([-2.0, -1.0, 0.0, 1.5, np.nan]), 1.0).tolist()
    [0.0, 1.0, 1.0, 2.0, nan]
    """
    out = np.where(quantity > threshold, RISE, np.where(quantity < -threshold, FALL, STILL))
    return np.where(np.isfinite(quantity), out, np.nan)


def bars_of(split: SplitArrays, symbol: str) -> tuple[Ints, LabelBars]:
    """Positions of a symbol's own bars on the split's axis, and these bars.

    Raises:
        UsageError: no such symbol.
    """
    if symbol not in split.symbols:
        raise UsageError(f"no symbol {symbol!r}", where=f"split {split.name}")
    s = split.symbols.index(symbol)
    at = np.flatnonzero(split.present[:, s])
    ended = np.cumsum(split.session_end[at, s])
    session = np.concatenate([[0], ended[:-1]]).astype(np.int64)[: len(at)]
    return at, LabelBars(
        timestamps_s=split.timestamps_s[at],
        open=split.open[at, s],
        high=split.high[at, s],
        low=split.low[at, s],
        close=split.close[at, s],
        session=session,
    )


def together(first: Ints, last: Ints, session: Ints, crosses_session: bool) -> Bools:
    """bool[T]: the interval lies on the bars there are (positions 0 .. T - 1) and, unless it may
    cross a session, in one session."""
    inside = (first >= 0) & (last < len(session))
    if crosses_session or not len(session):
        return inside
    top = len(session) - 1
    return inside & (session[np.clip(first, 0, top)] == session[np.clip(last, 0, top)])
