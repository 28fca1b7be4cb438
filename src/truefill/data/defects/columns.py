"""Which columns there are, and cells -> numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import polars as pl

from truefill.core.errors import did_you_mean
from truefill.data.defects.finding import ROW, Findings, refuse

PRICES = ("open", "high", "low", "close")
NUMBERS = (*PRICES, "volume")
BAR_COLUMNS = ("timestamp", *NUMBERS)

THOUSANDS = r"^[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?$"
COMMA = r"^[+-]?(?:\d+|\d{1,3}(?:\.\d{3})+),\d+$"
_SHOWN = 6


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


def note_extra(found: Findings, present: Iterable[str], read: Iterable[str]) -> None:
    """Rule ``extra_columns``: what nothing reads."""
    extra = [name for name in present if name not in {ROW, *read}]
    if extra:
        shown = ", ".join(extra[:_SHOWN]) + (", ..." if len(extra) > _SHOWN else "")
        found.add("extra_columns", f"{len(extra)} not read: {shown}", column=extra[0])


def to_numbers(
    table: pl.DataFrame, columns: Iterable[str], found: Findings, *, allow_null: bool = False
) -> pl.DataFrame:
    """``columns`` as float64, without the rows that hold no number (each noted).

    Rules ``thousands_separator``, ``decimal_comma`` and, for other text, null, NaN and infinities,
    ``not_a_number``. With ``allow_null`` an empty cell, null or NaN becomes null (slow series have
    holes; bars do not).
    """
    columns = list(columns)
    whole = pl.repeat(True, table.height, eager=True)
    converted = []
    for name in columns:
        source = table[name]
        if source.dtype == pl.String:
            source = source.str.strip_chars()
            if allow_null:
                source = source.set(source == "", None)
        elif not (source.dtype.is_numeric() or source.dtype == pl.Null):
            refuse(
                "not_a_number", f"the column's type is {source.dtype}",
                file=found.file, column=name,
            )  # fmt: skip
        source = _plain(table, source, found)
        values = source.cast(pl.Float64, strict=False)
        finite = values.is_finite().fill_null(False)
        if allow_null:
            values = values.fill_nan(None)
            finite = finite | source.is_null() | (values.is_null() & _is_nan_text(source))
        if not finite.all():
            broken = table.select(ROW, cell=source).filter(~finite)
            cell = broken["cell"][0]
            shown = "an empty cell" if cell is None or cell == "" else repr(cell)
            found.add(
                "not_a_number", f"{shown} is no finite number",
                row=broken[ROW][0], column=name, others=broken.height - 1,
            )  # fmt: skip
            whole = whole & finite
        converted.append(values.alias(name))
    table = table.with_columns(converted)
    return table if whole.all() else table.filter(whole)


def _plain(table: pl.DataFrame, source: pl.Series, found: Findings) -> pl.Series:
    """Text without thousands separators and decimal commas, each noted; other columns as is."""
    if source.dtype != pl.String:
        return source
    commas = source.str.contains(",", literal=True).fill_null(False)
    if not commas.any():
        return source
    thousands = source.str.contains(THOUSANDS).fill_null(False)
    comma = source.str.contains(COMMA).fill_null(False)
    read_as_comma = found.severity("decimal_comma") == "repair"
    if not read_as_comma and bool((thousands | ~commas).all()):
        _note(table, source, commas, "thousands_separator", found)
        return source.str.replace_all(",", "", literal=True)
    # A lone comma in a column of plain numbers is no decimal comma but a broken cell.
    most = int(comma.sum()) * 2 > len(source)
    if read_as_comma or (most and bool((comma | ~commas).all())):
        _note(table, source, commas, "decimal_comma", found)
        plain = source.str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True)
        return pl.select(pl.when(comma).then(plain).otherwise(source)).to_series()
    return source


def _note(
    table: pl.DataFrame, source: pl.Series, cells: pl.Series, rule: str, found: Findings
) -> None:
    rows = table.filter(cells)[ROW]
    what = f"{source.filter(cells)[0]!r} is written with a comma"
    found.add(rule, what, row=rows[0], column=source.name, others=len(rows) - 1)


def _is_nan_text(source: pl.Series) -> pl.Series:
    if source.dtype == pl.String:
        return source.str.to_lowercase() == "nan"
    return source.is_nan() if source.dtype.is_float() else pl.repeat(False, len(source), eager=True)
