"""One unit of forecasting: fit it, forecast the rows that it is asked, and prove that what was
stored says the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from truefill.core.errors import ArtifactError, DataError
from truefill.forecast.baselines.base import FORECASTERS, Forecast, History, Train
from truefill.forecast.bench import Bench
from truefill.forecast.columns import to_columns
from truefill.forecast.compare import baselines_for, baselines_of
from truefill.forecast.fit import NetworkTask, fit_network, load_network
from truefill.forecast.foundation.cutoff import contaminated_rows
from truefill.forecast.labels.base import Bools, FittedLabel, Floats
from truefill.forecast.material import closes_s
from truefill.forecast.scores import Kind
from truefill.forecast.units import (
    BASELINES,
    Unit,
    kind_of,
    kinds_of,
    levels_of,
    loss_of,
    member_of,
)

CHECKPOINT = "checkpoint"
CONTAMINATED = "contaminated"
"""Column of rows that a pretrained model may have been trained on."""


@dataclass(frozen=True)
class UnitForecast:
    """What a unit says: its rows' forecasts, what it is, and the files of its model."""

    table: pl.DataFrame
    facts: dict[str, Any]
    files: list[str] = field(default_factory=list)


def forecast_unit(
    bench: Bench,
    unit: Unit,
    split: str,
    folder: Path | None = None,
    progress: Callable[[int, int, float | None], None] = lambda *_: None,
) -> UnitForecast:
    """Fit a unit and forecast a split's rows of its fold; with a ``folder`` a network is stored
    there, and what is stored must forecast the same.

    Raises:
        ArtifactError: it does not. DataError: ``dead_forecast``, and those of the fit.
    """
    rows = bench.folds[unit.fold]
    labels = [bench.labels(rows)[i] for i in unit.heads]
    spreads = {i: spread_of(bench, unit.fold, i) for i in unit.heads}
    facts: dict[str, Any] = {
        "spread": {str(bench.horizons[i]): spreads[i] for i in unit.heads},
        "thresholds": {str(label.horizon): dict(label.thresholds) for label in labels},
    }
    if unit.member == BASELINES:
        return UnitForecast(baseline_table(bench, unit, split), facts)
    asked, where = bench.asked(rows, split), unit.path(bench.horizons)
    fitted = bench.material("train").asked(rows.fitted)
    member = member_of(bench.config, unit.member)
    files: list[str] = []
    seen: Bools | None = None
    if member.network is not None:
        checkpoint = None if folder is None else folder / CHECKPOINT
        task = task_of(bench, unit, labels)
        made = fit_network(task, fitted, unit.seed, checkpoint=checkpoint, progress=progress)
        found = made.predict(asked)
        if folder is not None:
            files = made.save(folder)
            require_same(found, load_network(folder).predict(asked), where)
    else:
        found, seen = ask_forecaster(bench, unit, labels[0], fitted, asked)
        if folder is not None:
            require_same(found, ask_forecaster(bench, unit, labels[0], fitted, asked)[0], where)
    kind = kind_of(bench.config, member)
    by_head = dict(zip(unit.heads, found, strict=True))
    require_alive(by_head, kind, where)
    table = marked(table_of(asked, by_head, spreads, kind, bench), seen)
    return UnitForecast(table, facts, files)


def marked(table: pl.DataFrame, seen: Bools | None) -> pl.DataFrame:
    """The table with a column for rows that a pretrained model may have seen, if there are any."""
    if seen is None or not seen.any():
        return table
    return table.with_columns(pl.Series(CONTAMINATED, seen))


def baseline_table(bench: Bench, unit: Unit, split: str) -> pl.DataFrame:
    """The forecasts of every baseline of one horizon, in every form that members have."""
    rows, [head] = bench.folds[unit.fold], unit.heads
    label = bench.labels(rows)[head]
    train = Train.of(label, bench.material("train").asked(rows.fitted))
    names = baselines_of(label, boosting=bench.config.boosting_baseline)
    asked = bench.asked(rows, split)
    spread = {head: spread_of(bench, unit.fold, head)}
    levels = levels_of(bench.config)
    tables = []
    for kind in kinds_of(bench.config):
        for name, forecast in baselines_for(kind, names, train, asked, levels).items():
            table = table_of(asked, {head: forecast}, spread, kind, bench)
            told = (pl.lit(kind).alias("kind"), pl.lit(name).alias("forecaster"))
            tables.append(table.select(*told, pl.all()))
    return pl.concat(tables, how="diagonal")


