"""One tiny finished run, shared by the tests of what happens to a run afterwards."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from small_run import CACHE, TREE, run_folder
from truefill.config.load import parse_config
from truefill.config.schema import Config
from truefill.pipeline.run import run


def tiny_tree() -> dict[str, Any]:
    """The small run with one seed, two updates and no gates; a fresh copy each time."""
    tree = deepcopy(TREE)
    tree["name"] = "tiny"
    tree["training"] |= {
        "seeds": [1], "total_steps": 4_096, "eval_every_steps": 2_048,
        "checkpoint_every_steps": 2_048,
    }  # fmt: skip
    tree["evaluation"]["min_positive_seeds"] = 1
    gates = ("min_return", "min_sharpe", "max_drawdown", "min_closed_trades", "min_win_rate",
             "max_action_imbalance")  # fmt: skip
    tree["gates"] = {**dict.fromkeys(gates), **tree["gates"]}
    return tree


@pytest.fixture(autouse=True)
def _shared_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers compile into the tests' cache, not into the user's."""
    monkeypatch.setenv("TRUEFILL_CACHE", str(CACHE))


@pytest.fixture(scope="session")
def tiny() -> Config:
    return parse_config(tiny_tree())


@pytest.fixture(scope="session")
def finished(tiny: Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a finished run: read it, do not change it. The test processes of one session
    share it; the first one makes it."""
    base, session = tmp_path_factory.getbasetemp(), os.environ.get("PYTEST_XDIST_TESTRUNUID")
    shared = base / "tiny" if session is None else base.parent / f"tiny-{session}"
    shared.mkdir(exist_ok=True)
    with (shared / "lock").open("w") as lock, pytest.MonkeyPatch.context() as patch:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / "done").exists():
            patch.setenv("TRUEFILL_CACHE", str(CACHE))
            result = run(tiny, runs=shared / "runs", workers=1, skip_checks=True)
            assert set(result.stages.values()) == {"done"}
            (shared / "done").touch()
    yield run_folder(shared / "runs")


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished run and its ledger, to be changed."""
    shutil.copytree(finished.parent, tmp_path / "runs")
    return run_folder(tmp_path / "runs")
