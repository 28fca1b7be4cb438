"""Run folders: what makes a run itself, its lock, the list of runs, the report written again."""

from __future__ import annotations

import fcntl
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from truefill.config.load import SAMPLE_PREFIX, portable
from truefill.config.schema import Config
from truefill.core.errors import ArtifactError, ConfigError, TruefillError, UsageError
from truefill.core.files import read_json, write_text
from truefill.core.fingerprint import fingerprint, sha256_file
from truefill.pipeline.artifacts import MANIFEST, Manifest

BOOKED = ("dataset", "forecast", "select", "validate", "test", "verdict")
"""Stages of the manifest that stand for a finished stage of the run (``select`` ends training)."""
LOCK_WAIT_S = 20.0
KEY_FILE = "key.txt"
"""In a folder of work that can be gone on with: the key that it is done under."""


def input_hashes(config: Config) -> dict[str, str]:
    """SHA-256 of every data file or snapshot by its key, e.g. ``bars.0``; samples go by name.

    Raises:
        ConfigError: a file does not exist.
        DataError: a byte of a snapshot has changed.
    """
    from truefill.data.snapshots import content_sha256, is_snapshot
    from truefill.data.table import resolve

    hashes = {}
    for key, path in config.files().items():
        if str(path).startswith(SAMPLE_PREFIX):
            hashes[key] = sha256_file(resolve(path))
        elif path.is_file() or is_snapshot(path):
            hashes[key] = content_sha256(path)
        else:
            raise ConfigError(
                "the file does not exist",
                where=f"{_full_key(key)}: {path}",
                do="paths count from the config file that names them",
            )
    return hashes


def _full_key(key: str) -> str:
    """The config key of an input file."""
    if key.startswith(("plugins.", "training.")):
        return key
    return f"{key}.path" if key.startswith("market.") else f"data.{key}.path"


def run_identity(config: Config, inputs: dict[str, str]) -> str:
    """SHA-256 of config and data; where the files lie does not matter."""
    return fingerprint({"config": portable(config), "inputs": inputs})


@contextmanager
def locked(folder: Path, tell: Callable[[str], None]) -> Iterator[int]:
    """One process at a time in a run folder; the lock dies with its last holder. Yields its file
    descriptor, for workers to hold too."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"the run folder cannot be made: {error.strerror}",
            where=str(folder),
            do="choose another folder with --runs",
        ) from error
    with (folder / ".lock").open("w") as file:
        deadline = time.monotonic() + LOCK_WAIT_S
        told = False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TruefillError(
                        "another process is working on this run",
                        where=str(folder),
                        do="wait for it, or use another --runs",
                    ) from None
                if not told:
                    tell("waiting for another process to leave this run")
                    told = True
                time.sleep(0.2)
        yield file.fileno()


def list_runs(runs: Path) -> list[dict[str, Any]]:
    """Every run of a runs folder that finished a stage, by name; a broken one says so."""
    rows = []
    for path in sorted(runs.glob(f"*/{MANIFEST}")):
        try:
            row = _listed(path.parent)
        except ArtifactError as error:
            row = {"run": path.parent.name, "stages": [], "headline": f"unreadable: {error.what}"}
        if row["stages"] or row["headline"]:
            rows.append({"verdict": None, "skip_checks": False, **row})
    return rows


def _listed(folder: Path) -> dict[str, Any]:
    manifest = Manifest.open(folder)
    path = folder / "verdict.json"
    answer = read_json(path) if path.is_file() else {}
    return {
        "run": folder.name,
        "stages": [name for name in BOOKED if name in manifest.stages],
        "verdict": answer.get("verdict"),
        "headline": answer.get("headline"),
        "skip_checks": manifest.facts.get("skip_checks", False),
    }


def write_report(folder: Path) -> Path:
    """Write report.html again from the run's artifacts, after verifying every one of them."""
    with locked(folder, lambda text: None):
        manifest = Manifest.open(folder)
        if "verdict" not in manifest.stages:
            raise UsageError(
                "the run has no verdict yet", where=str(folder), do="`truefill run` first"
            )
        return rewrite_report(manifest)


def rewrite_report(manifest: Manifest) -> Path:
    """The same for a run that has a verdict and whose folder the caller has locked."""
    from truefill.core.files import write_text
    from truefill.report.html import render_report

    page = manifest.folder / "report.html"
    for stage in manifest.stages:
        manifest.verify(stage, but=(page.name,))
    write_text(page, render_report(manifest.folder))
    manifest.outputs("verdict")[page.name] = sha256_file(page)
    manifest.save()
    return page


def keep_only_own(folder: Path, key: str) -> None:
    """Throw away what work under another key left in ``folder``: it cannot be gone on with."""
    path = folder / KEY_FILE
    if path.exists() and path.read_text() == key:
        return
    shutil.rmtree(folder, ignore_errors=True)
    write_text(path, key)
