"""What is searched where no space file says so: by learner, what the learner has.

Ranges are those that the original of `examples/crypto_cvar.yaml` searched (batch and rollout sizes
scaled to accounts stepped together). The window of an observation is not among them: it changes
what a policy sees, and the time of a trial tenfold.
"""

from __future__ import annotations

from typing import Any

from truefill.config.agent import AgentConfig
from truefill.config.search import Dimension

PPO: dict[str, dict[str, Any]] = {
    "agent.ppo.learning_rate": {"low": 1e-4, "high": 5e-4, "log": True},
    "agent.ppo.gamma": {"low": 0.97, "high": 0.995},
    "agent.ppo.gae_lambda": {"low": 0.8, "high": 1.0},
    "agent.ppo.clip": {"low": 0.08, "high": 0.2},
    "agent.ppo.entropy": {"low": 5e-5, "high": 5e-3, "log": True},
    "agent.ppo.epochs": {"low": 2, "high": 4},
    "agent.network.hidden": {"choices": [[64, 64], [128, 128], [256, 256]]},
}
MEMORY: dict[str, dict[str, Any]] = {"agent.memory.units": {"choices": [32, 64, 128]}}
CVAR: dict[str, dict[str, Any]] = {
    "agent.critic.cvar.alpha": {"low": 0.01, "high": 0.2},
    "agent.critic.cvar.weight": {"low": 0.1, "high": 2.0, "log": True},
    "agent.critic.cvar.cap": {"low": 0.5, "high": 5.0},
}


def default_space(agent: AgentConfig) -> dict[str, Dimension]:
    """The built-in space of ``agent``'s kind."""
    parts = dict(PPO)
    if agent.kind.startswith("recurrent"):
        parts |= MEMORY
    if "quantile" in agent.kind:
        parts |= CVAR
    return {key: Dimension(**values) for key, values in parts.items()}
