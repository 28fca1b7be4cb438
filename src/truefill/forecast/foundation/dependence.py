"""Paths from the quantiles of every step ahead.

A model that tells quantiles of the price 1, 2, .. steps ahead says nothing of how these prices hang
together. Here they hang together as in a random walk: the normal scores of steps i < j have the
correlation sqrt(i / j) (a Gaussian copula). Of every single step the paths have the model's
distribution; what a label makes of several steps, such as their mean, is an approximation, exact
for a model whose increments are independent.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from truefill.forecast.foundation.quantiles import QuantileFunction
from truefill.forecast.labels.base import Floats


def random_walk_levels(count: int, steps: int, seed: int) -> Floats:
    """f64[count, steps]: level of each path at each step. In every step the levels are those of
    ``count`` equal shares, (rank + 1/2) / count of random walks of standard normal steps: one set
    for all rows, so a row's paths depend on no other row.

    >>> np.sort(random_walk_levels(4, 2, seed=0)[:, 1]).tolist()
    [0.125, 0.375, 0.625, 0.875]
    """
    raw = np.random.Philox(key=np.array([seed, 0], np.uint64)).random_raw(count * steps)
    uniform = ((raw >> np.uint64(11)).astype(np.float64) + 0.5) / 2.0**53
    walks = np.cumsum(ndtri(uniform).reshape(count, steps), axis=1)
    ranks = walks.argsort(axis=0, kind="stable").argsort(axis=0, kind="stable")
    return (ranks + 0.5) / count


def paths_of(levels: Floats, values: Floats, at: Floats) -> Floats:
    """f64[n, S, A]: paths with the quantiles ``values`` f64[n, Q, A] (at ``levels`` f64[Q]) at each
    step, along the levels ``at`` f64[S, A]."""
    n, _, steps = values.shape
    out = np.empty((n, len(at), steps))
    for step in range(steps):
        out[:, :, step] = QuantileFunction.of(levels, values[:, :, step]).at(at[:, step])
    return out
