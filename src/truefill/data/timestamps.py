"""Timestamps of every kind -> microseconds in UTC, or an error that names the row.

Understood: typed dates and datetimes of any unit, with or without timezone; ISO 8601 text; epoch
numbers in seconds, milliseconds, microseconds or nanoseconds (told apart by magnitude).
Naive stamps are in the file's ``timezone``; those that a clock change makes ambiguous or impossible
are refused, never shifted.
"""

from __future__ import annotations

from typing import Literal

import polars as pl

from truefill.data.date_order import in_order
from truefill.data.defects import ROW, Findings, refuse

Unit = Literal["auto", "iso", "s", "ms"]
UTC_US = pl.Datetime("us", "UTC")

_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_LARGEST = {"s": 1e11, "ms": 1e14, "us": 1e17, "ns": 1e20}
_EARLIEST_AUTO_S = 315_532_800  # 1980-01-01: smaller numbers are hardly epoch seconds
_SECONDS_AS_MILLIS = 2_592_000  # 1970-01-31
_LATEST_S = 7_258_118_400  # 2200-01-01
_OFFSET = r"(?:[Zz]|[+-]\d{2}(?::?\d{2})?)$"
_ISO = r"^\d{4}-\d{2}-\d{2}(?:[Tt ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?"
_NAIVE = _ISO + ")?$"
_AWARE = _ISO + ")" + _OFFSET


def to_utc(
    table: pl.DataFrame,
    column: str,
    *,
    unit: Unit,
    timezone: str,
    file: str,
    found: Findings | None = None,
) -> pl.DataFrame:
    """``table`` with ``column`` as datetime[us, UTC].

    Rules: ``unreadable_timestamp``, ``mixed_time_units``, ``wrong_time_unit``, ``mixed_timezones``,
    ``ambiguous_time``, ``nonexistent_time``; ``day_first_dates`` and ``month_first_dates``, which
    ``found`` may repair.
    """
    found = found or Findings(file=file)
    stamps = table[column]
    if stamps.dtype == pl.String:
        stamps = stamps.str.strip_chars()
    if stamps.null_count():
        _unreadable(table, column, stamps.is_null(), "the timestamp is empty", file)
    if stamps.dtype == pl.Date:
        stamps = stamps.cast(pl.Datetime("us"))
    if isinstance(stamps.dtype, pl.Datetime):
        utc = _from_datetime(table, column, stamps, timezone, file)
    elif stamps.dtype == pl.String and not _is_epoch_text(stamps, unit):
        stamps = in_order(table, column, stamps, found)
        utc = _from_text(table, column, stamps, timezone, file)
    elif stamps.dtype.is_numeric() or stamps.dtype == pl.String:
        utc = _from_epoch(table, column, stamps, unit, file)
    else:
        refuse(
            "unreadable_timestamp", f"the column's type is {stamps.dtype}", file=file, column=column
        )
    _require_years(table, column, utc, file)
    return table.with_columns(utc.alias(column))


def _refuse_rows(
    rule: str, table: pl.DataFrame, column: str, broken: pl.Series, what: str, file: str,
    do: str = "",
) -> None:  # fmt: skip
    """Raise ``rule`` at the first broken row, if there is one."""
    count = int(broken.sum())
    if count:
        row = table.filter(broken)[ROW][0]
        refuse(rule, what, file=file, row=row, column=column, do=do, others=count - 1)


def _unreadable(
    table: pl.DataFrame, column: str, broken: pl.Series, what: str, file: str, do: str = ""
) -> None:
    _refuse_rows("unreadable_timestamp", table, column, broken, what, file, do)


