"""Every registered reward term is 0 for who never trades, and no way to flatter a loss."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from env_cases import environment, play, random_split, split_of, steps_of
from truefill.env.rewards import REWARD_TERMS, Moments, _moving_sharpe, differential_sharpe
from truefill.env.setup import SHAPED

BARS = 40
NAMES = [entry.name for entry in REWARD_TERMS]
KEYS: dict[str, Any] = {
    "market.allow_short": True,
    "market.max_leverage": 3.0,
    "market.max_weight": 2.0,
    "market.stop_loss": 0.1,
    "env.action": {"kind": "short_flat_long", "params": {"size": 2.0}},
    "env.reward.clip": None,
    **{f"env.reward.{name}": 0.5 for name in SHAPED},
}
SHORT, FLAT, LONG = 0, 1, 2
seeds = st.integers(0, 10_000)


def random_actions(seed: int, accounts: int = 6, symbols: int = 2) -> np.ndarray:
    """[T, N, S]: who never trades first, then who changes its mind often."""
    rng = np.random.default_rng(seed)
    actions = rng.integers(0, 3, (BARS - 1, accounts, symbols))
    actions = np.where(rng.random(actions.shape) < 0.5, actions, FLAT)
    actions[:, 0] = FLAT
    return actions


def played(seed: int, keys: dict[str, Any] | None = None) -> tuple[Any, Any, Any]:
    env = environment(random_split(seed, bars=BARS), {**KEYS, **(keys or {})})
    states, done, _ = play(env, random_actions(seed))
    return env, states, done


def test_every_term_is_one_that_the_config_can_switch_on() -> None:
    assert set(NAMES) == {"log_equity", *SHAPED}
    assert {entry.facts["bound"] for entry in REWARD_TERMS} == {"profit", "<= 0", "potential"}


@given(seeds)
@settings(max_examples=12)
def test_who_never_trades_earns_exactly_nothing(seed: int) -> None:
    env, states, done = played(seed)
    step = steps_of(env, states, done)
    for entry in REWARD_TERMS:
        value = np.asarray(entry.make(step))
        assert (value[:, 0] == 0.0).all(), entry.name
        assert (value[:, 1:] != 0.0).any(), f"{entry.name} never moved: the test saw nothing"
    assert (done.reward[:, 0] == 0.0).all()
    assert (done.result.turnover[:, 0] == 0.0).all()


@given(seeds)
@settings(max_examples=12)
def test_terms_declared_never_positive_are_never_positive(seed: int) -> None:
    env, states, done = played(seed)
    step = steps_of(env, states, done)
    for entry in REWARD_TERMS:
        if entry.facts["bound"] == "<= 0":
            assert (np.asarray(entry.make(step)) <= 0.0).all(), entry.name


@given(seeds)
@settings(max_examples=12)
def test_potential_terms_telescope(seed: int) -> None:
    """At gamma 1 an episode adds up to potential(end) - potential(start), whatever was done."""
    env, states, done = played(seed, {"agent.ppo.gamma": 1.0})
    step = steps_of(env, states, done)._replace(ended=np.zeros_like(done.terminated))
    last = jnp.asarray(np.asarray(_moving_sharpe(Moments(*(m[-1] for m in step.new)))))
    first = np.asarray(_moving_sharpe(Moments(*(m[0] for m in step.old))))
    assert (first == 0.0).all()
    assert (np.abs(np.asarray(last)[1:]) > 1e-6).any()
    for entry in REWARD_TERMS:
        if entry.facts["bound"] == "potential":
            total = np.asarray(entry.make(step)).sum(axis=0)
            np.testing.assert_allclose(total, np.asarray(last) - first, atol=1e-12)


def test_a_potential_is_zero_after_termination() -> None:
    env, states, done = played(3)
    step = steps_of(env, states, done)
    ended = np.asarray(differential_sharpe(step._replace(ended=np.ones_like(done.terminated))))
    np.testing.assert_array_equal(ended, -np.asarray(_moving_sharpe(step.old)))


def test_the_moving_sharpe_stands_still_while_flat() -> None:
    """A trade, then nothing: at gamma 1 the term is 0 from the first bar without a position."""
    keys = {**KEYS, "agent.ppo.gamma": 1.0, "env.action.params": {"size": 1.0}}
    env = environment(random_split(8, bars=BARS, symbols=1, masked=0.0), keys)
    actions = np.full((BARS - 1, 1, 1), FLAT)
    actions[:5] = LONG
    states, done, _ = play(env, actions)
    term = np.asarray(differential_sharpe(steps_of(env, states, done)))[:, 0]
    assert (term[1:6] != 0.0).all()  # bar 6 pays for closing
    assert (term[6:] == 0.0).all()
    assert done.final.moments.second[-1, 0] > 0.0


def test_the_terms_by_hand() -> None:
    """No costs, long from the open of bar 1 at 100: closes 110, 99 -> equity 11,000, 9,900."""
    env = environment(
        split_of([100.0, 110.0, 99.0]),
        {
            "market.fee_bps": 0, "market.half_spread_bps": 0, "market.slippage_bps": 0,
            "env.action.kind": "flat_long", "env.reward.scale": 1.0,
            "env.reward.differential_sharpe_eta": 0.5, **{f"env.reward.{n}": 1.0 for n in SHAPED},
        },
    )  # fmt: skip
    states, done, _ = play(env, np.ones((2, 1, 1)))
    step = steps_of(env, states, done)
    up, down = np.log(1.1), np.log(0.9)
    expected = {
        "log_equity": [up, down],
        "drawdown": [0.0, -0.1],
        "turnover": [-1.0, 0.0],
        "downside": [0.0, down],
    }
    for name, values in expected.items():
        got = np.asarray(REWARD_TERMS.get(name).make(step))[:, 0]
        np.testing.assert_allclose(got, values, rtol=1e-12, atol=1e-15, err_msg=name)
    # eta 0.5: moments (up / 2, up^2 / 2) -> sharpe tanh(1) exactly, whatever the return.
    potential = np.asarray(differential_sharpe(step))[:, 0]
    assert potential[0] == pytest.approx(0.99 * np.tanh(1.0), rel=1e-12)
    first, second = up / 4 + down / 2, up**2 / 4 + down**2 / 2
    after = np.tanh(first / np.sqrt(second - first**2))
    assert potential[1] == pytest.approx(0.99 * after - np.tanh(1.0), rel=1e-9)


def foresight(split: Any) -> np.ndarray:
    """Long during bars that rise by more than a round trip costs, short in the mirror case."""
    move = np.log(split.close[1:, 0] / split.open[1:, 0])
    return np.where(move > 0.01, LONG, np.where(move < -0.01, SHORT, FLAT))


@given(seeds)
@settings(max_examples=25)
def test_log_equity_orders_policies_as_net_profit_does(seed: int) -> None:
    """Perfect foresight, buy and hold, flat, churn, on paths without masked bars."""
    split = random_split(seed, bars=BARS, symbols=1, masked=0.0)
    keys = {
        **{key: value for key, value in KEYS.items() if not key.startswith("env.reward.")},
        "env.reward.clip": None, "market.max_leverage": 1.0, "market.max_weight": 1.0,
        "market.stop_loss": None, "env.action": {"kind": "short_flat_long"},
    }  # fmt: skip
    env = environment(split, keys)
    churn = np.where(np.arange(BARS - 1) % 2 == 0, LONG, SHORT)
    plans = [foresight(split), np.full(BARS - 1, LONG), np.full(BARS - 1, FLAT), churn]
    _, done, _ = play(env, np.stack(plans, axis=1)[..., None])
    paid = done.reward.astype(np.float64).sum(axis=0)
    profit = done.final.account.equity[-1] - 10_000.0
    assert np.argsort(paid).tolist() == np.argsort(profit).tolist()
    np.testing.assert_allclose(paid / 100.0, np.log1p(profit / 10_000.0), atol=1e-5)
    assert profit[2] == 0.0
    assert profit[0] > 0.0
