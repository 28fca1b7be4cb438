"""The last stage: gates and evidence become the verdict, one table for both splits, the report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from truefill.config.evaluation import FORECAST_ONLY
from truefill.core.files import read_json, read_parquet, write_json, write_parquet, write_text
from truefill.evaluation.figures import Figure
from truefill.evaluation.gates import GateResult
from truefill.evaluation.metrics import Metrics
from truefill.evaluation.uncertainty import PairedDifference
from truefill.evaluation.verdict import TestEvidence, decide
from truefill.pipeline.behaviours import SUMMARY, judged_behaviour

if TYPE_CHECKING:
    from truefill.pipeline.stages import Work

BACKTEST = ("equity.parquet", "trades.parquet", "metrics.json", "gates.json")


def verdict(work: Work, tested: bool) -> dict[str, Any]:
    """verdict.json, the joined backtest files, and report.html. Test counts where it is booked:
    a killed test stage leaves files that nobody verifies."""
    from truefill.report.html import render_report

    splits = ("validation", "test") if tested else ("validation",)
    folders = {split: work.folder / "backtest" / split for split in splits}
    gates = {split: _gates(folder) for split, folder in folders.items()}
    evidence = _evidence(work, folders["test"], gates["test"]) if tested else None
    answer = decide(gates["validation"], evidence, work.config.evaluation)
    answer = replace(answer, behaviour=judged_behaviour(read_json(work.folder / SUMMARY)))
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
    mine = measured[read_json(work.folder / SUMMARY)["chosen"]]
    own = {policy.name for policy in work.config.evaluation.policies}  # no baselines
    own.add(FORECAST_ONLY)
    paired = {n: PairedDifference(**found) for n, found in facts["paired"].items() if n not in own}
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
            if work.config.agent.rule is None
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
    summary = read_json(work.folder / SUMMARY)
    joined: dict[str, Any] = {
        "chosen": summary["chosen"],
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
