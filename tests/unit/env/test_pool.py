"""Each episode trades one symbol on its own calendar; a backtest adds the symbols' accounts up."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from env_cases import config_of, play, random_split
from truefill.core.errors import DataError, UsageError
from truefill.env import episodes
from truefill.env.gym_single import MarketEnv
from truefill.env.pool import joined_timestamps
from truefill.env.setup import Environment, make_environment
from truefill.evaluation.backtest import backtest
from truefill.evaluation.policy import Memoryless

BARS, SYMBOLS = 50, 3
KEYS: dict[str, Any] = {
    "env.episode_symbols": "one",
    "env.episode_bars": 20,
    "env.initial_balance": 3_000,
    "evaluation.initial_balance": 9_000,
    "env.action.kind": "flat_long",
    "market.stop_loss": 0.04,
    "market.symbols": {"S1": {"fee_bps": 50, "lot_size": 0.5}, "S2": {"max_weight": 0.4}},
}


def split_with_gaps() -> Any:
    """Three symbols: one starts late, one ends early, all have holes."""
    split = random_split(3, bars=BARS, symbols=SYMBOLS, masked=0.1)
    split.present[:8, 1] = False
    split.present[40:, 2] = False
    return split


def pooled(stage: Any = "train", **keys: Any) -> Environment:
    return make_environment(config_of({**KEYS, **keys}), split_with_gaps(), stage)


def test_the_environment_is_that_of_one_symbol() -> None:
    split, env = split_with_gaps(), pooled()
    assert env.spec.num_symbols == 1
    assert env.spec.num_features == split.features.shape[2]
    assert env.arrays.bars.num_bars == int(split.present.sum())
    assert env.arrays.market.lot.shape == (SYMBOLS, 1)
    assert env.arrays.market.stop_loss.shape == (1, 1)  # the same for all: nothing to pick


def test_bars_are_the_symbols_own_with_their_own_time_between() -> None:
    split, env = split_with_gaps(), pooled()
    close, years = np.asarray(env.arrays.bars.column("close")), env.arrays.bars.per_bar[:, 1]
    at = 0
    for s in range(SYMBOLS):
        rows = np.flatnonzero(split.present[:, s])
        own = slice(at, at + len(rows))
        assert close[own, 0].tolist() == split.close[rows, s].tolist()
        elapsed = np.diff(split.timestamps_s[rows], prepend=split.timestamps_s[rows[0]])
        assert np.allclose(np.asarray(years)[own] * 365.25 * 86_400, elapsed)
        at += len(rows)


def test_an_episode_never_leaves_its_symbol() -> None:
    env = pooled()
    pool = env.arrays.pool
    assert pool is not None
    symbol = np.asarray(pool.symbol)
    starts = np.asarray(episodes.draw_starts(env.spec, env.arrays, jnp.linspace(0.0, 0.999, 400)))
    assert set(symbol[starts]) == {0, 1, 2}
    assert set(starts) == set(np.asarray(pool.starts))
    for start in starts[::20]:
        actions = np.ones((BARS, 1, 1))
        states, done, _ = play(env, actions, start=int(start))
        ended = int(np.argmax(done.truncated[:, 0] | done.terminated[:, 0]))
        assert done.truncated[ended, 0] or done.terminated[ended, 0]
        bars = states.t[: ended + 1, 0]
        assert (symbol[bars + 1] == symbol[start]).all()


def test_the_rules_are_those_of_the_symbol() -> None:
    """Buying everything: S1 pays its fee on whole lots, S2 buys 40 %."""
    env = pooled()
    pool = env.arrays.pool
    assert pool is not None
    for s, start in enumerate(np.asarray(pool.first)):
        states, done, _ = play(env, np.ones((2, 1, 1)), start=int(start))
        leg = done.result.order
        units, price, fee = (float(x[0, 0, 0]) for x in (leg.units, leg.price, leg.fee))
        fee_bps = {0: 10.0, 1: 50.0, 2: 10.0}[s]
        assert fee == pytest.approx(units * price * fee_bps * 1e-4)
        share = units * price / 3_000.0
        if s == 1:
            assert units % 0.5 == pytest.approx(0.0, abs=1e-9) or units % 0.5 > 0.5 - 1e-9
        assert share == pytest.approx(0.4, rel=2e-3) if s == 2 else share > 0.9
        assert states.account.units.shape == (2, 1, 1)


class Always(Memoryless):
    """Buys at every bar."""

    contract_sha256 = "c"
    parameters = jnp.zeros(())

    @staticmethod
    def decide(parameters: Any, memory: Any, values: Any, legal: Any) -> Any:
        return jnp.ones((1, values.shape[1]), jnp.int32), memory


@pytest.mark.slow
def test_a_backtest_is_the_sum_of_accounts_that_trade_alone() -> None:
    split = split_with_gaps()
    config = config_of(KEYS)
    keys = {**KEYS, "evaluation.initial_balance": 3_000}
    keys = {k: v for k, v in keys.items() if k not in ("market.symbols",)}
    scenarios = {"cost_multiples": (1.0, 2.0), "extra_slippage_bps": (0.0, 5.0)}
    both = backtest(Always(), make_environment(config, split, "backtest", **scenarios), split, "c")
    for k, trace in enumerate(both):
        total = np.zeros(BARS)
        trades = 0
        for symbol in split.symbols:
            own = {symbol: KEYS["market.symbols"][symbol]} if symbol != "S0" else {}
            alone = split.only(symbol)
            one = config_of({**keys, "market.symbols": own})
            env = make_environment(one, alone, "backtest", **scenarios)
            part = backtest(Always(), env, alone, "c")[k]
            at = np.searchsorted(alone.timestamps_s, split.timestamps_s, side="right") - 1
            total += np.where(at < 0, 3_000.0, part.equity[np.maximum(at, 0)])
            trades += part.trades.height
        assert np.allclose(trace.equity, total, rtol=1e-12)
        assert trace.trades.height == trades > 0
        assert trace.equity[0] == 9_000.0 and trace.weights.shape == (BARS, SYMBOLS)
    assert both[1].equity[-1] < both[0].equity[-1]


def test_a_symbol_without_a_whole_window_is_refused_by_name() -> None:
    split = split_with_gaps()
    split.present[2:, 1] = False
    split.present[:2, 1] = True
    with pytest.raises(DataError, match="S1 has 2 bars"):
        make_environment(config_of({**KEYS, "env.window_bars": 4}), split, "train")


def test_an_episode_cannot_be_started_outside_a_symbols_stretch() -> None:
    env = pooled(**{"env.window_bars": 3})
    pool = env.arrays.pool
    assert pool is not None
    view = MarketEnv(env, render_mode="ansi", timestamps_s=joined_timestamps(split_with_gaps()))
    ends = int(pool.last_bar[0])
    for start in (ends, ends + 1, ends + 2):
        with pytest.raises(UsageError, match="out of range"):
            view.reset(options={"start": start})
    view.reset(options={"start": ends + 3})
    line = view.render()
    assert line is not None and line.startswith(f"symbol 1, bar {ends + 3} 2020-01-01T")
    assert int(pool.symbol[ends + 3]) == 1


def test_state_features_do_not_depend_on_the_contract_multiplier() -> None:
    """Fifty times the worth of a unit and of the balance: the same observations."""
    split = random_split(5, bars=BARS, symbols=1, masked=0.0)
    keys: dict[str, Any] = {
        "env.action.kind": "flat_long",
        "env.state_features": [
            "position", "unrealized_pnl", "stop_proximity", "target_proximity", "drawdown",
        ],
        "market.stop_loss": 0.08,
        "market.take_profit": 0.3,
    }  # fmt: skip
    actions = np.ones((BARS - 1, 1, 1))
    one = make_environment(config_of({**keys, "env.initial_balance": 1_000}), split, "train")
    many = {**keys, "env.initial_balance": 50_000, "market.contract_multiplier": 50}
    fifty = make_environment(config_of(many), split, "train")
    assert "rate_close" in fifty.arrays.bars.columns
    plain, scaled = play(one, actions)[2], play(fifty, actions)[2]
    assert np.allclose(plain, scaled, rtol=1e-6, atol=1e-6)
    assert len(np.unique(plain[:, -4, 0])) > 5  # unrealized_pnl moves
