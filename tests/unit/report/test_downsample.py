"""Fewer points, but never a lost extreme."""

from datetime import UTC, datetime

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from truefill.report.downsample import keep_extremes, rounded, stamps


@given(n=st.integers(1, 3_000), limit=st.integers(2, 400), seed=st.integers(0, 9))
def test_first_last_lowest_and_highest_stay(n, limit, seed):
    values = np.random.default_rng(seed).standard_normal(n).cumsum()
    rows = keep_extremes(values, limit)
    assert (np.diff(rows) > 0).all()
    assert rows[0] == 0 and rows[-1] == n - 1
    assert {int(values.argmin()), int(values.argmax())} <= set(rows.tolist())
    assert len(rows) == n if n <= limit else len(rows) <= limit + 2


def test_a_spike_of_one_bar_survives():
    values = np.zeros(100_000)
    values[54_321] = 1.0
    assert 54_321 in keep_extremes(values, 100)


def test_numbers_and_times_are_short():
    assert rounded([1.23456789, 0.0, 4_321.98765]) == [1.23457, 0.0, 4321.99]
    times = pl.Series([datetime(2023, 7, 3, 13, 5, tzinfo=UTC)], dtype=pl.Datetime("us", "UTC"))
    assert stamps(times) == ["2023-07-03 13:05"]
