"""One call of a search: propose a generation, let workers try it, tell what became of it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from truefill.config.schema import Config
from truefill.config.space import with_values
from truefill.core.errors import ConfigError, TruefillError, WorkerError
from truefill.core.files import read_json, write_json
from truefill.core.fingerprint import fingerprint
from truefill.pipeline import host
from truefill.pipeline.artifacts import Manifest, code_hash, stage_key, versions
from truefill.pipeline.pool import Job, Pool
from truefill.pipeline.tune import Plan, TuneResult
from truefill.pipeline.tune_events import Report, Teller
from truefill.pipeline.tune_forecasts import SearchForecasts
from truefill.pipeline.tune_result import write_result
from truefill.tuning.pruning import SERIES
from truefill.tuning.result import STATES, outcome
from truefill.tuning.search import Store, propose, values_of

DATASET = "tune/dataset"
LOG = "log.txt"
TIMING = "timing.json"
REFUSED: dict[str, Any] = {"seeds": [], **{name: {} for name in SERIES}}
"""What a trial whose config is refused came to, beside its reason."""
DIED = "its worker died or fell silent again and again without a step forward (see log.txt)"


@dataclass
class Course:
    """One call of :func:`truefill.pipeline.tune.tune`, with the study's folder locked."""

    plan: Plan
    folder: Path
    url: str
    workers: int | None
    report: Report
    lock: int | None
    fresh: bool
    device: host.Device = "cpu"

    def __post_init__(self) -> None:
        steps = self.plan.budget * len(self.plan.seeds)
        self.tell = Teller(self.report, self.folder / LOG, steps)

    def go(self) -> TuneResult:
        """Every generation, then the result."""
        if self.fresh:
            self._forget()
        manifest = Manifest.open(self.folder)
        self.device = manifest.facts.get("device") or host.resolve_device(
            self.plan.config.device, host.probe_devices()
        )
        self._require_same(manifest)
        self._say_plan()
        store = Store.open(self.url, self.folder.name, self.plan.identity, fresh=self.fresh)
        try:
            with Pool(self._pool_size(), self.device, self.tell.line, self.lock) as pool:
                self._dataset(pool, manifest)
                self._forecasts(manifest).go(pool)
                self._generations(pool, store)
            return write_result(self.plan, self.folder, store, manifest)
        finally:
            store.close()
            self._write_timing()

    # What the study is.

    def _facts(self) -> dict[str, Any]:
        return {
            "study": self.plan.identity,
            "code_sha256": code_hash("tune"),
            "versions": versions() | {"optuna": version("optuna")},
            "device": self.device,
        }

    def _require_same(self, manifest: Manifest) -> None:
        """Book what the study is, or refuse to go on with one that is another now."""
        now = self._facts()
        before = {key: manifest.facts.get(key) for key in now}
        if manifest.facts and before != now:
            differ = ", ".join(key for key in now if before[key] != now[key])
            raise TruefillError(
                f"the study was begun with another {differ}; its trials cannot be compared with "
                "new ones",
                where=str(self.folder),
                do="--fresh begins it anew (its looks stay in the ledger), or use another --runs",
            )
        manifest.facts = now
        manifest.save()

    def _forget(self) -> None:
        """Remove what earlier calls made, all but the lock and the log."""
        for path in self.folder.iterdir():
            if path.name in (".lock", LOG):
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    def _pool_size(self) -> int:
        if self.device == "gpu":
            return 1
        return min(self.workers or host.cores(), self.plan.search.generation)

    def _dataset(self, pool: Pool, manifest: Manifest) -> None:
        key = stage_key("tune/dataset", self.device, {"study": self.plan.identity})
        if manifest.done(DATASET, key):
            return
        message = self._message("tune dataset", key, self.plan.resolved, {})
        pool.run(
            [
                Job(
                    "dataset",
                    message,
                    lambda heard: self.tell.line(heard.get("line", "")),
                    lambda files: manifest.record(DATASET, key, files),
                )
            ]
        )

    def _forecasts(self, manifest: Manifest) -> SearchForecasts:
        config = self.plan.resolved
        return SearchForecasts(
            config,
            self.folder,
            manifest,
            self.device,
            DATASET,
            lambda event: self.tell.line(event.text if event.kind == "line" else ""),
            lambda stage, key, arguments: self._message(stage, key, config, arguments),
        )

    def _message(
        self, stage: str, key: str, config: Config, arguments: Mapping[str, Any]
    ) -> dict[str, Any]:
        return {
            "stage": stage,
            "key": key,
            "run": self.plan.identity,
            "device": self.device,
            "folder": str(self.folder),
            "runs": str(self.folder.parent),
            "config": config.model_dump_json(),
            "inputs": self.plan.inputs,
            "arguments": dict(arguments),
        }

    # Generations.

    def _generations(self, pool: Pool, store: Store) -> None:
        size = self.plan.search.generation
        known = store.trials()
        total = self.tell.trials = max(self.plan.search.trials, len(known))
        for trial in known:
            self._count(trial)
        for first in range(0, total, size):
            numbers = range(first, min(first + size, total))
            self._propose(store, first, numbers)
            self._try(pool, store, first, numbers)

    def _propose(self, store: Store, first: int, numbers: range) -> None:
        """Write the proposals of a generation that are not there yet."""
        known = store.trials()
        plan = self.plan
        for number in numbers[max(len(known) - first, 0) :]:
            name, seed = plan.search.sampler, plan.seed
            store.add(propose(known[:first], plan.space.free, name, seed, number))

    def _try(self, pool: Pool, store: Store, first: int, numbers: range) -> None:
        """Run what is not told of a generation, and tell it in order."""
        known = store.trials()
        due = [known[number] for number in numbers if not known[number].state.is_finished()]
        earlier = _series(known[:first])
        found: dict[int, dict[str, Any]] = {}
        jobs = []
        for trial in due:
            self.tell.moved(trial.number, "waiting")
            values = values_of(trial.params, self.plan.space.free)
            try:
                config = with_values(self.plan.resolved, values)
            except ConfigError as error:
                found[trial.number] = {"reason": f"refused: {error.what}", **REFUSED}
                continue
            jobs.append(self._job(trial.number, values, config, earlier, found))
        if jobs:
            pool.run(jobs)
        for trial in due:
            self._tell(store, trial, found[trial.number])
        told = store.trials()[: numbers.stop]
        if not any(seed["steps"] for trial in told for seed in trial.user_attrs["seeds"]):
            raise TruefillError(
                f"none of {len(told)} trials could be trained; the last: "
                f"{told[-1].user_attrs['reason']}",
                where=str(self.folder),
                do="mend the space (or the config) and try again: it is then another study",
            )

    def _job(
        self,
        number: int,
        values: Mapping[str, Any],
        config: Config,
        earlier: dict[str, Any],
        found: dict[int, dict[str, Any]],
    ) -> Job:
        plan = self.plan
        key = fingerprint({"study": plan.identity, "trial": number, "values": dict(values)})
        arguments = {
            "number": number,
            "search": plan.search.model_dump(mode="json", exclude={"space"}),
            "seeds": list(plan.seeds),
            "budget": plan.budget,
            "earlier": earlier,
        }

        def heard(message: dict[str, Any]) -> None:
            if "line" in message:
                self.tell.line(message["line"])
                return
            done, score = message["progress"]
            seed = plan.seeds[min(done // plan.budget, len(plan.seeds) - 1)]
            self.tell.moved(number, "running", done=done, value=score, seed=seed)

        def finished(result: dict[str, Any]) -> None:
            found[number] = result
            self._show_end(number, result)

        def failed(error: WorkerError) -> None:
            self.tell.line(str(error))
            crashed = error.what.startswith("unforeseen: ")  # the others tell of seconds
            found[number] = {"reason": error.what if crashed else DIED, "failed": True, **REFUSED}
            self._show_end(number, found[number])

        return Job(
            f"trial {number}",
            self._message("tune trial", key, config, arguments),
            heard,
            finished,
            config.training.worker_timeout_s,
            failed,
        )

    # What becomes of a trial.

    def _outcome(self, found: dict[str, Any]) -> tuple[TrialState, float | None, dict[str, Any]]:
        state, value, attributes = outcome(found, self.plan.search)
        return (TrialState.FAIL if found.get("failed") else state), value, attributes

    def _tell(self, store: Store, trial: FrozenTrial, found: dict[str, Any]) -> None:
        state, value, attributes = self._outcome(found)
        intermediate = {int(step): seen for step, seen in found["sortino"].items()}
        store.tell(trial, state, value, intermediate, attributes)
        self._show_end(trial.number, found)  # of a refused one nobody has heard yet

    def _show_end(self, number: int, found: dict[str, Any]) -> None:
        state, value, attributes = self._outcome(found)
        done = sum(seed["steps"] or 0 for seed in found["seeds"])
        reason = attributes["reason"]
        self.tell.over(number, STATES[state], value=value, reason=reason, done=done)

    def _count(self, trial: FrozenTrial) -> None:
        """A trial that an earlier call told."""
        if trial.state.is_finished():
            facts = trial.user_attrs
            self.tell.over(
                trial.number,
                STATES[trial.state],
                value=trial.value,
                reason=facts["reason"],
                done=sum(seed["steps"] or 0 for seed in facts["seeds"]),
                earlier=True,
            )

    # Around them.

    def _say_plan(self) -> None:
        plan = self.plan
        size = f"{plan.search.trials} trials x {len(plan.seeds)} seeds"
        self.tell.line(f"study {self.folder.name}: {size}")
        if not plan.search.space:
            kind = plan.config.agent.kind
            self.tell.line(f"no space was given: the built-in one of {kind} is searched")
        self.tell.line("searched: " + ", ".join(plan.space.free))
        if plan.space.fixed:
            fixed = ", ".join(f"{key} = {value}" for key, value in plan.space.fixed.items())
            self.tell.line(f"fixed by the config: {fixed}")

    def _write_timing(self) -> None:
        path = self.folder / TIMING
        before = read_json(path) if path.is_file() else {"calls": []}
        call = {
            "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "seconds": round(time.monotonic() - self.tell.began, 3),
            "trials": len(self.tell.ended),
            "workers": self._pool_size(),
            "cores": host.cores(),
        }
        write_json(path, {"calls": [*before["calls"], call]})


def _series(trials: list[FrozenTrial]) -> dict[str, list[dict[int, float]]]:
    """What complete trials were judged by, as workers are told it."""
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    return {
        "sortino": [dict(trial.intermediate_values) for trial in complete],
        "regimes": [dict(trial.user_attrs["regimes"]) for trial in complete],
    }
