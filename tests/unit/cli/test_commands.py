"""Commands: what they print, how they fail, and what they leave behind (nothing)."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from config_cases import base_tree, put
from truefill.cli.app import app
from truefill.core.errors import TruefillError
from truefill.pipeline import catalog, preflight
from truefill.pipeline.events import Event

runner = CliRunner()


def truefill(*arguments: str) -> Result:
    return runner.invoke(app, list(arguments))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(base_tree()))
    return path


@dataclass
class FakeResult:
    folder: Path
    verdict: str | None
    headline: str | None
    stages: dict[str, str]
    report_path: Path | None
    behaviour: dict[str, Any] | None = None


Install = Callable[[Callable[..., Any]], list[dict[str, Any]]]


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put a function in the place of the pipeline; the calls it gets."""

    def install(run: Callable[..., Any]) -> list[dict[str, Any]]:
        calls: list[dict[str, Any]] = []

        def recorded(config: Any, **options: Any) -> Any:
            calls.append({"config": config, **options})
            return run(config, **options)

        module = ModuleType("truefill.pipeline.run")
        module.run = recorded  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "truefill.pipeline.run", module)
        return calls

    return install


def finished(config: Any, *, runs: Path, report: Callable[[Event], None], **_: Any) -> FakeResult:
    report(Event("stage", "dataset", "skipped"))
    for done in range(0, 101, 2):
        report(Event("progress", "train", seed=42, done=done, total=100, rate=10.0, score=0.5))
    return FakeResult(runs / "small-1", "do not deploy", "It lost.", {"dataset": "skipped"}, None)


