"""What a source says now, compared with what it said before."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl


@dataclass(frozen=True)
class Difference:
    """``new``: rows after the last stored one or before the first; ``late``: rows that appear
    between stored ones; ``changed``: stored rows with other values (with columns ``old_*`` beside);
    ``withdrawn``: number of stored rows inside the batch's span that it lacks."""

    new: pl.DataFrame
    late: pl.DataFrame
    changed: pl.DataFrame
    withdrawn: int

    @property
    def to_store(self) -> pl.DataFrame:
        return pl.concat([self.new, self.late, self.changed.select(self.new.columns)])

    def words(self, most: int) -> list[str]:
        """The first ``most`` revised rows, each with its first column that differs."""
        names = [name for name in self.new.columns if name != "timestamp"]
        lines = []
        for row in self.changed.head(most).iter_rows(named=True):
            name = next(n for n in names if row[n] != row[f"old_{n}"])
            lines.append(f"{row['timestamp']} {name} {row[f'old_{name}']} -> {row[name]}")
        late = self.late["timestamp"].head(most - len(lines))
        return [*lines, *(f"{moment} was not there" for moment in late)]


def compare(stored: pl.DataFrame | None, batch: pl.DataFrame, tolerance: float) -> Difference:
    """``batch`` against ``stored`` (both: timestamp and float64 columns, in order of time).

    ``tolerance``: fraction by which two values may differ and still be the same.
    """
    if stored is None:
        return Difference(batch, batch.clear(), _with_old(batch.clear(), batch.clear()), 0)
    stamp = pl.col("timestamp")
    first, last = stored["timestamp"][0], stored["timestamp"][-1]
    inside = batch.filter(stamp.is_between(first, last))
    own = stored.filter(stamp.is_between(batch["timestamp"][0], batch["timestamp"][-1]))
    both = _with_old(inside, stored)
    names = [name for name in batch.columns if name != "timestamp"]
    differs = pl.any_horizontal(_differs(name, tolerance) for name in names)
    late = inside.join(stored, on="timestamp", how="anti", maintain_order="left")
    return Difference(
        new=batch.filter(~stamp.is_between(first, last)),
        late=late,
        changed=both.filter(differs),
        withdrawn=own.height - both.height,
    )


def _with_old(rows: pl.DataFrame, stored: pl.DataFrame) -> pl.DataFrame:
    old = stored.rename({name: f"old_{name}" for name in stored.columns if name != "timestamp"})
    return rows.join(old, on="timestamp", how="inner", maintain_order="left")


def _differs(name: str, tolerance: float) -> pl.Expr:
    new, old = pl.col(name), pl.col(f"old_{name}")
    close = (new - old).abs() <= tolerance * old.abs()
    return ~((new.is_null() & old.is_null()) | close.fill_null(False))
