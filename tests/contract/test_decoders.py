"""What every registered action decoder keeps, whatever it is, for one symbol and for three.

The suite knows no decoder by name: it runs each with its defaults and with the parameters below,
and reads what it may ask of a decoder from the decoder itself.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from env_cases import config_of, environment, random_split, split_of
from truefill.core.errors import ConfigError
from truefill.env import episodes
from truefill.env.decoders import DECODERS, Decoder
from truefill.env.setup import Environment, make_decoder
from truefill.market import rules
from truefill.market.types import OrderKind, Orders

MORE: dict[str, list[dict[str, Any]]] = {
    "nine_actions": [{"open_shares": (0.1, 0.2, 0.9), "reduce_shares": (0.3, 0.6)}],
    "zones": [
        {"thresholds": (0.1, 0.4, 0.8), "sizes": (0.25, 0.5, 1.0)},
        {"thresholds": (0.5,), "sizes": (0.7,), "long_only": True},
    ],
    "volume_bins": [
        {"form": "discrete"},
        {"long_only": False, "bins": (0.0, 0.5, 1.0)},
    ],
    "portfolio_weights": [
        {"weight_cap": 0.5, "gross": 0.5, "gross_cap": 1.5},
        {"long_short": True},
        {"long_short": True, "gross_cap": 2.0, "weight_cap": 1.0},
    ],
}
CASES = [(e.name, {}) for e in DECODERS] + [(n, p) for n, ps in MORE.items() for p in ps]
WIDE = {"market.allow_short": True, "market.no_trade_band": 0.05, "market.max_leverage": 2.0}
each_decoder = pytest.mark.parametrize(("kind", "params"), CASES)
each_size = pytest.mark.parametrize(
    ("kind", "params", "symbols"), [(e.name, {}, 1) for e in DECODERS] + [(*c, 3) for c in CASES]
)
BARS, STEPS, ACCOUNTS = 60, 58, 16


class Played(NamedTuple):
    """What happened bar by bar, [STEPS, ACCOUNTS, S] unless noted."""

    traded: np.ndarray
    """bool: the order traded."""
    illegal: np.ndarray
    kind: np.ndarray
    units: np.ndarray
    legal: np.ndarray | None
    """bool [STEPS, ACCOUNTS, S, actions]."""
    turnover: np.ndarray
    """[STEPS, ACCOUNTS]."""
    equity: np.ndarray
    """[STEPS, ACCOUNTS]."""


def played(env: Environment, actions: np.ndarray) -> Played:
    """Step by step through the one market program of all decoders: only orders are decoded anew."""
    arrays, decoder = env.arrays, env.spec.decoder
    start = jnp.zeros(ACCOUNTS, jnp.int32)
    account = episodes.reset(env.spec, arrays, start).account
    decode = jax.jit(partial(episodes._orders, env.spec, arrays.market))
    allowed = None if decoder.legal is None else jax.jit(decoder.legal)
    rows = []
    for t in range(STEPS):
        legal = None if allowed is None else allowed(account, arrays.market)
        orders, illegal = decode(account, jnp.asarray(actions[t]))
        row = arrays.bars.row(start + t + 1)
        account, result = rules.step_jit(account, orders, row, arrays.market)
        traded = (result.at_open.units != 0.0) | (result.order.units != 0.0)
        rows.append(Played(traded, illegal, orders.kind, account.units, legal, result.turnover,
                           account.equity))  # fmt: skip
    stacked: Played = jax.tree.map(lambda *x: np.stack(x), *rows)
    return stacked


def keys_of(kind: str, params: dict[str, Any]) -> dict[str, Any]:
    return {**WIDE, "env.action": {"kind": kind, "params": params, "illegal": "no_op"}}


def decoder_of(kind: str, params: dict[str, Any]) -> Decoder:
    return make_decoder(config_of(keys_of(kind, params)))


@cache
def orders_of(decoder: Decoder) -> Callable[[Any], Orders]:
    return jax.jit(decoder.orders)


def size_of(decoder: Decoder, symbols: int) -> int:
    return symbols if decoder.action_size is None else decoder.action_size(symbols)


def random_actions(decoder: Decoder, rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Every third continuous value lies at an end of the range or beyond it."""
    if decoder.discrete:
        return rng.integers(0, decoder.num_actions, shape).astype(np.int32)
    inside = rng.uniform(decoder.low, decoder.high, shape)
    ends = rng.choice([decoder.low, decoder.high, 2 * decoder.high, -9 * decoder.high], shape)
    return np.where(rng.random(shape) < 1 / 3, ends, inside).astype(np.float32)


