"""The stages of a run. Each runs in a worker, reads what the stages before it wrote, writes its own
files (whole or not at all) and returns their names."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from truefill.agents.bundle import Bundle, load_bundle, save_bundle
from truefill.agents.bundle_files import Facts, read_files
from truefill.agents.checkpoint import load_tree
from truefill.agents.ensemble import NAME as ENSEMBLE
from truefill.agents.ensemble import SEED as ENSEMBLE_SEED
from truefill.agents.networks import make_network
from truefill.agents.train import train as train_agent
from truefill.agents.update_log import Row
from truefill.agents.warm import ancestors, other_statistics, require_unseen
from truefill.config import load as config_load
from truefill.config.evaluation import RULE
from truefill.config.schema import Config
from truefill.core.files import read_json, write_json
from truefill.core.fingerprint import fingerprint
from truefill.core.plugins import load_plugins
from truefill.data.dataset import load_split, open_test, write_dataset
from truefill.data.split import SplitArrays
from truefill.data.splits import period_of
from truefill.env.seen import CONTRACT, agent_lineage, agent_split, column_of, forecasts_of
from truefill.env.setup import check_parity, make_environment, make_spec
from truefill.evaluation.threshold import Signal
from truefill.features.build import build_dataset
from truefill.forecast.columns import head
from truefill.pipeline.assess import FILES, Assessment, assess
from truefill.pipeline.behaviours import SUMMARY
from truefill.pipeline.conclude import verdict
from truefill.pipeline.folder import KEY_FILE, keep_only_own
from truefill.pipeline.ledger import LEDGER, Ledger, Look, TestRows
from truefill.pipeline.rule import FOLDER as RULE_FOLDER
from truefill.pipeline.rule import LEDGER_SEED as OWN_SEED
from truefill.pipeline.rule import write_rule
from truefill.pipeline.select import select
from truefill.pipeline.tensorboard import update_log


@dataclass(frozen=True)
class Work:
    """What a stage needs to know."""

    folder: Path
    """The run folder."""
    runs: Path
    config: Config
    key: str
    """The stage's key; a checkpoint under another key is not gone on with."""
    run: str
    """The run's full fingerprint, for the ledger."""
    progress: Callable[[int, float | None], None]
    line: Callable[[str], None]

    @property
    def dataset(self) -> Path:
        return self.folder / "dataset"

    def split(self, name: str) -> SplitArrays:
        """train or validation, as agents see it."""
        return self.seen(load_split(self.dataset, name))

    def seen(self, split: SplitArrays) -> SplitArrays:
        """A split as agents see it, with its forecasts."""
        return agent_split(self.config, split, forecasts_of(self.config, self.folder, split.name))

    @property
    def lineage(self) -> dict[str, Any]:
        """The dataset's, with the features and the contract that agents have."""
        return agent_lineage(self.config, self.dataset)

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.runs / LEDGER)


def parse_config(text: str) -> Config:
    """The config that the parent sent; what its plug-ins register is known from here on."""
    config = config_load.parse_config(json.loads(text))
    load_plugins(config.plugins)
    return config


def build(work: Work) -> list[str]:
    """dataset: bars and series -> splits, normalizers, lineage."""
    names = write_dataset(build_dataset(work.config), work.dataset)
    return [f"dataset/{name}" for name in names]


