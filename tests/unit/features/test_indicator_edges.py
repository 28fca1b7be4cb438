"""Bars on which careless indicators divide by zero: every calculator stays finite and says what
its docs say."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from calculator_cases import params_of
from data_cases import context
from indicator_cases import bars_of, indicator
from truefill.features.base import Context
from truefill.features.registry import CALCULATORS

T = 420
SHARED = Path(__file__).parents[4] / "shared/data"
OF_BARS = [e for e in CALCULATORS if not e.facts["irregular"] and not e.name.startswith("cross_")]


def with_columns(bars: Context) -> Context:
    columns = {"taker": 0.5 * bars.volume, "mine": bars.close}
    return Context(**{**vars(bars), "extra": columns})


def frozen() -> Context:
    """A price that never moves, no volume: a holiday as some feeds write it."""
    return bars_of(np.full(T, 3_271.7699), volume=np.zeros(T))


def stuck() -> Context:
    """Moves, then stands still for long: seeds of recursive filters die out, rounding stays."""
    moving = 3_000.0 + np.random.default_rng(0).standard_normal(60).cumsum()
    return bars_of(np.concatenate([moving, np.full(T - 60, moving[-1])]))


def close_only() -> Context:
    """Spot FX of one price a bar, most of them unchanged, no volume."""
    rng = np.random.default_rng(1)
    moves = np.where(rng.random(T) < 0.02, rng.standard_normal(T), 0.0)
    return bars_of(4_000.0 + moves.cumsum(), volume=np.zeros(T))


def straight() -> Context:
    """Every bar 1 % above the last, ever less volume, then none."""
    close = 100.0 * 1.01 ** np.arange(T)
    volume = np.maximum(200.0 - np.arange(T), 0.0)
    return bars_of(close, open=close / 1.01, low=close / 1.01, volume=volume)


@pytest.mark.parametrize("made", [frozen, stuck, close_only, straight])
def test_finite_on_every_bar_after_the_warmup(made) -> None:  # type: ignore[no-untyped-def]
    bars = with_columns(made())
    for entry in OF_BARS:
        params = entry.params(**params_of(entry.name))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            values = entry.make(params, bars)
        warmup = entry.facts["warmup"](params)
        assert np.isnan(values[:warmup]).all(), entry.name
        assert np.isfinite(values[warmup:]).all(), entry.name


NEUTRAL = {
    "rsi": 50.0, "rsi_change": 0.0, "stochastic_k": 50.0, "stochastic_d": 50.0, "mfi": 50.0,
    "adx": 0.0, "plus_di": 0.0, "minus_di": 0.0, "cci": 0.0, "roc": 0.0, "momentum": 0.0,
    "log_return": 0.0, "simple_return": 0.0, "bar_range": 0.0, "drawdown": 0.0, "trend_z": 0.0,
    "trend_strength": 0.0, "sma_distance": 0.0, "sma_slope": 0.0, "bollinger_position": 0.5,
    "bollinger_width": 0.0, "keltner_position": 0.5, "keltner_width": 0.0, "bb_squeeze": 0.0,
    "volatility_pct": 0.0, "realized_volatility": 0.0, "garch": 0.0, "atr": 0.0, "parkinson": 0.0,
    "garman_klass": 0.0, "rogers_satchell": 0.0, "yang_zhang": 0.0, "skew": 0.0,
    "realized_skew": 0.0, "realized_kurtosis": 3.0, "volume_ratio": 1.0, "volume_z": 0.0,
    "volume_change": 0.0, "obv_change": 0.0, "ad_change": 0.0, "vwap_distance": 0.0,
    "session_vwap_distance": 0.0, "cvd": 0.0, "taker_buy_ratio": 0.5, "taker_buy_momentum": 0.0,
}  # fmt: skip


@pytest.mark.parametrize("name", NEUTRAL)
def test_without_movement_and_volume_the_value_is_the_neutral_one_exactly(name: str) -> None:
    values = indicator(name, with_columns(frozen()), **params_of(name))
    assert set(values[~np.isnan(values)]) == {NEUTRAL[name]}


def test_rounding_is_not_movement_once_a_price_stands_still() -> None:
    """The EMA may stay an ulp off the price while ATR dies out: still the middle of the channel."""
    bars = bars_of(np.concatenate([3_000.0 + np.arange(30.0) ** 1.3, np.full(3_000, 3_071.3)]))
    position = indicator("keltner_position", bars, window=20, atr_period=5)
    assert position[-1] == 0.5
    assert indicator("cci", bars)[-1] == 0.0


def test_rsi_of_a_straight_rise_is_100_and_of_a_fall_0() -> None:
    rise = 50.0 * 1.001 ** np.arange(300)
    assert set(indicator("rsi", bars_of(rise))[201:]) == {100.0}
    assert set(indicator("rsi", bars_of(rise[::-1].copy()))[201:]) == {0.0}


LONG = {"session_vwap_distance": {"longest": 288}}


@pytest.mark.skipif(not SHARED.exists(), reason="shared/data is absent")
@pytest.mark.parametrize(
    "file",
    ["btcusdt_5m_2024.feather", "usdcop_5m_2020_2023.parquet", "equities_daily/CVNA.feather"],
)
def test_finite_on_real_bars(file: str) -> None:
    """98 % of the USD/COP bars are flat, all of them have volume 0."""
    read = pl.read_parquet if file.endswith("parquet") else pl.read_ipc
    table = read(SHARED / file).tail(4_000)
    bars = with_columns(context(table.with_columns(pl.col("timestamp").dt.cast_time_unit("us"))))
    for entry in OF_BARS:
        params = entry.params(**{**params_of(entry.name), **LONG.get(entry.name, {})})
        values = entry.make(params, bars)
        warmup = entry.facts["warmup"](params)
        assert np.isnan(values[:warmup]).all(), entry.name
        assert np.isfinite(values[warmup:]).all(), entry.name
