"""Packing bars: what is refused, and what is shifted."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from truefill.market.bars import COLUMNS, make_bars
from truefill.market.types import BarState

COSTS = {"fee": 0.001, "half_spread": np.array([0.1, 0.2]), "slippage": 0.0, "borrow": 0.0}


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
