"""What a worker does for one unit of forecasting: fit it, forecast the rows that it is asked, and
prove that what was stored says the same."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from truefill.config.forecast import ForecastConfig
from truefill.core.errors import ArtifactError, DataError
from truefill.core.files import read_json, write_json, write_parquet, write_text
from truefill.data.dataset import load_lineage, load_split
from truefill.data.split import SplitArrays
from truefill.forecast.baselines.base import FORECASTERS, Forecast, History, Train
from truefill.forecast.columns import to_columns
from truefill.forecast.compare import baselines_for, baselines_of
from truefill.forecast.fit import FittedNetwork, NetworkTask, fit_network, load_network
from truefill.forecast.labels.base import FittedLabel, Floats
from truefill.forecast.material import Material, closes_s
from truefill.forecast.protocol import WHOLE, FoldRows, Question, plan_rows, require_unseen
from truefill.forecast.scores import Kind
from truefill.forecast.units import (
    BASELINES,
    Unit,
    kind_of,
    kinds_of,
    levels_of,
    loss_of,
    member_of,
    units_of,
)

if TYPE_CHECKING:
    from truefill.pipeline.stages import Work

FOLDER = "forecast"
PLAN = f"{FOLDER}/plan.json"
FACTS = "facts.json"
FORECAST = "forecast.parquet"
CHECKPOINT = "checkpoint"
KEY_FILE = "key.txt"


@dataclass(frozen=True)
class Bench:
    """The dataset as units take it; everything in it is made once."""

    config: ForecastConfig
    dataset: Path
    extra: Mapping[str, Material]
    """Materials of other splits than train and validation, once they are open."""

    @staticmethod
    def of(work: Work) -> Bench:
        """Of a run with forecasters."""
        assert work.config.forecast is not None
        return Bench(work.config.forecast, work.dataset, {})

    def material(self, name: str) -> Material:
        """A split."""
        return self.extra[name] if name in self.extra else self._made[name]

    def make(self, split: SplitArrays) -> Material:
        """A split as these forecasters take it."""
        return Material.of(split, self.config.features, self.config.window_bars)

    @cached_property
    def _made(self) -> dict[str, Material]:
        return {name: self.make(load_split(self.dataset, name)) for name in ("train", "validation")}

    @cached_property
    def question(self) -> Question:
        return Question.of(self.config.label)

    @cached_property
    def folds(self) -> tuple[FoldRows, ...]:
        """Fold 0 and those of the protocol."""
        found = plan_rows(
            self.material("train"),
            self.question,
            self.config.out_of_fold,
            reach_bars=self.reach_bars,
        )
        if self.causal:
            for fold in found:
                require_unseen(fold, self.material("train"))
        return found

    def labels(self, fold: FoldRows) -> tuple[FittedLabel, ...]:
        """Of all horizons, with thresholds of the fold's fitted rows."""
        return self.question.fitted(self.material("train"), fold.fitted)

    def asked(self, fold: FoldRows, split: str) -> tuple[History, ...]:
        """The rows that a fold forecasts of a split."""
        material = self.material(split)
        if split == "train":
            return material.asked(fold.asked)
        return material.histories

    @cached_property
    def reach_bars(self) -> int:
        """Bars that a row looks back: its window, and the longest feature of its oldest bar."""
        known = set(self.config.features)
        lookback = max(
            int(spec["lookback_bars"])
            for spec in load_lineage(self.dataset)["features"]
            if not known or spec["name"] in known
        )
        return self.config.window_bars + lookback - 1

    @property
    def causal(self) -> bool:
        """Do forecasts of train rows depend on their past alone?"""
        return self.config.out_of_fold.kind == "walk_forward"

    @property
    def horizons(self) -> tuple[int, ...]:
        return self.config.label.horizons


def plan(work: Work) -> list[str]:
    """forecast/plan.json: rows of every fold, every unit, and the hashes of what units are made
    of."""
    bench = Bench.of(work)
    config = bench.config
    content = {
        "label": config.label.model_dump(mode="json"),
        "protocol": config.out_of_fold.model_dump(mode="json"),
        "causal": bench.causal,
        "window_bars": config.window_bars,
        "features": list(config.features),
        "folds": [fold.to_dict() for fold in bench.folds],
        "units": [unit.path(bench.horizons) for unit in units_of(config)],
        "sha256": {name: bench.material(name).sha256 for name in ("train", "validation")},
        "reach": {"label_bars": max(bench.horizons), "window_bars": config.window_bars},
    }
    write_json(work.folder / PLAN, content)
    return [PLAN]


