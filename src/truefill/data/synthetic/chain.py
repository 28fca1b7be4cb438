"""What can be known of the next bar, as a Markov chain with finitely many states.

In state i the next bar's log return is normal with mean volatility sqrt(strength) z[i] -
volatility^2 / 2: ``z`` has mean 0 and variance 1 over time in every planted market, so ``strength``
is the same thing everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import sqrt

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.sparse import csr_array
from scipy.stats import norm

from truefill.data.join import Series

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Place = Callable[[pl.DataFrame, Mapping[str, Series]], Ints]

REACH = 4.5
"""Standard deviations that the grid of an autoregression covers."""


@dataclass(frozen=True)
class Chain:
    """``z`` f64[n]; ``weights`` f64[n]: share of time in each state; ``step`` [n, n]: row i is the
    distribution of the state one bar after i; ``place``: bars of one symbol and the slow series ->
    i64[T], the state known at the close of each bar, which rules the bar after it."""

    z: Floats
    weights: Floats
    step: csr_array
    place: Place


def quantiles(count: int) -> Floats:
    """f64[count]: equally likely values of a standard normal, scaled to variance 1."""
    values: Floats = norm.ppf((np.arange(count) + 0.5) / count)
    return values / sqrt(float(np.mean(values**2)))


def nearest(grid: Floats, values: Floats) -> Ints:
    """i64: index of the nearest of the ascending ``grid``."""
    return np.searchsorted((grid[1:] + grid[:-1]) / 2.0, values)


def independent(count: int, place: Callable[[Floats], Place]) -> Chain:
    """Every bar draws its z anew. ``place``: grid -> how it is read."""
    grid = quantiles(count)
    even = np.full(count, 1.0 / count)
    return Chain(grid, even, csr_array(np.tile(even, (count, 1))), place(grid))


def autoregression(coefficient: float, count: int, place: Callable[[Floats], Place]) -> Chain:
    """z[t+1] = coefficient z[t] + sqrt(1 - coefficient^2) noise, on an even grid."""
    grid = np.linspace(-REACH, REACH, count)
    borders = (grid[1:] + grid[:-1]) / 2.0
    sd = sqrt(1.0 - coefficient**2)

    def cells(mean: Floats, spread: float) -> Floats:
        inside = norm.cdf((borders[None, :] - mean[:, None]) / spread)
        ends = np.zeros((len(mean), 1)), np.ones((len(mean), 1))
        shares: Floats = np.diff(np.hstack([ends[0], inside, ends[1]]), axis=1)
        return shares

    step = cells(coefficient * grid, sd)
    step[step < 1e-15] = 0.0
    step /= step.sum(axis=1, keepdims=True)
    return Chain(grid, cells(np.zeros(1), 1.0)[0], csr_array(step), place(grid))


def cycle(z: Floats, place: Place) -> Chain:
    """The states follow one another and begin again."""
    n = len(z)
    after = (np.arange(n) + 1) % n
    step = csr_array((np.ones(n), (np.arange(n), after)), shape=(n, n))
    return Chain(z, np.full(n, 1.0 / n), step, place)


def held(bars: int, count: int, place: Callable[[Floats], Place]) -> Chain:
    """A new z every ``bars`` bars: state p x count + g is bar p of the stretch, with value g."""
    grid = quantiles(count)
    n = bars * count
    state = np.arange(n)
    within = state[: n - count]
    last, first = state[n - count :], state[:count]
    rows = np.concatenate([within, np.repeat(last, count)])
    columns = np.concatenate([within + count, np.tile(first, count)])
    values = np.concatenate([np.ones(n - count), np.full(count * count, 1.0 / count)])
    step = csr_array((values, (rows, columns)), shape=(n, n))
    return Chain(np.tile(grid, bars), np.full(n, 1.0 / n), step, place(grid))
