"""The report's tables: seeds, gates, baselines, costs, data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from truefill.evaluation.gates import count, percent, plain
from truefill.report.figures import MAX_TRADES, largest_trades
from truefill.report.gather import Run
from truefill.report.words import MARKS, bps, gate_number, label, money, shown

Row = dict[str, Any]

ROW_COUNTS = {
    "read": "Rows read",
    "outside_session": "Rows outside the session",
    "merged": "Rows joined into longer bars",
    "unclosed": "Rows of longer bars that have not closed",
    "outside_splits": "Rows outside the splits",
    "dropped_warmup": "Rows before a symbol has every feature",
    "no_trade_stale": "Rows without trading (a feature was stale)",
}


def seeds_table(run: Run) -> list[Row]:
    rows = []
    ensemble, rule = run.summary.get("ensemble"), run.summary.get("rule")
    untrained = ensemble or rule
    if untrained is not None:
        name = f"Ensemble, {ensemble['rule']}" if ensemble else f"Rule, {untrained['policy']}"
        rows.append(
            {
                "seed": name,
                "chosen": True,
                "score": f"{untrained['score']:.4g}",
                "best_step": "",
                "steps": "",
                "stopped": "",
                "cells": _seed_cells(run, run.chosen),
            }
        )
    for seed in run.seeds:
        name = f"seed-{seed.seed}"
        score = seed.training["best_score"]
        rows.append(
            {
                "seed": seed.seed,
                "chosen": name == run.chosen,
                "score": "n/a" if score is None else f"{score:.4g}",
                "best_step": count(seed.training["best_step"]),
                "steps": count(seed.training["steps"]),
                "stopped": seed.training["stopped"],
                "cells": _seed_cells(run, name),
            }
        )
    return rows


def _seed_cells(run: Run, name: str) -> list[Row]:
    return [
        shown(run.metrics[split][name][key], form)
        for split in run.splits
        for key, form in (("net_return", percent), ("sharpe", plain), ("closed_trades", count))
    ]


def spread_facts(run: Run) -> Row | None:
    """How seeds differ; None of a rule, which has none."""
    spread = run.summary["spread"]
    if spread is None:
        return None
    return {
        "mean": f"{spread['mean']:.4g}",
        "std": f"{spread['std']:.4g}",
        "cv": shown(spread["cv"]),
        "returns": [_range(run, split) for split in run.splits],
    }


def _range(run: Run, split: str) -> Row:
    values = [run.metrics[split][f"seed-{seed.seed}"]["net_return"] for seed in run.seeds]
    positive = sum(value > 0.0 for value in values)
    text = f"{positive} of {len(values)} positive, {percent(min(values))} to {percent(max(values))}"
    return {"split": split, "text": text}


def gates_table(run: Run) -> list[Row]:
    """One row a gate, validation and test side by side."""
    names: list[str] = []
    found: dict[tuple[str, str], Mapping[str, Any]] = {}
    for split in ("validation", "test"):
        for gate in run.gates.get(split, []):
            found[gate["name"], split] = gate
            if gate["name"] not in names:
                names.append(gate["name"])
    rows = []
    for name in names:
        gates = [found.get((name, split)) for split in ("validation", "test")]
        limit = next(gate["limit"] for gate in gates if gate)
        sign = "at most" if name.startswith("max") else "at least"
        cells = [
            {"text": gate_number(name, gate["value"]), "mark": MARKS[gate["passed"]],
             "why": gate["reason"]} if gate else None
            for gate in gates
        ]  # fmt: skip
        rows.append(
            {"name": label(name), "limit": f"{sign} {gate_number(name, limit)}", "cells": cells}
        )
    return rows


def baselines_table(run: Run, split: str) -> list[Row]:
    own = run.metrics[split][run.chosen]
    rows = [_baseline_row(run.chosen, own, None) | {"name": f"{label(run.chosen)} (chosen)"}]
    for name in run.compared(split):
        row = _baseline_row(name, run.metrics[split][name], run.metrics["paired"][split][name])
        rows.append(row | {"p": _p_value(run, split, name)})
    return rows


def _p_value(run: Run, split: str, baseline: str) -> Row:
    """No p-value where the chosen policy has no Sharpe ratio: too little was traded."""
    sharpe = run.metrics[split][run.chosen]["sharpe"]
    if isinstance(sharpe, dict):
        return shown(sharpe)
    return shown(run.metrics["paired"][split][baseline]["p_value"], lambda p: f"{p:.4f}")


def random_note(run: Run, split: str) -> str:
    """How many random agents the chosen policy beat, with the p-value of that rank."""
    own = run.metrics[split][run.chosen]["net_return"]
    draws = run.metrics["random_draws"][split]["net_return"]
    reached = sum(value >= own for value in draws)
    beaten = f"{label(run.chosen)} beat {len(draws) - reached} of {len(draws)}"
    if isinstance(run.metrics[split][run.chosen]["sharpe"], dict):
        return f"{beaten}."
    return f"{beaten}, p = {(reached + 1) / (len(draws) + 1):.4f}."


def _baseline_row(name: str, metrics: Mapping[str, Any], paired: Mapping[str, Any] | None) -> Row:
    row: Row = {
        "name": label(name),
        "cells": [
            shown(metrics["net_return"]),
            shown(metrics["sharpe"], plain),
            shown(metrics["max_drawdown"]),
            shown(metrics["closed_trades"], count),
            shown(metrics["total_cost"], money),
        ],
        "paired": None,
    }
    if paired is not None:
        row["paired"] = {
            "difference": bps(paired["difference"]),
            "interval": f"{bps(paired['low'])} to {bps(paired['high'])}",
            "block": plain(paired["block_length"]),
            "mark": "pass" if paired["low"] > 0.0 else "fail",
        }
    return row


def costs_facts(run: Run, split: str) -> list[tuple[str, str]]:
    own = run.metrics[split][run.chosen]
    start = float(run.curve(split, run.chosen)["equity"][0])
    trades = own["closed_trades"]
    return [
        ("Fees, spread and slippage paid", f"{money(own['total_cost'])}, "
         f"{percent(own['total_cost'] / start)} of starting equity"),
        ("Per closed trade", money(own["total_cost"] / trades) if trades else "no closed trades"),
        ("Interest, borrow fees and funding paid", money(own["total_financing"])),
        *_dividends(run, split),
        ("Net profit after all of it", money(own["net_return"] * start)),
    ]  # fmt: skip


def _dividends(run: Run, split: str) -> list[tuple[str, str]]:
    """Where the data hold dividends: a sum of 0 says so too."""
    if not any(file.kind == "dividend" for file in run.config.data.events):
        return []
    received = run.metrics["orders"][split]["dividends"]
    return [("Dividends received, less those paid on shorts", money(received))]


def rates_facts(run: Run) -> list[tuple[str, str]]:
    """What one trade costs by the config, from the cheapest symbol to the dearest, and the share of
    each part where all symbols cost the same."""
    rules = [run.config.market.rules_for(symbol) for symbol in run.lineage["symbols"]]
    parts = {
        "Fee": sorted({r.fee_bps for r in rules}),
        "Half spread": sorted({r.half_spread_bps for r in rules}),
        "Slippage": sorted({r.slippage_bps for r in rules}),
    }
    same = all(len(found) == 1 for found in parts.values())
    total = sum(found[0] for found in parts.values()) if same else 0.0
    return [
        (
            name,
            f"{found[0]:g} bps" + (f", {found[0] / total:.0%} of a trade's cost" if total else "")
            if len(found) == 1
            else f"{found[0]:g} to {found[-1]:g} bps by symbol",
        )
        for name, found in parts.items()
    ]


def trades_note(run: Run, split: str) -> str:
    drawn, every = (
        largest_trades(run, split).height,
        run.metrics[split][run.chosen]["closed_trades"],
    )
    first = run.lineage["symbols"][0]
    if drawn == every:
        return f"All {count(every)} closed trades in {first}."
    limit = f"{first} only, at most {count(MAX_TRADES)} by size of profit"
    return f"{count(drawn)} of {count(every)} closed trades: {limit}."


def lineage_facts(run: Run) -> Row:
    lineage, rows = run.lineage, run.lineage["rows"]
    splits = [
        {
            "split": split,
            "period": " to ".join(lineage["splits"][split][end][:10] for end in ("start", "end")),
            "rows": count(rows[split]),
            "close_only": count(lineage["close_only_bars"][split]),
            "per_year": count(lineage["periods_per_year"][split]),
        }
        for split in ("train", "validation", "test")
    ]
    dropped = [(words, count(rows[key])) for key, words in ROW_COUNTS.items() if key in rows]
    features = [
        {
            "name": f["name"],
            "calculator": f["calculator"],
            "params": ", ".join(f"{key}: {json.dumps(v)}" for key, v in f["params"].items()),
            "normalizer": f["normalizer"],
            "warmup": f["warmup_bars"],
        }
        for f in lineage["features"]
    ]
    return {
        "inputs": [{**file, "rows": count(file["rows"])} for file in lineage["inputs"]],
        "splits": splits,
        "dropped": dropped,
        "warnings": lineage["warnings"],
        "features": features,
        "contract": lineage["contract_sha256"],
        "test_sha256": lineage["test_sha256"],
    }
