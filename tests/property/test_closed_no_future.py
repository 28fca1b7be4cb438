"""Closed bars know nothing of the future, and what is fitted knows nothing after train."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from data_cases import walk
from truefill.config.seasonality import SeasonalityConfig
from truefill.data.no_trade import closed_times
from truefill.data.seasonality import hour_of_week, seasonality
from unit.data.test_no_trade import RULES

T, TRAIN_END = 500, 360
SPLITS = {
    "train": np.tile(np.arange(T) < TRAIN_END, 2),
    "validation": np.tile((np.arange(T) >= TRAIN_END) & (np.arange(T) < 430), 2),
}
CAUSAL: list[dict[str, Any]] = [
    {"start": "07:00", "end": "08:00"},
    {"kind": "volatility", "window_bars": 12, "absolute": 0.011, "cooldown_bars": 5},
    {"kind": "volatility", "spread_bps": 4, "ask": "ask", "cooldown_bars": 1},
]
FITTED = [*CAUSAL, {"kind": "volatility", "window_bars": 12, "percentile": 0.8}]


def world(seed: int) -> pl.DataFrame:
    bars = pl.concat([walk(T, 2 * seed + s, symbol=name) for s, name in enumerate("AB")])
    wide = np.random.default_rng(seed).exponential(2e-4, len(bars))
    return bars.with_columns(ask=pl.col("close") * (1.0 + pl.Series(wide)))


def changed_from(bars: pl.DataFrame, first: int, seed: int) -> pl.DataFrame:
    """Both symbols' prices, volumes and asks are others from bar ``first`` on."""
    other = world(seed + 50)
    late = pl.int_range(pl.len()).over("symbol") >= first
    names = ["open", "high", "low", "close", "volume", "ask"]
    values = [pl.when(late).then(3.0 * other[n] + 1.0).otherwise(pl.col(n)).alias(n) for n in names]
    return bars.with_columns(values)


def closed(bars: pl.DataFrame, rules: list[dict[str, Any]]) -> np.ndarray:
    return closed_times(RULES.validate_python(rules), (), bars, SPLITS).closed.reshape(2, T)


def test_the_rules_close_some_bars_each() -> None:
    for rule in FITTED:
        share = closed(world(0), [rule]).mean()
        assert 0.02 < share < 0.9, rule


@settings(max_examples=40)
@given(seed=st.integers(0, 9), cut=st.integers(1, T - 1))
def test_a_closed_bar_depends_on_earlier_bars_alone(seed: int, cut: int) -> None:
    """On the bar itself too: it was open when its order was filled."""
    bars = world(seed)
    before, after = closed(bars, CAUSAL), closed(changed_from(bars, cut, seed), CAUSAL)
    np.testing.assert_array_equal(before[:, : cut + 1], after[:, : cut + 1])


@settings(max_examples=40)
@given(seed=st.integers(0, 9), cut=st.integers(TRAIN_END, T - 1))
def test_a_fitted_threshold_knows_nothing_after_train(seed: int, cut: int) -> None:
    bars = world(seed)
    before, after = closed(bars, FITTED), closed(changed_from(bars, cut, seed), FITTED)
    np.testing.assert_array_equal(before[:, : cut + 1], after[:, : cut + 1])


@settings(max_examples=40)
@given(seed=st.integers(0, 9), cut=st.integers(TRAIN_END, T - 1), pooled=st.booleans())
def test_fitted_multipliers_know_nothing_after_train(seed: int, cut: int, pooled: bool) -> None:
    config = SeasonalityConfig(fit=("liquidity", "spread"), pooled=pooled, min_samples=1)
    bars = world(seed)
    one = seasonality(config, bars, SPLITS["train"])
    other = seasonality(config, changed_from(bars, cut, seed), SPLITS["train"])
    assert one.content == other.content and one.facts == other.facts
    for kind, column in one.columns.items():
        np.testing.assert_array_equal(column, other.columns[kind])


def test_fitted_multipliers_do_depend_on_train() -> None:
    config = SeasonalityConfig(fit=("liquidity",), min_samples=1)
    bars = world(0)
    one = seasonality(config, bars, SPLITS["train"])
    other = seasonality(config, changed_from(bars, TRAIN_END - 1, 0), SPLITS["train"])
    assert one.content != other.content
    seconds = bars["timestamp"].dt.epoch("s").to_numpy()
    assert len(np.unique(hour_of_week(seconds[:T]))) == 168
