"""A search with real workers: the same study for any number of them, any kill; test is sealed."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import optuna
import polars as pl
import pytest
import yaml

from small_run import TREE, environment, run_folder, truefill
from truefill.core.files import read_json
from truefill.pipeline.artifacts import Manifest
from truefill.pipeline.ledger import LEDGER, Ledger

pytestmark = pytest.mark.slow
RESULTS = ("study.json", "trials.parquet", "best.yaml")
SEARCH = {
    "trials": 6, "seeds": 2, "generation": 3, "folds": 4,
    "prune": {
        "startup_trials": 1, "percentile": 60,
        "regimes": {"bars": 24, "episodes": 4, "every_steps": 8_192},
    },
    "space": {
        "agent.ppo.learning_rate": {"choices": [0.0001, 0.003, 1e30]},
        "agent.ppo.gae_lambda": {"low": 0.5, "high": 1.0},
        "agent.ppo.gamma": {"low": 0.1, "high": 0.2},
    },
}  # fmt: skip


def write(folder: Path) -> Path:
    """The config, and its space beside it."""
    tree = deepcopy(TREE)
    del tree["agent"]["ppo"]["learning_rate"]
    tree["training"] |= {"total_steps": 16_384, "eval_every_steps": 4_096}
    (folder / "small.yaml").write_text(yaml.safe_dump(tree))
    (folder / "small.search.yaml").write_text(yaml.safe_dump(SEARCH))
    return folder / "small.yaml"


def start(folder: Path, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "truefill", "tune", str(folder / "small.yaml"),
         "--runs", str(folder / "runs"), *options],
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip


def finish(folder: Path, *options: str) -> tuple[Path, str]:
    """The study brought to its end, and what it said."""
    process = start(folder, *options)
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0, out
    [study] = (folder / "runs").glob("tune-*")
    return study, out


def results(study: Path) -> dict[str, bytes]:
    return {name: (study / name).read_bytes() for name in RESULTS}


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A study left alone, with one worker."""
    folder = tmp_path_factory.mktemp("reference")
    write(folder)
    return finish(folder, "--workers", "1")


def test_the_table_has_every_kind_of_trial(reference: tuple[Path, str]) -> None:
    facts = read_json(reference[0] / "study.json")
    reasons = [row["reason"] or "" for row in facts["trials"]]
    assert facts["states"]["complete"] >= 2
    assert any("is below the best 60 % of earlier trials" in reason for reason in reasons)
    assert any(reason.startswith("not finite: ") for reason in reasons)
    assert facts["fixed"] == {"agent.ppo.gamma": 0.9}
    assert facts["regret"]["value"] is not None


def test_a_learnable_edge_is_found_by_the_larger_step(reference: tuple[Path, str]) -> None:
    facts = read_json(reference[0] / "study.json")
    assert facts["best"]["values"]["agent.ppo.learning_rate"] == 0.003
    assert facts["best"]["value"] > 0.0


def test_optuna_reads_it_from_outside(reference: tuple[Path, str]) -> None:
    folder, _ = reference
    study = optuna.load_study(study_name=folder.name, storage=f"sqlite:///{folder}/study.sqlite")
    rows = read_json(folder / "study.json")["trials"]
    assert [trial.value for trial in study.trials] == [row["value"] for row in rows]
    complete = [trial for trial in study.trials if trial.value is not None]
    assert all(len(trial.intermediate_values) == 8 for trial in complete)  # 2 seeds x 4


def test_no_test_row_is_in_the_folder(reference: tuple[Path, str]) -> None:
    """Not as a file, and not inside one."""
    folder, _ = reference
    border = datetime.fromisoformat(TREE["data"]["splits"]["test"]["start"]).replace(tzinfo=UTC)
    assert not list(folder.rglob("test*"))
    tables = [path for path in folder.rglob("*.parquet") if path.parent.name == "dataset"]
    assert {path.name for path in tables} == {"train.parquet", "validation.parquet"}
    for path in tables:
        assert pl.read_parquet(path)["timestamp"].max() < border  # type: ignore[operator]
    found = Manifest.open(folder)
    found.verify("tune/dataset")
    assert not any("test" in name for name in found.outputs("tune/dataset"))


def test_every_evaluation_is_in_the_ledger_once(reference: tuple[Path, str]) -> None:
    folder, out = reference
    evaluated = [
        (f"trial {int(path.parts[-3])} step {row['step']}", int(path.parts[-2].split("-")[1]))
        for path in sorted(folder.glob("trials/*/seed-*/training.json"))
        for row in read_json(path)["evaluations"]
    ]
    looks = Ledger(folder.parent / LEDGER).looks()
    assert sorted((look["policy"], look["seed"]) for look in looks) == sorted(evaluated)
    assert f"looks:   {len(evaluated)} policies evaluated" in out
    best = [look for look in looks if look["net_return"] is not None]
    complete = read_json(folder / "study.json")["states"]["complete"]
    assert len(best) >= 2 * complete


def test_two_workers_and_kills_of_the_study_give_the_same(
    reference: tuple[Path, str], tmp_path: Path
) -> None:
    """kill -9 of the parent at random moments; its workers end with it."""
    write(tmp_path)
    generator = random.Random(5)
    for _ in range(2):
        process = start(tmp_path, "--workers", "2")
        time.sleep(generator.uniform(6.0, 12.0))
        os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=300)
    study, _ = finish(tmp_path, "--workers", "2")
    assert results(study) == results(reference[0])


def test_ctrl_c_leaves_it_resumable_and_killed_workers_are_replaced(
    reference: tuple[Path, str], tmp_path: Path
) -> None:
    write(tmp_path)
    process = start(tmp_path, "--workers", "2")
    log = ""
    assert process.stdout is not None
    for line in process.stdout:  # until the first trial is over
        log += line
        if " complete: " in line or " pruned: " in line:
            break
    os.kill(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130, log + out
    assert "the same command goes on" in out

    process = start(tmp_path, "--workers", "2")
    log, killed = "", 0
    assert process.stdout is not None
    for line in process.stdout:
        log += line
        if not killed and re.match(r"tune +trial \d+ [3-6]\d%", line):  # it is at work
            for pid in workers_of(process.pid):
                os.kill(pid, signal.SIGKILL)
                killed += 1
    assert process.wait(timeout=60) == 0, log
    assert killed
    assert "the worker died" in log
    [study] = (tmp_path / "runs").glob("tune-*")
    assert results(study) == results(reference[0])


def workers_of(pid: int) -> list[int]:
    """Worker processes of ``pid``."""
    found = []
    for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        try:
            command_line = Path(f"/proc/{word}/cmdline").read_bytes()
        except OSError:  # it has ended meanwhile
            continue
        if b"truefill.pipeline.worker" in command_line:
            found.append(int(word))
    return found


def test_the_winner_runs_as_it_lies(reference: tuple[Path, str], tmp_path: Path) -> None:
    """best.yaml trains to the same policy that won, and its looks come on top."""
    folder, _ = reference
    done = truefill(folder / "best.yaml", tmp_path / "runs", "--until", "train", "--skip-checks")
    assert done.returncode == 0, done.stderr
    best: dict[str, Any] = read_json(folder / "study.json")["best"]
    won = read_json(folder / f"trials/{best['trial']:04d}/seed-1/training.json")
    again = read_json(run_folder(tmp_path / "runs") / "train/seed-1/training.json")
    assert json.dumps(again) == json.dumps(won)
