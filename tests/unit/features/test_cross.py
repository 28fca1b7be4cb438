"""Two symbols: by hand, with holes, and of a symbol and itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from data_cases import config_of, context, parquet_bars, walk
from truefill.core.errors import ConfigError, DataError
from truefill.features.base import Context
from truefill.features.build import build_dataset
from truefill.features.registry import CALCULATORS

OWN, OTHER = walk(60, seed=1), walk(60, seed=2, symbol="Y")


def pair(other: pl.DataFrame = OTHER) -> Context:
    return replace(context(OWN), others={"Y": replace(context(other), symbol="Y")})


def cross(name: str, bars: Context | None = None, **params: Any) -> np.ndarray:
    given = CALCULATORS.parse(name, {"other": "Y", **params})
    return CALCULATORS.get(name).make(given, pair() if bars is None else bars)


def test_by_hand() -> None:
    own, other = OWN["close"].to_numpy(), OTHER["close"].to_numpy()
    spread = np.log(own / other)
    x, y = np.diff(np.log(own)), np.diff(np.log(other))
    np.testing.assert_allclose(cross("cross_log_spread"), spread)
    np.testing.assert_allclose(cross("cross_return", periods=3)[3:], np.log(other[3:] / other[:-3]))
    t, w = 41, 10
    part = spread[t - w + 1 : t + 1]
    assert cross("cross_zscore", window=w)[t] == pytest.approx(
        (part[-1] - part.mean()) / part.std(ddof=1)
    )
    own_part, other_part = x[t - w : t], y[t - w : t]
    covariance = np.cov(own_part, other_part, ddof=0)
    assert cross("cross_beta", window=w)[t] == pytest.approx(covariance[0, 1] / covariance[1, 1])
    assert cross("cross_correlation", window=w)[t] == pytest.approx(
        np.corrcoef(own_part, other_part)[0, 1]
    )


def test_a_missing_bar_counts_as_the_last_one_for_a_while() -> None:
    kept = OTHER.filter(~pl.int_range(60).is_between(20, 25))
    close = OTHER["close"].to_numpy()
    found = np.exp(cross("cross_log_spread", pair(kept), max_age_bars=2))
    np.testing.assert_allclose(found[20:22], OWN["close"].to_numpy()[20:22] / close[19])
    assert np.isnan(found[22:26]).all() and np.isfinite(found[26])
    scores = cross("cross_zscore", pair(kept), window=5, max_age_bars=2)
    assert np.isnan(scores[22:30]).all() and np.isfinite(scores[30:]).all()


def test_a_bar_that_closes_later_is_not_seen() -> None:
    """The other symbol's bars start half an hour later: its newest closed one is the one before."""
    shifted = OTHER.with_columns(pl.col("timestamp") + pl.duration(minutes=30))
    found = np.exp(cross("cross_log_spread", pair(shifted)))
    np.testing.assert_allclose(
        found[1:], OWN["close"].to_numpy()[1:] / OTHER["close"].to_numpy()[:-1]
    )
    assert np.isnan(found[0])


def test_of_a_symbol_and_itself() -> None:
    itself = replace(pair(), symbol="Y", others={"X": pair()})
    assert (cross("cross_log_spread", itself) == 0.0).all()
    assert (cross("cross_zscore", itself, window=5)[4:] == 0.0).all()
    assert (cross("cross_beta", itself, window=5)[5:] == 1.0).all()
    np.testing.assert_allclose(cross("cross_correlation", itself, window=5)[5:], 1.0)


def test_constant_prices_have_no_beta() -> None:
    flat = OTHER.with_columns(close=pl.lit(7.0))
    assert (cross("cross_beta", pair(flat), window=5)[5:] == 0.0).all()
    assert (cross("cross_correlation", pair(flat), window=5)[5:] == 0.0).all()


def dataset(folder: Path, names: str, other: str) -> Any:
    entries = [
        parquet_bars(folder, walk(480, seed=i, symbol=name), f"{name}.parquet")
        for i, name in enumerate(names)
    ]
    feature = {"name": "spread", "calculator": "cross_log_spread", "params": {"other": other}}
    return build_dataset(config_of({"bars": entries}, [feature]))


def test_every_symbol_of_a_dataset_has_it(tmp_path: Path) -> None:
    built = dataset(tmp_path, "ABC", "B")
    last = built.tables["train"].group_by("symbol").last().sort("symbol")["spread"]
    middle = (0.0 - built.norm_stats["spread"]["mean"]) / built.norm_stats["spread"]["std"]
    assert last[1] == np.float32(middle) and last[0] != last[1] != last[2]
    assert any("level_feature: spread" in text for text in built.lineage["warnings"])


def test_unknown_and_lonely_symbols_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no symbol of the dataset is called 'BX'") as caught:
        dataset(tmp_path, "AB", "BX")
    assert "Did you mean 'B'" in str(caught.value)
    with pytest.raises(ConfigError, match="A is the only symbol"):
        dataset(tmp_path, "A", "A")
    with pytest.raises((ConfigError, DataError), match="no symbol of the dataset"):
        dataset(tmp_path, "A", "B")
