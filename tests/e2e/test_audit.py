"""The leak certificate as a user meets it: asked for, made, taken, shown; a leak that is told."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from small_run import TREE, environment, run_folder, write_config
from truefill.audit.certificate import FILE
from truefill.pipeline.artifacts import Manifest

pytestmark = pytest.mark.slow
NO_GATES = dict.fromkeys(
    ("min_return", "min_sharpe", "max_drawdown", "min_closed_trades", "min_win_rate",
     "max_action_imbalance")
)  # fmt: skip
PEEK = '''
import numpy as np
from truefill.core.registry import Params
from truefill.features.base import calculator


@calculator("peek", Params, unit="fraction", source="mine", crosses_session=True)
def peek(p, bars):
    """The next bar's return."""
    returns = np.diff(np.log(bars.close), prepend=np.log(bars.close[0]))
    return np.append(returns[1:], 0.0)
'''


def truefill(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "truefill", *words], env=environment(), capture_output=True,
        text=True, check=False, timeout=600,
    )  # fmt: skip


def test_a_run_that_requires_a_certificate(tmp_path: Path) -> None:
    gates = {**TREE["gates"], **NO_GATES}
    config, runs = write_config(tmp_path, audit="required", gates=gates), tmp_path / "runs"
    words = (str(config), "--runs", str(runs))
    refused = truefill("run", *words)
    assert refused.returncode == 2
    assert "there is no leak certificate" in refused.stderr
    assert "-> truefill audit CONFIG" in refused.stderr

    whole = truefill("audit", *words, "--json")
    assert whole.returncode == 0, whole.stderr
    told = json.loads(whole.stdout)
    folder = run_folder(runs)
    assert told["path"] == str(folder / FILE)
    assert told["certificate"] == json.loads((folder / FILE).read_text())
    results = {check["result"] for check in told["certificate"]["checks"]}
    assert results == {"passed", "not applicable"} and told["certificate"]["passed"]

    ran = truefill("run", *words)
    assert ran.returncode == 0, ran.stderr
    page = (folder / "report.html").read_text()
    made = told["certificate"]
    assert f"No leak found: {made['comparisons']:,} comparisons" in page
    assert made["code_sha256"] in page
    Manifest.open(folder).verify("audit")


def test_a_leak_in_a_plugin_is_told(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(PEEK)
    peek: dict[str, Any] = {"name": "peek", "calculator": "peek"}
    features = [*TREE["features"], peek]
    config = write_config(tmp_path, plugins=["mine.py"], features=features)
    words = (str(config), "--runs", str(tmp_path / "runs"), "--quick")
    found = truefill("audit", *words)
    assert found.returncode == 1, found.stderr
    assert "leak in features: peek (" in found.stdout and "leaks found" in found.stdout