def fit(work: Work, member: str, heads: list[int], fold: int, seed: int) -> list[str]:
    """forecast/MEMBER/HEADS/fold-K/seed-S: one unit."""
    bench = Bench.of(work)
    unit = Unit(member, tuple(heads), fold, seed)
    folder = work.folder / FOLDER / unit.path(bench.horizons)
    _keep_only_own(folder, work.key)
    rows = bench.folds[fold]
    split = "validation" if fold == WHOLE else "train"
    if member == BASELINES:
        files = _baselines(bench, unit, rows, split, folder)
    else:
        files = _member(bench, unit, rows, split, folder, work)
    shutil.rmtree(folder / CHECKPOINT, ignore_errors=True)
    return [f"{FOLDER}/{unit.path(bench.horizons)}/{name}" for name in files]


def _keep_only_own(folder: Path, key: str) -> None:
    """Throw away what a fit under another key left: it cannot be gone on with."""
    path = folder / KEY_FILE
    if path.exists() and path.read_text() == key:
        return
    shutil.rmtree(folder, ignore_errors=True)
    write_text(path, key)


def _baselines(bench: Bench, unit: Unit, rows: FoldRows, split: str, folder: Path) -> list[str]:
    """The forecasts of every baseline of one horizon."""
    write_parquet(folder / FORECAST, baseline_table(bench, unit, rows, split))
    label = bench.labels(rows)[unit.heads[0]]
    spread = {str(label.horizon): spread_of(label, bench, rows)}
    write_json(folder / FACTS, {"spread": spread, "thresholds": _thresholds([label])})
    return [FORECAST, FACTS]


def baseline_table(bench: Bench, unit: Unit, rows: FoldRows, split: str) -> pl.DataFrame:
    """The forecasts of every baseline of one horizon, in every form that members have."""
    label = bench.labels(rows)[unit.heads[0]]
    train = Train.of(label, bench.material("train").asked(rows.fitted))
    names = baselines_of(label, boosting=bench.config.boosting_baseline)
    asked = bench.asked(rows, split)
    spread = {unit.heads[0]: spread_of(label, bench, rows)}
    levels = levels_of(bench.config)
    tables = []
    for kind in kinds_of(bench.config):
        for name, forecast in baselines_for(kind, names, train, asked, levels).items():
            table = table_of(asked, {unit.heads[0]: forecast}, spread, kind, bench)
            told = (pl.lit(kind).alias("kind"), pl.lit(name).alias("forecaster"))
            tables.append(table.select(*told, pl.all()))
    return pl.concat(tables, how="diagonal")


def _member(
    bench: Bench, unit: Unit, rows: FoldRows, split: str, folder: Path, work: Work
) -> list[str]:
    member = member_of(bench.config, unit.member)
    labels = [bench.labels(rows)[i] for i in unit.heads]
    asked = bench.asked(rows, split)
    fitted = bench.material("train").asked(rows.fitted)
    if member.network is not None:
        made = fit_network(
            task_of(bench, unit, labels),
            fitted,
            unit.seed,
            checkpoint=folder / CHECKPOINT,
            progress=lambda epoch, total, metric: work.progress(epoch, metric),
        )
        files = made.save(folder)
        found = made.predict(asked)
        again = load_network(folder).predict(asked)
    else:
        files = []
        found = ask_forecaster(bench, unit, labels[0], fitted, asked)
        again = ask_forecaster(bench, unit, labels[0], fitted, asked)
    require_same(found, again, unit.path(bench.horizons))
    kind = kind_of(bench.config, member)
    spreads = {
        i: spread_of(label, bench, rows) for i, label in zip(unit.heads, labels, strict=True)
    }
    by_head = dict(zip(unit.heads, found, strict=True))
    require_alive(by_head, kind, unit.path(bench.horizons))
    write_parquet(folder / FORECAST, table_of(asked, by_head, spreads, kind, bench))
    told = {str(bench.horizons[i]): spreads[i] for i in unit.heads}
    write_json(folder / FACTS, {"kind": kind, "spread": told, "thresholds": _thresholds(labels)})
    return [*files, FORECAST, FACTS]


