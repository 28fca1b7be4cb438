"""Windows told apart by how straight the price ran: by hand, from train alone, never repeated."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from env_cases import environment, random_split, split_of
from truefill.config.search import REGIMES, RegimesConfig
from truefill.core.errors import DataError
from truefill.env.setup import Environment
from truefill.tuning.regimes import draw, efficiency, windows

STRAIGHT = 100.0 + np.arange(60.0)
ZIGZAG = 100.0 + np.arange(60) % 2


def env_of(close: np.ndarray) -> Environment:
    return environment(split_of(close), {}, "backtest")


def mixed(seed: int, bars: int = 300) -> np.ndarray:
    """A path of straight, random and jagged stretches."""
    rng = np.random.default_rng(seed)
    drift = np.repeat(rng.choice([0.0, 0.5, 2.0], bars // 30), 30)
    return np.asarray(1_000.0 + np.cumsum(rng.normal(drift, 1.0)))


def test_the_efficiency_ratio_by_hand() -> None:
    closes = np.array([10.0, 12.0, 11.0, 14.0])[:, None]
    assert efficiency(closes, 3).tolist() == [4.0 / 6.0]
    assert efficiency(closes, 2).tolist() == [1.0 / 3.0, 2.0 / 4.0]
    assert efficiency(STRAIGHT[:, None], 10).tolist() == [1.0] * 50
    assert efficiency(ZIGZAG[:, None], 10).tolist() == [0.0] * 50
    both = np.stack([STRAIGHT, ZIGZAG], axis=1)
    assert efficiency(both, 10).tolist() == [0.5] * 50
    still = np.stack([STRAIGHT, np.full(60, 7.0)], axis=1)
    assert efficiency(still, 10).tolist() == [1.0] * 50  # what does not move says nothing
    assert np.isnan(efficiency(np.full((9, 1), 7.0), 3)).all()


def test_windows_lie_inside_each_symbols_own_bars() -> None:
    split = random_split(5, bars=30, symbols=2, masked=0.2)
    env = environment(split, {"env.episode_symbols": "one"}, "backtest")
    starts, ratios = windows(env, 8)
    held = [int(split.present[:, s].sum()) for s in range(2)]
    expected = [*range(held[0] - 8), *range(held[0], sum(held) - 8)]
    assert starts.tolist() == expected
    closes = split.close[split.present[:, 1], 1][:, None]
    assert ratios[held[0] - 8 :].tolist() == pytest.approx(efficiency(closes, 8).tolist())


def test_regimes_are_told_by_the_thresholds_of_train() -> None:
    config = RegimesConfig(bars=10, episodes=4)
    train, held_out = env_of(mixed(1)), env_of(mixed(2))
    found = draw(train, held_out, config, 0)
    low, high = np.quantile(windows(train, 10)[1], [1 / 3, 2 / 3])
    assert found.thresholds == (low, high)
    starts, ratios = windows(held_out, 10)
    of = dict(zip(starts.tolist(), ratios.tolist(), strict=True))
    drawn = {
        name: [of[s] for s in np.asarray(found.starts)[4 * i : 4 * i + 4].tolist()]
        for i, name in enumerate(REGIMES)
    }
    assert all(ratio < low for ratio in drawn["choppy"])
    assert all(low <= ratio <= high for ratio in drawn["normal"])
    assert all(ratio > high for ratio in drawn["trending"])
    assert len(set(np.asarray(found.starts).tolist())) == 12
    assert sum(found.windows.values()) == len(starts)


def test_other_validation_bars_do_not_move_the_thresholds() -> None:
    config = RegimesConfig(bars=10, episodes=2)
    train = env_of(mixed(1))
    one, other = (draw(train, env_of(mixed(seed)), config, 0) for seed in (2, 3))
    assert one.thresholds == other.thresholds
    assert one.windows != other.windows


def test_the_draw_depends_on_its_seed_alone() -> None:
    config = RegimesConfig(bars=10, episodes=3)
    train, held_out = env_of(mixed(1)), env_of(mixed(2))
    first, again, other = (draw(train, held_out, config, seed) for seed in (0, 0, 1))
    assert first.starts.tolist() == again.starts.tolist() != other.starts.tolist()


def test_a_regime_that_validation_does_not_hold_is_named() -> None:
    config = RegimesConfig(bars=10, episodes=3)
    with pytest.raises(DataError) as caught:
        draw(env_of(mixed(1)), env_of(STRAIGHT), config, 0)
    assert caught.value.rule == "empty_regime"
    assert "validation holds 0 normal windows of 10 bars; 3 episodes need as many" in str(
        caught.value
    )
    assert "fewer episodes" in caught.value.do


def test_train_without_a_window_is_refused() -> None:
    config = RegimesConfig(bars=100, episodes=1)
    with pytest.raises(DataError, match="train holds no window of 100 bars"):
        draw(env_of(STRAIGHT), env_of(mixed(2)), config, 0)
    still = replace(split_of(np.full(60, 7.0)))
    with pytest.raises(DataError, match="in which a price moved"):
        draw(environment(still, {}, "backtest"), env_of(mixed(2)), RegimesConfig(bars=10), 0)
