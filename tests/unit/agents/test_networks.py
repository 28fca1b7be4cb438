"""Networks: sampling, log-probabilities and gradients against the plain formulas."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from env_cases import config_of, environment, split_of
from truefill.agents.networks import (
    FORBIDDEN,
    ActorCritic,
    best_action,
    log_prob_entropy,
    make_network,
    sample,
)
from truefill.config.schema import AgentConfig, NetworkConfig
from truefill.env.episodes import EnvSpec
from truefill.nn.layers import affine

MARKET = {"market.allow_short": True, "market.no_trade_band": 0.05}


def spec_of(kind: str = "short_flat_long", symbols: int = 2) -> EnvSpec:
    split = split_of(np.full((5, symbols), 100.0))
    return environment(split, {**MARKET, "env.action.kind": kind}).spec


def network_of(kind: str = "short_flat_long", seed: int = 0, **options: Any) -> ActorCritic:
    config = NetworkConfig(hidden=(8, 4), **options)
    return make_network(jax.random.PRNGKey(seed), spec_of(kind), AgentConfig(network=config))


def observations(count: int = 5, seed: int = 1) -> jax.Array:
    size = spec_of().observation_size
    return jax.random.normal(jax.random.PRNGKey(seed), (size, count), jnp.float32)


def test_the_handwritten_gradient_is_autodiffs() -> None:
    keys = jax.random.split(jax.random.PRNGKey(0), 4)
    weight, bias, x = (
        jax.random.normal(k, shape) for k, shape in zip(keys, ((3, 4), (4,), (3, 5)), strict=False)
    )
    pull = jax.random.normal(keys[3], (4, 5))

    def plain(w: Any, b: Any, x: Any) -> Any:
        return jnp.sum(pull * jnp.tanh(w.T @ x + b[:, None]))

    def ours(w: Any, b: Any, x: Any) -> Any:
        return jnp.sum(pull * jnp.tanh(affine(w, b, x)))

    expected = jax.value_and_grad(plain, argnums=(0, 1, 2))(weight, bias, x)
    got = jax.value_and_grad(ours, argnums=(0, 1, 2))(weight, bias, x)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-12)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_shared_and_separate_trunks_compute_what_they_say(activation: str) -> None:
    x = observations()
    act = {"relu": lambda v: np.maximum(v, 0.0), "tanh": np.tanh}[activation]

    def trunk(layers: Any, v: np.ndarray) -> np.ndarray:
        for layer in layers:
            v = act(np.asarray(layer.weight).T @ v + np.asarray(layer.bias)[:, None])
        return v

    for shared in (True, False):
        net = network_of(shared_trunk=shared, activation=activation)
        logits, value = net(x, None)
        assert logits.shape == (2, 3, 5)
        assert value.shape == (1, 5)
        assert logits.dtype == value.dtype == jnp.float32
        out = trunk(net.policy_trunk, np.asarray(x))
        head = np.asarray(net.policy_head.weight).T @ out
        if shared:
            assert net.value_trunk == net.value_head == ()
            policy, expected = head[:-1], head[-1]
        else:
            last = trunk(net.value_trunk, np.asarray(x))
            policy, expected = head, (np.asarray(net.value_head[0].weight).T @ last)[0]
            assert not np.array_equal(net.value_trunk[0].weight, net.policy_trunk[0].weight)
        np.testing.assert_allclose(logits, policy.reshape(2, 3, 5), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(value[0], expected, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(net.critic((), x), value, rtol=1e-5, atol=1e-6)


def test_the_value_loss_reaches_the_policys_trunk_only_when_it_is_shared() -> None:
    x = observations()
    for shared in (True, False):
        net = network_of(shared_trunk=shared)
        grad = jax.grad(lambda n: jnp.sum(n(x, None)[1] ** 2))(net)
        assert bool(jnp.any(grad.policy_trunk[0].weight != 0.0)) == shared


def test_first_policy_is_nearly_uniform() -> None:
    logits, _ = network_of()(observations(200), None)
    probabilities = jax.nn.softmax(logits, axis=1)
    np.testing.assert_allclose(np.asarray(probabilities), 1 / 3, atol=0.02)


def test_same_key_same_bits_other_key_other_bits() -> None:
    one, again, other = network_of(seed=7), network_of(seed=7), network_of(seed=8)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(again), strict=True):
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()
    assert not np.array_equal(one.policy_head.weight, other.policy_head.weight)


def test_samples_follow_the_softmax() -> None:
    net = network_of()
    logits = jnp.asarray([[0.5, -1.0, 2.0], [-3.0, 0.0, 0.0]], jnp.float32)
    count = 40_000
    out = jnp.repeat(logits[:, :, None], count, axis=2)
    noise = jax.random.uniform(jax.random.PRNGKey(3), (2, count), jnp.float32)
    actions = np.asarray(sample(net, out, noise))
    assert actions.dtype == np.int32
    for s in range(2):
        expected = np.asarray(jax.nn.softmax(logits[s]))
        found = np.bincount(actions[s], minlength=3) / count
        deviation = np.sqrt(expected * (1.0 - expected) / count)
        assert (np.abs(found - expected) < 4.0 * deviation).all()
    assert np.asarray(best_action(net, out))[:, 0].tolist() == [2, 1]


@given(st.integers(0, 10_000))
@settings(max_examples=40)
def test_illegal_actions_are_never_sampled(seed: int) -> None:
    """Not even with the smallest and the largest uniform number there is."""
    rng = np.random.default_rng(seed)
    net = network_of("hold_buy_sell_close")
    count = 64
    legal = rng.random((count, 2, 4)) < 0.5
    legal[..., rng.integers(0, 4)] = True
    raw = rng.normal(0.0, 10.0, (2, 4, count)).astype(np.float32)
    out = jnp.where(jnp.transpose(legal, (1, 2, 0)), raw, jnp.float32(FORBIDDEN))
    top = np.nextafter(np.float32(1.0), np.float32(0.0))
    for noise in (np.zeros((2, count)), np.full((2, count), top), rng.random((2, count))):
        action = np.asarray(sample(net, out, jnp.asarray(noise, jnp.float32)))
        chosen = np.take_along_axis(legal.transpose(1, 2, 0), action[:, None], axis=1)
        assert chosen.all()
        log_prob, entropy = log_prob_entropy(net, out, jnp.asarray(action))
        assert np.isfinite(log_prob).all()
        assert np.isfinite(entropy).all()
    best = np.asarray(best_action(net, out))
    assert np.take_along_axis(legal.transpose(1, 2, 0), best[:, None], axis=1).all()


def test_the_network_masks_what_the_environment_forbids() -> None:
    net = network_of("hold_buy_sell_close")
    legal = np.ones((5, 2, 4), bool)
    legal[2, 1, 3] = False
    logits, value = net(observations(), jnp.asarray(legal))
    free, unmasked_value = net(observations(), None)
    assert float(logits[1, 3, 2]) == np.float32(FORBIDDEN)
    assert (np.asarray(logits) == FORBIDDEN).sum() == 1
    rest = np.asarray(logits) != FORBIDDEN
    assert np.array_equal(np.asarray(logits)[rest], np.asarray(free)[rest])
    assert np.array_equal(value, unmasked_value)


def test_categorical_log_probability_and_entropy() -> None:
    net = network_of()
    out = jax.random.normal(jax.random.PRNGKey(0), (2, 3, 9), jnp.float32) * 3.0
    action = jax.random.randint(jax.random.PRNGKey(1), (2, 9), 0, 3, jnp.int32)
    log_prob, entropy = log_prob_entropy(net, out, action)
    logs = np.asarray(jax.nn.log_softmax(out, axis=1))
    expected = np.take_along_axis(logs, np.asarray(action)[:, None], axis=1)[:, 0].sum(axis=0)
    np.testing.assert_allclose(log_prob, expected, rtol=1e-5)
    np.testing.assert_allclose(entropy, -(np.exp(logs) * logs).sum(axis=(0, 1)), rtol=1e-5)
    uniform, most = log_prob_entropy(net, jnp.zeros((2, 3, 1)), jnp.zeros((2, 1), jnp.int32))
    assert float(uniform[0]) == pytest.approx(2 * np.log(1 / 3))
    assert float(most[0]) == pytest.approx(2 * np.log(3))


def test_gaussian_log_probability_and_entropy() -> None:
    net = network_of("target_weight", log_std_init=-0.5)
    assert net.log_std.tolist() == [-0.5, -0.5]
    mean = jnp.asarray([[0.1, -0.4], [0.0, 0.3]], jnp.float32)
    noise = jnp.asarray([[1.0, -2.0], [0.5, 0.0]], jnp.float32)
    action = sample(net, mean, noise)
    std = np.exp(-0.5)
    np.testing.assert_allclose(action, mean + std * noise, rtol=1e-6)
    log_prob, entropy = log_prob_entropy(net, mean, action)
    expected = jax.scipy.stats.norm.logpdf(action, mean, std).sum(axis=0)
    np.testing.assert_allclose(log_prob, expected, rtol=1e-5)
    one = 0.5 * np.log(2 * np.pi * np.e * std**2)
    np.testing.assert_allclose(entropy, [2 * one, 2 * one], rtol=1e-6)
    assert np.array_equal(best_action(net, mean), mean)


def test_a_categorical_policy_has_no_standard_deviation() -> None:
    assert network_of().log_std.shape == (0,)
    assert config_of().agent.network.shared_trunk
