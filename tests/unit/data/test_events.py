"""Events are booked once, on the first bar that starts at or after them, or counted as dropped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from data_cases import HOUR, RETURN, START_S, config_of, event_file, parquet_bars, split_arrays
from data_cases import walk as bars_of
from truefill.core.errors import ConfigError, DataError
from truefill.data.split import SplitArrays
from truefill.features.build import build_dataset

OUTAGE = range(30, 36)
"""Hours without a bar."""


def with_outage() -> pl.DataFrame:
    hours = (pl.col("timestamp").dt.epoch("s") - START_S) // HOUR
    return bars_of(480).filter(~hours.is_in(list(OUTAGE)))


def as_traded(table: pl.DataFrame, splits: dict[int, float]) -> pl.DataFrame:
    """Prices divided by each ratio from its hour on."""
    hours = (table["timestamp"].dt.epoch("s") - START_S) // HOUR
    for hour, ratio in splits.items():
        share = pl.Series(np.where(hours >= hour, 1.0 / ratio, 1.0))
        table = table.with_columns(pl.col("open", "high", "low", "close") * share)
    return table


def booked(split: SplitArrays, kind: str, nothing: float = 0.0) -> dict[int, float]:
    """Hour -> value of every bar of the first symbol that has an event."""
    values = split.extra[kind][:, 0]
    hours = (split.timestamps_s - START_S) // HOUR
    return {int(hours[t]): float(values[t]) for t in np.flatnonzero(values != nothing)}


def data_of(folder: Path, *events: dict[str, Any]) -> dict[str, Any]:
    return {"bars": [parquet_bars(folder, with_outage())], "events": list(events)}


def test_an_event_waits_for_the_next_bar_and_events_of_one_bar_add_up(tmp_path: Path) -> None:
    moments = {
        10.0: 0.001,  # the very start of a bar
        11.25: 0.002,  # inside a bar: its open has passed
        11.75: -0.0005,  # on the same bar as the one before
        29.5: 0.003,  # the outage: all of these wait for its end
        33.0: 0.004,
        36.0: 0.005,
    }
    events = event_file(tmp_path, "funding", moments, symbol="X")
    split = split_arrays(tmp_path, data_of(tmp_path, events))
    expected = {10: 0.001, 12: 0.0015, 36: 0.012}
    assert booked(split, "funding") == pytest.approx(expected)
    assert list(split.extra) == ["funding"]


def test_splits_multiply(tmp_path: Path) -> None:
    events = event_file(tmp_path, "split", {30.5: 4.0, 31.5: 0.5, 50.0: 10.0}, symbol="X")
    bars = parquet_bars(tmp_path, as_traded(with_outage(), {36: 2.0, 50: 10.0}))
    split = split_arrays(tmp_path, {"bars": [bars], "events": [events]})
    assert booked(split, "split", nothing=1.0) == {36: 2.0, 50: 10.0}


def test_files_of_one_kind_add_up_and_the_scale_counts(tmp_path: Path) -> None:
    regular = event_file(tmp_path, "dividend", {12.0: 0.25, 40.0: 0.5}, "a", symbol="X", scale=2)
    special = event_file(tmp_path, "dividend", {12.0: 3.0}, "b", symbol="X")
    split = split_arrays(tmp_path, data_of(tmp_path, regular, special))
    assert booked(split, "dividend") == {12: 3.5, 40: 1.0}


def test_events_beyond_the_bars_are_dropped_and_counted(tmp_path: Path) -> None:
    moments = {-0.5: 0.01, 0.0: 0.02, 12.0: 0.03, 298.5: 0.04, 299.5: 0.05, 400.0: 0.06}
    events = event_file(tmp_path, "funding", moments, symbol="X")
    bars = [parquet_bars(tmp_path, with_outage().head(300 - len(OUTAGE)), "x.parquet"),
            parquet_bars(tmp_path, bars_of(480, seed=1, symbol="Y"), "y.parquet")]  # fmt: skip
    lineage = build_dataset(config_of({"bars": bars, "events": [events]}, RETURN)).lineage
    assert lineage["market_data"]["events"] == [
        {"file": "events.parquet", "kind": "funding", "rows": 5, "booked": 3,
         "before_first_bar": 1, "after_last_bar": 1, "other_symbols": 0}
    ]  # fmt: skip
    assert lineage["inputs"][-1]["file"] == "events.parquet"
    assert len(lineage["inputs"][-1]["sha256"]) == 64
    assert lineage["market_columns"] == ["funding"]


def test_a_file_of_many_symbols_books_each_on_its_own_bars(tmp_path: Path) -> None:
    late = bars_of(480, seed=1, symbol="B").filter(pl.col("timestamp").dt.hour() % 2 == 1)
    table = pl.concat([bars_of(480, symbol="A"), late])
    path = tmp_path / "dividends.csv"
    path.write_text(
        "ex_date,symbol,amount\n2020-01-02T00:00:00,B,1.5\n2020-01-02T00:00:00,A,2\n"
        "2020-01-03T00:00:00,C,9\n"
    )
    events = {"path": str(path), "kind": "dividend", "timestamp": "ex_date", "column": "amount"}
    data = {"bars": [parquet_bars(tmp_path, table)], "events": [events],
            "defects": {"mixed_frequency": "warn"}}  # fmt: skip
    split = split_arrays(tmp_path, data)
    hours = (split.timestamps_s - START_S) // HOUR
    found = {(int(hours[t]), split.symbols[s]): float(split.extra["dividend"][t, s])
             for t, s in np.argwhere(split.extra["dividend"] != 0.0)}  # fmt: skip
    assert found == {(24, "A"): 2.0, (25, "B"): 1.5}
    assert not split.extra["dividend"][~split.present].any()
    built = build_dataset(config_of(data, RETURN))
    assert built.lineage["market_data"]["events"][0]["other_symbols"] == 1


def test_naive_moments_are_in_the_files_timezone(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text("timestamp,amount\n2020-01-02 05:00,0.5\n")
    events = {"path": str(path), "kind": "dividend", "column": "amount", "symbol": "X",
              "timezone": "America/Bogota"}  # fmt: skip
    split = split_arrays(tmp_path, data_of(tmp_path, events))
    assert booked(split, "dividend") == {36: 0.5}  # 10:00 UTC falls into the outage


@pytest.mark.parametrize(
    ("kind", "value", "options", "rule"),
    [
        ("funding", 0.11, {}, "suspicious_funding"),
        ("funding", -0.04, {"scale": 3}, "suspicious_funding"),
        ("dividend", -0.01, {}, "negative_dividend"),
        ("dividend", 0.01, {"scale": -1}, "negative_dividend"),
        ("split", 0.0, {}, "impossible_split"),
        ("split", -2.0, {}, "impossible_split"),
        ("funding", float("nan"), {}, "not_a_number"),
        ("dividend", float("inf"), {}, "not_a_number"),
        ("split", None, {}, "not_a_number"),
    ],
)
def test_impossible_values_are_refused_by_row(
    tmp_path: Path, kind: str, value: float, options: dict[str, Any], rule: str
) -> None:
    good = 1.0 if kind == "split" else 0.0
    events = event_file(tmp_path, kind, {9.0: good, 10.0: value, 11.0: good}, symbol="X", **options)
    with pytest.raises(DataError) as caught:
        build_dataset(config_of(data_of(tmp_path, events), RETURN))
    where = "events.parquet row 2 column amount"
    assert (caught.value.rule, caught.value.where) == (rule, where)


@pytest.mark.parametrize(("kind", "value"), [("funding", 0.1), ("funding", -0.1), ("dividend", 0)])
def test_values_at_the_limit_pass(tmp_path: Path, kind: str, value: float) -> None:
    events = event_file(tmp_path, kind, {10.0: value}, symbol="X")
    split = split_arrays(tmp_path, data_of(tmp_path, events))
    assert split.extra[kind].sum() == value


def test_what_names_nothing_is_refused(tmp_path: Path) -> None:
    events = event_file(tmp_path, "funding", {9.0: 0.01}, symbol="BTCUSD")
    with pytest.raises(ConfigError, match="'BTCUSD' has no bars"):
        build_dataset(config_of(data_of(tmp_path, events), RETURN))
    with pytest.raises(DataError) as caught:
        build_dataset(
            config_of(data_of(tmp_path, {**events, "symbol": "X", "column": "rate"}), RETURN)
        )
    assert caught.value.rule == "missing_columns"
    with pytest.raises(DataError, match=r"data\.events"):
        build_dataset(config_of(data_of(tmp_path, {**events, "symbol": None}), RETURN))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kind": "split", "scale": 2.0}, "takes no scale"),
        ({"kind": "funding", "scale": 0.0}, "would book nothing"),
        ({"kind": "funding", "column": "timestamp"}, "cannot hold the value"),
        ({"kind": "interest"}, "funding"),
    ],
)
def test_wrong_configs_are_refused(options: dict[str, Any], words: str) -> None:
    entry = {"path": "e.csv", "column": "amount", **options}
    with pytest.raises(ConfigError, match=words):
        config_of({"bars": [{"path": "b.csv"}], "events": [entry]})


def test_real_funding_of_real_bars(shared_data: Path, tmp_path: Path) -> None:
    """The daily mean of three eight-hour rates, times three, on BTC's five-minute bars."""
    path = shared_data / "btc_funding_daily_2019_2024.parquet"
    data = {
        "interval": "5m",
        "bars": [{"path": str(shared_data / "btcusdt_5m_2024.feather")}],
        "events": [{"path": str(path), "kind": "funding", "symbol": "BTCUSDT",
                    "column": "funding_mean", "scale": 3}],
        "splits": {
            "train": {"start": "2024-01-01", "end": "2024-06-01"},
            "validation": {"start": "2024-06-01", "end": "2024-08-01"},
            "test": {"start": "2024-08-01", "end": "2024-09-07"},
        },
    }  # fmt: skip
    split = split_arrays(tmp_path, data)
    funding = split.extra["funding"][:, 0]
    paid = np.flatnonzero(funding)
    into_day = split.timestamps_s[paid] % 86_400
    assert len(paid) == 151 and not into_day.any()  # 1 January's bar is warm-up
    daily = pl.read_parquet(path).filter(
        pl.col("timestamp").is_between(pl.datetime(2024, 1, 2, time_zone="UTC"),
                                       pl.datetime(2024, 5, 31, time_zone="UTC"))
    )  # fmt: skip
    assert funding.sum() == pytest.approx(3.0 * daily["funding_mean"].sum(), rel=1e-12)
    facts = build_dataset(config_of(data, RETURN)).lineage["market_data"]["events"][0]
    rows = pl.read_parquet(path).filter(
        pl.col("timestamp") < pl.datetime(2024, 8, 1, time_zone="UTC")
    )
    ends = ("booked", "before_first_bar", "after_last_bar")
    assert facts["rows"] == rows.height == sum(facts[k] for k in ends)
    assert facts["booked"] == 213  # 1 January to 31 July: the test split is sealed
