"""Quantile PPO learns what it claims to: the quantiles of a known distribution of returns, over one
bar and over many, and policies that lose less in the tail the more the tail counts."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from env_cases import NO_COSTS, config_of, environment, split_of
from truefill.agents import ppo
from truefill.agents.networks import ActorCritic, best_action, make_network
from truefill.config.schema import AgentConfig
from truefill.env import episodes

pytestmark = pytest.mark.slow
PPO = {"num_envs": 128, "num_steps": 32, "minibatch": 1024, "block": 16}
F64 = np.ndarray


def trained(
    close: F64, features: F64, keys: dict[str, Any], updates: int, *, hold: bool = False
) -> tuple[ActorCritic, ppo.TrainState, list[Any], Any]:
    """After ``updates`` updates, with the log of each; with ``hold`` the policy only ever takes its
    last action."""
    keys = {**NO_COSTS, "env.episode_bars": 200, "env.reward.scale": 100.0,
            "env.state_features": [], **keys}  # fmt: skip
    agent: AgentConfig = config_of(keys).agent
    env = environment(split_of(close, features=features), keys)
    network = make_network(jax.random.PRNGKey(0), env.spec, agent)
    if hold:
        actions = network.policy_head.bias.shape[0] - agent.quantiles
        stuck = network.policy_head.bias.at[:actions].set(-15.0).at[actions - 1].set(15.0)
        network = eqx.tree_at(lambda n: n.policy_head.bias, network, stuck)
    state = ppo.init(env.spec, env.arrays, network, agent, jax.random.PRNGKey(1))
    total = updates * 128 * 32
    logs = []
    for _ in range(updates):
        state, log = ppo.update(state, env.arrays, spec=env.spec, config=agent, total_steps=total)
        logs.append(log)
    return state.network, state, logs, env


def agent_tree(gamma: float, lam: float, critic: dict[str, Any], rate: float) -> dict[str, Any]:
    schedule = {"start": rate, "end": rate / 50}
    return {
        "kind": "quantile_ppo",
        "network": {"hidden": [16]},
        "critic": critic,
        "ppo": {**PPO, "gamma": gamma, "gae_lambda": lam, "learning_rate": schedule},
    }


@pytest.mark.parametrize(
    ("gamma", "lam", "popart"),
    [(0.0, 0.9, False), (0.9, 0.5, True), (0.9, 0.95, False)],
)
def test_the_critic_recovers_the_quantiles_of_a_normal_return(
    gamma: float, lam: float, popart: bool
) -> None:
    """A bar's reward is normal with standard deviation 1, so the discounted sum is normal with
    1 / sqrt(1 - gamma^2). A critic taught with mean bootstraps would see a far smaller spread."""
    rng = np.random.default_rng(0)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, 20_000)))
    critic = {"quantiles": 16, "kappa": 0.02, "popart": {"enabled": popart}}
    keys = {"env.action": {"kind": "flat_long"}, "agent": agent_tree(gamma, lam, critic, 3e-3)}
    features = rng.normal(size=(20_000, 1, 1)) * 0.1
    network, state, _, env = trained(close, features, keys, 500, hold=True)
    seen = episodes.observe(env.spec, env.arrays, state.env)
    found = np.asarray(network.critic((), seen.values)).mean(axis=1)
    spread = 1.0 / np.sqrt(1.0 - gamma**2)
    wanted = spread * norm.ppf((np.arange(16) + 0.5) / 16)
    np.testing.assert_allclose(found / spread, wanted / spread, atol=0.2)
    assert (np.diff(found) > 0.0).all()


def crashes(seed: int, bars: int) -> tuple[F64, F64, F64]:
    """Blocks of calm bars (+0.1 %) and of risky ones (+0.4 %, and one in 33 falls by 6 %), so that
    risk pays on average. Closes, the feature that tells which block the next bar is in, and the
    returns that a position held from bar to bar makes."""
    rng = np.random.default_rng(seed)
    risky = (np.arange(bars) // 20) % 2 == 1
    moves = np.where(risky, 0.004, 0.001) + rng.normal(0.0, 0.001, bars)
    moves = np.where(rng.random(bars) < np.where(risky, 0.03, 0.0), -0.06, moves)
    close = 100.0 * np.exp(np.cumsum(np.concatenate([[0.0], moves[:-1]])))
    return close, np.where(risky, 1.0, -1.0)[:, None, None], moves


SIZES = (0.0, 0.25, 0.5, 1.0)


def outcome(cvar: dict[str, Any], updates: int = 120) -> tuple[float, float, float]:
    """Mean and CVaR (5 %, a loss) of a bar's return on fresh bars under the learned policy, and the
    CVaR of a bar's reward on average over the second half of training."""
    close, features, _ = crashes(0, 6_000)
    critic = {"cvar": {"alpha": 0.05, **cvar}}
    action = {"kind": "volume_bins", "params": {"bins": list(SIZES), "form": "discrete"}}
    keys = {"env.action": action, "market.no_trade_band": 0.02,
            "agent": agent_tree(0.5, 0.9, critic, 3e-3)}  # fmt: skip
    network, _, logs, _ = trained(close, features, keys, updates)
    _, features, moves = crashes(1, 100_000)
    out, _ = network(jnp.asarray(features[:, 0].T, jnp.float32), None)
    held = np.asarray(SIZES)[np.asarray(best_action(network, out))[0]]
    returns = np.log1p(held * np.expm1(moves))
    worst = np.sort(returns)[: len(returns) // 20]
    late = [float(log.risk.cvar_reward) for log in logs[updates // 2 :] if log.risk is not None]
    return float(returns.mean()), float(-worst.mean()), float(np.mean(late)) if late else np.nan


def test_a_larger_weight_of_the_tail_loses_less_there_and_earns_less() -> None:
    """Weight 0 takes all the risk that pays: +0.15 % a bar at a tail loss of 1.9 %. A weight of 0.1
    gives up half of the mean for a quarter of the tail loss, 1 two thirds for a twentieth."""
    means, tails, _ = zip(*(outcome({"weight": w}) for w in (0.0, 0.1, 1.0)), strict=True)
    assert means[0] == pytest.approx(0.0015, rel=0.1)
    assert tails[0] == pytest.approx(0.0185, rel=0.1)
    assert tails[1] < 0.4 * tails[0] and tails[2] < 0.1 * tails[0]
    assert 0.3 * means[0] < means[1] < 0.7 * means[0]
    assert 0.2 * means[0] < means[2] <= means[1]


def test_the_tails_own_loss_does_the_same() -> None:
    """As a loss of its own it is counted in its own units, so it takes more weight."""
    plain, averse = outcome({"weight": 0.0}), outcome({"weight": 2.0, "enters": "loss"})
    assert averse[1] < 0.5 * plain[1]
    assert 0.2 * plain[0] < averse[0] < 0.8 * plain[0]


def test_a_limit_is_met_on_average_and_bought_no_dearer_than_needed() -> None:
    """The unconstrained policy's rewards have a CVaR of -1.5 a bar; the limit asks for -1. They
    swing around it, by half of it, and so does the weight: single updates say little."""
    mean, _, reward = outcome({"limit": -1.0, "dual_learning_rate": 0.05}, updates=200)
    assert reward == pytest.approx(-1.0, abs=0.2)
    assert mean > 0.0005


def test_a_cap_that_binds_hides_the_tail() -> None:
    capped, free = outcome({"weight": 0.1, "cap": 2.0}), outcome({"weight": 0.1})
    assert free[1] < 0.5 * capped[1]
