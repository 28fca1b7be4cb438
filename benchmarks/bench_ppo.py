"""How fast is training? Samples per second with spread, versions, and what the machine can do.

    make bench            (or: .venv/bin/python benchmarks/bench_ppo.py [--repeats 7] [--json])

Each measurement runs in a worker process as a run's seeds do: one thread, fixed flags. What carries
over to another machine is the ratio to the float32 matrix peak, measured in the same process.
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
from importlib.metadata import version
from typing import Any

BUSY_LOAD = 0.5
"""Load average at the start above which the figures are marked."""
FEATURES, BARS, SEED = 18, 44_000, 0


def environment() -> dict[str, str]:
    """The environment of a truefill worker."""
    from truefill.pipeline.pool import compilation_cache, worker_environment

    return worker_environment("cpu", compilation_cache())


def measure(hidden: int, repeats: int) -> dict[str, Any]:
    """In this process: updates per second of PPO on random-walk bars with every rule on."""
    import jax
    import numpy as np

    jax.config.update("jax_enable_x64", True)
    from truefill.agents import ppo
    from truefill.agents.networks import ActorCritic
    from truefill.env.setup import make_environment

    config, split = problem(hidden)
    env = make_environment(config, split, "train")
    settings = config.agent.ppo
    network = ActorCritic(jax.random.PRNGKey(SEED), env.spec, config.agent.network)
    state = ppo.init(env.spec, env.arrays, network, settings, jax.random.PRNGKey(SEED + 1))
    samples = settings.num_envs * settings.num_steps
    times = []
    for index in range(repeats + 2):
        began = time.perf_counter()
        state, log = ppo.update(
            state, env.arrays, spec=env.spec, config=settings, total_steps=10**7
        )
        jax.block_until_ready((state, log))
        if index >= 2:  # the first compiles, the second warms up
            times.append(time.perf_counter() - began)
    return {
        "hidden": hidden,
        "observations": env.spec.observation_size,
        "samples": samples,
        "seconds": times,
        "compilations": ppo.update._cache_size(),
        "peak_gflops": peak_gflops(jax, np),
        "flops_per_sample": flops_per_sample(env.spec.observation_size, hidden, 4, settings.epochs),
    }


def problem(hidden: int) -> tuple[Any, Any]:
    """The issue's setting: 64x64 (or 256x256), shared trunk, relu, 512 x 64, minibatch 2,048."""
    import numpy as np

    from truefill.config.load import parse_config
    from truefill.data.split import SplitArrays

    generator = np.random.default_rng(SEED)
    close = 100.0 * np.exp(np.cumsum(generator.normal(0.0, 0.002, BARS)))[:, None]
    opened = np.concatenate([close[:1], close[:-1]]) * np.exp(generator.normal(0, 5e-4, (BARS, 1)))
    split = SplitArrays(
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
    periods = {
        "train": ("2020-01-01", "2021-01-01"),
        "validation": ("2021-01-01", "2021-02-01"),
        "test": ("2021-02-01", "2021-03-01"),
    }
    config = parse_config(
        {
            "name": "bench",
            "data": {
                "synthetic": {"kind": "random_walk"},
                "interval": "5m",
                "splits": {k: {"start": a, "end": b} for k, (a, b) in periods.items()},
            },
            "features": [{"name": "r", "calculator": "log_return"}],
            "market": {"allow_short": True, "stop_loss": 0.04, "take_profit": 0.04,
                       "min_hold_bars": 25, "max_hold_bars": 864,
                       "trailing_stop": {"activation": 0.015, "keep": 0.5, "floor": 0.007}},
            "env": {"drawdown_limit": 0.15},
            "agent": {"network": {"hidden": [hidden, hidden]}},
        }
    )  # fmt: skip
    return config, split


def flops_per_sample(inputs: int, hidden: int, outputs: int, epochs: int) -> int:
    """Matrix products of one sample: a forward pass in the rollout, then per epoch a forward pass,
    the weight gradients, and the input gradients of all layers but the first."""
    first, rest = 2 * inputs * hidden, 2 * (hidden * hidden + hidden * outputs)
    return (first + rest) + epochs * (2 * (first + rest) + rest)


def peak_gflops(jax: Any, np: Any) -> float:
    """Best of 5 of a 1,024 x 1,024 float32 product on this one core."""
    a = jax.numpy.asarray(np.ones((1024, 1024), np.float32))
    product = jax.jit(lambda x: x @ x)
    jax.block_until_ready(product(a))
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        jax.block_until_ready(product(a))
        best = min(best, time.perf_counter() - began)
    return 2 * 1024**3 / best / 1e9


def child(hidden: int, repeats: int) -> subprocess.Popen[str]:
    """Start ``measure`` in a worker-like process."""
    command = [sys.executable, __file__, "--child", str(hidden), "--repeats", str(repeats)]
    return subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True)


def result(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What a child measured."""
    out, _ = process.communicate()
    if process.returncode != 0:
        raise SystemExit(f"the measurement failed with exit code {process.returncode}")
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    return found


def rate(found: dict[str, Any]) -> tuple[float, float, float]:
    """Samples per second: median, lowest, highest."""
    rates = sorted(found["samples"] / seconds for seconds in found["seconds"])
    return statistics.median(rates), rates[0], rates[-1]


def help_seconds(repeats: int = 7) -> list[float]:
    """Whole-process times of ``truefill --help``."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "truefill", "--help"], check=True, capture_output=True
        )
        times.append(time.perf_counter() - began)
    return sorted(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", type=int)
    options = parser.parse_args()
    if options.child is not None:
        print(json.dumps(measure(options.child, options.repeats)))
        return
    load = os.getloadavg()[0]
    small = result(child(64, options.repeats))
    large = result(child(256, max(3, options.repeats // 3)))
    alone = rate(result(child(64, options.repeats * 4)))[0]
    pair = [child(64, options.repeats * 4) for _ in range(2)]
    together = sum(rate(result(process))[0] for process in pair)
    helped = help_seconds()
    report = {
        "busy": load > BUSY_LOAD,
        "load": load,
        "cpu": platform.processor() or platform.machine(),
        "versions": {
            name: version(name) for name in ("jax", "jaxlib", "equinox", "optax", "numpy")
        },
        "ppo": {f"{f['hidden']}x{f['hidden']}": f for f in (small, large)},
        "two_seeds_over_one": together / alone,
        "help_s": helped,
    }
    if options.json:
        print(json.dumps(report, indent=2))
        return
    if report["busy"]:
        print(f"WARNING: the machine was busy (load {load:.2f}); only ratios mean something\n")
    print("truefill PPO, one core, float32, 512 accounts x 64 bars, minibatch 2,048, 4 epochs")
    print("versions: " + ", ".join(f"{k} {v}" for k, v in report["versions"].items()))
    for found in (small, large):
        median, low, high = rate(found)
        used = median * found["flops_per_sample"] / 1e9
        print(
            f"  {found['hidden']}x{found['hidden']}, {found['observations']} observations: "
            f"{median:,.0f} samples/s (lowest {low:,.0f}, highest {high:,.0f}); "
            f"{used:.0f} of {found['peak_gflops']:.0f} GFLOP/s peak = "
            f"{100 * used / found['peak_gflops']:.0f} %; compiled {found['compilations']} x"
        )
    print(f"  two seeds in two processes / one: {report['two_seeds_over_one']:.2f}")
    print(
        f"  truefill --help: median {statistics.median(helped):.3f} s (highest {helped[-1]:.3f} s)"
    )


if __name__ == "__main__":
    main()
