"""Worker processes: started with fixed flags, watched, killed when silent, started again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import IO, Any

from truefill.core.errors import (
    ArtifactError,
    ConfigError,
    DataError,
    NonFiniteError,
    PolicyError,
    SealedTestError,
    TruefillError,
    UsageError,
    WorkerError,
)

START_TIMEOUT_S = 120.0
MAX_FAILURES = 3
"""Deaths in a row without a step further than ever before; then the run gives up."""
CPU_FLAGS = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
GPU_FLAGS = "--xla_gpu_deterministic_ops=true"
ERRORS = {
    kind.__name__: kind
    for kind in (ArtifactError, ConfigError, NonFiniteError, PolicyError, SealedTestError,
                 TruefillError, UsageError, WorkerError)
}  # fmt: skip

Heard = Callable[[dict[str, Any]], None]
"""Called with every message of a job that is not its end."""


def worker_environment(device: str, cache: Path) -> dict[str, str]:
    """Environment of a worker: one thread everywhere, whatever the caller's settings are."""
    env = dict(os.environ)
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS",
                 "NPROC"):  # fmt: skip
        env[name] = "1"
    env["PYTHONHASHSEED"] = "0"
    env["TF_CPP_MIN_LOG_LEVEL"] = "2"
    env["JAX_COMPILATION_CACHE_DIR"] = str(cache)
    env["JAX_PLATFORMS"] = "cpu" if device == "cpu" else "cuda,cpu"
    env["XLA_FLAGS"] = CPU_FLAGS if device == "cpu" else GPU_FLAGS
    for name in (
        "JAX_ENABLE_X64",
        "JAX_DISABLE_JIT",
        "JAX_DEBUG_NANS",
        "JAX_DEFAULT_MATMUL_PRECISION",
    ):
        env.pop(name, None)
    return env


def compilation_cache() -> Path:
    """Folder of compiled programs, shared by all runs of the user."""
    base = os.environ.get("TRUEFILL_CACHE") or os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "truefill" / "jax"


class _SilentError(Exception):
    """The worker said nothing for too long."""


class _DiedError(Exception):
    """The worker ended in the middle of a job."""


class _CrashError(Exception):
    """The job ended in an exception that truefill did not foresee; its traceback."""


