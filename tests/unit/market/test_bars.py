"""Packing bars: what is refused, and what is shifted."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from truefill.market.bars import COLUMNS, OPTIONAL, make_bars
from truefill.market.types import BarState

COSTS: dict[str, Any] = {
    "fee": 0.001,
    "half_spread": np.array([0.1, 0.2]),
    "slippage": 0.0,
    "borrow": 0.0,
}


def prices(rows: int = 3) -> dict[str, np.ndarray]:
    close = 1.0 + np.arange(rows * 2, dtype=np.float64).reshape(rows, 2)
    return {name: close.copy() for name in ("open", "high", "low", "close")}


def test_rows_carry_costs_state_and_elapsed_years() -> None:
    stamps = np.array([0, 3_600, 3_600 + 86_400])
    bars = make_bars(timestamps_s=stamps, prices=prices(), costs=COSTS, interest=0.05)
    row = bars.row(jnp.array([0, 2]))
    assert (bars.num_bars, bars.num_symbols) == (3, 2)
    assert row.close.tolist() == [[1.0, 2.0], [5.0, 6.0]]
    assert row.half_spread.tolist() == [[0.1, 0.2]] * 2
    assert row.state.tolist() == [[BarState.TRADABLE] * 2] * 2
    assert row.years.tolist() == pytest.approx([0.0, 1 / 365.25])
    assert row.interest.tolist() == [0.05, 0.05]
    assert row.close.dtype == jnp.float64


def test_atr_is_that_of_the_previous_bar() -> None:
    atr = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    bars = make_bars(timestamps_s=np.arange(3), prices=prices(), costs=COSTS, interest=0.0, atr=atr)
    assert bars.table[:, COLUMNS.index("atr")].tolist() == [[1, 2], [1, 2], [3, 4]]


def test_times_must_rise() -> None:
    with pytest.raises(ValueError, match="bar 2"):
        make_bars(timestamps_s=np.array([0, 5, 5]), prices=prices(), costs=COSTS, interest=0.0)


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
def test_prices_must_be_positive_and_finite(bad: float) -> None:
    broken = prices()
    broken["low"][1, 0] = bad
    with pytest.raises(ValueError, match="low"):
        make_bars(timestamps_s=np.arange(3), prices=broken, costs=COSTS, interest=0.0)


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="timestamps"):
        make_bars(timestamps_s=np.arange(4), prices=prices(), costs=COSTS, interest=0.0)


def refused(match: str, **changed: Any) -> None:
    """``make_bars`` of three good bars with something changed says ``match``."""
    good: dict[str, Any] = {
        "timestamps_s": np.arange(3), "prices": prices(), "costs": COSTS, "interest": 0.0,
    }  # fmt: skip
    make_bars(**good)
    with pytest.raises(ValueError, match=match):
        make_bars(**{**good, **changed})


def test_prices_of_another_shape_are_refused() -> None:
    refused("high", prices={**prices(), "high": np.ones((2, 2))})
    refused(r"\[T, S\]", prices={name: np.ones(3) for name in prices()})


def test_unknown_columns_are_refused_by_name() -> None:
    refused("'volumes'.*known: .*volume", extra={"volumes": np.ones((3, 2))})


@pytest.mark.parametrize("name", ["rate_open", "rate_close"])
def test_rates_come_together(name: str) -> None:
    refused("come together", extra={name: np.ones((3, 2))})


@pytest.mark.parametrize("name", OPTIONAL)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_optional_columns_are_finite(name: str, bad: float) -> None:
    both = {"rate_open": 1.0, "rate_close": 1.0} if "rate" in name else {}
    column = np.array([[1.0, 1.0], [1.0, bad], [1.0, 1.0]])
    refused(f"{name} must be finite", extra={**both, name: column})


@pytest.mark.parametrize("name", ["split", "rate_open", "rate_close"])
@pytest.mark.parametrize("bad", [0.0, -1.0])
def test_splits_and_rates_are_positive(name: str, bad: float) -> None:
    both = {"rate_open": 1.0, "rate_close": 1.0} if "rate" in name else {}
    refused(f"{name} must be positive", extra={**both, name: np.array([1.0, bad])})


@pytest.mark.parametrize("state", [BarState.NO_TRADE, BarState.TRADABLE, BarState.LAST])
@pytest.mark.parametrize("bad", [0.0, -5.0])
def test_a_bar_that_can_trade_needs_a_volume(state: BarState, bad: float) -> None:
    volume = np.array([[1.0, 1.0], [1.0, bad], [1.0, 1.0]])
    states = np.full((3, 2), int(BarState.TRADABLE))
    states[1, 1] = state
    refused("bar 1 of symbol 1", extra={"volume": volume}, state=states)
    states[1, 1] = BarState.MASKED
    make_bars(timestamps_s=np.arange(3), prices=prices(), costs=COSTS, interest=0.0, state=states,
              extra={"volume": volume})  # fmt: skip


@pytest.mark.parametrize(
    "shapes", [((3, 2, 4), (3, 2, 5)), ((2, 2, 4), (2, 2, 4)), ((3, 1, 4), (3, 1, 4))]
)
def test_finer_bars_have_the_shape_of_the_bars(shapes: tuple[tuple[int, ...], ...]) -> None:
    high, low = (np.ones(shape) for shape in shapes)
    refused("finer_high and finer_low", extra={"finer_high": high, "finer_low": low})


def test_the_bar_before_the_first_lies_before_it() -> None:
    refused("previous_s", previous_s=1.0)


def test_optional_columns_are_packed_in_one_order_and_absent_ones_not_at_all() -> None:
    extra: dict[str, Any] = {
        "split": 2.0,
        "volume": np.array([[5.0, 6.0]] * 3),
        "maker_fee": np.array([0.1, 0.2]),
    }
    bars = make_bars(timestamps_s=np.arange(3), prices=prices(), costs=COSTS, interest=0.0,
                     extra=extra)  # fmt: skip
    assert bars.columns == (*COLUMNS, "maker_fee", "volume", "split")
    row = bars.row(jnp.array([1]))
    assert row.volume is not None and row.split is not None and row.maker_fee is not None
    assert (row.volume.tolist(), row.split.tolist()) == ([[5.0, 6.0]], [[2.0, 2.0]])
    assert row.maker_fee.tolist() == [[0.1, 0.2]]
    assert row.funding is None and row.finer_high is None
    assert bars.at(1).row(jnp.array([0])).close.tolist() == row.close.tolist()


def test_the_mark_is_the_close_in_account_currency() -> None:
    extra: dict[str, Any] = {"rate_open": 3.0, "rate_close": 2.0}
    plain = make_bars(timestamps_s=np.arange(3), prices=prices(), costs=COSTS, interest=0.0)
    rated = make_bars(timestamps_s=np.arange(3), prices=prices(), costs=COSTS, interest=0.0,
                      extra=extra)  # fmt: skip
    assert plain.mark(jnp.array([1])).tolist() == [[3.0, 4.0]]
    assert rated.mark(jnp.array([1])).tolist() == [[6.0, 8.0]]


def test_a_bar_that_arrives_alone_knows_the_one_before() -> None:
    one = {name: values[1:2] for name, values in prices().items()}
    bars = make_bars(timestamps_s=np.array([86_400.0]), prices=one, costs=COSTS, interest=0.0,
                     atr=np.array([[5.0, 6.0]]), previous_s=0.0,
                     previous_atr=np.array([3.0, 4.0]))  # fmt: skip
    row = bars.row(jnp.array([0]))
    assert row.years.tolist() == pytest.approx([1 / 365.25])
    assert row.atr.tolist() == [[3.0, 4.0]]
