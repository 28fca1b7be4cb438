"""Folds written out, and the rules they keep on any rows."""

from __future__ import annotations

from math import comb
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from truefill.core.errors import DataError, UsageError
from truefill.data.folds import (
    Fold,
    Rows,
    combinatorial_purged,
    purged_k_fold,
    ranges,
    walk_forward,
)

TEN = np.arange(10)


def told(folds: tuple[Fold, ...]) -> list[tuple[list[int], list[int]]]:
    return [(fold.train.tolist(), fold.test.tolist()) for fold in folds]


def test_an_expanding_walk_forward() -> None:
    found = walk_forward(Rows.of_bars(TEN, horizon=1), folds=3, test_bars=2)
    assert told(found) == [
        ([0, 1, 2], [4, 5]),
        ([0, 1, 2, 3, 4], [6, 7]),
        ([0, 1, 2, 3, 4, 5, 6], [8, 9]),
    ]


def test_a_rolling_walk_forward() -> None:
    found = walk_forward(Rows.of_bars(TEN, horizon=1), folds=3, test_bars=2, train_bars=3)
    assert told(found) == [([1, 2], [4, 5]), ([3, 4], [6, 7]), ([5, 6], [8, 9])]


def test_a_purged_k_fold_with_labels_windows_and_an_embargo() -> None:
    """Before a block the horizon (1) is purged, behind it horizon + window - 1 + embargo (3)."""
    rows = Rows.of_bars(TEN, horizon=1, window=2)
    assert told(purged_k_fold(rows, folds=5, embargo=1)) == [
        ([5, 6, 7, 8, 9], [0, 1]),
        ([0, 7, 8, 9], [2, 3]),
        ([0, 1, 2, 9], [4, 5]),
        ([0, 1, 2, 3, 4], [6, 7]),
        ([0, 1, 2, 3, 4, 5, 6], [8, 9]),
    ]


def test_blocks_differ_by_one_bar_at_most_and_the_first_are_longer() -> None:
    found = purged_k_fold(Rows.of_bars(TEN), folds=4)
    assert [fold.test.tolist() for fold in found] == [[0, 1, 2], [3, 4, 5], [6, 7], [8, 9]]


def test_a_purged_k_fold_by_the_labels_own_ends() -> None:
    """Row 1 waits until 7 for its label, so it trains for no block that starts by then."""
    at = np.array([0, 1, 2, 3, 6, 7, 8, 9])
    ends = np.array([0, 7, 3, 4, 6, 7, 9, 9])
    assert told(purged_k_fold(Rows(at, ends, at), folds=4)) == [
        ([6, 7], [0, 1]),
        ([0, 4, 5, 6, 7], [2, 3]),
        ([0, 2, 3, 6, 7], [4, 5]),
        ([0, 1, 2, 3, 4, 5], [6, 7]),
    ]


def test_combinations_and_their_paths() -> None:
    rows = Rows.of_bars(np.arange(8), horizon=1)
    found = combinatorial_purged(rows, groups=4, test_groups=2)
    assert found.groups.tolist() == [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]
    assert told(found.folds) == [
        ([5, 6, 7], [0, 1, 2, 3]),
        ([7], [0, 1, 4, 5]),
        ([3, 4], [0, 1, 6, 7]),
        ([0, 7], [2, 3, 4, 5]),
        ([0], [2, 3, 6, 7]),
        ([0, 1, 2], [4, 5, 6, 7]),
    ]
    assert found.paths.tolist() == [[0, 0, 1, 2], [1, 3, 3, 4], [2, 4, 5, 5]]


def test_symbols_share_the_time_and_are_purged_by_it() -> None:
    """Two symbols one below the other, the second without bars 0 and 4."""
    at = np.array([0, 1, 2, 3, 4, 5, 1, 2, 3, 5])
    found = purged_k_fold(Rows.of_bars(at, horizon=1), folds=3)
    assert told(found) == [
        ([3, 4, 5, 8, 9], [0, 1, 6]),
        ([0, 5, 9], [2, 3, 7, 8]),
        ([0, 1, 2, 6, 7], [4, 5, 9]),
    ]


@pytest.mark.parametrize(
    ("make", "rule"),
    [
        (lambda r: walk_forward(r, folds=5, test_bars=2), "too_few_folds"),
        (lambda r: walk_forward(r, folds=3, test_bars=2, train_bars=5), "too_few_folds"),
        (lambda r: purged_k_fold(r, folds=11), "too_few_folds"),
        (lambda r: purged_k_fold(r, folds=2, embargo=9), "empty_fold"),
        (lambda r: combinatorial_purged(r, groups=11, test_groups=2), "too_few_folds"),
        (lambda r: combinatorial_purged(r, groups=10, test_groups=9, embargo=3), "empty_fold"),
    ],
)
def test_missing_and_empty_folds_are_errors(make: Any, rule: str) -> None:
    with pytest.raises(DataError) as caught:
        make(Rows.of_bars(TEN))
    assert caught.value.rule == rule


def test_a_horizon_that_eats_a_whole_train_is_an_error() -> None:
    with pytest.raises(DataError, match="fold 1 has no train row left after the purge"):
        walk_forward(Rows.of_bars(TEN, horizon=4), folds=3, test_bars=2)


