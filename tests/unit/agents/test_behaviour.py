"""What a policy does is named: planted policies through the market, and the figures by hand."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from env_cases import NO_COSTS, environment, split_of
from truefill.agents import behaviour
from truefill.agents.behaviour import diagnose, watch
from truefill.agents.drive import drive
from truefill.agents.ensemble import Ensemble
from truefill.data.split import SplitArrays
from truefill.market.types import Array

BARS = 80
FLAT, LONG, SHORT = 1, 2, 0
ALTERNATING = [LONG] * 5 + [SHORT] * 5


class Script(eqx.Module):
    """Does at each bar what is written for it: [H, bars], actions or values. The first feature is
    the bar's number."""

    script: Array
    num_actions: int = eqx.field(static=True)

    def initial(self, count: int) -> tuple[()]:
        return ()

    def step(self, carry: Any, values: Array, legal: Any) -> tuple[Any, Array, Array]:
        now = self.script[:, values[0].astype(jnp.int32)]
        if self.num_actions:
            now = jnp.moveaxis(jax.nn.one_hot(now, self.num_actions), -1, 1)
        return carry, now, jnp.zeros(1)


def script(rows: Any, num_actions: int = 3) -> Any:
    """One row a head, repeated to fill the bars."""
    rows = [np.resize(np.asarray(row), 4 * BARS) for row in rows]
    kind = np.int32 if num_actions else np.float32
    return Script(jnp.asarray(np.stack(rows).astype(kind)), num_actions)


def wavy(symbols: int = 1, drift: float = 0.0) -> SplitArrays:
    rng = np.random.default_rng(5)
    moves = rng.normal(drift, 0.01, (BARS, symbols))
    return split_of(100.0 * np.exp(np.cumsum(moves, axis=0)))


def found(policy: Any, keys: dict[str, Any] | None = None, symbols: int = 1) -> dict[str, Any]:
    """The diagnosis of ``policy`` over three episodes of 60 bars."""
    base = {"market.allow_short": True, "env.action.kind": "short_flat_long"}
    env = environment(wavy(symbols), {**base, **(keys or {})}, "backtest")
    names = [f"S{s}" for s in range(symbols)]
    starts = jnp.asarray([0, 7, 15], jnp.int32)
    if env.arrays.pool is not None:
        starts = jnp.asarray([0, BARS + 3, 9], jnp.int32)
    return diagnose(watch(policy, env, starts, 60, names))


@pytest.mark.parametrize(
    ("row", "keys", "name", "begins"),
    [
        ([FLAT], {}, "never_trades", "never trades: no position in 3"),
        ([LONG], {}, "buy_and_hold", "buys and holds: 1 entry an episode, held to the end, 100"),
        ([SHORT], {}, "buy_and_hold", "sells short and holds: 1 entry"),
        (ALTERNATING, {}, "trades", "trades: 12.3 entries an episode, 100.0 %"),
        # Held to the end because it may not leave, though it asks to: that is no wish to hold.
        (ALTERNATING, {"market.min_hold_bars": 200}, "trades", "trades: 1 entry an"),
        ([LONG], {"market.min_hold_bars": 200}, "buy_and_hold", "buys and holds"),
        # Stopped out and in again: the action is constant, the position is not.
        ([LONG], {"market.stop_loss": 0.01}, "constant_action", "repeats one action: 'long 1'"),
        ([LONG], {"market.max_hold_bars": 10}, "constant_action", "repeats one action: 'long 1'"),
        # It asks to trade, and cannot.
        (ALTERNATING, {"market.min_notional": 1e9}, "never_trades",
         "never trades: no position in 3 validation episodes (orders refused: 180 below minimum)"),
    ],
)  # fmt: skip
def test_planted_policies_are_named(
    row: list[int], keys: dict[str, Any], name: str, begins: str
) -> None:
    seen = found(script([row]), keys)
    assert seen["name"] == name
    assert seen["text"].startswith(begins)
    assert seen["side"] == ({"b": "long", "s": "short"}[begins[0]] if "holds" in begins else None)


