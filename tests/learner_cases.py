"""Every registered learner, small: what the conformance suite runs over."""

from __future__ import annotations

from typing import Any, get_args

from truefill.config.schema import AgentConfig

KINDS = get_args(AgentConfig.model_fields["kind"].annotation)
CELLS = ("gru", "lstm", "min_gru")
QUANTILES = {"quantiles": 8, "cvar": {"weight": 0.1}, "popart": {"holdout_envs": 8}}
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
}  # fmt: skip
"""A few units each, for tests of bytes and actions."""


def real(name: str) -> dict[str, Any]:
    """The same learner at a size that learns: memories of 32 units, critics as configured by
    default."""
    agent: dict[str, Any] = {"kind": SMALL[name]["kind"]}
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
}
"""Environment steps in which each earns 80 % of what the planted rule can earn."""
