"""Adding to a snapshot: newer rows become a new part; what is stored is never written again."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from truefill.core.errors import DataError, UsageError
from truefill.core.files import write_parquet, write_text
from truefill.core.fingerprint import sha256_file
from truefill.data.snapshots import MANIFEST, Manifest, Part, is_snapshot, open_manifest
from truefill.data.snapshots import read_snapshot as read_rows
from truefill.fetch.base import About, FetchError
from truefill.fetch.revisions import Difference, compare

LOG = "log.jsonl"
OVERLAP_ROWS = 10
"""Stored rows that are asked for again each time, to see whether their source has revised them."""


@dataclass
class Store:
    """A snapshot that rows are added to; ``rows`` is what it holds, None before the first part."""

    folder: Path
    about: About
    manifest: Manifest
    rows: pl.DataFrame | None = None
    added: int = 0
    revised: int = 0
    withdrawn: int = 0

    @staticmethod
    def open(folder: Path, source: str, about: About) -> Store:
        """The snapshot in ``folder``, or a new one there.

        Raises:
            UsageError: the folder holds something else.
            DataError: a stored byte has changed.
        """
        empty = Manifest(
            source=source,
            kind=about.kind,
            symbol=about.symbol,
            interval_s=about.interval_s,
            columns=about.columns,
            request=about.request,
        )
        store = Store(folder, about, empty)
        if is_snapshot(folder):
            store._load()
        elif folder.exists() and (not folder.is_dir() or any(_others(folder))):
            raise UsageError("the folder holds other files", where=str(folder), do="choose another")
        return store

    def start(self, wanted: datetime | None, *, whole: bool) -> datetime | None:
        """From when on to ask the source: the last rows that are stored; all that is stored or
        wanted where ``whole``, or where more is wanted in front."""
        if self.rows is None or wanted is None or wanted < self._first:
            return wanted
        if whole:
            return self._first
        overlap: datetime = self.rows["timestamp"].tail(OVERLAP_ROWS)[0]
        return overlap

    def add(self, batch: pl.DataFrame, now: datetime, *, accept_revisions: bool) -> None:
        """Store what is new in ``batch`` as one part.

        Raises:
            DataError: rule ``vendor_revision``: a stored row comes with other values, or a row
                appears between stored ones, and ``accept_revisions`` is false.
        """
        with _locked(self.folder):
            if is_snapshot(self.folder) and open_manifest(self.folder) != self.manifest:
                self._load()
            found = compare(self.rows, batch, self.about.tolerance)
            if (found.changed.height or found.late.height) and not accept_revisions:
                raise _revision(found, self.folder)
            self.withdrawn += found.withdrawn
            if found.to_store.height:
                self._write(found, now)

    def _write(self, found: Difference, now: datetime) -> None:
        rows = found.to_store.sort("timestamp")
        path = self.folder / f"part-{len(self.manifest.parts) + 1:05d}.parquet"
        write_parquet(path, rows)
        part = Part(
            file=path.name,
            rows=rows.height,
            first=rows["timestamp"][0].isoformat(),
            last=rows["timestamp"][-1].isoformat(),
            sha256=sha256_file(path),
            revised=found.changed.height,
            late=found.late.height,
        )
        parts = (*self.manifest.parts, part)
        self.manifest = self.manifest.model_copy(update={"parts": parts})
        write_text(self.folder / MANIFEST, self.manifest.text())
        self._log(part, now)
        known = rows if self.rows is None else pl.concat([self.rows, rows])
        self.rows = known.unique("timestamp", keep="last", maintain_order=True).sort("timestamp")
        self.added += found.to_store.height - found.changed.height
        self.revised += found.changed.height

    def _log(self, part: Part, now: datetime) -> None:
        log = self.folder / LOG
        before = log.read_text() if log.is_file() else ""
        entry = {"fetched_at": now.isoformat(), "part": part.file, "rows": part.rows}
        write_text(log, before + json.dumps(entry, sort_keys=True) + "\n")

    def _load(self) -> None:
        stored = open_manifest(self.folder)
        for name in ("source", "kind", "symbol", "interval_s", "columns", "request"):
            ours, theirs = getattr(self.manifest, name), getattr(stored, name)
            if ours != theirs:
                raise UsageError(
                    f"the snapshot has {name} {theirs}, asked for is {ours}",
                    where=str(self.folder),
                    do="choose another folder for it",
                )
        self.manifest = stored
        self.rows = read_rows(self.folder, stored).drop("symbol") if stored.parts else None

    @property
    def _first(self) -> datetime:
        assert self.rows is not None
        first: datetime = self.rows["timestamp"][0]
        return first


def _others(folder: Path) -> Iterator[Path]:
    """Files that an import which was cut off before its first manifest cannot have left."""
    for path in folder.iterdir():
        if path.name not in (".lock", LOG) and not path.name.startswith(("part-", MANIFEST)):
            yield path


def _revision(found: Difference, folder: Path) -> DataError:
    count = found.changed.height + found.late.height
    lines = found.words(3)
    rest = f" (and {count - len(lines):,} more rows)" if count > len(lines) else ""
    return DataError(
        "vendor_revision",
        f"the source has revised {count:,} of the rows stored: {'; '.join(lines)}{rest}",
        where=folder.name,
        do="take its new values with --accept-revisions (the old part stays), or keep this "
        "snapshot and fetch into a new folder",
    )


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One import at a time writes in a folder; the lock dies with its holder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".lock").open("w")
    except OSError as error:
        raise FetchError(
            f"cannot be written: {error.strerror}", where=str(folder), do="choose another folder"
        ) from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
