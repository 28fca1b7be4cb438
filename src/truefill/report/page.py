"""The words and tables of the report, ready for the template."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from truefill.evaluation.gates import count, percent, plain
from truefill.report.figures import MAX_TRADES, largest_trades
from truefill.report.gather import BASELINES, Run
from truefill.report.words import MARKS, bps, gate_number, interval, label, money, shown, unbroken

Page = dict[str, Any]
Row = dict[str, Any]

COLOURS = {"deploy": "good", "do not deploy": "bad", "not enough evidence": "unsure"}
CARDS: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("net_return", "Net return", percent),
    ("sharpe", "Sharpe ratio, annual", plain),
    ("max_drawdown", "Largest drawdown", percent),
    ("closed_trades", "Closed trades", count),
    ("win_rate", "Win rate, net", percent),
    ("profit_factor", "Profit factor", plain),
    ("time_in_market", "Time in the market", percent),
    ("total_cost", "Costs paid", money),
)
DETAILS: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("cagr", "Compound annual growth", percent),
    ("volatility", "Volatility, annual", percent),
    ("sortino", "Sortino ratio", plain),
    ("calmar", "Calmar ratio", plain),
    ("max_drawdown_bars", "Drawdown length, bars", count),
    ("var_95", "Value at risk 95 %, per bar", percent),
    ("cvar_95", "Mean loss beyond it, per bar", percent),
    ("average_trade", "Average trade, net", money),
    ("average_trade_return", "Average trade, of its notional", percent),
    ("average_bars_held", "Average bars held", plain),
    ("turnover_per_bar", "Turnover per bar", percent),
    ("turnover_per_year", "Turnover per year, x equity", plain),
    ("exposure_mean", "Mean gross exposure, x equity", plain),
    ("share_long", "Bars long", percent),
    ("share_short", "Bars short", percent),
    ("action_imbalance", "Action imbalance", plain),
    ("total_financing", "Financing paid", money),
    ("skewness", "Skewness of returns", plain),
    ("kurtosis", "Kurtosis of returns (normal: 3)", plain),
)


def page_of(run: Run) -> Page:
    """Everything the template prints."""
    return {
        "name": run.name,
        "facts": _facts(run),
        "verdict": _verdict(run),
        "splits": run.splits,
        "opened": "test" in run.splits,
        "why_closed": _why_closed(run),
        "cards": _cards(run),
        "details": _details(run),
        "chosen": label(run.chosen),
        "chosen_by": run.metrics["chosen_by"],
        "warnings": _warnings(run),
        "seeds": _seeds(run),
        "spread": _spread(run),
        "gates": _gates(run),
        "baselines": {split: _baselines(run, split) for split in run.splits},
        "confidence": f"{run.config.evaluation.confidence * 100:g} %",
        "costs": {split: _costs(run, split) for split in run.splits},
        "rates": _rates(run),
        "trades_note": {split: _trades_note(run, split) for split in run.splits},
        "lineage": _lineage(run),
        "config_text": run.config_text,
    }


def _facts(run: Run) -> list[str]:
    symbols = run.lineage["symbols"]
    named = ", ".join(symbols) if len(symbols) <= 4 else f"{len(symbols)} symbols"
    facts = [named, f"{interval(run.lineage['interval_s'])} bars"]
    for split in ("train", "validation", "test"):
        period = run.lineage["splits"][split]
        facts.append(f"{split} {period['start'][:10]} to {period['end'][:10]}")
    return facts


def _verdict(run: Run) -> Page:
    verdict = run.verdict
    looks, openings = verdict["looks"], verdict["openings"]
    checks = [
        {"name": label(r["check"]), "mark": MARKS[r["passed"]], "text": unbroken(r["text"])}
        for r in verdict["reasons"]
    ]
    order = {"fail": 0, "unknown": 1, "pass": 2}
    return {
        "answer": verdict["verdict"],
        "colour": COLOURS[verdict["verdict"]],
        "headline": unbroken(_sentence(verdict)),
        "checks": sorted(checks, key=lambda c: order[c["mark"]]),
        "tally": [(mark, sum(c["mark"] == mark for c in checks)) for mark in order],
        "contaminated": verdict["contaminated"],
        "looks": f"{looks} look{'' if looks == 1 else 's'} on test",
        "openings": f"{openings} opening{'' if openings == 1 else 's'} of the test split",
    }


def _sentence(verdict: Mapping[str, Any]) -> str:
    """The headline without the answer, which the page prints above it."""
    rest = str(verdict["headline"])
    if rest.lower().startswith(f"{verdict['verdict']}: "):
        rest = rest[len(verdict["verdict"]) + 2 :]
    return rest[0].upper() + rest[1:]


def _why_closed(run: Run) -> str:
    for reason in run.verdict["reasons"]:
        if reason["check"] == "test_opened":
            return str(reason["text"])
    return ""


def _cards(run: Run) -> list[Row]:
    first, *rest = run.splits
    cards = []
    for key, title, form in CARDS:
        card: Row = {"title": title, **shown(run.metrics[first][run.chosen][key], form)}
        card["signed"] = key in {"net_return", "sharpe"}
        others = [(split, shown(run.metrics[split][run.chosen][key], form)) for split in rest]
        if key == "net_return" and "buy_and_hold" in run.metrics[first]:
            held = shown(run.metrics[first]["buy_and_hold"][key], form)
            others.insert(0, ("buy and hold", held))
        card["others"] = others
        cards.append(card)
    return cards


def _details(run: Run) -> list[Row]:
    return [
        {"title": title, "cells": [shown(run.metrics[s][run.chosen][key], form) for s in run.splits]}
        for key, title, form in DETAILS
    ]


def _warnings(run: Run) -> list[str]:
    out = []
    if run.verdict["contaminated"]:
        out.append(
            f"The test split is contaminated: opened {run.verdict['openings']} times, by more than "
            "one policy or config. Its figures are no longer out of sample."
        )
    shares = {s: _close_only(run, s) for s in ("train", "validation", "test")}
    if any(shares.values()):
        each = ", ".join(f"{_share(share)} of the {s} bars" for s, share in shares.items() if share)
        out.append(
            f"{each} are close-only: stops cannot trigger inside them and the effective delay is one "
            "bar longer."
        )
    spread = run.summary["spread"]["warning"]
    return [*out, f"Seeds disagree: {spread}."] if spread else out


def _close_only(run: Run, split: str) -> float:
    rows = run.lineage["rows"][split]
    return float(run.lineage["close_only_bars"][split] / rows) if rows else 0.0


def _share(value: float) -> str:
    return percent(value) if value < 0.01 else f"{value * 100:.0f} %"


def _seeds(run: Run) -> list[Row]:
    rows = []
    for seed in run.seeds:
        name = f"seed-{seed.seed}"
        cells = [
            shown(run.metrics[split][name][key], form)
            for split in run.splits
            for key, form in (("net_return", percent), ("sharpe", plain), ("closed_trades", count))
        ]
        score = seed.training["best_score"]
        rows.append(
            {
                "seed": seed.seed,
                "chosen": name == run.chosen,
                "score": "n/a" if score is None else f"{score:.4g}",
                "best_step": count(seed.training["best_step"]),
                "steps": count(seed.training["steps"]),
                "stopped": seed.training["stopped"],
                "cells": cells,
            }
        )
    return rows


def _spread(run: Run) -> Row:
    spread = run.summary["spread"]
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


def _gates(run: Run) -> list[Row]:
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


def _baselines(run: Run, split: str) -> list[Row]:
    own = run.metrics[split][run.chosen]
    rows = [_baseline_row(run.chosen, own, None) | {"name": f"{label(run.chosen)} (chosen)"}]
    for name in BASELINES:
        if name in run.metrics[split]:
            paired = run.metrics["paired"][split].get(name)
            rows.append(_baseline_row(name, run.metrics[split][name], paired))
    return rows


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
        p_value = paired["p_value"]
        known = isinstance(p_value, float | int)
        row["paired"] = {
            "difference": bps(paired["difference"]),
            "interval": f"{bps(paired['low'])} to {bps(paired['high'])}",
            "p": f"{p_value:.4f}" if known else "n/a",
            "why": "" if known or not p_value else p_value["reason"],
            "block": plain(paired["block_length"]),
            "mark": "pass" if paired["low"] > 0.0 else "fail",
        }
    return row


def _costs(run: Run, split: str) -> list[tuple[str, str]]:
    own = run.metrics[split][run.chosen]
    start = float(run.curve(split, run.chosen)["equity"][0])
    trades = max(own["closed_trades"], 1)
    return [
        ("Fees, spread and slippage paid", f"{money(own['total_cost'])}, "
         f"{percent(own['total_cost'] / start)} of starting equity"),
        ("Per closed trade", money(own["total_cost"] / trades)),
        ("Financing paid", money(own["total_financing"])),
        ("Net profit after all of it", money(own["net_return"] * start)),
    ]  # fmt: skip


def _rates(run: Run) -> list[tuple[str, str]]:
    """What one trade costs by the config, and the share of each part."""
    market = run.config.market
    parts = {
        "Fee": market.fee_bps,
        "Half spread": market.half_spread_bps,
        "Slippage": market.slippage_bps,
    }
    total = sum(parts.values())
    return [
        (name, f"{rate:g} bps" + (f", {rate / total:.0%} of a trade's cost" if total else ""))
        for name, rate in parts.items()
    ]


def _trades_note(run: Run, split: str) -> str:
    drawn, every = largest_trades(run, split).height, run.metrics[split][run.chosen]["closed_trades"]
    first = run.lineage["symbols"][0]
    if drawn == every:
        return f"All {count(every)} closed trades in {first}."
    return f"{count(drawn)} of {count(every)} closed trades: {first} only, at most {MAX_TRADES} by size."


def _lineage(run: Run) -> Page:
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
    dropped = [
        (key.replace("_", " "), count(rows[key]))
        for key in ("read", "outside_session", "outside_splits", "dropped_warmup", "dropped_stale")
    ]
    features = [
        {
            "name": f["name"],
            "calculator": f["calculator"],
            "params": ", ".join(f"{key}={value}" for key, value in f["params"].items()),
            "normalizer": f["normalizer"],
            "warmup": f["warmup_bars"],
        }
        for f in lineage["features"]
    ]
    return {
        "inputs": [{**file, "rows": count(file["rows"])} for file in lineage["inputs"]],
        "splits": splits,
        "dropped": dropped,
        "features": features,
        "contract": lineage["contract_sha256"],
        "test_sha256": lineage["test_sha256"],
    }
