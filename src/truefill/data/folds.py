"""Folds of rows in time: walk-forward, purged k-fold, combinatorial purged cross-validation.

A row is one bar of one symbol, at a time ``at``. What it knows reaches back to ``window_start``
(its longest feature window) and what it is asked reaches ahead to ``label_end``. Several symbols
share the time axis: blocks are blocks of distinct times, and rows are purged by time, never by
their position.

A row may train only if, against every row tested in the same fold,

- older than it: its label ends before the tested row's time (horizon h: h bars are purged before
  each block);
- younger than it: its window starts after the tested row's label has ended, and after the embargo
  that follows (window w, h and embargo e: h + w - 1 + e bars are purged behind each block).

Source: López de Prado, Advances in Financial Machine Learning (2018), chapters 7 (purge, embargo)
and 12 (combinatorial paths). There a label that ends at the first tested time is kept; here it
goes, because that bar's close is both the label's end and the tested row's last price.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from truefill.core.errors import DataError, UsageError

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Rows:
    """Times of n rows, i64[n] in any unit that orders them (unix seconds, bar numbers):
    ``window_start`` <= ``at`` <= ``label_end``. Rows need not be sorted."""

    at: Ints
    label_end: Ints
    window_start: Ints

    def __post_init__(self) -> None:
        if not len(self.at) == len(self.label_end) == len(self.window_start):
            raise UsageError("at, label_end and window_start are not equally long")
        if len(self.at) == 0:
            raise DataError("empty_fold", "there are no rows to make folds of")
        if (self.label_end < self.at).any() or (self.window_start > self.at).any():
            raise UsageError(
                "a row's label ends before its time, or its window starts after it",
                where="Rows",
            )

    @staticmethod
    def of_bars(at: Ints, *, horizon: int = 0, window: int = 1) -> Rows:
        """Rows whose labels look ``horizon`` bars ahead and whose features look at ``window`` bars,
        their own included; bars are counted on the distinct times of all rows."""
        if horizon < 0 or window < 1:
            raise UsageError("horizon must be at least 0 and window at least 1")
        axis, place = np.unique(at, return_inverse=True)
        last = len(axis) - 1
        ends = axis[np.minimum(place + horizon, last)]
        starts = axis[np.maximum(place - (window - 1), 0)]
        return Rows(at, ends, starts)

    def widest(self) -> Rows:
        """The same rows, each with the widest interval among the rows of its time: folds of these
        hold whole times, so that they can be told as stretches of time."""
        axis, place = np.unique(self.at, return_inverse=True)
        ends, starts = axis.copy(), axis.copy()
        np.maximum.at(ends, place, self.label_end)
        np.minimum.at(starts, place, self.window_start)
        return Rows(self.at, ends[place], starts[place])


@dataclass(frozen=True)
class Fold:
    """Positions of rows, i64, ascending; no row is in both."""

    train: Ints
    test: Ints


@dataclass(frozen=True)
class Combinations:
    """``folds``: one a choice of tested groups, in lexicographic order; ``groups`` i64[folds, k]:
    the choice; ``paths`` i64[phi, N]: on path p, group g is tested by fold ``paths[p, g]``.

    Each of the phi = k / N x C(N, k) paths tests every row exactly once, and every test block of
    every fold belongs to exactly one path.
    """

    folds: tuple[Fold, ...]
    groups: Ints
    paths: Ints


def walk_forward(
    rows: Rows,
    *,
    folds: int,
    test_bars: int,
    train_bars: int | None = None,
    least_train_bars: int = 1,
) -> tuple[Fold, ...]:
    """Folds that are trained on the past only, oldest first.

    The tests are consecutive blocks of ``test_bars`` distinct times, the last one at the end. At
    the first time of a test block its train rows are those of the past whose label is known by
    then: all of them (expanding), or those of the ``train_bars`` times right before the block
    (rolling), less the purged ones. Nothing of a test block or after it is known to its train rows.

    Raises:
        DataError: ``too_few_folds`` where the folds do not fit; ``empty_fold`` where one would have
            no train row.
    """
    _require(folds >= 1 and test_bars >= 1, "folds and test_bars must be at least 1")
    least = least_train_bars if train_bars is None else train_bars
    _require(least >= 1, "train needs at least 1 bar")
    axis, place = np.unique(rows.at, return_inverse=True)
    first = len(axis) - folds * test_bars
    if first < least:
        raise DataError(
            "too_few_folds",
            f"{folds} tests of {test_bars} bars and {least} bars of train need "
            f"{folds * test_bars + least:,} bars, there are {len(axis):,}",
            do="ask for fewer or shorter folds",
        )
    out = []
    for k in range(folds):
        begin = first + k * test_bars
        tested = (place >= begin) & (place < begin + test_bars)
        oldest = 0 if train_bars is None else begin - train_bars
        candidates = (place >= oldest) & (place < begin)
        out.append(_fold(rows, tested, candidates, 0, k))
    return tuple(out)


def purged_k_fold(rows: Rows, *, folds: int, embargo: int = 0) -> tuple[Fold, ...]:
    """Every row is tested once, in ``folds`` consecutive blocks of times (the first ones are a time
    longer where they cannot be equal); all other rows train, less the purged ones and those of the
    ``embargo`` bars behind the block. Train rows lie in the future of the test too: a score, not a
    backtest.

    Raises:
        DataError: ``too_few_folds``, ``empty_fold``.
    """
    _require(folds >= 2, "a k-fold needs at least 2 folds")
    group = _groups(rows, folds)
    everywhere = np.ones(len(rows.at), np.bool_)
    return tuple(_fold(rows, group == k, everywhere, embargo, k) for k in range(folds))


def combinatorial_purged(
    rows: Rows, *, groups: int, test_groups: int, embargo: int = 0
) -> Combinations:
    """Every choice of ``test_groups`` of ``groups`` consecutive blocks as a test, all other rows as
    train, less the purged ones around every tested block; and the backtest paths that these make.

    Raises:
        DataError: ``too_few_folds``, ``empty_fold``.
    """
    _require(1 <= test_groups < groups, "test_groups must lie between 1 and groups - 1")
    group = _groups(rows, groups)
    everywhere = np.ones(len(rows.at), np.bool_)
    chosen = np.array(list(combinations(range(groups), test_groups)), np.int64)
    folds = tuple(
        _fold(rows, np.isin(group, choice), everywhere, embargo, k)
        for k, choice in enumerate(chosen)
    )
    by_group = [np.flatnonzero((chosen == g).any(axis=1)) for g in range(groups)]
    return Combinations(folds, chosen, np.stack(by_group, axis=1))


def ranges(axis: Ints, times: Ints) -> Iterator[tuple[int, int]]:
    """``times`` (a part of the ascending distinct ``axis``) as inclusive (first, last) stretches
    without a hole on the axis."""
    at = np.searchsorted(axis, np.unique(times))
    for stretch in np.split(at, np.flatnonzero(np.diff(at) != 1) + 1):
        if len(stretch):
            yield int(axis[stretch[0]]), int(axis[stretch[-1]])


def _groups(rows: Rows, count: int) -> Ints:
    """i64[n]: which of ``count`` consecutive blocks of distinct times each row lies in."""
    axis, place = np.unique(rows.at, return_inverse=True)
    if len(axis) < count:
        raise DataError(
            "too_few_folds", f"{len(axis):,} bars make no {count} blocks", do="ask for fewer folds"
        )
    sizes = [len(part) for part in np.array_split(axis, count)]
    return np.repeat(np.arange(count), sizes)[place]


def _fold(rows: Rows, tested: Bools, candidates: Bools, embargo: int, k: int) -> Fold:
    train = candidates & ~tested & _clear_of(rows, tested, embargo)
    if not train.any():
        raise DataError(
            "empty_fold",
            f"fold {k + 1} has no train row left after the purge",
            do="ask for fewer folds, or shorten the label horizon, the feature windows or the "
            "embargo",
        )
    return Fold(np.flatnonzero(train), np.flatnonzero(tested))


def _clear_of(rows: Rows, tested: Bools, embargo: int) -> Bools:
    """Rows that share nothing with any tested row: see the module's two rules."""
    _require(embargo >= 0, "embargo must be at least 0")
    order = np.argsort(rows.at[tested], kind="stable")
    times = rows.at[tested][order]
    latest_end = np.maximum.accumulate(rows.label_end[tested][order])
    after = np.searchsorted(times, rows.at, side="right")
    next_test = np.append(times, np.iinfo(np.int64).max)[after]
    before = np.searchsorted(times, rows.at, side="left")
    ended = np.append(np.iinfo(np.int64).min, _embargoed(rows, latest_end, embargo))[before]
    return (rows.label_end < next_test) & (rows.window_start > ended)


def _embargoed(rows: Rows, ends: Ints, embargo: int) -> Ints:
    """The last time that is closed to training: each end, moved on by ``embargo`` bars."""
    if embargo == 0:
        return ends
    axis = np.unique(rows.at)
    last_at = np.searchsorted(axis, ends, side="right") - 1
    return np.maximum(ends, axis[np.minimum(last_at + embargo, len(axis) - 1)])


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise UsageError(what)