def task_of(bench: Bench, unit: Unit, labels: Sequence[FittedLabel]) -> NetworkTask:
    """What a network is fitted to."""
    member = member_of(bench.config, unit.member)
    assert member.network is not None
    return NetworkTask(
        network=member.network,
        params=member.params,
        window_bars=bench.config.window_bars,
        loss=loss_of(bench.config, member),
        fit=member.fit or bench.config.fit,
        labels=tuple(labels),
    )


def ask_forecaster(
    bench: Bench,
    unit: Unit,
    label: FittedLabel,
    fitted: Sequence[History],
    asked: Sequence[History],
) -> tuple[tuple[Forecast, ...], Bools]:
    """A registered forecaster that is no network, fitted and asked; and bool[n], the rows that it
    may have seen before (:mod:`truefill.forecast.foundation.cutoff`)."""
    member = member_of(bench.config, unit.member)
    assert member.forecaster is not None
    params = FORECASTERS.parse(member.forecaster, member.params)
    made = FORECASTERS.get(member.forecaster).make(params, Train.of(label, fitted))
    return (made.predict(asked),), contaminated_rows(made, asked)


def spread_of(bench: Bench, fold: int, head: int) -> float:
    """Standard deviation of a label over the fold's fitted rows; 1 of classes."""
    rows = bench.folds[fold]
    label = bench.labels(rows)[head]
    if label.classes:
        return 1.0
    histories = bench.material("train").asked(rows.fitted)
    values = np.concatenate([label.of(h.symbol, h.bars).value[h.rows] for h in histories])
    return float(values[np.isfinite(values)].std())


def table_of(
    histories: Sequence[History],
    forecasts: Mapping[int, Forecast],
    spreads: Mapping[int, float],
    kind: Kind,
    bench: Bench,
) -> pl.DataFrame:
    """timestamp, symbol, as_of, then the columns of every head; rows history after history."""
    columns: dict[str, Floats] = {}
    for i, forecast in forecasts.items():
        columns |= to_columns(bench.horizons[i], forecast, kind, spreads[i])
    stamps = np.concatenate([own.bars.timestamps_s[own.rows] for own in histories])
    symbols = np.repeat([own.symbol for own in histories], [len(own.rows) for own in histories])
    closes = closes_s(histories, bench.material("train").interval_s)
    return pl.DataFrame(
        {"timestamp": moments(stamps), "symbol": symbols, "as_of": moments(closes), **columns}
    )


def moments(seconds: Any) -> pl.Series:
    """Unix seconds as UTC timestamps."""
    return pl.Series(np.asarray(seconds) * 1_000_000).cast(pl.Datetime("us", "UTC"))


def require_same(found: Sequence[Forecast], again: Sequence[Forecast], where: str) -> None:
    """Refuse an artifact that does not reproduce what was forecast with it, bit for bit."""
    for one, other in zip(found, again, strict=True):
        pairs = [(one.value, other.value), *((one.extra[k], other.extra[k]) for k in one.extra)]
        if one.probability is not None:
            assert other.probability is not None
            pairs.append((one.probability, other.probability))
        if not all(np.array_equal(a, b, equal_nan=True) for a, b in pairs):
            raise ArtifactError(
                "the stored forecaster does not forecast what the fitted one did",
                where=f"forecast/{where}",
                do="this is a fault of truefill's or of the machine; run again with --fresh",
            )


def require_alive(forecasts: Mapping[int, Forecast], kind: Kind, where: str) -> None:
    """Refuse forecasts that say nothing: constant, or not finite.

    Raises:
        DataError: ``dead_forecast``.
    """
    for forecast in forecasts.values():
        said = forecast.value if forecast.probability is None else forecast.probability
        if not np.isfinite(said).all():
            what = "is not finite on some rows"
        elif (said == said[0]).all():
            what = f"is the same on all {len(said):,} rows"
        else:
            continue
        raise DataError(
            "dead_forecast",
            f"the forecast ({kind}) {what}",
            where=f"forecast/{where}",
            do="look at fit.json there: a lower learning rate, more epochs, or other features",
        )
