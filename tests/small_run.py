"""A run that touches every stage and takes seconds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from truefill.pipeline.artifacts import MANIFEST, Manifest

REPOSITORY = Path(__file__).resolve().parents[1]
CACHE = Path(os.environ.get("TRUEFILL_TEST_CACHE", REPOSITORY / ".cache"))

TREE: dict[str, Any] = {
    "name": "small",
    "data": {
        "synthetic": {"kind": "planted_signal", "bars": 3000, "seed": 3},
        "interval": "1h",
        "splits": {
            "train": {"start": "2020-01-01", "end": "2020-03-01"},
            "validation": {"start": "2020-03-01", "end": "2020-04-01"},
            "test": {"start": "2020-04-01", "end": "2020-05-01"},
        },
    },
    "features": [
        {"name": "signal", "calculator": "column", "params": {"column": "signal"}},
        {"name": "ret", "calculator": "log_return", "params": {"periods": 1}},
    ],
    "market": {
        "allow_short": True, "fee_bps": 1, "half_spread_bps": 0.5, "slippage_bps": 0.5,
        "stop_loss": 0.05, "min_hold_bars": 2,
    },
    "env": {"episode_bars": 100, "action": {"kind": "short_flat_long"}},
    "agent": {
        "network": {"hidden": [16]},
        "ppo": {"num_envs": 64, "num_steps": 32, "minibatch": 512, "block": 32, "gamma": 0.9,
                "learning_rate": 0.003},
    },
    "training": {
        "seeds": [1, 2], "total_steps": 40_960, "eval_every_steps": 8_192, "eval_episodes": 4,
        "checkpoint_every_steps": 4_096, "patience": None,
    },
    "evaluation": {"random_draws": 20, "bootstrap_draws": 200, "min_positive_seeds": 2,
                   "slippage_grid_bps": [0, 2]},
    "gates": {"min_rows": {"train": 100, "validation": 100, "test": 100}},
}  # fmt: skip


def write_config(folder: Path, **changes: Any) -> Path:
    """The small config in ``folder``, whole sections replaced by ``changes``."""
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump({**TREE, **changes}))
    return path


def environment(**more: str) -> dict[str, str]:
    """The environment of a command: no settings of the test process but the shared cache."""
    dropped = ("XLA_FLAGS", "NPROC", "JAX_PLATFORMS", "JAX_COMPILATION_CACHE_DIR")
    env = {key: value for key, value in os.environ.items() if key not in dropped}
    return {**env, "TRUEFILL_CACHE": str(CACHE), **more}


def command(config: Path, runs: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "truefill", "run", str(config), "--runs", str(runs), *options]


def truefill(
    config: Path, runs: Path, *options: str, **more: str
) -> subprocess.CompletedProcess[str]:
    """``truefill run`` as a user starts it."""
    return subprocess.run(
        command(config, runs, *options), env=environment(**more), capture_output=True, text=True,
        check=False, timeout=600,
    )  # fmt: skip


def run_folder(runs: Path) -> Path:
    """The one run in ``runs``."""
    [manifest] = runs.glob(f"*/{MANIFEST}")
    return manifest.parent


def hashes(folder: Path) -> dict[str, str]:
    """Every hashed artifact of a run with its SHA-256, verified against the files."""
    manifest = Manifest.open(folder)
    found: dict[str, str] = {}
    for stage in manifest.stages:
        manifest.verify(stage)
        found.update(manifest.outputs(stage))
    return found


def kill_after(config: Path, runs: Path, seconds: float) -> bool:
    """Start a run with two workers and kill its whole process group after a while; True if it ended
    by itself before."""
    process = subprocess.Popen(
        command(config, runs, "--workers", "2"),
        env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return False
    assert process.returncode == 0
    return True
