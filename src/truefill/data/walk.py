"""The folds of a walk through the data as periods: what one run of ``kind: walk_forward`` takes.

Known when: a run of fold k may choose anything by its train and validation; its test begins only
after both, and no fold's test is in its own train. A later fold's train and validation do hold the
tests of earlier folds, as they would in life.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from truefill.config.splits import WalkForwardSplits
from truefill.core.errors import DataError

Axis = npt.NDArray[np.int64]
Periods = Mapping[str, tuple[int, int]]
"""Split -> [start, end) in microseconds since 1970."""


def fold_periods(splits: WalkForwardSplits, axis: Axis, step_us: int, purge: int) -> Periods:
    """The chosen fold. ``axis`` i64: distinct bar starts; ``step_us``: length of a bar.

    Raises:
        DataError: ``too_few_folds``, although the chosen one may fit; ``empty_fold``.
    """
    return all_folds(splits, axis, step_us, purge)[splits.fold - 1]


def all_folds(splits: WalkForwardSplits, axis: Axis, step_us: int, purge: int) -> list[Periods]:
    """Every fold, oldest first; each test ends where the next one begins, the last with the data.

    ``purge``: bars that will be taken from the end of train and of validation; none may be left
    empty by it.
    """
    end = int(axis[-1]) + step_us
    folds: list[Periods] = []
    for k in range(splits.folds, 0, -1):
        test = _back(axis, end, splits.test)
        validation = _back(axis, test, splits.validation)
        train = _train_start(splits, axis, validation)
        if train < axis[0] or validation <= axis[0]:
            raise DataError(
                "too_few_folds",
                f"fold {k} of {splits.folds} would begin before the first bar",
                where="data.splits",
                do="ask for fewer folds, or for shorter ones",
            )
        periods = {"train": (train, validation), "validation": (validation, test),
                   "test": (test, end)}  # fmt: skip
        for name, (first, last) in periods.items():
            held = np.searchsorted(axis, last) - np.searchsorted(axis, first)
            if held <= (0 if name == "test" else purge):
                raise DataError(
                    "empty_fold",
                    f"{name} of fold {k} has {held:,} bars"
                    + (f", {purge:,} of which are purged" if held else ""),
                    where="data.splits",
                    do="ask for longer periods",
                )
        folds.append(periods)
        end = test
    return folds[::-1]


def _train_start(splits: WalkForwardSplits, axis: Axis, train_end: int) -> int:
    least = int(axis[0]) if splits.train is None else _back(axis, train_end, splits.train)
    if splits.mode == "rolling" or least < axis[0]:
        return least
    return int(axis[0])


def _back(axis: Axis, edge: int, size: float) -> int:
    """The moment ``size`` (seconds; below 1: a share of all bars, at least one) before ``edge``;
    before ``axis[0]`` where there is no room."""
    if size >= 1.0:
        return edge - round(size * 1e6)
    place = int(np.searchsorted(axis, edge)) - max(1, round(size * len(axis)))
    return int(axis[place]) if place >= 0 else int(axis[0]) - 1
