"""Slow series: values that show the future, months known before they end, rows carried forward."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from truefill.config.sources import Release, SeriesFile
from truefill.data.defects.finding import ROW, Findings, first_row

Bools = npt.NDArray[np.bool_]

MONTH_DAYS = (27.9, 31.1)
BUSINESS_DAYS = 20
"""Fewer business days after the first of a month still lie in it."""
ROW_VALUES = "__values__"
"""Column with a hash of every value of a file's row; null where there are none."""
HAS = "__has__"
"""Prefix of columns that tell which series of a file have a value in a row."""
FEWEST_SERIES = 4
"""Series that must have begun before a day without most of them counts as closed."""
USUAL_REPEATS = 0.05
"""Share of values equal to the next from which a series simply moves in steps (a policy rate)."""


def presence(table: pl.DataFrame, without: Collection[str]) -> list[pl.Expr]:
    """For every column of a file that may hold a series: whether there is a value in a row."""
    numbers = [
        pl.col(name).cast(pl.Float64, strict=False).fill_nan(None)
        for name, dtype in table.schema.items()
        if name not in {ROW, *without} and (dtype.is_numeric() or dtype == pl.String)
    ]
    if not numbers:
        return []
    values = pl.struct(e.alias(str(i)) for i, e in enumerate(numbers)).hash(seed=0)
    any_value = pl.any_horizontal(e.is_not_null() for e in numbers)
    return [
        pl.when(any_value).then(values).alias(ROW_VALUES),
        *(e.is_not_null().alias(f"{HAS}{i}") for i, e in enumerate(numbers)),
    ]


def check_rows(table: pl.DataFrame, found: Findings) -> None:
    """Rule ``frozen_row``, for files of three series or more; ``table`` as in `check_copies`."""
    if f"{HAS}2" not in table.columns:
        return
    seen = found.rows("frozen_row", table)
    same = (pl.col(ROW_VALUES) == pl.col(ROW_VALUES).shift(1)).fill_null(value=False)
    row, count = first_row(seen, same)
    if count:
        day = str(row["timestamp"])[:10]
        found.add("frozen_row", f"every series of the file repeats the row before on {day}",
                  row=int(str(row[ROW])), others=count - 1)  # fmt: skip


def check_copies(table: pl.DataFrame, names: Sequence[str], found: Findings) -> pl.DataFrame:
    """Rule ``copies_next_value``, for the series ``names``.

    A new value that stands again at the next date of the series, on a day on which at most half of
    the file's series that have begun have a value: it is that next value, set a day early.
    ``table`` has ``ROW``, ``timestamp``, the series, and the columns of :func:`presence`.
    """
    rule = "copies_next_value"
    seen = found.rows(rule, table)
    closed = _closed(seen)
    for series in names:
        rows = _copies(seen[series], closed)
        if len(rows):
            row = int(rows[0])
            day = f"{seen['timestamp'][row]:%Y-%m-%d}"
            found.add(rule, f"{series} on {day} is already the value of its next date",
                      row=int(seen[ROW][row]), column=series, others=len(rows) - 1)  # fmt: skip
    if found.severity(rule) != "repair":
        return table
    open_ = pl.Series(~_closed(table))
    return table.with_columns(pl.when(open_).then(pl.col(name)).alias(name) for name in names)


def _closed(table: pl.DataFrame) -> Bools:
    """[n] bool: at most half of the series that have begun by this row have a value in it."""
    columns = [name for name in table.columns if name.startswith(HAS)]
    if len(columns) < FEWEST_SERIES or table.is_empty():
        return np.zeros(table.height, np.bool_)
    has = np.stack([table[name].to_numpy() for name in columns]).astype(np.bool_)
    begun = np.maximum.accumulate(has, axis=1).sum(axis=0)
    closed: Bools = (begun >= FEWEST_SERIES) & (2 * has.sum(axis=0) <= begun)
    return closed


def _copies(values: pl.Series, closed: Bools) -> npt.NDArray[np.int64]:
    """Rows of ``closed`` days whose value is new and equal to the next one."""
    at = np.flatnonzero(values.is_not_null().to_numpy())
    if len(at) < 3:
        return np.empty(0, np.int64)
    own = values.drop_nulls().to_numpy()
    same = own[1:] == own[:-1]
    if same.mean() > USUAL_REPEATS:
        return np.empty(0, np.int64)
    copies = np.zeros(len(own), np.bool_)
    copies[1:-1] = same[1:] & ~same[:-1]
    return at[copies & closed[at]]


def check_stamps(table: pl.DataFrame, source: SeriesFile, found: Findings) -> None:
    """Rule ``reference_stamps``: a month's value, stamped with the first of its month, is known
    before the month has ended."""
    stamps = table["timestamp"].dt.convert_time_zone(source.timezone)
    days = stamps.diff().drop_nulls().dt.total_seconds().to_numpy() / 86_400.0
    monthly = len(days) >= 3 and MONTH_DAYS[0] <= float(np.median(days)) <= MONTH_DAYS[1]
    if not monthly or not bool((stamps.dt.day() == 1).all()):
        return
    for name in source.columns.values():
        early = _early(source.rule_of(name))
        if early:
            found.add("reference_stamps", f"{name}: stamps are the first of each month, and the "
                      f"value is known {early}", row=int(table[ROW][0]), column=name)  # fmt: skip


def _early(rule: float | Release | None) -> str:
    """How soon after the first of its month a value is known, where that is within the month."""
    if isinstance(rule, Release):
        if rule.months == 0:
            return f"on day {rule.day} of the same month"
        if rule.days is not None and rule.days < MONTH_DAYS[0]:
            return f"{rule.days} days later"
        if rule.business_days is not None and rule.business_days < BUSINESS_DAYS:
            return f"{rule.business_days} business days later"
        return ""
    days = np.inf if rule is None else rule / 86_400.0
    return f"{days:g} days later" if days < MONTH_DAYS[0] else ""
