"""What a worker does once every unit of forecasting is there: the ensemble, its skill, and the
tables that the agent sees."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from truefill.core.files import read_json, read_parquet, write_json, write_parquet
from truefill.core.fingerprint import sha256_file
from truefill.data.dataset import load_lineage, load_split
from truefill.data.split import SplitArrays
from truefill.env.seen import CONTRACT
from truefill.evaluation.threshold import net_of
from truefill.forecast.baselines.base import Forecast
from truefill.forecast.ensemble import FittedEnsemble, fit_ensemble
from truefill.forecast.labels.base import Floats
from truefill.forecast.protocol import WHOLE
from truefill.forecast.scoreboard import score
from truefill.forecast.scores import Kind
from truefill.forecast.units import BASELINES, ENSEMBLE, Unit, kind_of, member_of, units_of
from truefill.pipeline.forecast_gather import Gathered, gather
from truefill.pipeline.forecast_units import (
    FOLDER,
    FORECAST,
    Bench,
    ask_forecaster,
    baseline_table,
    fit,
    load_unit,
    plan,
    require_alive,
    require_same,
    spread_of,
    table_of,
)

if TYPE_CHECKING:
    from truefill.pipeline.stages import Work

SKILL = f"{FOLDER}/skill.json"
TEST_SKILL = f"{FOLDER}/test_skill.json"
ENSEMBLES = f"{FOLDER}/ensemble.json"


@dataclass(frozen=True)
class Told:
    """One split, forecast and scored."""

    files: list[str]
    skill: dict[str, Any]
    columns: list[str]


def combine(work: Work) -> list[str]:
    """forecast: the ensemble of out-of-fold forecasts, its skill on train and validation, and the
    columns that the agent sees."""
    bench = Bench.of(work)
    train = gather(bench, work.folder, "train")
    kind = ensemble_kind(bench)
    ensembles, fitted = {}, {}
    for head in range(len(bench.horizons)):
        answers = train.answers(head, kind, bench.reach_bars)
        made = fit_ensemble(
            bench.config.ensemble.rule,
            train.forecasts[head],
            answers,
            kind,
            causal=bench.causal,
            embargo_s=round(
                bench.config.out_of_fold.embargo_bars * bench.material("train").interval_s
            ),
        )
        fitted[head] = made
        assert made.train_forecast is not None
        ensembles[head] = made.train_forecast
    write_json(
        work.folder / ENSEMBLES, {f"h{bench.horizons[h]}": m.to_dict() for h, m in fitted.items()}
    )
    told = [tell(work, train, ensembles, None)]
    validation = gather(bench, work.folder, "validation")
    split = load_split(work.dataset, "validation")
    told.append(tell(work, validation, _combined(fitted, validation, bench), split))
    write_json(
        work.folder / SKILL,
        {"splits": {"train": told[0].skill, "validation": told[1].skill}},
    )
    write_json(work.folder / CONTRACT, _contract(work, bench, kind, told[1].columns))
    return [*told[0].files, *told[1].files, ENSEMBLES, SKILL, CONTRACT]


def forecast_test(work: Work, split: SplitArrays) -> list[str]:
    """forecast/test.parquet and its skill: by what was fitted on train, once test is open. Every
    unit must first reproduce its forecasts of validation, bit for bit."""
    bench = Bench.of(work)
    bench = Bench(bench.config, bench.dataset, {"test": bench.make(split)})
    whole = bench.folds[WHOLE]
    tables = {}
    for unit in units_of(bench.config):
        if unit.fold == WHOLE:
            tables[unit] = _asked_again(bench, work.folder, unit)
    gathered = gather(bench, work.folder, "test", tables)
    stored = read_json(work.folder / ENSEMBLES)
    fitted = {
        head: FittedEnsemble.from_dict(stored[f"h{horizon}"])
        for head, horizon in enumerate(bench.horizons)
    }
    assert whole.number == WHOLE
    told = tell(work, gathered, _combined(fitted, gathered, bench), split)
    write_json(work.folder / TEST_SKILL, {"splits": {"test": told.skill}})
    return [*told.files, TEST_SKILL]


def _asked_again(bench: Bench, folder: Path, unit: Unit) -> pl.DataFrame:
    """A unit's forecasts of test."""
    whole, where = bench.folds[WHOLE], unit.path(bench.horizons)
    stored = read_parquet(folder / FOLDER / where / FORECAST)
    if unit.member == BASELINES:
        again = baseline_table(bench, unit, whole, "validation")
        found = baseline_table(bench, unit, whole, "test")
    else:
        labels = [bench.labels(whole)[i] for i in unit.heads]
        member = member_of(bench.config, unit.member)
        kind = kind_of(bench.config, member)
        spreads = {i: spread_of(bench.labels(whole)[i], bench, whole) for i in unit.heads}
        both = []
        for split in ("validation", "test"):
            asked = bench.asked(whole, split)
            if member.network is not None:
                made = load_unit(bench, unit, folder).predict(asked)
            else:
                fitted = bench.material("train").asked(whole.fitted)
                made = ask_forecaster(bench, unit, labels[0], fitted, asked)
            by_head = dict(zip(unit.heads, made, strict=True))
            both.append(table_of(asked, by_head, spreads, kind, bench))
        again, found = both
    require_same_table(stored, again, where)
    return found


