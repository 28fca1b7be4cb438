"""Raw kline files: every form in which exchanges publish them, and every way they break."""

from __future__ import annotations

import os
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from fetch_cases import (
    START,
    START_MS,
    bring,
    files,
    hours,
    in_micros,
    kline_rows,
    prices,
    write_klines,
)
from truefill.core.errors import ConfigError, DataError, UsageError
from truefill.core.fingerprint import sha256_file
from truefill.data.snapshots import read_snapshot

HEADER = "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"  # noqa: E501
OURS = {"symbol": "BTCUSDT", "interval": "1h"}


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """An empty folder for raw files."""
    (tmp_path / "raw").mkdir()
    return tmp_path / "raw"


def zipped(path: Path, rows: list[list[str]], header: str = "") -> None:
    """Rows as a zip that holds one CSV file."""
    write_klines(path.with_suffix(".csv"), rows, header)
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(path.with_suffix(".csv"), path.with_suffix(".csv").name)
    path.with_suffix(".csv").unlink()


def test_csv_and_zip_header_or_none_milliseconds_or_microseconds_are_one_history(
    raw: Path, tmp_path: Path
) -> None:
    rows = kline_rows(96)
    zipped(raw / "BTCUSDT-1h-2024-01.zip", rows[:40])
    write_klines(raw / "BTCUSDT-1h-2024-01-02.csv", rows[24:48], HEADER)
    write_klines(raw / "BTCUSDT-1h-2024-01-03.csv", in_micros(rows[48:96]))
    write_klines(raw / "ETHUSDT-1h-2024-01-03.csv", rows[:3])
    write_klines(raw / "BTCUSDT-15m-2024-01-03.csv", rows[:3])
    done = bring("klines", tmp_path / "s", folder=raw, **OURS)
    table = read_snapshot(tmp_path / "s")
    assert hours(table) == list(range(96))
    assert table.row(50) == (
        START + timedelta(hours=50), "BTCUSDT", *prices(50), 10.5, 1050.0, 70.0, 6.25, 625.0,
    )  # fmt: skip
    assert table.columns[-4:] == [
        "quote_volume", "trades", "taker_buy_volume", "taker_buy_quote_volume",
    ]  # fmt: skip
    assert (done.added, done.rows, done.parts) == (96, 96, 1)


def test_a_bar_is_stored_once_it_has_closed(raw: Path, tmp_path: Path) -> None:
    write_klines(raw / "BTCUSDT-1h-2024-01-01.csv", kline_rows(10))
    for minutes, rows in ((599, 9), (600, 10)):
        now = START + timedelta(minutes=minutes)
        assert bring("klines", tmp_path / "s", now, folder=raw, **OURS).rows == rows


def test_a_bar_that_was_open_when_its_file_was_saved_is_left_out(raw: Path, tmp_path: Path) -> None:
    path = raw / "BTCUSDT-1h-2024-01-01.csv"
    write_klines(path, kline_rows(10))
    saved = (START + timedelta(hours=9, minutes=30)).timestamp()
    os.utime(path, (saved, saved))
    assert bring("klines", tmp_path / "s", folder=raw, **OURS).rows == 9


def test_a_misspelt_parameter_is_the_one_that_is_named(raw: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"parameter 'symbl'[\s\S]*Did you mean 'symbol'"):
        bring("klines", tmp_path / "s", folder=raw, symbl="BTCUSDT", interval="1h")


def test_a_file_older_than_its_last_row_keeps_its_rows(raw: Path, tmp_path: Path) -> None:
    """A copied file has the copy's clock, or none: no reason to throw bars away."""
    path = raw / "BTCUSDT-1h-2024-01-01.csv"
    write_klines(path, kline_rows(10))
    os.utime(path, (0, 0))
    assert bring("klines", tmp_path / "s", folder=raw, **OURS).rows == 10


def test_a_hole_is_told_of(raw: Path, tmp_path: Path) -> None:
    rows = kline_rows(24 * 9)
    write_klines(raw / "BTCUSDT-1h-2024-01.csv", rows[:24] + rows[24 * 7 :])
    told = bring("klines", tmp_path / "s", folder=raw, **OURS).warnings
    assert told == (
        "holes of more than 5 days: 1; the longest, 6 days, after 2024-01-01T23:00:00+00:00",
    )


def test_the_open_last_bar_of_a_file_gives_way_to_its_closed_form(
    raw: Path, tmp_path: Path
) -> None:
    rows = kline_rows(12)
    unclosed = [*rows[5][:4], "99.00", "1.0", rows[5][6], "99.0", "2", "0.5", "49.5", "0"]
    write_klines(raw / "BTCUSDT-1h-2024-01-01-a.csv", [*rows[:5], unclosed])
    write_klines(raw / "BTCUSDT-1h-2024-01-01-b.csv", rows[3:])
    bring("klines", tmp_path / "s", folder=raw, **OURS)
    assert read_snapshot(tmp_path / "s")["close"].to_list() == [prices(i)[3] for i in range(12)]


