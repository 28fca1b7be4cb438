"""A policy with memory: what it remembers goes through rollouts, learning, evaluation, bundle."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from env_cases import config_of, random_split
from truefill.agents import ppo
from truefill.agents.minibatch import Minibatch, again, cut
from truefill.agents.networks import forget, log_prob_entropy, make_network
from truefill.agents.rollout import collect
from truefill.config.schema import AgentConfig
from truefill.core.errors import ConfigError
from truefill.env import episodes
from truefill.env.setup import Environment, make_environment

STEPS, ACCOUNTS = 12, 4
AGENT = {
    "kind": "recurrent_ppo",
    "memory": {"cell": "gru", "units": 6, "sequence": 4},
    "network": {"hidden": [8]},
    "ppo": {"num_envs": ACCOUNTS, "num_steps": STEPS, "minibatch": 16, "block": 4, "epochs": 1},
}


def environment_of(**agent: Any) -> tuple[Environment, AgentConfig]:
    keys = {"market.allow_short": True, "env.episode_bars": 7, 
            "env.action.kind": "short_flat_long", "agent": {**AGENT, **agent}}  # fmt: skip
    config = config_of(keys)
    return make_environment(config, random_split(2, bars=60, masked=0.0), "train"), config.agent


@pytest.mark.parametrize("shared", [pytest.param(True, marks=pytest.mark.slow), False])
def test_learning_sees_what_the_rollout_saw(shared: bool) -> None:
    """Sequences from their recorded memory give the values and probabilities of the rollout, across
    episode ends, and every sample is in exactly one of them."""
    env, agent = environment_of(network={"hidden": [8], "shared_trunk": shared})
    network = make_network(jax.random.PRNGKey(0), env.spec, agent)
    assert len(network.memories) == (1 if shared else 2)
    state = ppo.init(env.spec, env.arrays, network, agent, jax.random.PRNGKey(1))
    _, carry, _, rows, _ = collect(
        env.spec, env.arrays, network, state.env, state.memory, state.key, STEPS, 4
    )
    assert rows.done.any() and not rows.done.all(axis=0).any()
    batch = Minibatch(
        rows.observation, rows.action, rows.log_prob, rows.guess.value, rows.reward,
        start=jnp.concatenate([jnp.zeros_like(rows.done[:1]), rows.done[:-1]]), memory=rows.memory,
    )  # fmt: skip
    units, join, size = cut(batch, 0, 4)
    assert size == 4
    assert units.action.shape[:2] == (ACCOUNTS * STEPS // 4, 4)
    some = jax.tree.map(lambda x: join(x[jnp.asarray([10, 0, 7])]), units)
    out, value, flat = again(network, some)
    np.testing.assert_allclose(value[0], flat.advantage, rtol=1e-5, atol=1e-6)
    log_prob, _ = log_prob_entropy(network, out, flat.action)
    np.testing.assert_allclose(log_prob, flat.log_prob, rtol=1e-4, atol=1e-6)
    everything = np.asarray(units.target)
    assert sorted(everything.ravel().tolist()) == sorted(np.asarray(rows.reward).ravel().tolist())
    assert all(np.any(np.asarray(x) != 0.0) for x in jax.tree.leaves(carry))


def test_memory_goes_on_from_bar_to_bar_and_is_lost_at_an_episodes_end() -> None:
    env, agent = environment_of()
    network = make_network(jax.random.PRNGKey(0), env.spec, agent)
    state = ppo.init(env.spec, env.arrays, network, agent, jax.random.PRNGKey(1))
    after, carry, last, rows, _ = collect(
        env.spec, env.arrays, network, state.env, state.memory, state.key, STEPS, 1
    )
    now = network.initial(ACCOUNTS)
    for t in range(STEPS):
        for a, b in zip(jax.tree.leaves(now), jax.tree.leaves(rows.memory), strict=True):
            np.testing.assert_allclose(a, b[t], rtol=1e-5, atol=1e-6)
        now, _, value = network.step(now, rows.observation.values[t], None)
        np.testing.assert_allclose(value[0], rows.guess.value[t], rtol=1e-5, atol=1e-6)
        now = forget(now, rows.done[t])
    for a, b in zip(jax.tree.leaves(now), jax.tree.leaves(carry), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    seen = episodes.observe(env.spec, env.arrays, after)
    np.testing.assert_allclose(
        last.value, network.critic(carry, seen.values)[0], rtol=1e-5, atol=1e-6
    )
    fresh = network.critic(network.initial(ACCOUNTS), seen.values)[0]
    assert not np.allclose(last.value, fresh)


def test_the_first_epoch_of_an_update_has_ratio_one() -> None:
    env, agent = environment_of(
        ppo={**AGENT["ppo"], "minibatch": 48, "learning_rate": 1e-9}  # type: ignore[dict-item]
    )
    network = make_network(jax.random.PRNGKey(0), env.spec, agent)
    state = ppo.init(env.spec, env.arrays, network, agent, jax.random.PRNGKey(1))
    for _ in range(2):
        state, log = ppo.update(state, env.arrays, spec=env.spec, config=agent, total_steps=10_000)
        assert abs(float(log.losses.approx_kl)) < 1e-7
        assert float(log.losses.clip_fraction) == 0.0
        assert float(log.losses.grad_norm) > 0.0
    assert any(np.any(np.asarray(x) != 0.0) for x in jax.tree.leaves(state.memory))


@pytest.mark.parametrize(
    ("agent", "says"),
    [
        ({"memory": {"sequence": 5}}, "memory.sequence 5 does not divide ppo.num_steps 12"),
        (
            {"ppo": {**AGENT["ppo"], "minibatch": 6, "block": 2}},
            "sequences of 4 bars do not divide",
        ),  # type: ignore[dict-item]
        ({"kind": "ppo"}, "agent.kind ppo has no memory"),
    ],
)
def test_sequences_that_do_not_fit_are_refused(agent: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        config_of({"agent": {**AGENT, **agent}})
