"""Times without trading and multipliers of the hour, as the report tells of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from truefill.config.no_trade import FundingWindow, IntervalWindow, NoTrade, VolatilityGuard
from truefill.evaluation.gates import count, percent
from truefill.report.gather import Run

Row = dict[str, Any]


def closed_table(run: Run) -> list[Row]:
    """One row an entry of ``market.no_trade``, and one for all together where there are several;
    bars of all symbols, before the test split."""
    facts = run.lineage["no_trade"]
    rows = [
        {"rule": _words(rule), **_cells(told), "notes": _notes(told)}
        for rule, told in zip(run.config.market.no_trade, facts["windows"], strict=True)
    ]
    if len(rows) > 1:
        rows.append({"rule": "All together", **_cells(facts["together"]), "notes": ""})
    return rows


def _cells(told: Mapping[str, Any]) -> Row:
    closed = [
        f"{count(told['bars'][split])}, {percent(told['share'][split])}"
        for split in ("train", "validation")
    ]
    span = "" if told["first"] is None else f"{told['first'][:10]} to {told['last'][:10]}"
    return {"closed": closed, "span": span}


def _words(rule: NoTrade) -> str:
    if isinstance(rule, VolatilityGuard):
        return f"Volatility guard, {rule.window_bars} bars"
    if isinstance(rule, FundingWindow):
        times = (
            "funding of the data" if rule.events else ", ".join(f"{t:%H:%M}" for t in rule.times)
        )
        zone = "" if rule.events else f" {rule.timezone}"
        return f"{rule.before:g} s before to {rule.after:g} s after {times}{zone}"
    if isinstance(rule, IntervalWindow):
        return (
            rule.path.name
            if rule.path
            else f"{rule.start:%Y-%m-%d %H:%M} to {rule.end:%Y-%m-%d %H:%M}"
        )
    days = "" if len(rule.days) == 7 else f" on {', '.join(rule.days)}"
    return f"{rule.start:%H:%M} to {rule.end:%H:%M} {rule.timezone}{days}"


def _notes(told: Mapping[str, Any]) -> str:
    """What a guard did, by symbol."""
    if "thresholds" not in told:
        return ""
    return "; ".join(
        f"{symbol}: {_thresholds(limits)}; closed {count(told['activations'][symbol])} times, at "
        f"most {count(told['longest_bars'][symbol])} bars"
        for symbol, limits in told["thresholds"].items()
    )


def _thresholds(limits: Mapping[str, float]) -> str:
    names = {"absolute": "sigma {:.4g}", "percentile": "sigma {:.4g} (fitted on train)",
             "spread_bps": "spread {:g} bps"}  # fmt: skip
    return ", ".join(names[name].format(value) for name, value in limits.items())


def season_facts(run: Run) -> list[tuple[str, str]]:
    """Where the multipliers come from, and how far apart they lie."""
    facts = run.lineage["seasonality"]
    if facts is None:
        return []
    source = facts["from"]
    rows = []
    for kind, told in facts["multipliers"].items():
        origin = source if isinstance(source, str) else f"fitted on train, from the {source[kind]}"
        spread = f"{told['smallest']:.3g} to {told['largest']:.3g} over {told['hours']} hours"
        rows.append((f"{kind.capitalize()} by the hour of the week", f"x {spread} ({origin})"))
    return rows
