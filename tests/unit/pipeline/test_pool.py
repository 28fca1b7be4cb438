"""Workers answer with the same errors, report crashes whole, and are replaced when they die."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from small_run import CACHE, TREE
from truefill.config.load import parse_config
from truefill.core import errors
from truefill.core.errors import ConfigError, DataError, TruefillError, WorkerError
from truefill.pipeline.pool import (
    CPU_FLAGS,
    ERRORS,
    Job,
    Pool,
    Worker,
    _as_error,
    _CrashError,
    worker_environment,
)


def dataset_message(folder: Path, bars: Path | None = None) -> dict[str, Any]:
    """The job of building a dataset into ``folder/run``, as a run would send it."""
    tree = deepcopy(TREE)
    if bars is not None:
        del tree["data"]["synthetic"]
        tree["data"]["bars"] = [{"path": str(bars), "symbol": "X"}]
        tree["features"] = tree["features"][1:]
    return {
        "stage": "dataset", "key": "k", "run": "r", "device": "cpu",
        "folder": str(folder / "run"), "runs": str(folder),
        "config": parse_config(tree).model_dump_json(), "inputs": {}, "arguments": {},
    }  # fmt: skip


# ---- errors


def every_error() -> list[type[TruefillError]]:
    kinds = vars(errors).values()
    return [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, TruefillError)]


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
def test_every_error_comes_back_as_itself(kind: type[TruefillError]) -> None:
    args = ("a_rule",) if kind is DataError else ()
    sent: TruefillError = kind(*args, "what [it] was", where="a file", do="this")
    message = {"error": sent.as_dict(), "exit_code": sent.exit_code}
    back = _as_error(message)
    assert type(back) is kind
    assert (str(back), back.as_dict(), back.exit_code) == (
        str(sent), sent.as_dict(), sent.exit_code
    )  # fmt: skip


def test_no_error_class_is_forgotten() -> None:
    assert set(ERRORS) | {"DataError"} == {kind.__name__ for kind in every_error()}


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    """One process that serves several tests: an error does not end it."""
    worker = Worker(worker_environment("cpu", CACHE / "truefill" / "jax"), None)
    yield worker
    worker.stop()


def test_a_wrong_config_is_a_config_error(worker: Worker, tmp_path: Path) -> None:
    message = {**dataset_message(tmp_path), "config": '{"name": "x"}'}
    with pytest.raises(ConfigError, match="'data' is missing") as caught:
        worker.run(message, None, lambda _: None)
    assert caught.value.exit_code == 2


def test_wrong_data_are_a_data_error_with_their_rule(worker: Worker, tmp_path: Path) -> None:
    (tmp_path / "bars.csv").write_text(
        "timestamp,open,high,low,close\n2020-01-01T00:00:00Z,1,1,1,1\n2020-01-01T01:00:00Z,1,1,1,-1\n"
    )
    with pytest.raises(DataError) as caught:
        worker.run(dataset_message(tmp_path, tmp_path / "bars.csv"), None, lambda _: None)
    assert caught.value.exit_code == 1
    assert caught.value.rule
    assert str(caught.value).count(f"[{caught.value.rule}]") == 1
    assert "bars.csv" in caught.value.where
    assert not (tmp_path / "run").exists()


def test_another_device_than_the_runs_is_refused(worker: Worker, tmp_path: Path) -> None:
    message = {**dataset_message(tmp_path), "device": "gpu"}
    with pytest.raises(TruefillError, match="the run is on a gpu, but jax found a cpu") as caught:
        worker.run(message, None, lambda _: None)
    assert caught.value.where == "device"
    assert "set device" in caught.value.do


def test_a_crash_has_its_traceback_and_the_worker_lives_on(worker: Worker, tmp_path: Path) -> None:
    with pytest.raises(_CrashError, match="KeyError: 'nope'") as caught:
        worker.run({**dataset_message(tmp_path), "stage": "nope"}, None, lambda _: None)
    assert str(caught.value).startswith("Traceback (most recent call last)")
    files = worker.run(dataset_message(tmp_path), None, lambda _: None)
    assert "dataset/train.parquet" in files
    assert all((tmp_path / "run" / name).is_file() for name in files)


# ---- the pool


@contextmanager
def killing(pool: Pool, *, times: int) -> Iterator[list[int]]:
    """Kill the first ``times`` workers of ``pool`` as soon as each exists."""
    killed: list[int] = []
    over = threading.Event()

    def kill() -> None:
        while len(killed) < times and not over.is_set():
            for worker in list(pool._all):
                if worker.pid not in killed and len(killed) < times:
                    os.kill(worker.pid, signal.SIGKILL)
                    killed.append(worker.pid)
            time.sleep(0.01)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


def job(name: str, message: dict[str, Any], finished: Callable[[Any], None]) -> Job:
    return Job(name, message, lambda _: None, finished)


def gone(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return False
    return True


def test_a_killed_worker_is_replaced_and_the_next_job_reuses_it(tmp_path: Path) -> None:
    lines: list[str] = []
    results: list[list[str]] = []
    with Pool(1, "cpu", lines.append) as pool:
        with killing(pool, times=1) as killed:
            pool.run([job("dataset", dataset_message(tmp_path), results.append)])
        [living] = [worker.pid for worker in pool._all]
        pool.run([job("again", dataset_message(tmp_path), results.append)])
        assert [worker.pid for worker in pool._all] == [living]
    assert len(killed) == 1
    assert living not in killed
    [line] = lines
    assert line.startswith("dataset: the worker died after ")
    assert line.endswith("; resuming from the last checkpoint")
    assert results[0] == results[1]
    assert gone(living)


def test_a_worker_that_keeps_dying_ends_the_run(tmp_path: Path) -> None:
    lines: list[str] = []
    results: list[Any] = []
    with (
        Pool(1, "cpu", lines.append) as pool,
        killing(pool, times=99) as killed,
        pytest.raises(WorkerError, match="3 times without progress") as caught,
    ):
        pool.run([job("dataset", dataset_message(tmp_path), results.append)])
    assert len(killed) == 3
    assert len(lines) == 2
    assert caught.value.where == "dataset"
    assert results == []
    assert all(gone(pid) for pid in killed)


def test_a_crash_is_reported_at_once(tmp_path: Path) -> None:
    lines: list[str] = []
    results: list[Any] = []
    crash = {**dataset_message(tmp_path), "stage": "nope"}
    with Pool(1, "cpu", lines.append) as pool:
        with pytest.raises(WorkerError, match="unforeseen: KeyError: 'nope'") as caught:
            pool.run([job("stage nope", crash, results.append)])
        pids = [worker.pid for worker in pool._all]
    [line] = lines
    assert line.startswith("Traceback (most recent call last)")
    assert line.endswith("KeyError: 'nope'")
    assert "worker.py" in line
    assert caught.value.where == "stage nope"
    assert "log.txt" in caught.value.do
    assert results == []
    assert pids == []  # all workers are stopped with the first error


def test_a_worker_holds_the_run_folders_lock_with_its_parent(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    with path.open("w") as mine, path.open("w") as other:
        fcntl.flock(mine, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with Pool(1, "cpu", lambda _: None, mine.fileno()) as pool:
            pool.run([job("dataset", dataset_message(tmp_path), lambda _: None)])
            mine.close()
            with pytest.raises(BlockingIOError):
                fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


# ---- the environment of a worker


def test_a_worker_ignores_the_callers_numeric_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS",
               "NPROC")  # fmt: skip
    dropped = ("JAX_ENABLE_X64", "JAX_DISABLE_JIT", "JAX_DEBUG_NANS",
               "JAX_DEFAULT_MATMUL_PRECISION")  # fmt: skip
    for name in (*threads, *dropped, "XLA_FLAGS", "JAX_PLATFORMS", "PYTHONHASHSEED"):
        monkeypatch.setenv(name, "7")
    monkeypatch.setenv("KEPT", "yes")
    env = worker_environment("cpu", tmp_path)
    assert {env[name] for name in threads} == {"1"}
    assert not set(dropped) & set(env)
    assert env["XLA_FLAGS"] == CPU_FLAGS
    assert (env["JAX_PLATFORMS"], env["PYTHONHASHSEED"]) == ("cpu", "0")
    assert env["JAX_COMPILATION_CACHE_DIR"] == str(tmp_path)
    assert env["KEPT"] == "yes"
    assert "deterministic" in worker_environment("gpu", tmp_path)["XLA_FLAGS"]


@pytest.mark.slow
def test_a_job_that_takes_its_error_leaves_the_others_alone(tmp_path: Path) -> None:
    lines: list[str] = []
    results: list[Any] = []
    errors_seen: list[WorkerError] = []
    crash = {**dataset_message(tmp_path), "stage": "nope"}
    with Pool(1, "cpu", lines.append) as pool:
        bad = Job("bad", crash, lambda _: None, results.append, None, errors_seen.append)
        pool.run([bad, job("good", dataset_message(tmp_path), results.append)])
        assert len(pool._all) == 1  # the crashed one's process was put away
    [error] = errors_seen
    assert "unforeseen: KeyError: 'nope'" in error.what
    assert len(results) == 1
