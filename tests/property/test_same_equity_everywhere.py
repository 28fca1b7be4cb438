"""One recorded action list, five ways through the market: equal equity, to the last bit."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from env_cases import config_of, random_split
from truefill.env import episodes
from truefill.env.gym_single import MarketEnv
from truefill.env.gym_view import MarketVectorEnv
from truefill.env.setup import Environment, make_environment
from truefill.evaluation.backtest import backtest, replay_orders
from truefill.evaluation.policy import Memoryless
from truefill.market.stream import Stream
from truefill.market.types import Orders

BARS = 60
EVERYTHING = {
    "market.allow_short": True,
    "market.max_leverage": 2.0,
    "market.max_weight": 2.0,
    "market.max_leverage_at_close": 1.2,
    "market.stop_loss": 0.03,
    "market.take_profit": 0.05,
    "market.trailing_stop": {"distance": 0.04},
    "market.min_hold_bars": 2,
    "market.max_hold_bars": 20,
    "market.lot_size": 0.01,
    "market.participation": {"impact_bps": 20, "max_share": 0.5},
    "market.declared_volume": 500.0,
    "market.decision_lag": 2,
    "env.episode_bars": 10_000,
    "env.initial_balance": 10_000,
    "evaluation.initial_balance": 10_000,
}


class Recorded(Memoryless):
    """A policy that plays a list of actions [T, S], the same for every account."""

    contract_sha256 = "c"

    def __init__(self, actions: np.ndarray) -> None:
        self.parameters = jnp.asarray(actions)

    @staticmethod
    def decide(actions: Any, memory: Any, values: Any, legal: Any) -> Any:
        """The bar's number is the first feature."""
        bar = values[0].astype(jnp.int32)
        return actions[bar].T, memory


def numbered(seed: int, symbols: int) -> Any:
    """Random bars whose first feature is the bar's number."""
    split = random_split(seed, bars=BARS, symbols=symbols, masked=0.05)
    split.features[:, :, 0] = np.arange(BARS, dtype=np.float32)[:, None]
    return split


def in_training(env: Environment, actions: np.ndarray, accounts: int) -> np.ndarray:
    """Equity [T - 1] of the last of ``accounts`` that start at different bars; the last at 0."""
    start = jnp.asarray([*(n % 20 for n in range(1, accounts)), 0], jnp.int32)

    def one_bar(state: Any, action: Any) -> Any:
        wide = jnp.broadcast_to(action, (accounts, *action.shape))
        state, seen = episodes.step(env.spec, env.arrays, state, wide, start)
        return state, seen.final.account.equity

    def run(arrays: Any, actions: Any) -> Any:
        return jax.lax.scan(one_bar, episodes.reset(env.spec, arrays, start), actions)[1]

    equity = jax.jit(run)(env.arrays, jnp.asarray(actions))
    return np.asarray(equity)[:, -1]


def in_gym(env: Environment, actions: np.ndarray) -> np.ndarray:
    view = MarketEnv(env)
    view.reset(options={"start": 0})
    equity = []
    for action in actions:
        *_, info = view.step(action if action.size > 1 else action[0])
        equity.append(float(info["equity"]))
    return np.asarray(equity)


def in_vector_view(env: Environment, actions: np.ndarray, accounts: int) -> np.ndarray:
    view = MarketVectorEnv(env, accounts)
    view.reset(seed=0, options={"start": np.zeros(accounts, np.int32)})
    equity = []
    for action in actions:
        wide = np.broadcast_to(action, (accounts, *action.shape))
        ended, info = view.step(wide if action.size > 1 else wide[:, 0])[3:]
        last = info["final_info"] if ended.any() else info
        equity.append(float(np.asarray(last["equity"])[-1]))
    return np.asarray(equity)


def streamed(env: Environment, actions: np.ndarray) -> np.ndarray:
    bars = env.arrays.bars
    stream = Stream(bars.at(0), env.arrays.market, lag=env.spec.lag)
    equity = []
    for t, action in enumerate(actions, start=1):
        orders = env.spec.decoder.orders(jnp.asarray(action)[None])
        stream.step(orders, bars.at(t))
        equity.append(float(stream.equity[0]))
    return np.asarray(equity)


@pytest.mark.slow
@pytest.mark.parametrize("symbols", [1, 3])
def test_one_action_list_gives_one_equity_everywhere(symbols: int) -> None:
    keys = {**EVERYTHING, "env.action": {"kind": "short_flat_long", "params": {"size": 0.9}}}
    config, split = config_of(keys), numbered(symbols, symbols)
    training = make_environment(config, split, "train")
    testing = make_environment(config, split, "backtest")
    rng = np.random.default_rng(symbols)
    actions = rng.integers(0, 3, (BARS - 1, symbols)).astype(np.int32)

    reference = backtest(Recorded(actions), testing, split, "c")[0]
    equity = reference.equity[1:]
    assert reference.trades.height > 5 and reference.equity[-1] != reference.equity[0]
    orders = testing.spec.decoder.orders(jnp.asarray(actions))
    kind = np.pad(np.asarray(orders.kind), ((0, 1), (0, 0)))[None]
    value = np.pad(np.asarray(orders.value), ((0, 1), (0, 0)))[None]
    assert isinstance(orders, Orders)
    found = {
        "training, 7 accounts": in_training(training, actions, 7),
        "training, 1 account": in_training(training, actions, 1),
        "replay of the orders": replay_orders(kind, value, testing, split)[0].equity[1:],
        "gymnasium": in_gym(training, actions),
        "gymnasium vector, 5 accounts": in_vector_view(training, actions, 5),
        "stream": streamed(testing, actions),
    }
    for name, values in found.items():
        assert values.tolist() == equity.tolist(), name
