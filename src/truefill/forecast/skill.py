"""Is a forecaster better than the best baseline, or was it luck?

Every row has a score, higher is better (hit or miss; minus the squared error; minus the log loss).
The skill is the mean score less that of the best baseline *on these rows*, whichever it is; its
interval comes from the stationary block bootstrap over times (all symbols of a time together), and
every resample chooses its own best baseline. Skill is declared only where that interval lies above
0 and the Diebold-Mariano test against the best baseline agrees at the same confidence. Forecasters
that are judged together share the resamples, whose blocks suit the most dependent of them.

Sources: Diebold & Mariano (1995), "Comparing Predictive Accuracy"; Harvey, Leybourne & Newbold
(1997), "Testing the equality of prediction mean squared errors"; Politis & Romano (1994).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.special import stdtr, stdtrit

from truefill.config.forecast import SkillConfig
from truefill.core.bootstrap import Interval
from truefill.core.errors import DataError, UsageError
from truefill.core.figures import Figure
from truefill.forecast.resample import ByTime, Key, Resamples, block_length, enough_times

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
OWN, BASE = "forecaster", "baseline"


@dataclass(frozen=True)
class DieboldMariano:
    """Test of equal accuracy, with the small-sample correction of Harvey, Leybourne and Newbold.

    ``difference``: mean of the loss differences; ``statistic``: t of n - 1 degrees of freedom;
    ``p_value``: two-sided; ``low``, ``high``: interval of the difference. ``kernel``: of the
    long-run variance: "rectangular" (all of the first horizon - 1 autocovariances, as in the
    paper), or "bartlett" (they fade out) where the former gave no positive variance.
    """

    difference: float
    statistic: Figure
    p_value: Figure
    low: Figure
    high: Figure
    rows: int
    horizon: int
    kernel: Literal["rectangular", "bartlett"]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            name: value.as_json() if isinstance(value, Figure) else value
            for name, value in vars(self).items()
        }


@dataclass(frozen=True)
class Skill:
    """A forecaster against the best of its baselines.

    ``difference``: mean score less the best baseline's, ``low`` to ``high`` its interval;
    ``scores``: mean score by name, the forecaster's under ""; ``test``: Diebold-Mariano against
    ``best``, positive where the forecaster is better; ``declared``: both exclude 0, from above.
    """

    best: str
    difference: float
    low: float
    high: float
    block_length: float
    times: int
    rows: int
    scores: Mapping[str, float]
    test: DieboldMariano
    declared: bool

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {**vars(self), "scores": dict(self.scores), "test": self.test.to_dict()}


def diebold_mariano(
    difference: Floats, *, horizon: int, confidence: float = 0.95
) -> DieboldMariano:
    """Is the mean of loss differences other than 0?

    Args:
        difference: [n], one a time, oldest first.
        horizon: bars that an outcome looks ahead; errors of overlapping outcomes correlate up to
            horizon - 1 bars apart.

    Raises:
        DataError: fewer than 2 values, not more than the horizon, or one that is not finite.
    """
    n = len(difference)
    if n < 2 or n <= horizon:
        raise DataError("too_few_rows", f"{n} times are too few for outcomes {horizon} bars ahead")
    if horizon < 1:
        raise UsageError("horizon must be at least 1")
    if not np.isfinite(difference).all():
        raise DataError("null", "loss differences must be finite")
    mean = math.fsum(difference) / n
    centred = difference - mean
    size = float(np.abs(difference).max())
    kernel: Literal["rectangular", "bartlett"] = "rectangular"
    variance = _long_run(centred, horizon, np.ones(horizon - 1))
    if variance <= (1e-12 * size) ** 2:
        kernel = "bartlett"
        variance = _long_run(centred, horizon, 1.0 - np.arange(1, horizon) / horizon)
    correction = math.sqrt((n + 1 - 2 * horizon + horizon * (horizon - 1) / n) / n)
    if variance <= (1e-12 * size) ** 2 or correction <= 0.0:
        none = Figure.undefined("the loss differences do not vary")
        return DieboldMariano(mean, none, none, none, none, n, horizon, kernel)
    error = math.sqrt(variance / n) / correction
    statistic = mean / error
    reach = float(stdtrit(n - 1, 0.5 + confidence / 2.0)) * error
    return DieboldMariano(
        difference=mean,
        statistic=Figure(statistic),
        p_value=Figure(2.0 * float(stdtr(n - 1, -abs(statistic)))),
        low=Figure(mean - reach),
        high=Figure(mean + reach),
        rows=n,
        horizon=horizon,
        kernel=kernel,
    )


def _long_run(centred: Floats, horizon: int, weights: Floats) -> float:
    """Long-run variance by the first horizon - 1 autocovariances."""
    n = len(centred)
    covariance = [math.fsum(centred[k:] * centred[: n - k]) / n for k in range(horizon)]
    return covariance[0] + 2.0 * math.fsum(
        w * c for w, c in zip(weights, covariance[1:], strict=True)
    )


def skill(
    score: Floats,
    baselines: Mapping[str, Floats],
    *,
    at_s: Ints,
    horizon: int,
    config: SkillConfig | None = None,
    seed: int = 0,
) -> Skill:
    """The forecaster's skill over the best baseline.

    Args:
        score: f64[n] of the forecaster's rows, higher is better.
        baselines: by name, f64[n] of the same rows.
        at_s: i64[n], their bar starts; rows of a time are resampled together.
        horizon: bars that an outcome looks ahead; blocks are at least so long.

    Raises:
        DataError: fewer than 8 times or twice the horizon, rows that do not pair, or a score
            that is not finite.
        UsageError: no baseline.
    """
    alone: Measure = ({"": score}, baselines)
    found = standings({"": alone}, at_s=at_s, horizon=horizon, config=config, seed=seed)
    return found[""][""].skill


@dataclass(frozen=True)
class Standing:
    """A forecaster's skill, and by fold: ``{"rows", "times", "score", "best", "difference", "low",
    "high"}``, or ``{"rows", "times", "reason"}`` where the fold is too short."""

    skill: Skill
    by_fold: Mapping[str, Mapping[str, Any]]


Measure = tuple[Mapping[str, Floats], Mapping[str, Floats]]
"""Scores of forecasters and of baselines, f64[n] by name, higher is better."""


def standings(
    measures: Mapping[str, Measure],
    *,
    at_s: Ints,
    horizon: int,
    config: SkillConfig | None = None,
    folds: Ints | None = None,
    seed: int = 0,
) -> dict[str, dict[str, Standing]]:
    """By measure and forecaster: its skill over the best baseline, all on the same resamples;
    arguments and errors as those of :func:`skill`. ``folds`` i64[n]: the fold of each row, a time
    in one."""
    config = config or SkillConfig()
    columns: dict[Key, Floats] = {}
    differences: dict[Key, Floats] = {}
    for measure, (scores, baselines) in measures.items():
        if not baselines:
            raise UsageError("skill is over the best baseline: give at least one")
        columns |= {(measure, OWN, name): own for name, own in scores.items()}
        columns |= {(measure, BASE, name): baselines[name] for name in sorted(baselines)}
    table = ByTime.of(columns, at_s, horizon, folds)
    for key in table.keys:
        if key[1] == OWN:
            differences[key] = table.difference(key, table.best(_others(table, key)))
    drawn = Resamples.draw(
        table,
        draws=config.draws,
        block_length=block_length(list(differences.values()), horizon),
        confidence=config.confidence,
        seed=seed,
    )
    out: dict[str, dict[str, Standing]] = {measure: {} for measure in measures}
    for key, difference in differences.items():
        test = diebold_mariano(difference, horizon=horizon, confidence=config.confidence)
        by_fold = {} if folds is None else _by_fold(table, drawn, key, horizon)
        out[key[0]][key[2]] = Standing(_skill(table, drawn, key, test, len(at_s)), by_fold)
    return out


def _skill(table: ByTime, drawn: Resamples, key: Key, test: DieboldMariano, rows: int) -> Skill:
    others = _others(table, key)
    means = {other[2]: table.mean(other) for other in others}
    best, own = table.best(others), table.mean(key)
    low, high = drawn.over_the_best(key, others)
    return Skill(
        best=best[2],
        difference=own - means[best[2]],
        low=low,
        high=high,
        block_length=drawn.block_length,
        times=len(table.count),
        rows=rows,
        scores={"": own} | means,
        test=test,
        declared=low > 0.0 and (test.low.value or 0.0) > 0.0,
    )


def _others(table: ByTime, key: Key) -> list[Key]:
    """The baselines under the same measure."""
    return [other for other in table.keys if other[:2] == (key[0], BASE)]


def _by_fold(
    table: ByTime, drawn: Resamples, key: Key, horizon: int
) -> dict[str, Mapping[str, Any]]:
    out: dict[str, Mapping[str, Any]] = {}
    others = _others(table, key)
    for part in drawn.parts:
        rows, times = table.of_part(part)
        told: dict[str, Any] = {"rows": rows, "times": times}
        if not enough_times(times, horizon):
            out[str(part)] = told | {"reason": f"{times} times are too few"}
            continue
        best, score = table.best(others, part), table.mean(key, part)
        low, high = drawn.over_the_best(key, others, part)
        difference = score - table.mean(best, part)
        told |= {"score": score, "best": best[2], "difference": difference}
        out[str(part)] = told | {"low": low, "high": high}
    return out


def score_interval(
    score: Floats,
    *,
    at_s: Ints,
    horizon: int,
    config: SkillConfig | None = None,
    seed: int = 0,
) -> Interval:
    """Mean of the rows' scores (a hit rate, of hits) with its interval; arguments and errors as
    those of :func:`skill`."""
    alone = {"": score}
    return score_intervals(alone, at_s=at_s, horizon=horizon, config=config, seed=seed)[""]


def score_intervals(
    scores: Mapping[str, Floats],
    *,
    at_s: Ints,
    horizon: int,
    config: SkillConfig | None = None,
    seed: int = 0,
) -> dict[str, Interval]:
    """The same of several, on the same resamples."""
    config = config or SkillConfig()
    table = ByTime.of({("", OWN, name): own for name, own in scores.items()}, at_s, horizon)
    length = block_length([table.sums[:, k] / table.count for k in range(len(scores))], horizon)
    drawn = Resamples.draw(
        table,
        draws=config.draws,
        block_length=length,
        confidence=config.confidence,
        seed=seed,
    )
    return {key[2]: Interval(table.mean(key), *drawn.interval(key), length) for key in table.keys}
