"""Action decoders: actions -> orders as a table, what is legal, and what each refuses."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from env_cases import NO_COSTS, config_of, environment, play, split_of
from truefill.core.errors import ConfigError
from truefill.env.decoders import DECODERS, Decoder
from truefill.env.setup import make_decoder, spec_for
from truefill.market.types import OrderKind

HOLD, WEIGHT, SIDE = OrderKind.HOLD, OrderKind.WEIGHT, OrderKind.SIDE
POSITION, REOPEN, REVERSE = OrderKind.POSITION, OrderKind.REOPEN, OrderKind.REVERSE
OPEN_MARKET = {"market.allow_short": True, "market.no_trade_band": 0.05}
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
        "nine_actions",
        {},
        [(0, HOLD, 0.0), (1, REOPEN, 0.25), (2, REOPEN, 0.5), (3, REOPEN, 1.0),
         (4, POSITION, -0.25), (5, POSITION, -0.5), (6, POSITION, -1.0), (7, WEIGHT, 0.0),
         (8, REVERSE, 1.0)],
    ),
    (
        "nine_actions",
        {"open_shares": [0.1, 0.3, 0.9], "reduce_shares": [0.2, 0.8]},
        [(0, HOLD, 0.0), (1, REOPEN, 0.1), (2, REOPEN, 0.3), (3, REOPEN, 0.9),
         (4, POSITION, -0.2), (5, POSITION, -0.8), (6, POSITION, -1.0), (7, WEIGHT, 0.0),
         (8, REVERSE, 1.0)],
    ),
    (
        "score",
        {"threshold": 0.35, "size": 0.6},
        [(0.0, WEIGHT, 0.0), (0.34, WEIGHT, 0.0), (-0.34, WEIGHT, 0.0), (0.36, SIDE, 0.6),
         (-0.36, SIDE, -0.6), (7.0, SIDE, 0.6), (-7.0, SIDE, -0.6)],
    ),
    (
        "zones",
        {},
        [(0.0, WEIGHT, 0.0), (0.19, WEIGHT, 0.0), (-0.19, WEIGHT, 0.0), (0.21, WEIGHT, 0.5),
         (-0.21, WEIGHT, -0.5), (0.59, WEIGHT, 0.5), (0.61, WEIGHT, 1.0), (-0.61, WEIGHT, -1.0),
         (9.0, WEIGHT, 1.0), (-9.0, WEIGHT, -1.0)],
    ),
    (
        "zones",
        {"thresholds": [0.25, 0.5, 0.75], "sizes": [0.2, 0.9, 0.4], "long_only": True},
        [(0.2, WEIGHT, 0.0), (0.25, WEIGHT, 0.2), (0.5, WEIGHT, 0.9), (0.74, WEIGHT, 0.9),
         (0.75, WEIGHT, 0.4), (-0.3, WEIGHT, 0.0), (-1.0, WEIGHT, 0.0)],
    ),
    (   # a -> (a + 1) / 2; middles between the bins at 0.1, 0.4, 0.8
        "volume_bins",
        {},
        [(-9.0, WEIGHT, 0.0), (-0.81, WEIGHT, 0.0), (-0.79, WEIGHT, 0.2), (-0.21, WEIGHT, 0.2),
         (-0.19, WEIGHT, 0.6), (0.59, WEIGHT, 0.6), (0.61, WEIGHT, 1.0), (5.0, WEIGHT, 1.0)],
    ),
    (   # exact ties at x = 0.25 and 0.75 go to the smaller bin
        "volume_bins",
        {"bins": [0.0, 0.5, 1.0]},
        [(-0.5, WEIGHT, 0.0), (-0.4999, WEIGHT, 0.5), (0.5, WEIGHT, 0.5), (0.5001, WEIGHT, 1.0)],
    ),
    (   # with shorts |a| goes to the nearest bin
        "volume_bins",
        {"bins": [0.0, 0.5, 1.0], "long_only": False},
        [(0.25, WEIGHT, 0.0), (-0.25, WEIGHT, 0.0), (0.26, WEIGHT, 0.5), (-0.26, WEIGHT, -0.5),
         (-0.75, WEIGHT, -0.5), (-0.76, WEIGHT, -1.0), (1.0, WEIGHT, 1.0)],
    ),
    (
        "volume_bins",
        {"form": "discrete"},
        [(0, WEIGHT, 0.0), (1, WEIGHT, 0.2), (2, WEIGHT, 0.6), (3, WEIGHT, 1.0)],
    ),
    (
        "volume_bins",
        {"form": "discrete", "long_only": False, "bins": [0.0, 0.5, 1.0]},
        [(0, WEIGHT, -1.0), (1, WEIGHT, -0.5), (2, WEIGHT, 0.0), (3, WEIGHT, 0.5),
         (4, WEIGHT, 1.0)],
    ),
    (
        "target_weight",
        {"scale": 2.0},
        [(0.0, WEIGHT, 0.0), (0.25, WEIGHT, 0.5), (-0.5, WEIGHT, -1.0), (3.0, WEIGHT, 2.0),
         (-3.0, WEIGHT, -2.0)],
    ),
]  # fmt: skip


def keys_of(kind: str, params: dict[str, Any], **market: Any) -> dict[str, Any]:
    return {
        **OPEN_MARKET,
        "env.action": {"kind": kind, "params": params},
        **{f"market.{name}": value for name, value in market.items()},
    }


def decoder_of(kind: str, params: dict[str, Any], **market: Any) -> Decoder:
    return make_decoder(config_of(keys_of(kind, params, **market)))


def test_the_table_covers_every_decoder_by_symbol_and_every_action() -> None:
    by_symbol = {e.name for e in DECODERS if decoder_of(e.name, {}).action_size is None}
    assert {kind for kind, _, _ in TABLE} == by_symbol
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
    assert orders.kind[0].tolist() == [int(row[1]) for row in rows]
    np.testing.assert_allclose(orders.value[0], [row[2] for row in rows], rtol=1e-6)


NEEDS = [
    ("short_flat_long", {}, True, False),
    ("flat_long", {}, False, False),
    ("hold_buy_sell_close", {}, False, False),
    ("nine_actions", {}, False, False),
    ("score", {}, True, False),
    ("zones", {}, True, True),
    ("zones", {"long_only": True}, False, True),
    ("volume_bins", {}, False, True),
    ("volume_bins", {"form": "discrete"}, False, True),
    ("volume_bins", {"long_only": False}, True, True),
    ("target_weight", {}, False, True),
    ("portfolio_weights", {}, False, True),
    ("portfolio_weights", {"long_short": True}, True, True),
]


@pytest.mark.parametrize(("kind", "params", "short", "band"), NEEDS)
def test_what_each_needs(kind: str, params: dict[str, Any], short: bool, band: bool) -> None:
    decoder = decoder_of(kind, params)
    assert (decoder.needs_short, decoder.needs_band) == (short, band)


WRONG = [
    ("flat_lon", {}, "Did you mean 'flat_long'"),
    ("flat_long", {"sise": 1.0}, "'sise'"),
    ("nine_actions", {"open_shares": [0.5, 0.25, 1.0]}, "open_shares must rise"),
    ("nine_actions", {"open_shares": [0.0, 0.25, 1.0]}, "open_shares must rise from above 0"),
    ("nine_actions", {"open_shares": [0.25, 0.5, 1.5]}, "no more cash than all of it"),
    ("nine_actions", {"open_shares": [0.25, 0.5]}, "open_shares"),
    ("nine_actions", {"reduce_shares": [0.5, 0.5]}, "reduce_shares must rise"),
    ("nine_actions", {"reduce_shares": [0.5, 1.0]}, "actions 6 and 7 close"),
    ("zones", {"thresholds": [0.2]}, "1 thresholds need as many sizes, not 2"),
    ("zones", {"thresholds": [0.6, 0.2]}, "thresholds must rise"),
    ("zones", {"thresholds": [0.2, 1.0]}, "thresholds must rise"),
    ("zones", {"sizes": [0.5, 0.5]}, "neighbours different"),
    ("zones", {"sizes": [0.0, 0.5]}, "sizes must be above 0"),
    ("zones", {"thresholds": [], "sizes": []}, "thresholds"),
    ("volume_bins", {"bins": [0.1, 0.5]}, "bins must rise from 0"),
    ("volume_bins", {"bins": [0.0, 0.5, 0.5]}, "bins must rise from 0"),
    ("volume_bins", {"bins": [0.0]}, "bins"),
    ("volume_bins", {"form": "scores"}, "form"),
    ("portfolio_weights", {"gross_cap": 1.0}, "gross_cap must exceed gross"),
    ("portfolio_weights", {"weight_cap": 0.0}, "weight_cap"),
]


@pytest.mark.parametrize(("kind", "params", "message"), WRONG)
def test_wrong_names_and_parameters_are_refused_by_name(
    kind: str, params: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        decoder_of(kind, params)
    assert error.value.where == "env.action"


def symbols_of(kind: str, market: dict[str, Any], own: dict[str, Any]) -> Decoder:
    """The decoder for A, B and C, of which A and C have rules of their own."""
    keys = keys_of(kind, {}, **market, symbols=own)
    return spec_for(config_of(keys), ("A", "B", "C"), 1).decoder


BY_SYMBOL = [
    ("short_flat_long", "allow_short", False, True, "allow_short is false"),
    ("zones", "no_trade_band", 0.0, 0.1, "drift alone"),
    ("zones", "no_trade_band", 0.5, 0.1, "a no-trade band of 0.5"),
    ("zones", "max_weight", 0.4, 1.0, "max_weight allows 0.4"),
]


@pytest.mark.parametrize(("kind", "rule", "bad", "good", "message"), BY_SYMBOL)
def test_what_it_needs_every_symbol_must_have(
    kind: str, rule: str, bad: Any, good: Any, message: str
) -> None:
    with pytest.raises(ConfigError, match=f"{message}.* for A, C\n") as error:
        symbols_of(kind, {rule: good}, {"A": {rule: bad}, "C": {rule: bad}})
    assert error.value.do
    with pytest.raises(ConfigError, match=f"{message}.* for B\n"):
        symbols_of(kind, {rule: bad}, {"A": {rule: good}, "C": {rule: good}})
    symbols_of(kind, {rule: bad}, {name: {rule: good} for name in "ABC"})
    fund = {"classes": {"fund": {rule: bad}}, rule: good}
    with pytest.raises(ConfigError, match=f"{message}.* for C\n"):
        symbols_of(kind, fund, {"C": {"asset_class": "fund"}})


def test_before_the_data_are_read_the_symbols_of_the_config_count() -> None:
    """Placeholders (an estimate) and no symbols at all: those that are named, else the market."""
    named = {"A": {"allow_short": True}}
    config = config_of(keys_of("short_flat_long", {}, allow_short=False, symbols=named))
    make_decoder(config)
    spec_for(config, ("0", "1"), 1)
    with pytest.raises(ConfigError, match="allow_short is false for B\n"):
        spec_for(config, ("A", "B"), 1)
    with pytest.raises(ConfigError, match="allow_short is false\n"):
        make_decoder(config_of(keys_of("short_flat_long", {}, allow_short=False)))


LIMITS = [
    ("zones", {}, {"max_weight": 0.9}, "env.action.params", "market.max_weight: 1"),
    ("volume_bins", {}, {"max_weight": 0.5}, "env.action.params", "market.max_weight: 1"),
    ("zones", {}, {"no_trade_band": 0.5}, "market.no_trade_band", "below 0.5"),
    ("volume_bins", {}, {"no_trade_band": 0.2}, "market.no_trade_band", "below 0.2"),
    ("portfolio_weights", {}, {"max_weight": 0.2}, "env.action.params", "market.max_weight: 0.3"),
    ("portfolio_weights", {"gross_cap": 2.0}, {}, "env.action.params", "market.max_leverage: 2"),
]


@pytest.mark.parametrize(("kind", "params", "market", "where", "do"), LIMITS)
def test_what_the_market_would_cut_is_refused(
    kind: str, params: dict[str, Any], market: dict[str, float], where: str, do: str
) -> None:
    with pytest.raises(ConfigError) as error:
        decoder_of(kind, params, **market)
    assert error.value.where == where
    assert do in str(error.value.do)


def test_what_the_market_allows_is_not_refused() -> None:
    decoder_of("zones", {}, no_trade_band=0.49, max_weight=1.0)
    decoder_of("volume_bins", {"bins": [0.0, 0.2, 0.4]}, max_weight=0.4, no_trade_band=0.19)
    decoder_of("portfolio_weights", {"gross_cap": 2.0}, max_leverage=2.0, max_weight=0.3)


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
    env = environment(split_of(close), keys_of("score", {"size": 0.5}))
    _, done, _ = play(env, np.asarray([0.9, 0.5, 0.9, -0.5, -0.9, 0.1, 0.0])[:, None, None])
    assert (done.result.turnover[:, 0] > 0.0).tolist() == [True, False, False, True, False,
                                                           True, False]  # fmt: skip


def test_zones_trade_when_the_zone_changes_and_not_for_drift_within_the_band() -> None:
    close = 100.0 * 1.01 ** np.arange(8)
    env = environment(split_of(close), keys_of("zones", {}))
    _, done, _ = play(env, np.asarray([0.3, 0.5, 0.3, 0.9, 0.7, -0.3, -0.5])[:, None, None])
    assert (done.result.turnover[:, 0] > 0.0).tolist() == [True, False, False, True, False,
                                                           True, False]  # fmt: skip
