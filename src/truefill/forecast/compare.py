"""Forecasters beside every baseline, on the same rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from truefill.config.forecast import SkillConfig
from truefill.core.bootstrap import Interval
from truefill.core.errors import DataError
from truefill.core.figures import Figure
from truefill.forecast.baselines.base import Forecast, History
from truefill.forecast.forms import baselines_for as baselines_for
from truefill.forecast.forms import baselines_of as baselines_of
from truefill.forecast.forms import forecasts_of as forecasts_of
from truefill.forecast.forms import with_quantiles as with_quantiles
from truefill.forecast.kinds import (
    Scores,
    log_likelihood,
    quantile_levels,
    require_kind,
    row_score,
    rows_of,
    scores_of,
    with_levels,
)
from truefill.forecast.labels.base import Bools, FittedLabel, Floats, Ints
from truefill.forecast.labels.future_return import FutureReturnParams
from truefill.forecast.scores import Kind, correlation, signal
from truefill.forecast.skill import BASE, Measure, Skill, score_intervals, standings

SCORE, LOG_LOSS = "score", "log likelihood"


def traded_label(horizon: int) -> FittedLabel:
    """The return that can be traded: from the next open to the one ``horizon`` bars later."""
    return FittedLabel("future_return", FutureReturnParams(horizon=horizon, entry="next_open"))


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
        ahead = traded_label(horizon)

        def all_rows(asked: FittedLabel) -> Floats:
            found = [asked.of(own.symbol, own.bars).value[own.rows] for own in histories]
            return np.concatenate(found)

        stamps = np.concatenate([own.bars.timestamps_s[own.rows] for own in histories])
        return Outcomes(all_rows(label), all_rows(ahead), stamps, horizon)

    def answer(self, kind: Kind) -> Floats:
        """f64[n], what a forecast of this kind is held to: the label, or of a position the return
        that can be traded. NaN where null."""
        return self.traded if kind == "position" else self.value


@dataclass(frozen=True)
class Comparison:
    """``scores`` and ``traded`` (correlation of the forecast's signal with the return that can be
    traded) by forecaster, its own under ""; ``skill``: in the kind's score
    (:data:`~truefill.forecast.kinds.SCORE_NAMES`); ``mean_score``: mean of the forecaster's own,
    with its interval (``baseline_means``: the baselines'); ``log_loss_skill``: of classes with
    probabilities, in log likelihood; ``by_fold``: see
    :class:`~truefill.forecast.skill.Standing`."""

    scores: Mapping[str, Scores]
    traded: Mapping[str, Figure]
    skill: Skill
    mean_score: Interval
    baseline_means: Mapping[str, Interval] = field(default_factory=dict)
    log_loss_skill: Skill | None = None
    by_fold: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        likely = self.log_loss_skill
        return {
            "scores": {name: scores.to_dict() for name, scores in self.scores.items()},
            "traded": {name: figure.as_json() for name, figure in self.traded.items()},
            "skill": self.skill.to_dict(),
            "mean_score": asdict(self.mean_score),
            "log_loss_skill": None if likely is None else likely.to_dict(),
            "by_fold": {fold: dict(told) for fold, told in self.by_fold.items()},
        }


def compare(
    own: Forecast,
    baselines: Mapping[str, Forecast],
    outcomes: Outcomes,
    *,
    kind: Kind,
    config: SkillConfig | None = None,
    seed: int = 0,
) -> Comparison:
    """A forecaster and baselines on the rows that have an outcome.

    Raises:
        DataError: ``no_label``: no row has one; too few for an interval. ConfigError: forecasts of
            another kind.
    """
    return compare_all({"": own}, baselines, outcomes, kind=kind, config=config, seed=seed)[""]


def compare_all(
    forecasts: Mapping[str, Forecast],
    baselines: Mapping[str, Forecast],
    outcomes: Outcomes,
    *,
    kind: Kind,
    config: SkillConfig | None = None,
    folds: Ints | None = None,
    seed: int = 0,
) -> dict[str, Comparison]:
    """The same of several forecasters, on shared resamples; ``folds`` i64[n]: of each row."""
    config = config or SkillConfig()
    known = known_rows(outcomes, kind)
    truth, traded = outcomes.answer(kind)[known], outcomes.traded[known]
    at_s = outcomes.at_s[known]
    own, others = (_kept(which, kind, known, forecasts) for which in (forecasts, baselines))
    settings: dict[str, Any] = {
        "at_s": at_s, "horizon": outcomes.horizon, "config": config, "seed": seed
    }  # fmt: skip
    rows, against = (
        {name: row_score(kind, truth, found) for name, found in which.items()}
        for which in (own, others)
    )
    measures = {SCORE: (rows, against), **_likely(kind, truth, own, others)}
    stands = standings(measures, folds=None if folds is None else folds[known], **settings)
    prefixed = {f"{BASE} {name}": found for name, found in against.items()}
    means = score_intervals(rows | prefixed, **settings)

    def told(found: Forecast) -> tuple[Scores, Figure]:
        points = correlation(signal(found.value, found.probability), traded)
        return scores_of(kind, truth, found, config.calibration_bins), points

    base = {name: told(found) for name, found in others.items()}
    base_means = {name: means[f"{BASE} {name}"] for name in others}
    out = {}
    for name, found in own.items():
        both = {"": told(found), **base}
        likely = stands.get(LOG_LOSS, {}).get(name)
        out[name] = Comparison(
            scores={other: pair[0] for other, pair in both.items()},
            traded={other: pair[1] for other, pair in both.items()},
            skill=stands[SCORE][name].skill,
            mean_score=means[name],
            baseline_means=base_means,
            log_loss_skill=None if likely is None else likely.skill,
            by_fold=stands[SCORE][name].by_fold,
        )
    return out


def known_rows(outcomes: Outcomes, kind: Kind) -> Bools:
    """bool[n]: rows with an outcome.

    Raises:
        DataError: ``no_label``: none has one.
    """
    known = np.isfinite(outcomes.answer(kind))
    if not known.any():
        raise DataError("no_label", "no row has an outcome")
    return known


def _kept(
    which: Mapping[str, Forecast], kind: Kind, known: Bools, asked: Mapping[str, Forecast]
) -> dict[str, Forecast]:
    levels = quantile_levels(next(iter(asked.values())))
    if which is not asked and kind == "quantile":  # baselines may tell more than is asked
        which = {name: with_levels(found, levels) for name, found in which.items()}
    for name, found in which.items():
        require_kind(name or "itself", found, kind, levels)
    return {name: rows_of(found, known) for name, found in which.items()}


def _likely(
    kind: Kind, truth: Floats, own: Mapping[str, Forecast], others: Mapping[str, Forecast]
) -> dict[str, Measure]:
    """The log likelihood of those that have probabilities, if any forecaster and baseline has."""
    if kind != "class":
        return {}
    mine, theirs = (
        {name: found for name, one in which.items()
         for found in [log_likelihood(truth, one)] if found is not None}
        for which in (own, others)
    )  # fmt: skip
    return {LOG_LOSS: (mine, theirs)} if mine and theirs else {}
