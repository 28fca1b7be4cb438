"""Splits given as a rule -> splits with dates, from the bars that there are.

Done once, before anything else looks at a config: the run's identity, its portable config and its
ledger rows hold the dates. Only bar starts (and the column of roles) decide, never a price.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from truefill.config.load import parse_config
from truefill.config.schema import Config
from truefill.config.splits import ColumnSplits, FractionSplits, SplitsConfig, WalkForwardSplits
from truefill.core.errors import DataError
from truefill.data.bars import read_all_bars
from truefill.data.resample import session_bars
from truefill.data.roles import role_periods
from truefill.data.walk import Periods, fold_periods

Axis = npt.NDArray[np.int64]
WHERE = "data.splits"


def resolve(config: Config) -> Config:
    """``config`` with fixed dates in ``data.splits``, purged where a purge is asked for.

    Dates without a purge are returned as they are, and nothing is read; so is what was resolved
    before. Anything else reads the bars.

    Raises:
        ConfigError: the resolved config is wrong, e.g. a window longer than a split.
        DataError: ``too_few_folds``, ``empty_split``, a rule of the column of roles, or of bars.
    """
    splits = config.data.splits
    purge = purge_bars(config)
    if isinstance(splits, SplitsConfig) and (splits.resolved_from is not None or purge == 0):
        return config
    axis = bar_starts(config)
    step_us = round(config.data.bar_interval * 1e6)
    periods: Periods
    if isinstance(splits, SplitsConfig):
        periods = {n: (_us(p.start), _us(p.end)) for n, p in _named(splits).items()}
    elif isinstance(splits, FractionSplits):
        periods = _shares(splits, axis, step_us)
    elif isinstance(splits, WalkForwardSplits):
        periods = fold_periods(splits, axis, step_us, purge)
    else:
        periods = role_periods(config.data, splits.column)
    tree = config.model_dump(mode="json")
    tree["data"]["splits"] = {
        "kind": "dates",
        **{
            name: {"start": _iso(start), "end": _iso(end)}
            for name, (start, end) in purged(periods, axis, purge).items()
        },
        "purge_bars": splits.purge_bars,
        "resolved_from": _told(splits, purge),
    }
    return parse_config(tree, where=WHERE)


def label_horizon_bars(config: Config) -> int:
    """Bars that the labels of ``config`` look ahead, at most. Agents learn from rewards inside
    their split: without forecasters there are no labels, 0."""
    if config.forecast is None:
        return 0
    label = config.forecast.label
    return max(label.horizons) + (label.params.get("entry") == "next_open")


def purge_bars(config: Config) -> int:
    """``data.splits.purge_bars``, ``auto`` filled in."""
    given = config.data.splits.purge_bars
    return label_horizon_bars(config) if given == "auto" else given


def bar_starts(config: Config) -> Axis:
    """Distinct bar starts of all symbols inside the session, microseconds since 1970."""
    bars = session_bars(read_all_bars(config.data, ()).table, config.data).bars
    if bars.is_empty():
        raise DataError(
            "empty_session", "the session leaves no bar", where="data.session",
            do="correct its days, start, end or timezone",
        )  # fmt: skip
    starts = bars.select(pl.col("timestamp").unique().sort().dt.epoch("us")).to_series()
    return starts.to_numpy().astype(np.int64)


def purged(periods: Periods, axis: Axis, bars: int) -> Periods:
    """``periods`` (microseconds) whose train and validation end ``bars`` bars before the first bar
    of the next split; bars that lie between them already count."""
    out = dict(periods)
    for name, following in (("train", "validation"), ("validation", "test")):
        start, end = periods[name]
        next_bar = int(np.searchsorted(axis, periods[following][0]))
        if bars and next_bar < len(axis):
            place = next_bar - bars
            end = min(end, int(axis[place])) if place >= 0 else start
        if not np.searchsorted(axis, end) > np.searchsorted(axis, start):
            raise DataError(
                "empty_split",
                f"no bar is left in {name}" + (f" after a purge of {bars:,} bars" if bars else ""),
                where=f"{WHERE}.{name}",
                do="give longer splits, or more bars",
            )
        out[name] = (start, end)
    return out


def _shares(splits: FractionSplits, axis: Axis, step_us: int) -> Periods:
    n = len(axis)
    cuts = [0, round(splits.train * n), round((splits.train + splits.validation) * n), n]
    edges = np.append(axis, axis[-1] + step_us)
    if len(set(cuts)) < len(cuts):
        raise DataError(
            "empty_split", f"{n:,} bars are too few for these fractions", where=WHERE,
            do="give more bars",
        )  # fmt: skip
    names = ("train", "validation", "test")
    return {
        name: (int(edges[a]), int(edges[b]))
        for name, a, b in zip(names, cuts[:-1], cuts[1:], strict=True)
    }


def _named(splits: SplitsConfig) -> Mapping[str, Any]:
    return {"train": splits.train, "validation": splits.validation, "test": splits.test}


def _told(
    splits: SplitsConfig | FractionSplits | WalkForwardSplits | ColumnSplits, purge: int
) -> str:
    """The rule in words, for people and for lineage."""
    if isinstance(splits, FractionSplits):
        text = f"fractions {splits.train:g}, {splits.validation:g}, {splits.test:g} of the bars"
    elif isinstance(splits, WalkForwardSplits):
        text = f"fold {splits.fold} of {splits.folds} of a walk forward, {splits.mode}"
    elif isinstance(splits, ColumnSplits):
        text = f"roles in column {splits.column!r}"
    else:
        text = "dates"
    return f"{text}; purge {purge:,} bars"


def _us(moment: datetime) -> int:
    return round((moment - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1))


def _iso(us: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)).isoformat()
