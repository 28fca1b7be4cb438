"""The bars of one symbol as arrays, and the rules that need all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

from truefill.data.defects.finding import ROW, Findings
from truefill.data.sessions import Session, SessionTime, session_time

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

NEAR = 50
"""Bars on each side over which the usual size of a move is taken."""


@dataclass(frozen=True)
class SymbolBars:
    """One symbol's bars in order of time, all [n]; ``declared``: the config names a session;
    ``splits_s``: moments of its declared splits, unix seconds."""

    symbol: str
    row: Ints
    start_s: Ints
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    interval_s: float
    session: Session
    declared: bool
    splits_s: Ints

    def __len__(self) -> int:
        return len(self.row)

    def head(self, n: int) -> SymbolBars:
        """The first ``n`` bars."""
        names = ("row", "start_s", "open", "high", "low", "close", "volume")
        return replace(self, **{name: getattr(self, name)[:n] for name in names})

    @cached_property
    def when(self) -> SessionTime:
        """Where in the session each bar starts."""
        return session_time(self.session, self.start_s)

    @property
    def inside(self) -> Bools:
        """Bars inside the session."""
        return self.when.inside

    @property
    def day(self) -> Ints:
        """The session's day of each bar, in days since 1970-01-01."""
        return self.when.day

    @cached_property
    def session_first(self) -> Ints:
        """Index of the first bar of each session."""
        return np.flatnonzero(np.concatenate([[True], self.day[1:] != self.day[:-1]]))

    @cached_property
    def positive(self) -> bool:
        """All prices are above 0: logarithms exist."""
        return bool(min(self.low.min(), self.open.min(), self.close.min()) > 0.0)

    @cached_property
    def move(self) -> Floats:
        """Log return from close to close; 0 for the first bar."""
        return np.concatenate([[0.0], np.diff(np.log(self.close))])

    @cached_property
    def usual_move(self) -> Floats:
        """Mean size of the moves of the ``NEAR`` bars on each side, without those into and out of
        the bar; not below half the median of all moves, where prices stand still."""
        size = np.abs(self.move)
        total = np.concatenate([[0.0], np.cumsum(size)])
        n = len(size)
        at = np.arange(n)
        first, end = np.maximum(at - NEAR, 0), np.minimum(at + NEAR + 1, n)
        own = size + np.append(size[1:], 0.0)
        near = (total[end] - total[first] - own) / np.maximum(end - first - 2, 1)
        moving = size[size > 0.0]
        least = 0.5 * float(np.median(moving)) if len(moving) else 0.0
        return np.maximum(near, max(least, 1e-12))

    def at(self, index: int) -> str:
        """Start of a bar, in words."""
        return str(np.datetime64(int(self.start_s[index]), "s")).replace("T", " ")[:16]


@dataclass(frozen=True)
class Hit:
    """A rule broken by bar ``index`` (None: by the file as a whole) and ``others`` more."""

    what: str
    index: int | None = None
    column: str | None = None
    others: int = 0


Check = Callable[[SymbolBars], Hit | None]


def symbols_of(
    table: pl.DataFrame,
    interval_s: float,
    session: Session,
    declared: bool,
    splits_s: Mapping[str, Ints],
) -> Iterator[SymbolBars]:
    """The symbols of a table sorted by symbol and time, with ``ROW``."""
    for (symbol,), own in table.group_by("symbol", maintain_order=True):
        prices = {name: own[name].to_numpy() for name in ("open", "high", "low", "close", "volume")}
        yield SymbolBars(
            symbol=str(symbol),
            row=own[ROW].to_numpy().astype(np.int64),
            start_s=own["timestamp"].dt.epoch("s").to_numpy().astype(np.int64),
            **prices,
            interval_s=interval_s,
            session=session,
            declared=declared,
            splits_s=splits_s.get(str(symbol), np.empty(0, np.int64)),
        )


def note(
    found: Findings, rule: str, check: Check, symbols: list[SymbolBars], known: list[SymbolBars]
) -> None:
    """Run ``check`` on every symbol of a file; one finding tells of all symbols that break it.

    ``known``: the bars of the same symbols that warnings may tell of.
    """
    error = found.severity(rule) == "error"
    hits = []
    for bars in symbols if error else known:
        hit = check(bars) if len(bars) > 1 else None
        if hit is not None:
            hits.append((bars, hit))
    if not hits:
        return
    bars, first = hits[0]
    what = f"{bars.symbol}: {first.what}" if len(symbols) > 1 else first.what
    if len(hits) > 1:
        what += f"; so in {len(hits) - 1} more symbols"
    row = None if first.index is None else int(bars.row[first.index])
    others = sum(hit.others + (hit.index is not None) for _, hit in hits[1:]) + first.others
    found.add(rule, what, row=row, column=first.column, others=others)
