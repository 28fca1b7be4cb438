"""How fast does each learner train? Samples per second on one core, and against sb3-contrib.

    .venv/bin/python benchmarks/bench_learners.py [--repeats 5] [--only NAME] [--tune-sb3]
                                                  [--cpu-time] [--json]

The task is that of ``bench_market.py``: both sides, leverage, all stops, 22 observations.
Feed-forward learners have two hidden layers of 64, recurrent ones 128 units and a hidden layer of
64, which policy and critic share; 512 accounts x 64 bars, minibatch 2,048, four epochs. A critic of
quantiles has 32. The learner of system 002 has its own sizes. sb3-contrib's RecurrentPPO trains the
same LSTM on the same accounts, at the setting that ``--tune-sb3`` found fastest.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

import common
from common import rate, result

UNITS = 128
FLAT: dict[str, Any] = {"network": {"hidden": [64, 64]}}


def _recurrent(cell: str, sequence: int) -> dict[str, Any]:
    """Gradients go back through ``sequence`` bars."""
    return {
        "kind": "recurrent_ppo",
        "memory": {"cell": cell, "units": UNITS, "sequence": sequence},
        "network": {"hidden": [64]},
    }


def _wide(shared: bool) -> dict[str, Any]:
    """System 002's learner: 16 accounts, 20 epochs, [1280, 640]; ten updates are its budget."""
    return {
        "network": {"hidden": [1280, 640], "shared_trunk": shared},
        "ppo": {"num_envs": 16, "num_steps": 1024, "minibatch": 2048, "block": 16, "epochs": 20},
    }


OURS = {
    "ppo": {**FLAT, "kind": "ppo"},
    "quantile_ppo": {**FLAT, "kind": "quantile_ppo"},
    "quantile_ppo, CVaR": {
        **FLAT, "kind": "quantile_ppo", "critic": {"cvar": {"alpha": 0.1, "weight": 0.5}}
    },
    "quantile_ppo, no PopArt": {
        **FLAT, "kind": "quantile_ppo", "critic": {"popart": {"enabled": False}}
    },
    "recurrent_ppo gru": _recurrent("gru", 16),
    "recurrent_ppo lstm": _recurrent("lstm", 16),
    "recurrent_ppo min_gru": _recurrent("min_gru", 16),
    "recurrent_ppo gru, sequences of 64": _recurrent("gru", 64),
    "system 002, shared trunk": _wide(shared=True),
    "system 002, separate": _wide(shared=False),
}  # fmt: skip
BEST_SB3 = {"num_envs": 256, "n_steps": 64, "batch": 2_048, "shared": True}
"""sb3-contrib's fastest setting on our accounts; found by ``--tune-sb3``."""
TRIED = tuple(
    {"num_envs": envs, "n_steps": steps, "batch": batch, "shared": True}
    for envs, steps in ((64, 128), (256, 64), (512, 64))
    for batch in (2_048, 8_192)
)


def measure(agent: dict[str, Any], repeats: int) -> dict[str, Any]:
    """In this process: seconds of each update of a learner."""
    import jax

    jax.config.update("jax_enable_x64", True)
    common.pin()
    config = common.config(**common.FULL_RULES, agent=agent)
    return common.updates(config, repeats)


def ours(agent: dict[str, Any], repeats: int) -> dict[str, Any]:
    options = {"agent": agent, "repeats": repeats}
    return result(common.start("bench_learners.py", "ours", options))


def rival(repeats: int, **setting: Any) -> dict[str, Any] | None:
    """None where ``.venv-rivals`` is not there."""
    if not common.RIVALS_PYTHON.exists():
        return None
    options = {"repeats": repeats, "units": UNITS, **setting}
    python = str(common.RIVALS_PYTHON)
    return result(common.start("rivals.py", "recurrent_sb3", options, python))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", choices=OURS, help="one of our learners, and no other library")
    parser.add_argument("--tune-sb3", action="store_true")
    parser.add_argument("--cpu-time", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.cpu_time:
        os.environ["BENCH_CLOCK"] = "cpu"
    machine = common.machine(("jax", "jaxlib", "equinox", "optax", "numpy"))
    if options.tune_sb3:
        for setting in TRIED:
            found = rival(1, **setting)
            print(setting, "not measured" if found is None else f"{rate(found)[0]:,.0f} samples/s")
        return
    names = [options.only] if options.only else list(OURS)
    found = {name: ours(OURS[name], options.repeats) for name in names}
    other = None if options.only else rival(max(2, options.repeats // 2), **BEST_SB3)
    if options.json:
        print(json.dumps({**machine, "ours": found, "sb3_contrib": other}, indent=2))
        return
    common.warn(machine)
    print("one core, float32; median samples/s (lowest, highest)")
    for name, one in found.items():
        median, low, high = rate(one)
        print(f"  {name}: {median:,.0f} ({low:,.0f}, {high:,.0f})")
    if other is None:
        print("  sb3-contrib RecurrentPPO: not measured (make bench-rivals-setup)")
        return
    slower = rate(other)[0]
    print(f"  sb3-contrib RecurrentPPO, LSTM, {BEST_SB3}: {slower:,.0f}")
    print(f"  our LSTM / theirs: {rate(found['recurrent_ppo lstm'])[0] / slower:.1f}")


if __name__ == "__main__":
    if "--child" in sys.argv:
        common.serve({"ours": measure})
    else:
        main()
