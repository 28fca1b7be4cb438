"""Building a whole dataset: dead features by name, warm-up, real bars."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from data_cases import FEATURES, ROW_ENDS, config_of, event_file, extra_bars, parquet_bars, walk
from truefill.core.errors import ConfigError, DataError
from truefill.features.build import build_dataset, inspect_inputs

RETURN = FEATURES[0]


def column(name: str, **options: Any) -> dict[str, Any]:
    return {"name": name, "calculator": "column", "params": {"column": name}, **options}


@pytest.mark.parametrize("normalizer", ["none", "zscore"])
@pytest.mark.parametrize(
    ("values", "words"), [(np.zeros(480), "all zero"), (np.full(480, 3.1), "constant")]
)
def test_constant_features_are_named(
    tmp_path: Path, normalizer: str, values: np.ndarray, words: str
) -> None:
    data = extra_bars(tmp_path, dull=values)
    with pytest.raises(DataError, match=f"dull is {words}") as caught:
        build_dataset(config_of(data, [RETURN, column("dull", normalizer=normalizer)]))
    assert caught.value.rule == "dead_feature"


def test_a_feature_that_dies_in_its_clip_is_named(tmp_path: Path) -> None:
    data = extra_bars(tmp_path, far=50.0 + walk(480)["volume"].to_numpy())
    with pytest.raises(DataError, match="far is constant"):
        build_dataset(config_of(data, [RETURN, column("far", normalizer="none", clip=5)]))


def test_a_feature_constant_on_train_only_is_dead(tmp_path: Path) -> None:
    data = extra_bars(tmp_path, late=np.where(np.arange(480) < 300, 1.0, np.arange(480)))
    with pytest.raises(DataError, match="late is constant"):
        build_dataset(config_of(data, [RETURN, column("late")]))


def test_duplicated_features_are_named_both(tmp_path: Path) -> None:
    twin = {**RETURN, "name": "twin", "pre_clip": 0.5}
    with pytest.raises(DataError, match="twin duplicates ret"):
        build_dataset(config_of(extra_bars(tmp_path), [RETURN, twin]))
    data = extra_bars(tmp_path, mirror=-7.0 * np.arange(480.0) ** 1.1, line=np.arange(480.0) ** 1.1)
    with pytest.raises(DataError, match="mirror duplicates line"):
        build_dataset(config_of(data, [column("line"), column("mirror")]))


def test_a_feature_without_values_is_named(tmp_path: Path) -> None:
    slow = {"name": "slow", "calculator": "log_return", "params": {"periods": 200}}
    with pytest.raises(DataError, match="slow has no value on 83% of train rows"):
        build_dataset(config_of(extra_bars(tmp_path), [RETURN, slow]))


def test_a_hole_in_a_column_is_refused_by_row(tmp_path: Path) -> None:
    values = pl.Series([None if i == 300 else float(i) for i in range(480)])
    with pytest.raises(DataError) as caught:
        build_dataset(config_of(extra_bars(tmp_path, x=values), [RETURN, column("x")]))
    assert (caught.value.rule, caught.value.where) == (
        "not_a_number",
        "bars.parquet row 301 column x",
    )


def test_unknown_names_are_config_errors(tmp_path: Path) -> None:
    data = extra_bars(tmp_path)
    with pytest.raises(ConfigError, match="Did you mean 'log_return'"):
        build_dataset(config_of(data, [{"name": "f", "calculator": "log_retrun"}]))
    with pytest.raises(ConfigError, match="Did you mean 'periods'"):
        build_dataset(config_of(data, [{**RETURN, "params": {"period": 3}}]))
    with pytest.raises(ConfigError, match="no column 'nothing'"):
        build_dataset(config_of(data, [column("nothing")]))


def test_an_empty_split_says_what_dates_there_are(tmp_path: Path) -> None:
    short = parquet_bars(tmp_path, walk(300))
    with pytest.raises(DataError, match="2020-01-13") as caught:
        build_dataset(config_of({"bars": [short]}))
    assert (caught.value.rule, caught.value.where) == ("empty_split", "data.splits.test")


@pytest.mark.parametrize("name", ["close", "no_trade", "funding"])
def test_a_feature_never_takes_the_place_of_a_column(tmp_path: Path, name: str) -> None:
    data = {**extra_bars(tmp_path), "events": [event_file(tmp_path, "funding", {9: 0.01},
                                                          symbol="X")]}  # fmt: skip
    with pytest.raises(ConfigError, match=f"'{name}' is a column of the bars already"):
        build_dataset(config_of(data, [{**RETURN, "name": name}]))


def test_atr_is_there_when_the_market_needs_it_and_lengthens_the_warmup(tmp_path: Path) -> None:
    data = extra_bars(tmp_path)
    plain = build_dataset(config_of(data))
    stops = build_dataset(config_of(data, market={"atr_stops": {"period": 5}}))
    assert not plain.tables["train"]["atr"].to_numpy().any()
    assert (stops.tables["train"]["atr"].to_numpy() > 0.0).all()
    assert stops.lineage["rows"]["dropped_warmup"] == 4 + 62  # (4/5)^62 < 1e-6


def test_close_only_bars_are_counted_by_split(tmp_path: Path) -> None:
    flat = pl.int_range(pl.len()) % 3 == 0
    prices = [pl.when(flat).then("close").otherwise(k).alias(k) for k in ("open", "high", "low")]
    built = build_dataset(
        config_of({"bars": [parquet_bars(tmp_path, walk(480).with_columns(prices))]})
    )
    assert built.lineage["close_only_bars"] == {"train": 67, "validation": 40, "test": 40}


def test_features_of_one_symbol_do_not_depend_on_another(tmp_path: Path) -> None:
    alone = build_dataset(
        config_of({"bars": [parquet_bars(tmp_path, walk(480, symbol="B"), "b.parquet")]})
    )
    both = build_dataset(
        config_of(
            {"bars": [
                parquet_bars(tmp_path, walk(480, seed=9, symbol="A"), "a.parquet"),
                parquet_bars(tmp_path, walk(480, symbol="B"), "b.parquet"),
            ]}
        )
    )  # fmt: skip
    raw = ["timestamp", "raw_log_return", "rsi", "hour"]  # not fitted
    mine = both.tables["train"].filter(pl.col("symbol") == "B").select(raw)
    assert mine.equals(alone.tables["train"].select(raw))


def test_synthetic_markets_are_datasets_too() -> None:
    market = {"synthetic": {"kind": "planted_signal", "bars": 480, "symbols": 2}}
    built = build_dataset(config_of(market, [RETURN, column("signal", normalizer="none")]))
    assert built.lineage["symbols"] == ["SYN1", "SYN2"]
    assert built.lineage["inputs"][0]["file"] == "synthetic:planted_signal"


def test_inspect_gives_what_preflight_prints(tmp_path: Path) -> None:
    facts = inspect_inputs(config_of(extra_bars(tmp_path)))
    assert facts["rows"]["train"] == 240 - 38 and facts["rows"]["test"] == 120
    assert facts["dates"]["validation"][0].startswith("2020-01-11 00:00")
    assert facts["columns"][-4:] == ["ret", "ret_6", "rsi", "hour"]
    assert facts["dead_features"] == []


USDCOP = [
    {"name": "log_ret_5m", "calculator": "log_return", "params": {"periods": 1}},
    {"name": "dxy_z", "calculator": "macro_zscore",
     "params": {"series": "dxy"}, "normalizer": "none"},
    {"name": "rate_spread_z", "calculator": "spread_zscore",
     "params": {"a": "col10y", "b": "ust10y"}, "normalizer": "none"},
    {"name": "trend_z", "calculator": "trend_z", "normalizer": "none"},
]  # fmt: skip


def test_real_usdcop_bars_with_macro(shared_data: Path) -> None:
    data = {
        "bars": [{"path": str(shared_data / "usdcop_5m_2020_2023.parquet")}],
        "interval": "5m",
        "session": {"timezone": "America/Bogota", "start": "08:00", "end": "13:00"},
        "series": [
            {
                "path": str(shared_data / "macro_usdcop_daily_2019_2023.parquet"),
                "columns": {"dxy": "dxy", "col10y": "col10y", "ust10y": "ust10y"},
                "publication_lag": "1d",
            }
        ],
        "splits": {
            "train": {"start": "2020-01-01", "end": "2023-01-01"},
            "validation": {"start": "2023-01-01", "end": "2023-07-01"},
            "test": {"start": "2023-07-01", "end": "2024-01-01"},
        },
    }
    rows = build_dataset(config_of(data, USDCOP)).lineage["rows"]
    assert rows["read"] == 59_338 == sum(rows[k] for k in ROW_ENDS)
    assert rows["outside_session"] == 277 and rows["no_trade_stale"] == 60
    assert rows["train"] > 35_000 and rows["validation"] > 7_500 and rows["test"] > 7_000
