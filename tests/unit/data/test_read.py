"""Timestamps of any kind become the same UTC instants; files of any type the same table."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from data_cases import GOOD_ROWS, csv_file, read, walk
from truefill.core.errors import DataError
from truefill.data.table import SAMPLE_FOLDER

FIRST, SECOND = datetime(2020, 1, 2, 13, tzinfo=UTC), datetime(2020, 1, 2, 14, tzinfo=UTC)

STAMPS = [
    ("2020-01-02T13:00:00Z", "2020-01-02T14:00:00Z", {}),
    ("2020-01-02 13:00:00+00:00", "2020-01-02 14:00:00+00:00", {}),
    ("2020-01-02 08:00-05:00", "2020-01-02 09:00-05:00", {}),
    ("2020-01-02T18:30:00+0530", "2020-01-02T19:30:00.000+05:30", {}),
    ("2020-01-02T15:00:00+02", "2020-01-02T14:00:00+00", {}),
    ("2020-01-02T13:00:00.000", "2020-01-02T14:00:00", {}),
    ("2020-01-02 08:00:00", "2020-01-02 09:00:00", {"timezone": "America/Bogota"}),
    ("2020-01-02 14:00", "2020-01-02 15:00", {"timezone": "Europe/Berlin"}),
    ("1577970000", "1577973600", {}),
    ("1577970000.0", "1577973600.0", {}),
    ("1577970000000", "1577973600000", {}),
    ("1577970000000000", "1577973600000000", {}),
    ("1577970000000000000", "1577973600000000000", {}),
    ("1577970000", "1577973600", {"timestamp_unit": "s"}),
    ("1577970000000", "1577973600000", {"timestamp_unit": "ms"}),
    ("2020-01-02T13:00:00Z", "2020-01-02T14:00:00Z", {"timestamp_unit": "iso"}),
]


@pytest.mark.parametrize(("first", "second", "options"), STAMPS)
def test_every_written_form_is_the_same_instant(
    tmp_path: Path, first: str, second: str, options: dict[str, str]
) -> None:
    rows = [f"{stamp},1,1,1,1,0" for stamp in (first, second)]
    assert read(csv_file(tmp_path, rows), **options)["timestamp"].to_list() == [FIRST, SECOND]


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "America/Bogota"])
def test_typed_datetimes_of_any_unit_and_zone(tmp_path: Path, unit: str, zone: str | None) -> None:
    stamps = pl.Series([FIRST, SECOND]).dt.cast_time_unit(unit)  # type: ignore[arg-type]
    options = {}
    if zone is None:
        stamps = stamps.dt.convert_time_zone("America/Bogota").dt.replace_time_zone(None)
        options = {"timezone": "America/Bogota"}
    else:
        stamps = stamps.dt.convert_time_zone(zone)
    walk(2).with_columns(timestamp=stamps).write_parquet(tmp_path / "b.parquet")
    table = read(tmp_path / "b.parquet", **options)
    assert table["timestamp"].to_list() == [FIRST, SECOND]
    assert table.schema["timestamp"] == pl.Datetime("us", "UTC")


@pytest.mark.parametrize("dtype", [pl.Int64, pl.Float64, pl.UInt64])
def test_epoch_numbers_in_typed_files(tmp_path: Path, dtype: pl.DataType) -> None:
    stamps = pl.Series([1_577_970_000_000, 1_577_973_600_000]).cast(dtype)
    walk(2).with_columns(timestamp=stamps).write_parquet(tmp_path / "b.parquet")
    assert read(tmp_path / "b.parquet")["timestamp"].to_list() == [FIRST, SECOND]


def test_dates_are_midnight(tmp_path: Path) -> None:
    rows = ["2020-01-02,1,1,1,1,0", "2020-01-03,1,1,1,1,0"]
    table = read(csv_file(tmp_path, rows), interval_s=86_400)
    assert table["timestamp"][0] == datetime(2020, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("stamp", "rule"),
    [("2021-11-07 01:30", "ambiguous_time"), ("2021-03-14 02:30", "nonexistent_time")],
)
def test_clock_changes_are_refused_not_shifted(tmp_path: Path, stamp: str, rule: str) -> None:
    path = csv_file(tmp_path, ["2021-01-01 00:30,1,1,1,1,0", f"{stamp},1,1,1,1,0"])
    with pytest.raises(DataError) as caught:
        read(path, timezone="America/New_York")
    assert caught.value.rule == rule
    assert caught.value.where == "bars.csv row 2 column timestamp"


def test_numbers_are_refused_when_iso_is_asked_for(tmp_path: Path) -> None:
    walk(2).with_columns(timestamp=pl.Series([1, 2])).write_parquet(tmp_path / "b.parquet")
    with pytest.raises(DataError, match="iso"):
        read(tmp_path / "b.parquet", timestamp_unit="iso")


def test_all_file_types_give_the_same_table(tmp_path: Path) -> None:
    table = walk(50)
    table.write_parquet(tmp_path / "b.parquet")
    table.write_ipc(tmp_path / "b.feather", compression="lz4")
    table.drop("symbol").write_csv(tmp_path / "b.csv")
    tables = [read(tmp_path / f"b.{end}") for end in ("parquet", "feather", "csv")]
    assert tables[0].equals(table) and tables[1].equals(table) and tables[2].equals(table)


def test_columns_are_renamed_and_a_mapped_one_replaces_its_namesake(tmp_path: Path) -> None:
    rows = [f"{row},{row.split(',')[2]}" for row in GOOD_ROWS]  # adjusted = high
    header = "when,open,high,low,close,volume,adjusted"
    path = csv_file(tmp_path, rows, header)
    table = read(path, columns={"when": "timestamp", "adjusted": "close"})
    assert table["close"].to_list() == table["high"].to_list() == [102.0, 103.0, 102.0, 99.0]
    assert table.columns == ["timestamp", "symbol", "open", "high", "low", "close", "volume"]


@pytest.mark.parametrize(
    ("name", "interval_s", "rows"), [("eurusd_1h", 3_600, 6_225), ("googl_1d", 86_400, 2_335)]
)
def test_the_shipped_samples_are_clean(name: str, interval_s: int, rows: int) -> None:
    table = read(Path(f"sample:{name}"), interval_s=interval_s)
    assert table.height == rows
    assert (SAMPLE_FOLDER / "LICENSE.gym-anytrading").read_text().startswith("MIT License")
    assert f"sample:{name}" in (SAMPLE_FOLDER / "ATTRIBUTION.md").read_text()


@pytest.mark.parametrize(
    ("file", "interval_s", "options", "rows"),
    [
        ("usdcop_5m_2020_2023.parquet", 300, {}, 59_338),
        ("btcusdt_5m_2024.feather", 300, {}, 71_769),
        ("btcusdt_1h_2017_2022.csv", 3_600, {}, 46_981),
        ("eurusd_1h_2007_2016.parquet", 3_600, {}, 62_116),
        ("equities_daily/JD.feather", 86_400, {}, 1_258),
    ],
)
def test_real_files_are_read_whole(
    shared_data: Path, file: str, interval_s: int, options: dict[str, str], rows: int
) -> None:
    assert read(shared_data / file, interval_s=interval_s, **options).height == rows
