"""Portfolio weights: sums, caps, symmetry, saturation and the leverage head, against a softmax."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from env_cases import NO_COSTS, config_of, environment, play, split_of
from truefill.agents.networks import make_network
from truefill.env.decoders import Decoder
from truefill.env.setup import make_decoder
from truefill.market.types import Orders

MARKET = {
    "market.allow_short": True, "market.no_trade_band": 0.01, "market.max_leverage": 3.0,
    "market.max_weight": 3.0,
}  # fmt: skip
FORMS: list[dict[str, Any]] = [
    {"weight_cap": 3.0},
    {},
    {"weight_cap": 3.0, "gross": 0.5, "gross_cap": 2.0},
    {"weight_cap": 3.0, "long_short": True},
    {"weight_cap": 0.2, "long_short": True, "gross_cap": 3.0},
]
CLOSE = 1e-7
"""Logits are rounded to 2**-26: a weight's relative error is below this."""
each_form = pytest.mark.parametrize("params", FORMS)


def keys_of(params: dict[str, Any]) -> dict[str, Any]:
    return {**MARKET, "env.action": {"kind": "portfolio_weights", "params": params}}


def decoder_of(params: dict[str, Any]) -> Decoder:
    return make_decoder(config_of(keys_of(params)))


@cache
def compiled_orders(decoder: Decoder) -> Callable[[Any], Orders]:
    return jax.jit(decoder.orders)


def weights_of(params: dict[str, Any], action: Any) -> np.ndarray:
    """float64 [N, S] of float32 actions [N, size]."""
    value = compiled_orders(decoder_of(params))(np.asarray(action, np.float32)).value
    assert value.dtype == jnp.float64
    return np.asarray(value)


