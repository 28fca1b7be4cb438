"""The forecast stage of a run: plan, every unit as a job of its own, and what is made of them.

Each unit has a key of its own, made of what it is fitted on and nothing else, so that another
member, horizon or setting elsewhere retrains nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from truefill.config.forecast import ForecastConfig
from truefill.config.load import portable
from truefill.config.schema import Config
from truefill.core.files import read_json
from truefill.core.plugins import sha256_of
from truefill.forecast.baselines.base import FORECASTERS
from truefill.forecast.labels import LABELS
from truefill.forecast.losses import LOSSES
from truefill.forecast.networks import NETWORKS
from truefill.forecast.protocol import WHOLE
from truefill.forecast.units import (
    BASELINES,
    Unit,
    kinds_of,
    levels_of,
    loss_of,
    member_of,
    units_of,
)
from truefill.pipeline.artifacts import Manifest, stage_key
from truefill.pipeline.events import Event
from truefill.pipeline.fit_store import FitStore
from truefill.pipeline.host import Device
from truefill.pipeline.pool import Job, Pool

STAGE = FOLDER = "forecast"
PLAN = "forecast_plan"
UNIT = "fit"
DISTRIBUTIONS = {"boosting": ("lightgbm",), "foundation": ("chronos-forecasting", "torch")}
SCORED_BY = ("market", "env", "evaluation")
"""Parts of the config that threshold strategies are traded by."""


class Host(Protocol):
    """Whose forecasts they are: a run, or a search. ``dataset``: the manifest's name of its
    dataset; the functions are those of :class:`truefill.pipeline.run._Course`."""

    config: Config
    folder: Path
    manifest: Manifest
    device: Device
    states: dict[str, str]
    dataset: str

    def current(self, name: str) -> bool: ...
    def simple(
        self,
        pool: Pool,
        stage: str,
        files: Callable[[Any], list[str]],
        *,
        state: bool = True,
        key: str | None = None,
    ) -> None: ...
    def message(self, stage: str, key: str, **arguments: Any) -> dict[str, Any]: ...
    def line(self, text: str) -> None: ...
    def say(self, event: Event) -> None: ...


class ForecastCourse:
    """What a run does about forecasts."""

    def __init__(self, course: Host, config: ForecastConfig, *, fresh: bool = False) -> None:
        self.course, self.config, self.fresh = course, config, fresh
        self.store = FitStore(course.folder.parent)
        self._state: dict[str, str] = {}
        self._known: dict[tuple[str, str], Any] = {}
        self.units = {self.name(unit): unit for unit in units_of(config)}

    def name(self, unit: Unit) -> str:
        """A unit in the manifest."""
        return f"{UNIT}/{unit.path(self.config.label.horizons)}"

    def owns(self, name: str) -> bool:
        """Is it a manifest stage of the forecasts?"""
        return name in (STAGE, PLAN) or name.startswith(f"{UNIT}/")

    def key(self, name: str) -> str:
        """The key of a manifest stage: the plan, a unit, or the whole; computed once for each state
        of the manifest."""
        return self._once("key", name, lambda: self._compute(name))

    def _once(self, what: str, name: str, compute: Callable[[], Any]) -> Any:
        """``compute()``, or what it gave while the manifest was as it is now."""
        booked = {n: entry["key"] for n, entry in self.course.manifest.stages.items()}
        if booked != self._state:
            self._state, self._known = booked, {}
        if (what, name) not in self._known:
            self._known[what, name] = compute()
        return self._known[what, name]

    def _compute(self, name: str) -> str:
        course = self.course
        if name == PLAN:
            asked = ("label", "features", "window_bars", "out_of_fold")
            tree = self.config.model_dump(mode="json")
            return self._key(
                name,
                {
                    "dataset": course.manifest.outputs(course.dataset),
                    "forecast": {part: tree[part] for part in asked},
                    "units": list(self.units),
                    "plugins": sha256_of(LABELS, self.config.label.label),
                },
            )
        if name == STAGE:
            tree = portable(course.config)
            parts = {part: tree[part] for part in SCORED_BY}
            outputs = {unit: course.manifest.outputs(unit) for unit in self.units}
            return self._key(
                name,
                {"units": outputs, "config": tree["forecast"], "name": tree["name"], **parts}
                | {"dataset": course.manifest.outputs(course.dataset)},
            )
        return self._key(name, self._of_unit(self.units[name]))

    def _key(self, name: str, inputs: dict[str, Any]) -> str:
        return stage_key(name, self.course.device, inputs)

    def _of_unit(self, unit: Unit) -> dict[str, Any]:
        """All that a unit is made of."""
        plan = read_json(self.course.folder / "forecast/plan.json")
        config = self.config
        horizons = [config.label.horizons[i] for i in unit.heads]
        label = config.label.model_dump(mode="json") | {"horizons": horizons}
        hashes = dict(plan["sha256"])
        if unit.fold != WHOLE:
            del hashes["validation"]
        out: dict[str, Any] = {
            "material": hashes,
            "label": label,
            "window_bars": config.window_bars,
            "fold": next(fold for fold in plan["folds"] if fold["fold"] == unit.fold),
            "protocol": None if unit.fold == WHOLE else plan["protocol"] | plan["reach"],
            "plugins": sha256_of(LABELS, config.label.label),
        }
        if unit.member == BASELINES:
            kinds = {"kinds": kinds_of(config), "levels": levels_of(config)}
            extra = "boosting" if config.boosting_baseline else None
            return out | kinds | {"boosting": config.boosting_baseline, "made_by": made_by(extra)}
        member = member_of(config, unit.member)
        told = member.model_dump(mode="json", include={"network", "forecaster", "params"})
        if member.network is not None:
            loss, fit = loss_of(config, member), member.fit or config.fit
            told |= {"loss": loss.model_dump(mode="json"), "fit": fit.model_dump(mode="json")}
            told["plugins"] = sha256_of(NETWORKS, member.network)
            metric = "" if fit.early_stopping is None else fit.early_stopping.metric
            for name in (loss.loss, *(term.loss for term in loss.sum), metric):
                told["plugins"] |= sha256_of(LOSSES, name) if name else {}
        else:
            entry = FORECASTERS.get(str(member.forecaster))
            params = FORECASTERS.parse(entry.name, member.params)
            told["origin"] = entry.facts["origin"](params)
            told["made_by"] = made_by(entry.facts["extra"])
            told["plugins"] = sha256_of(FORECASTERS, entry.name)
        return out | {"member": told, "seed": unit.seed}

    def current(self, name: str) -> bool:
        """Is a manifest stage done under the key it would have now?"""
        return bool(self._once("current", name, lambda: self._is_current(name)))

    def _is_current(self, name: str) -> bool:
        manifest = self.course.manifest
        before = {PLAN: [self.course.dataset], STAGE: list(self.units)}.get(name, [PLAN])
        entry = manifest.stages.get(name)
        if entry is None or not all(self.course.current(other) for other in before):
            return False
        return bool(entry["key"] == self.key(name))

    def go(self, pool: Pool) -> None:
        """Do what is due; ``states`` says whether anything was."""
        course = self.course
        before = dict(course.manifest.stages)
        self._forget_others()
        course.simple(pool, PLAN, list, state=False, key=self.key(PLAN))
        due = {name: key for name in self.units for key in [self.key(name)]
               if not course.manifest.done(name, key)}  # fmt: skip
        due = {name: key for name, key in due.items() if not self._kept(name, key)}
        if due:
            course.line(f"{len(due)} of {len(self.units)} fits are due")
            teller = _Teller({name: self._work(self.units[name]) for name in due}, course.say)
            pool.run([self._job(name, key, teller) for name, key in due.items()])
        course.simple(pool, STAGE, list, state=False, key=self.key(STAGE))
        same = before == course.manifest.stages
        course.states[STAGE] = "skipped" if same else "done"

    def _forget_others(self) -> None:
        """Units of members that are no more stay on disk, but not in the manifest."""
        stages = self.course.manifest.stages
        for name in [n for n in stages if n.startswith(f"{UNIT}/") and n not in self.units]:
            del stages[name]

    def _kept(self, name: str, key: str) -> bool:
        """Was it fitted in an earlier run? Then its files are taken from there."""
        if self.fresh:
            return False
        at = f"{FOLDER}/{self.units[name].path(self.config.label.horizons)}"
        found = self.store.take(key, self.course.folder / at)
        if found is None:
            return False
        self.course.manifest.record(name, key, [f"{at}/{file}" for file in found])
        return True

    def _keep(self, name: str, key: str, files: list[str]) -> None:
        at = f"{FOLDER}/{self.units[name].path(self.config.label.horizons)}"
        names = [file.removeprefix(f"{at}/") for file in files]
        self.store.keep(key, self.course.folder / at, names, fresh=self.fresh)

    def verify(self) -> None:
        """Refuse a unit whose files are not what they were.

        Raises:
            ArtifactError: naming the file.
        """
        for name in self.units:
            self.course.manifest.verify(name)

    def _work(self, unit: Unit) -> tuple[int, int]:
        """Train rows of a unit, and passes over them."""
        plan = read_json(self.course.folder / "forecast/plan.json")
        rows = next(f["fitted_rows"] for f in plan["folds"] if f["fold"] == unit.fold)
        if unit.member == BASELINES:
            return rows, 1
        member = member_of(self.config, unit.member)
        epochs = (member.fit or self.config.fit).epochs if member.network is not None else 1
        return rows, epochs

    def _job(self, name: str, key: str, teller: _Teller) -> Job:
        unit = self.units[name]
        course = self.course

        def heard(message: dict[str, Any]) -> None:
            if "line" in message:
                course.line(message["line"])
            else:
                teller.moved(name, *message["progress"])

        def finished(files: list[str]) -> None:
            course.manifest.record(name, key, files)
            self._keep(name, key, files)
            teller.over(name)

        message = course.message(
            UNIT,
            key,
            member=unit.member,
            heads=list(unit.heads),
            fold=unit.fold,
            seed=unit.seed,
        )
        return Job(name, message, heard, finished)


def made_by(extra: str | None) -> dict[str, str]:
    """Versions of what comes with an extra: they decide bits."""
    return {name: version(name) for name in DISTRIBUTIONS.get(extra or "", ())}


class _Teller:
    """Progress of all fits together, in rows fitted: rows of the unit times its epochs."""

    def __init__(self, work: Mapping[str, tuple[int, int]], say: Callable[[Event], None]) -> None:
        """``work``: by unit, its train rows and epochs."""
        self.work, self.say = work, say
        self.total = sum(rows * epochs for rows, epochs in work.values())
        self.done = dict.fromkeys(work, 0)
        self.began = time.monotonic()

    def moved(self, unit: str, epoch: int, metric: float | None) -> None:
        rows, epochs = self.work[unit]
        self.done[unit] = rows * min(epoch, epochs)
        unit_name = unit.removeprefix(f"{UNIT}/")
        self.say(self._event(f"{unit_name}: epoch {epoch}, holdout", metric))

    def over(self, unit: str) -> None:
        rows, epochs = self.work[unit]
        self.done[unit] = rows * epochs
        self.say(self._event(unit.removeprefix(f"{UNIT}/"), None))

    def _event(self, text: str, metric: float | None) -> Event:
        done = sum(self.done.values())
        rate = done / max(time.monotonic() - self.began, 1e-9)
        return Event("progress", STAGE, text, None, done, self.total, rate, metric)