def train(work: Work, seed: int) -> list[str]:
    """train/seed-N: one training, and its best policy as a bundle; train/rule, where a rule is
    judged and nothing is trained."""
    if work.config.agent.rule is not None:
        stats = read_json(work.dataset / "norm_stats.json")
        split = work.split("validation")
        return write_rule(work, split, work.lineage, stats)
    began = check_warm_start(work, tell=seed == work.config.training.seeds[0])
    folder = work.folder / "train" / f"seed-{seed}"
    keep_only_own(folder, work.key)
    train_split = work.split("train")
    validation_split = work.split("validation")
    with update_log(work.config, work.folder / "tensorboard" / f"seed-{seed}") as log:

        def progress(steps: int, score: float | None, row: Row) -> None:
            log(steps, score, row)
            work.progress(steps, score)

        train_agent(work.config, train_split, validation_split, seed, folder, progress)
    spec = make_spec(work.config, train_split)
    template = make_network(jax.random.PRNGKey(0), spec, work.config.agent)
    best, _ = load_tree(folder / "best.safetensors", template)
    save_bundle(
        folder / "bundle",
        best,
        config_load.portable(work.config),
        work.lineage,
        read_json(work.dataset / "norm_stats.json"),
        ancestors=None if began is None else ancestors(began),
    )
    found = [path for path in folder.rglob("*") if path.is_file() and path.name != KEY_FILE]
    return sorted(path.relative_to(work.folder).as_posix() for path in found)


def check_warm_start(work: Work, *, tell: bool = True) -> Facts | None:
    """The bundle that training begins with; refused where it has seen what shall judge it. With
    ``tell`` lines say which it is, and which features it knew otherwise normalized."""
    path = work.config.training.warm_start
    if path is None:
        return None
    began = read_files(path).facts
    require_unseen(began, work.config, work.lineage)
    others = other_statistics(began, read_json(work.dataset / "norm_stats.json"))
    if tell:
        work.line(f"warm start: every seed begins with the bundle {began.sha256[:12]}")
    if others and tell:
        work.line(f"warm start: the bundle knew other normalizer statistics of {', '.join(others)}")
    return began


@dataclass(frozen=True)
class Policies:
    """What is backtested: every seed's bundle, and the ensemble where there is one; or a rule.
    By strategy, with what stands for the seed in the ledger."""

    named: dict[str, tuple[int, Bundle]]
    chosen: str

    @property
    def judged(self) -> Bundle:
        """What gates, tests and the verdict are about."""
        return self.named[self.chosen][1]


def _policies(work: Work) -> Policies:
    training, train_folder = work.config.training, work.folder / "train"
    places = {f"seed-{s}": (s, train_folder / f"seed-{s}" / "bundle") for s in training.seeds}
    if work.config.agent.rule is not None:
        places = {RULE: (OWN_SEED, work.folder / RULE_FOLDER / "bundle")}
    if training.ensemble is not None:
        places[ENSEMBLE] = (ENSEMBLE_SEED, train_folder / ENSEMBLE)
    lineage, stats = work.lineage, read_json(work.dataset / "norm_stats.json")
    named = {name: (seed, load_bundle(path)) for name, (seed, path) in places.items()}
    for _, bundle in named.values():
        bundle.require(lineage, stats)
    return Policies(named, str(read_json(work.folder / SUMMARY)["chosen"]))


def _signal(work: Work, split: SplitArrays) -> Signal | None:
    """What ``forecast_only`` trades: the signal of the first horizon, seen by the agent or not."""
    found = forecasts_of(work.config, work.folder, split.name)
    if work.config.forecast is None or found is None:
        return None
    name = f"{head(work.config.forecast.label.horizons[0])}_signal"
    return Signal(
        name, column_of(split, found, name), fingerprint(read_json(work.folder / CONTRACT))
    )


def _assess(
    work: Work, policies: Policies, split: SplitArrays, split_sha256: str, rows: dict[str, int]
) -> Assessment:
    """Backtest every policy on a split, write its files, and book the looks."""
    found = assess(
        work.config,
        split,
        {name: bundle for name, (_, bundle) in policies.named.items()},
        policies.chosen,
        work.lineage["contract_sha256"],
        rows,
        work.folder / "backtest" / split.name,
        signal=_signal(work, split),
    )
    scored = {name: (seed, bundle.sha256) for name, (seed, bundle) in policies.named.items()}
    scored.update({name: (OWN_SEED, sha256) for name, sha256 in found.own.items()})
    looks = [
        Look(
            policy=sha256,
            seed=seed,
            sharpe=found.metrics[name].sharpe_per_period.value,
            net_return=found.metrics[name].net_return.value,
        )
        for name, (seed, sha256) in scored.items()
    ]
    work.ledger.book_looks(work.run, split.name, split_sha256, looks)
    return found


