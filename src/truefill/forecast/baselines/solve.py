"""Small linear algebra in a fixed order: no BLAS, no LAPACK, whose bits change with their build."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def gram(x: Floats, y: Floats) -> Floats:
    """x^T y of [n, p] and [n, q], summed over rows in order."""
    return np.asarray(np.einsum("np,nq->pq", x, y, optimize=False), np.float64)


def times(x: Floats, w: Floats) -> Floats:
    """x w of [n, p] and [p, q]."""
    return np.asarray(np.einsum("np,pq->nq", x, w, optimize=False), np.float64)


def solve(a: Floats, b: Floats) -> Floats:
    """x of a x = b; a [p, p] symmetric and positive definite, b [p, q], by Cholesky.

    >>> solve(np.array([[4.0, 2.0], [2.0, 3.0]]), np.array([[8.0], [7.0]])).tolist()
    [[1.25], [1.5]]
    """
    p = len(a)
    low = np.zeros_like(a)
    for j in range(p):
        rest = a[j:, j] - (low[j:, :j] * low[j, :j]).sum(axis=1)
        low[j:, j] = rest / np.sqrt(rest[0])
    x = b.astype(np.float64).copy()
    for j in range(p):
        x[j] = (x[j] - (low[j, :j, None] * x[:j]).sum(axis=0)) / low[j, j]
    for j in range(p - 1, -1, -1):
        x[j] = (x[j] - (low[j + 1 :, j, None] * x[j + 1 :]).sum(axis=0)) / low[j, j]
    return x