def test_a_last_row_that_the_other_file_has_not_grown_from_is_a_conflict(
    raw: Path, tmp_path: Path
) -> None:
    rows = kline_rows(12)
    fuller = [*rows[5][:4], "99.00", "11.0", *rows[5][6:]]
    write_klines(raw / "BTCUSDT-1h-a.csv", [*rows[:5], fuller])
    write_klines(raw / "BTCUSDT-1h-b.csv", rows[3:])
    with pytest.raises(DataError, match="conflicting_rows"):
        bring("klines", tmp_path / "s", folder=raw, **OURS)


def test_files_that_disagree_are_refused_with_both_rows(raw: Path, tmp_path: Path) -> None:
    rows = kline_rows(12)
    other = [list(row) for row in rows[3:]]
    other[2][4] = "100.75"
    write_klines(raw / "BTCUSDT-1h-a.csv", rows)
    write_klines(raw / "BTCUSDT-1h-b.csv", other)
    with pytest.raises(DataError, match=r"conflicting_rows.*b?") as error:
        bring("klines", tmp_path / "s", folder=raw, **OURS)
    text = str(error.value)
    assert "BTCUSDT-1h-a.csv row 6" in text and "BTCUSDT-1h-b.csv row 3 column close" in text
    assert files(tmp_path / "s") == []


@pytest.mark.parametrize(
    ("change", "rule", "where"),
    [
        (
            lambda r: r[4].__setitem__(0, "1704067200"),
            "unreadable_timestamp",
            "row 5 column open_t",
        ),
        (lambda r: r[4].__setitem__(4, "n/a"), "not_a_number", "row 5 column close"),
        (lambda r: r[4].__setitem__(5, "inf"), "not_a_number", "row 5 column volume"),
        (lambda r: r[4].__setitem__(6, r[3][6]), "wrong_interval", "row 5 column close_time"),
        (lambda r: r.insert(4, r[3]), "unsorted", "row 5"),
        (lambda r: [row.pop() for row in r], "wrong_columns", "BTCUSDT-1h-x.csv"),
        (lambda r: r[0].__setitem__(0, "hello"), "unreadable_timestamp", "row 1"),
        (lambda r: r.clear(), "empty_file", "BTCUSDT-1h-x.csv"),
    ],
)
def test_a_broken_row_is_named(
    raw: Path, tmp_path: Path, change: object, rule: str, where: str
) -> None:
    rows = kline_rows(8)
    change(rows)  # type: ignore[operator]
    path = raw / "BTCUSDT-1h-x.csv"
    write_klines(path, rows)
    if not rows:
        path.write_text("")
    with pytest.raises(DataError) as error:
        bring("klines", tmp_path / "s", folder=raw, **OURS)
    assert error.value.rule == rule
    assert where in error.value.where
    assert files(tmp_path / "s") == []


def test_a_checksum_beside_a_zip_must_match(raw: Path, tmp_path: Path) -> None:
    path = raw / "BTCUSDT-1h-2024-01.zip"
    zipped(path, kline_rows(8))
    check = path.with_name(path.name + ".CHECKSUM")
    check.write_text(f"{sha256_file(path)}  {path.name}\n")
    assert bring("klines", tmp_path / "s", folder=raw, **OURS).rows == 8
    check.write_text(f"{'0' * 64}  {path.name}\n")
    with pytest.raises(DataError, match="wrong_checksum"):
        bring("klines", tmp_path / "t", folder=raw, **OURS)
    check.unlink()
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match="unreadable_file"):
        bring("klines", tmp_path / "t", folder=raw, **OURS)


def test_no_file_of_that_name_says_what_there_is(raw: Path, tmp_path: Path) -> None:
    write_klines(raw / "ETHUSDT-1h-2024-01-01.csv", kline_rows(3))
    with pytest.raises(UsageError, match=r"BTCUSDT-1h-.*\n.*ETHUSDT-1h-2024-01-01.csv"):
        bring("klines", tmp_path / "s", folder=raw, **OURS)


def test_real_bars_of_two_months_come_back_bit_by_bit(
    shared_data: Path, raw: Path, tmp_path: Path
) -> None:
    real = pl.read_ipc(shared_data / "btcusdt_5m_2024.feather")
    real = real.head(17_280)
    opened = real["timestamp"].dt.epoch("ms").to_list()
    cells = list(
        zip(*(real[n].to_list() for n in ("open", "high", "low", "close", "volume")), strict=True)
    )
    rows = [
        [str(ms), *map(repr, cell), str(ms + 299_999), "0.0", "1", "0.0", "0.0", "0"]
        for ms, cell in zip(opened, cells, strict=True)
    ]
    half = len(rows) // 2
    zipped(raw / "BTCUSDT-5m-2024-a.zip", rows[: half + 288])
    write_klines(raw / "BTCUSDT-5m-2024-b.csv", in_micros(rows[half:]), HEADER)
    now = datetime(2025, 1, 1, tzinfo=UTC)
    done = bring("klines", tmp_path / "s", now, folder=raw, symbol="BTCUSDT", interval="5m")
    table = read_snapshot(tmp_path / "s")
    assert done.rows == real.height
    names = ["open", "high", "low", "close", "volume"]
    assert table.select(names).equals(real.select(names))
    assert table["timestamp"].equals(real["timestamp"].cast(pl.Datetime("us", "UTC")))
    assert opened[0] == START_MS
