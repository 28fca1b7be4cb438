"""How a search is shown: a live table on a terminal, plain lines elsewhere, a result in words."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from config_cases import base_tree
from truefill.cli.app import app
from truefill.cli.tune import _print_result, regret_words
from truefill.cli.tune_view import LiveTuneView, PlainTuneView, summary
from truefill.pipeline import tune as tune_module
from truefill.pipeline.tune import TuneResult
from truefill.pipeline.tune_events import Teller, TuneEvent

FACTS: dict[str, Any] = {
    "study": "tune-x", "objective": "sortino", "fixed": {"agent.ppo.gamma": 0.9},
    "states": {"complete": 2, "pruned": 1},
    "best": {"trial": 2, "value": 1.5, "values": {"agent.ppo.clip": 0.1, "agent.ppo.epochs": 3}},
    "regret": {"value": 0.5, "winner_on_validation": 1.5, "out_of_fold": 1.0},
    "importance": {"value": {"agent.ppo.clip": 0.75, "agent.ppo.epochs": 0.25}},
    "looks": {"study": 12, "on_validation": 30},
    "trials": [
        {"trial": 0, "state": "complete", "value": -0.25, "seed_values": [-0.5, 0.0],
         "values": {"agent.ppo.clip": 0.2, "agent.ppo.epochs": 2}},
        {"trial": 1, "state": "pruned", "value": None, "seed_values": [],
         "values": {"agent.ppo.clip": 0.3, "agent.ppo.epochs": 2}},
        {"trial": 2, "state": "complete", "value": 1.5, "seed_values": [1.0, 2.0],
         "values": {"agent.ppo.clip": 0.1, "agent.ppo.epochs": 3}},
    ],
}  # fmt: skip


def events() -> list[TuneEvent]:
    """What is told of three trials."""
    seen: list[TuneEvent] = []
    teller = Teller(seen.append, Path("/dev/null"), 1_000)
    teller.trials = 3
    teller.line("study tune-x: 3 trials")
    for number in range(3):
        teller.moved(number, "waiting")
    for done in range(0, 1_000, 100):
        teller.moved(0, "running", value=0.5, seed=42, done=done)
    teller.over(0, "complete", value=0.25, reason=None, done=1_024)
    teller.over(1, "pruned", value=None, reason="[bold]not finite", done=300)
    teller.over(2, "failed", value=None, reason="the worker died")
    return seen


def test_the_live_table_has_a_row_a_trial() -> None:
    from rich.console import Console

    stream = StringIO()
    view = LiveTuneView(stream)
    for event in events():
        if event.kind == "trial":
            view(event)
    shown = StringIO()
    Console(file=shown, width=100).print(view._table())
    rows = [line.split() for line in shown.getvalue().splitlines()]
    assert rows[0] == ["trial", "state", "value", "step", "seed", "why"]
    assert rows[1] == ["0", "*", "complete", "+0.2500", "1,000", "of", "1,000"]
    assert rows[2] == ["1", "pruned", "300", "of", "1,000", "[bold]not", "finite"]
    assert rows[3] == ["2", "failed", "the", "worker", "died"]
    assert rows[4] == ["3", "of", "3", "trials,", "best", "+0.25", "(trial", "0)"]


def test_a_table_longer_than_the_terminal_shows_the_latest_and_the_best() -> None:
    view = LiveTuneView(StringIO())
    teller = Teller(view, Path("/dev/null"), 10)
    teller.trials = 100
    for number in range(60):
        teller.over(number, "complete", value=-float(number), reason=None, earlier=True)
    shown = [event.trial for event in view._shown()]
    assert shown[0] == 0
    assert shown[1:] == list(range(60 - len(shown) + 1, 60))


def test_plain_lines_are_few_and_say_where_it_is() -> None:
    stream = StringIO()
    with PlainTuneView(stream) as view:
        for event in events():
            view(event)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "tune     study tune-x: 3 trials"
    assert [line for line in lines if line.startswith("tune     trial 0 4")] == [
        "tune     trial 0 40%, seed 42, Sortino +0.5; 0 of 3 trials"
    ]
    assert lines[-2:] == [
        "tune     trial 1 pruned: [bold]not finite", "tune     trial 2 failed: the worker died"
    ]  # fmt: skip
    assert len(lines) == 6


def test_the_summary_tells_the_rest_of_the_time() -> None:
    event = TuneEvent("trial", finished=4, trials=20, best=(2, 1.2), eta_s=200.0)
    assert summary(event) == "4 of 20 trials, best +1.2 (trial 2), ETA 3 min 20 s"


def test_the_result_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    _print_result(TuneResult(Path("runs/tune-x"), FACTS, Path("runs/tune-x/best.yaml")))
    out = capsys.readouterr().out
    rows = [line.split() for line in out.splitlines()]
    assert ["trial", "sortino", "seeds", "clip", "epochs"] in rows
    assert rows.index(["2", "+1.5", "+1", "+2", "0.1", "3"]) < rows.index(
        ["0", "-0.25", "-0.5", "+0", "0.2", "2"]
    )
    assert "regret:  0.5 = 1.5 of the winner on validation less 1 out of fold" in out
    assert "fixed by the config: agent.ppo.gamma = 0.9" in out
    assert "mattered: agent.ppo.clip 75%, agent.ppo.epochs 25%" in out
    assert "looks:   12 policies evaluated on validation by this study, 30 in all" in out
    assert "next:    truefill run runs/tune-x/best.yaml" in out
    assert regret_words({"value": None, "reason": "why"}) == "undefined: why"


def test_the_space_beside_the_config_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []

    def start(config: Any, **options: Any) -> TuneResult:
        asked.append(options)
        return TuneResult(tmp_path, FACTS, None)

    monkeypatch.setattr(tune_module, "tune", start)
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(base_tree()))
    run = CliRunner()
    assert run.invoke(app, ["tune", str(tmp_path / "c.yaml"), "--json"]).exit_code == 0
    (tmp_path / "c.search.yaml").write_text("trials: 2\n")
    done = run.invoke(app, ["tune", str(tmp_path / "c.yaml"), "--trials", "7", "--json"])
    assert json.loads(done.stdout)["best"]["trial"] == 2
    assert [options["space"] for options in asked] == [None, tmp_path / "c.search.yaml"]
    assert [options["trials"] for options in asked] == [None, 7]
    missing = run.invoke(app, ["tune", str(tmp_path / "c.yaml"), "--space", "nope.yaml"])
    assert missing.exit_code == 2
    assert "there is no such space file" in missing.output
