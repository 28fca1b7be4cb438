"""The threshold rule: as a policy through every decoder, as lists of orders, and what it nets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from env_cases import NO_COSTS, config_of, split_of
from truefill.config.evaluation import EvaluationConfig, ThresholdConfig
from truefill.core.errors import ConfigError, DataError
from truefill.data.split import SplitArrays
from truefill.env.decoders import DECODERS, Decoder, Wish
from truefill.env.setup import make_environment
from truefill.evaluation import threshold
from truefill.evaluation.backtest import backtest, replay_orders
from truefill.evaluation.policies import Given, UserPolicy, make_policy
from truefill.evaluation.threshold import (
    FIGURES,
    net_of,
    orders_of,
    replay_signals,
    threshold_orders,
)
from truefill.features.contract import FeatureSpec
from truefill.market.types import Array, OrderKind, Orders

BARS = 160
NAN = float("nan")
KEYS: dict[str, Any] = {
    "market.allow_short": True, "market.fee_bps": 3, "market.half_spread_bps": 1,
    "market.slippage_bps": 1, "market.stop_loss": 0.01, "env.window_bars": 3,
    "env.action.kind": "short_flat_long", "env.action.params": {"size": 0.5},
}  # fmt: skip
SLOW = pytest.mark.slow
RULE = ThresholdConfig(enter=0.5, exit=0.1)
SIGNAL = FeatureSpec(
    "h1_signal", "forecast", {}, "none", 0.0, 1.0, None, None, None, 0, 1, None, "", False
)


def two_symbols(**more: Any) -> SplitArrays:
    rng = np.random.default_rng(6)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.004, (BARS, 2)), axis=0))
    noise = rng.normal(0.0, 0.4, (BARS + 9, 2))
    signal = np.tanh(sum(noise[9 - k : BARS + 9 - k] for k in range(9)))[:, :, None]
    split = split_of(close, wick=0.004, features=signal, **more)
    return replace(split, feature_names=("h1_signal",))


def rule_of(config: Any, split: SplitArrays, spec: Any = None, **params: Any) -> UserPolicy:
    spec = spec or make_environment(config, split, "backtest").spec
    given = Given(spec, (SIGNAL,), {}, "c")
    return make_policy("threshold", {"enter": 0.5, "exit": 0.1, **params}, given, "agent.rule")


def sides(signal: list[float], **rule: Any) -> list[float]:
    """What a list of signals orders: the side, NaN where nothing is ordered."""
    thresholds = {"enter": 0.2, "exit": 0.0, "allow_short": True, **rule}
    orders = threshold_orders(np.asarray(signal)[:, None], **thresholds)
    assert np.array_equal(orders.kind[:, 0] == OrderKind.SIDE, orders.value[:, 0] != 0.0)
    held = np.where(orders.kind[:, 0] == OrderKind.HOLD, NAN, orders.value[:, 0])
    return held.tolist()


@pytest.mark.parametrize(
    ("signal", "rule", "expected"),
    [
        ([0.1, 0.2, 0.1, 0.0, -0.01, 0.1], {}, [0, 1, 1, 1, 0, 0]),
        ([-0.1, -0.2, -0.1, 0.0, 0.01, -0.1], {}, [0, -1, -1, -1, 0, 0]),
        ([0.3, -0.3, 0.3], {}, [1, -1, 1]),
        ([0.3, -0.3, 0.1], {"allow_short": False}, [1, 0, 0]),
        ([0.3, 0.15, 0.05], {"exit": 0.1}, [1, 1, 0]),
        ([-0.3, -0.15, -0.05], {"exit": 0.1}, [-1, -1, 0]),
        ([0.3, -0.1, -0.15], {"exit": -0.1}, [1, 1, 0]),
        ([0.2, 0.19], {"exit": 0.2}, [1, 0]),
    ],
)
def test_hysteresis(signal: list[float], rule: dict[str, Any], expected: list[float]) -> None:
    assert sides(signal, **rule) == expected


def test_without_a_signal_nothing_is_ordered_and_the_side_stays_wanted() -> None:
    assert sides([NAN, 0.3, NAN, 0.1])[1:] == pytest.approx([1, NAN, 1], nan_ok=True)
    many = threshold_orders(
        np.array([[0.3, -0.3], [0.3, -0.3]]), enter=0.2, exit=0.0,
        allow_short=np.array([True, False]),
    )  # fmt: skip
    assert many.value.tolist() == [[0.5, 0.0], [0.5, 0.0]]


LATE = {"market.decision_lag": 2, "market.min_hold_bars": 3}


@pytest.mark.parametrize(
    ("extra", "short"),
    [({}, None), ({}, False), (LATE, None)],
)
@SLOW
def test_the_policy_is_the_replayed_orders_bit_for_bit(
    extra: dict[str, Any], short: bool | None
) -> None:
    """One market: what the rule decides bar by bar is what its list of orders comes to."""
    config, split = config_of({**KEYS, **extra}), two_symbols()
    env = make_environment(config, split, "backtest")
    [played] = backtest(rule_of(config, split, short=short), env, split, "c")
    rules = [RULE.model_copy(update={"short": may}) for may in (True, False)]
    lists = [orders_of(split.features[:, :, 0], env, rule) for rule in rules]
    kind, value = (np.stack([part[i] for part in lists]) for i in (0, 1))
    replayed = replay_orders(kind, value, env, split)[0 if short is None else 1]
    assert played.equity.tobytes() == replayed.equity.tobytes()
    assert played.trades.equals(replayed.trades) and played.trades.height >= 5
    assert (played.weights.min() < -0.3) == (short is None)
    assert np.any(np.diff(played.trades["bars_held"].to_numpy()))


@pytest.mark.slow
def test_symbols_that_may_not_short_are_flat_instead() -> None:
    """The market cuts what the rules forbid; the rule need not know which symbol it trades."""
    keys = {**KEYS, "env.action": {"kind": "hold_buy_sell_close", "params": {"size": 0.5}}}
    keys |= {"market.symbols": {"S1": {"allow_short": False}}}
    config, split = config_of(keys), two_symbols()
    env = make_environment(config, split, "backtest")
    [played] = backtest(rule_of(config, split), env, split, "c")
    assert played.weights[:, 0].min() < -0.3 and played.weights[:, 1].min() == 0.0
    [orders] = replay_signals({"x": split.features[:, :, 0]}, config, split, RULE).values()
    assert played.equity.tobytes() == orders.equity.tobytes()


@pytest.mark.slow
def test_an_account_a_symbol_and_one_over_all() -> None:
    """Alone each symbol's signal is followed as it is beside the other."""
    keys = {**KEYS, "env.action": {"kind": "target_weight", "params": {"scale": 0.3}}}
    split, held = two_symbols(), {}
    for symbols in ("all", "one"):
        config = config_of({**keys, "market.no_trade_band": 0.2, "env.episode_symbols": symbols})
        env = make_environment(config, split, "backtest")
        [trace] = backtest(rule_of(config, split), env, split, "c")
        held[symbols] = np.sign(trace.weights)
    assert np.array_equal(held["all"], held["one"]) and np.any(held["all"] < 0.0)