class Worker:
    """One worker process."""

    def __init__(self, environment: dict[str, str], lock: int | None = None) -> None:
        """``lock`` is the run folder's lock; the worker holds it too, so that nobody enters the
        folder while a worker of a killed parent is still at its last write."""
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives with the worker
        self._process = subprocess.Popen(
            [sys.executable, "-m", "truefill.pipeline.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment,
            text=True,
            encoding="utf-8",
            bufsize=1,
            start_new_session=True,  # Ctrl-C is for the parent, which then stops the workers
            pass_fds=() if lock is None else (lock,),
        )
        self._messages: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
        self._ready = False
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.endswith("\n"):  # a killed worker may leave half a message
                self._messages.put(json.loads(line))
        self._messages.put(None)

    def _next(self, timeout_s: float | None) -> dict[str, Any]:
        try:
            message = self._messages.get(timeout=timeout_s)
        except Empty:
            raise _SilentError from None
        if message is None:
            raise _DiedError
        return message

    def run(self, job: dict[str, Any], timeout_s: float | None, heard: Heard) -> Any:
        """Do one job; ``heard`` gets everything on the way."""
        assert self._process.stdin is not None
        if not self._ready:
            self._next(START_TIMEOUT_S)
            self._ready = True
        try:
            self._process.stdin.write(json.dumps(job) + "\n")
        except BrokenPipeError:
            raise _DiedError from None
        while True:
            message = self._next(timeout_s)
            if "done" in message:
                return message["done"]
            if "error" in message:
                raise _as_error(message)
            if "crash" in message:
                raise _CrashError(message["crash"])
            heard(message)

    def last_words(self) -> str:
        """The end of what the process wrote on standard error."""
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return " | ".join(lines[-3:])

    def stop(self) -> None:
        """End the process, at once."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):  # a job that the dead worker never took
                    pipe.close()
        self._errors.close()


def _as_error(message: dict[str, Any]) -> TruefillError:
    """The worker's error, as the same error here."""
    facts = message["error"]
    if facts["error"] == "DataError":
        what = facts["what"].removeprefix(f"[{facts['rule']}] ")
        return DataError(facts["rule"], what, where=facts["where"], do=facts["do"])
    kind = ERRORS.get(facts["error"], TruefillError)
    error = kind(facts["what"], where=facts["where"], do=facts["do"])
    error.exit_code = message["exit_code"]
    return error


@dataclass(frozen=True)
class Job:
    """One job: its name for people, its message, who hears of it, and who gets its result.

    ``finished`` is called with the result as soon as there is one, one job at a time.
    """

    name: str
    message: dict[str, Any]
    heard: Heard
    finished: Callable[[Any], None]
    timeout_s: float | None = None
    """Longest silence; None for jobs that report no progress."""
    failed: Callable[[WorkerError], None] | None = None
    """Takes the error of a job that crashed or whose worker keeps dying; the others then go on.
    None: that error ends them all."""


class Pool:
    """Up to ``size`` workers that persist over jobs. Use as a context manager."""

    def __init__(
        self, size: int, device: str, line: Callable[[str], None], lock: int | None = None
    ) -> None:
        self.size = size
        self._lock_fd = lock
        self._environment = worker_environment(device, compilation_cache())
        self._line = line
        self._idle: list[Worker] = []
        self._all: list[Worker] = []
        self._lock = threading.Lock()
        self._closed = False

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._closed = True
            workers, self._all = self._all, []
        for worker in workers:
            worker.stop()

    def run(self, jobs: Sequence[Job]) -> None:
        """Do all jobs, at most ``size`` at a time.

        Raises:
            TruefillError: the first job's error, in the jobs' order.
            WorkerError: a worker keeps dying without progress.
        """
        with ThreadPoolExecutor(max_workers=min(self.size, len(jobs))) as threads:
            futures = [threads.submit(self._do, job) for job in jobs]
            try:
                for future in futures:
                    future.result()
            except BaseException:  # Ctrl-C too: stop the workers, then let it pass
                for future in futures:
                    future.cancel()
                self.__exit__()
                raise

    def _take(self) -> Worker:
        with self._lock:
            if self._closed:
                raise WorkerError("stopped")
            if self._idle:
                return self._idle.pop()
        worker = Worker(self._environment, self._lock_fd)
        with self._lock:
            if not self._closed:
                self._all.append(worker)
                return worker
        worker.stop()
        raise WorkerError("stopped")

    def _drop(self, worker: Worker) -> str:
        with self._lock:
            if worker in self._all:
                self._all.remove(worker)
        words = worker.last_words()
        worker.stop()
        return words

    def _do(self, job: Job) -> None:
        try:
            self._attempt(job)
        except WorkerError as error:
            if job.failed is None or self._closed:
                raise
            with self._lock:
                job.failed(error)

    def _attempt(self, job: Job) -> None:
        failures = furthest = 0

        def heard(message: dict[str, Any]) -> None:
            nonlocal failures, furthest
            if "progress" in message and message["progress"][0] > furthest:
                failures, furthest = 0, message["progress"][0]
            job.heard(message)

        while True:
            worker = self._take()
            began = time.monotonic()
            try:
                result = worker.run(job.message, job.timeout_s, heard)
            except _CrashError as crash:
                trace = str(crash).strip()
                self._line(trace)
                if not self._closed:
                    self._drop(worker)
                raise WorkerError(
                    f"unforeseen: {trace.splitlines()[-1]}",
                    where=job.name,
                    do="log.txt in the run folder has the traceback; please report it",
                ) from crash
            except (_SilentError, _DiedError) as trouble:
                if self._closed:
                    raise WorkerError("stopped", where=job.name) from trouble
                words = self._drop(worker)
                failures += 1
                what = (
                    f"no progress for {job.timeout_s or START_TIMEOUT_S:g} s; killed"
                    if isinstance(trouble, _SilentError)
                    else f"the worker died after {time.monotonic() - began:.1f} s"
                )
                if failures >= MAX_FAILURES:
                    raise WorkerError(
                        f"{what}, {failures} times without progress: {words or 'no message'}",
                        where=job.name,
                        do="look at log.txt; too little memory is the usual cause",
                    ) from trouble
                self._line(f"{job.name}: {what}; resuming from the last checkpoint")
            else:
                with self._lock:
                    self._idle.append(worker)
                    job.finished(result)
                return
