"""What the report says of times without trading and of multipliers by the hour."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from truefill.config.load import parse_config
from truefill.core.files import read_json, write_json, write_text
from truefill.report.closed import closed_table, season_facts
from truefill.report.gather import Run, gather
from truefill.report.html import render_report
from unit.report.fabricate import fabricate

RULES: list[dict[str, Any]] = [
    {"start": "16:55", "end": "18:05", "timezone": "America/New_York", "days": ["fri", "sun"]},
    {"kind": "interval", "start": "2024-04-19T20:00:00+00:00", "end": "2024-04-20"},
    {"kind": "interval", "path": "somewhere/halts.csv"},
    {"kind": "funding", "times": ["08:00"], "before": "5m", "after": 0},
    {"kind": "funding", "events": True},
    {"kind": "volatility", "percentile": 0.9, "spread_bps": 15, "ask": "ask"},
]


def told(**more: Any) -> dict[str, Any]:
    return {
        "bars": {"train": 1234, "validation": 0}, "share": {"train": 0.125, "validation": 0.0},
        "first": "2020-01-02T00:00:00+00:00", "last": "2022-12-30T23:55:00+00:00", **more,
    }  # fmt: skip


GUARD = {"thresholds": {"A": {"percentile": 0.00123456, "spread_bps": 15}},
         "activations": {"A": 7}, "longest_bars": {"A": 4321}}  # fmt: skip
SEASONS: dict[str, Any] = {
    "from": {"spread": "range of the bars"},
    "multipliers": {"spread": {"smallest": 0.5, "largest": 2.25, "hours": 168}},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fabricate(tmp_path_factory.mktemp("closed") / "sample-3f9a1c")


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    """A run with every kind of window."""
    run = gather(folder)
    tree = run.config.model_dump(mode="json")
    tree["market"]["no_trade"] = RULES
    windows = [told(kind="x") for _ in RULES[:-1]] + [told(kind="volatility", **GUARD)]
    windows[1] |= {"first": None, "last": None}
    facts = {"rules_sha256": "a", "windows": windows, "together": told()}
    lineage = run.lineage | {"no_trade": facts, "seasonality": SEASONS}
    return replace(run, config=parse_config(tree), lineage=lineage)


def test_each_window_has_its_row_and_all_together_the_last(run: Run) -> None:
    rows = closed_table(run)
    assert [row["rule"] for row in rows] == [
        "16:55 to 18:05 America/New_York on fri, sun",
        "2024-04-19 20:00 to 2024-04-20 00:00",
        "halts.csv",
        "300 s before to 0 s after 08:00 UTC",
        "300 s before to 300 s after funding of the data",
        "Volatility guard, 180 bars",
        "All together",
    ]
    assert rows[0]["closed"] == ["1,234, 12.50 %", "0, 0.00 %"]
    assert (rows[0]["span"], rows[1]["span"]) == ("2020-01-02 to 2022-12-30", "")
    assert rows[5]["notes"] == (
        "A: sigma 0.001235 (fitted on train), spread 15 bps; closed 7 times, at most 4,321 bars"
    )
    assert rows[0]["notes"] == rows[6]["notes"] == ""


def test_multipliers_are_told_with_their_source(run: Run) -> None:
    assert season_facts(run) == [(
        "Spread by the hour of the week",
        "x 0.5 to 2.25 over 168 hours (fitted on train, from the range of the bars)",
    )]  # fmt: skip
    read = replace(run, lineage=run.lineage | {"seasonality": SEASONS | {"from": "s.json"}})
    assert "(s.json)" in season_facts(read)[0][1]


def test_the_page_shows_them(folder: Path, run: Run) -> None:
    assert "Times without trading" not in render_report(folder)
    tree = yaml.safe_load((folder / "config.yaml").read_text())
    tree["market"]["no_trade"] = run.config.model_dump(mode="json")["market"]["no_trade"]
    write_text(folder / "config.yaml", yaml.safe_dump(tree))
    lineage = read_json(folder / "dataset" / "lineage.json")
    keys = {key: run.lineage[key] for key in ("no_trade", "seasonality")}
    write_json(folder / "dataset" / "lineage.json", lineage | keys)
    page = render_report(folder)
    assert "Times without trading" in page and "Volatility guard, 180 bars" in page
    assert "Spread by the hour of the week" in page