def test_sizes_follow_a_signal_in_its_own_unit() -> None:
    """The thresholds are in the feature's unit, whatever observations are normalized to."""
    split = two_symbols()
    config = config_of({**KEYS, "env.action": {"kind": "target_weight"},
                        "market.no_trade_band": 0.1})  # fmt: skip
    spec = make_environment(config, split, "backtest").spec
    given = Given(
        spec,
        (replace(SIGNAL, normalizer="zscore"),),
        {"h1_signal": {"mean": 0.25, "std": 0.5}},
        "c",
    )
    params = {"enter": 0.5, "exit": 0.25, "scaled": True}
    rule = make_policy("threshold", params, given, "agent.rule").parameters
    memory, found, decide = rule.initial(1), [], jax.jit(UserPolicy.decide)
    for raw in (0.25, 0.5, 0.375, 0.125, -2.0, 0.0):
        values = np.zeros((spec.observation_size, 1), np.float32)
        values[given.rows("h1_signal")] = (raw - 0.25) / 0.5
        action, memory = decide(rule, memory, values, None)
        found.append(np.asarray(action)[:, 0].tolist())
    assert found == [[x, x] for x in (0.0, 0.5, 0.375, 0.0, -1.0, 0.0)]


# ---- toward: what every decoder makes of a wish

