"""What the benchmarks share: the data, the task, child processes on one core, and the spread.

A measurement runs in a child process with a worker's environment (one thread, fixed flags), pinned
to one core, and prints one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RIVALS_PYTHON = HERE.parent / ".venv-rivals" / "bin" / "python"
BUSY_LOAD = 0.5
"""Load average at the start above which the figures are marked."""
FEATURES, BARS, SEED = 18, 44_000, 0
clock = time.process_time if os.environ.get("BENCH_CLOCK") == "cpu" else time.perf_counter
"""Seconds: the wall clock, or (``--cpu-time``) this process's time on its core, which on a busy
machine is the better guess of what a quiet one would take."""
PERIODS = {
    "train": {"start": "2020-01-01", "end": "2021-01-01"},
    "validation": {"start": "2021-01-01", "end": "2021-02-01"},
    "test": {"start": "2021-02-01", "end": "2021-03-01"},
}
STOPS: dict[str, Any] = {
    "allow_short": True,
    "stop_loss": 0.04,
    "take_profit": 0.04,
    "min_hold_bars": 25,
    "max_hold_bars": 864,
    "trailing_stop": {"activation": 0.015, "keep": 0.5, "floor": 0.007},
}
FULL_RULES: dict[str, Any] = {
    "market": {**STOPS, "max_leverage": 2.0, "max_weight": 2.0, "maintenance_margin": 0.25},
    "env": {
        "drawdown_limit": 0.15,
        "action": {"kind": "short_flat_long", "params": {"size": 1.5}},
    },
}
"""The task of the market benchmark: both sides, leverage, every stop, and episodes that end."""
EVERY_RULE: dict[str, Any] = {
    "market": {
        **FULL_RULES["market"],
        "decision_interval_bars": 1,
        "lot_size": 0.01,
        "min_notional": 10.0,
        "participation": {"impact_bps": 20.0, "max_share": 0.5},
        "max_leverage_at_close": 1.5,
        "max_weight_at_close": 1.5,
        "derivative": True,
    },
    "env": FULL_RULES["env"],
}
"""The same with all that a market of agents can have; bars then carry volume, funding, dividends,
splits and an exchange rate (:func:`events`)."""


def random_walk() -> Any:
    """44,000 five-minute bars of a random walk with 18 noise features (``SplitArrays``)."""
    import numpy as np

    from truefill.data.split import SplitArrays

    generator = np.random.default_rng(SEED)
    close = 100.0 * np.exp(np.cumsum(generator.normal(0.0, 0.002, BARS)))[:, None]
    opened = np.concatenate([close[:1], close[:-1]]) * np.exp(generator.normal(0, 5e-4, (BARS, 1)))
    return SplitArrays(
        name="train",
        symbols=("X",),
        timestamps_s=np.arange(BARS, dtype=np.int64) * 300,
        open=opened,
        high=np.maximum(opened, close) * 1.001,
        low=np.minimum(opened, close) * 0.999,
        close=close,
        volume=np.ones((BARS, 1)),
        present=np.ones((BARS, 1), bool),
        atr=np.full((BARS, 1), 0.2),
        features=generator.normal(0, 1, (BARS, 1, FEATURES)).astype(np.float32),
        feature_names=tuple(f"f{i}" for i in range(FEATURES)),
        clock=generator.normal(0, 1, (BARS, 4)).astype(np.float32),
        interval_s=300.0,
        periods_per_year=105_192.0,
    )


def config(**sections: Any) -> Any:
    """A parsed config whose ``market``, ``env`` and ``agent`` sections are given."""
    from truefill.config.load import parse_config

    return parse_config(
        {
            "name": "bench",
            "data": {
                "synthetic": {"kind": "random_walk"},
                "interval": "5m",
                "splits": PERIODS,
            },
            "features": [{"name": "r", "calculator": "log_return"}],
            **sections,
        }
    )


def events() -> Any:
    """The random walk with a volume, and with funding, dividends, splits and a moving rate."""
    from dataclasses import replace

    import numpy as np

    walk, generator = random_walk(), np.random.default_rng(SEED + 2)
    column = (BARS, 1)
    rate = np.exp(np.cumsum(generator.normal(0.0, 1e-4, column), axis=0))
    never, seldom = generator.random(column) < 1e-4, generator.random(column) < 1e-2
    extra = {
        "funding": np.where(seldom, 1e-4, 0.0),
        "dividend": np.where(never, 0.5, 0.0),
        "split": np.where(never[::-1], 2.0, 1.0),
        "rate_open": np.concatenate([rate[:1], rate[:-1]]),
        "rate_close": rate,
    }
    return replace(walk, volume=generator.lognormal(6.0, 1.0, column), extra=extra)


def full_rules(every: bool = False) -> Any:
    """The training environment of ``FULL_RULES`` or ``EVERY_RULE``: 22 observations, 3 actions."""
    from truefill.env.setup import make_environment

    if every:
        return make_environment(config(**EVERY_RULE), events(), "train")
    return make_environment(config(**FULL_RULES), random_walk(), "train")


def environment(device: str = "cpu") -> dict[str, str]:
    """The environment of a truefill worker; rivals find truefill in the source tree."""
    from truefill.pipeline.pool import compilation_cache, worker_environment

    env = worker_environment(device, compilation_cache())
    return {**env, "NUMBA_NUM_THREADS": "1", "PYTHONPATH": str(HERE.parent / "src")}


def start(
    script: str,
    item: str,
    options: dict[str, Any],
    python: str = sys.executable,
    device: str = "cpu",
) -> subprocess.Popen[str]:
    """Start ``item`` of ``script`` in a child of its own."""
    command = [python, str(HERE / script), "--child", item, "--options", json.dumps(options)]
    return subprocess.Popen(command, env=environment(device), stdout=subprocess.PIPE, text=True)


def result(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What a child measured: its last line."""
    out, _ = process.communicate()
    if process.returncode != 0:
        raise SystemExit(f"the measurement failed with exit code {process.returncode}")
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    return found


