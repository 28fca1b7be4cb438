"""CSV, Parquet and Feather files -> the canonical long table of bars, or columns of a slow series.

The canonical table has ``timestamp`` (datetime[us, UTC], the START of the bar), ``symbol``,
``open``, ``high``, ``low``, ``close``, ``volume`` (float64) and whatever extra numeric columns were
asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from truefill.config.sources import BarsFile, EventsFile, SeriesFile
from truefill.core.errors import ConfigError, did_you_mean
from truefill.core.fingerprint import sha256_file
from truefill.data import defects
from truefill.data.defects import BAR_COLUMNS, NUMBERS, ROW, refuse
from truefill.data.timestamps import Unit, to_utc

SAMPLE_PREFIX = "sample:"
SAMPLE_FOLDER = Path(__file__).parent / "sample"
MULTIPLIERS = ("spread_multiplier", "liquidity_multiplier")
"""Columns of bars for the market alone, read where ``columns:`` maps to them; null elsewhere."""


@dataclass(frozen=True)
class InputFile:
    """What lineage keeps of one input: its name, SHA-256 and number of rows."""

    name: str
    sha256: str
    rows: int


def resolve(path: Path) -> Path:
    """The file behind ``path``; ``sample:NAME`` is data that ships with truefill.

    Raises ``ConfigError`` for an unknown sample, ``DataError`` (``missing_file``) for a missing
    file.
    """
    text = path.as_posix()
    if text.startswith(SAMPLE_PREFIX):
        name = text.removeprefix(SAMPLE_PREFIX)
        known = [file.stem for file in SAMPLE_FOLDER.glob("*.csv")]
        if name not in known:
            raise ConfigError(
                f"no sample is called {name!r}", where=text, do=did_you_mean(name, known)
            )
        return SAMPLE_FOLDER / f"{name}.csv"
    if not path.is_file():
        refuse("missing_file", "the file does not exist", file=str(path), do="check data.*.path")
    return path


def read_bars(
    source: BarsFile, *, interval_s: float, extra: Iterable[str] = (), needs_volume: bool = True
) -> tuple[pl.DataFrame, InputFile]:
    """One file as the canonical table, checked for every basic defect.

    ``extra``: names of further numeric columns (after ``columns:``) to keep where the file has
    them; ``needs_volume``: false reads a file without volume as one of volume 0. Sorted by symbol,
    then timestamp. Raises ``DataError`` with rule, file, row and column.
    """
    path = resolve(source.path)
    file = path.name
    table = _rename(_read_table(path), source.columns, file)
    table = _with_symbol(table, source.symbol, file)
    if not needs_volume and "volume" not in table.columns:
        table = table.with_columns(volume=pl.lit(0.0))
    defects.require_columns(table.columns, BAR_COLUMNS, file)
    mapped = [name for name in MULTIPLIERS if name in source.columns.values()]
    extra = [name for name in extra if name in table.columns and name not in BAR_COLUMNS]
    extra = list(dict.fromkeys([*extra, *mapped]))
    table = table.select(ROW, "timestamp", "symbol", *NUMBERS, *extra)
    table = to_utc(
        table, "timestamp", unit=source.timestamp_unit, timezone=source.timezone, file=file
    )
    table = defects.to_numbers(table, (*NUMBERS, *extra), file)
    defects.check_order(table, file)
    defects.check_prices(table, file)
    defects.check_positive(table, mapped, file)
    defects.check_interval(table, interval_s, file)
    rows = table.height
    table = table.drop(ROW).sort("symbol", "timestamp", maintain_order=True)
    return table, InputFile(file, sha256_file(path), rows)


def read_series_columns(source: SeriesFile) -> tuple[pl.DataFrame, InputFile]:
    """The named columns of a slow series: ``timestamp`` (value date, UTC) and one column a series.

    Empty cells, nulls and NaN are null. Value dates must be sorted and unique.
    """
    path = resolve(source.path)
    file = path.name
    mapping = {source.timestamp: "timestamp", **source.columns}
    table = _rename(_read_table(path), mapping, file)
    names = list(source.columns.values())
    table = table.select(ROW, "timestamp", *names).with_columns(symbol=pl.lit("series"))
    unit: Unit = "auto"
    table = to_utc(table, "timestamp", unit=unit, timezone=source.timezone, file=file)
    table = defects.to_numbers(table, names, file, allow_null=True)
    defects.check_order(table, file)
    return table.select("timestamp", *names), InputFile(file, sha256_file(path), table.height)


def read_event_rows(source: EventsFile) -> tuple[pl.DataFrame, InputFile]:
    """The rows of an events file as found: ``ROW``, ``timestamp`` (UTC), ``symbol``, and ``value``
    (a finite number, before ``scale``)."""
    path = resolve(source.path)
    file = path.name
    table = _rename(_read_table(path), {source.timestamp: "timestamp"}, file)
    table = _with_symbol(table, source.symbol, file, section="data.events")
    defects.require_sources(table.columns, {source.column: "value"}, file)
    table = table.select(ROW, "timestamp", "symbol", source.column)
    unit: Unit = "auto"
    table = to_utc(table, "timestamp", unit=unit, timezone=source.timezone, file=file)
    table = defects.to_numbers(table, [source.column], file)
    table = table.rename({source.column: "value"})
    return table, InputFile(file, sha256_file(path), table.height)


def _read_table(path: Path) -> pl.DataFrame:
    """The file as found (CSV: all text), with the row numbers of the file."""
    suffix = path.suffix.lower()
    try:
        if suffix == ".csv":
            table = pl.read_csv(path, infer_schema=False)
        elif suffix == ".parquet":
            table = pl.read_parquet(path)
        elif suffix in (".feather", ".arrow", ".ipc"):
            table = pl.read_ipc(path)
        else:
            refuse(
                "unknown_file_type",
                f"{suffix or 'no suffix'} is none of .csv, .parquet, .feather",
                file=path.name,
            )
    except pl.exceptions.NoDataError:
        refuse("empty_file", "the file is empty", file=path.name)
    except (pl.exceptions.PolarsError, OSError) as error:
        refuse("unreadable_file", f"{error}".split("\n")[0], file=path.name)
    if table.height == 0:
        refuse("empty_file", "the file has no rows", file=path.name)
    if ROW in table.columns:
        table = table.drop(ROW)
    return table.with_row_index(ROW, offset=1)


def _rename(table: pl.DataFrame, mapping: Mapping[str, str], file: str) -> pl.DataFrame:
    """Rename source columns to ours; a mapped column replaces one that has our name already."""
    defects.require_sources(table.columns, mapping, file)
    targets = list(mapping.values())
    twice = sorted({name for name in targets if targets.count(name) > 1})
    if twice:
        raise ConfigError(f"columns maps two sources to {twice[0]!r}", where=file)
    replaced = [name for name in targets if name in table.columns and name not in mapping]
    return table.drop(replaced).rename(dict(mapping))


def _with_symbol(
    table: pl.DataFrame, symbol: str | None, file: str, section: str = "data.bars"
) -> pl.DataFrame:
    if symbol is None:
        if "symbol" not in table.columns:
            refuse(
                "missing_columns", "no column 'symbol', and the config names none",
                file=file, column="symbol", do=f"add symbol: NAME to this entry of {section}",
            )  # fmt: skip
        table = table.with_columns(pl.col("symbol").cast(pl.String).str.strip_chars())
        empty = table.filter(pl.col("symbol").is_null() | (pl.col("symbol") == ""))
        if empty.height:
            refuse(
                "missing_symbol",
                "the symbol is empty",
                file=file,
                row=empty[ROW][0],
                column="symbol",
            )
        return table
    if "symbol" in table.columns:
        found = table["symbol"].unique(maintain_order=True)
        if len(found) > 1:
            refuse(
                "symbol_conflict",
                f"the config says {symbol!r}, but the file holds {len(found)} symbols "
                f"({', '.join(map(str, found[:3]))}, ...)",
                file=file, column="symbol", do=f"leave symbol: out of this entry of {section}",
            )  # fmt: skip
    return table.with_columns(symbol=pl.lit(symbol))
