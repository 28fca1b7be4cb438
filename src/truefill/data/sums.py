"""Sums of long columns in a fixed order: same values, same bits, whatever machine or thread.

Blocks of a fixed size are summed pairwise by numpy, their sums exactly (``math.fsum``): as accurate
as the exact sum for any practical length, and without a Python number for every value.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import fsum, sqrt

import numpy as np
import numpy.typing as npt

_BLOCK = 1 << 16


def blocks(values: npt.NDArray[np.floating]) -> Iterator[npt.NDArray[np.float64]]:
    """``values`` [n] in blocks, as float64."""
    for at in range(0, len(values), _BLOCK):
        yield np.ascontiguousarray(values[at : at + _BLOCK], np.float64)


def mean_and_std(values: npt.NDArray[np.floating]) -> tuple[float, float]:
    """Mean and standard deviation (ddof 0) of finite ``values`` [n], n > 0."""
    mean = fsum(float(block.sum()) for block in blocks(values)) / len(values)
    squares = fsum(float(((block - mean) ** 2).sum()) for block in blocks(values))
    return mean, sqrt(squares / len(values))