def _require_years(table: pl.DataFrame, column: str, utc: pl.Series, file: str) -> None:
    """Rule ``wrong_time_unit``: all of it within weeks of 1970, or beyond any data; where only part
    of it lies there, and nothing between then and 1980, ``mixed_time_units``.

    Seconds of 1990 to 2030 read as milliseconds are days of January 1970.
    """
    seconds = utc.dt.epoch("s")
    first, last = seconds.min(), seconds.max()
    if first is None or last is None:
        return
    if int(first) >= 0 and int(last) < _SECONDS_AS_MILLIS:  # type: ignore[arg-type]
        _refuse_rows("wrong_time_unit", table, column, seconds >= 0,
                     f"{utc[0]}: all stamps lie in January 1970", file)  # fmt: skip
    early = (seconds >= 0) & (seconds < _SECONDS_AS_MILLIS)
    if early.any() and not ((seconds < _EARLIEST_AUTO_S) & ~early).any():
        _refuse_rows("mixed_time_units", table, column, early,
                     f"{utc.filter(early)[0]} among stamps of later years", file)  # fmt: skip
    late = seconds > _LATEST_S
    if late.any():
        year = utc.filter(late).dt.year()[0]  # years beyond 9999 are no Python datetimes
        _refuse_rows("wrong_time_unit", table, column, late, f"it lies in the year {year}", file)


def _from_datetime(
    table: pl.DataFrame, column: str, stamps: pl.Series, timezone: str, file: str
) -> pl.Series:
    if stamps.dtype.time_zone is None:  # type: ignore[attr-defined]
        return localize(table, column, stamps.dt.cast_time_unit("us"), timezone, file)
    return stamps.dt.convert_time_zone("UTC").dt.cast_time_unit("us")


def localize(
    table: pl.DataFrame, column: str, naive: pl.Series, timezone: str, file: str
) -> pl.Series:
    """Naive local stamps -> UTC; a clock change makes some ambiguous or impossible: refused."""
    if timezone == "UTC":
        return naive.dt.replace_time_zone("UTC")
    earliest = naive.dt.replace_time_zone(timezone, ambiguous="earliest", non_existent="null")
    strict = naive.dt.replace_time_zone(timezone, ambiguous="null", non_existent="null")
    for rule, broken, what in (
        ("nonexistent_time", earliest.is_null(), "does not exist"),
        ("ambiguous_time", strict.is_null() & earliest.is_not_null(), "exists twice"),
    ):
        if broken.any():
            refuse(
                rule,
                f"{naive.filter(broken)[0]} {what} in {timezone} (clock change)",
                file=file,
                row=table.filter(broken)[ROW][0],
                column=column,
                others=int(broken.sum()) - 1,
            )
    return strict.dt.convert_time_zone("UTC")


def _is_epoch_text(stamps: pl.Series, unit: Unit) -> bool:
    """Text that holds epoch numbers: told by the config, or by its first cell."""
    if unit == "auto":
        head = stamps.head(1)
        return bool(head.str.contains(r"^-?\d+(?:\.\d+)?$").all()) and len(head) > 0
    return unit in ("s", "ms")


def _from_epoch(
    table: pl.DataFrame, column: str, stamps: pl.Series, unit: Unit, file: str
) -> pl.Series:
    if unit == "iso":
        refuse(
            "unreadable_timestamp",
            "timestamp_unit is iso, but the column holds numbers",
            file=file, column=column, do="set timestamp_unit: auto, s or ms",
        )  # fmt: skip
    # Whole numbers stay integers: nanoseconds do not fit a float64.
    whole = stamps.cast(pl.Int64, strict=False)
    numbers = stamps.cast(pl.Float64, strict=False)
    _unreadable(
        table, column, ~numbers.is_finite().fill_null(False),
        "not a number, unlike the first timestamp", file,
    )  # fmt: skip
    chosen = unit if unit != "auto" else _unit_of(float(numbers[0]))
    size = numbers.abs()
    if unit == "auto":
        factor, largest = _SECONDS[chosen], _LARGEST[chosen]
        other = (size >= largest) | (size < largest / 1e3) if chosen != "s" else size >= largest
        _refuse_rows(
            "mixed_time_units", table, column, other,
            f"of another magnitude than the first timestamp, which is in {chosen}", file,
        )  # fmt: skip
        _unreadable(
            table, column, numbers * factor < _EARLIEST_AUTO_S,
            "as epoch seconds this lies before 1980", file,
            do="write ISO dates, or set timestamp_unit: s if it is right",
        )  # fmt: skip
    if whole.null_count() or stamps.dtype.is_float():
        micros = (numbers * (_SECONDS[chosen] * 1e6)).round().cast(pl.Int64)
    elif chosen == "ns":
        micros = whole // 1_000
    else:
        micros = whole * {"s": 1_000_000, "ms": 1_000, "us": 1}[chosen]
    return micros.cast(UTC_US)