DESIRED = {
    ("short_flat_long", ()): [-1.0, -1.0, 0.0, 1.0, 1.0],
    ("flat_long", ()): [0.0, 0.0, 0.0, 1.0, 1.0],
    ("hold_buy_sell_close", ()): [-1.0, -1.0, 0.0, 1.0, 1.0],
    ("score", ()): [-1.0, -1.0, 0.0, 1.0, 1.0],
    ("target_weight", (("scale", 0.5),)): [-0.5, -0.15, 0.0, 0.15, 0.5],
    ("volume_bins", ()): [0.0, 0.0, 0.0, 0.2, 1.0],
    ("volume_bins", (("long_only", False),)): [-1.0, -0.2, 0.0, 0.2, 1.0],
    ("volume_bins", (("form", "discrete"),)): [0.0, 0.0, 0.0, 0.2, 1.0],
    ("volume_bins", (("form", "discrete"), ("long_only", False))): [-1.0, -0.2, 0.0, 0.2, 1.0],
    ("zones", ()): [-1.0, -0.5, 0.0, 0.5, 1.0],
    ("zones", (("long_only", True),)): [0.0, 0.0, 0.0, 0.5, 1.0],
}


def played(decoder: Decoder, desired: list[list[float]]) -> tuple[Any, Any]:
    """The action that comes nearest, and what it orders; compiled as one program."""

    @jax.jit
    def both(wanted: Array) -> tuple[Array, Orders]:
        assert decoder.toward is not None
        action = decoder.toward(Wish(wanted, None, None))
        action = action if decoder.discrete else action.astype(jnp.float32)
        return action, decoder.orders(action)

    return jax.tree.map(np.asarray, both(np.asarray(desired)))  # type: ignore[no-any-return]


@pytest.mark.parametrize("case", DESIRED, ids=str)
def test_a_decoder_orders_what_comes_nearest(case: Any) -> None:
    kind, params = case
    entry = DECODERS.get(kind)
    decoder = entry.make(entry.params(**dict(params)))
    assert decoder.toward is not None
    action, orders = played(decoder, [[-1.0], [-0.3], [0.0], [0.3], [1.0]])
    assert np.issubdtype(action.dtype, np.integer) == decoder.discrete
    assert orders.value[:, 0].tolist() == pytest.approx(DESIRED[case])


def test_nine_actions_follow_the_side_of_the_position() -> None:
    entry = DECODERS.get("nine_actions")
    decoder = entry.make(entry.params())
    assert decoder.toward is not None and decoder.needs_side

    toward = jax.jit(decoder.toward)

    def actions(desired: list[float], side: list[float], reverse: bool | None = True) -> list[int]:
        room = [0.0] * (5 - len(side))  # one shape, one program
        legal = None if reverse is None else np.full((5, 1, 9), reverse)
        wish = Wish(*(np.asarray([[x] for x in given + room]) for given in (desired, side)), legal)
        return toward(wish)[: len(side), 0].tolist()  # type: ignore[no-any-return]

    assert actions([1.0, 0.5, 0.2, 1.0, 1.0], [0.0, 0.0, 0.0, 1.0, -1.0]) == [3, 2, 1, 0, 3]
    assert actions([0.0, 0.0, 0.0], [0.0, 1.0, -1.0]) == [0, 7, 7]
    assert actions([-1.0, -1.0, -1.0], [0.0, 1.0, -1.0]) == [0, 8, 0]
    assert actions([-1.0], [1.0], reverse=False) == [7]
    assert actions([-1.0], [1.0], reverse=None) == [8]


@pytest.mark.parametrize(
    ("params", "desired", "weights"),
    [
        ({}, [1.0, 1.0, 0.0], [0.5, 0.5, 0.0]),
        ({}, [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]),
        ({}, [0.3, 0.0, -0.4], [0.3, 0.0, 0.0]),
        ({}, [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]),
        ({"weight_cap": 0.3}, [1.0, 1.0, 1.0], [0.3, 0.3, 0.3]),
        ({"long_short": True}, [1.0, -1.0, 0.0], [0.5, -0.5, 0.0]),
        ({"gross_cap": 2.0}, [0.6, 0.2, 0.0], [0.6, 0.2, 0.0]),
    ],
)
def test_a_portfolio_takes_the_shares_that_are_wanted(
    params: dict[str, Any], desired: list[float], weights: list[float]
) -> None:
    entry = DECODERS.get("portfolio_weights")
    decoder = entry.make(entry.params(**{"weight_cap": 1.0, **params}))
    assert decoder.toward is not None and decoder.action_size is not None
    action, orders = played(decoder, [desired])
    assert action.shape == (1, decoder.action_size(3))
    assert orders.value[0].tolist() == pytest.approx(weights, abs=1e-3)


def test_every_decoder_says_which_action_comes_nearest() -> None:
    assert [e.name for e in DECODERS if e.make(e.params()).toward is None] == []


# ---- refusals


