"""Run a config: decide which stages are due, let workers do them, book what they made."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from truefill.audit.certificate import FILE
from truefill.config.load import portable
from truefill.config.schema import Config
from truefill.core.errors import (
    TruefillError,
    UsageError,
    did_you_mean,
)
from truefill.core.files import read_json, write_json
from truefill.data.resolve import resolve
from truefill.pipeline import host
from truefill.pipeline.artifacts import Manifest, stage_key, versions
from truefill.pipeline.audit import STAGE as AUDIT
from truefill.pipeline.audit import audit_key, require_certificate
from truefill.pipeline.behaviours import behaviours
from truefill.pipeline.events import Event
from truefill.pipeline.folder import input_hashes, locked, rewrite_report, run_identity
from truefill.pipeline.forecast_course import STAGE as FORECAST
from truefill.pipeline.forecast_course import ForecastCourse
from truefill.pipeline.pool import Job, Pool
from truefill.pipeline.smoke import require_own_name, smoke_config

STAGES = ("dataset", "forecast", "train", "validate", "test", "verdict")
UNKEYED = ("seeds", "worker_timeout_s", "tensorboard", "ensemble")
"""Training settings that do not change what one seed's training comes to."""
WARM_START = "training.warm_start"
"""The input of training alone."""
TIMING = "timing.json"
LOG = "log.txt"
Report = Callable[[Event], None]


@dataclass(frozen=True)
class RunResult:
    """What a run came to."""

    folder: Path
    verdict: str | None
    headline: str | None
    stages: dict[str, str]
    """Stage -> done, skipped, or why it was not run."""
    report_path: Path | None
    behaviour: dict[str, Any] | None = None
    """What the policies do (``pipeline.select.behaviours``), once they are trained."""


def run(
    config: Config,
    *,
    runs: Path,
    only: str | None = None,
    until: str | None = None,
    workers: int | None = None,
    fresh: bool = False,
    skip_checks: bool = False,
    smoke: bool = False,
    report: Report = lambda event: None,
) -> RunResult:
    """From data to verdict. The same call again goes on where the last one stopped.

    Args:
        config: what to run.
        runs: the runs folder; the run gets a folder of its own in it.
        only: do this stage alone (the ones before it must be done).
        until: stop after this stage; ``validate`` never opens test.
        workers: worker processes; one a seed, at most one a core, when absent.
        fresh: do every stage again.
        skip_checks: no preflight; recorded in the manifest.
        smoke: a small run on the train period only.
        report: called with every event.

    Raises:
        TruefillError: what failed, where, and what to do; nothing half-written is left.
    """
    for stage in (only, until):
        if stage is not None and stage not in STAGES:
            raise UsageError(f"no stage is called {stage!r}", do=did_you_mean(stage, STAGES))
    if only is not None and until is not None:
        raise UsageError("give --only or --until, not both")
    if workers is not None and workers < 1:
        raise UsageError(f"--workers must be at least 1, not {workers}")
    inputs = input_hashes(config)
    config = resolve(config)
    require_own_name(config)
    if smoke:
        config = smoke_config(config)
    identity = run_identity(config, inputs)
    folder = runs.absolute() / f"{config.name}-{identity[:6]}"
    with locked(folder, lambda text: report(Event("line", "run", text))) as lock:
        course = _Course(
            config, folder, identity, inputs, workers, report, skip_checks, lock, fresh
        )
        if fresh:
            course.forget()
        return course.go(only, until)


