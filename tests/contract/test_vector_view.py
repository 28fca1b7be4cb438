"""What every ``VectorEnv`` of ours must do: be its single environments, stepped together.

The yardstick is Gymnasium's own ``SyncVectorEnv`` over ``MarketEnv``, to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import vector as wrappers

from env_cases import environment, random_split
from truefill.core.errors import UsageError
from truefill.env.gym_single import MarketEnv
from truefill.env.gym_view import MarketVectorEnv
from truefill.env.setup import Environment
from view_cases import same

COUNT, STEPS, EPISODE_BARS = 3, 60, 9


@dataclass
class Case:
    """One environment, and the spaces that its accounts must have."""

    environment: Environment
    action: gymnasium.Space[Any]
    batch_action: gymnasium.Space[Any]

    def vector(self, count: int = COUNT) -> MarketVectorEnv:
        return MarketVectorEnv(self.environment, count)

    def single(self) -> MarketEnv:
        return MarketEnv(self.environment)

    def reference(self) -> SyncVectorEnv[Any, Any]:
        return SyncVectorEnv([self.single] * COUNT, autoreset_mode=AutoresetMode.SAME_STEP)

    def actions(self, steps: int = STEPS) -> list[Any]:
        space = self.vector().action_space
        space.seed(11)
        return [space.sample() for _ in range(steps)]


def _case(symbols: int, action: gymnasium.Space[Any], batch: Any, **keys: Any) -> Case:
    keys = {name.replace("__", "."): value for name, value in keys.items()}
    keys |= {"env.episode_bars": EPISODE_BARS, "market.max_leverage": 2.0}
    return Case(environment(random_split(5, bars=80, symbols=symbols), keys), action, batch)


def _box(*shape: int, high: float = 1.0) -> gymnasium.spaces.Box:
    return gymnasium.spaces.Box(-high, high, shape, np.float32)


CASES: dict[str, Callable[[], Case]] = {
    "masked, with a drawdown limit": lambda: _case(
        1,
        gymnasium.spaces.Discrete(4),
        gymnasium.spaces.MultiDiscrete([4] * COUNT),
        env__action={"kind": "hold_buy_sell_close", "params": {"size": 2.0}},
        env__drawdown_limit=0.05,
        market__allow_short=True,
    ),
    "two symbols": lambda: _case(
        2,
        gymnasium.spaces.MultiDiscrete([3, 3]),
        gymnasium.spaces.Box(0, 2, (COUNT, 2), np.int64),
        env__action__kind="short_flat_long",
        market__allow_short=True,
    ),
    "continuous": lambda: _case(
        2,
        _box(2),
        _box(COUNT, 2),
        env__action__kind="target_weight",
        env__window_bars=3,
        market__allow_short=True,
        market__no_trade_band=0.05,
        market__decision_lag=2,
    ),
    "more values than symbols": lambda: _case(
        2,
        _box(5, high=8.0),
        _box(COUNT, 5, high=8.0),
        env__action={"kind": "portfolio_weights", "params": {"long_short": True}},
        market__allow_short=True,
        market__no_trade_band=0.05,
    ),
}


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]()


def test_spaces_shapes_and_types(case: Case) -> None:
    env = case.vector()
    assert (env.num_envs, env.closed) == (COUNT, False)
    assert env.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert env.single_action_space == case.action == case.single().action_space
    assert env.action_space == case.batch_action == case.reference().action_space
    assert env.single_observation_space == case.single().observation_space
    assert env.observation_space == case.reference().observation_space
    first, _ = env.reset(seed=0)
    values, reward, terminated, truncated, info = env.step(case.actions()[0])
    for seen in (first, values):
        assert env.observation_space.contains(seen)
        assert seen.dtype == np.float32
    assert reward.dtype == np.float32
    assert terminated.dtype == truncated.dtype == bool
    assert reward.shape == terminated.shape == truncated.shape == (COUNT,)
    for key in ("equity", "illegal"):
        assert info[key].shape[0] == COUNT
        assert info[f"_{key}"].all()


def test_it_is_gymnasiums_own_vector_environment_over_the_single_one(case: Case) -> None:
    ours, theirs = case.vector(), case.reference()
    first, second = ours.reset(seed=4), theirs.reset(seed=4)
    same(first[0], second[0], "first observation")
    same(first[1], second[1], "first info")
    assert ours.np_random_seed == theirs.np_random_seed
    ends = np.zeros(2, int)
    for action in case.actions():
        own, their = ours.step(action), theirs.step(action)
        same(own[0], their[0], "observation")
        same(own[1].astype(np.float64), their[1], "reward")
        same(own[2], their[2], "terminated")
        same(own[3], their[3], "truncated")
        same(own[4], their[4], "info")
        ends += own[2].sum(), own[3].sum()
    assert ends[1] > 3
    assert ends[0] > 3 or case.environment.arrays.episode.drawdown_limit > 1.0
    again, reference = ours.reset(), theirs.reset()
    same(again[0], reference[0], "a reset without a seed goes on drawing")


def test_each_account_is_a_single_environment_with_the_same_start_and_actions(case: Case) -> None:
    env, starts, actions = case.vector(), [20, 41, 58], case.actions()
    first, _ = env.reset(options={"start": starts})
    rows = [env.step(action) for action in actions[:EPISODE_BARS]]
    for i, start in enumerate(starts):
        single = case.single()
        seen, _ = single.reset(options={"start": start})
        same(first[i], seen)
        for action, (values, reward, terminated, truncated, info) in zip(
            actions, rows, strict=False
        ):
            seen, paid, ruined, limit, facts = single.step(action[i])
            assert (reward[i], terminated[i], truncated[i]) == (paid, ruined, limit)
            if ruined or limit:
                same(info["final_obs"][i], seen)
                assert info["final_info"]["equity"][i] == facts["equity"]
                summary = info["final_info"]["episode_summary"]
                for key, value in facts["episode_summary"].items():
                    assert summary[key][i] == value and summary[f"_{key}"][i]
                assert not np.array_equal(values[i], seen)
                break
            same(values[i], seen)
        else:
            pytest.fail("the episode did not end")


def test_a_time_limit_is_truncation_and_a_drawdown_limit_termination(case: Case) -> None:
    env = case.vector()
    env.reset(seed=2)
    limit = float(case.environment.arrays.episode.drawdown_limit)
    bars = np.zeros(COUNT, int)
    for action in case.actions():
        _, _, terminated, truncated, info = env.step(action)
        bars += 1
        assert not (terminated & truncated).any()
        ended = terminated | truncated
        assert ("final_obs" in info) == ("final_info" in info) == ended.any()
        if ended.any():
            same(info["_final_obs"], ended)
            same(info["_final_info"], ended)
            summary = info["final_info"]["episode_summary"]
            same(summary["bars"], np.where(ended, bars, 0))
            assert (bars[truncated] == EPISODE_BARS).all()
            assert (summary["net_return"][terminated] < 0.0).all()
            assert limit < 1.0 or not terminated.any()
            assert [x is not None for x in info["final_obs"]] == ended.tolist()
            bars[ended] = 0
            assert (info["equity"][ended] == 10_000.0).all()


def test_seeds(case: Case) -> None:
    def rollout(seed: Any) -> list[np.ndarray]:
        env = case.vector()
        out = [env.reset(seed=seed)[0]]
        for action in case.actions(EPISODE_BARS + 2):
            out += env.step(action)[:2]
        return out

    same(rollout(5), rollout(5))
    same(rollout(5), rollout([5, 6, 7]))
    assert not np.array_equal(rollout(5)[0], rollout(50)[0])
    mixed = case.vector()
    mixed.reset(seed=5)
    kept = mixed.np_random[0]
    mixed.reset(seed=[None, 6, 7])
    assert mixed.np_random[0] is kept
    assert mixed.np_random_seed == (5, 6, 7)
    with pytest.raises(UsageError, match="2 seeds for 3 accounts"):
        mixed.reset(seed=[1, 2])


def test_what_it_returns_belongs_to_the_caller(case: Case) -> None:
    ours, theirs = case.vector(), case.vector()
    ours.reset(seed=3)[0].fill(7.0)
    theirs.reset(seed=3)
    for action in case.actions(EPISODE_BARS + 2):
        own, their = ours.step(action), theirs.step(action)
        same(own[0], their[0])
        for array in (*own[:4], own[4]["equity"], own[4]["illegal"]):
            array.fill(1)
        for last in own[4].get("final_obs", ()):
            if last is not None:
                last.fill(1.0)


def test_gymnasiums_wrappers_work_on_it(case: Case) -> None:
    plain, counted = case.vector(), wrappers.RecordEpisodeStatistics(case.vector())
    others = wrappers.NormalizeReward(wrappers.ClipReward(case.vector(), -1.0, 1.0))
    listed = wrappers.DictInfoToList(case.vector())
    for env in (plain, counted, others, listed):
        env.reset(seed=9)
    total, seen = np.zeros(COUNT), 0
    for action in case.actions(2 * EPISODE_BARS):
        _, reward, terminated, truncated, _ = plain.step(action)
        total += reward
        ended = terminated | truncated
        info = counted.step(action)[4]
        assert np.isfinite(others.step(action)[1]).all()
        rows = listed.step(action)[4]
        assert ["final_info" in row for row in rows] == ended.tolist()
        if ended.any():
            episode = info["episode"]
            assert np.allclose(episode["r"][ended], total[ended], rtol=1e-12, atol=1e-12)
            same(episode["l"][ended], info["final_info"]["episode_summary"]["bars"][ended])
            total[ended] = 0.0
            seen += ended.sum()
    assert counted.episode_count == seen >= 2 * COUNT


def test_actions_outside_the_space_are_refused_and_change_nothing(case: Case) -> None:
    env, action = case.vector(), case.actions()[0]
    first, _ = env.reset(seed=1)
    discrete = not isinstance(case.action, gymnasium.spaces.Box)
    high = float(getattr(case.action, "high", np.zeros(1)).max())
    bad: list[Any] = [action[:-1], action[None], [None] * COUNT]
    edges = [action.astype(float), np.full_like(action, -1), np.full_like(action, 4)]
    bad += (
        edges
        if discrete
        else [np.full_like(action, v) for v in (np.nan, np.inf, high + 0.01, -high - 0.01)]
    )
    for wrong in bad:
        with pytest.raises(UsageError, match="action"):
            env.step(wrong)
    fresh = case.vector()
    same(first, fresh.reset(seed=1)[0])
    same(env.step(action)[0], fresh.step(action)[0])


def test_starts_out_of_range_and_unknown_options_are_refused(case: Case) -> None:
    env = case.vector()
    first = case.environment.spec.first_bar
    last = int(case.environment.arrays.episode.last_bar) - 1
    for start in (first, last, [first, last, first]):
        env.reset(options={"start": start})
    for start in (first - 1, last + 1, [first, last + 1, first], [first] * 2, 3.0, None):
        with pytest.raises(UsageError, match="start"):
            env.reset(options={"start": start})
    with pytest.raises(UsageError, match="unknown option 'begin'"):
        env.reset(options={"begin": 3})


def test_reset_comes_first_and_nothing_after_close(case: Case) -> None:
    env = case.vector()
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(case.actions()[0])
    env.reset(seed=0)
    env.close()
    env.close()
    assert env.closed
    for call in (env.reset, lambda: env.step(case.actions()[0])):
        with pytest.raises(gymnasium.error.ClosedEnvironmentError):
            call()
    with pytest.raises(UsageError, match="num_envs is 0"):
        case.vector(0)
