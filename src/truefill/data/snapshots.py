"""Snapshots: folders of immutable, hashed parts, which ``truefill fetch`` writes.

    manifest.json        what was asked of whom; every part with its rows, span and SHA-256
    part-00001.parquet   rows as they were first seen
    part-00002.parquet   newer rows, or older ones again as their source has revised them
    log.jsonl            when each part came; no hash covers it

Of two rows with one timestamp that of the later part counts. Files that the manifest does not name
do not count: an import that was cut off may have left one.
"""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, ValidationError

from truefill.core.errors import DataError
from truefill.core.fingerprint import fingerprint, sha256_bytes, sha256_file

MANIFEST = "manifest.json"
Kind = Literal["bars", "series", "events"]


class Part(BaseModel):
    """One file of rows: ``first`` and ``last`` are ISO timestamps in UTC; ``revised``: rows that
    replace others; ``late``: rows that lie between rows of earlier parts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    rows: int
    first: str
    last: str
    sha256: str
    revised: int
    late: int


class Manifest(BaseModel):
    """What a snapshot holds: columns beside ``timestamp``, of one symbol; ``interval_s`` is null
    where rows are no bars; ``request`` has the parameters that made it, without secrets."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["truefill snapshot 1"] = "truefill snapshot 1"
    source: str
    kind: Kind
    symbol: str
    interval_s: float | None
    columns: tuple[str, ...]
    request: dict[str, Any]
    parts: tuple[Part, ...] = ()

    @property
    def sha256(self) -> str:
        """Of everything above: it stands in the file too, and names the snapshot's content."""
        return fingerprint(self.model_dump(mode="json"))

    def text(self) -> str:
        """The one text that a manifest's file may hold."""
        tree = {**self.model_dump(mode="json"), "sha256": self.sha256}
        return json.dumps(tree, indent=2, sort_keys=True, allow_nan=False) + "\n"


def is_snapshot(path: Path) -> bool:
    """Whether ``path`` is a folder with a manifest."""
    return (path / MANIFEST).is_file()


def open_manifest(folder: Path) -> Manifest:
    """The manifest of a snapshot. Raises ``DataError`` (``broken_snapshot``) where one of its bytes
    is not what was written."""
    where = f"{folder.name}/{MANIFEST}"
    try:
        text = (folder / MANIFEST).read_text(encoding="utf-8")
        tree = json.loads(text)
        tree.pop("sha256")
        manifest = Manifest.model_validate(tree)
    except (OSError, ValueError, KeyError, AttributeError, TypeError, ValidationError) as error:
        first = f"{error}".split("\n")[0]
        raise _broken(f"it is no manifest of a snapshot: {first}", where) from error
    if manifest.text() != text:
        raise _broken("its content does not match the hash it carries", where)
    return manifest


def read_snapshot(folder: Path, manifest: Manifest | None = None) -> pl.DataFrame:
    """``timestamp`` (UTC), ``symbol`` and the manifest's columns, in order of time, one row a
    moment; every byte is checked. ``manifest``: one that was opened already.

    Raises:
        DataError: ``broken_snapshot`` for a part that is missing or changed; ``empty_file`` for a
            snapshot without parts.
    """
    manifest = open_manifest(folder) if manifest is None else manifest
    if not manifest.parts:
        raise DataError("empty_file", "the snapshot has no rows", where=folder.name)
    tables = [
        pl.read_parquet(BytesIO(_checked_bytes(folder, part))).with_columns(_part=pl.lit(number))
        for number, part in enumerate(manifest.parts)
    ]
    newest = (
        pl.concat(tables)
        .sort("timestamp", "_part")
        .unique("timestamp", keep="last", maintain_order=True)
    )
    return newest.select("timestamp", pl.lit(manifest.symbol).alias("symbol"), *manifest.columns)


def content_sha256(path: Path) -> str:
    """SHA-256 of a file; of a snapshot that of its manifest, once every part has kept its own."""
    if not is_snapshot(path):
        return sha256_file(path)
    manifest = open_manifest(path)
    for part in manifest.parts:
        _checked_bytes(path, part)
    return manifest.sha256


def size_bytes(path: Path) -> int:
    """Of a file, or of a snapshot's parts."""
    if not is_snapshot(path):
        return path.stat().st_size
    found = [path / part.file for part in open_manifest(path).parts]
    return sum(part.stat().st_size for part in found if part.is_file())


def _checked_bytes(folder: Path, part: Part) -> bytes:
    where = f"{folder.name}/{part.file}"
    try:
        data = (folder / part.file).read_bytes()
    except OSError as error:
        raise _broken(f"the part cannot be read: {error.strerror}", where) from error
    if sha256_bytes(data) != part.sha256:
        raise _broken("the part is not what was written: its SHA-256 differs", where)
    return data


def _broken(what: str, where: str) -> DataError:
    do = "take it back from a copy, or fetch into a new folder"
    return DataError("broken_snapshot", what, where=where, do=do)
