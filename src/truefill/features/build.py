"""Config -> dataset: read, refuse defects, session, features, splits, normalize (fitted on train).

Every step looks backward only, so features are computed over the whole history at once; the only
things fitted are the normalizers, on train rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from truefill.config.schema import Config
from truefill.core.errors import ConfigError, DataError
from truefill.data import defects
from truefill.data.describe import bars_sha256, describe, periods_per_year
from truefill.data.inputs import Inputs, read_inputs
from truefill.data.join import Series
from truefill.data.market_columns import market_columns
from truefill.data.sessions import keep_session, session_of
from truefill.data.splits import SPLITS, inside, period_of
from truefill.features import dead, normalize
from truefill.features.compute import RawFeatures, compute
from truefill.features.contract import FeatureContract, FeatureSpec
from truefill.features.normalize import NormStats
from truefill.features.rows import INDEX, SOURCE, RowCounts, split_rows


@dataclass(frozen=True)
class BuiltDataset:
    """Tables by split and all that describes them.

    A table is long, sorted by timestamp and symbol: timestamp, symbol, open, high, low, close,
    volume, atr, raw_log_return, last, the market's columns (``lineage["market_columns"]``),
    no_trade, then features f32 in contract order.
    """

    tables: dict[str, pl.DataFrame]
    norm_stats: dict[str, dict[str, float]]
    lineage: dict[str, Any]
    descriptive: dict[str, Any]
    contract: FeatureContract


def build_dataset(config: Config) -> BuiltDataset:
    """Build all splits in memory. Raises ``ConfigError`` or ``DataError``; writes nothing."""
    specs = specify_all(config)
    return build(config, specs, read_inputs(config.data, extra_columns(specs)))


def specify_all(config: Config) -> tuple[FeatureSpec, ...]:
    """Every configured feature, resolved; refuses what no data could ever satisfy."""
    specs = tuple(normalize.specify(feature) for feature in config.features)
    _require_room(config, specs)
    _require_fixed_stops(config)
    return specs


def extra_columns(specs: Sequence[FeatureSpec]) -> list[str]:
    """Further columns of the bars that features read."""
    return sorted({str(s.params["column"]) for s in specs if s.calculator == "column"})


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
    session = session_of(config.data.session)
    bars, counts.outside_session = keep_session(read.table, session)
    if bars.is_empty():
        raise DataError(
            "empty_session",
            f"the session leaves none of {counts.read:,} bars",
            where="data.session",
            do="correct its days, start, end or timezone",
        )
    market = market_columns(config.data, bars, read.delisted, session)
    stops = config.market.atr_stops
    raw = compute(
        bars,
        specs,
        session=session,
        interval_s=config.data.interval,
        series=series,
        atr_period=stops.period if stops else None,
    )
    parts = split_rows(config.data.splits, specs, raw, market.table, counts)
    fresh = parts["train"].filter(~pl.col("no_trade"))
    stats = _fit(specs, raw, fresh)
    tables = {name: _normalized(specs, stats, raw, part) for name, part in parts.items()}
    contract = FeatureContract(specs, config.data.interval, session.as_dict(), _rules(series))
    train = tables["train"].filter(~pl.col("no_trade"))
    dead.refuse_dead(contract.names, train.select(contract.names).to_numpy())
    lineage = {
        **contract.as_dict(),
        "contract_sha256": contract.sha256,
        "rows": counts.as_dict(),
        "stale_or_unjoined": counts.stale_by_feature,
        "inputs": [
            {"file": f.name, "sha256": f.sha256, "rows": f.rows}
            for f in [*read.inputs, *inputs.files, *market.inputs]
        ],
        "symbols": sorted(bars["symbol"].unique().to_list()),
        "market_columns": list(market.names),
        "market_data": market.facts,
        "warnings": market.warnings,
        "test_sha256": split_sha256.pop("test"),
        "split_sha256": split_sha256,
        "dead_features": [],
        **_facts(config, tables),
    }
    norm_stats = {spec.name: stats[spec.name].as_dict() for spec in specs}
    descriptive = {name: describe(table, contract.names) for name, table in tables.items()}
    return BuiltDataset(tables, norm_stats, lineage, descriptive, contract)


def _require_room(config: Config, specs: Sequence[FeatureSpec]) -> None:
    """Refuse a warm-up longer than train could ever be, before any file is read."""
    period = config.data.splits.train
    most = int((period.end - period.start).total_seconds() / config.data.interval)
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
        "warnings": built.lineage["warnings"],
        "dead_features": built.lineage["dead_features"],
        "test_sha256": built.lineage["test_sha256"],
    }


def _fit(
    specs: Sequence[FeatureSpec], raw: RawFeatures, train: pl.DataFrame
) -> dict[str, NormStats]:
    """Statistics of these train rows; rule ``dead_feature`` for features without spread there."""
    rows = train[INDEX].to_numpy()
    stats = {s.name: normalize.fit(s, raw.values[rows, i]) for i, s in enumerate(specs)}
    dead.refuse_constant({name: s.mean for name, s in stats.items() if normalize.is_constant(s)})
    return stats


def _normalized(
    specs: Sequence[FeatureSpec], stats: dict[str, NormStats], raw: RawFeatures, part: pl.DataFrame
) -> pl.DataFrame:
    """A split's table with its normalized features; ``ConfigError`` where one has the name of
    another column."""
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
    return (
        part.drop(INDEX, SOURCE)
        .with_columns(columns)
        .sort("timestamp", "symbol", maintain_order=True)
    )


def _rules(series: Mapping[str, Series]) -> dict[str, dict[str, float]]:
    """Publication rules of every series, for the contract."""
    return {name: s.rule for name, s in sorted(series.items())}


def _facts(config: Config, tables: dict[str, pl.DataFrame]) -> dict[str, Any]:
    """Per-split facts and the periods, for lineage."""
    close_only = defects.close_only().sum()
    return {
        "close_only_bars": {n: int(t.select(close_only).item()) for n, t in tables.items()},
        "periods_per_year": {
            n: periods_per_year(t["timestamp"], config.data.interval) for n, t in tables.items()
        },
        "splits": {
            n: {"start": p.start.isoformat(), "end": p.end.isoformat()}
            for n in SPLITS
            for p in [period_of(config.data.splits, n)]
        },
    }
