"""What every registered label keeps: it looks at its interval, and at nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast_cases import bars_from
from truefill.core.registry import Params
from truefill.forecast.labels import LABELS, LabelBars, Labels
from truefill.forecast.labels.base import FittedLabel

CASES = {
    "smoothed": {"horizon": 3, "threshold": 0.01},
    "smoothed in sessions": {"horizon": 2, "threshold": 0.01, "crosses_session": False},
    "future_return": {"horizon": 4},
    "future_return open": {"horizon": 2, "entry": "next_open"},
    "triple_barrier": {"limit_bars": 5, "unit": "fraction", "upper": 0.02, "lower": 0.03},
    "triple_barrier volatility": {"limit_bars": 4, "volatility_bars": 3, "side": "short"},
}
T = 30


def labels_of(case: str, bars: LabelBars) -> Labels:
    name = case.split()[0]
    params: Params = LABELS.parse(name, CASES[case])
    return FittedLabel(name, params, {"X": 0.01}).of("X", bars)


def path(seed: int) -> LabelBars:
    noise = np.random.default_rng(seed).standard_normal(T)
    return bars_from(100.0 * np.exp(np.cumsum(0.01 * noise)), spread=0.002, session_bars=10)


def shocked(bars: LabelBars, rows: np.ndarray, factor: float) -> LabelBars:
    parts = ("open", "high", "low", "close")
    changed = {name: getattr(bars, name).copy() for name in parts}
    for values in changed.values():
        values[rows] *= factor
    return replace(bars, **changed)


def told(found: Labels, row: int) -> tuple[bytes, ...]:
    fields = (found.value, found.quantity, found.start_s, found.end_s)
    return tuple(values[row].tobytes() for values in fields)


def test_every_label_has_a_case() -> None:
    assert {case.split()[0] for case in CASES} == {entry.name for entry in LABELS}


@pytest.mark.parametrize("case", CASES)
@settings(max_examples=15)
@given(seed=st.integers(0, 50), row=st.integers(0, T - 1), factor=st.sampled_from([0.5, 1.01, 2.0]))
def test_nothing_outside_its_interval_moves_a_label(
    case: str, seed: int, row: int, factor: float
) -> None:
    bars = path(seed)
    before = labels_of(case, bars)
    outside = (bars.timestamps_s > before.end_s[row]) | (bars.timestamps_s < before.start_s[row])
    if before.known[row]:
        after = labels_of(case, shocked(bars, np.flatnonzero(outside), factor))
        assert told(before, row) == told(after, row)


@pytest.mark.parametrize("case", CASES)
def test_the_last_bar_of_its_interval_moves_a_label(case: str) -> None:
    bars = path(3)
    before = labels_of(case, bars)
    rows = np.flatnonzero(before.known)
    assert len(rows) > 5
    for row in rows[::2]:
        last = np.flatnonzero(bars.timestamps_s == before.end_s[row])
        moved = [labels_of(case, shocked(bars, last, factor)) for factor in (0.9, 1.1)]
        assert any(told(before, row) != told(after, row) for after in moved)


@pytest.mark.parametrize("case", CASES)
def test_the_first_bar_of_its_interval_moves_some_label(case: str) -> None:
    """Of some: a barrier in volatility that is not touched either way says nothing of its width."""
    bars = path(3)
    before = labels_of(case, bars)
    moved = 0
    for row in np.flatnonzero(before.known):
        first = np.flatnonzero(bars.timestamps_s == before.start_s[row])
        after = labels_of(case, shocked(bars, first, 1.02))
        moved += told(before, row) != told(after, row)
    assert moved > 0.3 * before.known.sum()


@pytest.mark.parametrize("case", CASES)
def test_intervals_hold_their_row_or_follow_it(case: str) -> None:
    found = labels_of(case, path(1))
    known = found.known
    assert (found.end_s[known] > found.timestamps_s[known]).all()
    assert (found.start_s[~known] == found.timestamps_s[~known]).all()
    assert (found.end_s[~known] == found.timestamps_s[~known]).all()
    at, rows = found.rows()
    assert (at == np.flatnonzero(known)).all() and (rows.label_end == found.end_s[at]).all()
