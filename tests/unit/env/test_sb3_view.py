"""The Stable-Baselines3 view: its checker, its learners, and the same bits as the other views."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

pytest.importorskip("stable_baselines3")
pytest.importorskip("sb3_contrib")

import torch
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.utils import get_action_masks, is_masking_supported
from stable_baselines3 import PPO
from stable_baselines3.common.env_checker import check_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor, VecNormalize

import truefill
from config_cases import base_tree
from env_cases import environment, random_split
from truefill.config.load import parse_config
from truefill.core.errors import UsageError
from truefill.env.gym_single import MarketEnv
from truefill.env.gym_view import MarketVectorEnv
from truefill.env.sb3_view import Sb3VecEnv
from truefill.env.setup import Environment
from view_cases import examples, same

torch.set_num_threads(1)  # more threads than free cores make it many times slower
COUNT = 3
MASKED = {
    "env.action": {"kind": "hold_buy_sell_close", "params": {"size": 2.0}},
    "env.drawdown_limit": 0.05,
    "market.allow_short": True,
    "market.max_leverage": 2.0,
}
CONTINUOUS = {
    "env.action.kind": "target_weight",
    "market.allow_short": True,
    "market.no_trade_band": 0.05,
}
CHOICES = {"env.action.kind": "short_flat_long", "market.allow_short": True}


def build(keys: dict[str, Any], symbols: int = 1) -> Environment:
    return environment(random_split(5, bars=80, symbols=symbols), {"env.episode_bars": 9, **keys})


def sampled(env: Sb3VecEnv, steps: int = 40) -> list[np.ndarray]:
    env.action_space.seed(7)
    return [np.stack([env.action_space.sample() for _ in range(COUNT)]) for _ in range(steps)]


@pytest.mark.parametrize("keys", [MASKED, CONTINUOUS, CHOICES])
@pytest.mark.parametrize("symbols", [1, 2])
def test_its_own_checker_finds_nothing(keys: dict[str, Any], symbols: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(MarketEnv(build(keys, symbols)))


@pytest.mark.parametrize(("keys", "symbols"), [(MASKED, 1), (CONTINUOUS, 2), (CHOICES, 2)])
def test_it_is_a_dummy_vec_env_of_single_environments(keys: dict[str, Any], symbols: int) -> None:
    built = build(keys, symbols)
    ours, theirs = Sb3VecEnv(built, COUNT), DummyVecEnv([lambda: MarketEnv(built)] * COUNT)
    assert ours.seed(3) == theirs.seed(3) == [3, 4, 5]
    assert ours.action_space == theirs.action_space
    assert ours.observation_space == theirs.observation_space
    same(ours.reset(), theirs.reset())
    same(ours.reset_infos, theirs.reset_infos)
    ends = 0
    for action in sampled(ours):
        own, their = ours.step(action), theirs.step(action)
        for one, other in zip(own, their, strict=True):
            same(one, other)
        same(ours.reset_infos, theirs.reset_infos)
        ends += own[2].sum()
    assert ends > COUNT


def test_ends_are_those_of_the_vector_environment() -> None:
    built = build(MASKED)
    ours, theirs = Sb3VecEnv(built, COUNT), MarketVectorEnv(built, COUNT)
    ours.seed(8)
    same(ours.reset(), theirs.reset(seed=8)[0])
    limits, ruins = 0, 0
    for action in sampled(ours):
        values, reward, done, infos = ours.step(action)
        seen, paid, terminated, truncated, info = theirs.step(action)
        same(values, seen)
        same(reward, paid)
        same(done, terminated | truncated)
        assert [row["TimeLimit.truncated"] for row in infos] == truncated.tolist()
        assert ["terminal_observation" in row for row in infos] == done.tolist()
        for i in np.flatnonzero(done):
            same(infos[i]["terminal_observation"], info["final_obs"][i])
            assert infos[i]["equity"] == info["final_info"]["equity"][i]
        limits, ruins = limits + truncated.sum(), ruins + terminated.sum()
    assert limits and ruins


def test_ppo_learns_2000_steps(tmp_path: Path) -> None:
    env = VecMonitor(Sb3VecEnv(build(CHOICES, 2), 4))
    model = PPO("MlpPolicy", VecNormalize(env), n_steps=64, batch_size=64, seed=1, device="cpu")
    model.learn(2_000)
    assert model.num_timesteps >= 2_000
    assert len(model.ep_info_buffer or ()) > 50
    assert all(facts["l"] == 9 for facts in model.ep_info_buffer or ())
    model.save(tmp_path / "model")
    assert PPO.load(tmp_path / "model", device="cpu").num_timesteps == model.num_timesteps


def test_equal_seeds_train_equal_policies() -> None:
    def weights() -> np.ndarray:
        env = Sb3VecEnv(build(CONTINUOUS), 4)
        model = PPO("MlpPolicy", env, n_steps=32, batch_size=64, seed=5, device="cpu").learn(512)
        return np.concatenate([p.detach().numpy().ravel() for p in model.policy.parameters()])

    assert weights().tobytes() == weights().tobytes()


def test_maskable_ppo_never_takes_an_illegal_action() -> None:
    env = Sb3VecEnv(build(MASKED, 2), 4)
    with pytest.raises(UsageError, match="no action masks yet"):
        env.env_method("action_masks")
    assert is_masking_supported(env)
    assert is_masking_supported(VecMonitor(env))
    taken = 0

    def count(local: dict[str, Any], _: dict[str, Any]) -> bool:
        nonlocal taken
        taken += sum(info["illegal"].sum() for info in local["infos"])
        return True

    model = MaskablePPO("MlpPolicy", env, n_steps=64, batch_size=64, seed=1, device="cpu")
    model.learn(2_000, callback=count)
    assert taken == 0
    values = env.reset()
    masks = get_action_masks(env)
    assert masks.shape == (4, 2 * 4)
    assert masks.tolist() == [[True, True, True, False] * 2] * 4
    bought, _ = model.predict(
        values, action_masks=np.asarray([[False, True, False, False] * 2] * 4)
    )
    env.step(bought)
    env.step(bought * 0)
    masks = get_action_masks(env).reshape(4, 2, 4)
    same(masks, np.stack([info["legal"] for info in env.step(bought * 0)[3]]))
    one = env.env_method("action_masks", indices=2)
    assert len(one) == 1 and one[0].tolist() == get_action_masks(env)[2].tolist()


@pytest.mark.parametrize("keys", [CHOICES, {**MASKED, "env.action.illegal": "no_op"}])
def test_without_masks_it_says_so(keys: dict[str, Any]) -> None:
    env = Sb3VecEnv(build(keys), 2)
    assert not is_masking_supported(env)
    with pytest.raises(NotImplementedError, match="no method 'action_masks'"):
        env.env_method("action_masks")
    model = MaskablePPO("MlpPolicy", env, n_steps=8, batch_size=8, device="cpu")
    with pytest.raises(ValueError, match="does not support action masking"):
        model.learn(16)


def test_attributes_and_methods_are_real_or_refused() -> None:
    env = Sb3VecEnv(build(CHOICES), 3)
    env.seed(5)
    env.reset()
    assert env.get_attr("np_random_seed") == [5, 6, 7]
    assert env.get_attr("np_random_seed", indices=[2, 0]) == [7, 5]
    assert env.get_attr("action_space") == [gymnasium.spaces.Discrete(3)] * 3
    assert env.get_attr("render_mode") == [None] * 3
    assert env.env_is_wrapped(gymnasium.Wrapper) == [False] * 3
    assert not env.has_attr("spec")
    with pytest.raises(AttributeError, match="no attribute 'spec'"):
        env.get_attr("spec")
    with pytest.raises(NotImplementedError, match="'gamma' cannot be set"):
        env.set_attr("gamma", 0.9)
    with pytest.raises(NotImplementedError, match="no method 'reset'"):
        env.env_method("reset")
    with pytest.raises(IndexError):
        env.get_attr("np_random_seed", indices=3)


def test_seeds_and_options_count_for_one_reset() -> None:
    env = Sb3VecEnv(build(CHOICES), 3)
    env.seed(1)
    first = env.reset()
    env.seed(1)
    again = env.reset()
    same(first, again)
    assert not np.array_equal(env.reset(), again)
    env.set_options([{"start": 11}, {"start": 12}, {"start": 13}])
    at = env.reset()
    single = MarketEnv(build(CHOICES))
    for row, start in zip(at, (11, 12, 13), strict=True):
        same(row, single.reset(options={"start": start})[0])
    for wrong in ([{"start": 11}, {}, {}], {"begin": 3}):
        env.set_options(wrong)
        with pytest.raises(UsageError, match="options of the accounts"):
            env.reset()
        env.set_options()


def test_steps_need_a_reset_actions_and_an_open_environment() -> None:
    env = Sb3VecEnv(build(CHOICES), 3)
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(np.zeros(3, int))
    env.reset()
    with pytest.raises(UsageError, match="call step_async first"):
        env.step_wait()
    with pytest.raises(UsageError, match="outside the action space"):
        env.step(np.asarray([0, 1, 3]))
    env.close()
    with pytest.raises(gymnasium.error.ClosedEnvironmentError):
        env.reset()


def test_make_env_gives_it_with_episode_figures() -> None:
    tree = {**base_tree(), "env": {"action": {"kind": "flat_long"}, "episode_bars": 7}}
    env = truefill.make_env(parse_config(tree), "validation", num_envs=2, kind="sb3")
    assert isinstance(env, VecMonitor) and isinstance(env.unwrapped, Sb3VecEnv)
    env.seed(2)
    env.reset()
    paid = [env.step(np.ones(2, int)) for _ in range(7)]
    episode = paid[-1][3][0]["episode"]
    assert episode["l"] == 7
    assert episode["r"] == pytest.approx(sum(row[1][0] for row in paid), rel=1e-5)
    model = PPO("MlpPolicy", env, n_steps=16, batch_size=16, device="cpu")
    returns, lengths = evaluate_policy(model, env, 4, return_episode_rewards=True)
    assert list(lengths) == [7] * 4 and np.isfinite(returns).all()


def test_the_examples_of_the_page_run(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repository)
    codes = examples(repository, sb3=True)
    assert len(codes) == 2
    for code in codes:
        exec(code, {})
