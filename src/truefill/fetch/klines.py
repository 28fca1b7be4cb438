"""Raw kline files as exchanges publish them: CSV, or CSV in a zip, twelve columns a row.

With and without a header; stamps in milliseconds or (since 2025) microseconds; files of days and of
months that overlap. Where a ``.CHECKSUM`` file lies beside a zip, it must match.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
from pydantic import Field

from truefill.config.fields import Duration, Moment
from truefill.core.errors import DataError, UsageError
from truefill.core.fingerprint import sha256_file
from truefill.core.registry import Params
from truefill.fetch.base import PRICES, SOURCES, UTC_US, About

EXTRA = ("quote_volume", "trades", "taker_buy_volume", "taker_buy_quote_volume")
CELLS = ("open_time", *PRICES, "close_time", *EXTRA, "ignore")
AGAIN = "download the file again"
_UNITS = {"m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


class KlinesParams(Params):
    """A folder of raw kline files (SYMBOL-INTERVAL-DATE.csv or .zip), as exchanges publish them."""

    folder: Path = Field(description="folder of the files; folders in it count too")
    symbol: str = Field(description="as in the files' names, e.g. BTCUSDT")
    interval: Duration = Field(description="as in the files' names, e.g. 1m, 4h, 1d")
    start: Moment | None = Field(None, description="first moment wanted; null = all")
    end: Moment | None = Field(None, description="end, exclusive; null = all")


@dataclass(frozen=True)
class _File:
    """One file's rows; the last one may have been unclosed when it was saved."""

    name: str
    rows: pl.DataFrame


@SOURCES.register("klines", KlinesParams)
class Klines:
    def __init__(self, params: KlinesParams) -> None:
        self.params = params

    @property
    def about(self) -> About:
        return About("bars", self.params.symbol, self.params.interval, (*PRICES, *EXTRA), {},
                     whole=True)  # fmt: skip

    def pages(self, start: datetime | None, until: datetime) -> Iterator[pl.DataFrame]:
        """All files as one page. Raises ``DataError`` with file and row."""
        files = [self._read(path) for path in self._paths()]
        table = _merged(files).filter(pl.col("timestamp") <= until)
        yield table if start is None else table.filter(pl.col("timestamp") >= start)

    def _paths(self) -> list[Path]:
        folder, p = self.params.folder, self.params
        if not folder.is_dir():
            raise UsageError("there is no such folder", where=str(folder))
        prefix = f"{p.symbol}-{interval_text(p.interval)}-"
        files = sorted(f for f in folder.rglob("*") if f.suffix.lower() in (".csv", ".zip"))
        own = [file for file in files if file.name.startswith(prefix)]
        if not own:
            names = ", ".join(file.name for file in files[:3]) or "no .csv and no .zip"
            raise UsageError(
                f"no file's name starts with {prefix}", where=str(folder), do=f"it holds {names}"
            )
        return sorted(own, key=lambda file: file.name)

    def _read(self, path: Path) -> _File:
        data = _unzipped(path) if path.suffix.lower() == ".zip" else path.read_bytes()
        table = _cells(data, path.name)
        rows = _typed(table, path.name, self.params.interval)
        saved = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        return _File(path.name, _closed(rows, saved, self.params.interval))


def _closed(rows: pl.DataFrame, saved: datetime, interval_s: float) -> pl.DataFrame:
    """``rows`` without the last one where the file was saved during it. A file that seems to be
    older than its last row begins has another's clock (copied, unpacked): its rows stay."""
    last = rows["timestamp"][-1]
    return rows[:-1] if last <= saved < last + timedelta(seconds=interval_s) else rows


def interval_text(interval_s: float) -> str:
    """Seconds as in files' names.

    >>> interval_text(14_400)
    '4h'
    """
    for unit, seconds in reversed(_UNITS.items()):
        if interval_s >= seconds and interval_s % seconds == 0:
            return f"{interval_s / seconds:.0f}{unit}"
    raise UsageError(f"no kline files have bars of {interval_s:g} s", do="e.g. interval=1m")


def _unzipped(path: Path) -> bytes:
    check = path.with_name(path.name + ".CHECKSUM")
    if check.is_file() and check.read_text().split()[:1] != [sha256_file(path)]:
        raise DataError(
            "wrong_checksum", "the file does not match the .CHECKSUM beside it", where=path.name,
            do="download both again",
        )  # fmt: skip
    try:
        with zipfile.ZipFile(path) as archive:
            inside = [name for name in archive.namelist() if name.lower().endswith(".csv")]
            if len(inside) != 1:
                raise DataError(
                    "unreadable_file", f"holds {len(inside)} CSV files, not one", where=path.name,
                    do="unpack it, and give the folder of the CSV files",
                )  # fmt: skip
            return archive.read(inside[0])
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError("unreadable_file", f"{error}", where=path.name, do=AGAIN) from error


