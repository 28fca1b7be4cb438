"""CSV, Parquet and Feather files -> the canonical long table of bars, or columns of a slow series.

The canonical table has ``timestamp`` (datetime[us, UTC], the START of the bar), ``symbol``,
``open``, ``high``, ``low``, ``close``, ``volume`` (float64) and whatever extra numeric columns were
asked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from truefill.config.defects import Policy
from truefill.config.sources import BarsFile, EventsFile, ReleasesFile, SeriesFile
from truefill.core.errors import ConfigError, did_you_mean
from truefill.data import defects
from truefill.data.defects import BAR_COLUMNS, NUMBERS, ROW, Finding, Findings
from truefill.data.defects.columns import note_extra
from truefill.data.defects.interval import check_interval
from truefill.data.defects.order import check_order
from truefill.data.defects.prices import QUOTES, check_positive, check_prices, check_volume
from truefill.data.defects.series import check_copies, check_rows, check_stamps, presence
from truefill.data.defects.whole import Market, check_symbols
from truefill.data.publication import AVAILABLE
from truefill.data.snapshots import content_sha256, is_snapshot
from truefill.data.table import read_table, rename, resolve, with_symbol
from truefill.data.timestamps import Unit, to_utc

MULTIPLIERS = ("spread_multiplier", "liquidity_multiplier")
"""Columns of bars for the market alone, read where ``columns:`` maps to them; null elsewhere."""
MISPLACED = ("two_clocks", "wrong_time_unit", "mixed_frequency", "interval_mismatch")
"""Defects after which nothing that follows from the time of a bar can be judged."""


@dataclass(frozen=True)
class InputFile:
    """What lineage keeps of one input: its name, SHA-256, number of rows, and the warnings and
    repairs of a reading that refused nothing."""

    name: str
    sha256: str
    rows: int
    findings: tuple[Finding, ...] = ()


def read_bars(
    source: BarsFile,
    *,
    interval_s: float,
    extra: Iterable[str] = (),
    needs_volume: bool = True,
    policy: Policy | None = None,
) -> tuple[pl.DataFrame, InputFile]:
    """One file as the canonical table, checked bar by bar (not over whole symbols).

    ``extra``: names of further numeric columns (after ``columns:``) to keep where the file has
    them; ``needs_volume``: false reads a file without volume as one of volume 0; ``policy``: how
    defects are treated. Sorted by symbol, then timestamp. Raises ``DataError`` with rule, file, row
    and column.
    """
    found = Findings(policy or {}, known=pl.lit(value=False))
    with found.noting():
        table, file = examine_bars(
            source, found, interval_s=interval_s, extra=extra, needs_volume=needs_volume
        )
    found.require()
    return table, file


def examine_bars(
    source: BarsFile,
    found: Findings,
    *,
    interval_s: float,
    extra: Iterable[str] = (),
    needs_volume: bool = True,
    market: Market | None = None,
    used: Iterable[str] = (),
) -> tuple[pl.DataFrame, InputFile]:
    """As :func:`read_bars`, noting what is ``found``; over whole symbols too where ``market`` is
    given. Only what makes reading on impossible is raised (:class:`DefectError`).

    ``used``: further columns that something else reads.
    """
    path = resolve(source.path)
    found.file, noted = path.name, len(found.found)
    table = read_table(path, found, source.encoding, source.separator)
    rows = table.height
    table = rename(table, source.columns, found.file)
    table = with_symbol(table, source.symbol, found.file)
    if not needs_volume and "volume" not in table.columns:
        table = table.with_columns(volume=pl.lit(0.0))
    defects.require_columns(table.columns, BAR_COLUMNS, found.file)
    mapped = [name for name in MULTIPLIERS if name in source.columns.values()]
    extra = [name for name in extra if name in table.columns and name not in BAR_COLUMNS]
    extra = list(dict.fromkeys([*extra, *mapped]))
    kept = ["timestamp", "symbol", *NUMBERS, *extra]
    if market is not None and not is_snapshot(path):
        note_extra(found, table.columns, [*kept, *used])
    table = table.select(ROW, *kept, *_quotes(table, kept))
    table = to_utc(
        table, "timestamp", unit=source.timestamp_unit, timezone=source.timezone,
        file=found.file, found=found,
    )  # fmt: skip
    table = defects.to_numbers(table, (*NUMBERS, *extra), found)
    table = check_order(table, interval_s, found)
    table = check_prices(table, found, any_sign=source.non_positive_prices)
    check_positive(table, mapped, found.file)
    check_interval(table, interval_s, found)
    if market is not None and not any(f.rule in MISPLACED for f in found.errors):
        check_volume(table, found)
        table = check_symbols(table, interval_s, market, found)
    findings = tuple(f for f in found.found[noted:] if f.severity != "error")
    return table.select(kept), InputFile(found.file, content_sha256(path), rows, findings)


def _quotes(table: pl.DataFrame, kept: Iterable[str]) -> list[pl.Expr]:
    """Columns of bid and ask as numbers, to be compared; holes are null."""
    names = {name for pair in QUOTES for name in pair} - set(kept)
    return [
        pl.col(name).cast(pl.Float64, strict=False).fill_nan(None)
        for name in table.columns
        if name in names
    ]


def read_series_columns(
    source: SeriesFile, found: Findings | None = None
) -> tuple[pl.DataFrame, InputFile]:
    """The named columns of a slow series: ``ROW``, ``timestamp`` (value date, UTC), one column a
    series, and ``AVAILABLE`` (UTC) where the file holds the moments of publication.

    Empty cells, nulls and NaN are null. Value dates must be sorted and unique. Defects are noted in
    ``found``, or raised where it is not given.
    """
    if found is not None:
        return _examine_series(source, found)
    found = Findings(known=pl.lit(value=False))
    with found.noting():
        read = _examine_series(source, found)
    found.require()
    return read


def _examine_series(source: SeriesFile, found: Findings) -> tuple[pl.DataFrame, InputFile]:
    path = resolve(source.path)
    found.file, start = path.name, len(found.found)
    file = found.file
    mapping = {source.timestamp: "timestamp", **source.columns}
    table = rename(read_table(path, found), mapping, file)
    names = list(source.columns.values())
    moments = ["timestamp"]
    if source.available_at is not None:
        defects.require_sources(table.columns, {source.available_at: "available_at"}, file)
        table = table.with_columns(pl.col(source.available_at).alias(AVAILABLE))
        moments.append(AVAILABLE)
    has = presence(table, [*moments, source.timestamp])
    table = table.select(ROW, *moments, *names, *has).with_columns(symbol=pl.lit("series"))
    for column in moments:
        table = to_utc(table, column, unit="auto", timezone=source.timezone, file=file, found=found)
    table = defects.to_numbers(table, names, found, allow_null=True)
    rows = table.height
    table = check_order(table, 0.0, found)
    check_rows(table, found)
    table = check_copies(table, names, found)
    check_stamps(table, source, found)
    findings = tuple(f for f in found.found[start:] if f.severity != "error")
    kept = table.select(ROW, *moments, *names)
    return kept, InputFile(file, content_sha256(path), rows, findings)


def read_event_rows(source: EventsFile) -> tuple[pl.DataFrame, InputFile]:
    """The rows of an events file as found: ``ROW``, ``timestamp`` (UTC), ``symbol``, and ``value``
    (a finite number, before ``scale``)."""
    path = resolve(source.path)
    file = path.name
    table = rename(read_table(path), {source.timestamp: "timestamp"}, file)
    table = with_symbol(table, source.symbol, file, section="data.events")
    defects.require_sources(table.columns, {source.column: "value"}, file)
    table = table.select(ROW, "timestamp", "symbol", source.column)
    unit: Unit = "auto"
    table = to_utc(table, "timestamp", unit=unit, timezone=source.timezone, file=file)
    found = Findings(file=file)
    table = defects.to_numbers(table, [source.column], found)
    found.require()
    table = table.rename({source.column: "value"})
    return table, InputFile(file, content_sha256(path), table.height)


def read_release_rows(source: ReleasesFile) -> tuple[pl.DataFrame, InputFile]:
    """The rows of an economic calendar as found: ``ROW``, ``timestamp`` (UTC), and as text
    ``name``, ``currency``, ``impact``, ``actual``, ``forecast``, ``previous``; empty where none."""
    path = resolve(source.path)
    file = path.name
    table = read_table(path)
    keys = ("name", "currency", "impact", "actual", "forecast", "previous")
    given = {getattr(source, key): key for key in keys if getattr(source, key) is not None}
    defects.require_sources(table.columns, {source.timestamp: "timestamp", **given}, file)
    texts = {key: pl.col(column).cast(pl.String).fill_null("") for column, key in given.items()}
    absent = {key: pl.lit("") for key in keys if key not in texts}
    stamp = pl.col(source.timestamp).alias("timestamp")
    table = table.select(ROW, stamp, **texts, **absent)
    unit: Unit = "auto"
    table = to_utc(table, "timestamp", unit=unit, timezone=source.timezone, file=file)
    return table, InputFile(file, content_sha256(path), table.height)


def read_text_column(source: BarsFile, column: str, *, where: str) -> pl.DataFrame:
    """``timestamp`` (UTC) of every row of a file of bars, and ``value``: a further column as text
    (null where it is empty).

    Raises:
        ConfigError: the file has no such column; ``where``: the key that asks for it.
    """
    path = resolve(source.path)
    table = rename(read_table(path), source.columns, path.name)
    if column not in table.columns:
        raise ConfigError(
            f"{path.name} has no column {column!r}",
            where=where,
            do=did_you_mean(column, [name for name in table.columns if name != ROW]),
        )
    table = table.select(ROW, "timestamp", value=pl.col(column).cast(pl.String))
    table = to_utc(
        table, "timestamp", unit=source.timestamp_unit, timezone=source.timezone, file=path.name
    )
    return table.select("timestamp", "value")


def read_rows(path: Path) -> pl.DataFrame:
    """A file as found (CSV: all text), with the row numbers of the file."""
    return read_table(resolve(path))


def columns_of(path: Path) -> list[str]:
    """Names of a file's columns."""
    return [name for name in read_rows(path).columns if name != ROW]
