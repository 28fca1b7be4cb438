"""A task that needs memory: solved by a policy that has one, and by no other."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from env_cases import config_of, split_of
from truefill.agents import ppo
from truefill.agents.networks import make_network
from truefill.env.setup import make_environment

DELAY, MOVE, BARS, SCALE = 2, 0.002, 3_000, 100.0


def share_of_the_best(agent: dict[str, object], updates: int) -> float:
    """Profit a bar over what can be made: a sign is shown, and ``DELAY`` bars later the market
    moves to its side. Who sees one bar only cannot know it: what is held tells of older signs."""
    signs = np.random.default_rng(0).choice([-1.0, 1.0], BARS)
    moves = np.zeros(BARS)
    moves[DELAY + 1 :] = MOVE * signs[: BARS - DELAY - 1]
    free = {"fee_bps": 0, "half_spread_bps": 0, "slippage_bps": 0, "borrow_rate_annual": 0}
    config = config_of(
        {
            **{f"market.{name}": value for name, value in free.items()},
            "market.allow_short": True, "env.episode_bars": 64,
            "env.action.kind": "short_flat_long",
            "agent": {**agent, "network": {"hidden": [16]},
                      "ppo": {"num_envs": 64, "num_steps": 32, "minibatch": 512, "block": 16,
                              "gamma": 0.5, "learning_rate": 0.003, "entropy": 0.001}},
        }
    )  # fmt: skip
    close = 100.0 * np.exp(np.cumsum(moves))
    env = make_environment(config, split_of(close, features=signs[:, None, None]), "train")
    network = make_network(jax.random.PRNGKey(0), env.spec, config.agent)
    state = ppo.init(env.spec, env.arrays, network, config.agent, jax.random.PRNGKey(1))
    for _ in range(updates):
        state, log = ppo.update(
            state, env.arrays, spec=env.spec, config=config.agent, total_steps=10**7
        )
    return float(log.reward_mean) / (SCALE * MOVE)


@pytest.mark.slow
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_a_recurrent_policy_solves_it(cell: str) -> None:
    memory = {"cell": cell, "units": 16}
    assert share_of_the_best({"kind": "recurrent_ppo", "memory": memory}, 40) > 0.95


@pytest.mark.slow
def test_a_policy_without_memory_cannot() -> None:
    assert share_of_the_best({"kind": "ppo"}, 40) < 0.1
