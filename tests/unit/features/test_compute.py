"""A whole history in portions and threads: the bits of one call."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from calculator_cases import params_of, world
from data_cases import HOUR, walk
from truefill.config.schema import FeatureConfig
from truefill.core.errors import DataError
from truefill.data.sessions import session_of
from truefill.features import portions
from truefill.features.compute import RawFeatures, compute
from truefill.features.normalize import specify
from truefill.features.registry import CALCULATORS

FEATURES = [
    ("ret", "log_return", {"periods": 3}),
    ("rsi", "rsi", {"period": 4}),
    ("spread", "cross_zscore", {"other": "B", "window": 9}),
    ("slow", "higher", {"timeframe": "4h", "calculator": "sma", "params": {"window": 3}}),
]
SPECS = [
    specify(FeatureConfig(name=name, calculator=kind, params=params, normalizer="none"), HOUR)
    for name, kind, params in FEATURES
]
BARS = pl.concat([walk(700, seed=i, symbol=name) for i, name in enumerate("ABC")])


def raw(threads: int) -> RawFeatures:
    return compute(
        BARS, SPECS, session=session_of(None), interval_s=HOUR, series={}, atr_period=5,
        threads=threads,
    )  # fmt: skip


def test_threads_and_portions_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    one = raw(1)
    for threads, portion in ((4, 1 << 15), (2, 64), (1, 23)):
        monkeypatch.setattr(portions, "PORTION", portion)
        other = raw(threads)
        assert other.values.tobytes() == one.values.tobytes()
        assert other.table.equals(one.table)
        np.testing.assert_array_equal(other.warming, one.warming)


def test_every_calculator_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portions, "PORTION", 53)
    bars = world()
    for entry in CALCULATORS:
        params = entry.params(**params_of(entry.name))
        out = np.empty(len(bars))
        column = portions.Column(entry, params, bars, out)
        for at, part in portions.portions(bars):
            column.write(at, part)
        assert out.tobytes() == entry.make(params, bars).tobytes(), entry.name
        assert column.first == np.argmin(np.isnan(out)), entry.name


def test_rows_warm_until_every_feature_of_the_symbol_had_a_value() -> None:
    found = raw(2)
    per_symbol = found.warming.reshape(3, 700)
    missing = np.isnan(found.values).any(axis=1).reshape(3, 700)
    market = found.table.select("atr", "raw_log_return").to_numpy()
    missing |= np.isnan(market).any(axis=1).reshape(3, 700)
    for warming, lacks in zip(per_symbol, missing, strict=True):
        first = int(np.argmin(lacks))
        assert warming[:first].all() and not warming[first:].any() and 0 < first < 100


def test_the_first_wrong_feature_of_the_first_symbol_is_told() -> None:
    """Whatever thread is first: the error is the same."""
    broken = BARS.with_columns(
        close=pl.when(pl.int_range(pl.len()).is_in([900, 1_500])).then(0.0).otherwise("close")
    )
    for threads in (1, 4):
        with pytest.raises(DataError, match=r"ret is -inf at B "):
            compute(
                broken, SPECS, session=session_of(None), interval_s=HOUR, series={},
                atr_period=None, threads=threads,
            )  # fmt: skip
