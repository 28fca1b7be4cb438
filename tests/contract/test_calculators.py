"""What every registered calculator must do, whatever it computes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from calculator_cases import T, params_of, world
from truefill.core.registry import Entry
from truefill.features.registry import CALCULATORS, Calculator, Context

ENTRIES = [pytest.param(entry, id=entry.name) for entry in CALCULATORS]
SYSTEM_000 = {
    "log_return", "rsi", "volatility_pct", "trend_z", "macro_zscore", "macro_pct_change",
    "spread_zscore", "session_sin", "session_cos", "dow_sin",
}  # fmt: skip


def compute(entry: Entry[Calculator], **world_options: int) -> np.ndarray:
    return entry.make(entry.params(**params_of(entry.name)), world(**world_options))


def test_the_calculators_of_system_000_are_registered() -> None:
    assert {entry.name for entry in CALCULATORS} >= SYSTEM_000


@pytest.mark.parametrize("entry", ENTRIES)
def test_shape_type_and_finiteness(entry: Entry[Calculator]) -> None:
    values = compute(entry)
    assert values.shape == (T,) and values.dtype == np.float64
    assert not np.isinf(values).any()
    assert np.isfinite(values).sum() > T // 4, "parameters in calculator_cases leave too few values"


@pytest.mark.parametrize("entry", ENTRIES)
def test_declared_warmup_is_the_measured_one(entry: Entry[Calculator]) -> None:
    """Bars before the first value, or published values before it for slow series."""
    params = entry.params(**params_of(entry.name))
    values = compute(entry)
    first = int(np.argmax(~np.isnan(values)))
    needed = entry.facts["values_needed"]
    if needed is None:
        assert first == entry.facts["warmup"](params)
        assert not np.isnan(values[first:]).any()
        return
    assert entry.facts["warmup"](params) == 0
    short, enough = (
        entry.make(params, _with_values(count)) for count in (needed(params) - 1, needed(params))
    )
    assert np.isnan(short).all() and not np.isnan(enough).all()


def _with_values(count: int) -> Context:
    """The world when only the first ``count`` values of each series were ever published."""
    whole = world()
    kept = {
        name: replace(
            s,
            value_date_s=s.value_date_s[:count],
            available_at_s=s.available_at_s[:count],
            values=s.values[:count],
            max_staleness_s=1e9,
        )
        for name, s in whole.series.items()
    }
    return replace(whole, series=kept)


@pytest.mark.parametrize("entry", ENTRIES)
def test_same_input_same_bits_and_input_untouched(entry: Entry[Calculator]) -> None:
    bars = world()
    copies = {k: getattr(bars, k).copy() for k in ("open", "high", "low", "close", "volume")}
    params = entry.params(**params_of(entry.name))
    first = entry.make(params, bars).copy()
    assert first.tobytes() == entry.make(params, bars).tobytes()
    for name, copy in copies.items():
        np.testing.assert_array_equal(getattr(bars, name), copy)


@pytest.mark.parametrize("entry", ENTRIES)
def test_facts_and_parameters_are_documented(entry: Entry[Calculator]) -> None:
    assert entry.facts["unit"] and entry.facts["source"]
    assert isinstance(entry.facts["crosses_session"], bool)
    assert isinstance(entry.facts["normalized"], bool)
    assert entry.summary and entry.make.__doc__
    for name, field in entry.params.model_fields.items():
        assert field.description, f"parameter {name} has no description"


@pytest.mark.parametrize("entry", ENTRIES)
def test_parameters_are_frozen_and_refuse_unknown_keys(entry: Entry[Calculator]) -> None:
    params = entry.params(**params_of(entry.name))
    with pytest.raises(ValidationError):
        entry.params(**params_of(entry.name), unheard_of=1)
    with pytest.raises(ValidationError):
        params.something = 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_normalized_feature_is_of_order_one(entry: Entry[Calculator]) -> None:
    values = compute(entry)
    if entry.facts["normalized"]:
        assert np.nanmax(np.abs(values)) <= 10.0
