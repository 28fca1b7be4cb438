"""Closed trades: what each says, and that together they add up to the equity."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from env_cases import split_of
from truefill.evaluation.backtest import (
    backtest,
)
from truefill.evaluation.trades import TRADES, closed_trades
from truefill.market.types import ExitReason, Leg, OrderKind
from unit.evaluation.backtest_cases import (
    CONTRACT,
    DECODERS,
    HOLD,
    KINDS,
    drawn,
    env_of,
    market,
    numbered,
    policy_of,
    replayed,
    units,
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_profits_of_trades_are_the_change_of_equity(kind: str, seed: int) -> None:
    """Flat at the end: every cent is in a closed trade, interest and borrow fees included."""
    base = market(seed)
    last = np.ones_like(base.present)
    last[:-8] = base.present[:-8]
    split = split_of(base.close, opens=base.open, wick=0.01, features=numbered(base), present=last)
    keys = {**DECODERS[kind], "market.min_hold_bars": 0, "market.decision_interval_bars": 1}
    actions = drawn(kind, seed)
    actions[-8:] = 1 if kind == "short_flat_long" else 0.0
    [trace] = backtest(policy_of(actions), env_of(split, keys), split, CONTRACT)
    assert not trace.weights[-1].any()
    assert trace.financing.sum() > 0.0
    earned = trace.trades["net_profit"].sum()
    assert earned == pytest.approx(trace.equity[-1] - trace.equity[0], rel=1e-9)


def test_an_open_position_is_the_rest_of_the_change_of_equity() -> None:
    closes = [100.0, 100.0, 110.0, 120.0, 90.0, 95.0]
    trace, _ = replayed(closes, [units(10.0), HOLD, units(0.0), units(-5.0)])
    assert trace.trades["net_profit"].to_list() == pytest.approx([100.0])
    assert trace.equity[-1] - trace.equity[0] == pytest.approx(100.0 + 5.0 * (120.0 - 95.0))


def test_a_reversal_is_two_trades() -> None:
    closes = [100.0, 100.0, 110.0, 120.0, 90.0, 90.0]
    orders = [units(10.0), HOLD, units(-4.0), HOLD, units(0.0)]
    trace, split = replayed(closes, orders, market__fee_bps=100)
    first, second = trace.trades.rows(named=True)
    at = [stamp * 1_000_000 for stamp in split.timestamps_s]
    stamps = trace.trades.select(pl.col("entry_time", "exit_time").dt.epoch("us")).rows()
    assert stamps == [(at[1], at[3]), (at[3], at[5])]
    assert (first["side"], first["units"], first["entry_price"], first["exit_price"]) == (
        1, 10.0, 100.0, 110.0,
    )  # fmt: skip
    assert (second["side"], second["units"]) == (-1, pytest.approx(4.0))
    assert (second["entry_price"], second["exit_price"]) == (110.0, 90.0)
    assert [first["bars_held"], second["bars_held"]] == [2, 2]
    assert [first["reason"], second["reason"]] == ["order", "order"]
    # each trade pays its own part of the reversal's fee: 1 % of 10 x 110, and of 4 x 110
    assert first["net_profit"] == pytest.approx(100.0 - 10.0 - 11.0)
    assert second["net_profit"] == pytest.approx(80.0 - 4.4 - 3.6)
    assert first["return"] == pytest.approx(79.0 / 1_000.0)
    assert second["return"] == pytest.approx(72.0 / 440.0)


def test_adding_averages_the_entry_price_and_reducing_keeps_it() -> None:
    closes = [100.0, 110.0, 130.0, 130.0, 120.0, 120.0]
    orders = [units(10.0), units(30.0), units(15.0), units(0.0)]
    trace, _ = replayed(closes, orders)
    [trade] = trace.trades.rows(named=True)
    assert trade["entry_price"] == pytest.approx((10.0 * 100.0 + 20.0 * 110.0) / 30.0)
    assert trade["exit_price"] == pytest.approx(130.0)
    assert trade["units"] == pytest.approx(15.0)
    profit = 15.0 * 130.0 + 15.0 * 130.0 - 10.0 * 100.0 - 20.0 * 110.0
    assert trade["net_profit"] == pytest.approx(profit)
    assert trade["return"] == pytest.approx(profit / 3_200.0)
    assert trade["bars_held"] == 3


def test_a_stop_and_a_new_entry_are_separate_trades() -> None:
    closes = [100.0, 100.0, 80.0, 80.0, 88.0, 88.0]
    orders = [units(10.0), HOLD, units(5.0), HOLD, units(0.0)]
    trace, _ = replayed(closes, orders, market__stop_loss=0.1)
    assert trace.trades["reason"].to_list() == ["stop_loss", "order"]
    assert trace.trades["exit_price"].to_list() == pytest.approx([90.0, 88.0])
    assert trace.trades["entry_price"].to_list() == pytest.approx([100.0, 80.0])
    assert trace.trades["net_profit"].to_list() == pytest.approx([-100.0, 40.0])
    assert trace.equity[-1] - trace.equity[0] == pytest.approx(-60.0)


def test_reopening_is_a_close_and_a_new_trade_on_one_bar() -> None:
    closes = [100.0, 110.0, 120.0, 120.0, 132.0, 132.0]
    reopen, reverse = (OrderKind.REOPEN, 0.5), (OrderKind.REVERSE, 0.5)
    trace, _ = replayed(closes, [units(10.0), HOLD, reopen, reverse, units(0.0)])
    first, second, third = trace.trades.rows(named=True)
    assert [first["reason"], second["reason"], third["reason"]] == ["order"] * 3
    assert (first["entry_price"], first["exit_price"], first["units"]) == (100.0, 120.0, 10.0)
    assert first["net_profit"] == pytest.approx(200.0)
    bought = 0.5 * (trace.equity[0] + 200.0) / 120.0
    assert (second["side"], second["units"]) == (1, pytest.approx(bought))
    assert (second["entry_price"], second["bars_held"]) == (120.0, 1)
    assert (third["side"], third["entry_price"]) == (-1, 120.0)
    assert second["net_profit"] == pytest.approx(0.0)
    assert third["net_profit"] == pytest.approx(-12.0 * third["units"])
    earned = trace.trades["net_profit"].sum()
    assert earned == pytest.approx(trace.equity[-1] - trace.equity[0])


def test_a_split_changes_units_and_entry_price_and_is_no_trade() -> None:
    closes = [100.0, 110.0, 55.0, 60.0, 60.0]
    opens = np.asarray([[100.0], [100.0], [55.0], [55.0], [60.0]])
    low, high = np.minimum(opens[:, 0], closes), np.maximum(opens[:, 0], closes)
    changes = {"open": opens, "low": low[:, None], "high": high[:, None],
               "extra": {"split": [1.0, 1.0, 2.0, 1.0, 1.0]}}  # fmt: skip
    trace, _ = replayed(closes, [units(10.0), HOLD, HOLD, units(0.0)], changes)
    [trade] = trace.trades.rows(named=True)
    assert (trade["entry_price"], trade["exit_price"], trade["units"]) == (50.0, 60.0, 20.0)
    assert trade["net_profit"] == pytest.approx(200.0)
    assert trade["return"] == pytest.approx(0.2)
    assert trade["bars_held"] == 3
    np.testing.assert_allclose(np.diff(trace.equity), [100.0, 0.0, 100.0, 0.0])


def test_prices_are_quoted_and_profits_are_in_account_currency() -> None:
    """Bought at 100 x 2 = 200, sold at 110 x 4 = 440."""
    closes = [100.0, 100.0, 110.0, 110.0]
    rates = {"rate_open": [2.0, 2.0, 3.0, 4.0], "rate_close": [2.0, 3.0, 4.0, 4.0]}
    trace, _ = replayed(closes, [units(10.0), HOLD, units(0.0)], {"extra": rates})
    [trade] = trace.trades.rows(named=True)
    assert (trade["entry_price"], trade["exit_price"]) == (100.0, 110.0)
    assert trade["net_profit"] == pytest.approx(2_400.0)
    assert trade["return"] == pytest.approx(440.0 / 200.0 - 1.0)


def test_rates_of_what_was_added_count_by_their_price() -> None:
    closes = [100.0, 200.0, 200.0, 200.0]
    rates = {"rate_open": [1.0, 1.0, 3.0, 3.0], "rate_close": [1.0, 3.0, 3.0, 3.0]}
    orders = [units(10.0), units(20.0), units(0.0)]
    trace, _ = replayed(closes, orders, {"extra": rates})
    [trade] = trace.trades.rows(named=True)
    paid = 10.0 * 100.0 + 10.0 * 200.0 * 3.0
    assert trade["entry_price"] == pytest.approx(150.0)
    assert trade["return"] == pytest.approx((20.0 * 200.0 * 3.0 - paid) / paid)


def test_what_is_sold_at_the_sessions_end_is_part_of_its_trade() -> None:
    closes = [100.0, 100.0, 110.0, 110.0, 110.0]
    ends = np.zeros((5, 1), bool)
    ends[1] = True
    trace, _ = replayed(
        closes, [units(80.0), HOLD, units(0.0)], {"session_end": ends},
        market__max_weight_at_close=0.25,
    )  # fmt: skip
    assert trace.weight[1] == pytest.approx(0.25)
    [trade] = trace.trades.rows(named=True)
    assert (trade["entry_price"], trade["exit_price"]) == (100.0, 110.0)
    assert trade["units"] == pytest.approx(25.0)
    assert trade["net_profit"] == pytest.approx(250.0)
    whole, _ = replayed(closes, [units(80.0)], {"session_end": ends}, market__max_weight_at_close=0)
    assert whole.trades["reason"].to_list() == ["session_cap"]
    assert whole.trades["bars_held"].to_list() == [0]


def test_a_delisted_symbol_ends_its_trade_at_its_last_close() -> None:
    last = np.zeros((5, 1), bool)
    last[3] = True
    present = np.arange(5)[:, None] < 4
    changes = {"last": last, "present": present}
    trace, _ = replayed([100.0, 100.0, 110.0, 120.0, 120.0], [units(10.0)], changes)
    assert trace.trades["reason"].to_list() == ["delisted"]
    assert trace.trades["net_profit"].to_list() == pytest.approx([200.0])


def test_funding_is_financing_and_dividends_stand_beside_it() -> None:
    closes = [100.0] * 5
    extra = {"funding": [0.0, 0.0, 0.01, -0.02, 0.0], "dividend": [9.0, 9.0, 0.0, 3.0, 0.0]}
    trace, _ = replayed(closes, [units(10.0), HOLD, HOLD, units(0.0)], {"extra": extra})
    np.testing.assert_allclose(trace.financing, [0.0, 0.0, 10.0, -20.0, 0.0])
    np.testing.assert_allclose(trace.dividends, [0.0, 0.0, 0.0, 30.0, 0.0])
    assert trace.trades["net_profit"].to_list() == pytest.approx([40.0])
    assert not replayed(closes, [units(10.0)])[0].dividends.any()


def test_finer_bars_decide_what_was_ambiguous() -> None:
    """A bar from 88 to 112 around a stop at 90 and a target at 110."""
    wide = {"high": np.asarray([[100.0], [112.0], [100.0]]),
            "low": np.asarray([[100.0], [88.0], [100.0]])}  # fmt: skip
    keys: dict[str, Any] = {"market__stop_loss": 0.1, "market__take_profit": 0.1}
    closes = [100.0, 100.0, 100.0]
    trace, _ = replayed(closes, [units(10.0)], wide, **keys)
    assert (trace.ambiguous, trace.resolved) == (1, 0)
    assert trace.trades["reason"].to_list() == ["stop_loss"]
    finer = {"finer_high": [[100.0, 100.0], [112.0, 100.0], [100.0, 100.0]],
             "finer_low": [[100.0, 100.0], [95.0, 88.0], [100.0, 100.0]]}  # fmt: skip
    trace, _ = replayed(closes, [units(10.0)], wide | {"extra": finer}, **keys)
    assert (trace.ambiguous, trace.resolved) == (0, 1)
    assert trace.trades["reason"].to_list() == ["take_profit"]


def test_trades_of_all_symbols_are_in_order_of_exit() -> None:
    split = market(5)
    env = env_of(split, DECODERS["short_flat_long"])
    [trace] = backtest(policy_of(drawn("short_flat_long", 5)), env, split, CONTRACT)
    assert trace.trades["exit_time"].is_sorted()
    assert set(trace.trades["symbol"]) == {"S0", "S1"}
    assert (trace.trades["exit_time"] >= trace.trades["entry_time"]).all()
    assert set(trace.trades["side"]) == {-1, 1}
    assert (trace.trades["units"] > 0.0).all()


def test_no_trades_is_an_empty_table_of_the_same_shape() -> None:
    trace, split = replayed([100.0] * 4, [HOLD])
    assert trace.trades.height == 0
    assert dict(trace.trades.schema) == TRADES
    assert trace.cost.sum() == 0.0
    nothing = Leg(*(np.zeros((3, 1)) for _ in Leg._fields))
    assert closed_trades((nothing,), split, 0).schema == trace.trades.schema
    assert ExitReason.NONE == 0
