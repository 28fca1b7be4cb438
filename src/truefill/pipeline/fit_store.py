"""Fits of earlier runs, kept by their keys in the runs folder: what is fitted once is not fitted
again because another config, seed of the agent or market asks for the same.

``forecasts/KEY/`` holds a unit's files and ``index.json`` with their hashes, whole or absent.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from truefill.core.errors import ArtifactError
from truefill.core.files import read_json, write_bytes, write_json
from truefill.core.fingerprint import sha256_file

NAME = "forecasts"
INDEX = "index.json"


class FitStore:
    """The fits that a runs folder keeps."""

    def __init__(self, runs: Path) -> None:
        self.folder = runs / NAME

    def take(self, key: str, folder: Path) -> list[str] | None:
        """Copy the files of a fit into ``folder``; their names there, None where it is not kept.

        Raises:
            ArtifactError: a kept file is missing or changed.
        """
        kept = self.folder / key
        if not (kept / INDEX).is_file():
            return None
        files: dict[str, str] = read_json(kept / INDEX)
        for name, expected in files.items():
            path = kept / name
            if not path.is_file() or sha256_file(path) != expected:
                raise ArtifactError(
                    "a kept fit is not what it was",
                    where=str(path),
                    do=f"remove {kept}; it is then fitted again",
                )
        for name in files:
            write_bytes(folder / name, (kept / name).read_bytes())
        return list(files)

    def keep(self, key: str, folder: Path, names: Sequence[str], *, fresh: bool = False) -> None:
        """Keep the files ``names`` of ``folder`` under a key; ``fresh``: instead of those kept."""
        kept = self.folder / key
        if (kept / INDEX).is_file() and not fresh:
            return
        partial = self.folder / f".{key}-{os.getpid()}"
        shutil.rmtree(partial, ignore_errors=True)
        for name in names:
            write_bytes(partial / name, (folder / name).read_bytes())
        write_json(partial / INDEX, {name: sha256_file(partial / name) for name in names})
        if fresh:
            shutil.rmtree(kept, ignore_errors=True)
        try:
            partial.rename(kept)
        except OSError:  # another run has kept the same fit meanwhile
            shutil.rmtree(partial, ignore_errors=True)
            if not (kept / INDEX).is_file():
                raise
