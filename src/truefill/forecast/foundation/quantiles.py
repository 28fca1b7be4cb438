"""Distributions that are known by a few quantiles.

Between two known quantiles the cumulative distribution is linear. Beyond the outer ones its tails
are exponential and carry on the density of the neighbouring piece: the mass ``m`` below the lowest
quantile lies a mean distance ``m (q_2 - q_1) / (l_2 - l_1)`` below it. (Of a normal distribution
with the levels 0.1 .. 0.9 that is 0.44 sigma, in truth 0.47, and its sigma comes out as 0.995.)
Crossed quantiles are sorted first (Chernozhukov, Fernandez-Val & Galichon 2010).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from truefill.forecast.labels.base import Floats


@dataclass(frozen=True)
class QuantileFunction:
    """n distributions: ``values`` f64[n, Q], ascending in each row, at ``levels`` f64[Q], two or
    more, ascending between 0 and 1."""

    levels: Floats
    values: Floats

    @staticmethod
    def of(levels: Floats, values: Floats) -> QuantileFunction:
        """Of quantiles in any order within a row."""
        return QuantileFunction(np.asarray(levels, np.float64), np.sort(values, axis=1))

    @property
    def tails(self) -> tuple[Floats, Floats]:
        """Mean distances of the tails from the outer quantiles, f64[n] each; 0: all mass there."""
        level, q = self.levels, self.values
        low = level[0] * (q[:, 1] - q[:, 0]) / (level[1] - level[0])
        high = (1.0 - level[-1]) * (q[:, -1] - q[:, -2]) / (level[-1] - level[-2])
        return low, high

    def at(self, u: Floats) -> Floats:
        """f64[n, m]: the quantiles of f64[m] levels strictly between 0 and 1."""
        level, q = self.levels, self.values
        i = np.clip(np.searchsorted(level, u, side="right") - 1, 0, len(level) - 2)
        share = (np.clip(u, level[0], level[-1]) - level[i]) / (level[i + 1] - level[i])
        inside = q[:, i] + (q[:, i + 1] - q[:, i]) * share
        inside = np.where(share == 1.0, q[:, i + 1], inside)
        low, high = self.tails
        under = np.log(np.minimum(u / level[0], 1.0))
        over = -np.log(np.minimum((1.0 - u) / (1.0 - level[-1]), 1.0))
        return inside + low[:, None] * under + high[:, None] * over

    def cdf(self, x: Floats) -> Floats:
        """f64[n]: P(X < x) + P(X = x) / 2 of each row's own x f64[n]."""
        level, q = self.levels, self.values
        low, high = self.tails
        total = level[0] * _below(q[:, 0] - x, low)
        for i, mass in enumerate(np.diff(level)):
            total += mass * _share(x, q[:, i], q[:, i + 1])
        return total + (1.0 - level[-1]) * (1.0 - _below(x - q[:, -1], high))

    def moments(self) -> tuple[Floats, Floats, Floats]:
        """Mean, and the second and third moment about it, f64[n] each."""
        level, q = self.levels, self.values
        low, high = self.tails
        mass = np.diff(level)
        mean = level[0] * (q[:, 0] - low) + (1.0 - level[-1]) * (q[:, -1] + high)
        for i, share in enumerate(mass):
            mean += share * (q[:, i] + q[:, i + 1]) / 2.0
        c = q - mean[:, None]
        second, third = np.zeros(len(q)), np.zeros(len(q))
        for weight, edge, far in ((level[0], c[:, 0], -low), (1.0 - level[-1], c[:, -1], high)):
            second += weight * (edge**2 + 2.0 * edge * far + 2.0 * far**2)
            third += weight * (edge**3 + 3.0 * edge**2 * far + 6.0 * edge * far**2 + 6.0 * far**3)
        for i, share in enumerate(mass):
            a, b = c[:, i], c[:, i + 1]
            second += share * (a * a + a * b + b * b) / 3.0
            third += share * (a**3 + a * a * b + a * b * b + b**3) / 4.0
        return mean, second, third


def _below(distance: Floats, scale: Floats) -> Floats:
    """P(an exponential variable > distance), half of the mass at 0 where its scale is 0."""
    point = np.where(distance == 0.0, 0.5, distance < 0.0)
    spread = np.where(scale > 0.0, scale, 1.0)
    return np.where(scale > 0.0, np.exp(-np.maximum(distance, 0.0) / spread), point)


def _share(x: Floats, a: Floats, b: Floats) -> Floats:
    """P(X < x) + P(X = x) / 2 of the uniform distribution on a .. b, a point where they meet."""
    width = np.where(b > a, b - a, 1.0)
    point = np.where(x == a, 0.5, x > a)
    return np.where(b > a, np.clip((x - a) / width, 0.0, 1.0), point)
