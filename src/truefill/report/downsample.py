"""Fewer points, the same picture: long series keep the extremes of every bucket."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

POINTS = 1_200


def keep_extremes(values: npt.NDArray[np.float64], limit: int = POINTS) -> npt.NDArray[np.int64]:
    """Ascending rows to keep of ``values`` [n]: first, last, lowest and highest of each bucket.

    At most ``limit`` + 2 rows; all of them where there are no more than ``limit``, none of none.
    """
    n = len(values)
    if n <= limit:
        return np.arange(n)
    edges = np.linspace(0, n, max(limit // 2, 1) + 1).astype(np.int64)
    rows = {0, n - 1}
    for start, end in pairwise(edges):
        rows.add(int(start + np.argmin(values[start:end])))
        rows.add(int(start + np.argmax(values[start:end])))
    return np.array(sorted(rows))


def rounded(values: Any, digits: int = 6) -> list[float]:
    """Plain floats with ``digits`` significant digits: what a screen can show, in fewer bytes."""
    return [float(f"{value:.{digits}g}") for value in values]


def stamps(times: pl.Series) -> list[str]:
    """``2023-07-03 13:05``, the form plotly reads as a date."""
    return times.dt.strftime("%Y-%m-%d %H:%M").to_list()