def test_the_figures_by_hand() -> None:
    """Long 5 bars, short 5: every order after the first turns the position round."""
    seen = found(script([ALTERNATING]), NO_COSTS)
    assert (seen["episodes"], seen["bars_per_episode"]) == (3, 60)
    [own] = seen["commonest_order"]
    assert (own["symbol"], own["share"]) == ("S0", pytest.approx(0.5, abs=0.02))
    # Episodes from bars 0, 7 and 15 see 12, 13 and 12 spells of one side.
    assert seen["entries_per_episode"] == pytest.approx((12 + 13 + 12) / 3)
    turns = seen["entries_per_episode"] - 1
    assert seen["turnover_per_bar"] == pytest.approx((2 * turns + 1) / 60, rel=0.02)
    assert seen["weight_change_per_bar"] == pytest.approx(seen["turnover_per_bar"], rel=0.02)
    assert seen["time_in_market"] == 1.0
    assert seen["costs_per_episode"] == 0.0
    assert seen["orders"]["filled"] == round(3 * seen["entries_per_episode"])
    costly = found(script([ALTERNATING]), {"market.fee_bps": 100, "market.half_spread_bps": 0,
                                           "market.slippage_bps": 0})  # fmt: skip
    assert costly["costs_per_episode"] == pytest.approx(
        0.01 * 60 * seen["turnover_per_bar"], rel=0.1
    )
    gap = seen["net_log_return_per_episode"] - costly["net_log_return_per_episode"]
    assert gap == pytest.approx(costly["costs_per_episode"], rel=0.15)


WEIGHTS = {"env.action.kind": "target_weight", "market.no_trade_band": 0.001}


@pytest.mark.parametrize(
    ("row", "name", "order"),
    [
        ([0.5], "constant_action", "weight +0.5"),  # rebalanced as prices move: not left alone
        ([0.495, 0.5, 0.51], "constant_action", "weight +0.5"),
        ([-0.3], "constant_action", "weight -0.3"),
        ([0.0], "never_trades", "flat"),
        ([0.2, 0.8], "trades", "weight +0.2"),
    ],
)
def test_weights_are_named(row: list[float], name: str, order: str) -> None:
    seen = found(script([row], 0), WEIGHTS)
    assert (seen["name"], seen["commonest_order"][0]["order"]) == (name, order)
    if name == "constant_action":
        assert seen["commonest_order"][0]["share"] == 1.0
        assert seen["text"].startswith(f"repeats one action: '{order}' at 100.0 % of decisions")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("row", "name"),
    [([0.9], "buy_and_hold"), ([-0.9, -0.4], "buy_and_hold"), ([0.1, -0.3], "never_trades"),
     ([0.9, 0.8, 0.7, 0.6, -0.9], "trades")],
)  # fmt: skip
def test_scores_are_named_by_what_they_order(row: list[float], name: str) -> None:
    """The score wanders; the side does not."""
    assert found(script([row], 0), {"env.action.kind": "score"})["name"] == name


@pytest.mark.slow
def test_bars_that_do_not_decide_do_not_count() -> None:
    """Every 5th bar decides: long there, anything in between."""
    between = [LONG, SHORT, FLAT, SHORT, FLAT]
    keys = {"market.decision_interval_bars": 5, "env.state_features": ["position"]}
    env = environment(wavy(), {"market.allow_short": True, "env.action.kind": "short_flat_long",
                               **keys}, "backtest")  # fmt: skip
    starts = jnp.asarray([0, 5, 10], jnp.int32)
    seen = diagnose(watch(script([between]), env, starts, 60, ["S0"]))
    assert seen["name"] == "buy_and_hold"
    assert seen["commonest_order"] == [{"symbol": "S0", "order": "long 1", "share": 1.0}]
    other = diagnose(watch(script([between[::-1]]), env, starts, 60, ["S0"]))
    assert (other["name"], other["commonest_order"][0]["order"]) == ("never_trades", "flat")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rows", "name", "side"),
    [
        ([[LONG], [FLAT]], "buy_and_hold", "long"),
        ([[LONG], [SHORT]], "buy_and_hold", "mixed"),
        ([[FLAT], [FLAT]], "never_trades", None),
        ([[FLAT], ALTERNATING], "trades", None),
        ([[LONG], ALTERNATING], "trades", None),
    ],
)
def test_two_symbols_of_one_account(rows: Any, name: str, side: str | None) -> None:
    seen = found(script(rows), {"env.action.params": {"size": 0.4}}, symbols=2)
    assert (seen["name"], seen["side"]) == (name, side)
    assert [own["symbol"] for own in seen["commonest_order"]] == ["S0", "S1"]


