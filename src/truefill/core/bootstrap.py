"""Stationary block bootstrap of a dependent series: block length, intervals, paired differences.

Sources: Politis & Romano (1994), "The Stationary Bootstrap"; Politis & White (2004), "Automatic
Block-Length Selection for the Dependent Bootstrap", with the correction of Patton, Politis & White
(2009).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from truefill.core.errors import DataError, UsageError

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Statistic = Callable[[F64], F64]
"""[B, n] resampled returns -> [B] values."""
CHUNK = 1 << 20
"""Resampled values held at once; fixed, because it sets the order of random numbers."""


@dataclass(frozen=True)
class Interval:
    """An estimate with its percentile interval."""

    estimate: float
    low: float
    high: float
    block_length: float


@dataclass(frozen=True)
class PairedDifference:
    """Mean log return per bar of the strategy minus the baseline's, on the same bars."""

    difference: float
    low: float
    high: float
    p_value: float
    block_length: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def automatic_block_length(series: F64) -> float:
    """Expected block length of the stationary bootstrap that suits ``series`` [n], at least 1.

    The bandwidth is twice the last significant lag: the smallest m after which max(5, sqrt(log10
    n)) autocorrelations in a row stay below 2 sqrt(log10 n / n). Capped at min(3 sqrt n, n / 3).
    A constant series has block length 1.
    """
    n = len(series)
    if n < 8:
        return 1.0
    centred = series - math.fsum(series) / n
    variance = math.fsum(centred**2) / n
    if variance <= (1e-13 * (1.0 + float(np.abs(series).max()))) ** 2:
        return 1.0
    run = max(5, int(math.sqrt(math.log10(n))))
    longest = min(math.ceil(math.sqrt(n)) + run, n - 1)
    loud = 2.0 * math.sqrt(math.log10(n) / n)
    covariance, quiet, m = [variance], 0, longest
    for lag in range(1, longest + 1):  # no further than the bandwidth needs
        covariance.append(_covariance(centred, lag))
        quiet = 0 if abs(covariance[lag] / variance) >= loud else quiet + 1
        if quiet == run:
            m = lag - run
            break
    bandwidth = min(2 * max(m, 1), longest)
    covariance += [_covariance(centred, lag) for lag in range(len(covariance), bandwidth + 1)]
    lags = np.arange(1, bandwidth + 1)
    window = np.minimum(1.0, 2.0 * (1.0 - lags / bandwidth))
    weighted = 2.0 * window * np.array(covariance[1 : bandwidth + 1])
    spectrum = covariance[0] + math.fsum(weighted)
    slope = math.fsum(lags * weighted)
    ceiling = math.ceil(min(3.0 * math.sqrt(n), n / 3.0))
    if spectrum <= 0.0:
        return float(ceiling)
    length = (abs(slope) / spectrum) ** (2.0 / 3.0) * n ** (1.0 / 3.0)
    return float(min(max(length, 1.0), ceiling))


def _covariance(centred: F64, lag: int) -> float:
    return math.fsum(centred[lag:] * centred[: len(centred) - lag]) / len(centred)


def stationary_indices(
    n: int, draws: int, block_length: float, generator: np.random.Generator
) -> I64:
    """[draws, n] row numbers: blocks of geometric length, mean ``block_length``, wrapping round."""
    position = np.arange(n)
    starts_here = generator.random((draws, n)) < 1.0 / block_length
    starts_here[:, 0] = True
    started = np.maximum.accumulate(np.where(starts_here, position, 0), axis=1)
    source = generator.integers(0, n, (draws, n))
    return (np.take_along_axis(source, started, axis=1) + position - started) % n


def _resampled(series: F64, draws: int, block_length: float, seed: int) -> Iterator[F64]:
    """``draws`` resamples of [n] in chunks [some, n]."""
    generator = np.random.Generator(np.random.PCG64(seed))
    step = max(1, CHUNK // len(series))
    for start in range(0, draws, step):
        count = min(step, draws - start)
        yield series[stationary_indices(len(series), count, block_length, generator)]


def mean_of(samples: F64) -> F64:
    """The mean, as a :data:`Statistic`."""
    return np.asarray(samples.mean(axis=1), dtype=np.float64)


def bootstrap_interval(
    returns: F64,
    statistic: Statistic = mean_of,
    *,
    draws: int = 2_000,
    confidence: float = 0.95,
    seed: int = 0,
    block_length: float | None = None,
) -> Interval:
    """Percentile interval of ``statistic`` under the stationary block bootstrap.

    Args:
        returns: [n], or [n, columns]: rows are then drawn whole, the statistic sees [B, n,
            columns], and ``block_length`` must be given.

    Raises:
        DataError: fewer than 2 returns, or a value that is not finite.
        UsageError: columns without a block length.
    """
    _validate(returns)
    if returns.ndim > 1 and block_length is None:
        raise UsageError("columns are resampled together: block_length must be given")
    length = automatic_block_length(returns) if block_length is None else block_length
    values = np.concatenate([statistic(s) for s in _resampled(returns, draws, length, seed)])
    low, high = _percentiles(values, confidence)
    return Interval(float(statistic(returns[None, :])[0]), low, high, length)


def paired_difference(
    strategy: F64,
    baseline: F64,
    *,
    draws: int = 2_000,
    confidence: float = 0.95,
    seed: int = 0,
    block_length: float | None = None,
) -> PairedDifference:
    """Is the strategy's mean log return above the baseline's on the same bars?

    Args:
        strategy: [T] log returns.
        baseline: [T] log returns of the same bars.

    Returns:
        The difference per bar, its interval, and the one-sided p-value (b + 1) / (draws + 1) of
        "no better", b counting centred resamples that reach the difference; it is never 0.
    """
    if len(strategy) != len(baseline):
        raise DataError("paired", f"{len(strategy)} returns against {len(baseline)}")
    difference = strategy - baseline
    _validate(difference)
    length = automatic_block_length(difference) if block_length is None else block_length
    observed = math.fsum(difference) / len(difference)
    means = np.concatenate([mean_of(s) for s in _resampled(difference, draws, length, seed)])
    low, high = _percentiles(means, confidence)
    reached = int((means - observed >= observed).sum())
    return PairedDifference(observed, low, high, (reached + 1) / (draws + 1), length)


def _validate(series: F64) -> None:
    if len(series) < 2:
        raise DataError("bootstrap", f"needs at least 2 returns, got {len(series)}")
    if not np.isfinite(series).all():
        raise DataError("bootstrap", "returns must be finite")


def _percentiles(values: F64, confidence: float) -> tuple[float, float]:
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(values, [tail, 1.0 - tail])
    return float(low), float(high)
