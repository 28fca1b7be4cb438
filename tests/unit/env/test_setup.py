"""Training and backtest are the same market: what may differ, and what is refused by name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from env_cases import config_of, environment, split_of
from truefill.core.errors import ConfigError, TruefillError
from truefill.env.market_bars import BPS
from truefill.env.market_setup import market_params
from truefill.env.setup import Environment, check_parity, make_environment
from truefill.market.bars import COLUMNS
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
    changed = jnp.ones((1, 2)) if value is None else 2 * value + 1
    market = other.arrays.market._replace(**{name: changed})
    other = replace(other, arrays=other.arrays._replace(market=market))
    with pytest.raises(TruefillError, match=rf"market\.{name} differs"):
        check_parity(train(), other)


@pytest.mark.parametrize("name", ["impact", "leverage_at_close", "derivative"])
def test_an_optional_rule_with_another_value_is_refused_by_name(name: str) -> None:
    def having(env: Environment, value: float) -> Environment:
        market = env.arrays.market._replace(**{name: jnp.full((1, 2), value)})
        return replace(env, arrays=env.arrays._replace(market=market))

    check_parity(having(train(), 0.5), having(backtest(), 0.5))
    with pytest.raises(TruefillError, match=rf"market\.{name} differs"):
        check_parity(having(train(), 0.5), having(backtest(), 0.6))


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
        ("market.half_spread_bps", 0, "half_spread_bps"),
        ("market.slippage_bps", 4, "slippage"),
        ("market.borrow_rate_annual", 0.5, "borrow"),
        ("market.interest_rate_annual", 0.5, "interest"),
        ("market.symbols", {"S1": {"fee_bps": 1}}, "fee"),
        ("market.stop_loss", 0.1, "market.stop_loss"),
        ("market.contract_multiplier", 50, "contract_multiplier"),
        ("market.declared_volume", 50, "declared_volume"),
        ("market.maker_fee_bps", 1, "maker_fee_bps"),
        ("market.symbols", {"S1": {"liquidity_multiplier": 2}}, "liquidity_multiplier"),
        ("market.symbols", {"S1": {"spread_multiplier": 2}}, "half_spread_bps"),
        ("market.no_trade", [{"start": "03:00", "end": "04:00"}], "no_trade"),
        ("market.participation", {"max_share": 0.5}, "market.max_participation"),
        ("market.max_weight_at_close", 0.5, "market.weight_at_close"),
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


def test_a_symbol_that_may_not_short_is_refused_by_name() -> None:
    keys = {**KEYS, "env.action.kind": "hold_buy_sell_close"}
    with pytest.raises(TruefillError, match=r"market\.allow_short differs"):
        check_parity(environment(SPLIT, keys), backtest({
            "env.action.kind": "hold_buy_sell_close",
            "market.symbols": {"S1": {"allow_short": False}}}))  # fmt: skip


POOLED = {**KEYS, "env.episode_symbols": "one"}
BY_SIZE: list[tuple[str, dict[str, Any]]] = [
    ("lot_size", {"market.lot_size": 0.1}),
    ("lot_size", {"market.symbols": {"S1": {"lot_size": 0.1}}}),
    ("min_notional", {"market.symbols": {"S0": {"min_notional": 5}}}),
    ("participation", {"market.participation": {"max_share": 0.5}}),
    ("participation", {"market.participation": {"impact_bps": 5}}),
]


@pytest.mark.parametrize(("rule", "keys"), BY_SIZE)
def test_pooled_accounts_of_another_size_are_refused_where_size_counts(
    rule: str, keys: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError, match=rf"1000, but .* 77000 .* 38500; under {rule} the") as e:
        make_environment(config_of({**POOLED, **keys}), OTHER_DATA, "backtest")
    assert e.value.where == "evaluation.initial_balance"
    assert "evaluation.initial_balance: 2000 (2 x" in str(e.value.do)
    alike = {**POOLED, **keys, "evaluation.initial_balance": 2_000.0}
    make_environment(config_of(alike), OTHER_DATA, "backtest")
    make_environment(config_of({**POOLED, **keys}), OTHER_DATA, "train")
    backtest(keys)  # one account over all symbols
    one_symbol = {k: v for k, v in keys.items() if k != "market.symbols"}
    make_environment(config_of({**POOLED, **one_symbol}), OTHER_DATA.only("S1"), "backtest")


def test_pooled_accounts_may_differ_where_size_does_not_count() -> None:
    make_environment(config_of(POOLED), OTHER_DATA, "backtest")


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
        "market.participation": (
            {"impact_bps": 50, "exponent": 0.6, "max_share": 0.1},
            {"impact": 50 * BPS, "impact_exponent": 0.6, "max_participation": 0.1},
        ),
        "market.max_leverage_at_close": (0.8, {"leverage_at_close": 0.8}),
        "market.max_weight_at_close": (0.0, {"weight_at_close": 0.0}),
        "market.derivative": (True, {"derivative": 1.0}),
        "market.maintenance_margin": (0.1, {"maintenance": 0.1}),
        "market.ruin_fraction": (0.2, {"ruin_fraction": 0.2}),
    }  # fmt: skip
    for key, (value, expected) in moves.items():
        found = market_params(config_of({key: value}), ("A", "B"), 10_000.0)
        for name in MarketParams._fields:
            value, before = getattr(found, name), getattr(base, name)
            if name in expected:
                assert np.unique(np.asarray(value)).tolist() == [expected[name]], (key, name)
            elif before is None:
                assert value is None, (key, name)
            else:
                assert np.array_equal(value, before), (key, name)


def test_atr_stops_without_a_target_never_reach_one() -> None:
    found = market_params(config_of({"market.atr_stops": {"target_multiple": None}}), ("A",), 1.0)
    assert found.atr_target_min.tolist() == found.atr_target_max.tolist() == [[NEVER]]


def test_scenarios_and_symbols_have_their_own_costs() -> None:
    config = config_of({"market.symbols": {"B": {"lot_size": 0.5}}, "market.lot_size": 0.1})
    found = market_params(config, ("A", "B"), 10_000.0, (1.0, 2.0), (0.0, 20.0))
    assert found.lot.tolist() == [[0.1, 0.5]]
    assert found.cost_multiple.tolist() == [1.0, 2.0]
    assert found.extra_slippage.tolist() == [0.0, 20.0 * BPS]
    with pytest.raises(ConfigError, match="rules are given for B"):
        market_params(config, ("A",), 10_000.0)


def test_a_misspelt_symbol_is_named_with_the_nearest_one() -> None:
    config = config_of({"market.symbols": {"BTCUDS": {"fee_bps": 1}}})
    with pytest.raises(ConfigError, match="Did you mean 'BTCUSD'"):
        market_params(config, ("BTCUSD", "ETHUSD"), 1.0)


def test_symbols_have_their_own_limits() -> None:
    keys = {
        "market.allow_short": True, "market.max_leverage": 3.0, "market.max_weight": 2.0,
        "market.classes": {"fund": {"allow_short": False, "allow_leverage": False}},
        "market.symbols": {"A": {"asset_class": "fund", "no_trade_band": 0.1},
                           "B": {"max_weight_at_close": 0.5, "derivative": True}},
    }  # fmt: skip
    found = market_params(config_of(keys), ("A", "B"), 1.0)
    assert found.allow_short.tolist() == [[0.0, 1.0]]
    assert found.max_weight.tolist() == [[1.0, 2.0]]
    assert found.band.tolist() == [[0.1, 0.0]]
    assert found.weight_at_close is not None and found.derivative is not None
    assert found.weight_at_close.tolist() == [[NEVER, 0.5]]
    assert found.derivative.tolist() == [[0.0, 1.0]]


@pytest.mark.parametrize(
    ("given", "impact", "share"),
    [({"impact_bps": 20}, 20 * BPS, None), ({"max_share": 0.2}, None, 0.2)],
)
def test_participation_has_two_parts_each_absent_alone(
    given: dict[str, float], impact: float | None, share: float | None
) -> None:
    found = market_params(config_of({"market.participation": given}), ("A",), 1.0)
    assert (found.impact is None) == (found.impact_exponent is None) == (impact is None)
    assert (found.max_participation is None) == (share is None)


def test_only_routes_bring_a_fill_buffer_and_maker_fees() -> None:
    keys = {"market.maker_fee_bps": 2, "market.symbols": {"S1": {"maker_fee_bps": 1}}}
    plain = environment(SPLIT, keys)
    assert plain.arrays.bars.columns == COLUMNS
    assert plain.arrays.market.fill_buffer is None
    routed = make_environment(config_of(keys), SPLIT, "backtest", routes=True)
    assert routed.arrays.bars.columns == (*COLUMNS, "maker_fee", "session_end")
    assert routed.arrays.bars.column("maker_fee")[4].tolist() == [2e-4, 1e-4]
    np.testing.assert_array_equal(routed.arrays.bars.column("session_end"), SPLIT.session_end)
    assert routed.arrays.market.fill_buffer is not None
    assert routed.arrays.market.fill_buffer.tolist() == [[5 * BPS] * 2]
    without = make_environment(config_of(), SPLIT, "backtest", routes=True)
    assert without.arrays.bars.column("maker_fee")[4].tolist() == [10e-4, 10e-4]


def test_a_wider_spread_on_some_bars_is_no_other_rule() -> None:
    wide = np.ones((9, 2))
    wide[0] = 3.0
    keys = {**KEYS, "env.reward.interval_bars": 1}
    check_parity(environment(replace(SPLIT, extra={"spread_multiplier": wide}), keys),
                 make_environment(config_of(keys), OTHER_DATA, "backtest"))  # fmt: skip
