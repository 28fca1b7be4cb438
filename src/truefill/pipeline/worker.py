"""A worker process: takes jobs as JSON lines on standard input, answers with JSON lines.

Everything that writes hashed artifacts runs in one: single-threaded, with flags set before jax is
imported (``pool`` sets them in the environment). It ends when its input does, so that no worker
outlives a killed parent.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TextIO

from truefill.core.errors import TruefillError
from truefill.core.plugins import load_plugins, require_unchanged


def main() -> None:
    """Serve jobs until standard input ends."""
    out = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints must not mix with the answers
    jobs: SimpleQueue[str] = SimpleQueue()
    threading.Thread(target=_listen, args=(jobs,), daemon=True).start()
    _enable_x64()
    _say(out, {"ready": True})
    while True:
        job = json.loads(jobs.get())
        try:
            _say(out, {"done": _run(job, out)})
        except TruefillError as error:
            _say(out, {"error": error.as_dict(), "exit_code": error.exit_code})
        except Exception:  # a fault of truefill's or the machine's: said whole, never tried again
            _say(out, {"crash": traceback.format_exc()})


def _listen(jobs: SimpleQueue[str]) -> None:
    """Read jobs; the end of input is the end of the parent, and of this process."""
    for line in sys.stdin:
        jobs.put(line)
    os._exit(0)


def _enable_x64() -> None:
    import jax

    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


def _say(out: TextIO, message: dict[str, Any]) -> None:
    out.write(json.dumps(message) + "\n")


def _run(job: dict[str, Any], out: TextIO) -> Any:
    """Do one job. ``job['stage']`` names a function of ``stages``."""
    from truefill.pipeline import stages

    def progress(done: int, score: float | None) -> None:
        _say(out, {"progress": [done, score]})

    def line(text: str) -> None:
        _say(out, {"line": text})

    _require_device(job["device"])
    config = stages.parse_config(job["config"])
    require_unchanged(
        load_plugins(config.plugins),
        {path.name: job["inputs"][f"plugins.{i}"] for i, path in enumerate(config.plugins)},
    )
    work = stages.Work(
        folder=Path(job["folder"]),
        runs=Path(job["runs"]),
        config=config,
        key=job["key"],
        run=job["run"],
        progress=progress,
        line=line,
    )
    return _stage(job["stage"])(work, **job["arguments"])


def _stage(name: str) -> Callable[..., Any]:
    """The function of a stage; those of the auditor, the search and the forecasts are loaded
    where they are needed."""
    from truefill.pipeline import stages

    if name.startswith("tune"):
        from truefill.pipeline import tune_work

        return tune_work.STAGES[name]
    if name in ("forecast_plan", "fit", "forecast"):
        from truefill.pipeline import forecast_work

        return forecast_work.STAGES[name]
    if not name.startswith("audit"):
        return stages.STAGES[name]
    from truefill.pipeline import audit_work

    return audit_work.STAGES[name]


def _require_device(device: str) -> None:
    """The device this run was resolved to, or an error: jax falls back to the CPU by itself."""
    import jax

    found = "cpu" if jax.default_backend() == "cpu" else "gpu"
    if found != device:
        raise TruefillError(
            f"the run is on a {device}, but jax found a {found}",
            where="device",
            do="set device to what this machine has (the run gets a folder of its own)",
        )


if __name__ == "__main__":
    main()
