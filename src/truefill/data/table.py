"""A data file -> a table as it is found, with our names of columns and the number of each row."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from truefill.core.errors import ConfigError, did_you_mean
from truefill.data.defects import ROW, Findings, refuse, require_sources
from truefill.data.defects.text import check_binary_end, read_csv
from truefill.data.snapshots import is_snapshot, read_snapshot

SAMPLE_PREFIX = "sample:"
SAMPLE_FOLDER = Path(__file__).parent / "sample"


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
    if not path.is_file() and not is_snapshot(path):
        refuse(
            "missing_file",
            "the file does not exist",
            file=str(path),
            do="check its path in the config",
        )
    return path


def read_table(
    path: Path, found: Findings | None = None, encoding: str = "utf-8", separator: str = ","
) -> pl.DataFrame:
    """The file as found (CSV: all text), with the row numbers of the file.

    Without ``found`` every defect of the file as such is an error.
    """
    if is_snapshot(path):
        return read_snapshot(path).with_row_index(ROW, offset=1)
    strict = found is None
    found = found if found is not None else Findings(file=path.name)
    suffix = path.suffix.lower()
    try:
        if suffix == ".csv":
            table = read_csv(path, encoding, separator, found)
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
        check_binary_end(path, path.name)
        refuse("unreadable_file", f"{error}".split("\n")[0], file=path.name)
    if strict:
        found.require()
    if table.height == 0:
        refuse("empty_file", "the file has no rows", file=path.name)
    if ROW in table.columns:
        table = table.drop(ROW)
    return table.with_row_index(ROW, offset=1)


def rename(table: pl.DataFrame, mapping: Mapping[str, str], file: str) -> pl.DataFrame:
    """Rename source columns to ours; a mapped column replaces one that has our name already."""
    require_sources(table.columns, mapping, file)
    targets = list(mapping.values())
    twice = sorted({name for name in targets if targets.count(name) > 1})
    if twice:
        raise ConfigError(f"columns maps two sources to {twice[0]!r}", where=file)
    replaced = [name for name in targets if name in table.columns and name not in mapping]
    return table.drop(replaced).rename(dict(mapping))


def with_symbol(
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
