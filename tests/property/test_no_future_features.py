"""Invariant 4: the past does not know the future. Change anything after bar t: no feature moves.

It runs over whatever calculator is registered: bars, extra columns and slow series are replaced
after a random bar, and every value at or before it must keep its bits. A calculator computed on the
shortened history, or in portions (batch = streaming), must give the same bits too.
"""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calculator_cases import CLOCK, T, params_of, world
from data_cases import JUMPS, START_S, config_of, parquet_bars, walk
from truefill.features.build import build_dataset
from truefill.features.portions import running
from truefill.features.registry import CALCULATORS, Context
from truefill.features.state import pack, unpack


@functools.cache
def whole(name: str) -> np.ndarray:
    """A calculator's values over the whole world."""
    entry = CALCULATORS.get(name)
    return entry.make(entry.params(**params_of(name)), WORLD)


WORLD = world()
NAMES = [entry.name for entry in CALCULATORS]


def moved(bars: Context, known: int) -> list[str]:
    """Calculators whose values of the first ``known`` bars are not those of the world."""
    found = []
    for entry in CALCULATORS:
        values = entry.make(entry.params(**params_of(entry.name)), bars)
        if values[:known].tobytes() != whole(entry.name)[:known].tobytes():
            found.append(entry.name)
    return found


@given(t=st.integers(0, T - 2), seed=st.integers(1, 10**6))
@settings(max_examples=12)
def test_nothing_after_a_bar_moves_a_feature_at_or_before_it(t: int, seed: int) -> None:
    assert moved(world(changed_after=t, seed=seed), t + 1) == []


@given(t=st.integers(1, T - 1))
@settings(max_examples=12)
def test_a_shorter_history_gives_the_same_bits(t: int) -> None:
    assert moved(world(bars=t), t) == []


def test_the_property_has_teeth_the_future_does_move_later_values() -> None:
    """Features of price, columns and series must change after the cut, or the tests say nothing."""
    assert set(moved(world(changed_after=T // 2), T)) == set(NAMES) - CLOCK


@given(seed=st.integers(0, 10**6))
@settings(max_examples=6)
def test_any_portions_and_a_restored_state_give_the_same_bits(seed: int) -> None:
    """Batch = streaming: every calculator, pushed in random portions, saved and restored between
    some of them."""
    rng = np.random.default_rng(seed)
    cuts = np.unique(np.append(rng.integers(1, T, rng.integers(1, 14)), T))
    saved = rng.random(len(cuts)) < 0.4
    for entry in CALCULATORS:
        params = entry.params(**params_of(entry.name))
        carried = running(entry, params)
        parts, start = [], 0
        for stop, save in zip(cuts.tolist(), saved, strict=True):
            parts.append(carried.push(_only_new(WORLD, start, stop)))
            start = stop
            if save:
                packed, arrays = pack(carried.state())
                carried = running(entry, params)
                carried.restore(unpack(json.loads(json.dumps(packed)), arrays))
        assert np.concatenate(parts).tobytes() == whole(entry.name).tobytes(), entry.name


def _only_new(bars: Context, start: int, stop: int) -> Context:
    """Bars ``start`` to ``stop``, and of other symbols no more than what closed meanwhile."""
    new = bars.rows(start, stop)
    since = bars.closes_s[start - 1] if start else 0
    others = {}
    for name, other in bars.others.items():
        first, last = np.searchsorted(other.closes_s, [since, new.closes_s[-1]], side="right")
        others[name] = other.rows(int(first), int(last))
    return replace(new, others=others)


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
    files = parquet_bars(folder, one, "a.parquet"), parquet_bars(folder, mixed, "b.parquet")
    a, b = (build_dataset(config_of({"bars": [bars], "defects": JUMPS})) for bars in files)
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
