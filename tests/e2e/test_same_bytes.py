"""Same inputs, same bytes: worker counts, BLAS settings, and kills at random moments."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from small_run import command, environment, hashes, run_folder, truefill, write_config

pytestmark = pytest.mark.slow
KILLS = 20


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Hashes of a run left alone, with one worker."""
    base = tmp_path_factory.mktemp("reference")
    done = truefill(write_config(base), base / "runs", "--workers", "1")
    assert done.returncode == 0, done.stderr
    return hashes(run_folder(base / "runs"))


@pytest.mark.parametrize(
    ("workers", "core"), [("2", None), ("1", "Haswell"), ("2", "Prescott"), ("2", "SkylakeX")]
)
def test_workers_and_blas_do_not_matter(
    reference: dict[str, str], tmp_path: Path, workers: str, core: str | None
) -> None:
    more = {} if core is None else {"OPENBLAS_CORETYPE": core, "OPENBLAS_NUM_THREADS": "2"}
    done = truefill(write_config(tmp_path), tmp_path / "runs", "--workers", workers, **more)
    assert done.returncode == 0, done.stderr
    assert hashes(run_folder(tmp_path / "runs")) == reference


def test_kills_change_nothing(reference: dict[str, str], tmp_path: Path) -> None:
    """Kill the whole process group at random moments, then let it end."""
    config = write_config(tmp_path)
    generator = random.Random(20)
    killed = 0
    for _ in range(KILLS):
        process = subprocess.Popen(
            command(config, tmp_path / "runs", "--workers", "2"),
            env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        try:
            process.wait(timeout=generator.uniform(0.5, 12.0))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            killed += 1
    assert killed >= KILLS // 2, "the run ended before most kills; make it longer"
    done = truefill(config, tmp_path / "runs")
    assert done.returncode == 0, done.stderr
    assert hashes(run_folder(tmp_path / "runs")) == reference


def test_a_killed_worker_is_resumed(reference: dict[str, str], tmp_path: Path) -> None:
    """Kill the workers alone: the run goes on and ends in the same bytes."""
    process = subprocess.Popen(
        command(write_config(tmp_path), tmp_path / "runs", "--workers", "2"),
        env=environment(), stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    hit = 0
    while process.poll() is None and hit < 2 and time.monotonic() < deadline:
        time.sleep(3.0)
        for pid in _children(process.pid):
            os.kill(pid, signal.SIGKILL)
            hit += 1
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0, out
    assert hit > 0
    assert "the worker died" in out
    assert hashes(run_folder(tmp_path / "runs")) == reference


def _children(pid: int) -> list[int]:
    """Worker processes of ``pid``."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]
