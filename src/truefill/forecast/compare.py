"""A forecaster beside every baseline, on the same rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from truefill.config.forecast import SkillConfig
from truefill.core.bootstrap import Interval
from truefill.core.errors import DataError
from truefill.core.figures import Figure
from truefill.forecast.baselines.base import FORECASTERS, Forecast, History, Train
from truefill.forecast.labels.base import FittedLabel, Floats, Ints
from truefill.forecast.labels.future_return import FutureReturnParams
from truefill.forecast.scores import (
    ClassScores,
    RealScores,
    class_scores,
    correlation,
    real_scores,
    row_scores,
    signal,
)
from truefill.forecast.skill import Skill, score_interval, skill


@dataclass(frozen=True)
class Outcomes:
    """What came of the rows of histories, f64[n] or i64[n], history after history. ``value``: the
    label, NaN where null; ``traded``: log return from the next open to the one ``horizon`` bars
    later, NaN where it is not there."""

    value: Floats
    traded: Floats
    at_s: Ints
    horizon: int

    @staticmethod
    def of(label: FittedLabel, histories: Sequence[History]) -> Outcomes:
        """The outcomes of all rows."""
        horizon = label.horizon
        ahead = FittedLabel("future_return", FutureReturnParams(horizon=horizon, entry="next_open"))

        def all_rows(asked: FittedLabel) -> Floats:
            found = [asked.of(own.symbol, own.bars).value[own.rows] for own in histories]
            return np.concatenate(found)

        stamps = np.concatenate([own.bars.timestamps_s[own.rows] for own in histories])
        return Outcomes(all_rows(label), all_rows(ahead), stamps, horizon)


@dataclass(frozen=True)
class Comparison:
    """``scores`` and ``traded`` (correlation of the forecast's signal with the return that can be
    traded) by forecaster, its own under ""; ``skill``: of hits, or of squared errors;
    ``mean_score``: the forecaster's hit rate (or minus its mean squared error) with its
    interval."""

    scores: Mapping[str, ClassScores | RealScores]
    traded: Mapping[str, Figure]
    skill: Skill
    mean_score: Interval

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "scores": {name: scores.to_dict() for name, scores in self.scores.items()},
            "traded": {name: figure.as_json() for name, figure in self.traded.items()},
            "skill": self.skill.to_dict(),
            "mean_score": asdict(self.mean_score),
        }


def baselines_of(label: FittedLabel, *, boosting: bool = False) -> tuple[str, ...]:
    """Names of the baselines that can be asked this label; boosting, whose extra may be missing,
    where wanted."""
    kind = "class" if label.classes else "real"
    return tuple(
        entry.name
        for entry in FORECASTERS
        if kind in entry.facts["targets"] and (boosting or entry.facts["extra"] is None)
    )


def forecasts_of(
    names: Sequence[str], train: Train, histories: Sequence[History]
) -> dict[str, Forecast]:
    """Forecasts of each named forecaster with its default parameters, fitted on ``train``."""
    out = {}
    for name in names:
        entry = FORECASTERS.get(name)
        out[name] = entry.make(entry.params(), train).predict(histories)
    return out


def compare(
    own: Forecast,
    baselines: Mapping[str, Forecast],
    outcomes: Outcomes,
    *,
    classes: int,
    config: SkillConfig | None = None,
    seed: int = 0,
) -> Comparison:
    """A forecaster and baselines on the rows that have an outcome.

    Raises:
        DataError: ``no_label``: no row has one; too few for an interval.
    """
    config = config or SkillConfig()
    known = np.isfinite(outcomes.value)
    if not known.any():
        raise DataError("no_label", "no row has an outcome")
    truth = outcomes.value[known]
    scores: dict[str, ClassScores | RealScores] = {}
    traded, rows = {}, {}
    for name, found in {"": own, **baselines}.items():
        value = found.value[known]
        share = None if found.probability is None else found.probability[known]
        rows[name] = row_scores(truth, value, classes)
        traded[name] = correlation(signal(value, share), outcomes.traded[known])
        scores[name] = (
            class_scores(truth, value, share, classes=classes, bins=config.calibration_bins)
            if classes
            else real_scores(truth, value)
        )
    mine, at_s, horizon = rows.pop(""), outcomes.at_s[known], outcomes.horizon
    return Comparison(
        scores,
        traded,
        skill(mine, rows, at_s=at_s, horizon=horizon, config=config, seed=seed),
        score_interval(mine, at_s=at_s, horizon=horizon, config=config, seed=seed),
    )