@dataclass
class _Course:
    """One call of :func:`run`."""

    config: Config
    folder: Path
    identity: str
    inputs: dict[str, str]
    workers: int | None
    report: Report
    skip_checks: bool
    lock: int | None = None
    fresh: bool = False
    states: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    device: host.Device = "cpu"
    dataset: str = "dataset"
    """The dataset in the manifest."""

    def __post_init__(self) -> None:
        self.manifest = Manifest.open(self.folder)
        asked = self.config.forecast
        self.forecasts = None if asked is None else ForecastCourse(self, asked, fresh=self.fresh)
        known = self.manifest.facts.get("run", self.identity)
        if known != self.identity:
            raise TruefillError(
                "the folder holds a run of another config whose name begins alike",
                where=str(self.folder),
                do="use another --runs, or another name",
            )

    def forget(self) -> None:
        """Remove what earlier calls made, all but the lock and the log."""
        for path in self.folder.iterdir():
            if path.name in (".lock", LOG, FILE):
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        audited = {name: e for name, e in self.manifest.stages.items() if name == AUDIT}
        self.manifest = Manifest(self.folder, stages=audited)

    def go(self, only: str | None, until: str | None) -> RunResult:
        wanted = (only,) if only else STAGES[: STAGES.index(until) + 1] if until else STAGES
        if self.forecasts is None:
            wanted = tuple(stage for stage in wanted if stage != FORECAST)
            if not wanted or until == FORECAST:
                raise UsageError("the config has no forecasters", do="add forecast: to it")
        known = self.manifest.facts.get("device")
        self.device = known if known else self._resolve_device()
        self._certificate()
        if not self._all_done(wanted):
            self._preflight()
            self._facts()
        try:
            with Pool(self._pool_size(), self.device, self.line, self.lock) as pool:
                for stage in wanted:
                    began = time.monotonic()
                    self.say(Event("stage", stage, "starts"))
                    going = self._stages[stage](pool)
                    self.seconds[stage] = time.monotonic() - began
                    text = f"{self.states[stage]} ({self.seconds[stage]:.1f} s)"
                    self.say(Event("stage", stage, text))
                    if not going:
                        break
        finally:
            self._write_timing()
        return self._result()

    def _result(self) -> RunResult:
        path = self.folder / "verdict.json"
        answer = read_json(path) if "verdict" in self.states and path.is_file() else {}
        page = self.folder / "report.html"
        return RunResult(
            folder=self.folder,
            verdict=answer.get("verdict"),
            headline=answer.get("headline"),
            stages=self.states,
            report_path=page if answer and page.is_file() else None,
            behaviour=behaviours(self.folder) if "train" in self.states else None,
        )

    # What the stages depend on.

    def _key(self, stage: str, *, seed: int | None = None) -> str:
        if stage == AUDIT:
            return audit_key(self.config, self.inputs, self.device)
        if self.forecasts is not None and self.forecasts.owns(stage):
            return self.forecasts.key(stage)
        tree = portable(self.config)
        name = stage if seed is None else f"{stage}/seed-{seed}"
        inputs: dict[str, Any]
        if stage == "dataset":
            atr = tree["market"]["atr_stops"]
            inputs = {
                "data": tree["data"], "features": tree["features"],
                "inputs": {k: v for k, v in self.inputs.items() if k != WARM_START},
                "atr_period": atr and atr["period"], "no_trade": tree["market"]["no_trade"],
            }  # fmt: skip
        elif stage == "train":
            training = {k: v for k, v in tree["training"].items() if k not in UNKEYED}
            inputs = {
                "dataset": self.manifest.outputs("dataset"), "seed": seed, "training": training,
                "market": tree["market"], "env": tree["env"], "agent": tree["agent"],
                "plugins": {k: v for k, v in self.inputs.items() if k.startswith("plugins.")},
                "warm_start": self.inputs.get(WARM_START),
                "forecast": {n: self.manifest.outputs(n) for n in self._forecast},
            }  # fmt: skip
        else:
            before = {
                "select": [*self._forecast, *self._seed_stages()],
                "validate": ["dataset", *self._forecast, "select"],
                "test": ["dataset", *self._forecast, "validate"],
                "verdict": self._before_verdict(),
            }[stage]
            outputs = {name: self.manifest.outputs(name) for name in before}
            inputs = {"config": tree, "outputs": outputs, "run": self.identity}
        return stage_key(name, self.device, inputs)

    @property
    def _forecast(self) -> list[str]:
        """The stage of the forecasts, where there are any."""
        return [] if self.forecasts is None else [FORECAST]

    def _seed_stages(self) -> list[str]:
        return [f"train/seed-{seed}" for seed in self.config.training.seeds]

    def _before_verdict(self) -> list[str]:
        stages = ["dataset", *self._forecast, *self._seed_stages(), "select", "validate"]
        return stages + [name for name in ("test", AUDIT) if name in self.manifest.stages]

    def _all_done(self, wanted: Sequence[str]) -> bool:
        """Is every wanted stage done as things are now? Then nothing needs a preflight."""
        names: list[str] = []
        for stage in wanted:
            names += [*self._seed_stages(), "select"] if stage == "train" else [stage]
        return all(self.current(name) or name == "test" for name in names)

    def current(self, name: str) -> bool:
        """Is a stage of the manifest done under the key it would have now?"""
        entry = self.manifest.stages.get(name)
        if entry is None:
            return False
        if self.forecasts is not None and self.forecasts.owns(name):
            return self.forecasts.current(name)
        stage, _, seed = name.partition("/seed-")
        before = {
            "dataset": [],
            "train": ["dataset", *self._forecast],
            "select": self._seed_stages(),
            "validate": ["dataset", "select"],
            "test": ["dataset", "validate"],
            "verdict": ["dataset", "validate"],
            AUDIT: [],
        }[stage]
        if not all(self.current(other) for other in before):
            return False
        return bool(entry["key"] == self._key(stage, seed=int(seed) if seed else None))

    def _need(self, stage: str, *before: str) -> None:
        """Refuse a stage whose inputs are missing or out of date; verify them otherwise."""
        for name in before:
            if not self.current(name):
                state = "is out of date" if name in self.manifest.stages else "is not done"
                raise UsageError(
                    f"stage {stage} needs {name}, which {state}",
                    where=str(self.folder),
                    do=f"run without --only, or --until {stage}",
                )
            self.manifest.verify(name)

    # The stages.

    @property
    def _stages(self) -> dict[str, Callable[[Pool], bool]]:
        return {
            "dataset": self._dataset,
            FORECAST: self._forecast_stage,
            "train": self._train,
            "validate": self._validate,
            "test": self._test,
            "verdict": self._verdict,
        }

    def _dataset(self, pool: Pool) -> bool:
        self.simple(pool, "dataset", lambda files: files)
        return True

    def _forecast_stage(self, pool: Pool) -> bool:
        self._need(FORECAST, "dataset")
        assert self.forecasts is not None
        self.forecasts.go(pool)
        return True

    def _train(self, pool: Pool) -> bool:
        self._need("train", "dataset", *self._forecast)
        keys = {seed: self._key("train", seed=seed) for seed in self.config.training.seeds}
        due = [s for s, key in keys.items() if not self.manifest.done(f"train/seed-{s}", key)]
        self.states["train"] = "done" if due else "skipped"
        if due:
            pool.run([self._seed_job(seed, keys[seed]) for seed in due])
        self.simple(pool, "select", lambda files: files, state=False)
        return True

    def _seed_job(self, seed: int, key: str) -> Job:
        total = self.config.training.total_steps
        first: list[tuple[float, int]] = []  # after the first update, which compiles

        def heard(message: dict[str, Any]) -> None:
            if "line" in message:
                self.line(message["line"])
                return
            done, score = message["progress"]
            done = min(done, total)  # the last update may go beyond the budget
            if not first:
                first.append((time.monotonic(), done))
            began, before = first[0]
            rate = (done - before) / max(time.monotonic() - began, 1e-9)
            self.say(Event("progress", "train", "", seed, done, total, rate, score))

        def finished(files: list[str]) -> None:
            self.manifest.record(f"train/seed-{seed}", key, files)

        message = self.message("train", key, seed=seed)
        timeout_s = self.config.training.worker_timeout_s
        return Job(f"seed {seed}", message, heard, finished, timeout_s)

    def _validate(self, pool: Pool) -> bool:
        self._need("validate", "dataset", *self._forecast, *self._seed_stages(), "select")
        self.simple(pool, "validate", lambda result: result["files"])
        gates = read_json(self.folder / "backtest/validation/gates.json")
        failed = [gate["reason"] for gate in gates if not gate["passed"]]
        for reason in failed:
            self.line(f"validation gate failed: {reason}")
        return True

    def _test(self, pool: Pool) -> bool:
        self._need("test", "dataset", *self._forecast, *self._seed_stages(), "select", "validate")
        if self.forecasts is not None:
            self.forecasts.verify()
        gates = read_json(self.folder / "backtest/validation/gates.json")
        if not all(gate["passed"] for gate in gates):
            self._drop("test")
            self.states["test"] = "not opened: a validation gate failed"
            return True
        self.simple(pool, "test", lambda result: result["files"])
        return True

    def _drop(self, stage: str) -> None:
        """Forget a stage that no longer applies, and its files."""
        if stage in self.manifest.stages:
            del self.manifest.stages[stage]
            self.manifest.save()
        shutil.rmtree(self.folder / "backtest" / stage, ignore_errors=True)
        for name in ("test.parquet", "members/test.parquet", "test_skill.json"):
            (self.folder / FORECAST / name).unlink(missing_ok=True)

    def _verdict(self, pool: Pool) -> bool:
        self._need("verdict", *self._before_verdict())
        tested = "test" in self.manifest.stages
        if not tested:
            self._drop("test")  # what a killed stage left, which nobody verifies
        self.simple(pool, "verdict", lambda result: result["files"], tested=tested)
        return True

    def simple(
        self,
        pool: Pool,
        stage: str,
        files: Callable[[Any], list[str]],
        *,
        state: bool = True,
        key: str | None = None,
        **arguments: Any,
    ) -> None:
        """Do a stage of one job, with ``arguments``, unless it is done."""
        key = key or self._key(stage)
        done = self.manifest.done(stage, key)
        if not done:
            job = Job(
                stage,
                self.message(stage, key, **arguments),
                lambda message: self.line(message.get("line", "")),
                lambda result: self.manifest.record(stage, key, files(result)),
            )
            pool.run([job])
        if state:
            self.states[stage] = "skipped" if done else "done"

    def message(self, stage: str, key: str, **arguments: Any) -> dict[str, Any]:
        return {
            "stage": stage,
            "key": key,
            "run": self.identity,
            "device": self.device,
            "folder": str(self.folder),
            "runs": str(self.folder.parent),
            "config": self.config.model_dump_json(),
            "inputs": self.inputs,
            "arguments": arguments,
        }

    # Around them.

    def _certificate(self) -> None:
        """Require a current leak certificate where the config does; forget a stale one."""
        key = self._key(AUDIT)
        if self.config.audit == "required":
            require_certificate(self.manifest, key)
        entry = self.manifest.stages.get(AUDIT)
        if entry is not None and entry["key"] != key:
            self.line("the leak certificate is stale and was removed: `truefill audit` makes one")
            del self.manifest.stages[AUDIT]
            self.manifest.save()
            (self.folder / FILE).unlink(missing_ok=True)
            if "verdict" in self.manifest.stages:
                rewrite_report(self.manifest)

    def _resolve_device(self) -> host.Device:
        return host.resolve_device(self.config.device, host.probe_devices())

    def _pool_size(self) -> int:
        if self.device == "gpu":
            return 1
        fits = 0 if self.forecasts is None else len(self.forecasts.units)
        return self.workers or host.default_workers(max(len(self.config.training.seeds), fits))

    def _preflight(self) -> None:
        if self.skip_checks:
            self.line("preflight skipped (--skip-checks)")
            return
        from truefill.pipeline.preflight import check, require

        checks = check(self.config, runs=self.folder.parent, workers=self.workers)
        self.line(f"preflight: {sum(c.passed for c in checks)} of {len(checks)} checks passed")
        for found in (c for c in checks if c.warning):
            self.line(f"{found.name}: {found.figure}")
        require(checks)

    def _facts(self) -> None:
        """Book what the run is, and whether its checks were skipped."""
        self.manifest.facts = {
            "run": self.identity,
            "device": self.device,
            "cpu_model": host.cpu_model(),
            "versions": versions(),
            "inputs": self.inputs,
            "skip_checks": self.skip_checks,
        }
        self.manifest.save()

    def line(self, text: str) -> None:
        if text:
            self.say(Event("line", "run", text))

    def say(self, event: Event) -> None:
        self.report(event)
        if event.kind != "progress":
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S%z")
            with (self.folder / LOG).open("a", encoding="utf-8") as file:
                file.write(f"{stamp} {event.stage}: {event.text}\n")

    def _write_timing(self) -> None:
        path = self.folder / TIMING
        before = read_json(path) if path.is_file() else {"calls": []}
        call = {
            "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "seconds": {stage: round(value, 3) for stage, value in self.seconds.items()},
            "stages": self.states,
            "workers": self._pool_size(),
            "cores": host.cores(),
        }
        write_json(path, {"calls": [*before["calls"], call]})
