"""Trainings that end where they are sent: the diagnosis names the collapse, and what drove it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from env_cases import config_of, environment, split_of
from truefill.agents.behaviour import diagnose, watch
from truefill.agents.networks import make_network
from truefill.agents.train import train
from truefill.core.files import read_json
from truefill.data.split import SplitArrays

pytestmark = pytest.mark.slow
BARS = 600
ROLLOUT = 32 * 32
KEYS: dict[str, Any] = {
    "market.fee_bps": 1, "market.half_spread_bps": 0.5, "market.slippage_bps": 0.5,
    "market.allow_short": True, "env.action.kind": "short_flat_long", "env.episode_bars": 60,
    "env.state_features": ["position"], "env.reward.scale": 100.0,
    "agent.network": {"hidden": [16]},
    "agent.ppo": {"num_envs": 32, "num_steps": 32, "minibatch": 256, "block": 32, "gamma": 0.9,
                  "learning_rate": 0.003, "entropy": 0.0},
    "training": {"total_steps": 60 * ROLLOUT, "eval_every_steps": 10 * ROLLOUT,
                 "eval_episodes": 6, "checkpoint_every_steps": 60 * ROLLOUT, "patience": None},
}  # fmt: skip


def waves(drift: float = 0.0, swing: float = 0.01) -> SplitArrays:
    """Eight bars up, eight down, by ``swing`` each, and a ``drift``; the feature is the next bar's
    side, as far as it is known from the phase."""
    rng = np.random.default_rng(1)
    side = np.where(np.arange(BARS) // 8 % 2 == 0, 1.0, -1.0)
    moves = swing * side + drift + rng.normal(0.0, 0.002, BARS)
    close = 100.0 * np.exp(np.cumsum(moves))
    return split_of(close, features=np.roll(side, -2)[:, None, None])


def trained(folder: Path, split: SplitArrays, keys: dict[str, Any]) -> dict[str, Any]:
    """The behaviour in training.json."""
    train(config_of({**KEYS, **keys}), split, split, 1, folder, lambda *_: None)
    found: dict[str, Any] = read_json(folder / "training.json")["behaviour"]
    return found


def test_a_huge_turnover_penalty_ends_in_never_trading(tmp_path: Path) -> None:
    found = trained(tmp_path, waves(), {"env.reward.turnover": 5.0})
    assert found["name"] == "never_trades"
    assert found["driven_by"]["term"] == "turnover"
    ends = found["driven_by"]["terms"]
    assert ends["turnover"]["first"] < -50.0 < -5.0 < ends["turnover"]["last"] <= 0.0
    assert "never trades" in found["text"] and "it escaped turnover" in found["text"]


def test_a_market_that_rises_without_shorts_ends_in_buy_and_hold(tmp_path: Path) -> None:
    rising = waves(drift=0.01, swing=0.0)
    keys = {"market.allow_short": False, "env.action.kind": "flat_long"}
    found = trained(tmp_path, rising, keys)
    assert (found["name"], found["side"]) == ("buy_and_hold", "long")
    assert found["driven_by"]["term"] == "log_equity"
    assert found["time_in_market"] > 0.95
    assert "buys and holds" in found["text"]


def test_a_market_that_falls_with_shorts_ends_in_its_short_twin(tmp_path: Path) -> None:
    found = trained(tmp_path, waves(drift=-0.01, swing=0.0), {})
    assert (found["name"], found["side"]) == ("buy_and_hold", "short")
    assert "sells short and holds" in found["text"]


def test_an_alternating_market_that_is_learnt_is_traded(tmp_path: Path) -> None:
    found = trained(tmp_path, waves(), {})
    assert found["name"] == "trades"
    assert 5.0 < found["entries_per_episode"] < 10.0
    assert found["net_log_return_per_episode"] > 0.3
    assert found["driven_by"]["term"] == "log_equity"


def test_a_network_that_always_says_the_same_is_named() -> None:
    """A real network whose last layer is dead: a weight of 0.5, rebalanced as prices move."""
    keys = {**KEYS, "env.action.kind": "target_weight", "market.no_trade_band": 0.001}
    env = environment(waves(), keys, "backtest")
    network = make_network(jax.random.PRNGKey(0), env.spec, config_of(keys).agent)
    bias = jnp.full_like(network.policy_head.bias, 0.5)
    dead = eqx.tree_at(
        lambda n: (n.policy_head.weight, n.policy_head.bias),
        network, (jnp.zeros_like(network.policy_head.weight), bias),
    )  # fmt: skip
    found = diagnose(watch(dead, env, jnp.arange(6, dtype=jnp.int32) * 50, 60, ["S0"]))
    assert found["name"] == "constant_action"
    assert found["commonest_order"] == [{"symbol": "S0", "order": "weight +0.5", "share": 1.0}]
