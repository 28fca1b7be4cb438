"""Every kind of learner from data to verdict, audited, as a user starts it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from learner_cases import SMALL
from small_run import TREE, environment, run_folder, truefill, write_config

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("learner", ["recurrent_ppo gru", "quantile_ppo", "recurrent_quantile_ppo"])
def test_a_learner_is_audited_and_reaches_a_verdict(learner: str, tmp_path: Path) -> None:
    agent: dict[str, Any] = {**TREE["agent"], **SMALL[learner]}
    config, runs = write_config(tmp_path, agent=agent), tmp_path / "runs"
    audit = subprocess.run(
        [sys.executable, "-m", "truefill", "audit", str(config), "--runs", str(runs), "--quick",
         "--json"], env=environment(), capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert audit.returncode == 0, audit.stderr
    assert json.loads(audit.stdout)["certificate"]["passed"]
    ran = truefill(config, runs)
    assert ran.returncode == 0, ran.stderr
    folder = run_folder(runs)
    assert json.loads((folder / "verdict.json").read_text())["verdict"]
    log = pl.read_parquet(folder / "train/seed-1/updates.parquet")
    assert log["explained_variance"].is_not_null().all()
    if "quantile" in learner:
        assert log["unit_live"].to_list()[-1] == 1.0 and log["unit_live"].to_list()[0] == 0.0
        assert log["cvar_weight"].is_sorted() and log["cvar_weight"].to_list()[-1] == pytest.approx(
            0.1
        )
