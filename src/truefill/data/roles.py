"""Splits that come with the bars: a column that says train, validation or test on each row."""

from __future__ import annotations

import polars as pl

from truefill.config.data import DataConfig
from truefill.core.errors import ConfigError, DataError
from truefill.data.read import read_text_column
from truefill.data.sessions import keep_session, session_of
from truefill.data.splits import SPLITS
from truefill.data.walk import Periods

WHERE = "data.splits.column"


def role_periods(data: DataConfig, column: str) -> Periods:
    """The period of each role, from its first bar to the end of its last one.

    Rows without a role may lie before, between and after the periods, not inside one: a period has
    no holes. Rules: ``unknown_role``, ``missing_role``, ``mixed_roles``.

    Raises:
        ConfigError: the bars are synthetic, or ``column`` is not in the files.
    """
    if data.synthetic is not None:
        raise ConfigError("a synthetic market has no column of roles", where=WHERE)
    parts = [read_text_column(file, column, where=WHERE) for file in data.bars]
    table, _ = keep_session(pl.concat(parts), session_of(data.session, data.interval))
    role = pl.col("value").str.strip_chars()
    table = table.with_columns(role=pl.when(role != "").then(role)).sort("timestamp")
    found = table["role"].unique().drop_nulls().sort().to_list()
    if unknown := sorted(set(found) - set(SPLITS)):
        raise DataError(
            "unknown_role", f"{unknown[0]!r} is none of {', '.join(SPLITS)}", where=WHERE
        )
    if missing := [name for name in SPLITS if name not in found]:
        raise DataError("missing_role", f"no row is {missing[0]}", where=WHERE)
    stamp = pl.col("timestamp").dt.epoch("us")
    step_us = round(data.interval * 1e6)
    periods = {}
    for name in SPLITS:
        own = table.filter(pl.col("role") == name).select(stamp).to_series()
        periods[name] = (int(own[0]), int(own[-1]) + step_us)
        _require_alone(table, name)
    return periods


def _require_alone(table: pl.DataFrame, name: str) -> None:
    """Rule ``mixed_roles``: inside the period of ``name`` every row has that role."""
    own = table.filter(pl.col("role") == name)["timestamp"]
    inside = table.filter(pl.col("timestamp").is_between(own[0], own[-1]))
    other = inside.filter(pl.col("role").ne_missing(name))
    if other.height:
        what = "no role" if other["role"][0] is None else f"the role {other['role'][0]}"
        raise DataError(
            "mixed_roles",
            f"the row of {other['timestamp'][0]} has {what} inside the period of {name}, "
            f"{own[0]} to {own[-1]} ({other.height:,} such rows)",
            where=WHERE,
            do="give each role one stretch of time, train before validation before test",
        )
