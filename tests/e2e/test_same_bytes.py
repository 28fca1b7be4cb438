"""Same inputs, same bytes: worker counts, BLAS settings, and kills at random moments."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from small_run import (
    TREE,
    command,
    environment,
    hashes,
    kill_after,
    run_folder,
    truefill,
    write_config,
)

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
    """Kill the whole process group at random moments; every run that ends is the same."""
    generator = random.Random(20)
    killed = rounds = 0
    while killed < KILLS:
        rounds += 1
        folder = tmp_path / str(rounds)
        folder.mkdir()
        config = write_config(folder)
        while killed < KILLS and not kill_after(
            config, folder / "runs", generator.uniform(0.5, 10.0)
        ):
            killed += 1
        done = truefill(config, folder / "runs")
        assert done.returncode == 0, done.stderr
        assert hashes(run_folder(folder / "runs")) == reference
    print(f"{killed} kills over {rounds} runs")


def test_a_killed_worker_is_resumed(reference: dict[str, str], tmp_path: Path) -> None:
    """Kill the workers alone: the run goes on and ends in the same bytes."""
    process = subprocess.Popen(
        command(write_config(tmp_path), tmp_path / "runs", "--workers", "2"),
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
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
    found = []
    for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        try:
            command_line = Path(f"/proc/{word}/cmdline").read_bytes()
        except OSError:  # it has ended meanwhile
            continue
        if b"truefill.pipeline.worker" in command_line:
            found.append(int(word))
    return found


def test_a_silent_worker_is_killed_named_and_resumed(
    reference: dict[str, str], tmp_path: Path
) -> None:
    """Stop a worker without killing it: after the timeout it is killed, and the run goes on."""
    training = {**TREE["training"], "worker_timeout_s": 20}
    process = subprocess.Popen(
        command(write_config(tmp_path, training=training), tmp_path / "runs", "--workers", "2"),
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip
    out = ""
    assert process.stdout is not None
    for line in process.stdout:
        out += line
        if "seed 1" in line:
            os.kill(_children(process.pid)[0], signal.SIGSTOP)
            break
    rest, _ = process.communicate(timeout=300)
    out += rest
    assert process.returncode == 0, out
    assert "no progress for 20 s; killed; resuming from the last checkpoint" in out
    found = hashes(run_folder(tmp_path / "runs"))
    trained = {name: digest for name, digest in reference.items() if name.endswith(".safetensors")}
    assert trained.items() <= found.items()


def test_ctrl_c_stops_at_once_and_the_run_goes_on_later(
    reference: dict[str, str], tmp_path: Path
) -> None:
    """A terminal sends SIGINT to the whole group: no worker is restarted, none is left behind."""
    config = write_config(tmp_path)
    process = subprocess.Popen(
        command(config, tmp_path / "runs", "--workers", "2"),
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip
    out, workers = "", []
    assert process.stdout is not None
    for line in process.stdout:
        out += line
        if "seed 1" in line:
            workers = _children(process.pid)
            os.killpg(process.pid, signal.SIGINT)
            break
    rest, _ = process.communicate(timeout=60)
    out += rest
    assert process.returncode == 130, out
    assert "the worker died" not in out
    assert workers
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]
    done = truefill(config, tmp_path / "runs")
    assert done.returncode == 0, done.stderr
    assert hashes(run_folder(tmp_path / "runs")) == reference
