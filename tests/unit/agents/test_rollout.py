"""Advantages by hand, and the value that a truncated episode bootstraps from."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from env_cases import agent_of, environment, random_split
from truefill.agents.networks import ActorCritic, make_network
from truefill.agents.rollout import Guess, Rollout, advantages, collect
from truefill.env import episodes
from truefill.env.setup import Environment

GAMMA, LAMBDA = 0.9, 0.8
KEYS: dict[str, Any] = {"market.allow_short": True, "env.episode_bars": 6}
run_collect = partial(jax.jit, static_argnums=(0, 6))(collect)


def rollout(reward: Any, value: Any, done: Any, final: Any = None) -> Rollout:
    """Time series of one account, [T]; the rest of a rollout is not looked at."""

    def column(x: Any) -> jax.Array:
        return jnp.asarray(x, jnp.float32)[:, None]

    final = np.zeros(len(reward)) if final is None else final
    worth, ended = Guess(column(value), None), Guess(column(final), None)
    return Rollout(None, None, None, worth, column(reward), column(done) > 0, ended)


def gae(rows: Rollout, last: float, gamma: float = GAMMA, lam: float = LAMBDA) -> np.ndarray:
    after = Guess(jnp.asarray([last], jnp.float32), None)
    return np.asarray(advantages(rows, after, gamma, lam))[:, 0]


def test_three_steps_by_hand() -> None:
    """deltas: 1 + .9 x 2 - 1 = 1.8;  0 + .9 x 3 - 2 = 0.7;  2 + .9 x 4 - 3 = 2.6."""
    got = gae(rollout([1, 0, 2], [1, 2, 3], [0, 0, 0]), last=4.0)
    third = 2.6
    second = 0.7 + 0.72 * third
    np.testing.assert_allclose(got, [1.8 + 0.72 * second, second, third], rtol=1e-6)


def test_termination_cuts() -> None:
    """Nothing after the second step, nor its successor's value, reaches the first two."""
    got = gae(rollout([1, 0, 2], [1, 2, 3], [0, 1, 0]), last=4.0)
    second = 0.0 - 2.0
    np.testing.assert_allclose(got, [1.8 + 0.72 * second, second, 2.6], rtol=1e-6)


def test_truncation_bootstraps_with_the_final_observations_value() -> None:
    """The 3 of the new episode is not looked at, the 10 of the old one's end is."""
    got = gae(rollout([1, 0, 2], [1, 2, 3], [0, 1, 0], [0, 10, 0]), last=4.0)
    second = 0.0 + 0.9 * 10.0 - 2.0
    np.testing.assert_allclose(got, [1.8 + 0.72 * second, second, 2.6], rtol=1e-6)


@pytest.mark.parametrize("lam", [0.0, 0.5, 1.0])
def test_constant_reward_is_worth_one_over_one_minus_gamma_only_if_truncation_bootstraps(
    lam: float,
) -> None:
    """At that value every advantage is 0. Cut instead, the episode's last steps look worse."""
    worth = 1.0 / (1.0 - GAMMA)
    T, every = 40, 8
    done = (np.arange(1, T + 1) % every == 0).astype(float)
    value = np.full(T, worth)
    bootstrapped = rollout(np.ones(T), value, done, done * worth)
    np.testing.assert_allclose(gae(bootstrapped, worth, lam=lam), 0.0, atol=1e-4)
    cut = gae(rollout(np.ones(T), value, done), worth, lam=lam)
    np.testing.assert_allclose(cut[every - 1 :: every], 1.0 - worth, rtol=1e-5)


def test_lambda_one_is_the_discounted_return() -> None:
    got = gae(rollout([1, 2, 3], [5, 6, 7], [0, 0, 0]), last=8.0, lam=1.0)
    returns = [1 + 0.9 * (2 + 0.9 * (3 + 0.9 * 8)), 2 + 0.9 * (3 + 0.9 * 8), 3 + 0.9 * 8]
    np.testing.assert_allclose(got + np.asarray([5, 6, 7]), returns, rtol=1e-6)


def played(
    keys: dict[str, Any], steps: int = 12, accounts: int = 8, kind: str = "short_flat_long"
) -> tuple[Environment, ActorCritic, Any, Any, Rollout, Any]:
    env = environment(random_split(5, bars=30), {**keys, "env.action.kind": kind})
    network = make_network(jax.random.PRNGKey(0), env.spec, agent_of(hidden=(8,)))
    begin = jnp.arange(accounts, dtype=jnp.int32)
    state = episodes.reset(env.spec, env.arrays, begin)
    key = jax.random.PRNGKey(1)
    after, _, last, rows, stats = run_collect(env.spec, env.arrays, network, state, (), key, steps)
    return env, network, after, last, rows, stats


