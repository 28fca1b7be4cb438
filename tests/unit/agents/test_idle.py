"""Bars at which an action can do nothing: which they are, and that they teach nothing."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from env_cases import config_of, environment, random_split, split_of, with_windows
from truefill.agents import ppo
from truefill.agents.networks import make_network
from truefill.agents.rollout import Guess, Rollout, advantages, collect, drawn_returns
from truefill.config.schema import AgentConfig
from truefill.env import episodes
from truefill.env.setup import make_environment

PPO = {"num_envs": 4, "num_steps": 8, "minibatch": 32, "block": 4, "epochs": 1}
WINDOW = [{"start": "06:00", "end": "08:00"}]  # hourly bars 6 and 7 of each day
run_collect = partial(jax.jit, static_argnums=(0, 6))(collect)


def played(keys: dict[str, Any], closed: bool) -> tuple[Any, Rollout]:
    config = config_of(keys)
    split = split_of(100.0 + np.sin(np.arange(40)))
    split = with_windows(split, config) if closed else split
    env = make_environment(config, split, "train")
    network = make_network(jax.random.PRNGKey(0), env.spec, config.agent)
    state = episodes.reset(env.spec, env.arrays, jnp.asarray([0, 3], jnp.int32))
    key = jax.random.PRNGKey(1)
    rows = run_collect(env.spec, env.arrays, network, state, (), key, 9)[3]
    return env, rows


@pytest.mark.slow
def test_where_every_bar_can_be_traded_nothing_is_marked() -> None:
    env, rows = played({}, closed=False)
    assert env.arrays.idle is None
    assert rows.acts is None and rows.tradable is None


@pytest.mark.parametrize("lag", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_an_order_for_a_closed_bar_is_idle(lag: int) -> None:
    keys = {"market.no_trade": WINDOW, "market.decision_lag": lag}
    _, rows = played(keys, closed=True)
    idle = {hour - lag for hour in (6, 7)}
    for account, first in enumerate((0, 3)):
        wanted = [0.0 if (first + t) % 24 in idle else 1.0 for t in range(9)]
        assert np.asarray(rows.acts)[:, account].tolist() == wanted
        assert np.asarray(rows.tradable)[:, account].tolist() == wanted


def test_bars_between_decisions_do_not_act_but_can_be_learned_from() -> None:
    _, rows = played({"market.decision_interval_bars": 4}, closed=False)
    assert np.asarray(rows.acts)[:, 0].tolist() == [1, 0, 0, 0, 1, 0, 0, 0, 1]
    assert rows.tradable is None


def test_the_end_of_one_symbol_does_not_look_at_the_beginning_of_the_next() -> None:
    """Two symbols of 30 hourly bars, one after the other; both begin with two closed ones. What is
    decided at the last two bars of the first is due in the second, and so comes too late."""
    night = [{"start": "00:00", "end": "02:00"}]
    keys = {"market.no_trade": night, "market.decision_lag": 2, "env.episode_symbols": "one"}
    config = config_of(keys)
    close = 100.0 + np.sin(np.arange(60)).reshape(30, 2)
    env = make_environment(config, with_windows(split_of(close), config), "train")
    assert np.flatnonzero(np.asarray(env.arrays.idle)).tolist() == [22, 23, 52, 53]


@pytest.mark.slow
def test_both_together() -> None:
    keys = {"market.no_trade": WINDOW, "market.decision_interval_bars": 5}
    _, rows = played(keys, closed=True)
    assert np.asarray(rows.acts)[:, 0].tolist() == [1, 0, 0, 0, 0, 0, 0, 0, 0]
    assert np.asarray(rows.tradable)[:, 0].tolist() == [1, 1, 1, 1, 1, 0, 0, 1, 1]


def rollout(value: list[float], tradable: list[float] | None) -> tuple[Rollout, Guess]:
    def column(x: Any) -> jax.Array:
        return jnp.asarray(x, jnp.float32)[:, None]

    count = len(value)
    guess = Guess(column(value), column(np.asarray(value) * 10))
    nothing = Guess(column(np.zeros(count)), column(np.zeros(count)))
    rows = Rollout(None, None, None, guess, column([1.0] * count), column([0] * count) > 0, nothing)
    rows = rows._replace(tradable=None if tradable is None else column(tradable))
    return rows, Guess(jnp.asarray([7.0]), jnp.asarray([70.0]))


def test_nothing_is_bootstrapped_from_a_bar_that_cannot_be_traded() -> None:
    """However wrong its value is, the returns before it are the same."""
    found = []
    for wrong in (2.0, 100.0):
        rows, last = rollout([3.0, 4.0, wrong, 5.0], [1, 1, 0, 1])
        returns = advantages(rows, last, 0.9, 0.6) + rows.guess.value
        draws = drawn_returns(rows, last, 0.9, 0.6, jnp.full((4, 1), 0.99))
        found.append(np.stack([returns, draws])[:, [0, 1, 3], 0])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-4)
    rows, last = rollout([3.0, 4.0, 2.0, 5.0], [1, 1, 0, 1])
    third = 1.0 + 0.9 * (0.4 * 5.0 + 0.6 * (1.0 + 0.9 * 7.0))
    second = 1.0 + 0.9 * third  # straight through, not 0.4 of the 2
    returns = advantages(rows, last, 0.9, 0.6) + rows.guess.value
    assert returns[1].item() == pytest.approx(second)
    plain, last = rollout([3.0, 4.0, 2.0, 5.0], None)
    returns = advantages(plain, last, 0.9, 0.6) + plain.guess.value
    assert returns[1].item() == pytest.approx(1.0 + 0.9 * (0.4 * 2.0 + 0.6 * third))


def test_a_drawn_return_ends_where_its_lot_says() -> None:
    rows, last = rollout([3.0, 4.0, 2.0], None)
    uniform = jnp.asarray([[0.1], [0.9], [0.1]])  # on, end, on; lambda 0.5
    found = drawn_returns(rows, last, 0.9, 0.5, uniform)[:, 0]
    second = 1.0 + 0.9 * 20.0
    assert found.tolist() == pytest.approx([1.0 + 0.9 * second, second, 1.0 + 0.9 * 70.0])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ppo", "quantile_ppo"])
def test_idle_bars_teach_the_policy_nothing(kind: str) -> None:
    """An update of bars that never act moves no weight of the policy, unless told to."""
    keys = {"market.decision_interval_bars": 40, "market.no_trade_band": 0.05}
    env = environment(random_split(2, bars=40, masked=0.0), keys)

    def moved(mask: bool) -> float:
        agent = AgentConfig(
            kind=kind,
            network={"hidden": [4], "shared_trunk": False},
            ppo={**PPO, "mask_idle": mask},
            **({} if kind == "ppo" else {"critic": {"popart": {"enabled": False}}}),
        )
        network = make_network(jax.random.PRNGKey(0), env.spec, agent)
        state = ppo.init(env.spec, env.arrays, network, agent, jax.random.PRNGKey(1))
        account = state.env.account._replace(age=jnp.ones_like(state.env.account.age))
        state = state._replace(env=state.env._replace(account=account))
        after, _ = ppo.update(state, env.arrays, spec=env.spec, config=agent, total_steps=320)
        change = after.network.policy_head.weight - network.policy_head.weight
        critic = after.network.value_head[0].weight - network.value_head[0].weight
        assert float(jnp.abs(critic).max()) > 0.0
        return float(jnp.abs(change).max())

    assert moved(mask=True) == 0.0
    assert moved(mask=False) > 0.0


@pytest.mark.slow
def test_minibatches_without_a_bar_that_acts_do_not_thin_the_policys_figures() -> None:
    """One bar in 24 decides: most minibatches of 16 rows hold none. The policy begins uniform."""
    keys = {"market.decision_interval_bars": 24, "market.no_trade_band": 0.05}
    env = environment(random_split(2, bars=40, masked=0.0), keys)
    agent = AgentConfig(
        network={"hidden": [4]}, ppo={**PPO, "num_envs": 16, "minibatch": 16, "learning_rate": 0.0}
    )
    network = make_network(jax.random.PRNGKey(0), env.spec, agent)
    state = ppo.init(env.spec, env.arrays, network, agent, jax.random.PRNGKey(1))
    _, log = ppo.update(state, env.arrays, spec=env.spec, config=agent, total_steps=128)
    wanted = network.num_heads * np.log(network.num_actions)
    assert float(log.losses.entropy) == pytest.approx(wanted, rel=1e-3)


def test_accounts_between_decisions_are_out_of_step() -> None:
    """Some decide on any bar; without an interval all begin an episode."""

    def ages(interval: int) -> np.ndarray:
        keys = {"market.decision_interval_bars": interval, "env.episode_bars": 30}
        env = environment(random_split(2, bars=40, masked=0.0), keys)
        agent = AgentConfig(network={"hidden": [4]}, ppo={**PPO, "num_envs": 64})
        network = make_network(jax.random.PRNGKey(0), env.spec, agent)
        state = ppo.init(env.spec, env.arrays, network, agent, jax.random.PRNGKey(1))
        assert (state.env.account.age == state.env.steps).all()
        return np.asarray(state.env.steps)

    assert set(ages(5) % 5) == {0, 1, 2, 3, 4}
    assert ages(5).max() < 30
    assert set(ages(1)) == {0}
