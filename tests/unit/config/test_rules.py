"""The error matrix: every wrong value and every broken cross-field rule is refused, by name."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from config_cases import base_tree, put
from truefill.config.load import parse_config
from truefill.core.errors import ConfigError

GEARED = {"max_leverage": 3.0, "max_weight": 3.0, "maintenance_margin": 0.2}
# key to set, value, what the message must say
WRONG: list[tuple[str, Any, str]] = [
    # misspelt keys, at every depth
    ("nmae", "x", "unknown key 'nmae'. Did you mean 'name'"),
    ("market.fee_pbs", 1, "unknown key 'market.fee_pbs'. Did you mean 'fee_bps'"),
    ("agent.ppo.gama", 0.9, "Did you mean 'gamma'"),
    ("data.splits.trian", {}, "Did you mean 'train'"),
    ("features.0.calculater", "x", "Did you mean 'calculator'"),
    ("market.trailing_stop", {"distence": 0.1}, "Did you mean 'distance'"),
    # types and ranges
    ("name", "Has Spaces", "name"),
    ("name", None, "name"),
    ("device", "tpu", "device"),
    ("market.fee_bps", "a lot", "market.fee_bps"),
    ("market.fee_bps", -1, "market.fee_bps"),
    ("market.fee_bps", float("nan"), "market.fee_bps"),
    ("market.slippage_bps", float("inf"), "market.slippage_bps"),
    ("market.decision_lag", 0, "market.decision_lag"),
    ("market.decision_lag", 1.5, "market.decision_lag"),
    ("market.max_leverage", 0, "market.max_leverage"),
    ("env.window_bars", 0, "env.window_bars"),
    ("env.drawdown_limit", 1.5, "env.drawdown_limit"),
    ("agent.kind", "dqn", "agent.kind"),
    ("agent.network.activation", "sigmoid", "agent.network.activation"),
    ("agent.network.initialization", "zeros", "agent.network.initialization"),
    ("agent.network.hidden", [64, 0], "agent.network.hidden"),
    ("agent.ppo.gamma", 1.01, "agent.ppo.gamma"),
    ("agent.ppo.learning_rate", -0.1, "agent.ppo.learning_rate"),
    ("training.seeds", [], "training.seeds"),
    ("training.seeds", [-1], "training.seeds"),
    ("training.worker_timeout_s", 0, "worker_timeout_s"),
    # durations, times, timezones, dates
    ("data.interval", "5 minutes", "is not a duration"),
    ("data.interval", "0m", "interval must be positive"),
    ("data.session", {"timezone": "Bogota"}, "is not an IANA timezone"),
    ("data.session", {"days": ["monday"]}, "data.session.days"),
    ("data.session", {"start": "25:00"}, "data.session.start"),
    ("data.splits.train.start", "2020-13-01", "data.splits.train.start"),
    ("data.splits.train.start", "2020-01-01T00:00:00", "has no timezone"),
    # cross-field rules
    ("data.splits.train.end", "2019-01-01", "is not before end"),
    ("data.splits.train.end", "2020-11-01", "train must end before validation starts"),
    ("data.splits.validation.end", "2021-02-01", "validation must end before test starts"),
    ("data.synthetic", None, "give either bars (files) or synthetic"),
    ("data.bars", [{"path": "bars.csv"}], "give either bars (files) or synthetic"),
    ("env.window_bars", 5_000, "does not fit data.splits.validation"),
    ("features.1.name", "r", "features are named twice: r"),
    ("features.0.clip_low", -1.0, "clip_low needs clip"),
    (
        "features.0",
        {"name": "a", "calculator": "rsi", "normalizer": "minmax", "low": 1},
        "low must be",
    ),
    ("market.ruin_fraction", 0.0, "ruin_fraction must be above 0"),
    ("market.maintenance_margin", 1.0, "would liquidate at once"),
    ("market", {"min_hold_bars": 10, "max_hold_bars": 5}, "max_hold_bars is below min_hold_bars"),
    ("market", {"atr_stops": {}, "stop_loss": 0.1}, "either atr_stops or stop_loss"),
    ("market", {"max_weight": 2.0}, "max_weight exceeds max_leverage"),
    ("market.stop_loss", 1.0, "can never be hit by a long"),
    ("market.trailing_stop", {}, "trailing_stop needs distance or activation"),
    ("market.atr_stops", {"stop_min": 0.2, "stop_max": 0.1}, "min must not exceed max"),
    # classes and symbols
    ("market.symbols", {"A": {"max_weigth": 1}}, "unknown key 'market.symbols.A.max_weigth'"),
    ("market.clases", {}, "Did you mean 'classes'"),
    ("market.classes", {"coin": {"fee_bps": 5}}, "classes.coin has no symbol"),
    (
        "market",
        {"classes": {"crypto": {}}, "symbols": {"A": {"asset_class": "cryto"}}},
        "symbols.A.asset_class 'cryto' is not in classes. Did you mean 'crypto'",
    ),
    ("market.symbols", {"A": {"max_weight": 2.0}}, "symbols.A.max_weight exceeds max_leverage"),
    (
        "market",
        {"classes": {"c": {"max_weight": 2.0}}, "symbols": {"A": {"asset_class": "c"}}},
        "classes.c.max_weight exceeds max_leverage",
    ),
    (
        "market",
        {**GEARED, "symbols": {"A": {"max_weight": 2.0, "allow_leverage": False}}},
        "max_weight 2 needs leverage, and allow_leverage is false",
    ),
    (
        "market",
        {
            **GEARED,
            "classes": {"c": {"allow_leverage": False}},
            "symbols": {"A": {"asset_class": "c", "max_weight": 2.0}},
        },
        "symbols.A.max_weight 2 needs leverage, which classes.c does not allow",
    ),
    ("market.symbols", {"A": {"contract_multiplier": 0}}, "contract_multiplier"),
    ("market.symbols", {"A": {"spread_multiplier": 0}}, "spread_multiplier"),
    ("market.symbols", {"A": {"liquidity_multiplier": 0}}, "liquidity_multiplier"),
    ("market.declared_volume", 0, "declared_volume"),
    ("market.maker_fee_bps", -1, "market.maker_fee_bps"),
    ("market.fill_buffer_bps", -1, "market.fill_buffer_bps"),
    # the session's end
    ("market.max_leverage_at_close", 1.1, "max_leverage_at_close exceeds max_leverage"),
    ("market.max_weight_at_close", 1.1, "max_weight_at_close exceeds max_weight"),
    (
        "market.symbols",
        {"A": {"max_weight": 0.4, "max_weight_at_close": 0.5}},
        "symbols.A: max_weight_at_close 0.5 exceeds its max_weight 0.4",
    ),
    (
        "market",
        {
            "classes": {"c": {"max_weight_at_close": 0.5}},
            "symbols": {"A": {"asset_class": "c", "max_weight": 0.4}},
        },
        "symbols.A: max_weight_at_close 0.5 exceeds its max_weight 0.4",
    ),
    # participation and windows
    ("market.participation", {}, "participation needs impact_bps or max_share"),
    ("market.participation", {"max_share": 0.0}, "max_share"),
    ("market.participation", {"max_share": 1.5}, "max_share"),
    ("market.participation", {"impact_bps": 10, "exponent": 0}, "exponent"),
    ("market.no_trade", [{"start": "17:00"}], "'market.no_trade.0.end' is missing"),
    ("market.no_trade", [{"start": "17:00", "end": "5 pm"}], "is not a time of day"),
    ("market.no_trade", [{"start": "17:00", "end": "18:00", "timezone": "Bogota"}], "IANA"),
    ("market.no_trade", [{"start": "17:00", "end": "18:00", "days": []}], "days"),
    ("agent.ppo.minibatch", 1_000, "does not divide the rollout 512 x 64 = 32768"),
    ("agent.ppo.block", 48, "block 48 does not divide minibatch"),
    ("agent.ppo", {"num_envs": 32, "num_steps": 64, "minibatch": 2048}, "does not divide num_envs"),
    ("training.total_steps", 100, "is less than one rollout (32768)"),
    ("training.eval_every_steps", 3_000_000, "exceeds training.total_steps"),
    ("training.seeds", [1, 2, 1], "seeds are repeated"),
    ("training.seeds", [1, 2], "min_positive_seeds 3 exceeds"),
    ("evaluation.sma_cross", {"fast_bars": 200, "slow_bars": 50}, "fast_bars must be below"),
]


@pytest.mark.parametrize(("key", "value", "message"), WRONG, ids=[f"{k}={v}" for k, v, _ in WRONG])
def test_wrong_config_is_refused_by_name(key: str, value: Any, message: str) -> None:
    tree = base_tree()
    put(tree, key, value)
    with pytest.raises(ConfigError) as caught:
        parse_config(tree, where="my.yaml")
    text = str(caught.value)
    assert message in text
    assert text.startswith("my.yaml: ")
    assert caught.value.exit_code == 2
    assert "errors.pydantic.dev" not in text


def test_the_base_of_the_matrix_is_right() -> None:
    assert parse_config(base_tree()).name == "small"


# The same rules must not bite a value that only just keeps them.
RIGHT: list[tuple[str, Any]] = [
    ("market.fee_bps", 0),
    ("market.max_weight", 1.0),
    ("market", {"max_leverage": 2.0, "maintenance_margin": 0.49}),
    ("market", {"min_hold_bars": 5, "max_hold_bars": 5}),
    ("market", {"stop_loss": 1.0, "allow_short": True}),
    ("market", {"stop_loss": 1.0, "symbols": {"A": {"allow_short": True}}}),
    ("market", {"classes": {"c": {"fee_bps": 5}}, "symbols": {"A": {"asset_class": "c"}}}),
    ("market.symbols", {"A": {"max_weight": 1.0}}),
    ("market.symbols", {"A": {"max_weight": 1.0, "allow_leverage": False}}),
    (
        "market",
        {
            **GEARED,
            "classes": {"c": {"allow_leverage": False}},
            "symbols": {"A": {"asset_class": "c", "max_weight": 2.0, "allow_leverage": True}},
        },
    ),
    ("market.max_leverage_at_close", 1.0),
    ("market.max_weight_at_close", 0.0),
    ("market.symbols", {"A": {"max_weight": 0.5, "max_weight_at_close": 0.5}}),
    ("market", {"max_weight_at_close": 0.5, "symbols": {"A": {"max_weight": 0.4}}}),
    ("market.participation", {"max_share": 1.0}),
    ("market.participation", {"impact_bps": 100}),
    ("market.no_trade", [{"start": "17:00", "end": "17:00", "days": ["sat"]}]),
    ("data.splits.train.end", "2020-09-01"),
    ("env.window_bars", 2_000),
    ("training.eval_every_steps", 2_000_000),
    ("training.total_steps", 250_000),
    ("agent.ppo.learning_rate", {"start": 0.001, "end": 0.0, "kind": "cosine"}),
    ("evaluation", {"min_positive_seeds": 5}),
    ("data.session", {"timezone": "America/Bogota", "start": "08:00", "end": "13:00"}),
]


@pytest.mark.parametrize(("key", "value"), RIGHT, ids=[f"{k}={v}" for k, v in RIGHT])
def test_what_just_fits_is_accepted(key: str, value: Any) -> None:
    tree = base_tree()
    put(tree, key, value)
    assert parse_config(yaml.safe_load(yaml.safe_dump(tree))).name == "small"


def test_a_symbol_speaks_before_its_class_and_its_class_before_the_market() -> None:
    tree = base_tree()
    tree["market"] = {
        **GEARED, "fee_bps": 10, "slippage_bps": 3, "half_spread_bps": 2, "allow_short": True,
        "classes": {"c": {"fee_bps": 20, "slippage_bps": 6, "maker_fee_bps": 1,
                          "allow_short": False, "allow_leverage": False, "spread_multiplier": 3}},
        "symbols": {"A": {"asset_class": "c", "fee_bps": 30, "liquidity_multiplier": 0.5},
                    "B": {"contract_multiplier": 50, "derivative": True}},
    }  # fmt: skip
    market = parse_config(tree).market
    a, b, other = (market.rules_for(symbol) for symbol in ("A", "B", "C"))
    assert (a.fee_bps, a.slippage_bps, a.half_spread_bps, a.maker_fee_bps) == (30, 6, 6, 1)
    assert (a.allow_short, a.max_weight, a.liquidity_multiplier) == (False, 1.0, 0.5)
    assert (b.fee_bps, b.maker_fee_bps, b.max_weight, b.allow_short) == (10, 10, 3.0, True)
    assert (b.contract_multiplier, b.derivative, other.derivative) == (50, True, False)
    assert other == market.rules_for("D")
    assert other.max_weight_at_close is other.declared_volume is None