def serve(items: dict[str, Callable[..., dict[str, Any]]]) -> None:
    """A child's main: measure one item and print it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--child", required=True, choices=sorted(items))
    parser.add_argument("--options", type=json.loads, default={})
    asked = parser.parse_args()
    print(json.dumps(items[asked.child](**asked.options)))


def pin() -> int | None:
    """Keep this process on the last core it may use; None where the system cannot."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    return core


def timed(work: Callable[[], Any], repeats: int, warmup: int = 1) -> list[float]:
    """Seconds of each of ``repeats`` calls of ``work``, after ``warmup`` calls."""
    times = []
    for index in range(repeats + warmup):
        began = clock()
        work()
        if index >= warmup:
            times.append(clock() - began)
    return times


def updates(config: Any, repeats: int) -> dict[str, Any]:
    """Seconds of each update of the learner of ``config`` on the random walk, and its samples."""
    import jax

    from truefill.agents import ppo
    from truefill.agents.networks import make_network
    from truefill.env.setup import make_environment

    env = make_environment(config, random_walk(), "train")
    network = make_network(jax.random.PRNGKey(SEED), env.spec, config.agent)
    key = jax.random.PRNGKey(SEED + 1)
    state = ppo.init(env.spec, env.arrays, network, config.agent, key)

    def update() -> None:
        nonlocal state
        state, log = ppo.update(
            state, env.arrays, spec=env.spec, config=config.agent, total_steps=10**7
        )
        jax.block_until_ready((state, log))

    seconds = timed(update, repeats, warmup=2)
    return {"samples": config.agent.ppo.num_envs * config.agent.ppo.num_steps, "seconds": seconds}


def rate(found: dict[str, Any]) -> tuple[float, float, float]:
    """``found["samples"]`` per second: median, lowest, highest."""
    rates = sorted(found["samples"] / seconds for seconds in found["seconds"])
    return statistics.median(rates), rates[0], rates[-1]


def machine(packages: tuple[str, ...]) -> dict[str, Any]:
    """Load, processor and versions, taken before anything is measured."""
    load = os.getloadavg()[0]
    return {
        "busy": load > BUSY_LOAD,
        "load": load,
        "cpu": processor(),
        "cores": os.cpu_count(),
        "versions": {name: version(name) for name in packages},
    }


def processor() -> str:
    """The processor's name, where the system tells."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def warn(found: dict[str, Any]) -> None:
    """Say that the machine was busy, if it was."""
    if found["busy"]:
        print(f"WARNING: the machine was busy (load {found['load']:.2f}); only ratios mean much\n")
