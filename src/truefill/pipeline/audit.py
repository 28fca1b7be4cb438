"""``truefill audit``: the leak certificate of a config, made by workers, booked in its run folder.

The certificate is a stage of the run: its key holds config, data and the code of the whole package,
and a certificate under another key is stale.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from truefill.audit.certificate import FILE, certificate
from truefill.config.load import portable
from truefill.config.schema import Config
from truefill.core.errors import UsageError
from truefill.core.files import read_json, write_json
from truefill.data.resolve import resolve
from truefill.pipeline import host
from truefill.pipeline.artifacts import Manifest, code_hash, stage_key
from truefill.pipeline.events import Event
from truefill.pipeline.folder import input_hashes, locked, run_identity, write_report
from truefill.pipeline.pool import Job, Pool

STAGE = "audit"
PARTS = 1_000
"""What a worker tells of a finished group."""
WORKERS = 2
SETTLED = 0.03
"""Share of an audit after which its rate says something of the rest."""
Report = Callable[[Event], None]


@dataclass(frozen=True)
class AuditResult:
    """``certificate``: as certificate.json holds it; ``path``: where."""

    certificate: dict[str, Any]
    path: Path

    @property
    def passed(self) -> bool:
        return bool(self.certificate["passed"])


def audit(
    config: Config,
    *,
    runs: Path,
    quick: bool = False,
    workers: int | None = None,
    report: Report = lambda event: None,
) -> AuditResult:
    """Audit ``config`` and write certificate.json into the folder that its run has, or will have.

    Args:
        config: what to audit.
        runs: the runs folder.
        quick: fewer cuts; such a certificate does not satisfy ``audit: required``.
        workers: worker processes, two (or the cores) when absent.
        report: called with every event.

    Raises:
        TruefillError: the data cannot be read, or the dataset not be built.
    """
    inputs = input_hashes(config)
    config = resolve(config)
    identity = run_identity(config, inputs)
    folder = runs.absolute() / f"{config.name}-{identity[:6]}"
    with locked(folder, lambda text: report(Event("line", STAGE, text))) as lock:
        manifest = Manifest.open(folder)
        device = manifest.facts.get("device") or host.resolve_device(
            config.device, host.probe_devices()
        )
        key = audit_key(config, inputs, device)
        size = 1 if device == "gpu" else min(workers or WORKERS, host.cores())
        message = {
            "stage": STAGE, "key": key, "run": identity, "device": device, "folder": str(folder),
            "runs": str(folder.parent), "config": config.model_dump_json(), "inputs": inputs,
        }  # fmt: skip
        with Pool(size, device, lambda text: report(Event("line", STAGE, text)), lock) as pool:
            checks = _Course(message, quick, report).go(pool)
        shutil.rmtree(folder / STAGE, ignore_errors=True)
        made = certificate(
            name=config.name,
            config=portable(config),
            inputs=inputs,
            code_sha256=code_hash(STAGE),
            quick=quick,
            checks=checks,
        )
        write_json(folder / FILE, made)
        manifest.record(STAGE, key, [FILE])
    if (folder / "report.html").is_file() and "verdict" in manifest.stages:
        write_report(folder)
    return AuditResult(made, folder / FILE)


@dataclass
class _Course:
    """One audit: its jobs, and how far they are."""

    message: dict[str, Any]
    quick: bool
    report: Report

    def go(self, pool: Pool) -> list[dict[str, Any]]:
        """Do every group; what its checks did, in the order of the chain."""
        self._began = time.monotonic()
        groups = self._groups(pool)
        self._parts = dict.fromkeys(groups, 0)
        found: dict[str, list[dict[str, Any]]] = {}
        pool.run([self._job(group, found) for group in groups])
        return [check for group in groups for check in found[group]]

    def _groups(self, pool: Pool) -> list[str]:
        """Groups of checks, whatever is registered: a worker knows. Each is one job."""
        groups: list[str] = []
        message = {**self.message, "stage": "audit groups", "arguments": {}}
        pool.run([Job("groups", message, lambda _: None, groups.extend)])
        return groups

    def _job(self, group: str, found: dict[str, list[dict[str, Any]]]) -> Job:
        arguments = {"group": group, "quick": self.quick}

        def heard(message: dict[str, Any]) -> None:
            if "progress" in message:
                self._parts[group] = message["progress"][0]
                self._tell()

        def finished(checks: list[dict[str, Any]]) -> None:
            found[group] = checks
            for check in checks:
                text = f"{check['check']}: {check['result']} ({check['comparisons']:,} comparisons)"
                self.report(Event("line", STAGE, text))

        return Job(group, {**self.message, "arguments": arguments}, heard, finished)

    def _tell(self) -> None:
        done = sum(self._parts.values())
        total = PARTS * len(self._parts)
        seconds = time.monotonic() - self._began
        rate = done / seconds if done > SETTLED * total else 0.0
        self.report(Event("progress", STAGE, "", None, done, total, rate, None))


def audit_key(config: Config, inputs: dict[str, str], device: str) -> str:
    """The key under which a certificate holds: config, data, code, versions, device."""
    return stage_key(STAGE, device, {"config": portable(config), "inputs": inputs})


def shortcoming(manifest: Manifest, key: str) -> str:
    """Why a run that requires a certificate may not go on with the one there is; empty if it may.

    Raises:
        ArtifactError: the certificate was changed since it was booked.
    """
    entry = manifest.stages.get(STAGE)
    if entry is None:
        return "there is no leak certificate of this config, these data and this code"
    if entry["key"] != key:
        return "the leak certificate is stale: config, data or code have changed since"
    manifest.verify(STAGE)
    made = read_json(manifest.folder / FILE)
    if not made["passed"]:
        return f"the leak certificate did not pass: {_outcome(made)}"
    return "the leak certificate was made with --quick" if made["quick"] else ""


def _outcome(made: dict[str, Any]) -> str:
    if made["leaks"]:
        return "1 leak was found" if made["leaks"] == 1 else f"{made['leaks']} leaks were found"
    open_ones = [check["check"] for check in made["checks"] if check["result"] == "inconclusive"]
    return f"nothing is proven of {', '.join(open_ones)}"


def require_certificate(manifest: Manifest, key: str) -> None:
    """Refuse a run whose config says ``audit: required`` without a current, passed certificate.

    Raises:
        UsageError: why, and what to do.
    """
    why = shortcoming(manifest, key)
    if why:
        raise UsageError(why, where="audit: required", do="truefill audit CONFIG")