def validate(work: Work) -> dict[str, Any]:
    """backtest/validation: every seed and baseline on validation, and the gates before test."""
    policies, lineage = _policies(work), work.lineage
    train_split = work.split("train")
    split = work.split("validation")
    check_parity(
        make_environment(work.config, train_split, "train"),
        make_environment(work.config, split, "backtest"),
    )
    rows = {part.name: _tradable_rows(part) for part in (train_split, split)}
    split_sha256 = lineage["split_sha256"]["validation"]
    found = _assess(work, policies, split, split_sha256, rows)
    looks = len(work.ledger.looks_on(split_sha256))
    write_json(work.folder / "backtest/validation/looks.json", {"looks": looks})
    passed = all(gate.passed for gate in found.gates)
    files = [f"backtest/validation/{name}" for name in (*FILES, "looks.json")]
    return {"files": files, "passed": passed}


def _tradable_rows(split: SplitArrays) -> int:
    """Bars and symbols that can be traded: what min_rows counts."""
    return int((split.present & ~split.no_trade & ~split.closed).sum())


def test(work: Work) -> dict[str, Any]:
    """backtest/test: count the opening, read the test rows, assess the same policies on them."""
    policies, lineage = _policies(work), work.lineage
    rows = _test_rows(work, lineage)
    _require_reproduced(work)
    opening = work.ledger.open_test(rows, work.run, policies.judged.sha256)
    whole = open_test(work.dataset, opening.permit)
    forecasts = _forecast_test(work, whole)
    split = work.seen(whole)
    _assess(work, policies, split, lineage["test_sha256"], {"test": _tradable_rows(split)})
    looks = work.ledger.looks_on(lineage["test_sha256"])
    write_json(
        work.folder / "backtest/test/looks.json",
        {
            "looks": len(looks),
            "trial_sharpes": [value for value in looks if value is not None],
            "openings": opening.number,
            "contaminated": opening.contaminated or _knew_test(work),
        },
    )
    return {"files": [*(f"backtest/test/{name}" for name in (*FILES, "looks.json")), *forecasts]}


def _require_reproduced(work: Work) -> None:
    """Forecasters that do not say again what they said end here, before test is opened."""
    if work.config.forecast is not None:
        from truefill.pipeline.forecast_work import require_reproduced

        require_reproduced(work)


def _forecast_test(work: Work, split: SplitArrays) -> list[str]:
    """The forecasts of test, where there are forecasters."""
    if work.config.forecast is None:
        return []
    from truefill.pipeline.forecast_work import forecast_test

    return forecast_test(work, split)


def _knew_test(work: Work) -> bool:
    """May a pretrained forecaster of the ensemble have seen test?"""
    if work.config.forecast is None:
        return False
    return bool(read_json(work.folder / "forecast/test_skill.json")["contaminated_members"])


def _test_rows(work: Work, lineage: dict[str, Any]) -> TestRows:
    period, synthetic = period_of(work.config.data.splits, "test"), work.config.data.synthetic
    source = f"{lineage['inputs'][0]['sha256'][:12]}:" if synthetic else ""
    return TestRows(
        sha256=lineage["test_sha256"],
        first_bar=period.start.isoformat(),
        end=period.end.isoformat(),
        symbols=tuple(source + symbol for symbol in lineage["symbols"]),
    )


STAGES: dict[str, Callable[..., Any]] = {
    "dataset": build,
    "train": train,
    "select": select,
    "validate": validate,
    "test": test,
    "verdict": verdict,
}
"""What a worker can be asked to do."""
