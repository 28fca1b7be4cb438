"""Invariant 4: the past does not know the future. Change anything after bar t: no feature moves.

It runs over whatever calculator is registered: bars, extra columns and slow series are replaced
after a random bar, and every value at or before it must keep its bits. A calculator computed on the
shortened history must give the same bits too (batch = streaming).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calculator_cases import T, params_of, world
from data_cases import START_S, config_of, parquet_bars, walk
from truefill.features.build import build_dataset
from truefill.features.registry import CALCULATORS

NAMES = [entry.name for entry in CALCULATORS]


@pytest.mark.parametrize("name", NAMES)
@given(t=st.integers(0, T - 2), seed=st.integers(1, 10**6))
@settings(max_examples=12)
def test_nothing_after_a_bar_moves_a_feature_at_or_before_it(name: str, t: int, seed: int) -> None:
    entry = CALCULATORS.get(name)
    params = entry.params(**params_of(name))
    before = entry.make(params, world())
    after = entry.make(params, world(changed_after=t, seed=seed))
    assert before[: t + 1].tobytes() == after[: t + 1].tobytes()


@pytest.mark.parametrize("name", NAMES)
@given(t=st.integers(1, T - 1))
@settings(max_examples=12)
def test_a_shorter_history_gives_the_same_bits(name: str, t: int) -> None:
    entry = CALCULATORS.get(name)
    params = entry.params(**params_of(name))
    assert entry.make(params, world(bars=t)).tobytes() == entry.make(params, world())[:t].tobytes()


@pytest.mark.parametrize("name", NAMES)
def test_the_property_has_teeth_the_future_does_move_later_values(name: str) -> None:
    """Features of price, columns and series must change after the cut, or the tests say nothing."""
    entry = CALCULATORS.get(name)
    params = entry.params(**params_of(name))
    before, after = entry.make(params, world()), entry.make(params, world(changed_after=T // 2))
    clock_only = entry.facts["normalized"] and not entry.facts["crosses_session"]
    assert clock_only == np.array_equal(before, after, equal_nan=True)


@given(bar=st.integers(60, 470), seed=st.integers(1, 10**6))
@settings(max_examples=10)
def test_whole_dataset_rows_and_fits_do_not_know_later_bars(
    tmp_path_factory: pytest.TempPathFactory, bar: int, seed: int
) -> None:
    """Rows up to the changed bar keep their raw bits; once the change lies after train, so does all
    that is fitted, and every normalized row before the change."""
    folder: Path = tmp_path_factory.mktemp("future")
    one, other = walk(480), walk(480, seed=seed)
    late = pl.int_range(pl.len()) > bar
    names = ("open", "high", "low", "close", "volume")
    mixed = one.with_columns(pl.when(late).then(other[k]).otherwise(k).alias(k) for k in names)
    a = build_dataset(config_of({"bars": [parquet_bars(folder, one, "a.parquet")]}))
    b = build_dataset(config_of({"bars": [parquet_bars(folder, mixed, "b.parquet")]}))
    past = pl.col("timestamp").dt.epoch("s") <= START_S + bar * 3_600
    raw = ["timestamp", "close", "raw_log_return", "rsi", "hour"]
    normalized = ["ret", "ret_6"]
    fitted_before = bar >= 239
    for split in a.tables:
        columns = raw + normalized if fitted_before else raw
        first, second = (d.tables[split].filter(past).select(columns) for d in (a, b))
        assert first.equals(second), split
    if fitted_before:
        assert a.norm_stats == b.norm_stats
