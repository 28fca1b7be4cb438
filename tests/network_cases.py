"""Networks of a small market window, and their slow obvious counterparts in numpy."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from env_cases import config_of, random_split
from truefill.agents.encoders.base import Inputs, make_encoders
from truefill.config.schema import AgentConfig, NetworkConfig
from truefill.env.setup import Environment, make_environment

WINDOW, FEATURES, STATE, COUNT = 7, 3, 2, 4


def network_config(kind: str, *, tanh: bool = True, **params: Any) -> NetworkConfig:
    activation: Any = "tanh" if tanh else "relu"
    encoder: Any = {"kind": kind, "params": params}
    return NetworkConfig(hidden=(8,), activation=activation, encoder=encoder)


def encoder_of(kind: str, *, window: int = WINDOW, seed: int = 0, **params: Any) -> Any:
    """One fresh encoder, its weights loud enough to tell."""
    inputs = Inputs(window, FEATURES, STATE, network_config(kind, **params))
    (made,), _ = make_encoders(jax.random.PRNGKey(seed), inputs, 1)
    noise = np.random.default_rng(seed)
    return jax.tree.map(lambda x: x + 0.1 * noise.normal(size=x.shape).astype("f4"), made)


def market(window: int = WINDOW, seed: int = 1, count: int = COUNT) -> tuple[Any, Any]:
    """A market window [window, FEATURES, N] and an account state [STATE, N]."""
    noise = np.random.default_rng(seed)
    window_of = noise.normal(size=(window, FEATURES, count)).astype("f4")
    return window_of, noise.normal(size=(STATE, count)).astype("f4")


def environment_of(
    encoder: dict[str, Any], *, window: int = 4, env: dict[str, Any] | None = None, **agent: Any
) -> tuple[Environment, AgentConfig]:
    """Two symbols with three features each, a window, and the learner ``agent``."""
    network = {"hidden": [8], **agent.pop("network", {}), "encoder": encoder}
    ppo = {"num_envs": 8, "num_steps": 4, "minibatch": 16, "block": 4, "epochs": 1}
    config = config_of(
        {
            "market.allow_short": True, "env.action.kind": "short_flat_long",
            "env.window_bars": window, "env.episode_bars": 7, **(env or {}),
            "agent": {"kind": "ppo", "ppo": ppo, **agent, "network": network},
        }
    )  # fmt: skip
    split = random_split(2, bars=40, masked=0.0)
    return make_environment(config, split, "train"), config.agent
