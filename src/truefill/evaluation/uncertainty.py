"""How sure a figure is: probabilistic and deflated Sharpe, seed spread; and the stationary block
bootstrap, which lies below (:mod:`truefill.core.bootstrap`).

Sources: Bailey & López de Prado (2012), "The Sharpe Ratio Efficient Frontier", and (2014), "The
Deflated Sharpe Ratio".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

from truefill.core.bootstrap import Interval as Interval
from truefill.core.bootstrap import PairedDifference as PairedDifference
from truefill.core.bootstrap import automatic_block_length as automatic_block_length
from truefill.core.bootstrap import bootstrap_interval as bootstrap_interval
from truefill.core.bootstrap import mean_of as mean_of
from truefill.core.bootstrap import paired_difference as paired_difference
from truefill.core.bootstrap import stationary_indices as stationary_indices
from truefill.core.errors import DataError
from truefill.core.figures import Figure, ratio

EULER_GAMMA = 0.577_215_664_901_532_9
SEED_SPREAD_WARNING = 0.30


@dataclass(frozen=True)
class SeedSpread:
    """Spread of one score over seeds."""

    mean: float
    std: float
    cv: Figure
    warning: str | None

    def to_dict(self) -> dict[str, Any]:
        return {
            "mean": self.mean,
            "std": self.std,
            "cv": self.cv.as_json(),
            "warning": self.warning,
        }


def probabilistic_sharpe(
    sharpe: float, periods: int, skewness: float, kurtosis: float, *, benchmark: float = 0.0
) -> Figure:
    """Probability that the true Sharpe ratio exceeds ``benchmark``.

    Args:
        sharpe: per period, not annualized; ``benchmark`` too.
        periods: number of returns.
        kurtosis: raw (a normal distribution has 3).
    """
    if periods < 2:
        return Figure.undefined("fewer than 2 returns")
    spread = 1.0 - skewness * sharpe + (kurtosis - 1.0) / 4.0 * sharpe**2
    if spread <= 0.0:
        return Figure.undefined("skewness and kurtosis leave no variance of the Sharpe ratio")
    z = (sharpe - benchmark) * math.sqrt(periods - 1) / math.sqrt(spread)
    return Figure(0.5 * math.erfc(-z / math.sqrt(2.0)))


def expected_best_sharpe(variance: float, trials: int) -> float:
    """Sharpe ratio that the best of ``trials`` worthless ones is expected to show.

    ``variance`` is that of the trials' Sharpe ratios, in the same period. One trial expects 0.
    """
    if trials < 2:
        return 0.0
    normal = NormalDist()
    first = normal.inv_cdf(1.0 - 1.0 / trials)
    second = normal.inv_cdf(1.0 - 1.0 / (trials * math.e))
    return math.sqrt(variance) * ((1.0 - EULER_GAMMA) * first + EULER_GAMMA * second)


def deflated_sharpe(
    sharpe: float,
    periods: int,
    skewness: float,
    kurtosis: float,
    *,
    trial_variance: float,
    trials: int,
) -> Figure:
    """Probability that the true Sharpe ratio is above 0, given that the best of many was taken.

    Args:
        sharpe: per period.
        trial_variance: variance of the trials' per-period Sharpe ratios.
        trials: number of looks.
    """
    best = expected_best_sharpe(trial_variance, trials)
    return probabilistic_sharpe(sharpe, periods, skewness, kurtosis, benchmark=best)


def sharpe_variance(trial_sharpes: Sequence[float], periods: int) -> float:
    """Variance (ddof 1) of trial Sharpe ratios per period; of fewer than two trials, 1 / (periods -
    1), which is what luck alone gives."""
    if len(trial_sharpes) < 2:
        return 1.0 / max(periods - 1, 1)
    mean = math.fsum(trial_sharpes) / len(trial_sharpes)
    return math.fsum((s - mean) ** 2 for s in trial_sharpes) / (len(trial_sharpes) - 1)


def seed_spread(scores: Sequence[float]) -> SeedSpread:
    """Mean, standard deviation (ddof 1) and coefficient of variation over seeds.

    Raises:
        DataError: no score, or one that is not finite.
    """
    if not scores or not all(math.isfinite(score) for score in scores):
        raise DataError("seeds", "needs at least one score, all finite")
    mean = math.fsum(scores) / len(scores)
    if len(scores) < 2:
        return SeedSpread(mean, 0.0, Figure.undefined("one seed has no spread"), None)
    std = math.sqrt(math.fsum((s - mean) ** 2 for s in scores) / (len(scores) - 1))
    cv = ratio(std, abs(mean), "the mean over seeds is 0")
    wide = cv.value is None or cv.value > SEED_SPREAD_WARNING
    shown = "undefined" if cv.value is None else f"{cv.value:.0%}"
    warning = f"coefficient of variation over seeds is {shown}, above {SEED_SPREAD_WARNING:.0%}"
    return SeedSpread(mean, std, cv, warning if wide and std > 0.0 else None)


def interquartile_mean(values: Sequence[float]) -> float:
    """Mean of the middle half of the values, those at its borders counted in part: of 3 it is
    (a / 4 + b + c / 4) / 1.5 (Agarwal et al. 2021 drop whole values only: of 3, none).

    >>> interquartile_mean([9.0, 1.0, 2.0])
    3.0

    Raises:
        DataError: no value.
    """
    if not values:
        raise DataError("seeds", "needs at least one value")
    ordered, quarter = sorted(values), len(values) / 4.0
    shares = (max(min(i + 1, 3 * quarter) - max(i, quarter), 0.0) for i in range(len(ordered)))
    return math.fsum(w * v for w, v in zip(shares, ordered, strict=True)) / (2 * quarter)
