"""The basic defects of bars, each refused by name with file, row, column and rule.

Rows count from 1 and leave the header out: row 1 is the first row of data in the file.
A bar with open = high = low = close is legal (close-only data) and only counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NoReturn

import polars as pl

from truefill.core.errors import DataError, did_you_mean

PRICES = ("open", "high", "low", "close")
NUMBERS = (*PRICES, "volume")
BAR_COLUMNS = ("timestamp", *NUMBERS)
ROW = "__row__"
"""Column of a table being checked: the row's number in its file."""


def refuse(
    rule: str,
    what: str,
    *,
    file: str,
    row: int | None = None,
    column: str | None = None,
    do: str = "",
) -> NoReturn:
    """Raise the ``DataError`` that names rule, file, row and column."""
    where = file
    if row is not None:
        where += f" row {row}"
    if column is not None:
        where += f" column {column}"
    raise DataError(rule, what, where=where, do=do)


def first_row(table: pl.DataFrame, broken: pl.Expr | pl.Series) -> tuple[dict[str, object], int]:
    """The first row where ``broken`` holds, and how many there are (0: an empty row)."""
    found = table.filter(broken)
    return (found.row(0, named=True) if found.height else {}), found.height


def more(count: int) -> str:
    """`` (and 3 more rows)``, or nothing."""
    others = count - 1
    return f" (and {others:,} more row{'s' if others > 1 else ''})" if others > 0 else ""


def require_columns(found: Iterable[str], needed: Iterable[str], file: str) -> None:
    """Rule ``missing_columns``; suggests a ``columns:`` mapping where only the case differs."""
    found = [name for name in found if name != ROW]
    missing = [name for name in needed if name not in found]
    if not missing:
        return
    lower = {name.strip().lower(): name for name in found}
    pairs = [f"{lower[name]}: {name}" for name in missing if name in lower]
    mapping = ", ".join(pairs) or f"SOURCE: {missing[0]}"
    refuse(
        "missing_columns",
        f"no column {', '.join(repr(name) for name in missing)}; the file has {', '.join(found)}",
        file=file,
        do=f"map the file's own names to ours, e.g. columns: {{{mapping}}}",
    )


def require_sources(found: Iterable[str], mapping: Mapping[str, str], file: str) -> None:
    """Rule ``missing_columns`` for a ``columns:`` mapping that names what is not there."""
    found = [name for name in found if name != ROW]
    for source, ours in mapping.items():
        if source not in found:
            refuse(
                "missing_columns",
                f"columns maps {source!r} to {ours!r}, but the file has no {source!r}",
                file=file,
                do=did_you_mean(source, found),
            )


def to_numbers(
    table: pl.DataFrame, columns: Iterable[str], file: str, *, allow_null: bool = False
) -> pl.DataFrame:
    """``columns`` as float64; rule ``not_a_number`` for text, null, NaN and infinities.

    With ``allow_null`` an empty cell, null or NaN becomes null (slow series have holes; bars do
    not).
    """
    for name in columns:
        source = table[name]
        if source.dtype == pl.String:
            source = source.str.strip_chars()
            if allow_null:
                source = source.set(source == "", None)
        elif not (source.dtype.is_numeric() or source.dtype == pl.Null):
            refuse("not_a_number", f"the column's type is {source.dtype}", file=file, column=name)
        values = source.cast(pl.Float64, strict=False)
        finite = values.is_finite().fill_null(False)
        if allow_null:
            values = values.fill_nan(None)
            finite = finite | source.is_null() | (values.is_null() & _is_nan_text(source))
        if not finite.all():
            broken = table.with_columns(source.alias(name)).filter(~finite)
            refuse(
                "not_a_number",
                f"{broken[name][0]!r} is no finite number{more(broken.height)}",
                file=file,
                row=broken[ROW][0],
                column=name,
                do="repair or drop the row in the source; nothing is filled in here",
            )
        table = table.with_columns(values.alias(name))
    return table


def _is_nan_text(source: pl.Series) -> pl.Series:
    if source.dtype == pl.String:
        return source.str.to_lowercase() == "nan"
    return source.is_nan() if source.dtype.is_float() else pl.repeat(False, len(source), eager=True)


