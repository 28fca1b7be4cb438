"""One account as a Gymnasium ``Env``: both checkers, starts, ends, refusals, one line of text."""

from __future__ import annotations

import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from env_cases import NO_COSTS, START_S, environment, random_split, split_of
from truefill.core.errors import UsageError
from truefill.env.gym_single import MarketEnv

FLAT_LONG: dict[str, Any] = {"env.episode_bars": 6, **NO_COSTS}
DECODERS: dict[str, dict[str, Any]] = {
    "hold_buy_sell_close": {"market.allow_short": True},
    "short_flat_long": {"market.allow_short": True},
    "target_weight": {"market.allow_short": True, "market.no_trade_band": 0.05},
}


def make(keys: dict[str, Any] | None = None, *, symbols: int = 1, **options: Any) -> MarketEnv:
    split = random_split(2, bars=40, symbols=symbols)
    return MarketEnv(environment(split, {"env.episode_bars": 6, **(keys or {})}), **options)


@pytest.mark.parametrize("symbols", [1, 2])
@pytest.mark.parametrize("kind", DECODERS)
def test_gymnasiums_checker_finds_nothing(kind: str, symbols: int) -> None:
    env = make({"env.action.kind": kind, **DECODERS[kind]}, symbols=symbols)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*Box observation space m..imum value is.*inf")
        check_env(env, skip_render_check=True)


def test_a_step_gives_python_values_and_float32_observations() -> None:
    env = make({"env.action.kind": "hold_buy_sell_close", "market.allow_short": True})
    seen, info = env.reset(seed=1)
    assert seen.dtype == np.float32 and seen.shape == env.observation_space.shape
    assert info["equity"] == 10_000.0
    assert info["legal"].tolist() == [[True, True, True, False]]
    assert info["illegal"].tolist() == [False]
    seen, reward, terminated, truncated, info = env.step(np.int64(3))
    assert [type(v) for v in (reward, terminated, truncated)] == [float, bool, bool]
    assert info["illegal"].tolist() == [True]
    assert type(info["equity"]) is float
    assert "legal" not in make().reset(seed=1)[1]


def test_an_episode_ends_with_its_figures_and_then_needs_a_reset() -> None:
    close = 100.0 * 1.01 ** np.arange(30)
    env = MarketEnv(environment(split_of(close), FLAT_LONG))
    env.reset(options={"start": 3})
    for action in (1, 1, 1, 0, 0):
        _, _, terminated, truncated, info = env.step(action)
        assert not terminated and not truncated
        assert "episode_summary" not in info
    _, _, terminated, truncated, info = env.step(0)
    assert (terminated, truncated) == (False, True)
    summary = info["episode_summary"]
    assert summary["net_return"] == pytest.approx(1.01**3 - 1.0)
    assert summary["net_return"] == info["equity"] / 10_000.0 - 1.0
    assert (summary["bars"], summary["closed_trades"]) == (6, 1)
    assert summary["turnover"] == pytest.approx(2.0)
    with pytest.raises(gymnasium.error.ResetNeeded, match="after an episode's end"):
        env.step(0)
    env.reset()
    _, _, _, _, info = env.step(0)
    assert info["equity"] == 10_000.0


def test_a_crash_beyond_the_drawdown_limit_terminates() -> None:
    close = np.concatenate([np.full(10, 100.0), np.full(10, 60.0)])
    env = MarketEnv(environment(split_of(close), {**FLAT_LONG, "env.drawdown_limit": 0.2}))
    env.reset(options={"start": 7})
    ends = [env.step(1)[2:4] for _ in range(3)]
    assert ends == [(False, False), (False, False), (True, False)]


def test_the_end_of_the_data_truncates() -> None:
    env = make()
    env.reset(options={"start": 38})
    assert env.step(0)[2:4] == (False, True)


def test_equal_seeds_begin_at_equal_bars() -> None:
    env = MarketEnv(environment(split_of(np.full(500, 100.0)), FLAT_LONG))  # feature = bar number

    def starts(seed: int) -> list[float]:
        return [env.reset(seed=seed)[0][0], *(env.reset()[0][0] for _ in range(4))]

    assert starts(3) == starts(3) != starts(4)
    assert len(set(starts(3))) > 1
    assert env.reset(options={"start": 17})[0][0] == 17.0


@pytest.mark.parametrize("start", [-1, 39, 2.0, True, "3", None, [3, 4]])
def test_a_start_out_of_range_is_refused(start: Any) -> None:
    with pytest.raises(UsageError, match=r"reset: start"):
        make().reset(options={"start": start})


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown option 'stat'"):
        make().reset(options={"stat": 3})


@pytest.mark.parametrize("action", [2, -1, 0.0, np.nan, None, [0], "1"])
def test_a_discrete_action_outside_the_space_is_refused(action: Any) -> None:
    env = make()
    env.reset(seed=0)
    with pytest.raises(UsageError, match="step: action") as caught:
        env.step(action)
    assert "an integer from 0 to 1" in caught.value.do


@pytest.mark.parametrize("value", [np.nan, np.inf, 1.5, -1.0001])
def test_a_continuous_action_outside_the_space_is_refused(value: float) -> None:
    env = make({"env.action.kind": "target_weight", **DECODERS["target_weight"]}, symbols=2)
    env.reset(seed=0)
    with pytest.raises(UsageError, match="outside the action space"):
        env.step(np.asarray([0.5, value], np.float32))
    env.step(np.asarray([1.0, -1.0], np.float32))


def test_step_and_render_need_a_reset() -> None:
    with pytest.raises(gymnasium.error.ResetNeeded):
        make().step(0)
    with pytest.raises(gymnasium.error.ResetNeeded):
        make(render_mode="ansi").render()


def test_render_says_bar_position_equity_and_drawdown_in_one_line() -> None:
    close = np.asarray([100.0] * 5 + [90.0] * 5)
    built = environment(split_of(close), FLAT_LONG)
    env = MarketEnv(built, render_mode="ansi", timestamps_s=START_S + 3_600 * np.arange(10))
    env.reset(options={"start": 3})
    env.step(1)
    env.step(1)
    line = "bar 5 2020-01-01T05:00:00  position +1.000  equity 9,000.00  drawdown 10.00%"
    assert env.render() == line
    plain = MarketEnv(built, render_mode="ansi")
    plain.reset(options={"start": 3})
    assert plain.render() == "bar 3  position +0.000  equity 10,000.00  drawdown 0.00%"
    assert MarketEnv(built).render() is None
    with pytest.raises(UsageError, match="render_mode is 'human'"):
        MarketEnv(built, render_mode="human")
