"""Features that need a column or know their symbol, in whole datasets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_cases import FEATURES, config_of, parquet_bars, walk
from indicator_cases import bars_of, indicator
from truefill.core.errors import ConfigError, DataError
from truefill.features.build import build_dataset

RETURN = FEATURES[0]


def feature(calculator: str, **params: Any) -> dict[str, Any]:
    return {"name": "f", "calculator": calculator, "params": params, "normalizer": "none"}


def two_symbols(folder: Path) -> dict[str, Any]:
    return {
        "bars": [
            parquet_bars(folder, walk(480, seed=1, symbol="BTC"), "btc.parquet"),
            parquet_bars(folder, walk(480, seed=2, symbol="ETH"), "eth.parquet"),
        ]
    }


def test_the_taker_column_is_read_because_a_feature_names_it(tmp_path: Path) -> None:
    table = walk(480)
    bought = table["volume"].to_numpy() * np.linspace(0.2, 0.8, 480)
    data = {"bars": [parquet_bars(tmp_path, table.with_columns(buys=bought))]}
    spec = feature("cvd", column="buys", window=1)
    built = build_dataset(config_of(data, [RETURN, spec]))
    values = built.tables["train"]["f"].to_numpy()
    np.testing.assert_allclose(values, 2.0 * np.linspace(0.2, 0.8, 480)[1:240] - 1.0, rtol=1e-6)


@pytest.mark.parametrize("name", ["cvd", "taker_buy_ratio", "taker_buy_momentum"])
def test_bars_without_the_column_are_refused_by_its_name(tmp_path: Path, name: str) -> None:
    data = {"bars": [parquet_bars(tmp_path, walk(480))]}
    with pytest.raises((ConfigError, DataError), match="taker_buy_volume"):
        build_dataset(config_of(data, [RETURN, feature(name, window=3)]))
    with pytest.raises(ConfigError, match="no column 'buys'"):
        indicator(name, bars_of(np.ones(60)), column="buys")


def test_constant_for_a_symbol_is_alive_where_symbols_differ(tmp_path: Path) -> None:
    data = two_symbols(tmp_path)
    for spec, btc, eth in [
        (feature("is_symbol", symbol="ETH"), 0.0, 1.0),
        (feature("token", values={"BTC": 1.5, "ETH": 3.0}), 1.5, 3.0),
    ]:
        train = build_dataset(config_of(data, [RETURN, spec])).tables["train"]
        seen = dict(train.group_by("symbol").agg("f").iter_rows())
        assert (set(seen["BTC"]), set(seen["ETH"])) == ({btc}, {eth})


def test_the_same_number_for_all_symbols_is_dead(tmp_path: Path) -> None:
    data = two_symbols(tmp_path)
    with pytest.raises(DataError, match="f is constant") as caught:
        build_dataset(config_of(data, [RETURN, feature("token", values={"BTC": 2.0, "ETH": 2.0})]))
    assert caught.value.rule == "dead_feature"
    with pytest.raises(DataError, match="f is all zero"):
        build_dataset(config_of(data, [RETURN, feature("is_symbol", symbol="SOL")]))


def test_a_symbol_without_a_number_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no value for the symbol 'ETH'"):
        build_dataset(
            config_of(two_symbols(tmp_path), [RETURN, feature("token", values={"BTC": 1.0})])
        )


def test_features_of_volume_are_dead_where_there_is_none(tmp_path: Path) -> None:
    """Spot FX writes volume 0: no silent constant gets into a dataset."""
    data = {
        "bars": [parquet_bars(tmp_path, walk(480).with_columns(volume=0.0 * walk(480)["volume"]))]
    }
    for name in ("volume_ratio", "obv_change", "vwap_distance", "volume_z", "mfi"):
        with pytest.raises(DataError, match=r"f is (constant|all zero)"):
            build_dataset(config_of(data, [RETURN, feature(name, window=5)]))