def _unit_of(number: float) -> str:
    return next(unit for unit, largest in _LARGEST.items() if abs(number) < largest)


def _from_text(
    table: pl.DataFrame, column: str, stamps: pl.Series, timezone: str, file: str
) -> pl.Series:
    plain = _plain(stamps)
    if plain is not None:
        return localize(table, column, plain[0], "UTC" if plain[1] else timezone, file)
    aware = stamps.str.contains(_AWARE)
    _not_iso(table, column, ~aware & ~stamps.str.contains(_NAIVE), stamps, file)
    if aware.any() and not aware.all():
        odd = aware != aware[0]
        kinds = ("no timezone", "a timezone")
        refuse(
            "mixed_timezones",
            f"{stamps.filter(odd)[0]!r} has {kinds[not aware[0]]}, but row {table[ROW][0]} has "
            f"{kinds[bool(aware[0])]}",
            file=file,
            row=table.filter(odd)[ROW][0],
            column=column,
            others=int(odd.sum()) - 1,
        )
    if not aware.all():
        naive = _parse_naive(table, column, stamps, stamps, file)
        return localize(table, column, naive, timezone, file)
    local = _parse_naive(table, column, stamps.str.replace(_OFFSET, ""), stamps, file)
    utc = local.dt.replace_time_zone("UTC")
    if stamps.str.contains(r"(?:[Zz]|\+00:?00)$").all():
        return utc
    return utc - _offsets(stamps)


def _plain(stamps: pl.Series) -> tuple[pl.Series, bool] | None:
    """Naive datetimes, and whether they are UTC, where all stamps are written alike: to the second,
    without an offset or in UTC; nothing otherwise."""
    first = str(stamps[0])
    end = next((mark for mark in ("Z", "+00:00") if first.endswith(mark)), "")
    if len(first) - len(end) != 19 or first[10] not in "T ":
        return None
    if not bool(((stamps.str.len_bytes() == len(first)) & stamps.str.ends_with(end)).all()):
        return None
    naive = stamps.str.head(19).str.to_datetime(
        f"%Y-%m-%d{first[10]}%H:%M:%S", time_unit="us", strict=False
    )
    return None if naive.null_count() else (naive, end != "")


def _offsets(stamps: pl.Series) -> pl.Series:
    """The offset of each aware stamp from UTC."""
    parts = stamps.to_frame("text").select(
        sign=pl.when(pl.col("text").str.contains(r"-\d{2}(?::?\d{2})?$")).then(-1).otherwise(1),
        hours=pl.col("text").str.extract(r"[+-](\d{2})(?::?\d{2})?$").cast(pl.Int64).fill_null(0),
        minutes=pl.col("text").str.extract(r"[+-]\d{2}:?(\d{2})$").cast(pl.Int64).fill_null(0),
    )
    return parts.select(
        pl.duration(minutes=pl.col("sign") * (pl.col("hours") * 60 + pl.col("minutes")))
    ).to_series()


def _parse_naive(
    table: pl.DataFrame, column: str, text: pl.Series, shown: pl.Series, file: str
) -> pl.Series:
    """ISO text without offset -> naive datetime[us]: a date, or a date with hours and minutes."""
    width = text.str.len_chars()
    full = text.str.replace("[Tt]", " ").to_frame("t")
    complete = (
        pl.when(width == 10)
        .then(pl.col("t") + " 00:00:00")
        .when(width == 16)
        .then(pl.col("t") + ":00")
        .otherwise(pl.col("t"))
    )
    naive = full.select(
        complete.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us", strict=False)
    ).to_series()
    _not_iso(table, column, naive.is_null(), shown, file)
    return naive


def _not_iso(
    table: pl.DataFrame, column: str, broken: pl.Series, shown: pl.Series, file: str
) -> None:
    """Refuse the first text that is no ISO timestamp, if there is one."""
    if broken.any():
        what = f"{shown.filter(broken)[0]!r} is no ISO timestamp"
        do = "write e.g. 2020-01-02T13:00:00Z, or epoch seconds or milliseconds"
        _unreadable(table, column, broken, what, file, do)
