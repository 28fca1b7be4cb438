"""Is a forecaster better than the best baseline, or was it luck?

Every row has a score, higher is better (hit or miss; minus the squared error; minus the log loss).
The skill is the mean score less that of the best baseline *on these rows*, whichever it is; its
interval comes from the stationary block bootstrap over times (all symbols of a time together), and
every resample chooses its own best baseline. Skill is declared only where that interval lies above
0 and the Diebold-Mariano test against the best baseline agrees at the same confidence.

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
from truefill.core.bootstrap import Interval, automatic_block_length, bootstrap_interval
from truefill.core.errors import DataError, UsageError
from truefill.core.figures import Figure

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
LEAST_ROWS = 8


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
    config = config or SkillConfig()
    if not baselines:
        raise UsageError("skill is over the best baseline: give at least one")
    names = sorted(baselines)
    others = np.stack([_paired(baselines[name], score, name) for name in names], axis=1)
    count, sums = _by_time(score[:, None] - others, at_s, horizon)
    best = int(sums.sum(axis=0).argmin())
    by_time = sums[:, best] / count
    interval = _interval(count, sums, by_time, horizon, config, seed)
    test = diebold_mariano(by_time, horizon=horizon, confidence=config.confidence)
    return Skill(
        best=names[best],
        difference=interval.estimate,
        low=interval.low,
        high=interval.high,
        block_length=interval.block_length,
        times=len(count),
        rows=len(score),
        scores={"": _mean(score)} | {name: _mean(others[:, i]) for i, name in enumerate(names)},
        test=test,
        declared=interval.low > 0.0 and (test.low.value or 0.0) > 0.0,
    )


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
    count, sums = _by_time(score[:, None], at_s, horizon)
    by_time = sums[:, 0] / count
    return _interval(count, sums, by_time, horizon, config or SkillConfig(), seed)


def _by_time(rows: Floats, at_s: Ints, horizon: int) -> tuple[Floats, Floats]:
    """Rows [n, k] added up by their times: counts [T], sums [T, k], oldest first."""
    axis, place = np.unique(at_s, return_inverse=True)
    if len(axis) < max(LEAST_ROWS, 2 * horizon):
        raise DataError(
            "too_few_rows",
            f"{len(axis)} times are too few to tell skill from luck {horizon} bars ahead",
        )
    sums = np.zeros((len(axis), rows.shape[1]))
    np.add.at(sums, place, rows)
    return np.bincount(place).astype(np.float64), sums


def _interval(
    count: Floats, sums: Floats, by_time: Floats, horizon: int, config: SkillConfig, seed: int
) -> Interval:
    """Bootstrap interval of the least mean; blocks suit ``by_time`` [T], and the horizon."""
    return bootstrap_interval(
        np.column_stack([count, sums]),
        _over_the_best,
        draws=config.draws,
        confidence=config.confidence,
        seed=seed,
        block_length=max(automatic_block_length(by_time), float(horizon)),
    )


def _over_the_best(samples: Floats) -> Floats:
    """[B, n, 1 + baselines] of counts and summed differences -> [B]: the least mean difference."""
    total = samples.sum(axis=1)
    return np.asarray((total[:, 1:] / total[:, :1]).min(axis=1), np.float64)


def _paired(values: Floats, score: Floats, name: str) -> Floats:
    if len(values) != len(score):
        raise DataError("paired", f"{len(values)} rows of {name} against {len(score)}")
    if not (np.isfinite(values).all() and np.isfinite(score).all()):
        raise DataError("null", f"scores of the forecaster and of {name} must be finite")
    return values


def _mean(values: Floats) -> float:
    return math.fsum(values) / len(values)