@pytest.mark.parametrize(
    ("ends", "starts"), [([0, 0, 2], [0, 1, 2]), ([0, 1, 2], [0, 2, 2]), ([0, 1], [0, 1, 2])]
)
def test_rows_that_end_before_they_begin_are_refused(ends: list[int], starts: list[int]) -> None:
    with pytest.raises(UsageError):
        Rows(np.arange(3), np.array(ends), np.array(starts))


def test_stretches_have_no_hole_on_the_axis() -> None:
    axis = np.array([0, 10, 20, 50, 60, 70])
    assert list(ranges(axis, np.array([10, 20, 50, 70, 70]))) == [(10, 50), (70, 70)]
    assert list(ranges(axis, np.array([], np.int64))) == []


@st.composite
def any_rows(draw: st.DrawFn) -> Rows:
    """Rows of up to three symbols in any order, with labels and windows of their own lengths."""
    count = draw(st.integers(12, 40))
    whole = st.lists(st.integers(0, 6), min_size=count, max_size=count)
    at = np.array(draw(st.lists(st.integers(0, 30), min_size=count, max_size=count)))
    return Rows(at, at + np.array(draw(whole)), at - np.array(draw(whole)))


def require_clean(rows: Rows, fold: Fold, embargo: int) -> None:
    """Pair by pair: nothing that a train row knows or is asked reaches a tested row's."""
    axis = np.unique(rows.at)
    assert not set(fold.train) & set(fold.test) and len(fold.train)
    for j in fold.test:
        end = rows.label_end[j]
        if embargo:
            known = np.flatnonzero(axis <= end)[-1]
            end = max(end, axis[min(known + embargo, len(axis) - 1)])
        for i in fold.train:
            assert rows.at[i] != rows.at[j]
            if rows.at[i] < rows.at[j]:
                assert rows.label_end[i] < rows.at[j]
            else:
                assert rows.window_start[i] > end


def require_all_that_is_clean(rows: Rows, fold: Fold, embargo: int) -> None:
    """No row is left out that could have trained."""
    out = set(range(len(rows.at))) - set(fold.train) - set(fold.test)
    for i in out:
        with pytest.raises(AssertionError):
            require_clean(rows, Fold(np.array([i]), fold.test), embargo)


@given(rows=any_rows(), folds=st.integers(2, 5), embargo=st.integers(0, 3))
def test_any_k_fold_tests_every_row_once_and_leaks_nothing(
    rows: Rows, folds: int, embargo: int
) -> None:
    try:
        found = purged_k_fold(rows, folds=folds, embargo=embargo)
    except DataError:
        assume(False)
    tested = np.concatenate([fold.test for fold in found])
    assert sorted(tested.tolist()) == list(range(len(rows.at)))
    for fold in found:
        require_clean(rows, fold, embargo)
        require_all_that_is_clean(rows, fold, embargo)


@given(rows=any_rows(), folds=st.integers(1, 4), test_bars=st.integers(1, 3), rolls=st.booleans())
def test_any_walk_forward_trains_on_the_past(
    rows: Rows, folds: int, test_bars: int, rolls: bool
) -> None:
    try:
        found = walk_forward(
            rows, folds=folds, test_bars=test_bars, train_bars=8 if rolls else None
        )
    except DataError:
        assume(False)
    axis = np.unique(rows.at)
    tested = np.concatenate([fold.test for fold in found])
    assert len(found) == folds and len(set(tested.tolist())) == len(tested)
    assert set(rows.at[tested]) == set(axis[-folds * test_bars :])
    for fold in found:
        require_clean(rows, fold, 0)
        assert rows.at[fold.train].max() < rows.at[fold.test].min()
        if rolls:
            held = axis[(axis >= rows.at[fold.train].min()) & (axis < rows.at[fold.test].min())]
            assert len(held) <= 8


@given(rows=any_rows(), groups=st.integers(3, 6), k=st.integers(1, 3))
def test_any_combination_is_clean_and_its_paths_cover_everything_once(
    rows: Rows, groups: int, k: int
) -> None:
    assume(k < groups)
    try:
        found = combinatorial_purged(rows, groups=groups, test_groups=k)
    except DataError:
        assume(False)
    assert len(found.folds) == comb(groups, k)
    assert found.paths.shape == (comb(groups, k) * k // groups, groups)
    for fold in found.folds:
        require_clean(rows, fold, 0)
    blocks = purged_groups(rows, groups)
    for path in found.paths:
        tested = [
            set(blocks[g].tolist()) & set(found.folds[f].test.tolist()) for g, f in enumerate(path)
        ]
        assert sorted(row for part in tested for row in part) == list(range(len(rows.at)))
    used = {(int(f), g) for path in found.paths for g, f in enumerate(path)}
    assert len(used) == comb(groups, k) * k  # every tested block belongs to one path


def purged_groups(rows: Rows, groups: int) -> list[np.ndarray]:
    """Rows of each block of times."""
    parts = np.array_split(np.unique(rows.at), groups)
    return [np.flatnonzero(np.isin(rows.at, part)) for part in parts]
