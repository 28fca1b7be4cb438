"""What every registered calculator must do, whatever it computes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from calculator_cases import T, params_of, world
from data_cases import HOUR
from release_cases import first_events
from truefill.core.registry import Entry
from truefill.features.base import WHOLE_HISTORY, fact
from truefill.features.portions import running
from truefill.features.registry import CALCULATORS, Calculator, Context

ENTRIES = [pytest.param(entry, id=entry.name) for entry in CALCULATORS]
SYSTEM_000 = {
    "log_return", "rsi", "volatility_pct", "trend_z", "macro_zscore", "macro_pct_change",
    "spread_zscore", "session_sin", "session_cos", "dow_sin",
}  # fmt: skip


WORLD = world()
CUT = 250
"""Bar of :func:`test_bars_beyond_the_lookback_do_not_count`."""


def compute(entry: Entry[Calculator]) -> np.ndarray:
    return entry.make(entry.params(**params_of(entry.name)), WORLD)


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
        least = entry.facts["warmup"](params) * _scale(entry)
        assert first >= least
        if not entry.facts["irregular"]:
            assert first == least
            assert not np.isnan(values[first:]).any()
        return
    assert entry.facts["warmup"](params) == 0
    short, enough = (
        entry.make(params, _with_values(count)) for count in (needed(params) - 1, needed(params))
    )
    assert np.isnan(short).all() and not np.isnan(enough).all()


def _scale(entry: Entry[Calculator]) -> int:
    """Bars of the world in one that the calculator counts."""
    timeframe = entry.facts["timeframe"]
    return round(timeframe(entry.params(**params_of(entry.name))) / HOUR) if timeframe else 1


@pytest.mark.parametrize("entry", ENTRIES)
def test_bars_beyond_the_lookback_do_not_count(entry: Entry[Calculator]) -> None:
    """Other prices before the lookback of a bar do not move its value: by no bit where the
    calculator is a window, by less than 1e-4 of its range where it is recursive."""
    params = entry.params(**params_of(entry.name))
    lookback = entry.facts["lookback"](params) * _scale(entry)
    if lookback > CUT:
        assert lookback == WHOLE_HISTORY and fact(entry, "level", params)
        return
    values = compute(entry)
    changed = entry.make(params, _changed_before(CUT - lookback + 1))
    if _is_recursive(running(entry, params).state()):
        assert abs(changed[CUT] - values[CUT]) <= 1e-4 * np.ptp(values[~np.isnan(values)])
    else:
        assert changed[CUT : CUT + 1].tobytes() == values[CUT : CUT + 1].tobytes()


def _changed_before(first: int) -> Context:
    """The world with other prices, volumes and columns before bar ``first``, and another history of
    other symbols before its start."""
    early = np.arange(T) < first
    factor = np.where(early, 1.1 + 0.2 * np.sin(np.arange(T)), 1.0)
    names = ("open", "high", "low", "close", "volume")
    bars = {name: getattr(WORLD, name) * factor for name in names}
    extra = {name: np.where(early, 0.3, values) for name, values in WORLD.extra.items()}
    others = {
        name: replace(c, close=np.where(c.timestamps_s < WORLD.timestamps_s[first], 3.0, c.close))
        for name, c in WORLD.others.items()
    }
    return replace(WORLD, **bars, extra=extra, others=others)


def _is_recursive(state: object) -> bool:
    """Whether a state holds that of a recursive filter."""
    if isinstance(state, dict):
        return "carry" in state or any(_is_recursive(value) for value in state.values())
    return isinstance(state, list) and any(_is_recursive(value) for value in state)


def _with_values(count: int) -> Context:
    """The world when only the first ``count`` values of each series, and events of each calendar,
    were ever published."""
    whole = WORLD
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
    releases = tuple(first_events(calendar, count) for calendar in whole.releases)
    return replace(whole, series=kept, releases=releases)


@pytest.mark.parametrize("entry", ENTRIES)
def test_same_input_same_bits_and_input_untouched(entry: Entry[Calculator]) -> None:
    bars = WORLD
    copies = {k: getattr(bars, k).copy() for k in ("open", "high", "low", "close", "volume")}
    params = entry.params(**params_of(entry.name))
    first = entry.make(params, bars).copy()
    assert first.tobytes() == entry.make(params, bars).tobytes()
    for name, copy in copies.items():
        np.testing.assert_array_equal(getattr(bars, name), copy)


@pytest.mark.parametrize("entry", ENTRIES)
def test_facts_and_parameters_are_documented(entry: Entry[Calculator]) -> None:
    params = entry.params(**params_of(entry.name))
    assert fact(entry, "unit", params) and entry.facts["source"]
    assert isinstance(entry.facts["crosses_session"], bool)
    assert isinstance(fact(entry, "normalized", params), bool)
    assert isinstance(fact(entry, "level", params), bool)
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
    if fact(entry, "normalized", entry.params(**params_of(entry.name))):
        assert np.nanmax(np.abs(values)) <= 10.0
