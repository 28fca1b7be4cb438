"""What each policy does: a row a seed, and one of the ensemble (``docs/policies.md``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from truefill.evaluation.gates import percent, plain
from truefill.report.gather import Run

Row = dict[str, Any]

WORDS = {
    "never_trades": "never trades",
    "buy_and_hold": "buys and holds",
    "constant_action": "repeats one action",
    "trades": "trades",
}
SIDES = {"short": "sells short and holds", "mixed": "enters once and holds, long or short"}


def behaviour_table(run: Run) -> list[Row]:
    """Rows of the report; none for a run from before policies were diagnosed."""
    seeds = run.summary["seeds"]
    found = {f"Seed {s}": seeds[s].get("behaviour") for s in sorted(seeds, key=int)}
    names = [f"seed-{s}" for s in sorted(seeds, key=int)]
    ensemble = run.summary.get("ensemble")
    if ensemble is not None:
        found = {"Ensemble": ensemble["behaviour"], **found}
        names.insert(0, "ensemble")
    rule = run.summary.get("rule")
    if rule is not None:
        found, names = {"Rule": rule["behaviour"]}, [run.chosen]
    pairs = zip(names, found.items(), strict=True)
    return [
        _row(policy, own) | {"judged": name == run.chosen}
        for name, (policy, own) in pairs
        if own is not None
    ]


def ensemble_facts(run: Run) -> list[tuple[str, str]]:
    """How the members of the ensemble agree; nothing without one."""
    ensemble = run.summary.get("ensemble")
    if ensemble is None:
        return []
    agreement = ensemble["agreement"]
    shares = agreement["with_ensemble"]
    each = [f"seed {s} {percent(shares[s])}" for s in sorted(shares, key=int)]
    return [
        ("Ensemble", f"{ensemble['rule']} of {len(ensemble['members'])} seeds"),
        ("All members order the same", f"{percent(agreement['unanimous'])} of decisions"),
        ("Orders the same as the ensemble", ", ".join(each)),
    ]


def rule_facts(run: Run) -> list[tuple[str, str]]:
    """What the rule is that was judged; nothing where a policy was trained."""
    rule = run.summary.get("rule")
    if rule is None:
        return []
    params = ", ".join(f"{key} {value}" for key, value in rule["params"].items())
    return [("Rule", f"{rule['policy']} ({params})" if params else rule["policy"])]


def warm_facts(run: Run) -> list[tuple[str, str]]:
    """Where training began; nothing where it began afresh."""
    began = run.summary.get("warm_start")
    return [] if began is None else [("Every seed began with bundle", began["sha256"][:12])]


def behaviour_words(found: Mapping[str, Any]) -> str:
    """A diagnosis in a few words."""
    return SIDES.get(found["side"], WORDS[found["name"]])


def _row(policy: str, found: Mapping[str, Any]) -> Row:
    commonest = min(found["commonest_order"], key=lambda own: own["share"])
    many = len(found["commonest_order"]) > 1
    return {
        "policy": policy,
        "does": behaviour_words(found),
        "odd": found["name"] != "trades",
        "order": f"{commonest['symbol']}: {commonest['order']}" if many else commonest["order"],
        "cells": [
            percent(commonest["share"]),
            percent(found["time_in_market"]),
            plain(found["entries_per_episode"]),
            f"{found['weight_change_per_bar']:.4f}",
            percent(found["costs_per_episode"]),
        ],
        "driven_by": _driver(found["driven_by"]),
    }


def _driver(drive: Mapping[str, Any] | None) -> str:
    if drive is None:
        return "–"
    if drive["term"] is None:
        return "no term gained"
    ends = drive["terms"][drive["term"]]
    name = drive["term"].replace("_", " ")
    return f"{name}, {ends['first']:+.3g} to {ends['last']:+.3g}"
