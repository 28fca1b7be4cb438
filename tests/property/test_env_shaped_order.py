"""Shaped rewards keep the order of net profit on planted markets (invariant 3).

The listed markets: planted signal, seeds 0 to 4, strength 0.7, 0.2 % a bar, 2 bps a side. Sums are
undiscounted, so gamma is 1, where the potential-based term telescopes. The weights are part of the
list: a large one is risk aversion, and at drawdown 0.5 being flat already beats a small profit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from env_cases import play
from truefill.config.load import parse_config
from truefill.config.schema import Config
from truefill.data.sessions import Session
from truefill.data.split import SplitArrays, to_arrays
from truefill.env.setup import make_environment
from truefill.features.build import build_dataset

MARKETS = (0, 1, 2, 3, 4)
SHAPES: tuple[dict[str, float], ...] = (
    {},
    {"drawdown": 0.05},
    {"turnover": 0.0005},
    {"downside": 0.1},
    {"differential_sharpe": 0.1},
    {"drawdown": 0.05, "turnover": 0.0005, "downside": 0.1, "differential_sharpe": 0.1},
)
SHORT, FLAT, LONG = 0, 1, 2


def config(seed: int, reward: dict[str, float]) -> Config:
    tree: dict[str, Any] = {
        "name": "shaped",
        "data": {
            "synthetic": {"kind": "planted_signal", "bars": 1500, "seed": seed},
            "interval": "1h",
            "splits": {
                "train": {"start": "2020-01-01", "end": "2020-02-01"},
                "validation": {"start": "2020-02-01", "end": "2020-02-15"},
                "test": {"start": "2020-02-15", "end": "2020-03-01"},
            },
        },
        "features": [
            {"name": "signal", "calculator": "column", "params": {"column": "signal"}},
            {"name": "ret", "calculator": "log_return"},
        ],
        "market": {"allow_short": True, "fee_bps": 1, "half_spread_bps": 0.5, "slippage_bps": 0.5},
        "env": {"action": {"kind": "short_flat_long"}, "reward": reward, "episode_bars": 10_000},
        "agent": {"ppo": {"gamma": 1.0}},
    }
    return parse_config(tree)


def train_split(config: Config) -> SplitArrays:
    built = build_dataset(config)
    return to_arrays(
        "train",
        built.tables["train"],
        symbols=built.lineage["symbols"],
        feature_names=built.contract.names,
        session=Session.from_dict(built.lineage["session"]),
        interval_s=config.data.interval,
        market_columns=built.lineage["market_columns"],
    )


def strategies(split: SplitArrays) -> np.ndarray:
    """Actions [T - 1, 4, 1]: perfect foresight of the next bar, buy and hold, flat, churn."""
    steps = len(split) - 1
    rises = split.close[1:, 0] > split.close[:-1, 0]
    foresight = np.where(rises, LONG, SHORT)
    churn = np.where(np.arange(steps) % 2 == 0, LONG, SHORT)
    rows = [foresight, np.full(steps, LONG), np.full(steps, FLAT), churn]
    return np.stack(rows, axis=1)[..., None]


@pytest.mark.parametrize("reward", SHAPES, ids=lambda r: "+".join(r) or "log_equity")
def test_shaped_rewards_keep_the_order_of_net_profit(reward: dict[str, float]) -> None:
    for seed in MARKETS:
        made = config(seed, reward)
        split = train_split(made)
        env = make_environment(made, split, "train")
        _, seen, _ = play(env, strategies(split))
        earned = np.asarray(seen.reward, dtype=np.float64).sum(axis=0)
        profit = np.asarray(seen.result.log_return).sum(axis=0)
        assert earned[2] == 0.0, "a flat agent earns exactly 0"
        assert np.argsort(earned).tolist() == np.argsort(profit).tolist(), (seed, earned, profit)
        assert profit[0] > max(profit[1], profit[2]) and profit[2] > profit[3]