def staying_flat(decoder: Decoder, symbols: int) -> list[np.ndarray]:
    """Actions [action_size] that ask a flat account for nothing: HOLD or no weight at all."""
    if decoder.discrete:
        tried = np.repeat(np.arange(decoder.num_actions)[:, None], symbols, axis=1)
    else:
        size = size_of(decoder, symbols)
        levels = [np.full(size, x) for x in (decoder.low, 0.0, decoder.high)]
        one_up = np.full((size, size), decoder.low) + np.eye(size) * (decoder.high - decoder.low)
        tried = np.stack([*levels, *one_up]).astype(np.float32)
    kind, value, _ = orders_of(decoder)(tried)
    asks = np.where(kind == OrderKind.HOLD, 0.0, np.abs(value))
    never = (OrderKind.POSITION, OrderKind.REOPEN, OrderKind.REVERSE)
    wants = (asks > 1e-6) | np.isin(kind, never)
    return list(tried[~wants.any(axis=1)])


def steady(actions: np.ndarray) -> np.ndarray:
    """[STEPS, ACCOUNTS, action_size]: accounts take turns in ``actions`` [n, action_size]."""
    turns = np.resize(np.arange(len(actions)), ACCOUNTS)
    return np.repeat(actions[turns][None], STEPS, axis=0)


@each_size
def test_actions_become_one_order_a_symbol(kind: str, params: dict[str, Any], symbols: int) -> None:
    decoder = decoder_of(kind, params)
    actions = random_actions(decoder, np.random.default_rng(1), 50, size_of(decoder, symbols))
    orders = orders_of(decoder)(actions)
    assert orders.kind.shape == orders.value.shape == (50, symbols)
    assert (orders.kind.dtype, orders.value.dtype) == (jnp.int32, jnp.float64)
    assert np.isin(orders.kind, [int(k) for k in OrderKind]).all()
    assert np.isfinite(orders.value).all()
    assert orders.route is None


@each_size
def test_orders_have_the_same_bits_in_any_batch(
    kind: str, params: dict[str, Any], symbols: int
) -> None:
    decoder = decoder_of(kind, params)
    actions = random_actions(decoder, np.random.default_rng(2), 257, size_of(decoder, symbols))
    compiled = orders_of(decoder)
    whole = np.asarray(compiled(actions).value)
    assert np.array_equal(compiled(actions[::-1]).value, whole[::-1])
    for count in (1, 5):
        assert np.array_equal(compiled(actions[:count]).value, whole[:count])
        assert np.array_equal(compiled(actions[-count:]).value, whole[-count:])


@each_decoder
def test_values_beyond_the_range_count_as_its_ends(kind: str, params: dict[str, Any]) -> None:
    decoder = decoder_of(kind, params)
    if decoder.discrete:
        assert decoder.action_size is None
        return
    beyond = 3.0 * random_actions(decoder, np.random.default_rng(3), 60, size_of(decoder, 3))
    cut = np.clip(beyond, decoder.low, decoder.high).astype(np.float32)
    assert (cut != beyond).any()
    for a, b in zip(orders_of(decoder)(beyond)[:2], orders_of(decoder)(cut)[:2], strict=True):
        assert np.array_equal(a, b)


@each_decoder
def test_a_decoder_by_symbol_leaves_the_other_symbols_alone(
    kind: str, params: dict[str, Any]
) -> None:
    decoder = decoder_of(kind, params)
    if decoder.action_size is not None:
        return
    one, two = (random_actions(decoder, np.random.default_rng(s), 40, 3) for s in (4, 5))
    mixed = np.concatenate([one[:, :1], two[:, 1:]], axis=1)
    for got, first, others in zip(
        *(orders_of(decoder)(x)[:2] for x in (mixed, one, two)), strict=True
    ):
        assert np.array_equal(got[:, 0], first[:, 0])
        assert np.array_equal(got[:, 1:], others[:, 1:])


@each_decoder
def test_weights_stay_within_what_it_declares(kind: str, params: dict[str, Any]) -> None:
    decoder = decoder_of(kind, params)
    actions = random_actions(decoder, np.random.default_rng(6), 400, size_of(decoder, 3))
    orders = orders_of(decoder)(actions)
    weights = np.abs(np.where(np.asarray(orders.kind) == OrderKind.HOLD, 0.0, orders.value))
    if decoder.max_weight is not None:
        assert weights.max() == pytest.approx(decoder.max_weight, rel=1e-5)
    if decoder.max_gross is not None:
        assert weights.sum(axis=1).max() <= decoder.max_gross * (1.0 + 1e-12)
    if decoder.min_step is not None:
        seen = np.unique(np.asarray(orders.value).round(12))
        assert np.diff(seen).min() == pytest.approx(decoder.min_step)
    sells = (np.asarray(orders.kind) == OrderKind.SIDE) & (np.asarray(orders.value) < 0.0)
    if sells.any():
        assert decoder.needs_short or decoder.legal is not None


