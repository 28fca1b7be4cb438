"""Forecasts that know too much: each replaces the chain's forecasts, their provenance untouched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from audit_cases import CLEAN, FEW, config_of
from truefill.audit import chain as real
from truefill.audit.chain import Chain
from truefill.config.schema import Config
from truefill.env.seen import KEYS
from truefill.features.build import BuiltDataset
from truefill.forecast.assemble import forecast_all
from truefill.forecast.bench import Bench
from truefill.forecast.labels.base import FittedLabel
from truefill.forecast.material import Material
from truefill.forecast.protocol import FoldRows

LOGISTIC = {"name": "logistic", "forecaster": "logistic"}
WALK = {"name": "walk", "forecaster": "scaled_walk", "params": {"windows": [3, 5]}}


def forecasting(**more: Any) -> Config:
    """Four honest features, and a logistic forecaster of the next three bars."""
    asked = {
        "label": {"label": "smoothed", "horizons": [3]},
        "window_bars": 6,
        "members": [LOGISTIC],
        "out_of_fold": {"folds": 2, "least_train": 0.3},
        **more.pop("forecast", {}),
    }
    return config_of({name: CLEAN[name] for name in FEW}, forecast=asked, **more)


@dataclass(frozen=True)
class Planted:
    """``bench``: makes a dishonest bench of an honest one; ``tables``: changes the forecasts."""

    what: str
    bench: Callable[[Bench], Bench] = lambda bench: bench
    tables: Callable[[pl.DataFrame], pl.DataFrame] = lambda table: table

    def forecast(self, config: Config, built: BuiltDataset, chain: Chain) -> Any:
        """In place of the chain's."""
        made = forecast_all(self.bench(real.bench(config, built, chain)))
        return {name: self.tables(table) for name, table in made.items()}


class InSample(Bench):
    """Every fold is fitted on all of train, its own rows too."""

    @property
    def folds(self) -> tuple[FoldRows, ...]:  # type: ignore[override]
        whole, *others = super().folds
        return (whole, *(replace(fold, fitted=whole.fitted) for fold in others))


class Unpurged(Bench):
    """Every fold is fitted on all rows before its block, whatever their labels look at."""

    @property
    def folds(self) -> tuple[FoldRows, ...]:  # type: ignore[override]
        whole, *others = super().folds
        return (whole, *(replace(fold, fitted=self._before(whole, fold)) for fold in others))

    def _before(self, whole: FoldRows, fold: FoldRows) -> Any:
        stamps = [own.bars.timestamps_s for own in self.material("train").histories]
        pairs = zip(stamps, whole.fitted, strict=True)
        return tuple(rows[at[rows] < fold.begin_s] for at, rows in pairs)


class ThresholdsOfAll(Bench):
    """Label thresholds are fitted on the whole series."""

    def labels(self, fold: FoldRows) -> tuple[FittedLabel, ...]:
        sizes = [
            self.question.fitted(material, [own.rows for own in material.histories])
            for material in (self.material("train"), self.material("validation"))
        ]
        honest = super().labels(fold)
        return tuple(
            replace(
                label,
                thresholds={s: max(one.thresholds[s], two.thresholds[s]) for s in label.thresholds},
            )
            for label, one, two in zip(honest, *sizes, strict=True)
        )


class StandardizedByAll(Bench):
    """Inputs are standardized by all rows of train and validation."""

    def material(self, name: str) -> Material:
        honest = super().material(name)
        both = [super(StandardizedByAll, self).material(n) for n in ("train", "validation")]
        every = np.concatenate([own.features for one in both for own in one.histories])
        mean, spread = every.mean(axis=0), every.std(axis=0)
        return replace(
            honest,
            histories=tuple(
                replace(own, features=(own.features - mean) / spread) for own in honest.histories
            ),
        )


def _as(kind: type[Bench]) -> Callable[[Bench], Bench]:
    return lambda bench: kind(bench.config, bench.load, bench.lookback_bars)


def _early(table: pl.DataFrame) -> pl.DataFrame:
    columns = [name for name in table.columns if name not in KEYS]
    moved = [
        pl.col(name).shift(-1).over("symbol").fill_null(strategy="forward") for name in columns
    ]
    return table.with_columns(moved)


LEAKS = {
    "in_sample": Planted("train rows forecast by what was fitted on them", _as(InSample)),
    "unpurged": Planted("folds fitted on labels that reach into their block", _as(Unpurged)),
    "thresholds_of_all": Planted("label thresholds of the whole series", _as(ThresholdsOfAll)),
    "standardized_by_all": Planted("inputs standardized by all rows", _as(StandardizedByAll)),
    "one_bar_early": Planted("forecasts of t made with bar t + 1", tables=_early),
}
