"""The stages of a run. Each runs in a worker, reads what the stages before it wrote, writes its own
files (whole or not at all) and returns their names."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import polars as pl

from truefill.agents.bundle import Bundle, load_bundle, save_bundle
from truefill.agents.checkpoint import load_tree
from truefill.agents.networks import make_network
from truefill.agents.train import Row, chosen_seed
from truefill.agents.train import train as train_agent
from truefill.config import load as config_load
from truefill.config.schema import Config
from truefill.core.files import read_json, read_parquet, write_json, write_parquet, write_text
from truefill.data.dataset import load_lineage, load_split, open_test, write_dataset
from truefill.data.split import SplitArrays
from truefill.data.splits import period_of
from truefill.env.setup import check_parity, make_environment, make_spec
from truefill.evaluation.figures import Figure
from truefill.evaluation.gates import GateResult
from truefill.evaluation.metrics import Metrics
from truefill.evaluation.uncertainty import PairedDifference, seed_spread
from truefill.evaluation.verdict import TestEvidence, decide
from truefill.features.build import build_dataset
from truefill.pipeline.assess import FILES, Assessment, assess
from truefill.pipeline.ledger import LEDGER, Ledger, Look, TestRows
from truefill.pipeline.tensorboard import update_log

CHOSEN_BY = "mean net log return on the fixed validation episodes (not the training reward)"
BACKTEST = ("equity.parquet", "trades.parquet", "metrics.json", "gates.json")


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

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.runs / LEDGER)


def parse_config(text: str) -> Config:
    """The config that the parent sent."""
    return config_load.parse_config(json.loads(text))


def build(work: Work) -> list[str]:
    """dataset: bars and series -> splits, normalizers, lineage."""
    names = write_dataset(build_dataset(work.config), work.dataset)
    return [f"dataset/{name}" for name in names]


def train(work: Work, seed: int) -> list[str]:
    """train/seed-N: one training, and its best policy as a bundle."""
    folder = work.folder / "train" / f"seed-{seed}"
    _keep_only_own_checkpoint(folder, work.key)
    train_split = load_split(work.dataset, "train")
    validation_split = load_split(work.dataset, "validation")
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
        load_lineage(work.dataset),
        read_json(work.dataset / "norm_stats.json"),
    )
    found = [path for path in folder.rglob("*") if path.is_file() and path.name != KEY_FILE]
    return sorted(path.relative_to(work.folder).as_posix() for path in found)


KEY_FILE = "key.txt"


def _keep_only_own_checkpoint(folder: Path, key: str) -> None:
    """Throw away what a training under another key left: it cannot be gone on with."""
    path = folder / KEY_FILE
    if path.exists() and path.read_text() == key:
        return
    shutil.rmtree(folder, ignore_errors=True)
    write_text(path, key)


def select(work: Work) -> list[str]:
    """train: compare the seeds on validation and choose one. Every evaluation that chose between
    policies, within a seed and between seeds, is a look (docs/verdict.md)."""
    results = {
        seed: read_json(work.folder / f"train/seed-{seed}/training.json")
        for seed in work.config.training.seeds
    }
    spread = seed_spread([result["best_score"] for result in results.values()])
    chosen = chosen_seed({seed: result["best_score"] for seed, result in results.items()})
    if spread.warning:
        work.line(spread.warning)
    keys = ("best_score", "best_step", "steps", "stopped", "policy_sha256")
    summary = {
        "seeds": {str(s): {key: result[key] for key in keys} for s, result in results.items()},
        "spread": spread.to_dict(),
        "chosen_seed": chosen,
        "chosen_by": CHOSEN_BY,
    }
    looks = [look for seed, result in results.items() for look in _selection(work, seed, result)]
    split_sha256 = load_lineage(work.dataset)["split_sha256"]["validation"]
    work.ledger.book_looks(work.run, "validation", split_sha256, looks)
    write_json(work.folder / "train/summary.json", summary)
    write_text(work.folder / "config.yaml", _portable_yaml(work.config))
    return ["train/summary.json", "config.yaml"]


def _selection(work: Work, seed: int, training: dict[str, Any]) -> list[Look]:
    """A look for every evaluation of a seed's training; the best policy's is that of its bundle."""
    best = load_bundle(work.folder / f"train/seed-{seed}/bundle").sha256
    steps = [round(evaluation["step"]) for evaluation in training["evaluations"]]
    passing = [step for step in steps if step != round(training["best_step"])]
    return [Look(name, seed, None, None) for name in (best, *(f"step {step}" for step in passing))]


PORTABLE = """\
# The resolved config of this run. Data files go by name only, so that equal runs have equal bytes:
# to run it again elsewhere, put the files beside it or --set data.bars.0.path=...
"""


def _portable_yaml(config: Config) -> str:
    text = config_load.dump_config(config_load.parse_config(config_load.portable(config)))
    return PORTABLE + text


def _bundles(work: Work) -> tuple[dict[int, Bundle], int]:
    seeds = work.config.training.seeds
    bundles = {seed: load_bundle(work.folder / f"train/seed-{seed}/bundle") for seed in seeds}
    lineage, stats = load_lineage(work.dataset), read_json(work.dataset / "norm_stats.json")
    for bundle in bundles.values():
        bundle.require(lineage, stats)
    return bundles, int(read_json(work.folder / "train/summary.json")["chosen_seed"])


def _book(
    work: Work, split: str, split_sha256: str, bundles: dict[int, Bundle], found: Assessment
) -> None:
    looks = [
        Look(
            policy=bundle.sha256,
            seed=seed,
            sharpe=found.metrics[f"seed-{seed}"].sharpe_per_period.value,
            net_return=found.seed_returns[seed],
        )
        for seed, bundle in bundles.items()
    ]
    work.ledger.book_looks(work.run, split, split_sha256, looks)


def validate(work: Work) -> dict[str, Any]:
    """backtest/validation: every seed and baseline on validation, and the gates before test."""
    bundles, chosen = _bundles(work)
    lineage = load_lineage(work.dataset)
    train_split = load_split(work.dataset, "train")
    split = load_split(work.dataset, "validation")
    check_parity(
        make_environment(work.config, train_split, "train"),
        make_environment(work.config, split, "backtest"),
    )
    rows = {part.name: _tradable_rows(part) for part in (train_split, split)}
    folder = work.folder / "backtest/validation"
    found = assess(work.config, split, bundles, chosen, lineage["contract_sha256"], rows, folder)
    split_sha256 = lineage["split_sha256"]["validation"]
    _book(work, "validation", split_sha256, bundles, found)
    looks = len(work.ledger.looks_on(split_sha256))
    write_json(folder / "looks.json", {"looks": looks})
    passed = all(gate.passed for gate in found.gates)
    files = [f"backtest/validation/{name}" for name in (*FILES, "looks.json")]
    return {"files": files, "passed": passed}


def _tradable_rows(split: SplitArrays) -> int:
    """Bars and symbols that can be traded: what min_rows counts."""
    return int((split.present & ~split.no_trade & ~split.closed).sum())


def test(work: Work) -> dict[str, Any]:
    """backtest/test: count the opening, read the test rows, assess the same policies on them."""
    bundles, chosen = _bundles(work)
    lineage = load_lineage(work.dataset)
    opening = work.ledger.open_test(_test_rows(work, lineage), work.run, bundles[chosen].sha256)
    split = open_test(work.dataset, opening.permit)
    rows = {"test": _tradable_rows(split)}
    folder = work.folder / "backtest/test"
    found = assess(work.config, split, bundles, chosen, lineage["contract_sha256"], rows, folder)
    _book(work, "test", lineage["test_sha256"], bundles, found)
    looks = work.ledger.looks_on(lineage["test_sha256"])
    write_json(
        folder / "looks.json",
        {
            "looks": len(looks),
            "trial_sharpes": [value for value in looks if value is not None],
            "openings": opening.number,
            "contaminated": opening.contaminated,
        },
    )
    return {"files": [f"backtest/test/{name}" for name in (*FILES, "looks.json")]}


def _test_rows(work: Work, lineage: dict[str, Any]) -> TestRows:
    period, synthetic = period_of(work.config.data.splits, "test"), work.config.data.synthetic
    source = f"{lineage['inputs'][0]['sha256'][:12]}:" if synthetic else ""
    return TestRows(
        sha256=lineage["test_sha256"],
        first_bar=period.start.isoformat(),
        end=period.end.isoformat(),
        symbols=tuple(source + symbol for symbol in lineage["symbols"]),
    )


def verdict(work: Work, tested: bool) -> dict[str, Any]:
    """verdict.json, the joined backtest files, and report.html. Test counts where it is booked:
    a killed test stage leaves files that nobody verifies."""
    from truefill.report.html import render_report

    splits = ("validation", "test") if tested else ("validation",)
    folders = {split: work.folder / "backtest" / split for split in splits}
    gates = {split: _gates(folder) for split, folder in folders.items()}
    evidence = _evidence(work, folders["test"], gates["test"]) if tested else None
    answer = decide(gates["validation"], evidence, work.config.evaluation)
    _join(work, folders)
    write_json(work.folder / "verdict.json", answer.to_dict())
    write_text(work.folder / "report.html", render_report(work.folder))
    files = [*(f"backtest/{name}" for name in BACKTEST), "verdict.json", "report.html"]
    return {"files": files, "verdict": answer.verdict, "headline": answer.headline}


def _gates(folder: Path) -> tuple[GateResult, ...]:
    return tuple(GateResult(**gate) for gate in read_json(folder / "gates.json"))


def _evidence(work: Work, folder: Path, gates: tuple[GateResult, ...]) -> TestEvidence:
    facts, looks = read_json(folder / "metrics.json"), read_json(folder / "looks.json")
    measured = {name: Metrics.from_dict(m) for name, m in facts["strategies"].items()}
    chosen = read_json(work.folder / "train/summary.json")["chosen_seed"]
    mine = measured[f"seed-{chosen}"]
    paired = {name: PairedDifference(**found) for name, found in facts["paired"].items()}
    return TestEvidence(
        gates=gates,
        shortfall=facts["shortfall"],
        net_return=_number(mine.net_return),
        closed_trades=mine.closed_trades,
        sharpe_per_period=mine.sharpe_per_period,
        skewness=mine.skewness,
        kurtosis=mine.kurtosis,
        bars=mine.bars,
        baseline_returns={name: _number(measured[name].net_return) for name in paired},
        paired=paired,
        seed_returns={
            seed: _number(measured[f"seed-{seed}"].net_return)
            for seed in work.config.training.seeds
        },
        stressed_return=next(iter(facts["cost_stress"].values())),
        slippage_returns={float(bps): value for bps, value in facts["slippage_grid"].items()},
        looks=looks["looks"],
        trial_sharpes=looks["trial_sharpes"],
        openings=looks["openings"],
        contaminated=looks["contaminated"],
    )


def _number(figure: Figure) -> float:
    """A figure that every equity curve has."""
    assert figure.value is not None
    return figure.value


def _join(work: Work, folders: dict[str, Path]) -> None:
    """backtest/*: one table and one file for both splits, as people read them."""
    target = work.folder / "backtest"
    for name in ("equity.parquet", "trades.parquet"):
        write_parquet(target / name, pl.concat(read_parquet(f / name) for f in folders.values()))
    facts = {split: read_json(folder / "metrics.json") for split, folder in folders.items()}
    looks = {split: read_json(folder / "looks.json")["looks"] for split, folder in folders.items()}
    summary = read_json(work.folder / "train/summary.json")
    joined: dict[str, Any] = {
        "chosen": f"seed-{summary['chosen_seed']}",
        "chosen_by": summary["chosen_by"],
        "looks": looks,
        "random_draws": {s: {"net_return": f["random_net_returns"]} for s, f in facts.items()},
    }
    for name in ("paired", "cost_stress", "slippage_grid", "periods_per_year"):
        joined[name] = {split: found[name] for split, found in facts.items()}
    joined["orders"] = {
        split: {
            "statuses": found["order_statuses"][joined["chosen"]],
            "ambiguous": found["ambiguous_bars"],
            "resolved": found["resolved_bars"],
            "dividends": found["dividends"],
        }
        for split, found in facts.items()
    }
    joined.update({split: found["strategies"] for split, found in facts.items()})
    write_json(target / "metrics.json", joined)
    gates = {split: read_json(folder / "gates.json") for split, folder in folders.items()}
    write_json(target / "gates.json", gates)


STAGES: dict[str, Callable[..., Any]] = {
    "dataset": build,
    "train": train,
    "select": select,
    "validate": validate,
    "test": test,
    "verdict": verdict,
}
"""What a worker can be asked to do."""
