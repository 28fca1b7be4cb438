"""All forecasters of one head on one split, as a dictionary that JSON can hold: what skill.json
holds of it. Nothing in it depends on the order of time in which anything was computed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from scipy.special import ndtri

from truefill.config.forecast import SkillConfig
from truefill.core.errors import UsageError
from truefill.core.figures import Figure
from truefill.forecast.baselines.base import Forecast
from truefill.forecast.compare import Comparison, Outcomes, compare_all, known_rows
from truefill.forecast.kinds import SCORE_NAMES, rows_of
from truefill.forecast.labels.base import Floats, Ints
from truefill.forecast.scores import Kind, signal

SIGNAL_BINS = 10
LEAST_IN_BIN = 8


def score(
    forecasts: Mapping[str, Forecast],
    baselines: Mapping[str, Forecast],
    outcomes: Outcomes,
    kind: Kind,
    *,
    config: SkillConfig | None = None,
    folds: Ints | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Every forecaster beside every baseline, with skill, calibration, folds and what its signal
    was worth.

    Args:
        forecasts: members, ensemble and compared ones, of the n rows of ``outcomes`` and in the
            units of its ``value``.
        baselines: the same; see :func:`~truefill.forecast.compare.baselines_for`.
        folds: i64[n], the fold that forecast each row; a time lies in one. One fold is not
            told apart.

    Raises:
        UsageError: no forecaster. DataError, ConfigError: those of ``compare_all``.
    """
    config = config or SkillConfig()
    if not forecasts:
        raise UsageError("there is no forecaster to score")
    several = folds is not None and len(np.unique(folds)) > 1
    found = compare_all(
        forecasts,
        baselines,
        outcomes,
        kind=kind,
        config=config,
        folds=folds if several else None,
        seed=seed,
    )
    known = known_rows(outcomes, kind)
    at_s, traded = outcomes.at_s[known], outcomes.traded[known]
    any_one = next(iter(found.values()))
    entries = {}
    for name, told in found.items():
        own = rows_of(forecasts[name], known)
        points = signal(own.value, own.probability)
        bins = by_signal(points, traded, at_s, outcomes.horizon, config.confidence)
        entries[name] = _entry(told) | {"by_signal": bins}
    return {
        "kind": kind,
        "horizon": outcomes.horizon,
        "rows": any_one.skill.rows,
        "times": any_one.skill.times,
        "score": SCORE_NAMES[kind],
        "tested": len(forecasts),
        "confidence": config.confidence,
        "draws": config.draws,
        "block_length": any_one.skill.block_length,
        "forecasters": entries,
        "baselines": {
            name: {
                "scores": any_one.scores[name].to_dict(),
                "mean_score": asdict(any_one.baseline_means[name]),
                "traded": any_one.traded[name].as_json(),
            }
            for name in baselines
        },
    }


def _entry(told: Comparison) -> dict[str, Any]:
    whole = told.to_dict()
    return {
        "scores": whole["scores"][""],
        "mean_score": whole["mean_score"],
        "traded": whole["traded"][""],
        "skill": whole["skill"],
        "log_loss_skill": whole["log_loss_skill"],
        "declared": told.skill.declared,
        "by_fold": whole["by_fold"],
    }


def by_signal(
    points: Floats, traded: Floats, at_s: Ints, horizon: int, confidence: float
) -> list[dict[str, Any]]:
    """What came of weak and strong signals: at most ten bins of equally many rows, ascending, with
    the mean signal and the mean return that could be traded, log, of each.

    The interval of a mean is normal, with a standard error over times (all symbols of a time are
    one value) and the autocovariances of ``horizon`` - 1 bars, Bartlett-weighted (Newey & West
    1987). Equal signals are in one bin.
    """
    there = np.isfinite(traded)
    points, traded, at_s = points[there], traded[there], at_s[there]
    if not len(points):
        return []
    edges = np.unique(np.quantile(points, np.linspace(0.0, 1.0, SIGNAL_BINS + 1)))
    place = np.clip(np.searchsorted(edges, points, side="right") - 1, 0, max(len(edges) - 2, 0))
    axis, when = np.unique(at_s, return_inverse=True)
    out = []
    for k in range(max(len(edges) - 1, 1)):
        here = place == k
        count = int(here.sum())
        if not count:
            continue
        mean = math.fsum(traded[here]) / count
        away = np.asarray(np.bincount(when[here], traded[here] - mean, len(axis)), np.float64)
        reach = _reach(away, count, horizon, confidence)
        out.append(
            {
                "low": float(edges[k]),
                "high": float(edges[min(k + 1, len(edges) - 1)]),
                "rows": count,
                "signal": math.fsum(points[here]) / count,
                "traded": mean,
                "traded_low": _end(mean, reach, -1.0),
                "traded_high": _end(mean, reach, 1.0),
            }
        )
    return out


def _reach(away: Floats, count: int, horizon: int, confidence: float) -> Figure:
    """Half the interval of a mean over ``count`` rows; ``away`` f64[T]: their summed differences
    from it, by time."""
    if count < LEAST_IN_BIN:
        return Figure.undefined(f"fewer than {LEAST_IN_BIN} rows")
    total = math.fsum(away**2)
    for lag in range(1, min(horizon, len(away))):
        total += 2.0 * (1.0 - lag / horizon) * math.fsum(away[lag:] * away[:-lag])
    return Figure(float(ndtri(0.5 + confidence / 2.0)) * math.sqrt(max(total, 0.0)) / count)


def _end(mean: float, reach: Figure, side: float) -> Any:
    return reach.as_json() if reach.value is None else mean + side * reach.value
