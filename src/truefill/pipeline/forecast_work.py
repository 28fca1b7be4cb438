"""What a worker does for the forecasts of a run: plan, fit one unit, put all together, and forecast
test once it is open. The files of the run folder are written here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from truefill.core.files import read_json, read_parquet, write_json, write_parquet
from truefill.core.fingerprint import fingerprint, sha256_file
from truefill.data.dataset import load_lineage, load_split
from truefill.data.resolve import label_horizon_bars
from truefill.data.split import SplitArrays
from truefill.env.seen import CONTRACT, KEYS
from truefill.evaluation.threshold import net_of
from truefill.forecast.assemble import (
    combined,
    ensemble_kind,
    ensembles_of,
    out_of_fold,
    seen_table,
)
from truefill.forecast.baselines.base import Forecast
from truefill.forecast.bench import Bench, lookbacks
from truefill.forecast.ensemble import FittedEnsemble
from truefill.forecast.fit import load_network
from truefill.forecast.gather import Gathered, Read, gather
from truefill.forecast.labels.base import Bools, Floats
from truefill.forecast.protocol import WHOLE
from truefill.forecast.scoreboard import score
from truefill.forecast.scores import Kind
from truefill.forecast.unit import (
    CHECKPOINT,
    ask_forecaster,
    baseline_table,
    forecast_unit,
    marked,
    require_alive,
    require_same,
    spread_of,
    table_of,
)
from truefill.forecast.units import BASELINES, ENSEMBLE, Unit, kind_of, member_of, units_of
from truefill.pipeline.folder import keep_only_own
from truefill.pipeline.ledger import Look
from truefill.pipeline.rule import LEDGER_SEED as OWN_SEED

if TYPE_CHECKING:
    from truefill.pipeline.stages import Work

FOLDER = "forecast"
PLAN = f"{FOLDER}/plan.json"
FACTS = "facts.json"
FORECAST = "forecast.parquet"
SKILL = f"{FOLDER}/skill.json"
TEST_SKILL = f"{FOLDER}/test_skill.json"
ENSEMBLES = f"{FOLDER}/ensemble.json"


def bench_of(work: Work, test: SplitArrays | None = None) -> Bench:
    """A run's dataset as units take it; ``test``: once it is open."""
    assert work.config.forecast is not None

    def load(name: str) -> SplitArrays:
        return test if name == "test" and test is not None else load_split(work.dataset, name)

    return Bench(work.config.forecast, load, lookbacks(load_lineage(work.dataset)))


def stored(bench: Bench, folder: Path) -> Read:
    """The units' tables as a run folder holds them."""
    return lambda unit: read_parquet(folder / FOLDER / unit.path(bench.horizons) / FORECAST)


def plan(work: Work) -> list[str]:
    """forecast/plan.json: rows of every fold, every unit, and the hashes of what units are made
    of."""
    bench = bench_of(work)
    config = bench.config
    content = {
        "label": config.label.model_dump(mode="json"),
        "protocol": config.out_of_fold.model_dump(mode="json"),
        "causal": bench.causal,
        "window_bars": config.window_bars,
        "features": list(config.features),
        "folds": [fold.to_dict() for fold in bench.folds],
        "units": [unit.path(bench.horizons) for unit in units_of(config)],
        "sha256": {name: bench.material(name).sha256 for name in ("train", "validation")},
        "reach": {"label_bars": label_horizon_bars(work.config), "window_bars": config.window_bars},
    }
    write_json(work.folder / PLAN, content)
    return [PLAN]


def fit(work: Work, member: str, heads: list[int], fold: int, seed: int) -> list[str]:
    """forecast/MEMBER/HEADS/fold-K/seed-S: one unit."""
    bench = bench_of(work)
    unit = Unit(member, tuple(heads), fold, seed)
    folder = work.folder / FOLDER / unit.path(bench.horizons)
    keep_only_own(folder, work.key)
    split = "validation" if fold == WHOLE else "train"
    made = forecast_unit(bench, unit, split, folder, lambda e, _, m: work.progress(e, m))
    write_parquet(folder / FORECAST, made.table)
    write_json(folder / FACTS, made.facts)
    (folder / CHECKPOINT).unlink(missing_ok=True)
    names = [*made.files, FORECAST, FACTS]
    return [f"{FOLDER}/{unit.path(bench.horizons)}/{name}" for name in names]


@dataclass(frozen=True)
class Told:
    """One split, forecast and scored."""

    files: list[str]
    skill: dict[str, Any]
    columns: list[str]


def combine(work: Work) -> list[str]:
    """forecast: the ensemble of out-of-fold forecasts, its skill on train and validation, and the
    columns that the agent sees."""
    bench = bench_of(work)
    read = stored(bench, work.folder)
    train = gather(bench, "train", read)
    fitted = ensembles_of(train)
    write_json(
        work.folder / ENSEMBLES, {f"h{bench.horizons[h]}": m.to_dict() for h, m in fitted.items()}
    )
    told = [tell(work, train, out_of_fold(fitted), None)]
    validation = gather(bench, "validation", read)
    split = load_split(work.dataset, "validation")
    told.append(tell(work, validation, combined(fitted, validation), split))
    write_json(
        work.folder / SKILL,
        {"splits": {"train": told[0].skill, "validation": told[1].skill}},
    )
    write_json(work.folder / CONTRACT, _contract(work, bench, told[1].columns))
    return [*told[0].files, *told[1].files, ENSEMBLES, SKILL, CONTRACT]


