"""``data.folds`` -> folds.json: which bars of train (and validation) make each fold.

A fold is told in stretches of bar starts, so that it holds for every symbol and any later stage can
pick its rows by time. Rows of the test split never come here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from truefill.config.splits import FoldsConfig
from truefill.core.errors import UsageError
from truefill.data.folds import (
    Combinations,
    Fold,
    Rows,
    combinatorial_purged,
    purged_k_fold,
    ranges,
    walk_forward,
)

WITHIN = {"train": ("train",), "train_validation": ("train", "validation")}


def plan_folds(
    config: FoldsConfig,
    tables: Mapping[str, pl.DataFrame],
    *,
    horizon: int,
    window: int,
    label_rows: Rows | None = None,
) -> dict[str, Any]:
    """The folds as plain data.

    Args:
        config: which folds.
        tables: by split; only the bar starts of train and validation are looked at.
        horizon: bars that a label looks ahead, where the config leaves it to the labels.
        window: bars that the longest feature looks at, its own included.
        label_rows: rows (unix seconds) with the intervals that their labels look at
            (``forecast.labels``); a time is then purged by the widest of its rows, besides
            ``horizon`` and ``window``. Rows without a label need not be among them.

    Raises:
        DataError: ``too_few_folds``, ``empty_fold``.
        UsageError: a label's row is at no bar of the folds.
    """
    stamps = pl.concat(tables[name]["timestamp"] for name in WITHIN[config.within])
    at = stamps.dt.epoch("s").to_numpy().astype(np.int64)
    axis = np.unique(at)
    ahead = horizon if config.label_horizon_bars == "auto" else config.label_horizon_bars
    rows = Rows.of_bars(at, horizon=ahead, window=window)
    if label_rows is not None:
        rows = _with_labels(rows, label_rows)
    made = _make(config, rows, len(axis))
    folds = made.folds if isinstance(made, Combinations) else made
    plan: dict[str, Any] = {
        "kind": config.kind,
        "within": config.within,
        "bars": len(axis),
        "rows": len(at),
        "label_horizon_bars": ahead,
        "feature_window_bars": window,
        "embargo_bars": config.embargo_bars,
        "folds": [_told(axis, at, fold) for fold in folds],
    }
    if isinstance(made, Combinations):
        plan["groups"] = made.groups.tolist()
        plan["paths"] = made.paths.tolist()
    return plan


def rows_of(plan: Mapping[str, Any], fold: int, role: str, at: npt.NDArray[np.int64]) -> Any:
    """bool[n]: which rows (bar starts ``at``, unix seconds) of a plan's fold, 0 = the first, are
    ``train`` or ``test``."""
    if role not in ("train", "test"):
        raise UsageError(f"no role of a fold is called {role!r}", do="use train or test")
    inside = np.zeros(len(at), np.bool_)
    for first, last in plan["folds"][fold][role]["bar_starts_s"]:
        inside |= (at >= first) & (at <= last)
    return inside


def _with_labels(rows: Rows, label_rows: Rows) -> Rows:
    """``rows``, each at least as wide as the labels of its time."""
    if not np.isin(label_rows.at, rows.at).all():
        raise UsageError("a label's row is at no bar of the folds", where="label_rows")
    both = Rows(
        np.concatenate([rows.at, label_rows.at]),
        np.concatenate([rows.label_end, label_rows.label_end]),
        np.concatenate([rows.window_start, label_rows.window_start]),
    ).widest()
    own = slice(len(rows.at))
    return Rows(both.at[own], both.label_end[own], both.window_start[own])


def _make(config: FoldsConfig, rows: Rows, bars: int) -> tuple[Fold, ...] | Combinations:
    if config.kind == "walk_forward":
        rolling = config.mode == "rolling"
        return walk_forward(
            rows,
            folds=config.folds,
            test_bars=config.test_bars or max(1, bars // (config.folds + 1)),
            train_bars=config.train_bars if rolling else None,
            least_train_bars=config.train_bars or 1,
        )
    if config.kind == "purged_k_fold":
        return purged_k_fold(rows, folds=config.folds, embargo=config.embargo_bars)
    return combinatorial_purged(
        rows, groups=config.folds, test_groups=config.test_groups, embargo=config.embargo_bars
    )


def _told(axis: npt.NDArray[np.int64], at: npt.NDArray[np.int64], fold: Fold) -> dict[str, Any]:
    return {
        role: {
            "rows": len(rows),
            "bar_starts_s": [list(stretch) for stretch in ranges(axis, at[rows])],
        }
        for role, rows in (("train", fold.train), ("test", fold.test))
    }