def test_run_passes_its_options_on(pipeline: Install, config: Path, tmp_path: Path) -> None:
    calls = pipeline(finished)
    done = truefill(
        "run", str(config), "--only", "train", "--until", "test", "--set", "market.fee_bps=3",
        "--set", "env.window_bars=2", "--seeds", "7,8", "--fresh", "--workers", "2",
        "--runs", str(tmp_path / "r"), "--skip-checks", "--smoke",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    (call,) = calls
    assert call["config"].market.fee_bps == 3 and call["config"].env.window_bars == 2
    assert call["config"].training.seeds == (7, 8)
    assert call["config"].evaluation.min_positive_seeds == 2
    assert call["runs"] == tmp_path / "r"
    assert (call["only"], call["until"], call["workers"]) == ("train", "test", 2)
    assert call["fresh"] and call["skip_checks"] and call["smoke"]


def test_a_verdict_is_exit_code_0_whatever_it_says(pipeline: Install, config: Path) -> None:
    pipeline(finished)
    done = truefill("run", str(config))
    assert done.exit_code == 0
    assert "verdict: do not deploy\nIt lost.\n" in done.stdout
    assert "run:     runs/small-1" in done.stdout
    lines = [line for line in done.stdout.splitlines() if line.startswith("train")]
    assert 5 <= len(lines) <= 7
    assert lines[0] == "train    seed 42: 0%, 10 steps/s, ETA 10 s, validation score +0.5"


def test_json_is_one_value_on_stdout_and_progress_goes_to_stderr(
    pipeline: Install, config: Path
) -> None:
    pipeline(finished)
    done = truefill("run", str(config), "--json")
    assert json.loads(done.stdout) == {
        "folder": "runs/small-1",
        "verdict": "do not deploy",
        "headline": "It lost.",
        "stages": {"dataset": "skipped"},
        "report": None,
        "behaviour": None,
    }
    assert "seed 42" in done.stderr


def test_a_failed_run_is_exit_code_1(pipeline: Install, config: Path) -> None:
    def fails(config: Any, **_: Any) -> None:
        raise TruefillError("loss is NaN", where="train/seed-42", do="lower the learning rate")

    pipeline(fails)
    done = truefill("run", str(config))
    assert done.exit_code == 1
    assert done.stderr == "error: train/seed-42: loss is NaN\n  -> lower the learning rate\n"
    done = truefill("run", str(config), "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["what"] == "loss is NaN"


def test_an_interrupt_is_exit_code_130(pipeline: Install, config: Path) -> None:
    def interrupted(config: Any, **_: Any) -> None:
        raise KeyboardInterrupt

    pipeline(interrupted)
    done = truefill("run", str(config))
    assert done.exit_code == 130
    assert "the same command goes on" in done.stderr


def test_a_bug_keeps_its_traceback(pipeline: Install, config: Path) -> None:
    def bug(config: Any, **_: Any) -> None:
        raise ZeroDivisionError("a bug")

    pipeline(bug)
    assert isinstance(truefill("run", str(config)).exception, ZeroDivisionError)


BAD_USAGE = [
    (["--only", "trian"], "Did you mean 'train'?"),
    (["--until", "nothing"], "no stage is called 'nothing'"),
    (["--seed", "1", "--seeds", "1,2"], "--seed or --seeds, not both"),
    (["--seeds", "1,x"], "--seeds takes whole numbers"),
    (["--seeds", "1,1"], "seeds are repeated"),
    (["--set", "market.fee_bps"], "--set takes key=value"),
    (["--set", "market.fee_pbs=1"], "Did you mean 'fee_bps'?"),
    (["--workers", "0"], "--workers"),
    (["--nonsense"], "--nonsense"),
]


@pytest.mark.parametrize(
    ("arguments", "message"), BAD_USAGE, ids=[" ".join(a) for a, _ in BAD_USAGE]
)
def test_bad_usage_is_exit_code_2_and_writes_nothing(
    pipeline: Install, config: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    calls = pipeline(finished)
    done = truefill("run", str(config), "--runs", str(tmp_path / "runs"), *arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert calls == []
    assert [p.name for p in tmp_path.iterdir()] == ["config.yaml"]


def test_dry_run_estimates_and_runs_nothing(
    pipeline: Install, config: Path, tmp_path: Path
) -> None:
    calls = pipeline(finished)
    done = truefill("run", str(config), "--dry-run", "--json", "--runs", str(tmp_path / "runs"))
    estimate = json.loads(done.stdout)
    assert estimate["time_s"] > 0 and estimate["memory_bytes"] > 0 and estimate["disk_bytes"] > 0
    assert "estimate" in truefill("run", str(config), "--dry-run").stdout
    assert calls == []
    assert [p.name for p in tmp_path.iterdir()] == ["config.yaml"]


@pytest.mark.parametrize("key", ["market.fee_bps", "features.0.calculator"])
def test_check_of_a_wrong_config_is_exit_code_2(tmp_path: Path, key: str) -> None:
    tree = base_tree()
    put(tree, key, "log_retrun")
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(tree))
    done = truefill("check", str(tmp_path / "config.yaml"), "--runs", str(tmp_path / "runs"))
    assert done.exit_code == 2
    assert key.split(".")[-1] in done.output or "log_return" in done.output
    assert [p.name for p in tmp_path.iterdir()] == ["config.yaml"]


def test_check_says_the_warnings_of_the_data(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [preflight.Check("data warning", True, "AAA ends early", warning=True)]
    monkeypatch.setattr(preflight, "check", lambda *_, **__: found)
    done = truefill("check", str(config))
    assert done.exit_code == 0
    assert "WARN    data warning  AAA ends early" in done.stdout
    answer = json.loads(truefill("check", str(config), "--json").stdout)
    assert answer["passed"] is True
    assert answer["checks"][0]["warning"] is True
    assert answer["checks"][0]["figure"] == "AAA ends early"


@pytest.mark.parametrize("kind", sorted(catalog.KINDS))
def test_list_shows_every_kind_with_parameters(kind: str) -> None:
    done = truefill("list", kind, "--json")
    assert done.exit_code == 0, done.output
    items = json.loads(done.stdout)
    assert items and all(item["name"] and item["summary"] for item in items)
    shown = truefill("list", kind).stdout
    for item in items:
        assert item["name"] in shown
        assert all(f"{p['name']} = {p['default']}" in shown for p in item["parameters"])


def test_calculators_are_listed_with_unit_warmup_and_source() -> None:
    items = json.loads(truefill("list", "calculators", "--json").stdout)
    (atr,) = (item for item in items if item["name"] == "atr")
    assert set(atr["facts"]) == {"unit", "warmup", "source"} and "Wilder" in atr["facts"]["source"]
    assert f"source: {atr['facts']['source']}" in truefill("list", "calculators").stdout


def test_list_of_an_unknown_kind() -> None:
    done = truefill("list", "calculator")
    assert done.exit_code == 2
    assert "Did you mean 'calculators'?" in done.stderr


def test_every_listed_default_is_the_real_one() -> None:
    (score,) = (item for item in catalog.catalog("decoders") if item.name == "score")
    defaults = {p.name: p.default for p in score.parameters}
    assert defaults["threshold"] == "0.35"


def test_schema_is_json_schema() -> None:
    schema = json.loads(truefill("schema").stdout)
    assert schema["title"] == "Config"
    assert schema["properties"]["market"]
    assert truefill("schema", "--markdown").stdout.startswith("# Config reference")


def test_runs_and_ledger_of_an_empty_folder(pipeline: Install, tmp_path: Path) -> None:
    pipeline(finished)
    assert "no runs in" in truefill("runs", "--runs", str(tmp_path)).stdout
    assert json.loads(truefill("runs", "--json", "--runs", str(tmp_path)).stdout) == []
    done = truefill("ledger", "--json", "--runs", str(tmp_path))
    assert json.loads(done.stdout) == {"looks": [], "openings": []}
    assert list(tmp_path.iterdir()) == []


def test_tables_cut_long_text_and_hashes_but_json_does_not(
    pipeline: Install, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pipeline(finished)
    row = {"run": "a-1", "stages": ["dataset", "train"], "hash": "ab" * 32, "text": "word " * 40}
    monkeypatch.setattr("truefill.pipeline.folder.list_runs", lambda runs: [row])
    shown = truefill("runs", "--runs", str(tmp_path)).stdout
    assert "dataset, train  abababababab  word" in shown
    assert max(len(line) for line in shown.splitlines()) < 130
    assert json.loads(truefill("runs", "--json", "--runs", str(tmp_path)).stdout) == [row]
