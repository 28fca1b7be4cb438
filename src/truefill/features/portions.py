"""Any calculator as one that carries its state, and a history worked through in portions.

Portions keep temporaries in the processor's cache and memory small; neither their size nor the
thread that works on them changes a bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from truefill.core.registry import Entry
from truefill.features.base import PER_BAR, Calculator, Context, Floats, Running

PORTION = 1 << 15
"""Bars worked on at a time."""


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
        return self.entry.make(self.p, whole)[len(whole) - len(bars) :]


def running(entry: Entry[Calculator], params: Any) -> Running:
    """A calculator of either form that carries its state from push to push."""
    made: type[Running] | None = entry.facts["running"]
    return Windowed(entry, params) if made is None else made(params)


def fill(entry: Entry[Calculator], params: Any, bars: Context, out: Floats) -> None:
    """Write a calculator's values over a whole history into ``out`` f64[T]."""
    if entry.facts["running"] is not None:
        carried = running(entry, params)
        for at in range(0, len(bars), PORTION):
            out[at : at + PORTION] = carried.push(bars.rows(at, at + PORTION))
        return
    earlier = entry.facts["lookback"](params) - 1
    if entry.facts["values_needed"] is not None or earlier > PORTION:
        out[:] = entry.make(params, bars)  # what it derives of a series is derived once
        return
    for at in range(0, len(bars), PORTION):
        first = max(0, at - earlier)
        values = entry.make(params, bars.rows(first, at + PORTION))
        out[at : at + PORTION] = values[at - first :]


def first_value(column: Floats) -> int:
    """Index of the first value; the length where there is none."""
    for at in range(0, len(column), PORTION):
        known = ~np.isnan(column[at : at + PORTION])
        if known.any():
            return at + int(np.argmax(known))
    return len(column)