def test_what_cannot_be_played_is_refused() -> None:
    split = two_symbols()
    config = config_of(KEYS)
    spec = make_environment(config, split, "backtest").spec
    deaf = replace(spec, decoder=replace(spec.decoder, toward=None))
    with pytest.raises(ConfigError, match="which action comes nearest") as caught:
        rule_of(config, split, deaf)
    assert "flat_long" in caught.value.do and caught.value.where == "env.action.kind"
    nine = config_of({**KEYS, "env.action": {"kind": "nine_actions"}, "env.state_features": []})
    with pytest.raises(ConfigError, match="'position'"):
        rule_of(nine, split)
    no_op = {"kind": "hold_buy_sell_close", "illegal": "no_op"}
    unseen = config_of({**KEYS, "env.action": no_op})
    with pytest.raises(ConfigError, match="who may go short"):
        rule_of(unseen, split)
    rule_of(unseen, split, short=False)
    for params in ({"enter": 0.1, "exit": 0.2}, {"enter": 0.1, "exit": -0.1}):
        with pytest.raises(ConfigError, match="exit must be above -enter"):
            rule_of(config, split, **params)
        with pytest.raises(ValueError, match="exit must be above -enter"):
            EvaluationConfig(forecast_threshold=ThresholdConfig(**params))
    macd = replace(SIGNAL, name="macd_signal", calculator="macd_signal")
    given = Given(spec, (macd,), {}, "c")
    with pytest.raises(ConfigError, match="no feature is the signal of a forecast") as caught:
        make_policy("threshold", {}, given, "agent.rule")
    assert caught.value.where == "agent.rule"


# ---- what signals net


def test_what_signals_net_is_told_of_each() -> None:
    keys = {**KEYS, "evaluation": {"min_closed_trades": 3}}
    config, split = config_of(keys), two_symbols()
    ahead = np.sign(np.roll(split.close, -1, axis=0) - split.close)
    signals = {
        "seer": ahead, "fool": -ahead, "none": np.zeros(ahead.shape),
        "silent": np.full(ahead.shape, NAN),
    }  # fmt: skip
    pairs = (("seer", "fool"), ("none", "silent"))
    found: dict[str, Any] = {}
    for pair in pairs:
        found |= net_of({name: signals[name] for name in pair}, config, split, RULE)
    assert list(found) == list(signals) and set(found["seer"]) == set(FIGURES)
    net = {name: own["net_return"] for name, own in found.items()}
    assert net["seer"] > 0.2 > 0.0 > net["fool"] and net["none"] == net["silent"] == 0.0
    assert found["seer"]["closed_trades"] > 20 and found["seer"]["sharpe"] > 5.0
    assert found["none"]["sharpe"] == {"value": None, "reason": "zero variance"}
    alone = replay_signals({"x": ahead, "fool": -ahead}, config, split, RULE)["fool"]
    returns = np.sort(alone.equity[1:] / alone.equity[:-1] - 1.0)
    tail = returns[: (len(returns) - 1) // 20 + 1]
    assert found["fool"]["cvar_95"] == pytest.approx(-tail.mean())
    assert found["fool"]["var_95"] == -tail[-1]
    with pytest.raises(DataError, match="seer is"):
        net_of({"seer": ahead[1:]}, config, split)


@pytest.mark.slow
def test_signals_are_replayed_in_portions_to_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    config, split = config_of(KEYS), two_symbols()
    signals = {str(k): split.features[:, :, 0] * k for k in (0.7, 0.9, -1.0)}
    whole = net_of(signals, config, split, RULE)
    monkeypatch.setattr(threshold, "CELLS", 2 * split.close.size)
    assert net_of(signals, config, split, RULE) == whole
    assert len({str(own) for own in whole.values()}) == 3


def test_costs_are_the_runs_own() -> None:
    split = two_symbols()
    signals = dict.fromkeys("xy", split.features[:, :, 0])
    free = net_of(signals, config_of({**KEYS, **NO_COSTS}), split, RULE)["x"]
    paid = net_of(signals, config_of(KEYS), split, RULE)["x"]
    assert min(free["closed_trades"], paid["closed_trades"]) > 10  # type: ignore[type-var]
    assert free["net_return"] > paid["net_return"]  # type: ignore[operator]


def test_orders_know_what_the_types_are() -> None:
    orders = threshold_orders(np.array([[0.3], [0.0]]), enter=0.2, exit=0.1, allow_short=True)
    assert orders.kind.dtype == np.int32 and orders.value.dtype == np.float64
    assert Orders(*orders).kind.tolist() == [[OrderKind.SIDE], [OrderKind.WEIGHT]]
