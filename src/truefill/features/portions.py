"""Any calculator as one that carries its state, and a history worked through in portions.

Portions keep temporaries small; neither their size nor the thread that works on them changes a bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from truefill.core.registry import Entry
from truefill.features.base import PER_BAR, Calculator, Context, Floats, Running
from truefill.features.blame import require_column

PORTION = 1 << 17
"""Bars worked on at a time: few turns between threads, and temporaries of a megabyte."""


class Windowed(Running):
    """A calculator that is a function of a window, with the last ``lookback`` - 1 bars at hand."""

    def __init__(self, entry: Entry[Calculator], p: Any) -> None:
        self.p = p
        self.entry = entry
        self.kept = entry.facts["lookback"](p) - 1
        self.earlier: dict[str, Any] = {}
        self.extra: dict[str, Any] = {}

    def push(self, bars: Context) -> Floats:
        whole = bars
        if self.earlier:
            before = bars.rows(0, 0).with_bars(self.earlier, self.extra)
            whole = before.followed_by(bars)
        if self.kept:
            tail = whole.rows(max(0, len(whole) - self.kept), len(whole))
            self.earlier = {name: getattr(tail, name).copy() for name in PER_BAR}
            self.extra = {name: values.copy() for name, values in tail.extra.items()}
        values = self.entry.make(self.p, whole)
        require_column(self.entry, values, len(whole))
        return values[len(whole) - len(bars) :]


def running(entry: Entry[Calculator], params: Any) -> Running:
    """A calculator of either form that carries its state from push to push."""
    made: type[Running] | None = entry.facts["running"]
    return Windowed(entry, params) if made is None else made(params)


class Column:
    """A calculator's values over a whole history, written to ``out`` f64[T] portion by portion."""

    def __init__(
        self, entry: Entry[Calculator], params: Any, bars: Context, out: Floats, feature: str = ""
    ) -> None:
        self.entry, self.params, self.bars, self.out = entry, params, bars, out
        self.feature = feature or entry.name
        self.carried = running(entry, params) if entry.facts["running"] is not None else None
        self.earlier = entry.facts["lookback"](params) - 1
        self.first = len(bars)
        """Index of the first value; the length where there is none."""

    def write(self, at: int, bars: Context) -> Floats:
        """The values of the history's ``bars`` from ``at`` on: the portion after the last one.

        Raises ``ConfigError`` for anything but one float64 a bar.
        """
        out = self.out[at : at + len(bars)]
        if self.carried is not None:
            out[:] = self._required(self.carried.push(bars), bars)
        elif self.entry.facts["values_needed"] is not None or self.earlier > PORTION:
            if at == 0:  # what it derives of a series is derived once
                self.out[:] = self._required(self.entry.make(self.params, self.bars), self.bars)
        else:
            first = max(0, at - self.earlier)
            whole = self.bars.rows(first, at + len(bars)) if first < at else bars
            out[:] = self._required(self.entry.make(self.params, whole), whole)[at - first :]
        if self.first == len(self.bars):
            here = first_value(out)
            self.first = at + here if here < len(out) else self.first
        return out

    def _required(self, values: Floats, bars: Context) -> Floats:
        require_column(self.entry, values, len(bars))
        return values


def portions(bars: Context) -> Iterator[tuple[int, Context]]:
    """A history's portions, each with its first index. Their arrays are not to be written to."""
    for at in range(0, len(bars), PORTION):
        yield at, bars.rows(at, min(at + PORTION, len(bars)))


def first_value(column: Floats) -> int:
    """Index of the first value; the length where there is none."""
    known = ~np.isnan(column)
    return int(np.argmax(known)) if known.any() else len(column)
