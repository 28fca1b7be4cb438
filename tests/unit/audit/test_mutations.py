"""Every mutation leaves what is known at the cut as it is, and changes what is not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from audit_cases import world
from data_cases import HOUR, START_S
from env_cases import random_split
from truefill.audit.mutations import MUTATIONS, closes_s, mutate
from truefill.audit.rows import ROW_MUTATIONS, changed_after
from truefill.data.inputs import Inputs

CUT = START_S + 200 * HOUR


def known(inputs: Inputs) -> pl.DataFrame:
    table = inputs.bars.table
    return table.filter(pl.Series(closes_s(table, HOUR) <= CUT))


@pytest.mark.parametrize("how", MUTATIONS)
def test_the_past_stays_and_the_future_does_not(how: str) -> None:
    one, other = world(), mutate(world(), CUT, how, HOUR)
    assert known(one).equals(known(other), null_equal=True)
    assert not one.bars.table.equals(other.bars.table)
    for symbol in ("X", "Y"):
        stamps = other.bars.table.filter(pl.col("symbol") == symbol)["timestamp"]
        assert stamps.is_sorted() and stamps.n_unique() == len(stamps)


@pytest.mark.parametrize("how", MUTATIONS)
def test_published_values_stay_and_others_do_not(how: str) -> None:
    one, other = world().series["a"], mutate(world(), CUT, how, HOUR).series["a"]
    for name in ("value_date_s", "available_at_s", "values"):
        a = getattr(one, name)[one.available_at_s <= CUT]
        b = getattr(other, name)[other.available_at_s <= CUT]
        assert a.tobytes() == b.tobytes()
    assert one.values.tobytes() != other.values.tobytes()
    assert (np.diff(other.value_date_s) > 0).all()


@pytest.mark.parametrize("how", MUTATIONS)
def test_scheduled_events_stay_and_their_figures_do_not(how: str) -> None:
    (one,), (other,) = world().releases, mutate(world(), CUT, how, HOUR).releases
    out = one.time_s + one.actual_lag_s <= CUT
    scheduled = one.time_s - one.known_ahead_s <= CUT
    count = int(scheduled.sum())
    assert (other.time_s[:count] == one.time_s[scheduled]).all()
    assert (other.impact[:count] == one.impact[scheduled]).all()
    assert one.actual[out].tobytes() == other.actual[: int(out.sum())].tobytes()


def test_the_same_mutation_is_the_same_twice() -> None:
    one, other = (mutate(world(), CUT, "random", HOUR).bars.table for _ in range(2))
    assert one.equals(other)


@dataclass(frozen=True)
class Unknown:
    """Something read whose moments nobody tells."""

    values: Any = None


def test_inputs_without_moments_are_refused() -> None:
    inputs = replace(world(), series={"a": Unknown()})  # type: ignore[dict-item]
    with pytest.raises(TypeError, match="no moments of a Unknown"):
        mutate(inputs, CUT, "random", HOUR)


@pytest.mark.parametrize("how", ROW_MUTATIONS)
def test_rows_of_the_market_up_to_the_bar_stay(how: str) -> None:
    split = random_split(3)
    other = changed_after(split, 20, how)
    differs = False
    for name, array in vars(split).items():
        if isinstance(array, np.ndarray) and len(array) == len(split):
            assert getattr(other, name)[:21].tobytes() == array[:21].tobytes(), name
            differs |= getattr(other, name).tobytes() != array.tobytes()
    assert differs
    if how in ("random", "crash"):
        assert (other.high >= np.fmax(other.open, other.close)).all()
        assert (other.low <= np.fmin(other.open, other.close)).all()