def task_of(bench: Bench, unit: Unit, labels: Sequence[FittedLabel]) -> NetworkTask:
    """What a network is fitted to."""
    member = member_of(bench.config, unit.member)
    assert member.network is not None
    return NetworkTask(
        network=member.network,
        params=member.params,
        window_bars=bench.config.window_bars,
        loss=loss_of(bench.config, member),
        fit=member.fit or bench.config.fit,
        labels=tuple(labels),
    )


def ask_forecaster(
    bench: Bench,
    unit: Unit,
    label: FittedLabel,
    fitted: Sequence[History],
    asked: Sequence[History],
) -> tuple[Forecast, ...]:
    """A registered forecaster that is no network, fitted and asked."""
    member = member_of(bench.config, unit.member)
    assert member.forecaster is not None
    params = FORECASTERS.parse(member.forecaster, member.params)
    made = FORECASTERS.get(member.forecaster).make(params, Train.of(label, fitted))
    return (made.predict(asked),)


def load_unit(bench: Bench, unit: Unit, folder: Path) -> FittedNetwork:
    """A network's unit."""
    return load_network(folder / FOLDER / unit.path(bench.horizons))


def spread_of(label: FittedLabel, bench: Bench, rows: FoldRows) -> float:
    """Standard deviation of the label over the fold's fitted rows; 1 of classes."""
    if label.classes:
        return 1.0
    histories = bench.material("train").asked(rows.fitted)
    values = np.concatenate([label.of(h.symbol, h.bars).value[h.rows] for h in histories])
    return float(values[np.isfinite(values)].std())


def table_of(
    histories: Sequence[History],
    forecasts: Mapping[int, Forecast],
    spreads: Mapping[int, float],
    kind: Kind,
    bench: Bench,
) -> pl.DataFrame:
    """timestamp, symbol, as_of, then the columns of every head; rows history after history."""
    columns: dict[str, Floats] = {}
    for i, forecast in forecasts.items():
        columns |= to_columns(bench.horizons[i], forecast, kind, spreads[i])
    stamps = np.concatenate([own.bars.timestamps_s[own.rows] for own in histories])
    symbols = np.repeat([own.symbol for own in histories], [len(own.rows) for own in histories])
    closes = closes_s(histories, bench.material("train").interval_s)
    return pl.DataFrame(
        {"timestamp": moments(stamps), "symbol": symbols, "as_of": moments(closes), **columns}
    )


def moments(seconds: Any) -> pl.Series:
    """Unix seconds as UTC timestamps."""
    return pl.Series(np.asarray(seconds) * 1_000_000).cast(pl.Datetime("us", "UTC"))


def require_same(found: Sequence[Forecast], again: Sequence[Forecast], where: str) -> None:
    """Refuse an artifact that does not reproduce what was forecast with it, bit for bit."""
    for one, other in zip(found, again, strict=True):
        pairs = [(one.value, other.value), *((one.extra[k], other.extra[k]) for k in one.extra)]
        if one.probability is not None:
            assert other.probability is not None
            pairs.append((one.probability, other.probability))
        if not all(np.array_equal(a, b, equal_nan=True) for a, b in pairs):
            raise ArtifactError(
                "the stored forecaster does not forecast what the fitted one did",
                where=f"{FOLDER}/{where}",
                do="this is a fault of truefill's or of the machine; run again with --fresh",
            )


def require_alive(forecasts: Mapping[int, Forecast], kind: Kind, where: str) -> None:
    """Refuse forecasts that say nothing: constant, or not finite.

    Raises:
        DataError: ``dead_forecast``.
    """
    for forecast in forecasts.values():
        said = forecast.value if forecast.probability is None else forecast.probability
        if not np.isfinite(said).all():
            what = "is not finite on some rows"
        elif (said == said[0]).all():
            what = f"is the same on all {len(said):,} rows"
        else:
            continue
        raise DataError(
            "dead_forecast",
            f"the forecast ({kind}) {what}",
            where=f"{FOLDER}/{where}",
            do="look at fit.json there: a lower learning rate, more epochs, or other features",
        )


def _thresholds(labels: Sequence[FittedLabel]) -> dict[str, dict[str, float]]:
    return {str(label.horizon): dict(label.thresholds) for label in labels}


def read_facts(folder: Path) -> dict[str, Any]:
    """facts.json of a unit."""
    facts: dict[str, Any] = read_json(folder / FACTS)
    return facts
