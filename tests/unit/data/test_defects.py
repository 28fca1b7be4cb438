"""Every basic defect is refused by its name, with file, row and column."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from data_cases import GOOD_ROWS, HEADER, config_of, csv_file, parquet_bars, read, walk
from truefill.core.errors import ConfigError, DataError
from truefill.features.build import build_dataset

A, B, C, _ = GOOD_ROWS
SECONDS, MILLISECONDS = "1577836800,1,1,1,1,1", "1577840400000,1,1,1,1,1"

DEFECTS = [
    ("not_a_number", "row 2 column close", [A, "2020-01-01T01:00:00Z,101,103,100,,6", C]),
    ("not_a_number", "row 2 column open", [A, "2020-01-01T01:00:00Z,NaN,103,100,101,6", C]),
    ("not_a_number", "row 3 column high", [A, B, "2020-01-01T02:00:00Z,102,inf,98,99,7"]),
    ("not_a_number", "row 1 column volume", ["2020-01-01T00:00:00Z,100,102,99,101,n/a", B]),
    ("not_a_number", "row 2 column low", [A, '2020-01-01T01:00:00Z,101,103,"1,00",102,6']),
    ("duplicate_timestamp", "row 3 column timestamp", [A, B, B.replace("102", "101"), C]),
    ("duplicate_row", "row 4 column timestamp", [A, B, C, A]),
    ("unsorted", "row 3 column timestamp", [A, C, B]),
    ("non_positive_price", "row 2 column low", [A, "2020-01-01T01:00:00Z,101,103,0,102,6"]),
    ("non_positive_price", "row 1 column close", ["2020-01-01T00:00:00Z,100,102,99,-1,5", B]),
    ("high_below_low", "row 2 column high", [A, "2020-01-01T01:00:00Z,101,100,103,102,6"]),
    ("close_outside_range", "row 2 column close", [A, "2020-01-01T01:00:00Z,101,103,100,104,6"]),
    ("open_outside_range", "row 2 column open", [A, "2020-01-01T01:00:00Z,99,103,100,102,6"]),
    ("negative_volume", "row 2 column volume", [A, "2020-01-01T01:00:00Z,101,103,100,102,-6"]),
    ("mixed_timezones", "row 3 column timestamp", [A, B, "2020-01-01T02:00:00,102,102,98,99,7"]),
    ("mixed_timezones", "row 2 column timestamp", [A.replace("Z", ""), B]),
    ("unreadable_timestamp", "row 2 column timestamp", [A, "yesterday,101,103,100,102,6"]),
    ("unreadable_timestamp", "row 2 column timestamp", [A, "2020-13-01T01:00:00Z,1,1,1,1,6"]),
    ("unreadable_timestamp", "row 2 column timestamp", [A, ",101,103,100,102,6"]),
    ("unreadable_timestamp", "row 1 column timestamp", ["20200101,1,1,1,1,1"]),
    ("mixed_time_units", "row 2 column timestamp", [SECONDS, MILLISECONDS]),
    ("interval_mismatch", "column timestamp", [A, C]),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "place", "rows"), DEFECTS)
def test_defect_is_named_with_its_place(
    tmp_path: Path, rule: str, place: str, rows: list[str]
) -> None:
    with pytest.raises(DataError) as caught:
        read(csv_file(tmp_path, rows))
    assert caught.value.rule == rule
    assert caught.value.where == f"bars.csv {place}"
    assert f"[{rule}]" in str(caught.value)


def test_good_rows_pass(tmp_path: Path) -> None:
    table = read(csv_file(tmp_path, GOOD_ROWS))
    assert table["close"].to_list() == [101.0, 102.0, 99.0, 99.0]
    assert table.schema["timestamp"] == pl.Datetime("us", "UTC")


def test_missing_columns_suggest_the_mapping(tmp_path: Path) -> None:
    path = csv_file(tmp_path, GOOD_ROWS, HEADER.title())
    with pytest.raises(DataError) as caught:
        read(path)
    assert caught.value.rule == "missing_columns"
    assert "Open: open" in caught.value.do and "Volume: volume" in caught.value.do


def test_missing_volume_is_an_error_that_names_the_mapping(tmp_path: Path) -> None:
    rows = [row.rsplit(",", 1)[0] for row in GOOD_ROWS]
    with pytest.raises(DataError, match="volume") as caught:
        read(csv_file(tmp_path, rows, HEADER.removesuffix(",volume")))
    assert caught.value.rule == "missing_columns" and "columns:" in caught.value.do


def test_a_mapping_of_an_absent_column_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Did you mean 'close'") as caught:
        read(csv_file(tmp_path, GOOD_ROWS), columns={"clos": "close"})
    assert caught.value.rule == "missing_columns"


@pytest.mark.parametrize(
    ("name", "content", "rule"),
    [
        ("bars.csv", b"", "empty_file"),
        ("bars.csv", HEADER.encode() + b"\n", "empty_file"),
        ("bars.xlsx", b"x", "unknown_file_type"),
        ("bars.parquet", b"not parquet", "unreadable_file"),
        ("bars.feather", b"not feather", "unreadable_file"),
        ("bars.csv", (HEADER + "\n" + A + ",surplus,cells\n").encode(), "unreadable_file"),
    ],
)
def test_broken_files_are_named(tmp_path: Path, name: str, content: bytes, rule: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        read(tmp_path / name)
    assert caught.value.rule == rule and name in caught.value.where


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        read(tmp_path / "nowhere.csv")


def test_null_and_nan_in_parquet_are_refused(tmp_path: Path) -> None:
    for broken in (None, float("nan"), float("inf")):
        table = walk(5).with_columns(
            close=pl.when(pl.int_range(5) == 3).then(pl.lit(broken, pl.Float64)).otherwise("close")
        )
        table.write_parquet(tmp_path / "b.parquet")
        with pytest.raises(DataError) as caught:
            read(tmp_path / "b.parquet", symbol=None)
        assert (caught.value.rule, caught.value.where) == (
            "not_a_number",
            "b.parquet row 4 column close",
        )


def test_no_symbol_anywhere_and_conflicting_symbols(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="symbol") as caught:
        read(csv_file(tmp_path, GOOD_ROWS), symbol=None)
    assert caught.value.rule == "missing_columns"
    pl.concat([walk(3, symbol="A"), walk(3, symbol="B")]).write_parquet(tmp_path / "two.parquet")
    with pytest.raises(DataError) as caught:
        read(tmp_path / "two.parquet", symbol="A")
    assert caught.value.rule == "symbol_conflict"


def test_one_symbol_in_two_files_is_refused(tmp_path: Path) -> None:
    one = parquet_bars(tmp_path, walk(480), "one.parquet")
    two = parquet_bars(tmp_path, walk(480, seed=1), "two.parquet")
    with pytest.raises(DataError) as caught:
        build_dataset(config_of({"bars": [one, two]}))
    assert caught.value.rule == "symbol_overlap"
    assert "one.parquet" in str(caught.value) and "two.parquet" in str(caught.value)


def test_two_symbols_may_share_timestamps_and_come_unsorted_by_symbol(tmp_path: Path) -> None:
    both = pl.concat([walk(4, symbol="B"), walk(4, seed=1, symbol="A")])
    both.write_parquet(tmp_path / "two.parquet")
    table = read(tmp_path / "two.parquet", symbol=None)
    assert table["symbol"].to_list() == ["A"] * 4 + ["B"] * 4


def test_an_unknown_sample_is_refused() -> None:
    with pytest.raises(ConfigError, match="eurusd_1h"):
        read(Path("sample:eurusd"))
