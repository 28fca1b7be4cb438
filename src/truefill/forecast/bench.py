"""A dataset as the units of forecasting take it: materials, folds and labels, each made once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from truefill.config.forecast import ForecastConfig
from truefill.data.split import SplitArrays
from truefill.forecast.baselines.base import FORECASTERS, History
from truefill.forecast.labels.base import FittedLabel
from truefill.forecast.material import Material
from truefill.forecast.protocol import FoldRows, Question, plan_rows, require_unseen


@dataclass(frozen=True)
class Bench:
    """The dataset as units take it; everything in it is made once.

    ``load``: gives a split by its name. ``lookback_bars``: by feature, bars that a value depends
    on.
    """

    config: ForecastConfig
    load: Callable[[str], SplitArrays]
    lookback_bars: Mapping[str, int]

    def material(self, name: str) -> Material:
        """A split, made once."""
        if name not in self._made:
            config = self.config
            self._made[name] = Material.of(self.load(name), config.features, config.window_bars)
        return self._made[name]

    @cached_property
    def _made(self) -> dict[str, Material]:
        return {}

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
        if fold.number not in self._labels:
            self._labels[fold.number] = self.question.fitted(self.material("train"), fold.fitted)
        return self._labels[fold.number]

    @cached_property
    def _labels(self) -> dict[int, tuple[FittedLabel, ...]]:
        return {}

    def asked(self, fold: FoldRows, split: str) -> tuple[History, ...]:
        """The rows that a fold forecasts of a split."""
        material = self.material(split)
        if split == "train":
            return material.asked(fold.asked)
        return material.asked([own.rows for own in material.histories])

    @cached_property
    def reach_bars(self) -> int:
        """Bars that a row looks back: its window and the longest feature of its oldest bar, or what
        a member that is no network looks at."""
        names = self.config.features or tuple(self.lookback_bars)
        window = self.config.window_bars + max(self.lookback_bars[name] for name in names) - 1
        others = [m for m in self.config.members if m.forecaster and m.name in self.config.used]
        return max(window, *(reach_of(str(m.forecaster), m.params) for m in others), 1)

    @property
    def causal(self) -> bool:
        """Do forecasts of train rows depend on their past alone?"""
        return self.config.out_of_fold.kind == "walk_forward"

    @property
    def horizons(self) -> tuple[int, ...]:
        return self.config.label.horizons


def lookbacks(lineage: Mapping[str, Any]) -> dict[str, int]:
    """By feature of a dataset, the bars that a value depends on."""
    return {spec["name"]: int(spec["lookback_bars"]) for spec in lineage["features"]}


def reach_of(forecaster: str, params: Mapping[str, Any]) -> int:
    """Bars that a forecaster's fitted rows look back."""
    parsed = FORECASTERS.parse(forecaster, params)
    return int(FORECASTERS.get(forecaster).facts["reach_bars"](parsed))
