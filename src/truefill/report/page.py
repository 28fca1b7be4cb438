"""The words and tables of the report, ready for the template."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from truefill.config.schema import SMOKE_SUFFIX
from truefill.evaluation.gates import count, percent, plain
from truefill.report.behaviour import behaviour_table, ensemble_facts, rule_facts, warm_facts
from truefill.report.closed import closed_table, season_facts
from truefill.report.forecasts import forecasts_page
from truefill.report.gather import Run
from truefill.report.joined import joined_rows
from truefill.report.leaks import leaks_facts
from truefill.report.orders import orders_facts
from truefill.report.tables import (
    baselines_table,
    costs_facts,
    gates_table,
    lineage_facts,
    random_note,
    rates_facts,
    seeds_table,
    spread_facts,
    trades_note,
)
from truefill.report.words import MARKS, interval, label, money, shown, unbroken

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
        "seeds": seeds_table(run),
        "spread": spread_facts(run),
        "behaviour": unbroken(str(run.verdict.get("behaviour", ""))),
        "behaviours": behaviour_table(run),
        "policies": [*ensemble_facts(run), *rule_facts(run), *warm_facts(run)],
        "gates": gates_table(run),
        "baselines": {split: baselines_table(run, split) for split in run.splits},
        "random_note": {split: random_note(run, split) for split in run.splits},
        "confidence": f"{run.config.evaluation.confidence * 100:g} %",
        "costs": {split: costs_facts(run, split) for split in run.splits},
        "rates": rates_facts(run),
        "orders": {split: orders_facts(run, split) for split in run.splits},
        "trades_note": {split: trades_note(run, split) for split in run.splits},
        "lineage": lineage_facts(run),
        "forecasts": forecasts_page(run.forecasts),
        "leaks": leaks_facts(run.certificate),
        "joined": joined_rows(run.lineage["joined"]),
        "closed": closed_table(run),
        "seasons": season_facts(run),
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
        {
            "title": title,
            "cells": [shown(run.metrics[s][run.chosen][key], form) for s in run.splits],
        }
        for key, title, form in DETAILS
    ]


def _warnings(run: Run) -> list[str]:
    out = []
    if run.config.name.endswith(SMOKE_SUFFIX):
        out.append(
            "A smoke run: two updates, on the train period only. It shows that everything works, "
            "and says nothing about the strategy."
        )
    if run.verdict["contaminated"]:
        out.append(
            f"The test split is contaminated: opened {run.verdict['openings']} times, by more than "
            "one policy or config. Its figures are no longer out of sample."
        )
    shares = {s: _close_only(run, s) for s in ("train", "validation", "test")}
    if any(shares.values()):
        each = ", ".join(f"{_share(share)} of the {s} bars" for s, share in shares.items() if share)
        out.append(
            f"{each} are close-only: stops cannot trigger inside them and the effective delay is "
            "one bar longer."
        )
    spread = run.summary["spread"]
    warning = None if spread is None else spread["warning"]
    return [*out, f"Seeds disagree: {warning}."] if warning else out


def _close_only(run: Run, split: str) -> float:
    rows = run.lineage["rows"][split]
    return float(run.lineage["close_only_bars"][split] / rows) if rows else 0.0


def _share(value: float) -> str:
    return percent(value) if value < 0.01 else f"{value * 100:.0f} %"