def require_same_table(stored: pl.DataFrame, again: pl.DataFrame, where: str) -> None:
    """Refuse a unit that does not say again what it said."""
    columns = [n for n in stored.columns if stored[n].dtype == pl.Float64]
    one, other = ([Forecast(t[n].to_numpy()) for n in columns] for t in (stored, again))
    require_same(one, other, where)


def tell(
    work: Work, gathered: Gathered, ensembles: Mapping[int, Forecast], split: SplitArrays | None
) -> Told:
    """Write the tables of a split, and score everything in it; ``split``: where threshold
    strategies are traded; None: they are not (train)."""
    bench, name = gathered.bench, gathered.split
    kind = ensemble_kind(bench)
    require_alive(ensembles, kind, f"the ensemble on {name}")
    own: dict[str, Floats] = {}
    for head, forecast in ensembles.items():
        own |= gathered.table(head, forecast, kind)
    index = gathered.index()
    seen = index.with_columns(**own).sort("timestamp", "symbol", maintain_order=True)
    write_parquet(work.folder / FOLDER / f"{name}.parquet", seen)
    members = []
    for member in gathered.forecasts[0]:
        columns: dict[str, Floats] = {}
        for head in ensembles:
            forecast = gathered.forecasts[head][member]
            columns |= gathered.table(
                head, forecast, kind_of(bench.config, member_of(bench.config, member))
            )
        members.append(
            index.select(pl.lit(member).alias("forecaster"), pl.all()).with_columns(**columns)
        )
    write_parquet(
        work.folder / FOLDER / "members" / f"{name}.parquet", pl.concat(members, how="diagonal")
    )
    skill: dict[str, Any] = {}
    for head in ensembles:
        skill |= _scored(work, gathered, head, ensembles[head], split)
    files = [f"{FOLDER}/{name}.parquet", f"{FOLDER}/members/{name}.parquet"]
    return Told(files, skill, list(own))


def _scored(
    work: Work, gathered: Gathered, head: int, ensemble: Forecast, split: SplitArrays | None
) -> dict[str, Any]:
    """One head: every kind of forecast beside baselines of its own kind."""
    bench = gathered.bench
    outcomes = gathered.outcomes(head)
    first = ensemble_kind(bench)
    groups: dict[Kind, dict[str, Forecast]] = {first: {ENSEMBLE: ensemble}}
    for name, forecast in gathered.forecasts[head].items():
        kind = kind_of(bench.config, member_of(bench.config, name))
        groups.setdefault(kind, {})[name] = forecast
    out = {}
    for kind, forecasts in groups.items():
        baselines = gathered.baselines[head][kind]
        found = score(
            forecasts,
            baselines,
            outcomes,
            kind,
            config=bench.config.skill,
            folds=gathered.fold,
        )
        if split is not None:
            _trade(work, gathered, found, (head, kind), forecasts, baselines, split)
        key = f"h{bench.horizons[head]}"
        out[key if kind == first else f"{key} {kind}"] = found
    return out


def _trade(
    work: Work,
    gathered: Gathered,
    found: dict[str, Any],
    of: tuple[int, Kind],
    forecasts: Mapping[str, Forecast],
    baselines: Mapping[str, Forecast],
    split: SplitArrays,
) -> None:
    """What a threshold strategy on each forecast nets after costs, through the one market."""
    head, kind = of
    everyone = {**{("baselines", n): f for n, f in baselines.items()},
                **{("forecasters", n): f for n, f in forecasts.items()}}  # fmt: skip
    column = f"h{gathered.bench.horizons[head]}_signal"
    signals = {
        f"{part}/{name}": gathered.grid(split, gathered.table(head, f, kind)[column])
        for (part, name), f in everyone.items()
    }
    nets = net_of(signals, work.config, split)
    for part, name in everyone:
        found[part][name]["strategy"] = nets[f"{part}/{name}"]


def _combined(
    fitted: Mapping[int, FittedEnsemble], gathered: Gathered, bench: Bench
) -> dict[int, Forecast]:
    names = bench.config.used
    return {
        head: made.combine({name: gathered.forecasts[head][name] for name in names})
        for head, made in fitted.items()
    }


def ensemble_kind(bench: Bench) -> Kind:
    """What the ensemble forecasts."""
    return kind_of(bench.config, member_of(bench.config, bench.config.used[0]))


def _contract(work: Work, bench: Bench, kind: Kind, columns: list[str]) -> dict[str, Any]:
    """What the agent's columns are made by: part of what a policy may act on."""
    whole = [u for u in units_of(bench.config) if u.fold == WHOLE and u.member in bench.config.used]
    hashes = {}
    for unit in whole:
        folder = work.folder / FOLDER / unit.path(bench.horizons)
        hashes[unit.path(bench.horizons)] = sha256_file(folder / FORECAST)
    return {
        "columns": columns,
        "kind": kind,
        "horizons": list(bench.horizons),
        "causal": bench.causal,
        "window_bars": bench.config.window_bars,
        "ensemble": bench.config.ensemble.rule,
        "units": hashes,
        "dataset_contract_sha256": load_lineage(work.dataset)["contract_sha256"],
    }


STAGES: dict[str, Callable[..., list[str]]] = {
    "forecast_plan": plan,
    "fit": fit,
    "forecast": combine,
}
"""What a worker can be asked to do."""
