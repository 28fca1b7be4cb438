"""Config -> dataset: read, refuse defects, session, features, splits, normalize (fitted on train).

Every step looks backward only, so features are computed over the whole history at once; the only
things fitted are the normalizers, on train rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from truefill.config.schema import Config
from truefill.config.splits import dated
from truefill.core.errors import ConfigError, DataError
from truefill.core.fingerprint import fingerprint
from truefill.core.plugins import hashes_with, load_plugins, require_named
from truefill.data import defects
from truefill.data.describe import bars_sha256, describe, periods_per_year
from truefill.data.fold_plan import plan_folds
from truefill.data.inputs import Inputs, read_inputs
from truefill.data.join import Series
from truefill.data.market_columns import market_columns
from truefill.data.no_trade import closed_times, guard_columns
from truefill.data.resample import require_borders, session_bars
from truefill.data.resolve import label_horizon_bars
from truefill.data.seasonality import seasonality, with_seasons
from truefill.data.sessions import session_of
from truefill.data.splits import SPLITS, inside, period_of
from truefill.features import dead, normalize
from truefill.features.compute import RawFeatures, compute
from truefill.features.contract import FeatureContract, FeatureSpec, level_warnings
from truefill.features.normalize import NormStats
from truefill.features.outside import outside_facts
from truefill.features.registry import CALCULATORS
from truefill.features.rows import INDEX, SOURCE, RowCounts, split_rows, together


@dataclass(frozen=True)
class BuiltDataset:
    """Tables by split and all that describes them.

    A table is long, sorted by timestamp and symbol: timestamp, symbol, open, high, low, close,
    volume, atr, raw_log_return, last, the market's columns (``lineage["market_columns"]``),
    closed (``market.no_trade``), no_trade (a feature is stale), then features f32 in contract
    order.
    ``seasonality``: the multipliers fitted on train, as their file holds them. ``folds``: the folds
    inside train and validation (:mod:`truefill.data.fold_plan`), where ``data.folds`` asks for any.
    """

    tables: dict[str, pl.DataFrame]
    norm_stats: dict[str, dict[str, float]]
    lineage: dict[str, Any]
    descriptive: dict[str, Any]
    contract: FeatureContract
    seasonality: dict[str, Any] | None = None
    folds: dict[str, Any] | None = None


def build_dataset(config: Config) -> BuiltDataset:
    """Build all splits in memory. Raises ``ConfigError`` or ``DataError``; writes nothing."""
    specs = specify_all(config)
    return build(config, specs, read_for(config, specs))


def read_for(config: Config, specs: Sequence[FeatureSpec]) -> Inputs:
    """All that :func:`build` needs."""
    return read_inputs(config.data, columns_for(config, specs))


def columns_for(config: Config, specs: Sequence[FeatureSpec]) -> list[str]:
    """Further columns of the bars that features, guards and seasonality read."""
    columns = {*extra_columns(specs), *guard_columns(config.market.no_trade)}
    season = config.data.seasonality
    if season is not None and season.ask is not None:
        columns.add(season.ask)
    return sorted(columns)


def specify_all(config: Config) -> tuple[FeatureSpec, ...]:
    """Every configured feature, resolved; refuses what no data could ever satisfy."""
    load_plugins(config.plugins)
    interval_s = config.data.bar_interval
    _require_named(config)
    specs = tuple(normalize.specify(feature, interval_s) for feature in config.features)
    _require_room(config, specs)
    _require_fixed_stops(config)
    return specs


def extra_columns(specs: Sequence[FeatureSpec]) -> list[str]:
    """Further columns of the bars that features read."""
    read: set[str] = set()
    for spec in specs:
        entry = CALCULATORS.get(spec.calculator)
        read.update(entry.facts["columns"](entry.params(**spec.params)))
    return sorted(read)


def build(config: Config, specs: Sequence[FeatureSpec], inputs: Inputs) -> BuiltDataset:
    """All splits of these inputs, in memory. Raises ``ConfigError`` or ``DataError``."""
    specs = tuple(specs)
    counts = RowCounts()
    read, series = inputs.bars, inputs.series
    counts.read = read.table.height
    split_sha256 = {
        name: bars_sha256(read.table.filter(inside(period_of(config.data.splits, name))))
        for name in SPLITS
    }
    session = session_of(config.data.session, config.data.bar_interval)
    kept = session_bars(read.table, config.data)
    bars, counts.outside_session = kept.bars, kept.outside
    if bars.is_empty():
        raise DataError(
            "empty_session",
            f"the session leaves none of {counts.read:,} bars",
            where="data.session",
            do="correct its days, start, end or timezone",
        )
    if kept.resampled is not None:
        require_borders(kept.resampled, config.data)
        counts.merged, counts.unclosed = kept.resampled.merged, kept.resampled.unclosed
    rows = {name: _rows(config, bars, name) for name in ("train", "validation")}
    season = seasonality(config.data.seasonality, bars, rows["train"])
    market = market_columns(config.data, bars, read.delisted, session, season.columns)
    closed = closed_times(config.market.no_trade, config.data.events, bars, rows)
    raw = raw_features(config, specs, bars, inputs)
    beside = market.table.with_columns(closed=pl.Series(closed.closed))
    parts = split_rows(config.data.splits, specs, raw, beside, counts)
    fresh = parts["train"].select(INDEX, "no_trade").filter(~pl.col("no_trade"))
    stats = _fit(specs, raw, fresh)
    tables = {name: _normalized(specs, stats, raw, parts.pop(name)) for name in SPLITS}
    del raw, fresh, beside  # gigabytes, at ten million rows
    contract = FeatureContract(
        specs,
        config.data.bar_interval,
        session.as_dict(),
        _rules(series),
        hashes_with(config.plugins, CALCULATORS),
        [calendar.rule for calendar in inputs.releases],
    )
    outside, warnings = outside_facts(config, inputs, bars, rows)
    train = tables["train"]
    columns = [train[name].to_numpy() for name in contract.names]
    dead.refuse_dead(contract.names, columns, _unless_all(~train["no_trade"].to_numpy()))
    folds = _folds(config, specs, tables)
    files = [*read.inputs, *inputs.files, *market.inputs, *season.inputs, *closed.inputs]
    findings = [*read.findings, *(found for file in files for found in file.findings)]
    lineage = {
        **contract.as_dict(),
        "contract_sha256": contract.sha256,
        "rows": counts.as_dict(),
        "resample": kept.resampled and kept.resampled.facts(config.data),
        "stale_or_unjoined": counts.stale_by_feature,
        "inputs": [{"file": f.name, "sha256": f.sha256, "rows": f.rows} for f in files],
        "repairs": [f.as_dict() for f in findings if f.severity == "repair"],
        "symbols": sorted(bars["symbol"].unique().to_list()),
        "market_columns": list(market.names),
        "market_data": market.facts,
        "no_trade": closed.facts,
        "seasonality": season.facts,
        "folds_sha256": None if folds is None else fingerprint(folds),
        **outside,
        "warnings": [
            *(f.text for f in findings if f.severity == "warn"),
            *warnings,
            *market.warnings,
            *closed.warnings,
            *level_warnings(specs),
        ],
        "test_sha256": split_sha256.pop("test"),
        "split_sha256": split_sha256,
        "dead_features": [],
        **_facts(config, tables),
    }
    norm_stats = {spec.name: stats[spec.name].as_dict() for spec in specs}
    descriptive = {name: describe(table, contract.names) for name, table in tables.items()}
    return BuiltDataset(tables, norm_stats, lineage, descriptive, contract, season.content, folds)


def raw_features(
    config: Config, specs: Sequence[FeatureSpec], bars: pl.DataFrame, inputs: Inputs
) -> RawFeatures:
    """Every feature of ``bars`` (those of ``inputs`` in the session); nothing is fitted."""
    stops = config.market.atr_stops
    return compute(
        with_seasons(config.data.seasonality, bars, extra_columns(specs)),
        specs,
        session=session_of(config.data.session, config.data.bar_interval),
        interval_s=config.data.bar_interval,
        series=inputs.series,
        atr_period=stops.period if stops else None,
        releases=inputs.releases,
    )


def _folds(
    config: Config, specs: Sequence[FeatureSpec], tables: Mapping[str, pl.DataFrame]
) -> dict[str, Any] | None:
    if config.data.folds is None:
        return None
    window = max(spec.lookback_bars for spec in specs)
    horizon = label_horizon_bars(config)
    return plan_folds(config.data.folds, tables, horizon=horizon, window=window)


def _require_named(config: Config) -> None:
    """Refuse a calculator of a file that ``plugins:`` does not name."""
    for feature in config.features:
        inner = str(feature.params.get("calculator", ""))  # of longer bars
        for name in (feature.calculator, inner):
            require_named(config.plugins, CALCULATORS, name, f"features.{feature.name}")


def _require_room(config: Config, specs: Sequence[FeatureSpec]) -> None:
    """Refuse a warm-up longer than train could ever be, before any file is read."""
    period = period_of(config.data.splits, "train")
    most = int((period.end - period.start).total_seconds() / config.data.bar_interval)
    for spec in specs:
        if spec.warmup_bars >= most:
            raise ConfigError(
                f"{spec.calculator} needs {spec.warmup_bars:,} bars of warm-up, "
                f"train holds at most {most:,}",
                where=f"features.{spec.name}",
                do="shorten its parameters or widen data.splits.train",
            )


def _require_fixed_stops(config: Config) -> None:
    """Refuse ATR stops on bars with splits: the ATR would take each for a move of the price."""
    if config.market.atr_stops and any(file.kind == "split" for file in config.data.events):
        raise ConfigError(
            "the ATR of bars as they traded is false around every split",
            where="market.atr_stops",
            do="use fixed stops, or adjusted bars without split events",
        )


def inspect_inputs(config: Config) -> dict[str, Any]:
    """What preflight prints: rows, dates, columns, counts. Raises what ``build_dataset`` raises."""
    built = build_dataset(config)
    rows = built.lineage["rows"]
    return {
        "rows": rows,
        "dates": {
            name: [str(table["timestamp"][0]), str(table["timestamp"][-1])]
            for name, table in built.tables.items()
        },
        "columns": list(built.tables["train"].columns),
        "symbols": built.lineage["symbols"],
        "features": len(built.contract.features),
        "close_only_bars": built.lineage["close_only_bars"],
        "periods_per_year": built.lineage["periods_per_year"],
        "inputs": built.lineage["inputs"],
        "market_data": built.lineage["market_data"],
        "joined": built.lineage["joined"],
        "warnings": built.lineage["warnings"],
        "dead_features": built.lineage["dead_features"],
        "test_sha256": built.lineage["test_sha256"],
    }


def _fit(
    specs: Sequence[FeatureSpec], raw: RawFeatures, train: pl.DataFrame
) -> dict[str, NormStats]:
    """Statistics of these train rows; rule ``dead_feature`` for features without spread there."""
    rows = together(train[INDEX].to_numpy())
    stats = {s.name: normalize.fit(s, raw.values[rows, i]) for i, s in enumerate(specs)}
    dead.refuse_constant({name: s.mean for name, s in stats.items() if normalize.is_constant(s)})
    return stats


def _normalized(
    specs: Sequence[FeatureSpec], stats: dict[str, NormStats], raw: RawFeatures, part: pl.DataFrame
) -> pl.DataFrame:
    """A split's table with its normalized features; ``ConfigError`` where one has the name of
    another column."""
    part = part.sort("timestamp", "symbol", maintain_order=True)
    rows = part[SOURCE].to_numpy()
    taken = sorted({spec.name for spec in specs} & set(part.columns))
    if taken:
        raise ConfigError(
            f"{taken[0]!r} is a column of the bars already",
            where=f"features.{taken[0]}",
            do=f"give the feature another name, e.g. {taken[0]}_z",
        )
    columns = [
        pl.Series(s.name, normalize.apply(s, stats[s.name], raw.values[rows, i]))
        for i, s in enumerate(specs)
    ]
    return part.drop(INDEX, SOURCE).with_columns(columns)


def _unless_all(keep: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_] | None:
    """Rows to keep; None where that is all of them."""
    return None if keep.all() else keep


def _rows(config: Config, bars: pl.DataFrame, name: str) -> npt.NDArray[np.bool_]:
    """[n] bool: bars of this split."""
    found = bars.select(inside(period_of(config.data.splits, name))).to_series()
    return found.to_numpy().astype(np.bool_)


def _rules(series: Mapping[str, Series]) -> dict[str, dict[str, Any]]:
    """Publication rules of every series, for the contract."""
    return {name: s.rule for name, s in sorted(series.items())}


def _facts(config: Config, tables: dict[str, pl.DataFrame]) -> dict[str, Any]:
    """Per-split facts and the periods, for lineage."""
    close_only = defects.close_only().sum()
    return {
        "close_only_bars": {n: int(t.select(close_only).item()) for n, t in tables.items()},
        "periods_per_year": {
            n: periods_per_year(t["timestamp"], config.data.bar_interval) for n, t in tables.items()
        },
        "splits": {
            n: {"start": p.start.isoformat(), "end": p.end.isoformat()}
            for n in SPLITS
            for p in [period_of(config.data.splits, n)]
        },
        "splits_from": dated(config.data.splits).resolved_from,
    }
