"""Splits: half-open periods of bar starts, in order, without overlap. Rules that have no dates yet
are refused (:func:`truefill.config.splits.dated`)."""

from __future__ import annotations

import polars as pl

from truefill.config.splits import SplitPeriod, Splits, dated
from truefill.core.errors import DataError

SPLITS = ("train", "validation", "test")


def period_of(splits: Splits, name: str) -> SplitPeriod:
    """The period of split ``name``."""
    period: SplitPeriod = getattr(dated(splits), name)
    return period


def inside(period: SplitPeriod) -> pl.Expr:
    """Rows whose bar starts in [start, end)."""
    stamp = pl.col("timestamp")
    return (stamp >= pl.lit(period.start)) & (stamp < pl.lit(period.end))


def before_test(splits: Splits) -> pl.Expr:
    """Rows before the test split: all that may be told of the data while it is sealed."""
    return pl.col("timestamp") < pl.lit(dated(splits).test.start)


def split_table(table: pl.DataFrame, splits: Splits) -> tuple[dict[str, pl.DataFrame], int]:
    """The rows of each split, and how many lie in none. Rule ``empty_split`` where none are."""
    out = {name: table.filter(inside(period_of(splits, name))) for name in SPLITS}
    for name, part in out.items():
        if not part.height:
            period = period_of(splits, name)
            have = "no bars are left"
            if table.height:
                have = f"bars run from {table['timestamp'].min()!s} to {table['timestamp'].max()!s}"
            raise DataError(
                "empty_split",
                f"no bars from {period.start.date()} to {period.end.date()}; {have}",
                where=f"data.splits.{name}",
                do="move the split's dates, or give more bars",
            )
    return out, table.height - sum(part.height for part in out.values())
