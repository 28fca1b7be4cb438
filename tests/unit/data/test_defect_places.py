"""Planted defects at other places and strengths than one each: first and last rows, parts, real
files of every interval, stocks spliced onto others; and random cuts of clean files, which have
none."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from data_cases import walk
from defect_cases import FROM, SECONDS, WHEN, K, Table, at, data_of, keep, later, sample, stamps
from truefill.config.sources import SeriesFile
from truefill.data.defects import PRICES, Finding, Findings
from truefill.data.inputs import survey
from truefill.data.join import read_series

Text = Callable[[bytes], bytes]
WEEKDAY_9_TO_16 = (pl.col("timestamp").dt.weekday() <= 5) & pl.col(
    "timestamp"
).dt.hour().is_between(9, 15)


def findings(
    folder: Path, table: pl.DataFrame, interval: str = "1h", text: Text | None = None
) -> dict[str, Finding]:
    """By rule, of a Parquet file, or of the CSV file that ``text`` has changed."""
    path = folder / ("b.csv" if text else "b.parquet")
    if text is None:
        table.write_parquet(path)
    else:
        path.write_bytes(text(table.write_csv(datetime_format="%Y-%m-%dT%H:%M:%SZ").encode()))
    data = data_of({"bars": [{"path": str(path), "symbol": "X"}], "interval": interval})
    return {f.rule: f for f in survey(data)[1]}


def later_and_sorted(hours: float, mask: pl.Expr) -> Table:
    return lambda table: later(hours, mask)(table).sort("timestamp", maintain_order=True)


def moved(mask: pl.Expr, factor: float, volume: float = 1.0) -> Table:
    prices = {name: pl.col(name) * factor for name in PRICES}
    return at(mask, **prices, volume=pl.col("volume") * volume)


def copied(row: int) -> Table:
    columns = {name: pl.col(name).shift(1) for name in (*PRICES, "volume")}
    return lambda table: at(row == WHEN, **columns)(table.with_columns(volume=0.0))


MILLIS = pl.Datetime("ms", "UTC")
PLACES: list[tuple[str, str, int | None, Table]] = [
    ("two_clocks", "eurusd_1h", None, later_and_sorted(5, (WHEN >= K) & (WHEN < K + 24))),
    ("two_clocks", "eurusd_1h", 251, lambda t: later(3.5, WHEN >= 250)(walk(300).drop("symbol"))),
    ("two_clocks", "eurusd_1h", 1, later(5, WHEN < 24)),
    ("mixed_time_units", "eurusd_1h", K + 1,
     stamps(pl.when(WHEN == K).then(SECONDS).otherwise(SECONDS * 1_000).cast(MILLIS))),
    ("wrong_time_unit", "eurusd_1h", 1, stamps((SECONDS * 1_000_000).cast(MILLIS))),
    ("mixed_frequency", "googl_1d", None, keep((WHEN < K) | (WHEN % 2 == 0))),
    ("mixed_frequency", "eurusd_1h", None,
     lambda t: keep((WHEN < K) | (WHEN % 2 == 0))(t.filter(WEEKDAY_9_TO_16))),
    ("gaps", "eurusd_1h", None,
     lambda t: walk(300).drop("symbol").filter(~WHEN.is_between(130, 134))),
    ("copied_bar", "eurusd_1h", K + 2, copied(K + 1)),
    ("copied_bar", "googl_1d", None,  # tomorrow's prices, the day's own volume
     at((WHEN >= K) & (WHEN % 7 == 3), **{name: pl.col(name).shift(-1) for name in PRICES})),
    ("frozen_price", "googl_1d", K + 2,
     at((WHEN >= K) & (WHEN < K + 4), **dict.fromkeys(PRICES, 850.0))),
    ("unadjusted_split", "googl_1d", K + 1, moved(FROM, 10.0)),
    ("unadjusted_split", "googl_1d", 4, moved(WHEN >= 3, 0.5, 2.0)),
    ("identity_change", "googl_1d", K + 1, moved(FROM, 0.3, 1.7)),
    ("identity_change", "googl_1d", None, moved(FROM, 1.0, 9.0)),
    ("price_spike", "googl_1d", K + 1, moved(WHEN == K, 1.35)),
    ("price_spike", "eurusd_1h", 3, moved(WHEN == 2, 1.05)),
    ("bid_above_ask", "eurusd_1h", K + 1,
     lambda t: at(WHEN == K, ask_low=pl.col("low") * 0.99)(t.with_columns(ask_low=pl.col("low")))),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "base", "row", "plant"), PLACES)
def test_a_defect_at_another_place(
    tmp_path: Path, rule: str, base: str, row: int | None, plant: Table
) -> None:
    found = findings(tmp_path, plant(sample(base)), "1d" if base == "googl_1d" else "1h")
    assert rule in found
    assert row is None or found[rule].row == row
    assert found[rule].what and found[rule].do


TEXTS: list[tuple[str, str, Text]] = [
    ("junk_first_line", "1 line before the header", lambda b: b",,,,,\n" + b),
    ("junk_first_line", "title", lambda b: b"title,,,,,\n" + b),
    ("missing_columns", "holds numbers, not names", lambda b: b[b.index(b"\n") + 1 :]),
    ("unreadable_file", "has 7 cells, the lines 6", lambda b: b.replace(b"\n", b",note\n", 1)),
    ("wrong_encoding", "is no utf-8", lambda b: b.replace(b"volume", b"volum\xe9", 1)),
    ("day_first_dates", "or the month", lambda b: b.replace(b"2017-02-01", b"01/02/2017")),
]


@pytest.mark.parametrize(("rule", "words", "text"), TEXTS)
def test_a_defect_of_the_text(tmp_path: Path, rule: str, words: str, text: Text) -> None:
    table = sample("eurusd_1h").filter(pl.col("timestamp").dt.date() == pl.date(2017, 2, 1))
    assert words in findings(tmp_path, table, text=text)[rule].what


REAL = {"btcusdt_1h_2017_2022.csv": "1h", "ethusdt_5m_2024.parquet": "5m",
        "eurusd_1h_2007_2016.parquet": "1h", "spy_1h_1998_2021.parquet": "1h",
        "spy_1m_2013_10.parquet": "1m", "equities_daily/JD.feather": "1d"}  # fmt: skip
TRUE_OF_THEM = {"zero_volume", "gaps", "outlier_tick"}


def real(folder: Path, name: str) -> pl.DataFrame:
    read = {".csv": pl.read_csv, ".parquet": pl.read_parquet}.get(Path(name).suffix, pl.read_ipc)
    table = read(folder / name)
    if name.endswith(".csv"):
        table = table.with_columns(
            pl.col("timestamp").str.to_datetime(time_unit="us", time_zone="UTC")
        )
    return table.select(pl.col("timestamp").cast(pl.Datetime("us", "UTC")), *PRICES, "volume")


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_every_place_of_real_files(shared_data: Path, tmp_path: Path, name: str) -> None:
    table = real(shared_data, name)[-4_000:]
    n, tail = table.height, pl.lit(float("nan"))
    usual = float(np.median(np.abs(np.diff(np.log(table["close"].to_numpy())))))
    for row in (0, 1, n // 2, n - 2, n - 1):
        here = row == WHEN
        plants: dict[str, Table] = {
            "not_a_number": at(here, close=tail),
            "non_positive_price": at(here, low=pl.lit(0.0)),
            "high_below_low": at(here, high=pl.col("low") * 0.999),
            "open_outside_range": at(here, open=pl.col("high") * 1.0001),
            "close_outside_range": at(here, close=pl.col("low") * 0.9999),
            "negative_volume": at(here, volume=pl.lit(-1e-9)),
        }
        if 0 < row < n - 1:
            plants["price_spike"] = moved(here, float(np.exp(max(100.0 * usual, 0.7))))
        if row > 0:
            plants["scale_break" if row < n - 1 else "unadjusted_split"] = moved(
                row <= WHEN, 100.0 if row < n - 1 else 0.1, 1.0
            )
        for rule, plant in plants.items():
            found = findings(tmp_path, plant(table), REAL[name])
            assert rule in found and found[rule].row == row + 1, (rule, row)
        for rule, twin in (("duplicate_row", 0.0), ("duplicate_timestamp", 1.0)):
            again = table.slice(row, 1).with_columns(pl.col("volume") + twin)
            assert findings(tmp_path, pl.concat([table, again]), REAL[name])[rule].row == n + 1


@pytest.mark.slow
def test_splits_at_any_session_of_hourly_bars(shared_data: Path, tmp_path: Path) -> None:
    """The first hour of a session is busier than the last one before it: no sign of news. On days
    that open 2 % off anyway, the ratio may be lost in that."""
    table = real(shared_data, "spy_1h_1998_2021.parquet")[-3_000:]
    first = np.flatnonzero(table["timestamp"].dt.date().diff().dt.total_days().to_numpy() > 0)
    gap = (table["open"] / table["close"].shift(1)).log().abs().to_numpy()
    for row in first[(first > 100) & (gap[first] < 0.02)][::30]:
        for ratio in (1.5, 2.0, 10.0, 0.1):
            found = findings(tmp_path, moved(int(row) <= WHEN, 1.0 / ratio, ratio)(table))
            assert found["unadjusted_split"].row == row + 1, (row, ratio)


@pytest.mark.slow
def test_most_stocks_spliced_onto_others_are_told_of(shared_data: Path, tmp_path: Path) -> None:
    """Only where price and volume happen to lie near each other does nothing show."""
    paths = sorted((shared_data / "equities_daily").glob("*.feather"))
    stocks = [real(shared_data, f"equities_daily/{p.name}") for p in paths if p.stem != "DKNG"]
    told = 0
    for i, before in enumerate(stocks):
        after = stocks[(i + 7) % len(stocks)]
        both = findings(tmp_path, pl.concat([before[:600], after[600:]]), "1d")
        told += bool(both.keys() & {"identity_change", "unadjusted_split", "scale_break"})
        assert not findings(tmp_path, before, "1d"), paths[i]
    assert told >= 0.75 * len(stocks)


@pytest.mark.slow
def test_cuts_of_clean_files_have_nothing_but_what_is_true(
    shared_data: Path, tmp_path: Path
) -> None:
    rng = np.random.default_rng(1)
    for name, interval in REAL.items():
        table = real(shared_data, name)
        for _ in range(8):
            rows = min(int(rng.choice([50, 300, 3_000, 30_000])), table.height)
            begin = int(rng.integers(0, table.height - rows + 1))
            found = findings(tmp_path, table[begin : begin + rows], interval)
            assert found.keys() <= TRUE_OF_THEM, (name, begin, rows)


DAY_LATER = {"publication_lag": "1d"}
SERIES: dict[str, tuple[dict[str, Any], set[str]]] = {
    "btc_funding_daily_2019_2024.parquet": (DAY_LATER, set()),
    "crypto_fear_greed_2018_2024.csv": ({"publication_lag": "0s"}, set()),
    "macro_usdcop_daily_2019_2023.parquet": (DAY_LATER, set()),
    "sp500_20_close_1990_2022.parquet": (DAY_LATER, set()),
    "macro_daily_2018_2024.parquet": (DAY_LATER, {"copies_next_value"}),
    "macro_monthly_2016_2024.parquet": (
        {"release": {"months": 1, "day": 13, "time": "08:30", "timezone": "America/New_York"}},
        {"frozen_row"},
    ),
}
"""How each is known, and what is true of it: gold on holidays; months carried forward."""


@pytest.mark.slow
@pytest.mark.parametrize("name", SERIES)
def test_real_series_have_nothing_but_what_is_true(shared_data: Path, name: str) -> None:
    path, (rule, true) = shared_data / name, SERIES[name]
    table = pl.read_csv(path) if name.endswith(".csv") else pl.read_parquet(path)
    columns = [c for c in table.columns if c != "timestamp" and table[c].dtype.is_numeric()]
    found = Findings()
    with found.noting():
        read_series([SeriesFile(path=path, columns={c: c for c in columns}, **rule)], found)
    assert {f.rule for f in found.found} == true
    assert {f.severity for f in found.found} <= {"error" if "copies" in str(true) else "warn"}


@pytest.mark.slow
def test_a_part_an_hour_or_more_off_in_any_place(shared_data: Path, tmp_path: Path) -> None:
    table = real(shared_data, "ethusdt_5m_2024.parquet")[:6_000]
    for hours in (-5, -1, 1, 3.5, 5):
        for begin, end in ((0, 200), (2_000, 2_200), (5_800, 6_000)):
            part = WHEN.is_between(begin, end - 1)
            found = findings(tmp_path, later(hours, part)(table), "5m")
            # Shifted away from the rest, a first or last part leaves a hole and nothing else.
            away = (begin == 0 and hours < 0) or (end == 6_000 and hours > 0)
            assert ("gaps" if away else "two_clocks") in found, (hours, begin)
            if begin == 2_000:
                found = findings(tmp_path, later_and_sorted(hours, part)(table), "5m")
                assert found["two_clocks"].others == abs(hours) * 12 - 1
    assert timedelta(minutes=5) == table["timestamp"].diff().min()
