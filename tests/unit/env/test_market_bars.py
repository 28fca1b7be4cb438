"""What the config and the data make of the market's bars: costs, states, rates, volumes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from env_cases import config_of, environment, split_of, with_windows
from truefill.core.errors import ConfigError, DataError
from truefill.data.split import SplitArrays
from truefill.env.market_bars import market_bars
from truefill.market.bars import COLUMNS, MarketBars
from truefill.market.types import BarState

SPLIT = split_of(np.full((9, 2), 100.0))


def columns_of(split: SplitArrays, keys: dict[str, Any]) -> MarketBars:
    return market_bars(config_of(keys), split)


@pytest.mark.parametrize(
    ("keys", "added"),
    [
        ({}, ()),
        ({"market.participation": {"max_share": 0.1}}, ("volume",)),
        ({"market.max_leverage_at_close": 0.5}, ("session_end",)),
        ({"market.symbols": {"S1": {"max_weight_at_close": 0.5}}}, ("session_end",)),
        ({"market.contract_multiplier": 2}, ("rate_open", "rate_close")),
        ({"market.contract_multiplier": 1}, ()),
        ({"market.declared_volume": 5, "market.derivative": True}, ()),
    ],
)
def test_bars_have_a_column_only_where_something_asks_for_it(
    keys: dict[str, Any], added: tuple[str, ...]
) -> None:
    assert columns_of(SPLIT, keys).columns == (*COLUMNS, *added)


def test_events_and_finer_bars_of_the_data_go_to_the_market_as_they_are() -> None:
    shape = SPLIT.close.shape
    rng = np.random.default_rng(1)
    given = {name: rng.uniform(0.5, 1.5, shape) for name in ("funding", "dividend", "split")}
    finer = {name: rng.uniform(99, 101, (*shape, 3)) for name in ("finer_high", "finer_low")}
    bars = columns_of(replace(SPLIT, extra=given | finer), {})
    assert bars.columns == (*COLUMNS, *given)
    for name, values in given.items():
        np.testing.assert_array_equal(bars.column(name), values)
    assert bars.finer is not None
    np.testing.assert_array_equal(bars.finer[:, 1], finer["finer_low"])


def test_contract_multiplier_and_exchange_rate_make_one_rate() -> None:
    rates = {"rate_open": np.full((9, 2), 0.5), "rate_close": np.full((9, 2), 0.25)}
    keys = {"market.symbols": {"S1": {"contract_multiplier": 50}}}
    bars = columns_of(replace(SPLIT, extra=rates), keys)
    assert bars.column("rate_open")[3].tolist() == [0.5, 25.0]
    assert bars.column("rate_close")[3].tolist() == [0.25, 12.5]
    assert columns_of(SPLIT, keys).column("rate_close")[3].tolist() == [1.0, 50.0]


def test_spread_multipliers_of_config_and_data_multiply_the_half_spread_alone() -> None:
    wide = np.ones((9, 2))
    wide[4] = 3.0
    keys = {"market.symbols": {"S1": {"spread_multiplier": 2}}}
    bars = columns_of(replace(SPLIT, extra={"spread_multiplier": wide}), keys)
    np.testing.assert_allclose(bars.column("half_spread")[3:5], [[2e-4, 4e-4], [6e-4, 12e-4]])
    np.testing.assert_allclose(bars.column("slippage")[4], [3e-4, 3e-4])


def test_volume_is_the_bars_times_its_multipliers_and_the_declared_one_where_it_is_zero() -> None:
    volume = np.full((9, 2), 10.0)
    volume[5] = 0.0
    thin = np.ones((9, 2))
    thin[5:] = 0.5
    split = replace(SPLIT, volume=volume, extra={"liquidity_multiplier": thin})
    keys = {
        "market.participation": {"max_share": 0.1},
        "market.declared_volume": 4,
        "market.symbols": {"S1": {"declared_volume": 80, "liquidity_multiplier": 3}},
    }
    bars = columns_of(split, keys)
    assert bars.column("volume")[4:7].tolist() == [[10.0, 30.0], [2.0, 120.0], [5.0, 15.0]]


def test_a_bar_without_volume_is_refused_only_where_it_counts() -> None:
    volume = np.full((9, 2), 10.0)
    volume[5:7, 1] = 0.0
    split = replace(SPLIT, volume=volume)
    on = {"market.participation": {"impact_bps": 10}}
    with pytest.raises(DataError, match="S1 has no volume at 2020-01-01T05:00:00") as caught:
        columns_of(split, on)
    assert "on 2 of 9 bars" in str(caught.value)
    assert "market.symbols.S1.declared_volume" in caught.value.do
    columns_of(split, {})
    columns_of(split, {**on, "market.symbols": {"S1": {"declared_volume": 1}}})
    present = np.ones((9, 2), bool)
    present[5:7, 1] = False
    columns_of(replace(split, present=present), on)
    quiet = replace(split, no_trade=~present)
    with pytest.raises(DataError, match="S1 has no volume"):
        columns_of(quiet, on)  # stops trade there too


WINDOW = {"market.no_trade": [{"start": "02:00", "end": "04:00"}]}


def test_a_closed_bar_takes_no_trades() -> None:
    closed = with_windows(SPLIT, config_of(WINDOW))
    state = columns_of(closed, WINDOW).column("state")
    assert np.flatnonzero(state[:, 0] == BarState.NO_TRADE).tolist() == [2, 3]
    assert np.flatnonzero(state[:, 0] == BarState.TRADABLE).size == 7


def test_each_symbol_is_closed_by_itself() -> None:
    closed = np.zeros((9, 2), bool)
    closed[4:6, 1] = True
    split = replace(with_windows(SPLIT, config_of(WINDOW)), closed=closed)
    state = columns_of(split, WINDOW).column("state")
    assert np.argwhere(state == BarState.NO_TRADE).tolist() == [[4, 1], [5, 1]]


def test_bars_of_other_windows_than_the_configs_are_refused() -> None:
    closed = with_windows(SPLIT, config_of(WINDOW))
    other = {"market.no_trade": [{"start": "02:00", "end": "05:00"}]}
    for split, keys in ((SPLIT, WINDOW), (closed, {}), (closed, other)):
        with pytest.raises(ConfigError, match="no_trade differs from the windows") as caught:
            columns_of(split, keys)
        assert caught.value.where == "market.no_trade"


def test_windows_that_leave_nothing_are_refused() -> None:
    keys = {"market.no_trade": [{"start": "00:00", "end": "00:00"}]}
    split = with_windows(SPLIT, config_of(keys))
    with pytest.raises(ConfigError, match="every bar of train starts inside"):
        columns_of(split, keys)
    present = np.ones((9, 2), bool)
    present[3] = False
    few = replace(with_windows(SPLIT, config_of(WINDOW)), present=present, closed=present)
    with pytest.raises(ConfigError, match="every bar of train starts inside"):
        columns_of(few, WINDOW)


def test_states_of_bars_masked_over_last_over_no_trade() -> None:
    names = ("present", "last", "no_trade", "closed")
    masks = {name: np.zeros((9, 2), bool) for name in names}
    masks["present"][:7] = True
    masks["last"][6] = True
    masks["no_trade"][5] = True
    masks["closed"][6:] = True
    state = np.asarray(columns_of(replace(SPLIT, **masks), {}).column("state"))[:, 0]
    assert state[4:].tolist() == [
        BarState.TRADABLE, BarState.NO_TRADE, BarState.LAST, BarState.MASKED, BarState.MASKED,
    ]  # fmt: skip


def test_costs_and_masked_bars_reach_the_bars() -> None:
    present = np.ones((9, 2), bool)
    present[3, 1] = False
    split = split_of(np.full((9, 2), 100.0), present=present)
    env = environment(split, {"market.symbols": {"S1": {"fee_bps": 1}}})
    row = env.arrays.bars.row(jnp.asarray([3], jnp.int32))
    np.testing.assert_allclose(np.asarray(row.fee), [[10e-4, 1e-4]])
    np.testing.assert_allclose(np.asarray(row.half_spread), [[2e-4, 2e-4]])
    np.testing.assert_allclose(np.asarray(row.slippage), [[3e-4, 3e-4]])
    assert row.borrow.tolist() == [[0.03, 0.03]]
    assert row.interest.tolist() == [0.065]
    assert row.state.tolist() == [[2.0, 0.0]]
    assert float(row.years[0]) == pytest.approx(1 / 8_766)
