"""Every registered learner, small: what the conformance suite runs over."""

from __future__ import annotations

from typing import Any, get_args

from truefill.config.schema import AgentConfig

KINDS = tuple(k for k in get_args(AgentConfig.model_fields["kind"].annotation) if k != "rule")
CELLS = ("gru", "lstm", "min_gru")
POPART = {"holdout_envs": 8, "warmup_updates": 1, "min_samples": 100}
"""Whose unit is taken over in the second update: before a test kills a training."""
QUANTILES = {"quantiles": 8, "cvar": {"weight": 0.1}, "popart": POPART}
CNN = {"kind": "cnn", "params": {"channels": [4], "kernel": 2}}
SMALL: dict[str, dict[str, Any]] = {
    "ppo": {"kind": "ppo"},
    **{
        f"recurrent_ppo {cell}": {"kind": "recurrent_ppo", "memory": {"cell": cell, "units": 6}}
        for cell in CELLS
    },
    "quantile_ppo": {"kind": "quantile_ppo", "critic": QUANTILES},
    "recurrent_quantile_ppo": {
        "kind": "recurrent_quantile_ppo", "memory": {"units": 6}, "critic": QUANTILES
    },
    "ppo cnn": {"kind": "ppo", "network": {"encoder": CNN}},
    "quantile_ppo attention": {
        "kind": "quantile_ppo", "critic": QUANTILES,
        "network": {"encoder": {"kind": "attention", "params": {"width": 4}}, "layer_norm": True},
    },
    "recurrent_ppo cnn": {
        "kind": "recurrent_ppo", "memory": {"units": 6},
        "network": {"encoder": CNN, "shared_trunk": False, "initialization": "orthogonal"},
    },
}  # fmt: skip
"""A few units each, for tests of bytes and actions."""


def real(name: str) -> dict[str, Any]:
    """The same learner at a size that learns: memories of 32 units, critics as configured by
    default."""
    agent: dict[str, Any] = {"kind": SMALL[name]["kind"]}
    if "network" in SMALL[name]:
        agent["network"] = SMALL[name]["network"]
    if "memory" in SMALL[name]:
        agent["memory"] = {**SMALL[name]["memory"], "units": 32, "sequence": 16}
    return agent


BUDGETS = {
    "ppo": 1_500_000,
    "recurrent_ppo gru": 800_000,
    "recurrent_ppo lstm": 800_000,
    "recurrent_ppo min_gru": 800_000,
    "quantile_ppo": 800_000,
    "recurrent_quantile_ppo": 800_000,
    "ppo cnn": 400_000,
    "quantile_ppo attention": 400_000,
    "recurrent_ppo cnn": 400_000,
}
"""Environment steps in which each earns 80 % of what the planted rule can earn."""


def window(name: str) -> int:
    """Bars of an observation: several for those that encode a window."""
    return 4 if "encoder" in SMALL[name].get("network", {}) else 1