def _cells(data: bytes, file: str) -> pl.DataFrame:
    """The twelve columns as text, without a header."""
    try:
        table = pl.read_csv(data, has_header=False, infer_schema=False)
    except pl.exceptions.NoDataError:
        raise DataError("empty_file", "the file is empty", where=file, do=AGAIN) from None
    except pl.exceptions.PolarsError as error:
        what = f"{error}".split("\n")[0]
        raise DataError("unreadable_file", what, where=file, do=AGAIN) from error
    if table.width != len(CELLS):
        raise DataError(
            "wrong_columns", f"{table.width} columns, a kline has {len(CELLS)}", where=file,
            do=f"the columns are {', '.join(CELLS)}",
        )  # fmt: skip
    table.columns = list(CELLS)
    table = table.with_row_index("row", offset=1)
    if not str(table["open_time"][0]).strip().isdigit():
        if str(table["open_time"][0]).strip().lower().replace(" ", "_") != "open_time":
            raise DataError(
                "unreadable_timestamp", f"{table['open_time'][0]!r} is no stamp and no header",
                where=f"{file} row 1 column open_time", do=AGAIN,
            )  # fmt: skip
        table = table.slice(1)
    return table


def _typed(table: pl.DataFrame, file: str, interval_s: float) -> pl.DataFrame:
    opened = _micros(table, "open_time", file)
    closing = _micros(table, "close_time", file)
    wrong = (closing - opened + 1 != round(interval_s * 1e6)) & (
        closing - opened + 1_000 != round(interval_s * 1e6)
    )
    if wrong.any():
        row = table.filter(wrong)["row"][0]
        raise DataError(
            "wrong_interval", f"the row does not last {interval_s:g} s",
            where=f"{file} row {row} column close_time", do="is interval= that of the files?",
        )  # fmt: skip
    values = {}
    for name in (*PRICES, *EXTRA):
        values[name] = table[name].str.strip_chars().cast(pl.Float64, strict=False)
        broken = ~values[name].is_finite().fill_null(False)
        if broken.any():
            row = table.filter(broken).row(0, named=True)
            raise DataError(
                "not_a_number", f"{row[name]!r} is no finite number",
                where=f"{file} row {row['row']} column {name}", do=AGAIN,
            )  # fmt: skip
    rows = pl.DataFrame({"timestamp": opened.cast(UTC_US), **values, "row": table["row"]})
    late = rows["timestamp"].diff().dt.total_microseconds() <= 0
    if late.any():
        row = rows.filter(late)["row"][0]
        raise DataError(
            "unsorted", "not later than the row before it", where=f"{file} row {row}", do=AGAIN
        )
    return rows


def _micros(table: pl.DataFrame, name: str, file: str) -> pl.Series:
    """Epoch stamps of 13 digits (milliseconds) or 16 (microseconds), row by row."""
    number = table[name].str.strip_chars().cast(pl.Int64, strict=False)
    wide = number >= 10**14
    broken = (number.is_null() | (number < 10**11) | (number >= 10**17)).fill_null(True)
    if broken.any():
        row = table.filter(broken).row(0, named=True)
        raise DataError(
            "unreadable_timestamp", f"{row[name]!r} is no epoch in milliseconds or microseconds",
            where=f"{file} row {row['row']} column {name}", do=AGAIN,
        )  # fmt: skip
    return number.to_frame("n").select(
        pl.when(wide).then(pl.col("n")).otherwise(pl.col("n") * 1_000)
    ).to_series()  # fmt: skip


def _merged(files: list[_File]) -> pl.DataFrame:
    """Each moment once. Raises rule ``conflicting_rows`` where two files disagree about a row, but
    for one that may not have been closed: it ends its file, and the other one has grown from it."""
    values = [*PRICES, *EXTRA]
    table = pl.concat(
        file.rows.with_columns(
            file=pl.lit(file.name), ends=pl.col("timestamp") == pl.col("timestamp").max()
        )
        for file in files
    ).sort("timestamp", "ends", "file")
    grown = (
        (pl.col("open").first() == pl.col("open"))
        & (pl.col("volume").first() >= pl.col("volume"))
        & (pl.col("trades").first() >= pl.col("trades"))
        & ~pl.col("ends").first()
    )
    table = table.filter(~(pl.col("ends") & grown.over("timestamp")))
    table = table.unique(["timestamp", *values], keep="first", maintain_order=True)
    twice = table.filter(pl.col("timestamp").is_duplicated())
    if twice.height:
        a, b = twice.row(0, named=True), twice.row(1, named=True)
        name = next(name for name in values if a[name] != b[name])
        raise DataError(
            "conflicting_rows",
            f"{a['timestamp']}: {name} is {a[name]} in {a['file']} row {a['row']}, but {b[name]}",
            where=f"{b['file']} row {b['row']} column {name}",
            do="remove the file that is wrong",
        )
    return table.select("timestamp", *values)