@pytest.mark.slow
def test_pooled_episodes_are_counted_by_symbol() -> None:
    """S0 is bought and S1 is sold, each held: constant in each, though not over both."""
    keys = {"env.episode_symbols": "one", "evaluation.initial_balance": 20_000.0}
    both = Script(jnp.asarray([[LONG] * BARS + [SHORT] * BARS], jnp.int32), 3)
    split = wavy(2)
    number = np.stack([np.arange(BARS), BARS + np.arange(BARS)], axis=1)[:, :, None]
    split = SplitArrays(**{**vars(split), "features": number.astype(np.float32)})
    env = environment(split, {"market.allow_short": True, "env.action.kind": "short_flat_long",
                              **keys}, "backtest")  # fmt: skip
    starts = jnp.asarray([0, BARS + 3, 9], jnp.int32)
    seen = diagnose(watch(both, env, starts, 60, ["S0", "S1"]))
    assert (seen["name"], seen["side"]) == ("buy_and_hold", "mixed")
    assert seen["commonest_order"] == [
        {"symbol": "S0", "order": "long 1", "share": 1.0},
        {"symbol": "S1", "order": "short 1", "share": 1.0},
    ]


@pytest.mark.slow
def test_a_policy_that_mostly_holds_is_judged_by_its_entries() -> None:
    """hold, buy, sell, close: an order to hold is no action."""
    row = [1] + [0] * 29 + [3] + [0] * 29  # bought, closed 30 bars later, and so on
    keys = {"env.action.kind": "hold_buy_sell_close"}
    seen = found(script([row], 4), keys)
    assert (seen["name"], seen["commonest_order"][0]["order"]) == ("trades", "hold")
    assert seen["commonest_order"][0]["share"] > 0.95
    assert found(script([[0]], 4), keys)["name"] == "never_trades"
    once = found(script([[1] + [0] * 200], 4), keys)  # in one episode of three
    assert once["entries_per_episode"] == pytest.approx(1 / 3)
    assert once["commonest_order"][0]["share"] > 0.99
    assert once["name"] == "trades"


# ---- members of an ensemble


def test_agreement_of_members_by_hand() -> None:
    """Two that are long, one that changes sides: unanimous half of the time."""
    rows = [[LONG], [LONG], ALTERNATING]
    members: Any = tuple(script([row]) for row in rows)
    env = environment(wavy(), {"market.allow_short": True, "env.action.kind": "short_flat_long"},
                      "backtest")  # fmt: skip
    seen = watch(Ensemble(members, "vote", -1.0, 1.0), env, jnp.asarray([0]), 60, ["S0"])
    assert diagnose(seen)["name"] == "buy_and_hold"
    assert behaviour.agreement(seen, (1, 2, 3)) == {
        "unanimous": 0.5, "with_ensemble": {"1": 1.0, "2": 1.0, "3": 0.5},
    }  # fmt: skip


# ---- what drove it


def log(**columns: list[float]) -> list[dict[str, float | None]]:
    keys = [f"reward_{name}" for name in columns]
    return [dict(zip(keys, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def test_the_term_that_gained_most_drove_it() -> None:
    rows = log(log_equity=[-1.0] + [0.0] * 18 + [2.0], turnover=[-0.5] + [0.0] * 19)
    seen = drive(rows, ("log_equity", "turnover"), escaped=False)
    assert seen is not None
    assert (seen["term"], seen["updates"]) == ("log_equity", 2)
    assert seen["terms"]["log_equity"] == {"first": -0.5, "last": 1.0, "gain": 1.5}
    assert seen["text"] == "driven by log_equity (-0.5 a bar at first, +1 at last)"


def test_who_never_trades_escaped_a_cost() -> None:
    """log_equity gained more, but it was no cost at first."""
    rows = log(log_equity=[0.5, 1.9], turnover=[-1.0, 0.0], drawdown=[-0.2, 0.0])
    terms = ("log_equity", "turnover", "drawdown")
    seen, other = (drive(rows, terms, escaped=escaped) for escaped in (True, False))
    assert seen is not None and other is not None
    assert (seen["term"], other["term"]) == ("turnover", "log_equity")
    assert seen["text"].startswith("it escaped turnover (-1 a bar at first")
    gain = drive(log(log_equity=[-0.1, 4.0]), ("log_equity",), escaped=True)
    assert gain is not None and gain["term"] is None  # what ended as a gain was not fled from


def test_nothing_gained_and_nothing_to_compare() -> None:
    rows = log(log_equity=[1.0, 0.0])
    seen = drive(rows, ("log_equity",), escaped=False)
    assert seen is not None
    assert (seen["term"], seen["text"]) == (None, "no reward term gained in training")
    assert drive(rows[:1], ("log_equity",), escaped=False) is None
    assert drive((), (), escaped=True) is None
