"""Events that the bars contradict are refused; those that cover part of the bars are warned of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import truefill
from data_cases import (
    HOUR,
    RETURN,
    START_S,
    config_of,
    event_file,
    moment,
    parquet_bars,
    split_arrays,
    walk,
)  # fmt: skip
from truefill.core.errors import ConfigError, DataError
from truefill.features.build import build_dataset


def bars_of(folder: Path, splits: dict[int, float]) -> dict[str, Any]:
    """A walk whose prices are divided by each ratio from its hour on."""
    table = walk(480)
    for hour, ratio in splits.items():
        share = pl.Series(np.where(np.arange(480) >= hour, 1.0 / ratio, 1.0))
        table = table.with_columns(pl.col("open", "high", "low", "close") * share)
    return parquet_bars(folder, table)


def lineage_of(data: dict[str, Any], **more: Any) -> dict[str, Any]:
    return build_dataset(config_of(data, RETURN, **more)).lineage


@pytest.mark.parametrize("ratio", [4.0, 0.1, 1.5])
def test_a_split_of_adjusted_bars_is_refused_by_row(tmp_path: Path, ratio: float) -> None:
    events = event_file(tmp_path, "split", {40.0: 1.0, 50.0: ratio}, symbol="X")
    split_arrays(tmp_path, {"bars": [bars_of(tmp_path, {50: ratio})], "events": [events]})
    with pytest.raises(DataError, match="X 2020-01-03 02:00") as caught:
        lineage_of({"bars": [bars_of(tmp_path, {})], "events": [events]})
    assert (caught.value.rule, caught.value.where) == (
        "split_not_in_prices",
        "events.parquet row 2",
    )
    upside_down = bars_of(tmp_path, {50: 1.0 / ratio})
    with pytest.raises(DataError, match="split_not_in_prices"):
        lineage_of({"bars": [upside_down], "events": [events]})


def test_a_move_as_large_as_half_the_split_decides(tmp_path: Path) -> None:
    """In logarithms: the price of a split of 4 must fall below a half."""
    events = event_file(tmp_path, "split", {50.0: 4.0}, symbol="X")
    table = walk(480)
    for share, refused in ((0.501, True), (0.499, False)):
        opens = np.where(np.arange(480) == 50, share * table["close"].to_numpy()[49], table["open"])
        moved = table.with_columns(open=pl.Series(opens)).with_columns(
            low=pl.min_horizontal("open", "low")
        )
        data = {"bars": [parquet_bars(tmp_path, moved)], "events": [events]}
        if refused:
            with pytest.raises(DataError, match="split_not_in_prices"):
                lineage_of(data)
        else:
            lineage_of(data)


def test_a_split_on_the_first_bar_of_a_symbol_concerns_nobody(tmp_path: Path) -> None:
    a = walk(480, symbol="A")
    b = walk(480, seed=1, symbol="B").tail(300)
    events = event_file(tmp_path, "split", {180.0: 4.0}, symbol="B")
    lineage_of({"bars": [parquet_bars(tmp_path, pl.concat([a, b]))], "events": [events]})


def test_a_split_given_twice_is_refused(tmp_path: Path) -> None:
    bars = [bars_of(tmp_path, {50: 4.0})]
    one = event_file(tmp_path, "split", {50.0: 2.0}, "one", symbol="X")
    two = event_file(tmp_path, "split", {50.0: 2.0}, "two", symbol="X")
    with pytest.raises(DataError, match=r"stands already in one\.parquet row 1") as caught:
        lineage_of({"bars": bars, "events": [one, two]})
    assert (caught.value.rule, caught.value.where) == ("duplicate_split", "two.parquet row 1")
    path = tmp_path / "splits.csv"
    path.write_text("timestamp,amount\n2020-01-03T02:00:00Z,2\n2020-01-03T02:00:00Z,2\n")
    with pytest.raises(DataError, match="duplicate_split"):
        lineage_of({"bars": bars, "events": [{**one, "path": str(path)}]})
    apart = event_file(tmp_path, "split", {49.5: 2.0, 50.0: 2.0}, "apart", symbol="X")
    lineage_of({"bars": bars, "events": [apart]})


def test_splits_and_atr_stops_do_not_go_together(tmp_path: Path) -> None:
    events = [event_file(tmp_path, "split", {50.0: 2.0}, symbol="X")]
    data = {"bars": [bars_of(tmp_path, {50: 2.0})], "events": events}
    with pytest.raises(ConfigError) as caught:
        lineage_of(data, market={"atr_stops": {"period": 5}})
    assert caught.value.where == "market.atr_stops"
    assert caught.value.do == "use fixed stops, or adjusted bars without split events"
    (warning,) = lineage_of(data)["warnings"]
    assert warning.startswith("splits before the test split: 1 (X)") and "jump" in warning


def test_a_file_of_which_nothing_is_booked_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "funding.csv"
    path.write_text("timestamp,symbol,amount\n2020-01-02T00:00:00Z,BTC-USD,0.001\n")
    events = {"path": str(path), "kind": "funding", "column": "amount"}
    with pytest.raises(DataError, match=r"none of its 1 events falls on a bar") as caught:
        lineage_of({"bars": [bars_of(tmp_path, {})], "events": [events]})
    assert (caught.value.rule, caught.value.where) == ("nothing_booked", "funding.csv")


@pytest.mark.parametrize(
    ("hours", "warned"),
    [
        ((72, 288 - 1), False),  # the last bar before the test split is that of hour 359
        ((72.5, 288 - 1), True),
        ((72, 286.5), True),
    ],
)
def test_funding_of_part_of_the_bars_is_warned_of(
    tmp_path: Path, hours: tuple[float, float], warned: bool
) -> None:
    bars = [bars_of(tmp_path, {})]
    events = event_file(tmp_path, "funding", dict.fromkeys(hours, 0.001), symbol="X")
    warnings = lineage_of({"bars": bars, "events": [events]})["warnings"]
    assert len(warnings) == warned
    assert all(w.startswith("events.parquet: funding of X runs from 2020-01-0") for w in warnings)
    rest = event_file(tmp_path, "funding", {1.0: 0.001, 350.0: 0.001}, "rest", symbol="X")
    assert lineage_of({"bars": bars, "events": [events, rest]})["warnings"] == []
    dividends = event_file(tmp_path, "dividend", {100.0: 0.1}, "dividends", symbol="X")
    assert lineage_of({"bars": bars, "events": [dividends]})["warnings"] == []


def test_funding_of_the_test_split_alone_is_warned_of(tmp_path: Path) -> None:
    late = event_file(tmp_path, "funding", {400.0: 0.001}, symbol="X")
    (warning,) = lineage_of({"bars": [bars_of(tmp_path, {})], "events": [late]})["warnings"]
    assert warning == "events.parquet: X pays no funding before the test split"


def test_the_lineage_tells_nothing_of_the_test_period(tmp_path: Path) -> None:
    """Whatever ends, splits, pays or is missing from the test split on."""
    stays = walk(480, symbol="STAYS")
    hours = (pl.col("timestamp").dt.epoch("s") - START_S) // HOUR
    facts = []
    for late in (True, False):
        gone = walk(480, seed=1, symbol="GONE")
        half = walk(960, seed=1, symbol="GONE", interval_s=HOUR // 2).with_columns(
            high=pl.col("close"), low=pl.col("close"), open=pl.col("close")
        )
        pair = walk(480, seed=2)
        payments = {6.0: 0.001, 350.0: 0.001}
        if late:
            gone = gone.filter(hours < 400)
            pair = pair.filter(hours < 420)
            payments |= {390.0: 0.001, 490.0: 0.002}
        else:
            half = half.filter(hours < 370)
        data = {
            "bars": [parquet_bars(tmp_path, stays, "stays.parquet"),
                     {**parquet_bars(tmp_path, gone, "gone.parquet"), "delisted": True}],
            "events": [event_file(tmp_path, "funding", payments, symbol="GONE")],
            "exchange_rates": [{**parquet_bars(tmp_path, pair, "pair.parquet"),
                                "symbols": ["STAYS"]}],
            "finer_bars": [parquet_bars(tmp_path, half, "half.parquet")],
            "finer_interval": "30m", "finer_tolerance": 10.0,
        }  # fmt: skip
        lineage = truefill.build_dataset(config_of(data, RETURN)).lineage
        facts.append((lineage["market_data"], lineage["warnings"]))
    assert facts[0] == facts[1]
    assert facts[0][0]["delisted"] == {} and facts[0][0]["events"][0]["booked"] == 2
    assert facts[0][0]["finer_bars"]["bars_with_finer"]["GONE"] == 360
    assert moment(360.0).isoformat().startswith("2020-01-16")  # where the test split begins