def test_a_rollout_records_what_happened() -> None:
    env, network, after, last, rows, stats = played(KEYS)
    done = np.asarray(rows.done)
    assert rows.observation.values.shape == (12, env.spec.observation_size, 8)
    assert rows.action.shape == (12, 2, 8)
    assert done[5].all()  # the time limit of 6
    assert int(stats.episodes) == done.sum()
    for t in (0, 7):
        out, value = network(rows.observation.values[t], None)
        np.testing.assert_allclose(rows.guess.value[t], value[0], rtol=1e-5, atol=1e-6)
        logs = jax.nn.log_softmax(out, axis=1)
        own = jnp.take_along_axis(logs, rows.action[t][:, None], axis=1)[:, 0].sum(axis=0)
        np.testing.assert_allclose(rows.log_prob[t], own, rtol=1e-5)
    seen = episodes.observe(env.spec, env.arrays, after)
    np.testing.assert_allclose(last.value, network.critic((), seen.values)[0], rtol=1e-5, atol=1e-6)
    assert not np.array_equal(rows.observation.values[6], rows.observation.values[5])


def test_an_action_for_the_whole_account_has_its_own_size() -> None:
    """Two symbols, long and short logits, cash: five values, and the noise of five."""
    action = {"kind": "portfolio_weights", "params": {"long_short": True}}
    keys = {**KEYS, "market.no_trade_band": 0.05, "env.action": action}
    env, network, _, _, rows, stats = played(keys, kind="portfolio_weights")
    assert env.spec.action_size == 5
    assert rows.action.shape == (12, 5, 8)
    assert rows.action.dtype == jnp.float32
    assert int(stats.illegal) == 0
    out, _ = network(rows.observation.values[0], None)
    assert out.shape == (5, 8)
    noise = (np.asarray(rows.action) - np.asarray(out)[None]) / np.exp(network.log_std)[:, None]
    assert len(np.unique(noise.round(5))) > 450
    wanted = jax.scipy.stats.norm.logpdf(rows.action[0], out, jnp.exp(network.log_std)[:, None])
    np.testing.assert_allclose(rows.log_prob[0], wanted.sum(axis=0), rtol=1e-5)


def test_the_final_value_is_that_of_the_state_before_the_reset() -> None:
    env, network, _, _, rows, _ = played(KEYS)
    state = episodes.reset(env.spec, env.arrays, jnp.arange(8, dtype=jnp.int32))
    step = jax.jit(episodes.advance, static_argnums=0)
    for t in range(6):
        state, seen = step(env.spec, env.arrays, state, rows.action[t].T)
    assert bool(seen.truncated.all())
    expected = network.critic((), episodes.observe(env.spec, env.arrays, seen.final).values)
    np.testing.assert_allclose(rows.final.value[5], expected[0], rtol=1e-5, atol=1e-6)
    assert not np.allclose(rows.final.value[5], rows.guess.value[6], atol=1e-4)
    assert not np.asarray(rows.final.value)[~np.asarray(rows.done)].any()


def test_termination_has_no_final_value() -> None:
    """A drawdown limit of nothing: nearly every step that loses terminates."""
    _, _, _, _, rows, stats = played({**KEYS, "env.drawdown_limit": 1e-9, "env.episode_bars": 99})
    assert int(stats.episodes) > 8
    late = np.asarray(rows.done) & (np.asarray(rows.final.value) != 0.0)
    assert not late.any()


def test_only_the_truncated_accounts_of_a_step_have_a_final_value() -> None:
    """Episodes out of step: at one bar some are truncated, some terminated, some go on."""
    _, _, _, _, rows, _ = played({**KEYS, "env.drawdown_limit": 0.03, "env.episode_bars": 4})
    done, final = np.asarray(rows.done), np.asarray(rows.final.value)
    truncated = final != 0.0
    assert (truncated.any(axis=1) & ~done.all(axis=1)).any()
    assert (truncated.any(axis=1) & (done & ~truncated).any(axis=1)).any()
    assert not truncated[~done].any()


@pytest.mark.slow
def test_masked_actions_are_never_taken_and_unmasked_ones_are_counted() -> None:
    kind = "hold_buy_sell_close"
    *_, rows, stats = played(KEYS, kind=kind)
    assert int(stats.illegal) == 0
    legal = np.asarray(rows.observation.legal)  # [T, N, S, A]
    action = np.asarray(rows.action).transpose(0, 2, 1)
    assert np.take_along_axis(legal, action[..., None], axis=-1).all()
    *_, rows, stats = played({**KEYS, "env.action": {"illegal": "no_op"}}, kind=kind)
    assert rows.observation.legal is None
    assert int(stats.illegal) > 0


def test_same_key_same_rollout() -> None:
    one, again = played(KEYS)[4], played(KEYS)[4]
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(again), strict=True):
        assert np.array_equal(a, b)
