"""How fast is training? Samples per second with spread, versions, and what the machine can do.

    make bench            (or: .venv/bin/python benchmarks/bench_ppo.py [--repeats 7] [--json])

Each measurement runs in a worker process as a run's seeds do: one thread, fixed flags. What carries
over to another machine is the ratio to the float32 matrix peak, measured in the same process.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from typing import Any

import common
from common import rate, result

SEED = common.SEED


def measure(hidden: int, repeats: int, full: bool = False) -> dict[str, Any]:
    """In this process: updates per second of PPO on random-walk bars with every rule on.

    ``full``: the market benchmark's task (three actions, leverage), on one core.
    """
    import jax
    import numpy as np

    jax.config.update("jax_enable_x64", True)
    from truefill.agents import ppo
    from truefill.agents.networks import make_network
    from truefill.env.setup import make_environment

    if full:
        common.pin()
    config = problem(hidden, full)
    env = make_environment(config, common.random_walk(), "train")
    settings = config.agent.ppo
    network = make_network(jax.random.PRNGKey(SEED), env.spec, config.agent)
    state = ppo.init(env.spec, env.arrays, network, config.agent, jax.random.PRNGKey(SEED + 1))
    samples = settings.num_envs * settings.num_steps
    times = []
    for index in range(repeats + 2):
        began = common.clock()
        state, log = ppo.update(
            state, env.arrays, spec=env.spec, config=config.agent, total_steps=10**7
        )
        jax.block_until_ready((state, log))
        if index >= 2:  # the first compiles, the second warms up
            times.append(common.clock() - began)
    return {
        "hidden": hidden,
        "observations": env.spec.observation_size,
        "samples": samples,
        "seconds": times,
        "compilations": ppo.update._cache_size(),
        "peak_gflops": peak_gflops(jax, np),
        "flops_per_sample": flops_per_sample(env.spec.observation_size, hidden, 4, settings.epochs),
    }


def problem(hidden: int, full: bool) -> Any:
    """The issue's setting: 64x64 (or 256x256), shared trunk, relu, 512 x 64, minibatch 2,048."""
    rules = {"market": common.STOPS, "env": {"drawdown_limit": 0.15}}
    rules = common.FULL_RULES if full else rules
    return common.config(**rules, agent={"network": {"hidden": [hidden, hidden]}})


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
        began = common.clock()
        jax.block_until_ready(product(a))
        best = min(best, common.clock() - began)
    return 2 * 1024**3 / best / 1e9


def child(hidden: int, repeats: int) -> subprocess.Popen[str]:
    """Start ``measure`` in a worker-like process."""
    return common.start("bench_ppo.py", "ppo", {"hidden": hidden, "repeats": repeats})


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
    options = parser.parse_args()
    machine = common.machine(("jax", "jaxlib", "equinox", "optax", "numpy"))
    small = result(child(64, options.repeats))
    large = result(child(256, max(3, options.repeats // 3)))
    alone = rate(result(child(64, options.repeats * 4)))[0]
    pair = [child(64, options.repeats * 4) for _ in range(2)]
    together = sum(rate(result(process))[0] for process in pair)
    helped = help_seconds()
    report = {
        **machine,
        "ppo": {f"{f['hidden']}x{f['hidden']}": f for f in (small, large)},
        "two_seeds_over_one": together / alone,
        "help_s": helped,
    }
    if options.json:
        print(json.dumps(report, indent=2))
        return
    common.warn(machine)
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
    if "--child" in sys.argv:
        common.serve({"ppo": measure})
    else:
        main()
