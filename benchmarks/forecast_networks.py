"""How fast does each forecasting network train, against the same network in PyTorch, on one core?

    make bench-rivals-setup          # PyTorch (the CPU build is enough) into .venv-rivals
    .venv/bin/python benchmarks/forecast_networks.py [--only lstm] [--rounds 5] [--json]

Both run in one process pinned to one core, with one thread, in turns: some steps of ours, as many
of PyTorch's. Told is the ratio of the medians of processor time: above 1 ours is faster. A step is
gradient, clipping to a norm of 1, Adam, float32; three heads of three outputs, squared error.

Ours is one compiled scan over minibatches whose windows are gathered from a table of features by
row number; PyTorch is given windows that lie gathered already, which spares it that, and has its
own LSTM, GRU, convolution and attention. Recurrent and linear networks: windows of 60 bars with 26
features; the others system 003's 30 bars with 40.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import common

HEADS, OUTPUTS, TABLE, RATE = 3, 3, 20_000, 1e-3
SMALL, LARGE = (60, 26, (256, 1024)), (30, 40, (64, 256))
"""Bars of the window, features of each, batch sizes."""
SHAPES = {
    **dict.fromkeys(("lstm", "gru", "bilstm", "dlstm", "dlinear"), SMALL),
    **dict.fromkeys(("cnn", "attention", "gated"), LARGE),
}
ENOUGH = 0.8
"""Below this ratio a line is marked."""
Steps = Callable[[], None]


def ours(name: str, window: int, features: int, batch: int, steps: int) -> tuple[Steps, int]:
    """``steps`` gradient steps a call, and how many numbers are learned."""
    import jax
    import jax.numpy as jnp
    import optax

    from truefill.forecast.networks import NETWORKS, Inputs, parameters

    entry, key = NETWORKS.get(name), jax.random.PRNGKey(0)
    net = entry.make(key, entry.params(), Inputs(window, features, HEADS, OUTPUTS))
    table = jax.random.normal(key, (TABLE, features), jnp.float32)
    target = jax.random.normal(key, (TABLE, HEADS, OUTPUTS), jnp.float32)
    rule = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(RATE))

    def one(carry: Any, rows: Any) -> tuple[Any, Any]:
        net, state = carry
        x = table[rows - jnp.arange(window - 1, -1, -1)[:, None]].swapaxes(1, 2)

        def loss(net: Any) -> Any:
            return jnp.mean((net(x, None) - target[rows]) ** 2)

        value, gradient = jax.value_and_grad(loss)(net)
        change, state = rule.update(gradient, state, net)
        return (optax.apply_updates(net, change), state), value

    @jax.jit
    def run(carry: Any, key: Any) -> Any:
        rows = jax.random.randint(key, (steps, batch), window - 1, TABLE)
        return jax.lax.scan(one, carry, rows)

    carry = net, rule.init(net)

    def call() -> None:
        nonlocal carry, key
        key, own = jax.random.split(key)
        carry, values = jax.block_until_ready(run(carry, own))
        assert jnp.isfinite(values).all()

    return call, parameters(net)


def theirs(name: str, window: int, features: int, batch: int, steps: int) -> tuple[Steps, int]:
    """The same of PyTorch."""
    import torch
    from torch_networks import make

    torch.set_num_threads(1)
    torch.manual_seed(0)
    net = make(name, window, features, HEADS * OUTPUTS)
    windows = [torch.randn(batch, window, features) for _ in range(steps)]
    targets = [torch.randn(batch, HEADS * OUTPUTS) for _ in range(steps)]
    rule = torch.optim.Adam(net.parameters(), lr=RATE)

    def call() -> None:
        for x, y in zip(windows, targets, strict=True):
            rule.zero_grad(set_to_none=True)
            ((net(x) - y) ** 2).mean().backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            rule.step()

    return call, sum(p.numel() for p in net.parameters())


def pair(name: str, batch: int, rounds: int, budget_s: float) -> dict[str, Any]:
    """In this process: milliseconds of a step of both, by round."""
    import jax

    jax.config.update("jax_enable_x64", True)
    common.pin()
    window, features, _ = SHAPES[name]

    def seconds(work: Steps) -> float:
        began = time.process_time()
        work()
        return time.process_time() - began

    trial, _ = theirs(name, window, features, batch, 1)
    seconds(trial)
    steps = max(2, min(200, round(budget_s / seconds(trial))))
    sides = [make(name, window, features, batch, steps) for make in (ours, theirs)]
    for call, _ in sides:
        call()
    spent = [[seconds(call) / steps * 1e3 for call, _ in sides] for _ in range(rounds)]
    return {
        "steps": steps,
        "ours_ms": [a for a, _ in spent],
        "torch_ms": [b for _, b in spent],
        "parameters": sides[0][1],
        "torch_parameters": sides[1][1],
    }


def told(name: str, batch: int, found: dict[str, Any]) -> str:
    ours_ms, torch_ms = found["ours_ms"], found["torch_ms"]
    ratio = statistics.median(torch_ms) / statistics.median(ours_ms)
    each = sorted(b / a for a, b in zip(ours_ms, torch_ms, strict=True))
    mark = "" if ratio >= ENOUGH else f"  below {ENOUGH}"
    return (
        f"{name:<10}{batch:>6}{found['parameters']:>11,}{found['torch_parameters']:>11,}"
        f"{statistics.median(ours_ms):>9.1f}{statistics.median(torch_ms):>9.1f}"
        f"{ratio:>7.2f} ({each[0]:.2f}-{each[-1]:.2f}){mark}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=SHAPES, action="append", help="these networks")
    parser.add_argument("--batch", type=int, help="this batch size instead of two")
    parser.add_argument("--budget-s", type=float, default=1.5, help="PyTorch seconds a round")
    parser.add_argument("--python", type=Path, default=common.RIVALS_PYTHON, help="has PyTorch")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if not options.python.exists():
        sys.exit(f"{options.python} is missing: run `make bench-rivals-setup`")
    machine = common.machine(("jax", "jaxlib", "equinox", "optax", "numpy"))
    results = []
    if not options.json:
        common.warn(machine)
        print(
            f"{'network':<10}{'batch':>6}{'numbers':>11}{'torch':>11}{'ms':>9}{'torch':>9}  ratio"
        )
    for name in options.only or list(SHAPES):
        for batch in [options.batch] if options.batch else SHAPES[name][2]:
            call = {"name": name, "batch": batch, "rounds": options.rounds}
            call["budget_s"] = options.budget_s
            python = str(options.python)
            found = common.result(common.start("forecast_networks.py", "pair", call, python))
            results.append({"network": name, "batch": batch, **found})
            if not options.json:
                print(told(name, batch, found), flush=True)
    if options.json:
        print(json.dumps({**machine, "networks": results}, indent=2))


if __name__ == "__main__":
    if "--child" in sys.argv:
        common.serve({"pair": pair})
    else:
        main()
