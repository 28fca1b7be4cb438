"""Which bars of a history make the rows of each split, and whose features each row carries.

Bars before a symbol's first complete one are dropped. After it every bar stays: one that lacks a
feature (a slow series was stale) is closed to trading and carries the features of the last bar
that had them all, so that what is held there is still marked, and the gap does not vanish.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from truefill.config.splits import Splits
from truefill.core.errors import DataError
from truefill.data.splits import SPLITS, inside, period_of, split_table
from truefill.features import dead
from truefill.features.compute import RawFeatures
from truefill.features.contract import FeatureSpec

INDEX = "_index"
SOURCE = "_source"
"""Row whose features a row carries: its own, or those of the symbol's last complete bar."""


@dataclass
class RowCounts:
    """Rows on their way from the files into the splits; ``no_trade_stale`` are among the latter.

    With ``data.resample`` a bucket is one row: ``merged`` counts its other bars, and ``unclosed``
    those of buckets whose end has not passed.
    """

    read: int = 0
    outside_session: int = 0
    merged: int = 0
    unclosed: int = 0
    outside_splits: int = 0
    dropped_warmup: int = 0
    no_trade_stale: int = 0
    stale_by_feature: dict[str, int] = field(default_factory=dict)
    by_split: dict[str, int] = field(default_factory=dict)

    def as_dict(self) -> dict[str, int]:
        return {
            "read": self.read,
            "outside_session": self.outside_session,
            **({"merged": self.merged, "unclosed": self.unclosed} if self.merged else {}),
            "outside_splits": self.outside_splits,
            "dropped_warmup": self.dropped_warmup,
            "no_trade_stale": self.no_trade_stale,
            **self.by_split,
        }


def split_rows(
    splits: Splits,
    specs: Sequence[FeatureSpec],
    raw: RawFeatures,
    market: pl.DataFrame,
    counts: RowCounts,
) -> dict[str, pl.DataFrame]:
    """Rows of each split from the symbol's first complete bar on, with the market's columns, and
    the row of ``raw`` whose features they carry; a bar without its own is ``no_trade``."""
    no_trade = raw.warming.copy()
    for i in range(len(specs)):
        no_trade |= np.isnan(raw.values[:, i])
    last_complete = pl.when(~pl.col("no_trade")).then(pl.col(INDEX)).forward_fill()
    table = (
        raw.table.hstack(market)
        .with_row_index(INDEX)
        .with_columns(no_trade=pl.Series(no_trade))
        .with_columns(last_complete.over("symbol").alias(SOURCE))
    )
    shares: dict[str, dict[str, float]] = {}
    for name in SPLITS:
        own = table.select(inside(period_of(splits, name))).to_series().to_numpy()
        rows = np.flatnonzero(own)
        if len(rows):
            empty = _empty(raw, rows)
            shares[name] = {s.name: n / len(rows) for s, n in zip(specs, empty, strict=True)}
    dead.refuse_empty(shares)
    kept = _without_beginnings(table)
    parts, counts.outside_splits = split_table(kept, splits)
    counts.dropped_warmup = table.height - kept.height
    missing = _empty(raw, kept[INDEX].to_numpy())
    counts.stale_by_feature = {s.name: n for s, n in zip(specs, missing, strict=True) if n}
    counts.no_trade_stale = sum(int(part["no_trade"].sum()) for part in parts.values())
    counts.by_split = {name: part.height for name, part in parts.items()}
    _require_complete(parts)
    return parts


def _empty(raw: RawFeatures, rows: npt.NDArray[np.integer]) -> list[int]:
    """How many of ``rows`` (ascending) lack each feature."""
    where = together(rows)
    return [int(np.isnan(column[where]).sum()) for column in raw.values.T]


def together(rows: npt.NDArray[np.integer]) -> npt.NDArray[np.integer] | slice:
    """Ascending row numbers; as a slice, which copies nothing, where none is left out."""
    if len(rows) and rows[-1] - rows[0] + 1 == len(rows):
        return slice(int(rows[0]), int(rows[-1]) + 1)
    return rows


def _without_beginnings(table: pl.DataFrame) -> pl.DataFrame:
    """The table from each symbol's first complete bar on; of one symbol, without a copy."""
    source = table[SOURCE]
    before = source.null_count()
    return table.drop_nulls(SOURCE) if source[before:].null_count() else table[before:]


def _require_complete(parts: dict[str, pl.DataFrame]) -> None:
    """Rule ``empty_split`` for a split on none of whose bars all features are known."""
    for name, part in parts.items():
        if part["no_trade"].all():
            raise DataError(
                "empty_split",
                f"on none of {part.height:,} bars all features are known",
                where=f"data.splits.{name}",
                do="give fresher series, or raise their max_staleness",
            )
