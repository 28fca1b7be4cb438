"""What each policy does, as the page says it; nothing for runs from before it was diagnosed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from truefill.report.behaviour import behaviour_table, ensemble_facts, warm_facts
from truefill.report.gather import Run, gather
from truefill.report.page import page_of


def diagnosis(name: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name, "side": None,
        "commonest_order": [{"symbol": "A", "order": "flat", "share": 1.0},
                            {"symbol": "B", "order": "long 1", "share": 0.5}],
        "time_in_market": 0.25, "entries_per_episode": 1.5, "weight_change_per_bar": 0.0123,
        "costs_per_episode": 0.002, "driven_by": None, **more,
    }  # fmt: skip


DRIVE = {"term": "turnover", "terms": {"turnover": {"first": -5.0, "last": -0.25, "gain": 4.75}}}
FOUND = {
    "42": diagnosis("never_trades", driven_by=DRIVE),
    "123": diagnosis("buy_and_hold", side="short"),
    "456": diagnosis("buy_and_hold", side="long", driven_by={"term": None, "terms": {}}),
    "789": diagnosis("constant_action"),
    "1337": diagnosis("trades"),
}


def with_facts(run: Run, **more: Any) -> Run:
    seeds = {s: {**facts, "behaviour": FOUND[s]} for s, facts in run.summary["seeds"].items()}
    return replace(run, summary={**run.summary, "seeds": seeds, **more})


def test_a_row_a_seed(opened_run: Path) -> None:
    run = gather(opened_run)
    rows = behaviour_table(with_facts(run))
    assert [(row["policy"], row["does"], row["odd"]) for row in rows] == [
        ("Seed 42", "never trades", True),
        ("Seed 123", "sells short and holds", True),
        ("Seed 456", "buys and holds", True),
        ("Seed 789", "repeats one action", True),
        ("Seed 1337", "trades", False),
    ]
    assert [row["judged"] for row in rows] == [True, False, False, False, False]
    assert rows[0]["driven_by"] == "turnover, -5 to -0.25"
    assert rows[2]["driven_by"] == "no term gained"
    assert rows[0]["order"] == "B: long 1"
    assert rows[0]["cells"] == ["50.00 %", "25.00 %", "1.50", "0.0123", "0.20 %"]


def test_the_ensemble_comes_first_and_is_judged(opened_run: Path) -> None:
    run = gather(opened_run)
    ensemble = {
        "rule": "vote", "members": [42, 123], "score": 0.01,
        "agreement": {"unanimous": 0.5, "with_ensemble": {"42": 0.75, "123": 1.0}},
        "behaviour": diagnosis("trades"),
    }  # fmt: skip
    metrics = dict(run.metrics, chosen="ensemble")
    for split in run.splits:
        metrics[split] = {**metrics[split], "ensemble": metrics[split]["seed-42"]}
    run = replace(
        with_facts(run, ensemble=ensemble, warm_start={"sha256": "ab" * 32}), metrics=metrics
    )
    rows = behaviour_table(run)
    assert [row["policy"] for row in rows][:2] == ["Ensemble", "Seed 42"]
    assert [row["judged"] for row in rows] == [True] + [False] * 5
    assert ensemble_facts(run)[0] == ("Ensemble", "vote of 2 seeds")
    assert ensemble_facts(run)[1][1] == "50.00 % of decisions"
    assert ensemble_facts(run)[2][1] == "seed 42 75.00 %, seed 123 100.00 %"
    assert warm_facts(run) == [("Every seed began with bundle", "abababababab")]
    assert run.strategies("test")[:2] == ("ensemble", "seed-42")


def test_a_run_from_before_has_no_such_table(closed_run: Path) -> None:
    page = page_of(gather(closed_run))
    assert page["behaviours"] == page["policies"] == []
    assert page["behaviour"] == ""
