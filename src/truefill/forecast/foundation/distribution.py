"""Facts of a predictive distribution of a log return, one row each.

The same names from samples and from quantiles, all f64[n]:

- ``mean``; ``sigma``: population standard deviation; ``skew``: E((x - mean)^3) / sigma^3;
- ``q10``, ``q50``, ... of the levels asked (``q2_5`` is the level 0.025);
- ``tail_ratio``: (highest - median) / (median - lowest) of these quantiles, cut to
  1 / FARTHEST_TAIL .. FARTHEST_TAIL; 1 where both are 0;
- ``entropy``: -sum p log p / log(BINS) of the shares p in BINS equal bins from mean - 4 sigma to
  mean + 4 sigma, the outer ones open: the shape alone, 0 .. 1, of a normal distribution 0.76;
- ``p_rise``: P(x > 0) + P(x = 0) / 2.

A distribution without width (all values within TINY of their size) has sigma, skew and entropy 0.
Sums run over a row's own sorted values: the bits of a row do not depend on the other rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import AfterValidator

from truefill.forecast.foundation.quantiles import QuantileFunction
from truefill.forecast.labels.base import Bools, Floats

BINS, REACH = 16, 4.0
FARTHEST_TAIL = 100.0
TINY = 1e-12
MEDIAN = 0.5
DIMENSIONLESS = ("tail_ratio", "entropy", "skew", "p_rise")
"""The other facts are log returns."""


def _levels(given: tuple[float, ...]) -> tuple[float, ...]:
    if list(given) != sorted(set(given)) or not all(0.0 < level < 1.0 for level in given):
        raise ValueError("levels ascend between 0 and 1")
    if MEDIAN not in given[1:-1]:
        raise ValueError("the median 0.5 needs a level below and one above")
    return given


Levels = Annotated[tuple[float, ...], AfterValidator(_levels)]


def quantile_name(level: float) -> str:
    """
    >>> quantile_name(0.1), quantile_name(0.025)
    ('q10', 'q2_5')
    """
    return f"q{round(100.0 * level, 6):g}".replace(".", "_")


def of_samples(samples: Floats, levels: Sequence[float]) -> dict[str, Floats]:
    """Facts of f64[n, S] samples. Quantiles interpolate between sorted samples (type 7 of Hyndman &
    Fan 1996, numpy's)."""
    x = np.sort(samples, axis=1)
    n, count = x.shape
    flat = _flat(x[:, 0], x[:, -1])
    mean = np.where(flat, x[:, 0], x.sum(axis=1) / count)
    off = np.where(flat[:, None], 0.0, x - mean[:, None])
    sigma = np.sqrt((off**2).sum(axis=1) / count)
    unit = np.where(flat, 1.0, sigma)
    skew = (off**3).sum(axis=1) / count / unit**3
    at = np.floor(off / (2.0 * REACH / BINS * unit)[:, None]).astype(np.int64) + BINS // 2
    at = np.clip(at, 0, BINS - 1) + BINS * np.arange(n)[:, None]
    shares = np.bincount(at.ravel(), minlength=n * BINS).reshape(n, BINS) / count
    place = np.asarray(levels) * (count - 1)
    low = np.floor(place).astype(np.int64)
    high = np.minimum(low + 1, count - 1)
    found = x[:, low] + (x[:, high] - x[:, low]) * (place - low)
    rise = ((x > 0.0).sum(axis=1) + 0.5 * (x == 0.0).sum(axis=1)) / count
    return _facts((mean, sigma, skew), levels, found, np.where(flat, 0.0, _entropy(shares)), rise)


def of_quantiles(known: QuantileFunction, levels: Sequence[float]) -> dict[str, Floats]:
    """Facts of the distributions that go through n rows of quantiles."""
    flat = _flat(known.values[:, 0], known.values[:, -1])
    mean, variance, third = known.moments()
    sigma = np.where(flat, 0.0, np.sqrt(variance))
    unit = np.where(flat, 1.0, sigma)
    edges = (np.arange(1, BINS) - BINS // 2) * (2.0 * REACH / BINS)
    below = np.stack([known.cdf(mean + edge * unit) for edge in edges], axis=1)
    shares = np.diff(below, axis=1, prepend=0.0, append=1.0)
    entropy = np.where(flat, 0.0, _entropy(np.maximum(shares, 0.0)))
    rise = 1.0 - known.cdf(np.zeros(len(mean)))
    skew = np.where(flat, 0.0, third / unit**3)
    return _facts((mean, sigma, skew), levels, known.at(np.asarray(levels)), entropy, rise)


def _facts(
    moments: tuple[Floats, Floats, Floats],
    levels: Sequence[float],
    quantiles: Floats,
    entropy: Floats,
    rise: Floats,
) -> dict[str, Floats]:
    """All by name, in the order in which they are told."""
    middle = quantiles[:, list(levels).index(MEDIAN)]
    out = {"mean": moments[0], "sigma": moments[1]}
    out |= {quantile_name(level): quantiles[:, i] for i, level in enumerate(levels)}
    out["tail_ratio"] = tail_ratio(quantiles[:, -1] - middle, middle - quantiles[:, 0])
    return out | {"entropy": entropy, "skew": moments[2], "p_rise": rise}


def tail_ratio(up: Floats, down: Floats) -> Floats:
    """up / down, both at least 0, cut; 1 where both are 0.

    >>> tail_ratio(np.array([2.0, 1.0, 0.0, 0.0]), np.array([1.0, 0.0, 1.0, 0.0])).tolist()
    [2.0, 100.0, 0.01, 1.0]
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.clip(up / down, 1.0 / FARTHEST_TAIL, FARTHEST_TAIL)
    return np.where((up == 0.0) & (down == 0.0), 1.0, ratio)


def _flat(lowest: Floats, highest: Floats) -> Bools:
    size = np.maximum(np.abs(lowest), np.abs(highest))
    return np.asarray(highest - lowest <= TINY * size)


def _entropy(shares: Floats) -> Floats:
    """f64[n] of f64[n, BINS]."""
    logs = np.log(np.where(shares > 0.0, shares, 1.0))
    return -(shares * logs).sum(axis=1) / np.log(BINS)
