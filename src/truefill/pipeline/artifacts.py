"""The manifest of a run: which stages are done, under which key, with which files.

A stage's key is the SHA-256 of everything its result depends on: its part of the config, its
inputs, the source code it runs, library versions and backend. Files are verified on every use.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import truefill
from truefill.core.errors import ArtifactError
from truefill.core.files import read_json, write_json
from truefill.core.fingerprint import fingerprint, sha256_file, source_hash

MANIFEST = "manifest.json"
LIBRARIES = ("jax", "jaxlib", "equinox", "optax", "numpy", "polars", "pyarrow", "plotly")
TRAINING = ("core", "config", "data", "market", "nn", "env", "agents")
STAGING = (
    "pipeline/stages.py",
    "pipeline/folder.py",
    "pipeline/conclude.py",
    "pipeline/worker.py",
    "pipeline/pool.py",
)
ASSESSING = (*TRAINING, "evaluation", *STAGING, "pipeline/assess.py", "pipeline/ledger.py",
             "pipeline/select.py", "pipeline/behaviours.py", "pipeline/rule.py", "forecast",
             "pipeline/forecast_work.py")  # fmt: skip
FORECASTING = ("core", "config", "data", "market", "nn", "forecast", *STAGING,
               "pipeline/forecast_work.py")  # fmt: skip
CODE = {
    "dataset": ("core", "config", "data", "features"),
    "forecast_plan": FORECASTING,
    "fit": FORECASTING,
    "forecast": (*FORECASTING, "env", "evaluation"),
    "train": (*TRAINING, *STAGING, "pipeline/rule.py"),
    "select": ASSESSING,
    "validate": ASSESSING,
    "test": ASSESSING,
    "verdict": (*ASSESSING, "report"),
    "audit": ("",),
    "tune": (*ASSESSING, "features", "tuning", "pipeline/tune_work.py"),
}
"""Source that decides a stage's result, relative to the package."""


def code_hash(stage: str) -> str:
    """SHA-256 of the source a stage runs (per-seed stages are called train/seed-N)."""
    root = Path(truefill.__file__).parent
    return source_hash(root / part for part in CODE[stage.split("/")[0]])


def versions() -> dict[str, str]:
    """Versions that decide bits: Python's minor version and the numerical libraries."""
    python = ".".join(platform.python_version_tuple()[:2])
    return {"python": python, **{name: version(name) for name in LIBRARIES}}


def stage_key(stage: str, device: str, inputs: dict[str, Any]) -> str:
    """The key under which a stage's result holds."""
    return fingerprint(
        {
            "stage": stage,
            "code": code_hash(stage),
            "versions": versions(),
            "device": device,
            **inputs,
        }
    )


def _is_manifest(data: Any) -> bool:
    """Has ``data`` the form that :meth:`Manifest.save` writes?"""
    if not isinstance(data, dict) or not isinstance(data.get("facts"), dict):
        return False
    stages = data.get("stages")
    return isinstance(stages, dict) and all(
        isinstance(stage, dict)
        and isinstance(stage.get("key"), str)
        and isinstance(stage.get("artifacts"), dict)
        for stage in stages.values()
    )


@dataclass
class Manifest:
    """manifest.json of one run folder."""

    folder: Path
    facts: dict[str, Any] = field(default_factory=dict)
    stages: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path) -> Manifest:
        """The folder's manifest; empty for a new folder."""
        path = folder / MANIFEST
        if not path.exists():
            return cls(folder)
        data = read_json(path)
        if not _is_manifest(data):
            raise ArtifactError(
                "not a manifest of truefill's", where=str(path), do="restore it, or move the folder"
            )
        return cls(folder, data["facts"], data["stages"])

    def save(self) -> None:
        write_json(self.folder / MANIFEST, {"facts": self.facts, "stages": self.stages})

    def done(self, stage: str, key: str) -> bool:
        """Is ``stage`` done under ``key``? Its files are then verified.

        Raises:
            ArtifactError: a file of the stage is missing or changed.
        """
        entry = self.stages.get(stage)
        if entry is None or entry["key"] != key:
            return False
        self.verify(stage)
        return True

    def verify(self, stage: str, but: tuple[str, ...] = ()) -> None:
        """Raise ``ArtifactError`` unless every file of ``stage``, ``but`` those named, is as it was
        written."""
        for name, expected in self.stages[stage]["artifacts"].items():
            if name in but:
                continue
            path = self.folder / name
            if not path.is_file():
                raise ArtifactError(
                    "the artifact is missing", where=str(path), do="restore it, or run with --fresh"
                )
            if sha256_file(path) != expected:
                raise ArtifactError(
                    "the artifact does not match its hash in the manifest",
                    where=str(path),
                    do="`truefill report RUN` writes it again"
                    if name == "report.html"
                    else "restore it, or run with --fresh",
                )

    def record(self, stage: str, key: str, files: list[str]) -> None:
        """Book a finished stage with the hashes of its files. Later stages notice by their keys."""
        self.stages[stage] = {
            "key": key,
            "code_sha256": code_hash(stage),
            "artifacts": {name: sha256_file(self.folder / name) for name in sorted(files)},
        }
        self.save()

    def outputs(self, stage: str) -> dict[str, str]:
        """File -> SHA-256 of a finished stage."""
        artifacts: dict[str, str] = self.stages[stage]["artifacts"]
        return artifacts
