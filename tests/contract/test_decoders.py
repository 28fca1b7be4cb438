"""Action decoders: actions -> orders as a table, illegal actions, and what each refuses."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from env_cases import NO_COSTS, config_of, environment, play, split_of
from truefill.core.errors import ConfigError
from truefill.env.decoders import DECODERS, Decoder
from truefill.env.setup import make_decoder
from truefill.market.types import OrderKind

HOLD, WEIGHT, SIDE = OrderKind.HOLD, OrderKind.WEIGHT, OrderKind.SIDE
OPEN_MARKET = {"market.allow_short": True, "market.no_trade_band": 0.05}
TWO_ZONES = {"threshold": 0.3, "size": 0.5, "outer_threshold": 0.6, "outer_size": 0.9}
# decoder, parameters, [(action, kind, value)]
TABLE: list[tuple[str, dict[str, Any], list[tuple[float, OrderKind, float]]]] = [
    ("short_flat_long", {"size": 0.5}, [(0, SIDE, -0.5), (1, WEIGHT, 0.0), (2, SIDE, 0.5)]),
    ("flat_long", {"size": 0.8}, [(0, WEIGHT, 0.0), (1, SIDE, 0.8)]),
    (
        "hold_buy_sell_close",
        {"size": 0.7},
        [(0, HOLD, 0.0), (1, SIDE, 0.7), (2, SIDE, -0.7), (3, WEIGHT, 0.0)],
    ),
    (
        "score",
        {"threshold": 0.35, "size": 0.6},
        [(0.0, WEIGHT, 0.0), (0.34, WEIGHT, 0.0), (-0.34, WEIGHT, 0.0), (0.36, SIDE, 0.6),
         (-0.36, SIDE, -0.6), (7.0, SIDE, 0.6), (-7.0, SIDE, -0.6)],
    ),
    (
        "score",
        TWO_ZONES,
        [(0.2, WEIGHT, 0.0), (0.4, WEIGHT, 0.5), (-0.4, WEIGHT, -0.5), (0.7, WEIGHT, 0.9),
         (-0.7, WEIGHT, -0.9), (-9.0, WEIGHT, -0.9)],
    ),
    (
        "target_weight",
        {"scale": 2.0},
        [(0.0, WEIGHT, 0.0), (0.25, WEIGHT, 0.5), (-0.5, WEIGHT, -1.0), (3.0, WEIGHT, 2.0),
         (-3.0, WEIGHT, -2.0)],
    ),
]  # fmt: skip


def decoder_of(kind: str, params: dict[str, Any]) -> Decoder:
    return make_decoder(config_of({**OPEN_MARKET, "env.action": {"kind": kind, "params": params}}))


def test_the_table_covers_every_decoder_and_every_action() -> None:
    assert {kind for kind, _, _ in TABLE} == {entry.name for entry in DECODERS}
    for kind, params, rows in TABLE:
        decoder = decoder_of(kind, params)
        if decoder.discrete:
            assert [row[0] for row in rows] == list(range(decoder.num_actions))


@pytest.mark.parametrize(("kind", "params", "rows"), TABLE)
def test_actions_become_orders(
    kind: str, params: dict[str, Any], rows: list[tuple[float, OrderKind, float]]
) -> None:
    decoder = decoder_of(kind, params)
    dtype = np.int32 if decoder.discrete else np.float32
    taken = np.asarray([row[0] for row in rows], dtype).reshape(1, -1)  # one account, S symbols
    orders = decoder.orders(jnp.asarray(taken))
    assert orders.kind.dtype == jnp.int32
    assert orders.value.dtype == jnp.float64
    assert orders.kind.shape == orders.value.shape == taken.shape
    assert orders.kind[0].tolist() == [int(row[1]) for row in rows]
    np.testing.assert_allclose(orders.value[0], [row[2] for row in rows], rtol=1e-6)


def test_equal_parameters_give_the_same_decoder_so_that_nothing_compiles_twice() -> None:
    assert decoder_of("flat_long", {"size": 0.5}) == decoder_of("flat_long", {"size": 0.5})
    assert decoder_of("flat_long", {"size": 0.5}) != decoder_of("flat_long", {"size": 0.6})


@pytest.mark.parametrize(("kind", "params", "_rows"), TABLE)
def test_each_refuses_a_market_it_does_not_fit(
    kind: str, params: dict[str, Any], _rows: list[Any]
) -> None:
    decoder = decoder_of(kind, params)
    action = {"env.action": {"kind": kind, "params": params}}
    no_shorts = config_of({**OPEN_MARKET, **action, "market.allow_short": False})
    no_band = config_of({**OPEN_MARKET, **action, "market.no_trade_band": 0.0})
    for refused, config, key in (
        (decoder.needs_short, no_shorts, "env.action.kind"),
        (decoder.needs_band, no_band, "market.no_trade_band"),
    ):
        if refused:
            with pytest.raises(ConfigError) as error:
                make_decoder(config)
            assert error.value.where == key
            assert error.value.do
        else:
            assert make_decoder(config) == decoder
    assert DECODERS.get(kind).facts.get("needs_short", False) == decoder.needs_short


def test_what_must_be_refused_is() -> None:
    needs = {kind: (d.needs_short, d.needs_band) for kind, d in
             ((k + "2" * (p is TWO_ZONES), decoder_of(k, p)) for k, p, _ in TABLE)}  # fmt: skip
    assert needs == {
        "short_flat_long": (True, False),
        "flat_long": (False, False),
        "hold_buy_sell_close": (False, False),
        "score": (True, False),
        "score2": (True, True),
        "target_weight": (False, True),
    }


def test_wrong_names_and_parameters_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'flat_long'"):
        decoder_of("flat_lon", {})
    with pytest.raises(ConfigError, match="'sise'"):
        decoder_of("flat_long", {"sise": 1.0})
    with pytest.raises(ConfigError, match="between threshold and 1"):
        decoder_of("score", {"threshold": 0.5, "outer_threshold": 0.4})


def four_way(short: bool, illegal: str) -> Any:
    return environment(
        split_of([100.0] * 7),
        {**NO_COSTS, "market.allow_short": short, "env.action.kind": "hold_buy_sell_close",
         "env.action.illegal": illegal},
    )  # fmt: skip


@pytest.mark.parametrize("short", [True, False])
def test_what_is_legal_follows_the_position(short: bool) -> None:
    env = four_way(short, "mask")
    decoder, params = env.spec.decoder, env.arrays.market
    states, _, _ = play(env, np.asarray([1, 3, 2, 0, 0])[:, None, None])
    side = np.sign(states.account.units[:, 0, 0])
    assert side.tolist() == ([0, 1, 0, -1, -1] if short else [0, 1, 0, 0, 0])
    assert decoder.legal is not None
    # hold, buy, sell, close
    flat, long, shorted = [1, 1, short, 0], [1, 0, short, 1], [1, 1, 0, 1]
    expected = {0: flat, 1: long, -1: shorted}
    for t in range(5):
        account = states.account._replace(queue=None, units=states.account.units[t])
        legal = np.asarray(decoder.legal(account, params))
        assert legal.shape == (1, 1, 4)
        assert legal[0, 0].tolist() == [bool(x) for x in expected[int(side[t])]]


@pytest.mark.parametrize("illegal", ["mask", "no_op"])
def test_an_illegal_action_holds_and_is_counted(illegal: str) -> None:
    env = four_way(True, illegal)
    assert env.spec.mask_illegal == (illegal == "mask")
    taken = np.asarray([3, 1, 1, 2, 2, 0])  # close while flat, buy, buy again, sell, sell again
    states, done, _ = play(env, taken[:, None, None])
    assert done.illegal[:, 0, 0].tolist() == [True, False, True, False, True, False]
    traded = done.result.turnover[:, 0] > 0.0
    assert traded.tolist() == [False, True, False, True, False, False]
    assert np.sign(states.account.units[:, 0, 0]).tolist() == [0, 0, 1, 1, -1, -1]


def test_selling_where_shorts_are_not_allowed_holds_the_long() -> None:
    """The illegal sell must not be cut to weight 0, which would close the position."""
    states, done, _ = play(four_way(False, "no_op"), np.asarray([1, 2, 0])[:, None, None])
    assert done.illegal[:, 0, 0].tolist() == [False, True, False]
    assert (states.account.units[1:, 0, 0] > 0.0).all()


def test_one_zone_and_side_decoders_trade_only_when_the_side_changes() -> None:
    close = 100.0 * 1.01 ** np.arange(8)
    env = environment(
        split_of(close), {**OPEN_MARKET, "env.action": {"kind": "score", "params": {"size": 0.5}}}
    )
    _, done, _ = play(env, np.asarray([0.9, 0.5, 0.9, -0.5, -0.9, 0.1, 0.0])[:, None, None])
    assert (done.result.turnover[:, 0] > 0.0).tolist() == [True, False, False, True, False,
                                                           True, False]  # fmt: skip
