"""Mean scores of many forecasters on the same resamples of time.

The stationary block bootstrap draws times; all symbols of a time come together. One set of draws
serves every forecaster, baseline and fold, since a resampled mean needs no more than how often each
time was drawn: in each part (a fold) the sum of its times' scores over the count of their rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from truefill.core.bootstrap import CHUNK, automatic_block_length, stationary_indices
from truefill.core.errors import DataError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Key = tuple[str, str, str]
"""A column of scores: what is measured, of a forecaster or a baseline, its name."""
LEAST_TIMES = 8


@dataclass(frozen=True)
class ByTime:
    """Rows' scores added up by their T times, oldest first. ``count`` f64[T]: rows of each;
    ``sums`` f64[T, k]: of the k ``keys``; ``part`` i64[T]: the fold of each time."""

    keys: tuple[Key, ...]
    count: Floats
    sums: Floats
    part: Ints

    @staticmethod
    def of(
        scores: Mapping[Key, Floats], at_s: Ints, horizon: int, part: Ints | None = None
    ) -> ByTime:
        """Of scores f64[n] by name; ``part`` i64[n], None: one.

        Raises:
            DataError: fewer than 8 times or twice the horizon, rows that do not pair, a score that
                is not finite, or a time in two parts.
        """
        for (_, _, name), own in scores.items():
            if len(own) != len(at_s):
                raise DataError("paired", f"{len(own)} rows of {name} against {len(at_s)}")
            if not np.isfinite(own).all():
                raise DataError("null", f"scores of {name or 'the forecaster'} must be finite")
        axis, first, place = np.unique(at_s, return_index=True, return_inverse=True)
        if not enough_times(len(axis), horizon):
            raise DataError(
                "too_few_rows",
                f"{len(axis)} times are too few to tell skill from luck {horizon} bars ahead",
            )
        parts = np.zeros(len(at_s), np.int64) if part is None else part
        if (parts[first][place] != parts).any():
            raise DataError("paired", "rows of one time lie in two folds")
        columns = [np.bincount(place, own, len(axis)) for own in scores.values()]
        sums = np.asarray(np.stack(columns, axis=1), np.float64)
        count = np.asarray(np.bincount(place), np.float64)
        return ByTime(tuple(scores), count, sums, parts[first])

    def mean(self, key: Key, part: int | None = None) -> float:
        """Mean score over the rows (of a part)."""
        here = slice(None) if part is None else self.part == part
        own = self.sums[here, self.keys.index(key)]
        return math.fsum(own) / math.fsum(self.count[here])

    def difference(self, key: Key, other: Key) -> Floats:
        """f64[T]: mean difference of two forecasters' scores at each time."""
        one, two = (self.sums[:, self.keys.index(own)] for own in (key, other))
        return np.asarray((one - two) / self.count, np.float64)

    def best(self, keys: Sequence[Key], part: int | None = None) -> Key:
        """The one with the highest mean (the first of equals)."""
        return max(keys, key=lambda key: self.mean(key, part))

    def of_part(self, part: int) -> tuple[int, int]:
        """Rows and times of a part."""
        here = self.part == part
        return round(float(self.count[here].sum())), int(here.sum())


@dataclass(frozen=True)
class Resamples:
    """Resampled means. ``whole`` f64[B, k] over all rows; ``parts``: f64[B, k] by part, NaN where
    a resample drew none of its times; k as ``keys``."""

    keys: tuple[Key, ...]
    whole: Floats
    parts: Mapping[int, Floats]
    block_length: float
    confidence: float

    @staticmethod
    def draw(
        table: ByTime, *, draws: int, block_length: float, confidence: float, seed: int
    ) -> Resamples:
        """``draws`` resamples of the table's times."""
        n = len(table.count)
        generator = np.random.Generator(np.random.PCG64(seed))
        columns = np.column_stack([table.count, table.sums])
        numbers = [int(part) for part in np.unique(table.part)]
        places = [np.flatnonzero(table.part == part) for part in numbers]
        found: list[list[Floats]] = [[] for _ in numbers]
        step = max(1, CHUNK // n)
        for start in range(0, draws, step):
            some = min(step, draws - start)
            drawn = stationary_indices(n, some, block_length, generator)
            drawn += np.arange(some)[:, None] * n
            often = np.bincount(drawn.ravel(), minlength=some * n).reshape(some, n)
            for own, place in zip(found, places, strict=True):
                weight = often[:, place].astype(np.float64)
                own.append(np.einsum("bn,nk->bk", weight, columns[place], optimize=False))
        totals = [np.concatenate(own) for own in found]
        with np.errstate(invalid="ignore"):
            parts = {p: own[:, 1:] / own[:, :1] for p, own in zip(numbers, totals, strict=True)}
        total = np.sum(totals, axis=0)
        whole = total[:, 1:] / total[:, :1]
        return Resamples(table.keys, whole, parts, block_length, confidence)

    def interval(self, key: Key, part: int | None = None) -> tuple[float, float]:
        """Percentile interval of a mean score."""
        return self._ends(self._means(part)[:, self.keys.index(key)])

    def over_the_best(
        self, key: Key, others: Sequence[Key], part: int | None = None
    ) -> tuple[float, float]:
        """Percentile interval of a mean score less the best of the others', which every resample
        chooses anew."""
        means = self._means(part)
        best = means[:, [self.keys.index(other) for other in others]].max(axis=1)
        return self._ends(means[:, self.keys.index(key)] - best)

    def _means(self, part: int | None) -> Floats:
        return self.whole if part is None else self.parts[part]

    def _ends(self, values: Floats) -> tuple[float, float]:
        tail = (1.0 - self.confidence) / 2.0
        low, high = np.quantile(values[np.isfinite(values)], [tail, 1.0 - tail])
        return float(low), float(high)


def enough_times(times: int, horizon: int) -> bool:
    """Whether so many times can tell skill from luck at all."""
    return times >= max(LEAST_TIMES, 2 * horizon)


def block_length(series: Sequence[Floats], horizon: int) -> float:
    """The longest automatic block length of several series [T], and no less than the horizon."""
    return max(float(horizon), *(automatic_block_length(own) for own in series))