def by_formula(params: dict[str, Any], action: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights before the cap [N, S] and gross [N], from the plain formula."""
    a = np.clip(action.astype(np.float64), -8.0, 8.0)
    gross = np.full(len(a), params.get("gross", 1.0))
    if "gross_cap" in params:
        gross = gross + (params["gross_cap"] - gross) / (1.0 + np.exp(-a[:, -1]))
        a = a[:, :-1]
    shares = np.exp(a) / np.exp(a).sum(axis=1, keepdims=True)
    if params.get("long_short"):
        symbols = (a.shape[1] - 1) // 2
        net = shares[:, :symbols] - shares[:, symbols : 2 * symbols]
    else:
        net = shares[:, :-1]
    return gross[:, None] * net, gross


def actions(params: dict[str, Any], seed: int, symbols: int, spread: float = 4.0) -> np.ndarray:
    size = decoder_of(params).action_size
    assert size is not None
    rng = np.random.default_rng(seed)
    return rng.normal(0.0, spread, (20, size(symbols))).astype(np.float32)


def test_an_action_has_a_logit_a_symbol_and_side_one_of_cash_and_the_head() -> None:
    sizes = [[decoder_of(p).action_size(s) for s in (1, 3)] for p in FORMS]  # type: ignore[misc]
    assert sizes == [[2, 4], [2, 4], [3, 5], [3, 7], [4, 8]]


@each_form
@given(st.integers(0, 10_000), st.sampled_from([1, 4]))
@settings(max_examples=15, deadline=None)
def test_weights_are_the_capped_softmax(params: dict[str, Any], seed: int, symbols: int) -> None:
    action = actions(params, seed, symbols)
    weights = weights_of(params, action)
    uncut, gross = by_formula(params, action)
    cap = params.get("weight_cap", 0.3)
    np.testing.assert_allclose(weights, np.clip(uncut, -cap, cap), rtol=CLOSE, atol=1e-8)
    assert (np.abs(weights) <= cap).all()
    assert (np.abs(weights).sum(axis=1) <= gross * (1.0 + CLOSE)).all()
    if not params.get("long_short"):
        assert (weights >= 0.0).all()


@each_form
@given(st.integers(0, 10_000), st.permutations(range(4)))
@settings(max_examples=15, deadline=None)
def test_permuted_symbols_have_permuted_weights(
    params: dict[str, Any], seed: int, order: list[int]
) -> None:
    action = actions(params, seed, 4)
    moved = action.copy()
    moved[:, :4] = action[:, order]
    if params.get("long_short"):
        moved[:, 4:8] = action[:, 4:8][:, order]
    np.testing.assert_allclose(
        weights_of(params, moved), weights_of(params, action)[:, order], rtol=1e-12, atol=1e-15
    )


@pytest.mark.parametrize("level", [-8.0, 0.0, 0.1, 8.0])
def test_equal_logits_give_equal_weights_and_cash_the_same(level: float) -> None:
    weights = weights_of({"weight_cap": 1.0}, np.full((1, 5), level))
    np.testing.assert_allclose(weights, 0.2, rtol=1e-12)
    assert len(np.unique(weights)) == 1
    both = weights_of({"weight_cap": 1.0, "long_short": True}, np.full((1, 9), level))
    assert (both == 0.0).all()


def test_logits_saturate_at_8() -> None:
    params = {"weight_cap": 1.0}
    most = weights_of(params, [[8.0, -8.0, -8.0, -8.0]])
    assert most[0, 0] == pytest.approx(1.0 / (1.0 + 3.0 * np.exp(-16.0)), rel=1e-12)
    assert most[0, 1:].max() == pytest.approx(np.exp(-16.0), rel=1e-5)
    assert np.array_equal(weights_of(params, [[1e30, -1e30, -9.0, -np.inf]]), most)


def test_all_in_cash_is_a_millionth_and_trades_nothing_within_the_band() -> None:
    weights = weights_of({"weight_cap": 1.0}, [[-8.0, -8.0, -8.0, 8.0]])
    assert weights.sum() < 4e-7
    env = environment(split_of(np.full((6, 3), 100.0)), keys_of({}))
    _, done, _ = play(env, np.tile([-8.0, -8.0, -8.0, 8.0], (4, 1, 1)))
    assert (done.result.turnover == 0.0).all()


def test_what_the_cap_cuts_goes_to_cash_and_is_not_redistributed() -> None:
    action = np.log([[6.0, 2.0, 1.0, 1.0]])  # three symbols and cash
    free = weights_of({"weight_cap": 1.0}, action)[0]
    np.testing.assert_allclose(free, [0.6, 0.2, 0.1], rtol=1e-6)
    capped = weights_of({"weight_cap": 0.3}, action)[0]
    np.testing.assert_allclose(capped, [0.3, 0.2, 0.1], rtol=1e-6)
    env = environment(
        split_of(np.full((4, 3), 100.0)),
        {**NO_COSTS, **keys_of({"weight_cap": 0.3})},
    )
    _, done, _ = play(env, np.tile(action, (2, 1, 1)))
    account = done.final.account
    np.testing.assert_allclose(account.units[-1, 0] * 100.0, [3_000, 2_000, 1_000], rtol=1e-6)
    assert account.cash[-1, 0] == pytest.approx(4_000.0, rel=1e-6)


def test_the_leverage_head_sets_gross_between_base_and_cap() -> None:
    params = {"weight_cap": 3.0, "gross": 0.5, "gross_cap": 2.5}
    heads = np.asarray([-8.0, 0.0, 8.0, 99.0])
    logits = np.tile([2.0, 2.0, -8.0], (4, 1))
    gross = weights_of(params, np.column_stack([logits, heads])).sum(axis=1)
    cash = np.exp(-10.0) / (2.0 + np.exp(-10.0))
    low = 1.0 / (1.0 + np.exp(8.0))
    expected = (0.5 + 2.0 * np.asarray([low, 0.5, 1.0 - low, 1.0 - low])) * (1.0 - cash)
    np.testing.assert_allclose(gross, expected, rtol=1e-7)


def test_long_and_short_shares_of_one_symbol_cancel() -> None:
    action = np.log([[4.0, 1.0, 2.0, 2.0, 1.0]])  # two longs, two shorts, cash
    weights = weights_of({"weight_cap": 1.0, "long_short": True}, action)[0]
    np.testing.assert_allclose(weights, [0.2, -0.1], rtol=1e-6)


@each_form
@pytest.mark.parametrize("symbols", [1, 7])
def test_equal_actions_have_equal_bits_whatever_the_batch(
    params: dict[str, Any], symbols: int
) -> None:
    """XLA's exponential and its sums of three and more values do not keep this."""
    compiled = compiled_orders(decoder_of(params))
    action = np.concatenate([actions(params, s, symbols) for s in range(20)])
    whole = np.asarray(compiled(action).value)
    for count in (1, 5):
        assert np.array_equal(compiled(action[:count]).value, whole[:count])
        assert np.array_equal(compiled(action[-count:]).value, whole[-count:])


@pytest.mark.parametrize("params", [FORMS[1], FORMS[4]])
def test_the_network_has_a_head_for_every_value_of_the_action(params: dict[str, Any]) -> None:
    env = environment(split_of(np.full((6, 3), 100.0)), keys_of(params))
    size = decoder_of(params).action_size
    assert size is not None
    assert env.spec.action_size == size(3) != 3
    network = make_network(jax.random.PRNGKey(0), env.spec, config_of().agent)
    out, value = network(jnp.zeros((env.spec.observation_size, 5), jnp.float32), None)
    assert out.shape == (size(3), 5)
    assert network.log_std.shape == (size(3),)
    assert value.shape == (1, 5)
