"""Config -> dataset: read, refuse defects, session, features, splits, normalize (fitted on train).

Every step looks backward only, so features are computed over the whole history at once; the only
things fitted are the normalizers, on train rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from truefill.config.schema import Config
from truefill.core.errors import ConfigError, DataError
from truefill.core.fingerprint import fingerprint
from truefill.data import defects
from truefill.data.describe import bars_sha256, describe, periods_per_year
from truefill.data.join import Series, read_series
from truefill.data.read import InputFile, read_bars
from truefill.data.sessions import keep_session, session_of
from truefill.data.splits import SPLITS, inside, period_of, split_table
from truefill.data.synthetic import synthetic_bars
from truefill.features import dead, normalize
from truefill.features.compute import RawFeatures, compute
from truefill.features.contract import FeatureContract, FeatureSpec
from truefill.features.normalize import NormStats

_INDEX = "_index"


@dataclass(frozen=True)
class BuiltDataset:
    """Tables by split (long, sorted by timestamp and symbol: timestamp, symbol, open, high, low,
    close, volume, atr, raw_log_return, then features f32 in contract order) and all that describes
    them."""

    tables: dict[str, pl.DataFrame]
    norm_stats: dict[str, dict[str, float]]
    lineage: dict[str, Any]
    descriptive: dict[str, Any]
    contract: FeatureContract


@dataclass
class _Counts:
    """Rows on their way from the files into the splits."""

    read: int = 0
    outside_session: int = 0
    outside_splits: int = 0
    dropped_warmup: int = 0
    dropped_stale: int = 0
    stale_by_feature: dict[str, int] = field(default_factory=dict)
    by_split: dict[str, int] = field(default_factory=dict)

    def as_dict(self) -> dict[str, int]:
        return {
            "read": self.read,
            "outside_session": self.outside_session,
            "outside_splits": self.outside_splits,
            "dropped_warmup": self.dropped_warmup,
            "dropped_stale": self.dropped_stale,
            **self.by_split,
        }


def build_dataset(config: Config) -> BuiltDataset:
    """Build all splits in memory. Raises ``ConfigError`` or ``DataError``; writes nothing."""
    specs = tuple(normalize.specify(feature) for feature in config.features)
    _require_room(config, specs)
    counts = _Counts()
    series, series_files = read_series(config.data.series)
    bars, inputs = _bars(config, specs)
    counts.read = bars.height
    split_sha256 = {
        name: bars_sha256(bars.filter(inside(period_of(config.data.splits, name))))
        for name in SPLITS
    }
    session = session_of(config.data.session)
    bars, counts.outside_session = keep_session(bars, session)
    if bars.is_empty():
        raise DataError(
            "empty_session",
            f"the session leaves none of {counts.read:,} bars",
            where="data.session",
            do="correct its days, start, end or timezone",
        )
    stops = config.market.atr_stops
    raw = compute(
        bars,
        specs,
        session=session,
        interval_s=config.data.interval,
        series=series,
        atr_period=stops.period if stops else None,
    )
    parts = _split(config, specs, raw, counts)
    stats = _fit(specs, raw, parts["train"])
    tables = {name: _normalized(specs, stats, raw, part) for name, part in parts.items()}
    contract = FeatureContract(specs, config.data.interval, session.as_dict(), _rules(series))
    dead.refuse_dead(contract.names, tables["train"].select(contract.names).to_numpy())
    lineage = {
        **contract.as_dict(),
        "contract_sha256": contract.sha256,
        "rows": counts.as_dict(),
        "stale_or_unjoined": counts.stale_by_feature,
        "inputs": [
            {"file": f.name, "sha256": f.sha256, "rows": f.rows} for f in inputs + series_files
        ],
        "symbols": sorted(bars["symbol"].unique().to_list()),
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
        "dead_features": built.lineage["dead_features"],
        "test_sha256": built.lineage["test_sha256"],
    }


def _bars(config: Config, specs: Sequence[FeatureSpec]) -> tuple[pl.DataFrame, list[InputFile]]:
    """All bars of all symbols, checked, sorted by symbol and time."""
    data = config.data
    if data.synthetic is not None:
        table = synthetic_bars(data.synthetic, data.interval)
        source = {**data.synthetic.model_dump(mode="json"), "interval_s": data.interval}
        name = f"synthetic:{data.synthetic.kind}"
        return table, [InputFile(name, fingerprint(source), table.height)]
    extra = sorted({str(s.params["column"]) for s in specs if s.calculator == "column"})
    tables, inputs, symbols = [], [], {}
    for source_file in data.bars:
        table, file = read_bars(source_file, interval_s=data.interval, extra=extra)
        tables.append(table)
        inputs.append(file)
        symbols[f"data.bars.{len(inputs) - 1} ({file.name})"] = table["symbol"].unique().to_list()
    defects.check_overlap(symbols)
    return pl.concat(tables, how="diagonal").sort("symbol", "timestamp"), inputs


def _split(
    config: Config, specs: Sequence[FeatureSpec], raw: RawFeatures, counts: _Counts
) -> dict[str, pl.DataFrame]:
    """Rows of each split that have every feature, with their index into ``raw``."""
    empty = np.isnan(raw.values)
    table = raw.table.with_row_index(_INDEX).with_columns(
        warming=pl.Series(raw.warming), stale=pl.Series(empty.any(axis=1) & ~raw.warming)
    )
    shares: dict[str, dict[str, float]] = {}
    for name in SPLITS:
        rows = table.filter(inside(period_of(config.data.splits, name)))[_INDEX].to_numpy()
        if len(rows):
            columns = empty[rows].mean(axis=0)
            shares[name] = {s.name: float(v) for s, v in zip(specs, columns, strict=True)}
    dead.refuse_empty(shares)
    kept = table.filter(~pl.col("warming") & ~pl.col("stale")).drop("warming", "stale")
    parts, counts.outside_splits = split_table(kept, config.data.splits)
    counts.dropped_warmup = int(table["warming"].sum())
    counts.dropped_stale = int(table["stale"].sum())
    missing = (empty & ~raw.warming[:, None]).sum(axis=0)
    counts.stale_by_feature = {s.name: int(n) for s, n in zip(specs, missing, strict=True) if n}
    counts.by_split = {name: part.height for name, part in parts.items()}
    return parts


def _fit(
    specs: Sequence[FeatureSpec], raw: RawFeatures, train: pl.DataFrame
) -> dict[str, NormStats]:
    """Statistics of the train rows; rule ``dead_feature`` for features without spread there."""
    rows = train[_INDEX].to_numpy()
    stats = {s.name: normalize.fit(s, raw.values[rows, i]) for i, s in enumerate(specs)}
    dead.refuse_constant({name: s.mean for name, s in stats.items() if normalize.is_constant(s)})
    return stats


def _normalized(
    specs: Sequence[FeatureSpec], stats: dict[str, NormStats], raw: RawFeatures, part: pl.DataFrame
) -> pl.DataFrame:
    """A split's table with its normalized features."""
    rows = part[_INDEX].to_numpy()
    columns = [
        pl.Series(s.name, normalize.apply(s, stats[s.name], raw.values[rows, i]))
        for i, s in enumerate(specs)
    ]
    return part.drop(_INDEX).with_columns(columns).sort("timestamp", "symbol", maintain_order=True)


def _rules(series: dict[str, Series]) -> dict[str, dict[str, float]]:
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
