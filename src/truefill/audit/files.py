"""Changed data as files, so that the chain's own reading is at work on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from truefill.audit.evidence import Timed
from truefill.audit.mutations import AVAILABLE
from truefill.config.schema import Config
from truefill.data.inputs import Inputs
from truefill.data.join import Series

DATE = "timestamp"


def moments(seconds: Any) -> pl.Series:
    """Unix seconds as UTC moments."""
    stamps = np.asarray(seconds, np.int64) * 1_000_000
    return pl.Series(stamps).cast(pl.Datetime("us", "UTC"))


def write_series(config: Config, inputs: Inputs, cut_s: int, folder: Path) -> list[dict[str, Any]]:
    """A Parquet file for each configured file of slow series; the config's entries for them. The
    last value published by the cut is taken out, where whoever fills it from later is seen."""
    entries = []
    for number, source in enumerate(config.data.series):
        told = source.available_at is not None
        parts = [_table(inputs.series[name], c, cut_s, told) for c, name in source.columns.items()]
        table = parts[0]
        for other in parts[1:]:
            on = [DATE, AVAILABLE] if told else [DATE]
            table = table.join(other, on=on, how="full", coalesce=True)
        path = folder / f"series-{number}.parquet"
        table.sort(DATE).write_parquet(path)
        entry = {"path": str(path), "timestamp": DATE, "available_at": AVAILABLE if told else None}
        entries.append(source.model_dump(mode="json") | entry)
    return entries


def _table(series: Series, column: str, cut_s: int, told: bool) -> pl.DataFrame:
    """Value dates, values, and moments of publication where a file tells them."""
    known = np.flatnonzero(series.available_at_s <= cut_s)
    values = pl.Series(column, series.values).scatter(known[-1:], None)
    published = {AVAILABLE: moments(series.available_at_s)} if told else {}
    return pl.DataFrame({DATE: moments(series.value_date_s), column: values, **published})


def series_of(inputs: Inputs) -> list[Timed]:
    """Every slow series by the moment of publication: its value dates and values."""
    out = []
    for name, series in inputs.series.items():
        order = np.argsort(series.available_at_s, kind="stable")
        known = series.available_at_s[order]
        out.append(Timed(f"value dates of {name}", known, series.value_date_s[order]))
        out.append(Timed(f"values of {name}", known, series.values[order]))
    return out
