"""How fast does PPO train with each encoder? Samples per second on one core, window 32.

    .venv/bin/python benchmarks/bench_networks.py [--repeats 5] [--only NAME] [--cpu-time] [--json]

The task is that of ``bench_market.py`` with 22 market features and a window of 32 bars; 512
accounts x 64 bars, minibatch 2,048, four epochs, hidden layers of 64 that policy and value share.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

import common
from common import rate, result

WINDOW, FEATURES = 32, 22
CONVOLUTIONS = {"channels": [32, 32], "kernel": 3}
ENCODERS: dict[str, dict[str, Any]] = {
    "none": {},
    "cnn": {"kind": "cnn", "params": {**CONVOLUTIONS, "stride": 2}},
    "cnn, stride 1": {
        "kind": "cnn", "params": {**CONVOLUTIONS, "stride": 1, "pooling": "mean"}
    },
    "cnn, dilated": {
        "kind": "cnn",
        "params": {"channels": [32, 32, 32], "kernel": 3, "stride": 1, "dilation": 2,
                   "pooling": "last"},
    },
    "attention": {"kind": "attention", "params": {"width": 32, "heads": 2, "layers": 1}},
}  # fmt: skip


def measure(encoder: dict[str, Any], repeats: int) -> dict[str, Any]:
    """In this process: seconds of each update."""
    import jax

    jax.config.update("jax_enable_x64", True)
    common.pin()
    common.FEATURES = FEATURES
    rules = {**common.FULL_RULES, "env": {**common.FULL_RULES["env"], "window_bars": WINDOW}}
    agent = {"network": {"hidden": [64, 64], "encoder": encoder}}
    config = common.config(**rules, agent=agent)
    return common.updates(config, repeats)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", choices=ENCODERS, help="one encoder")
    parser.add_argument("--cpu-time", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.cpu_time:
        os.environ["BENCH_CLOCK"] = "cpu"
    machine = common.machine(("jax", "jaxlib", "equinox", "optax", "numpy"))
    found = {}
    for name in [options.only] if options.only else list(ENCODERS):
        call = {"encoder": ENCODERS[name], "repeats": options.repeats}
        found[name] = result(common.start("bench_networks.py", "ours", call))
    if options.json:
        print(json.dumps({**machine, "ours": found}, indent=2))
        return
    common.warn(machine)
    print(f"one core, float32, {WINDOW} bars x {FEATURES} features; median samples/s (low, high)")
    for name, one in found.items():
        median, low, high = rate(one)
        print(f"  {name}: {median:,.0f} ({low:,.0f}, {high:,.0f})")


if __name__ == "__main__":
    if "--child" in sys.argv:
        common.serve({"ours": measure})
    else:
        main()
