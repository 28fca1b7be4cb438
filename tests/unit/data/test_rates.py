"""Exchange rates: the pair's own bar, else the last one known then, never a later or stale one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from data_cases import HOUR, RETURN, START_S, config_of, moment, parquet_bars, split_arrays, walk
from truefill.core.errors import ConfigError, DataError
from truefill.features.build import build_dataset


def pair_file(
    folder: Path, hours: list[float], name: str = "pair", **options: Any
) -> dict[str, Any]:
    """A pair whose bar at hour h opens at 1000 + h and closes at 2000 + h, without volume."""
    opens, closes = 1_000.0 + np.array(hours), 2_000.0 + np.array(hours)
    table = pl.DataFrame(
        {
            "timestamp": pl.Series([moment(h) for h in hours], dtype=pl.Datetime("us", "UTC")),
            "open": opens,
            "high": np.maximum(opens, closes),
            "low": np.minimum(opens, closes),
            "close": closes,
        }
    )
    table.write_parquet(folder / f"{name}.parquet")
    return {"path": str(folder / f"{name}.parquet"), "symbols": ["X"], **options}


def data_of(folder: Path, rate: dict[str, Any]) -> dict[str, Any]:
    return {"bars": [parquet_bars(folder, walk(480))], "exchange_rates": [rate]}


def test_the_rate_of_the_same_bar_or_the_last_known(tmp_path: Path) -> None:
    hours = [h for h in range(480) if h not in (50, 51, 52)]
    split = split_arrays(tmp_path, data_of(tmp_path, pair_file(tmp_path, hours)))
    at = {int(h): t for t, h in enumerate((split.timestamps_s - START_S) // HOUR)}
    rates = {h: (split.extra["rate_open"][at[h], 0], split.extra["rate_close"][at[h], 0])
             for h in (49, 50, 52, 53)}  # fmt: skip
    assert rates == {
        49: (1_049.0, 2_049.0),
        50: (2_049.0, 2_049.0),  # open and close: the last close
        52: (2_049.0, 2_049.0),
        53: (1_053.0, 2_053.0),
    }


def test_a_pair_on_another_grid_is_never_read_before_it_closed(tmp_path: Path) -> None:
    """Pair bars start at half past: at hour h the bar of h - 0.5 is open and not yet closed."""
    pair = pair_file(tmp_path, [h + 0.5 for h in range(-3, 480)])
    split = split_arrays(tmp_path, data_of(tmp_path, pair))
    hour = (split.timestamps_s - START_S) / HOUR
    np.testing.assert_array_equal(split.extra["rate_open"][:, 0], 2_000.0 + hour - 1.5)
    np.testing.assert_array_equal(split.extra["rate_close"][:, 0], 2_000.0 + hour - 0.5)


def test_later_rates_move_nothing_before_them(tmp_path: Path) -> None:
    hours = list(range(480))
    one = split_arrays(tmp_path, data_of(tmp_path, pair_file(tmp_path, hours)))
    pair = pair_file(tmp_path, hours)
    table = pl.read_parquet(pair["path"])
    late = pl.col("timestamp") >= moment(100)
    prices = [pl.when(late).then(pl.col(k) * 3.0).otherwise(k).alias(k)
              for k in ("open", "high", "low", "close")]  # fmt: skip
    table.with_columns(prices).write_parquet(pair["path"])
    other = split_arrays(tmp_path, data_of(tmp_path, pair))
    before = (one.timestamps_s - START_S) // HOUR < 100
    for name in ("rate_open", "rate_close"):
        np.testing.assert_array_equal(one.extra[name][before], other.extra[name][before])
        assert (one.extra[name][~before] != other.extra[name][~before]).all()


def test_inverted_rates(tmp_path: Path) -> None:
    pair = pair_file(tmp_path, list(range(480)), invert=True)
    split = split_arrays(tmp_path, data_of(tmp_path, pair))
    hour = (split.timestamps_s - START_S) // HOUR
    np.testing.assert_array_equal(split.extra["rate_open"][:, 0], 1.0 / (1_000.0 + hour))
    np.testing.assert_array_equal(split.extra["rate_close"][:, 0], 1.0 / (2_000.0 + hour))


def test_symbols_without_a_rate_have_1_and_masked_bars_the_last_one(tmp_path: Path) -> None:
    hour = (pl.col("timestamp").dt.epoch("s") - START_S) // HOUR
    gaps = walk(480).filter((hour >= 20) & ~hour.is_between(60, 62))
    bars = parquet_bars(tmp_path, pl.concat([walk(480, seed=1, symbol="A"), gaps]))
    data = {"bars": [bars], "exchange_rates": [pair_file(tmp_path, list(range(480)))]}
    split = split_arrays(tmp_path, data)
    assert split.symbols == ("A", "X")
    for name in ("rate_open", "rate_close"):
        assert (split.extra[name][:, 0] == 1.0).all()
    own = (split.timestamps_s - START_S) // HOUR
    for name in ("rate_open", "rate_close"):
        assert (split.extra[name][(own >= 60) & (own <= 62), 1] == 2_059.0).all()
        assert (split.extra[name][own <= 20, 1] == 1_021.0).all()  # its first kept bar's open


def test_missing_and_stale_rates_are_refused(tmp_path: Path) -> None:
    late = pair_file(tmp_path, list(range(5, 480)))
    with pytest.raises(DataError, match=r"X 2020-01-01T00:00:00 \(and 4 more bars\)") as caught:
        build_dataset(config_of(data_of(tmp_path, late), RETURN))
    assert (caught.value.rule, caught.value.where) == ("missing_exchange_rate", "pair.parquet")
    hole = [h for h in range(480) if not 100 < h < 230]
    with pytest.raises(DataError, match=r"X 2020-01-10T05:00:00 the last rate is 5\.0 d") as caught:
        build_dataset(config_of(data_of(tmp_path, pair_file(tmp_path, hole)), RETURN))
    assert caught.value.rule == "stale_exchange_rate"
    patient = pair_file(tmp_path, hole, max_staleness="6d")
    facts = build_dataset(config_of(data_of(tmp_path, patient), RETURN)).lineage["market_data"]
    assert facts["exchange_rates"] == [
        {"file": "pair.parquet", "symbols": ["X"], "invert": False, "carried_bars": 129}
    ]


def test_rates_are_needed_inside_the_splits_only(tmp_path: Path) -> None:
    splits = {
        "train": {"start": "2020-01-03", "end": "2020-01-11"},
        "validation": {"start": "2020-01-11", "end": "2020-01-16"},
        "test": {"start": "2020-01-16", "end": "2020-01-21"},
    }
    pair = pair_file(tmp_path, list(range(47, 480)))
    split = split_arrays(tmp_path, {**data_of(tmp_path, pair), "splits": splits})
    assert np.isfinite(split.extra["rate_open"]).all()


def test_what_names_nothing_or_twice_is_refused(tmp_path: Path) -> None:
    pair = pair_file(tmp_path, list(range(480)))
    with pytest.raises(ConfigError, match="'EURUSD' has no bars"):
        build_dataset(config_of(data_of(tmp_path, {**pair, "symbols": ["EURUSD"]}), RETURN))
    with pytest.raises(ConfigError, match="two exchange rates are given for X"):
        config_of({"bars": [{"path": "b.csv"}], "exchange_rates": [pair, pair]})
    with pytest.raises(DataError, match=r"data\.interval is 3600 s"):
        coarse = pair_file(tmp_path, list(range(0, 480, 2)), "coarse")
        build_dataset(config_of(data_of(tmp_path, coarse), RETURN))