def forecast_test(work: Work, split: SplitArrays) -> list[str]:
    """forecast/test.parquet and its skill: by what was fitted on train, once test is open."""
    bench = bench_of(work, split)
    gathered = gather(bench, "test", cache(lambda unit: _asked(bench, work.folder, unit, "test")))
    kept = read_json(work.folder / ENSEMBLES)
    fitted = {
        head: FittedEnsemble.from_dict(kept[f"h{horizon}"])
        for head, horizon in enumerate(bench.horizons)
    }
    told = tell(work, gathered, combined(fitted, gathered), split)
    contaminated = [name for name in bench.config.used if name in gathered.contaminated]
    write_json(
        work.folder / TEST_SKILL,
        {"splits": {"test": told.skill}, "contaminated_members": contaminated},
    )
    return [*told.files, TEST_SKILL]


def require_reproduced(work: Work) -> None:
    """Refuse to open test with units that do not say again, bit for bit, what they said of
    validation.

    Raises:
        ArtifactError: which one does not.
    """
    bench = bench_of(work)
    for unit in units_of(bench.config):
        if unit.fold == WHOLE:
            kept = stored(bench, work.folder)(unit)
            again = _asked(bench, work.folder, unit, "validation")
            require_same_table(kept, again, unit.path(bench.horizons))


def _asked(bench: Bench, folder: Path, unit: Unit, split: str) -> pl.DataFrame:
    """A stored unit's forecasts of a later split."""
    if unit.member == BASELINES:
        return baseline_table(bench, unit, split)
    return _by_member(bench, folder, unit, split)


def _by_member(bench: Bench, folder: Path, unit: Unit, split: str) -> pl.DataFrame:
    """A split's forecasts by what a unit has stored, or by fitting a forecaster again."""
    whole = bench.folds[WHOLE]
    asked, member = bench.asked(whole, split), member_of(bench.config, unit.member)
    seen: Bools | None = None
    if member.network is not None:
        made = load_network(folder / FOLDER / unit.path(bench.horizons)).predict(asked)
    else:
        fitted, label = bench.material("train").asked(whole.fitted), bench.labels(whole)
        made, seen = ask_forecaster(bench, unit, label[unit.heads[0]], fitted, asked)
    by_head = dict(zip(unit.heads, made, strict=True))
    spreads = {i: spread_of(bench, WHOLE, i) for i in unit.heads}
    return marked(table_of(asked, by_head, spreads, kind_of(bench.config, member), bench), seen)


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
    seen = seen_table(gathered, ensembles)
    write_parquet(work.folder / FOLDER / f"{name}.parquet", seen)
    index = gathered.index()
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
    return Told(files, skill, [column for column in seen.columns if column not in KEYS])


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
        for name in forecasts:
            _mark(found["forecasters"][name], name, gathered)
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
    seen = work.seen(split)  # from the first forecast on, like the agent
    everyone = {**{("baselines", n): f for n, f in baselines.items()},
                **{("forecasters", n): f for n, f in forecasts.items()}}  # fmt: skip
    column = f"h{gathered.bench.horizons[head]}_signal"
    signals = {
        f"{part}/{name}": gathered.grid(seen, gathered.table(head, f, kind)[column])
        for (part, name), f in everyone.items()
    }
    nets = net_of(signals, work.config, seen)
    looks = []
    for part, name in everyone:
        net = nets[f"{part}/{name}"]
        found[part][name]["strategy"] = net
        booked = name == ENSEMBLE and head == 0  # as forecast_only, beside the agent
        if part == "forecasters" and not booked:
            looks.append(_look(work, f"{column} {kind} {name}", net, split))
    lineage = load_lineage(work.dataset)
    known = {**lineage["split_sha256"], "test": lineage["test_sha256"]}
    work.ledger.book_looks(work.run, split.name, known[split.name], looks)


def _look(work: Work, name: str, net: Mapping[str, Any], split: SplitArrays) -> Look:
    """What the ledger keeps of a forecaster's own strategy: somebody may choose by it. It counts as
    a look; its Sharpe ratio is not among those of the trials that the verdict's agent came from."""
    net_return = net["net_return"]
    return Look(
        policy=fingerprint({"forecaster": name, "key": work.key}),
        seed=OWN_SEED,
        sharpe=None,
        net_return=net_return if isinstance(net_return, float) else None,
    )


def _mark(entry: dict[str, Any], name: str, gathered: Gathered) -> None:
    """Mark a forecaster that may have seen these rows: it has no skill to declare."""
    members = gathered.bench.config.used if name == ENSEMBLE else (name,)
    seen = [member for member in members if member in gathered.contaminated]
    if seen:
        rows = ", ".join(f"{member}: {gathered.contaminated[member]:,} rows" for member in seen)
        entry["contaminated"] = f"lies before the model's training cutoff ({rows})"
        entry["declared"] = entry["skill"]["declared"] = False


def _contract(work: Work, bench: Bench, columns: list[str]) -> dict[str, Any]:
    """What the agent's columns are made by: part of what a policy may act on."""
    whole = [u for u in units_of(bench.config) if u.fold == WHOLE and u.member in bench.config.used]
    hashes = {}
    for unit in whole:
        folder = work.folder / FOLDER / unit.path(bench.horizons)
        hashes[unit.path(bench.horizons)] = sha256_file(folder / FORECAST)
    return {
        "columns": columns,
        "kind": ensemble_kind(bench),
        "horizons": list(bench.horizons),
        "causal": bench.causal,
        "window_bars": bench.config.window_bars,
        "ensemble": bench.config.ensemble.rule,
        "ensemble_sha256": sha256_file(work.folder / ENSEMBLES),
        "protocol": bench.config.out_of_fold.model_dump(mode="json"),
        "units": hashes,
        "dataset_contract_sha256": load_lineage(work.dataset)["contract_sha256"],
    }


STAGES: dict[str, Callable[..., list[str]]] = {
    "forecast_plan": plan,
    "fit": fit,
    "forecast": combine,
}
"""What a worker can be asked to do."""
