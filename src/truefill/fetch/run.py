"""One import: ask a source for what is not stored yet, and store it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from truefill.core.errors import UsageError
from truefill.fetch.base import About, FetchError, Source
from truefill.fetch.batches import batches
from truefill.fetch.registry import SOURCES
from truefill.fetch.store import Store

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Fetched:
    """What an import did. ``first`` and ``last``: ISO timestamps of all stored rows; ``sha256``
    names the content of the whole snapshot."""

    folder: str
    added: int
    revised: int
    rows: int
    first: str
    last: str
    parts: int
    sha256: str
    warnings: tuple[str, ...]


def fetch(
    source: str,
    given: Mapping[str, str],
    folder: Path,
    *,
    now: datetime,
    accept_revisions: bool = False,
    tell: Tell = lambda text: None,
) -> Fetched:
    """Bring what is new into the snapshot at ``folder``.

    Args:
        source: a registered source.
        given: its parameters, as text.
        now: bars that close later are left out.
        accept_revisions: take rows that the source has revised; everything is asked for again,
            so that no old row stays as it was beside revised ones.
        tell: gets a line about each page that has come.

    Raises:
        UsageError: a parameter, key or extra is missing or wrong, or the folder holds other things.
        FetchError: the source did not answer as it should, or has nothing at all.
        DataError: what it sent breaks a rule, or differs from what is stored.
    """
    now = now.astimezone(UTC)
    params = SOURCES.parse(source, given, where="fetch")
    asked = _Telling(SOURCES.get(source).make(params), tell)
    about = asked.about
    start: datetime | None = getattr(params, "start", None)
    end: datetime | None = getattr(params, "end", None)
    until = now if end is None else min(now, end)
    if start is not None and start >= until:
        raise UsageError(f"start {start.isoformat()} is not before {until.isoformat()}")
    store = Store.open(folder, source, about)
    if accept_revisions and store.rows is not None and store.rows["timestamp"][-1] >= until:
        raise UsageError(
            f"rows up to {store.rows['timestamp'][-1].isoformat()} are stored, and revisions are "
            "taken of all rows or none",
            where=str(folder),
            do="leave end out",
        )
    since = store.start(start, whole=about.whole or accept_revisions)
    for batch in batches(asked, since, until):
        store.add(batch, now, accept_revisions=accept_revisions)
    if store.rows is None:
        span = f"from {start.isoformat()} " if start else ""
        raise FetchError(
            f"the source has no closed rows of {about.symbol} {span}to {until.isoformat()}",
            where=f"source {source}",
            do="check the symbol, the interval and the dates",
        )
    return _fetched(store, start)


PATIENCE = timedelta(days=5)
"""Longer than exchanges close; a hole of more than this (and of two bars) is told of."""


def _holes(stamps: pl.Series, start: datetime | None, interval_s: float) -> list[str]:
    """What is missing at the beginning and inside, in words."""
    least = max(PATIENCE, timedelta(seconds=2 * interval_s))
    found = []
    if start is not None and stamps[0] - start > least:
        found.append(f"asked from {start.isoformat()}, the first bar is {stamps[0].isoformat()}")
    steps = stamps.diff()
    holes = (steps > least).arg_true()
    if len(holes):
        longest = int(steps.arg_max() or 0)
        found.append(
            f"holes of more than {least.days} days: {len(holes)}; the longest, "
            f"{steps[longest].days} days, after {stamps[longest - 1].isoformat()}"
        )
    return found


@dataclass(frozen=True)
class _Telling:
    """A source that tells of its pages."""

    source: Source
    tell: Tell

    @property
    def about(self) -> About:
        return self.source.about

    def pages(self, start: datetime | None, until: datetime) -> Iterator[pl.DataFrame]:
        rows = 0
        for page in self.source.pages(start, until):
            rows += page.height
            if page.height:
                self.tell(f"{rows:,} rows, to {page['timestamp'][-1]:%Y-%m-%d %H:%M}")
            yield page


def _fetched(store: Store, start: datetime | None) -> Fetched:
    assert store.rows is not None
    stamps = store.rows["timestamp"]
    warnings = []
    if store.withdrawn:
        warnings.append(f"the source no longer has {store.withdrawn:,} stored rows; they stay")
    if store.about.kind == "bars":
        warnings += _holes(stamps, start, store.about.length_s)
    return Fetched(
        folder=str(store.folder),
        added=store.added,
        revised=store.revised,
        rows=store.rows.height,
        first=stamps[0].isoformat(),
        last=stamps[-1].isoformat(),
        parts=len(store.manifest.parts),
        sha256=store.manifest.sha256,
        warnings=tuple(warnings),
    )