def check_order(table: pl.DataFrame, file: str) -> None:
    """Rules ``duplicate_timestamp`` and ``unsorted``, within each symbol."""
    step = pl.col("timestamp").diff().over("symbol").dt.total_microseconds()
    late, count = first_row(table, (step <= 0).fill_null(False))
    if not count:
        return
    row, moment, symbol = int(str(late[ROW])), late["timestamp"], str(late["symbol"])
    earlier = table.filter(
        (pl.col(ROW) < row) & (pl.col("timestamp") == moment) & (pl.col("symbol") == symbol)
    )
    if earlier.height:
        refuse(
            "duplicate_timestamp",
            f"{symbol} {moment} stands already in row {earlier[ROW][0]}",
            file=file,
            row=row,
            column="timestamp",
            do="keep one of the two rows",
        )
    refuse(
        "unsorted",
        f"{symbol} {moment} is earlier than the row before it",
        file=file,
        row=row,
        column="timestamp",
        do="sort the file by timestamp (within each symbol)",
    )


def check_prices(table: pl.DataFrame, file: str) -> None:
    """Price rules in order: positive, high >= low, open and close inside the range; volume >= 0."""
    low, high = pl.col("low"), pl.col("high")
    rules = [("non_positive_price", name, pl.col(name) <= 0.0) for name in PRICES]
    rules.append(("high_below_low", "high", high < low))
    for name in ("open", "close"):
        outside = (pl.col(name) > high) | (pl.col(name) < low)
        rules.append((f"{name}_outside_range", name, outside))
    rules.append(("negative_volume", "volume", pl.col("volume") < 0.0))
    any_broken = pl.any_horizontal(rule[2] for rule in rules)
    if not table.select(any_broken.any()).item():
        return
    for rule, column, broken in rules:
        bar, count = first_row(table, broken)
        if count:
            what = {
                "high_below_low": f"high {bar['high']} is below low {bar['low']}",
                "non_positive_price": f"{column} is {bar[column]}",
                "negative_volume": f"volume is {bar['volume']}",
            }.get(rule, f"{column} {bar[column]} is outside low {bar['low']} .. high {bar['high']}")
            refuse(rule, what + more(count), file=file, row=int(str(bar[ROW])), column=column,
                   do="repair or drop the row in the source")  # fmt: skip


def check_positive(table: pl.DataFrame, columns: Iterable[str], file: str) -> None:
    """Rule ``non_positive_multiplier``: a multiplier is above 0, 1 changes nothing."""
    for name in columns:
        bar, count = first_row(table, pl.col(name) <= 0.0)
        if count:
            refuse("non_positive_multiplier", f"{name} is {bar[name]}{more(count)}", file=file,
                   row=int(str(bar[ROW])), column=name, do="1 changes nothing")  # fmt: skip


def check_interval(table: pl.DataFrame, interval_s: float, file: str) -> None:
    """Rule ``interval_mismatch``: the closest two bars of a symbol lie one interval apart.

    A wrong interval would date every close wrongly, and with it what was known when. Daily and
    longer bars may come an hour closer (a day of 23 hours in a timezone with summer time).
    """
    steps = table.select(pl.col("timestamp").diff().over("symbol").dt.total_microseconds().min())
    closest = steps.item()
    if closest is None:
        return
    closest_s = closest / 1e6
    slack = 3_600.0 if interval_s >= 86_400.0 else 0.0
    if abs(closest_s - interval_s) > slack:
        refuse(
            "interval_mismatch",
            f"the closest two bars lie {closest_s:g} s apart, data.interval is {interval_s:g} s",
            file=file,
            column="timestamp",
            do="set data.interval to the bars' own interval",
        )


def check_overlap(symbols_by_file: Mapping[str, Iterable[str]]) -> None:
    """Rule ``symbol_overlap``: one symbol's bars stand in one file."""
    home: dict[str, str] = {}
    for file, symbols in symbols_by_file.items():
        for symbol in symbols:
            if symbol in home:
                refuse(
                    "symbol_overlap",
                    f"symbol {symbol!r} stands in {home[symbol]} too",
                    file=file,
                    column="symbol",
                    do="give each file its own symbols (symbol: in data.bars)",
                )
            home[symbol] = file


def close_only() -> pl.Expr:
    """Bars that cannot trigger intrabar stops: open = high = low = close."""
    same = pl.col("open") == pl.col("close")
    return same & (pl.col("high") == pl.col("low")) & (pl.col("high") == pl.col("close"))