@each_size
def test_an_agent_that_stays_flat_pays_nothing(
    kind: str, params: dict[str, Any], symbols: int
) -> None:
    env = environment(random_split(7, bars=BARS, symbols=symbols), keys_of(kind, params))
    flat = staying_flat(env.spec.decoder, symbols)
    assert flat, "every decoder must have an action that stays out of the market"
    seen = played(env, steady(np.stack(flat)))
    assert (seen.turnover == 0.0).all()
    assert (seen.equity == 10_000.0).all()
    assert (seen.units == 0.0).all()


@each_size
def test_holding_and_what_is_illegal_never_trade_and_some_action_is_legal(
    kind: str, params: dict[str, Any], symbols: int
) -> None:
    split = random_split(8, bars=BARS, symbols=symbols, masked=0.0)
    env = environment(split, keys_of(kind, params))
    decoder = env.spec.decoder
    shape = STEPS, ACCOUNTS, size_of(decoder, symbols)
    actions = random_actions(decoder, np.random.default_rng(9), *shape)
    seen = played(env, actions)
    assert seen.traded.any()
    asked = orders_of(decoder)(actions.reshape(-1, actions.shape[-1])).kind
    holds = np.asarray(asked).reshape(seen.kind.shape) == OrderKind.HOLD
    assert (seen.kind[seen.illegal] == OrderKind.HOLD).all()
    assert not seen.traded[holds | seen.illegal].any()
    assert np.isfinite(seen.equity).all()
    if decoder.legal is None:
        assert not seen.illegal.any()
        return
    assert decoder.discrete
    assert seen.legal is not None
    assert seen.legal.shape == (*seen.illegal.shape, decoder.num_actions)
    assert seen.legal.dtype == bool
    assert seen.legal.any(axis=-1).all()
    taken = np.take_along_axis(seen.legal, actions[..., None], axis=-1)[..., 0]
    assert np.array_equal(taken, ~seen.illegal)
    assert seen.illegal.any()


@each_decoder
def test_a_long_only_market_is_refused_or_never_goes_short(
    kind: str, params: dict[str, Any]
) -> None:
    keys = {**keys_of(kind, params), "market.allow_short": False}
    if decoder_of(kind, params).needs_short:
        with pytest.raises(ConfigError, match="goes short") as error:
            make_decoder(config_of(keys))
        assert (error.value.where, bool(error.value.do)) == ("env.action.kind", True)
        return
    env = environment(split_of(100.0 * 1.01 ** np.arange(BARS)), keys)
    decoder = env.spec.decoder
    shape = STEPS, ACCOUNTS, size_of(decoder, 1)
    seen = played(env, random_actions(decoder, np.random.default_rng(10), *shape))
    assert (seen.units >= 0.0).all()
    assert (seen.units > 0.0).any()


@each_decoder
def test_a_market_without_a_band_is_refused_where_drift_would_trade(
    kind: str, params: dict[str, Any]
) -> None:
    """Those that do not ask for a band must not trade while the price drifts under one action."""
    keys = {**keys_of(kind, params), "market.no_trade_band": 0.0}
    if decoder_of(kind, params).needs_band:
        with pytest.raises(ConfigError, match="drift alone") as error:
            make_decoder(config_of(keys))
        assert (error.value.where, bool(error.value.do)) == ("market.no_trade_band", True)
        return
    env = environment(split_of(100.0 * 1.001 ** np.arange(BARS)), keys)
    decoder = env.spec.decoder
    each = np.arange(decoder.num_actions) if decoder.discrete else np.linspace(-1, 1, 9)
    kinds = np.asarray(orders_of(decoder)(each[:, None]).kind)[:, 0]
    lasting = each[np.isin(kinds, [OrderKind.HOLD, OrderKind.SIDE, OrderKind.WEIGHT])]
    actions = steady(lasting[:, None])
    actions[0, :, 0] = np.resize(each[::-1], ACCOUNTS)
    seen = played(env, actions)
    assert (seen.turnover[0] > 0.0).any()
    assert (seen.turnover[2:] == 0.0).all()
    assert (seen.units[-1] != 0.0).any()


@each_decoder
def test_equal_parameters_give_the_same_object_so_that_nothing_compiles_twice(
    kind: str, params: dict[str, Any]
) -> None:
    assert decoder_of(kind, params) is decoder_of(kind, params)


@pytest.mark.parametrize("entry", list(DECODERS), ids=lambda e: e.name)
def test_it_is_documented(entry: Any) -> None:
    assert entry.summary
    first = entry.make.__doc__.strip().splitlines()[0]
    assert first.endswith(".")
    for field in entry.params.model_fields.values():
        assert field.description
    decoder = decoder_of(entry.name, {})
    needs = first.partition("Needs ")[2]
    assert ("band" in needs) == decoder.needs_band
    assert ("shorts" in needs) == decoder.needs_short


def test_every_case_is_of_a_registered_decoder_and_orders_may_be_compiled() -> None:
    assert set(MORE) <= {entry.name for entry in DECODERS}
    assert isinstance(jax.jit(decoder_of("score", {}).orders)(jnp.zeros((2, 1))), Orders)
