"""Episodes: which bar a step is about, what it pays and when, how it ends, how it begins again."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from env_cases import NO_COSTS, environment, play, random_split, split_of
from truefill.env import episodes
from truefill.env.setup import Environment
from truefill.market.types import EQUITY_FLOOR

LONG_ONLY = {**NO_COSTS, "env.action.kind": "flat_long", "env.reward.scale": 1.0}
BOTH_SIDES = {"market.allow_short": True, "env.action.kind": "short_flat_long"}
PATH = [100.0, 110.0, 99.0, 99.0, 108.9, 98.01]
step_jit = jax.jit(episodes.step, static_argnums=0)


def test_the_reward_of_step_t_is_what_equity_did_from_close_t_to_close_t_plus_1() -> None:
    """The order of bar t fills at the open of t + 1 (= 100 x 1.02 here), and earns from there."""
    close = [100.0, 110.0, 99.0, 120.0]
    opens = [100.0, 102.0, 110.0, 99.0]
    env = environment(split_of(close, opens=opens), LONG_ONLY)
    states, done, _ = play(env, np.asarray([1, 1, 0])[:, None, None])
    assert states.t[:, 0].tolist() == [0, 1, 2]
    equity = [10_000.0, 10_000 * 110 / 102, 10_000 * 99 / 102, 10_000 * 99 / 102]
    np.testing.assert_allclose(states.account.equity[:, 0], equity[:3], rtol=1e-12)
    assert done.final.account.equity[-1, 0] == pytest.approx(equity[3])
    expected = np.diff(np.log(equity))
    np.testing.assert_allclose(done.reward[:, 0], expected, rtol=1e-6, atol=1e-12)
    assert done.reward.dtype == np.float32


def test_scale_and_clip_apply_to_each_bar() -> None:
    keys = {**LONG_ONLY, "env.reward.scale": 10.0, "env.reward.clip": 0.9}
    _, done, _ = play(environment(split_of(PATH), keys), np.ones((5, 1, 1)))
    raw = 10.0 * np.diff(np.log(PATH))
    np.testing.assert_allclose(done.reward[:, 0], np.clip(raw, -0.9, 0.9), rtol=1e-6)
    assert (np.abs(raw) > 0.9).sum() == 4


@pytest.mark.parametrize("interval", [1, 2, 4, 9])
def test_the_interval_moves_payments_and_changes_no_total(interval: int) -> None:
    keys = {**LONG_ONLY, "env.reward.interval_bars": interval, "env.episode_bars": 5}
    _, done, _ = play(environment(split_of(PATH), keys), np.ones((5, 1, 1)))
    pays = [t for t in range(1, 6) if t % interval == 0 or t == 5]
    assert (np.flatnonzero(done.reward[:, 0]) + 1).tolist() == [t for t in pays if t != 3]
    assert done.reward.sum() == pytest.approx(np.log(PATH[-1] / PATH[0]), rel=1e-6)
    assert done.final.owed[-1, 0] == 0.0


def test_the_interval_pays_out_at_termination_too() -> None:
    keys = {**LONG_ONLY, "env.reward.interval_bars": 100, "env.drawdown_limit": 0.09}
    _, done, _ = play(environment(split_of(PATH), keys), np.ones((5, 1, 1)))
    assert done.terminated[:, 0].tolist()[:2] == [False, True]
    assert done.reward[:2, 0] == pytest.approx([0.0, np.log(0.99)])


def test_interval_and_drawdown_limit_belong_to_training_only() -> None:
    keys = {**LONG_ONLY, "env.reward.interval_bars": 4, "env.drawdown_limit": 0.05,
            "env.episode_bars": 2}  # fmt: skip
    _, done, _ = play(environment(split_of(PATH), keys, "backtest"), np.ones((5, 1, 1)))
    np.testing.assert_allclose(done.reward[:, 0], np.diff(np.log(PATH)), atol=1e-7)
    assert not done.terminated.any()
    assert done.truncated[:, 0].tolist() == [False, False, False, False, True]  # the data's end


def test_the_drawdown_limit_terminates_when_reached() -> None:
    """100 units from 100: equity 10,000, 7,500 (a drawdown of exactly 0.25), 9,000."""
    split = split_of([100.0, 100.0, 75.0, 90.0])
    for limit, expected in ((0.25, [False, True, False]), (0.26, [False, False, False])):
        env = environment(split, {**LONG_ONLY, "env.drawdown_limit": limit})
        _, done, _ = play(env, np.ones((3, 1, 1)))
        assert done.result.drawdown[:, 0].tolist() == pytest.approx([0.0, 0.25, 0.1])
        assert done.terminated[:, 0].tolist() == expected


def test_ruin_terminates_with_finite_reward() -> None:
    keys = {**LONG_ONLY, "market.max_leverage": 3.0, "market.max_weight": 3.0,
            "market.maintenance_margin": 0.0, "market.ruin_fraction": 0.2, "env.reward.clip": None,
            "env.action.params": {"size": 3.0}}  # fmt: skip
    _, done, _ = play(environment(split_of([100.0, 100.0, 50.0, 50.0]), keys), np.ones((3, 1, 1)))
    assert done.terminated[:, 0].tolist()[:2] == [False, True]
    assert done.result.ruined[1, 0]
    assert done.reward[1, 0] == pytest.approx(np.log(EQUITY_FLOOR), rel=1e-5)


def test_the_time_limit_and_the_end_of_data_truncate_and_termination_wins() -> None:
    keys = {**LONG_ONLY, "env.episode_bars": 2, "env.drawdown_limit": 0.05}
    env = environment(split_of(PATH), keys)
    _, done, _ = play(env, np.ones((5, 1, 1)), start=0)
    # Bar 2 is both the second step and a drawdown of 10 %.
    assert (bool(done.terminated[1, 0]), bool(done.truncated[1, 0])) == (True, False)
    flat = np.zeros((2, 1, 1))
    _, done, _ = play(env, flat, start=0)
    assert done.truncated[:, 0].tolist() == [False, True]
    _, done, _ = play(env, flat[:1], start=4)
    assert done.truncated[:, 0].tolist() == [True]  # bar 5 is the last
    for seed in range(5):
        random = environment(
            random_split(seed), {**BOTH_SIDES, "env.drawdown_limit": 0.05, "env.episode_bars": 3}
        )
        actions = np.random.default_rng(seed).integers(0, 3, (39, 4, 2))
        _, done, _ = play(random, actions)
        assert done.terminated.any()
        assert done.truncated.any()
        assert not (done.terminated & done.truncated).any()


def test_reset_opens_fresh_accounts_marked_at_their_bar() -> None:
    env = environment(split_of(PATH), {**LONG_ONLY, "env.initial_balance": 5_000})
    state = episodes.reset(env.spec, env.arrays, jnp.asarray([1, 3], jnp.int32))
    assert state.t.tolist() == [1, 3]
    assert state.account.cash.tolist() == state.account.equity.tolist() == [5_000.0, 5_000.0]
    assert state.account.mark[:, 0].tolist() == [110.0, 99.0]
    for zero in (state.account.units, state.account.held, state.steps, state.owed, *state.moments):
        assert not np.asarray(zero).any()


@pytest.mark.parametrize("lag", [1, 2, pytest.param(3, marks=pytest.mark.slow)])
def test_auto_reset_returns_the_fresh_state_and_keeps_the_final_one(lag: int) -> None:
    """Accounts 0 and 2 are near the end of the data, account 1 is not."""
    keys = {**BOTH_SIDES, "market.decision_lag": lag, "env.reward.interval_bars": 3,
            "env.reward.differential_sharpe": 0.5}  # fmt: skip
    env = environment(random_split(1, bars=20, masked=0.0), keys)
    state = episodes.reset(env.spec, env.arrays, jnp.asarray([14, 2, 14], jnp.int32))
    restart = jnp.asarray([4, 5, 6], jnp.int32)
    action = jnp.asarray([[2, 0], [0, 2], [2, 2]], jnp.int32)
    for _ in range(4):
        state, done = step_jit(env.spec, env.arrays, state, action, restart)
        assert not done.truncated.any()
    before = state
    state, done = step_jit(env.spec, env.arrays, state, action, restart)
    straight, _ = episodes.advance(env.spec, env.arrays, before, action)
    assert done.truncated.tolist() == [True, False, True]
    assert_equal(done.final, straight)
    assert done.final.t.tolist() == [19, 7, 19]
    assert (np.asarray(done.final.account.units) != 0.0).all()
    fresh = episodes.reset(env.spec, env.arrays, restart)
    for n, source in ((0, fresh), (1, straight), (2, fresh)):
        assert_equal(account(state, n), account(source, n))
    assert state.t.tolist() == [4, 7, 6]


def account(state: Any, n: int) -> Any:
    """Everything of account ``n``."""
    queue = jax.tree.map(lambda x: x[:, n], state.account.queue)
    rest = state._replace(account=state.account._replace(queue=None))
    return queue, jax.tree.map(lambda x: x[n], rest)


def assert_equal(a: Any, b: Any) -> None:
    left, right = jax.tree.leaves(a), jax.tree.leaves(b)
    assert len(left) == len(right)
    for x, y in zip(left, right, strict=True):
        np.testing.assert_allclose(np.asarray(x), np.asarray(y), rtol=1e-13, atol=1e-13)


def test_the_window_is_oldest_first_and_ends_at_the_last_closed_bar() -> None:
    features = np.arange(6 * 2 * 2, dtype=np.float32).reshape(6, 2, 2)  # [T, S, F]
    split = split_of(np.full((6, 2), 100.0), features=features)
    keys = {"env.window_bars": 3, "env.state_features": ["drawdown"], **LONG_ONLY}
    env = environment(split, keys)
    assert env.spec.first_bar == 2
    assert env.spec.observation_size == 3 * 4 + 1
    state = episodes.reset(env.spec, env.arrays, jnp.asarray([2, 4], jnp.int32))
    values = np.asarray(episodes.observe(env.spec, env.arrays, state).values)
    assert values[:-1, 0].tolist() == features[0:3].ravel().tolist()
    assert values[:-1, 1].tolist() == features[2:5].ravel().tolist()
    assert values.dtype == np.float32


def starts(env: Environment, uniform: np.ndarray) -> np.ndarray:
    draw = jax.jit(partial(episodes.draw_starts, env.spec))
    return np.asarray(draw(env.arrays, jnp.asarray(uniform, jnp.float32)))


def test_random_starts_leave_room_for_a_window_before_and_an_episode_after() -> None:
    split = split_of(np.full(50, 100.0))
    keys = {**LONG_ONLY, "env.window_bars": 4, "env.episode_bars": 10}
    drawn = starts(environment(split, keys), np.arange(4_096) / 4_096)
    assert drawn.dtype == np.int32
    found, count = np.unique(drawn, return_counts=True)
    assert found.tolist() == list(range(3, 40))  # 39 + 10 steps end on bar 49, the last
    assert count.max() - count.min() <= 1
    almost_one = np.asarray([np.nextafter(np.float32(1.0), np.float32(0.0))])
    assert starts(environment(split, keys), almost_one).tolist() == [39]


def test_data_shorter_than_an_episode_start_at_the_first_full_window() -> None:
    keys = {**LONG_ONLY, "env.window_bars": 4, "env.episode_bars": 1_000}
    drawn = starts(environment(split_of(np.full(50, 100.0)), keys), np.arange(100) / 100)
    assert set(drawn.tolist()) == {3}


def test_terms_are_the_weighted_means_over_accounts() -> None:
    keys = {**LONG_ONLY, "env.reward.turnover": 0.25, "env.reward.scale": 2.0}
    env = environment(split_of(PATH), keys)
    actions = np.asarray([[1, 0]] * 5)[:, :, None]  # one account long, one flat
    _, done, _ = play(env, actions)
    assert env.spec.reward_terms == ("log_equity", "turnover")
    np.testing.assert_allclose(done.terms[:, 0], np.diff(np.log(PATH)), atol=1e-12)
    np.testing.assert_allclose(done.terms[:, 1], [-0.25, 0, 0, 0, 0], atol=1e-12)
