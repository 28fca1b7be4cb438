"""Training and backtest are the same market: what may differ, and what is refused by name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from env_cases import config_of, environment, split_of
from truefill.core.errors import ConfigError, TruefillError
from truefill.env.setup import BPS, Environment, check_parity, make_environment, market_params
from truefill.market.types import NEVER, MarketParams

KEYS: dict[str, Any] = {
    "market.allow_short": True,
    "env.action.kind": "short_flat_long",
    "env.reward.interval_bars": 5,
    "env.drawdown_limit": 0.3,
    "env.initial_balance": 1_000.0,
    "evaluation.initial_balance": 77_000.0,
}
SPLIT = split_of(np.full((9, 2), 100.0))
OTHER_DATA = split_of(np.linspace(50.0, 60.0, 24).reshape(12, 2))


def train() -> Environment:
    return environment(SPLIT, KEYS)


def backtest(changes: dict[str, Any] | None = None) -> Environment:
    return make_environment(config_of({**KEYS, **(changes or {})}), OTHER_DATA, "backtest")


def test_reward_interval_drawdown_stop_length_and_balance_may_differ() -> None:
    a, b = train(), backtest()
    check_parity(a, b)
    assert (int(a.arrays.reward.interval), int(b.arrays.reward.interval)) == (5, 1)
    assert float(a.arrays.episode.drawdown_limit) == 0.3
    assert float(b.arrays.episode.drawdown_limit) == NEVER
    assert a.arrays.market.initial_balance.tolist() == [1_000.0]
    assert b.arrays.market.initial_balance.tolist() == [77_000.0]


@pytest.mark.parametrize("name", [n for n in MarketParams._fields if n != "initial_balance"])
def test_any_other_rule_of_the_market_is_refused_by_name(name: str) -> None:
    other = backtest()
    value = getattr(other.arrays.market, name)
    market = other.arrays.market._replace(**{name: 2 * value + 1})
    other = replace(other, arrays=other.arrays._replace(market=market))
    with pytest.raises(TruefillError, match=rf"market\.{name} differs"):
        check_parity(train(), other)


@pytest.mark.parametrize("name", ["weights", "scale", "clip", "eta", "gamma"])
def test_any_other_part_of_the_reward_is_refused_by_name(name: str) -> None:
    other = backtest()
    reward = other.arrays.reward
    reward = reward._replace(**{name: jnp.minimum(getattr(reward, name), 1e3) * 0.5})
    other = replace(other, arrays=other.arrays._replace(reward=reward))
    with pytest.raises(TruefillError, match=rf"reward\.{name} differs"):
        check_parity(train(), other)


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("market.fee_bps", 11, "fee"),
        ("market.half_spread_bps", 0, "half_spread"),
        ("market.slippage_bps", 4, "slippage"),
        ("market.borrow_rate_annual", 0.5, "borrow"),
        ("market.interest_rate_annual", 0.5, "interest"),
        ("market.symbols", {"S1": {"fee_bps": 1}}, "fee"),
        ("market.stop_loss", 0.1, "market.stop_loss"),
        ("market.decision_lag", 2, "lag"),
        ("market.decision_interval_bars", 2, "state_features"),
        ("env.window_bars", 2, "window"),
        ("env.state_features", ["position"], "state_features"),
        ("env.reward.turnover", 0.5, "reward_terms"),
        ("env.action.kind", "hold_buy_sell_close", "decoder"),
        ("env.action.params", {"size": 0.5}, "decoder"),
        ("env.action.illegal", "no_op", "mask_illegal"),
    ],
)
def test_another_config_is_refused_by_name(key: str, value: Any, named: str) -> None:
    with pytest.raises(TruefillError, match=f"{named} differs"):
        check_parity(train(), backtest({key: value}))


def test_every_rule_of_the_config_reaches_the_market() -> None:
    """One key at a time: exactly the parameters it should move, move."""
    base = market_params(config_of(), ("A", "B"), 10_000.0)
    moves: dict[str, tuple[Any, dict[str, float]]] = {
        "market.allow_short": (True, {"allow_short": 1.0}),
        "market.decision_interval_bars": (3, {"decision_interval": 3}),
        "market.max_leverage": (2.0, {"max_leverage": 2.0}),
        "market.max_weight": (0.5, {"max_weight": 0.5}),
        "market.lot_size": (0.01, {"lot": 0.01}),
        "market.min_notional": (25.0, {"min_notional": 25.0}),
        "market.no_trade_band": (0.05, {"band": 0.05}),
        "market.min_hold_bars": (4, {"min_hold": 4}),
        "market.max_hold_bars": (40, {"max_hold": 40}),
        "market.stop_loss": (0.03, {"stop_loss": 0.03}),
        "market.take_profit": (0.06, {"take_profit": 0.06}),
        "market.trailing_stop": (
            {"distance": 0.02, "activation": 0.01, "keep": 0.6, "floor": 0.001},
            {"trail_distance": 0.02, "trail_activation": 0.01, "trail_keep": 0.6,
             "trail_floor": 0.001},
        ),
        "market.atr_stops": (
            {"stop_multiple": 2.0, "target_multiple": 4.0, "stop_min": 0.02, "stop_max": 0.07,
             "target_min": 0.03, "target_max": 0.09},
            {"use_atr": 1.0, "atr_stop": 2.0, "atr_target": 4.0, "atr_stop_min": 0.02,
             "atr_stop_max": 0.07, "atr_target_min": 0.03, "atr_target_max": 0.09},
        ),
        "market.maintenance_margin": (0.1, {"maintenance": 0.1}),
        "market.ruin_fraction": (0.2, {"ruin_fraction": 0.2}),
    }  # fmt: skip
    for key, (value, expected) in moves.items():
        found = market_params(config_of({key: value}), ("A", "B"), 10_000.0)
        for name in MarketParams._fields:
            got = np.unique(np.asarray(getattr(found, name))).tolist()
            want = [expected[name]] if name in expected else None
            if want is None:
                assert np.array_equal(getattr(found, name), getattr(base, name)), (key, name)
            else:
                assert got == want, (key, name)


def test_atr_stops_without_a_target_never_reach_one() -> None:
    found = market_params(config_of({"market.atr_stops": {"target_multiple": None}}), ("A",), 1.0)
    assert found.atr_target_min.tolist() == found.atr_target_max.tolist() == [[NEVER]]


def test_scenarios_and_symbols_have_their_own_costs() -> None:
    config = config_of({"market.symbols": {"B": {"lot_size": 0.5}}, "market.lot_size": 0.1})
    found = market_params(config, ("A", "B"), 10_000.0, (1.0, 2.0), (0.0, 20.0))
    assert found.lot.tolist() == [[0.1, 0.5]]
    assert found.cost_multiple.tolist() == [1.0, 2.0]
    assert found.extra_slippage.tolist() == [0.0, 20.0 * BPS]
    with pytest.raises(ConfigError, match="costs are given for B"):
        market_params(config, ("A",), 10_000.0)


def test_costs_and_masked_bars_reach_the_bars() -> None:
    present = np.ones((9, 2), bool)
    present[3, 1] = False
    split = split_of(np.full((9, 2), 100.0), present=present)
    env = environment(split, {**KEYS, "market.symbols": {"S1": {"fee_bps": 1}}})
    row = env.arrays.bars.row(jnp.asarray([3], jnp.int32))
    np.testing.assert_allclose(np.asarray(row.fee), [[10e-4, 1e-4]])
    np.testing.assert_allclose(np.asarray(row.half_spread), [[2e-4, 2e-4]])
    np.testing.assert_allclose(np.asarray(row.slippage), [[3e-4, 3e-4]])
    assert row.borrow.tolist() == [[0.03, 0.03]]
    assert row.interest.tolist() == [0.065]
    assert row.state.tolist() == [[2.0, 0.0]]
    assert float(row.years[0]) == pytest.approx(1 / 8_766)
