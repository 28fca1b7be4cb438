"""PPO with market and learner on one device, many seeds as one batched program.

    .venv/bin/python benchmarks/bench_device.py [--seeds 1 5 64] [--repeats 5] [--device cpu|gpu]
                                                [--cpu-time] [--json]

The task is that of ``bench_market.py``: PPO 64x64, 512 accounts x 64 bars a seed, minibatch 2,048,
four epochs. Seeds are a ``vmap`` axis: one program trains them all. Beside samples/s stand the
arithmetic of the networks and the device's own matrix peak, measured in the same run, so that the
share of it can be read off. On a CPU truefill trains a seed a process instead, which is the first
line's figure times the cores.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from itertools import pairwise
from typing import Any

import common
from common import rate, result

HIDDEN = (64, 64)
PEAK_SIZE = {"cpu": 2_048, "gpu": 8_192}


def measure(seeds: int, repeats: int, device: str) -> dict[str, Any]:
    """In this process: seconds of each update of ``seeds`` seeds together."""
    import jax

    jax.config.update("jax_enable_x64", True)
    if device == "cpu":
        common.pin()
    if jax.default_backend() != device:
        raise SystemExit(f"jax found no {device}: its devices are {jax.devices()}")
    from functools import partial

    from truefill.agents import ppo
    from truefill.agents.coefficients import split
    from truefill.agents.networks import make_network
    from truefill.env.setup import make_environment

    agent = {"network": {"hidden": list(HIDDEN)}}
    config = common.config(**common.FULL_RULES, agent=agent)
    env = make_environment(config, common.random_walk(), "train")
    shape, numbers = split(config.agent, 10**7)

    def begin(key: Any) -> Any:
        network = make_network(key, env.spec, config.agent)
        return ppo.init(env.spec, env.arrays, network, config.agent, key)

    states = jax.jit(jax.vmap(begin))(jax.random.split(jax.random.PRNGKey(common.SEED), seeds))
    one = partial(ppo._update, spec=env.spec, config=shape)
    together = jax.jit(jax.vmap(one, in_axes=(0, None, None)), donate_argnums=0)

    def update() -> None:
        nonlocal states
        states, log = together(states, env.arrays, numbers)
        jax.block_until_ready((states, log))

    seconds = common.timed(update, repeats, warmup=2)
    samples = seeds * config.agent.ppo.num_envs * config.agent.ppo.num_steps
    return {"samples": samples, "seconds": seconds, "epochs": config.agent.ppo.epochs,
            "observations": env.spec.observation_size, "outputs": env.spec.decoder.num_actions + 1,
            "device": jax.devices()[0].device_kind, "peak_flops": peak(device)}  # fmt: skip


def peak(device: str) -> float:
    """Float32 operations a second of one large matrix product."""
    import jax
    import jax.numpy as jnp

    size = PEAK_SIZE[device]
    product = jax.jit(lambda x: x @ x)
    x = jnp.ones((size, size), jnp.float32) / size
    x = product(x).block_until_ready()
    best = float("inf")
    for _ in range(5):
        begin = common.clock()
        product(x).block_until_ready()
        best = min(best, common.clock() - begin)
    return 2.0 * size**3 / best


def flops(found: dict[str, Any]) -> float:
    """Operations a sample: one forward pass to collect, three passes' worth an epoch."""
    sizes = (found["observations"], *HIDDEN, found["outputs"])
    forward = 2.0 * sum(a * b for a, b in pairwise(sizes))
    return forward * (1 + 3 * found["epochs"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 5, 64])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", choices=tuple(PEAK_SIZE), default="cpu")
    parser.add_argument("--cpu-time", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.cpu_time:
        os.environ["BENCH_CLOCK"] = "cpu"
    machine = common.machine(("jax", "jaxlib", "equinox", "optax", "numpy"))
    rows = {}
    for seeds in options.seeds:
        asked = {"seeds": seeds, "repeats": options.repeats, "device": options.device}
        rows[seeds] = result(common.start("bench_device.py", "ours", asked, device=options.device))
    if options.json:
        print(json.dumps({**machine, "seeds": rows}, indent=2))
        return
    common.warn(machine)
    first = next(iter(rows.values()))
    print(f"PPO 64x64 on {first['device']}; median samples/s of all seeds (lowest, highest)")
    for seeds, found in rows.items():
        median, low, high = rate(found)
        share, most = median * flops(found) / found["peak_flops"], found["peak_flops"] / 1e9
        print(
            f"  {seeds} seeds: {median:,.0f} ({low:,.0f}, {high:,.0f}); "
            f"{share:.0%} of the {most:,.0f} GFLOP/s of one large product"
        )


if __name__ == "__main__":
    if "--child" in sys.argv:
        common.serve({"ours": measure})
    else:
        main()
