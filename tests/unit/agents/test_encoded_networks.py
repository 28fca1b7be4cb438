"""Networks with an encoder: rollout and learning see the same, trunks are shared or not, and what
needs the order of bars is learned."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from network_cases import environment_of
from truefill.agents import ppo
from truefill.agents.encoders.base import Inputs, make_encoders
from truefill.agents.networks import ActorCritic, make_network
from truefill.config.schema import NetworkConfig
from truefill.core.errors import ConfigError
from truefill.nn.layers import Dense

CNN = {"kind": "cnn", "params": {"channels": [5], "kernel": 2}}
ATTENTION = {"kind": "attention", "params": {"width": 4}}
GRU = {"kind": "recurrent_ppo", "memory": {"cell": "gru", "units": 6}}
BARS, ACCOUNTS = 3, 4


def network_of(encoder: dict[str, Any], **agent: Any) -> tuple[ActorCritic, Any, Any]:
    env, config = environment_of(encoder, **agent)
    network = make_network(jax.random.PRNGKey(0), env.spec, config)
    loud = jax.tree.map(lambda x: 3.0 * x if x.ndim == 2 else x, network)
    return loud, env, config


@pytest.mark.parametrize("shared", [pytest.param(True, marks=pytest.mark.slow), False])
def test_a_sequence_is_its_bars_one_by_one(shared: bool) -> None:
    """Encoder before memory, over all bars at once: what step after step gives."""
    network, env, _ = network_of(CNN, **GRU, network={"shared_trunk": shared})
    assert len(network.encoders) == len(network.memories) == (1 if shared else 2)
    noise = np.random.default_rng(0)
    seen = noise.normal(size=(BARS, env.spec.observation_size, ACCOUNTS)).astype("f4")
    start = np.zeros((BARS, ACCOUNTS), bool)
    carry = network.initial(ACCOUNTS)
    out, critic = network.sequence(carry, jnp.asarray(seen), jnp.asarray(start), None)
    for t in range(BARS):
        carry, one, value = network.step(carry, jnp.asarray(seen[t]), None)
        mine = slice(t * ACCOUNTS, (t + 1) * ACCOUNTS)
        np.testing.assert_allclose(out[..., mine], one, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(critic[..., mine], value, rtol=1e-4, atol=1e-5)
    other = network.critic(network.initial(ACCOUNTS), jnp.asarray(seen[0]))
    np.testing.assert_allclose(other, critic[:, :ACCOUNTS], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("hidden", [[8], []])
def test_separate_trunks_of_equal_weights_are_the_shared_one(hidden: list[int]) -> None:
    """The critic's encoder and layers replaced by the policy's, the heads by the halves of the
    shared head: the same outputs."""
    one, env, _ = network_of(ATTENTION, network={"hidden": hidden})
    two, *_ = network_of(ATTENTION, network={"hidden": hidden, "shared_trunk": False})
    values = one.num_values

    def half(rows: slice) -> Dense:
        new = object.__new__(Dense)
        head = one.policy_head
        for name, value in (("weight", head.weight[:, rows]), ("bias", head.bias[rows]),
                            ("norm", None)):  # fmt: skip
            object.__setattr__(new, name, value)
        return new

    import equinox as eqx

    two = eqx.tree_at(
        lambda n: (n.encoders, n.policy_trunk, n.value_trunk, n.policy_head, n.value_head),
        two,
        (one.encoders * 2, one.policy_trunk, one.policy_trunk, half(slice(None, -values)),
         (half(slice(-values, None)),)),
    )  # fmt: skip
    seen = np.random.default_rng(1).normal(size=(env.spec.observation_size, 5)).astype("f4")
    for a, b in zip(one(jnp.asarray(seen), None), two(jnp.asarray(seen), None), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_account_state_goes_past_the_encoder() -> None:
    """The encoder sees the window alone; what follows it sees both."""
    network, env, _ = network_of(CNN)
    market = env.spec.window * env.spec.num_features
    seen = np.random.default_rng(1).normal(size=(env.spec.observation_size, 2)).astype("f4")
    (rows,) = network._encoded(jnp.asarray(seen))
    assert rows.shape[0] == network.policy_trunk[0].weight.shape[0]
    np.testing.assert_array_equal(rows[-env.spec.num_state :], seen[market:])
    window = seen[:market].reshape(env.spec.window, env.spec.num_features, 2)
    expected = network.encoders[0](jnp.asarray(window), None)
    np.testing.assert_array_equal(rows[: -env.spec.num_state], expected)


@pytest.mark.slow
@pytest.mark.parametrize("agent", [GRU], ids=["gru"])
def test_an_update_moves_every_weight(agent: dict[str, Any]) -> None:
    network, env, config = network_of(ATTENTION, **agent, network={"shared_trunk": False})
    before = jax.tree.map(np.asarray, network)
    state = ppo.init(env.spec, env.arrays, network, config, jax.random.PRNGKey(1))
    for _ in range(3):  # the policy's first layers hardly move at first
        state, log = ppo.update(state, env.arrays, spec=env.spec, config=config, total_steps=10_000)
    assert np.isfinite(log.losses.grad_norm)
    still = [
        jax.tree_util.keystr(path)
        for (path, a), b in zip(
            jax.tree_util.tree_flatten_with_path(before)[0],
            jax.tree.leaves(state.network),
            strict=True,
        )
        if a.size and np.array_equal(a, b)
    ]
    assert still == []


def test_a_window_of_one_bar_is_refused_for_networks_too() -> None:
    with pytest.raises(ConfigError, match=r"env\.window_bars is 1"):
        network_of(ATTENTION, window=1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "params"),
    [("attention", {"width": 16}), ("cnn", {"channels": [16], "kernel": 2, "stride": 1})],
)
def test_which_of_two_marks_came_first_is_learned(kind: str, params: dict[str, Any]) -> None:
    """Two bars of a window carry a mark of their own, anywhere; their order is the answer, which no
    average over bars knows. Accuracy on windows that were not learned from, chance is 50 %."""
    bars, count = 8, 2_048
    inputs = Inputs(bars, 2, 0, NetworkConfig(encoder={"kind": kind, "params": params}))
    (encoder,), units = make_encoders(jax.random.PRNGKey(0), inputs, 1)
    head = Dense(jax.random.PRNGKey(1), units, 1, 0.1)
    noise = np.random.default_rng(0)

    def windows() -> tuple[Any, Any]:
        places = np.argsort(noise.random((count, bars)), axis=1)[:, :2]
        seen = np.zeros((bars, 2, count), "f4")
        for mark in (0, 1):
            seen[places[:, mark], mark, np.arange(count)] = 1.0
        return jnp.asarray(seen), jnp.asarray((places[:, 0] < places[:, 1]).astype("f4"))

    def loss(both: Any, seen: Any, first: Any) -> Any:
        encode, head = both
        return optax.sigmoid_binary_cross_entropy(head(encode(seen, None))[0], first).mean()

    train, test = windows(), windows()
    adam = optax.adam(1e-2)
    both = (encoder, head)

    @jax.jit
    def learn(both: Any) -> Any:
        def one(carry: Any, _: Any) -> Any:
            both, moments = carry
            change, moments = adam.update(jax.grad(loss)(both, *train), moments)
            return (optax.apply_updates(both, change), moments), None

        return jax.lax.scan(one, (both, adam.init(both)), None, length=150)[0][0]

    encode, head = learn(both)
    guess = head(encode(test[0], None))[0] > 0.0
    assert float(jnp.mean(guess == (test[1] > 0.5))) > 0.95
