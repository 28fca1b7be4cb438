"""Spread and liquidity by hour of the week, as multipliers of what the market charges.

They are fitted on train bars (:mod:`truefill.data.seasonality_fit`) or read from a file
(:mod:`truefill.data.seasonality_file`), and here put on every bar.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from truefill.config.seasonality import SeasonalityConfig
from truefill.core.errors import ConfigError, DataError
from truefill.core.files import json_text
from truefill.core.fingerprint import sha256_bytes
from truefill.data.events import symbol_spans
from truefill.data.read import InputFile
from truefill.data.seasonality_file import HOURS, Lists, clamp, hour_name, read_seasons
from truefill.data.seasonality_fit import WHERE, fit_lists, source_of

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

SEASONS = ("liquidity_season", "spread_season")
"""Columns of the bars that hold the multiplier of the hour, for the calculator ``column``."""
_FIRST_HOUR = 72  # 1970-01-01 was a Thursday


@dataclass(frozen=True)
class Seasonality:
    """``columns``: f64[n] by kind, the multiplier of each bar; ``content``: what
    ``seasonality.json`` holds (None: nothing was fitted); ``facts`` for lineage (None: off)."""

    columns: dict[str, Floats] = field(default_factory=dict)
    inputs: list[InputFile] = field(default_factory=list)
    facts: dict[str, Any] | None = None
    content: dict[str, Any] | None = None


def hour_of_week(seconds: Ints) -> Ints:
    """0 = Monday 00:00 UTC, for unix seconds."""
    return np.asarray((seconds // 3600 + _FIRST_HOUR) % HOURS)


def seasonality(config: SeasonalityConfig | None, bars: pl.DataFrame, train: Bools) -> Seasonality:
    """The multipliers of every bar.

    Args:
        bars: sorted by symbol and time, [n].
        train: [n] bool, the bars that may be fitted on.

    Raises:
        DataError: what :func:`read_seasons` raises; ``few_samples`` and ``nothing_to_fit`` when
            fitting; ``unseen_hour`` for a bar in an hour that has no multiplier.
    """
    if config is None:
        return Seasonality()
    if config.path is not None:
        assert config.sha256 is not None
        read = read_seasons(config.path, config.sha256)
        facts = {"from": read.file.name, "sha256": read.file.sha256, "unused": read.unused}
        told = {**facts, "clamped": read.clamped, **_told(read.kinds)}
        return Seasonality(_on_bars(read.kinds, bars), [read.file], told)
    return _fitted(config, bars, train)


def with_seasons(
    config: SeasonalityConfig | None, bars: pl.DataFrame, wanted: Sequence[str]
) -> pl.DataFrame:
    """``bars`` with ``spread_season`` and ``liquidity_season`` where features want them.

    Raises ``ConfigError`` where they would be fitted: a feature knows its symbol's past, and fitted
    multipliers know all of train. Read from a file they are constants.
    """
    asked = [name for name in SEASONS if name in wanted and name not in bars.columns]
    if not asked or config is None:
        return bars
    if config.path is None:
        raise ConfigError(
            f"{asked[0]} is a feature of multipliers from a file only; these are fitted",
            where=WHERE,
            do="fit them once, then give path: and sha256: of the run's dataset/seasonality.json",
        )
    columns = seasonality(config, bars, np.zeros(bars.height, np.bool_)).columns
    kinds = {f"{kind}_season": values for kind, values in columns.items()}
    return bars.with_columns(**{name: pl.Series(v) for name, v in kinds.items() if name in asked})


def _fitted(config: SeasonalityConfig, bars: pl.DataFrame, train: Bools) -> Seasonality:
    kinds: dict[str, Lists] = {}
    clamped, least = 0, []
    for kind in config.fit:
        lists, samples = fit_lists(config, kind, bars, hour_of_week(_seconds(bars)), train)
        kinds[kind], outside = clamp(lists)
        clamped += outside
        least.append(samples)
    content = {kind: _plain(lists) for kind, lists in kinds.items()}
    facts = {
        "from": {kind: source_of(config, kind) for kind in config.fit},
        "sha256": sha256_bytes(json_text(content).encode()),
        "train_bars": int(train.sum()),
        "least_samples": min(least),
        "clamped": clamped,
        **_told(kinds),
    }
    return Seasonality(_on_bars(kinds, bars), [], facts, content)


def _on_bars(kinds: Mapping[str, Lists], bars: pl.DataFrame) -> dict[str, Floats]:
    """The multiplier of each bar by kind, f64[n]."""
    seconds = _seconds(bars)
    hours = hour_of_week(seconds)
    columns = {}
    for kind, lists in kinds.items():
        column = np.empty(bars.height)
        for symbol, (first, end) in symbol_spans(bars).items():
            key = None if None in lists else symbol
            if key not in lists:
                raise DataError("missing_symbol", f"{kind} has no list for {symbol}", where=WHERE,
                                do="add one, or give one list for all")  # fmt: skip
            column[first:end] = lists[key][hours[first:end]]
        if np.isnan(column).any():
            row = int(np.argmax(np.isnan(column)))
            moment = datetime.fromtimestamp(int(seconds[row]), UTC).isoformat()
            raise DataError(
                "unseen_hour",
                f"{bars['symbol'][row]} has a bar at {moment}, and no {kind} multiplier for "
                f"{hour_name(int(hours[row]))}: no train bar starts in that hour",
                where=WHERE,
                do="widen data.splits.train, or set data.session so that the bar is left out",
            )
        columns[kind] = column
    return columns


def _seconds(bars: pl.DataFrame) -> Ints:
    return bars["timestamp"].dt.epoch("s").to_numpy().astype(np.int64)


def _plain(lists: Lists) -> Any:
    """JSON-able; null where an hour has no bars."""
    rows: dict[str | None, Sequence[float | None]] = {
        key: [None if np.isnan(v) else float(v) for v in values] for key, values in lists.items()
    }
    return rows.get(None, rows)


def _told(kinds: Mapping[str, Lists]) -> dict[str, Any]:
    """The smallest and the largest multiplier of each kind, and how many hours have one."""
    told = {}
    for kind, lists in kinds.items():
        known = np.concatenate([values[~np.isnan(values)] for values in lists.values()])
        told[kind] = {
            "smallest": float(known.min()),
            "largest": float(known.max()),
            "hours": min(int((~np.isnan(values)).sum()) for values in lists.values()),
        }
    return {"multipliers": told}
