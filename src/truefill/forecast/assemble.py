"""From units to what the agent sees: the ensemble, fitted out of fold, and its columns."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from truefill.forecast.baselines.base import Forecast
from truefill.forecast.bench import Bench
from truefill.forecast.ensemble import FittedEnsemble, fit_ensemble
from truefill.forecast.gather import Gathered, gather
from truefill.forecast.labels.base import Floats
from truefill.forecast.protocol import WHOLE
from truefill.forecast.scores import Kind
from truefill.forecast.unit import forecast_unit
from truefill.forecast.units import BASELINES, Unit, kind_of, member_of, units_of


def ensembles_of(train: Gathered) -> dict[int, FittedEnsemble]:
    """By head: the ensemble, fitted on out-of-fold forecasts."""
    bench, kind = train.bench, ensemble_kind(train.bench)
    embargo_s = bench.config.out_of_fold.embargo_bars * bench.material("train").interval_s
    return {
        head: fit_ensemble(
            bench.config.ensemble.rule,
            train.forecasts[head],
            train.answers(head, kind, bench.reach_bars),
            kind,
            causal=bench.causal,
            embargo_s=round(embargo_s),
        )
        for head in range(len(bench.horizons))
    }


def out_of_fold(fitted: Mapping[int, FittedEnsemble]) -> dict[int, Forecast]:
    """By head: the ensemble's forecasts of the train rows."""
    found = {head: made.train_forecast for head, made in fitted.items()}
    return {head: forecast for head, forecast in found.items() if forecast is not None}


def combined(fitted: Mapping[int, FittedEnsemble], gathered: Gathered) -> dict[int, Forecast]:
    """By head: the ensemble's forecasts of later rows."""
    names = gathered.bench.config.used
    return {
        head: made.combine({name: gathered.forecasts[head][name] for name in names})
        for head, made in fitted.items()
    }


def seen_table(gathered: Gathered, ensembles: Mapping[int, Forecast]) -> pl.DataFrame:
    """What the agent sees: timestamp, symbol, as_of, fold, columns; by time."""
    kind = ensemble_kind(gathered.bench)
    own: dict[str, Floats] = {}
    for head, forecast in ensembles.items():
        own |= gathered.table(head, forecast, kind)
    table = gathered.index().with_columns(**own)
    return table.sort("timestamp", "symbol", maintain_order=True)


def ensemble_kind(bench: Bench) -> Kind:
    """What the ensemble forecasts."""
    return kind_of(bench.config, member_of(bench.config, bench.config.used[0]))


def forecast_all(bench: Bench) -> dict[str, pl.DataFrame]:
    """What the agent sees of train and validation, in memory: every unit of the ensemble is fitted
    here and now."""
    made: dict[Unit, pl.DataFrame] = {}
    for unit in units_of(bench.config):
        if unit.member in (*bench.config.used, BASELINES):
            split = "validation" if unit.fold == WHOLE else "train"
            made[unit] = forecast_unit(bench, unit, split).table
    train = gather(bench, "train", made.__getitem__)
    validation = gather(bench, "validation", made.__getitem__)
    fitted = ensembles_of(train)
    return {
        "train": seen_table(train, out_of_fold(fitted)),
        "validation": seen_table(validation, combined(fitted, validation)),
    }
