"""What is joined from outside the bars knows nothing that was not out at a bar's close.

Series whose values come out in any order, and economic calendars: replace, drop or add whatever is
not yet known at a moment, and no feature at or before it moves by a bit.
"""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calculator_cases import params_of
from data_cases import HOUR, START_S, context, walk
from release_cases import changed_releases, release_table
from truefill.data.join import Series
from truefill.data.releases import Releases
from truefill.features.registry import CALCULATORS

BARS, VALUES = 150, 40
OF_SERIES = ["macro_zscore", "macro_pct_change", "spread_zscore", "spread_change", "series_value",
             "series_change", "series_below", "series_age_hours"]  # fmt: skip
OF_EVENTS = ["hours_since_event", "hours_to_event", "event_impact", "event_surprise",
             "recent_high_impact"]  # fmt: skip
HISTORY = walk(BARS)


def series_of(name: str, seed: int) -> Series:
    """A value every four hours, out up to two days later: in any order."""
    rng = np.random.default_rng(seed)
    dates = START_S - 24 * HOUR + 4 * HOUR * np.arange(VALUES)
    out = dates + rng.integers(0, 48 * HOUR, VALUES)
    return Series(name, dates, out, 50.0 + rng.standard_normal(VALUES), 40.0 * HOUR)


def other_series(series: Series, known_s: int, how: str, seed: int) -> Series:
    """The series with all that is not out at ``known_s`` replaced, dropped, or joined by more."""
    rng = np.random.default_rng(seed)
    late = series.available_at_s > known_s
    if how == "dropped":
        at = np.flatnonzero(~late | (rng.random(VALUES) < 0.5))
        return rows(series, at)
    values = np.where(late, 500.0 + rng.standard_normal(VALUES), series.values)
    out = np.where(late, known_s + rng.integers(1, 99 * HOUR, VALUES), series.available_at_s)
    changed = replace(series, values=values, available_at_s=np.maximum(out, series.value_date_s))
    if how == "replaced":
        return changed
    twice = rows(changed, np.sort(np.append(np.arange(VALUES), np.flatnonzero(late))))
    step = np.diff(twice.value_date_s, prepend=0) == 0
    return replace(twice, value_date_s=twice.value_date_s + HOUR * step)


def rows(series: Series, at: np.ndarray) -> Series:
    kept = {k: getattr(series, k)[at] for k in ("value_date_s", "available_at_s", "values")}
    return replace(series, **kept)


@pytest.mark.parametrize("name", OF_SERIES)
@given(t=st.integers(0, BARS - 1), seed=st.integers(0, 10**6),
       how=st.sampled_from(["replaced", "dropped", "more"]))  # fmt: skip
@settings(max_examples=25)
def test_values_that_are_not_out_move_nothing(name: str, t: int, seed: int, how: str) -> None:
    entry = CALCULATORS.get(name)
    params = entry.params(**params_of(name))
    series = {"a": series_of("a", seed), "b": series_of("b", seed + 1)}
    bars = context(HISTORY, series)
    known_s = int(bars.closes_s[t])
    others = {k: other_series(s, known_s, how, seed + 2) for k, s in series.items()}
    before = entry.make(params, bars)[: t + 1]
    assert before.tobytes() == entry.make(params, context(HISTORY, others))[: t + 1].tobytes()


def other_calendar(calendar: Releases, known_s: int, how: str, seed: int) -> Releases:
    changed = changed_releases(calendar, known_s, seed)
    if how == "replaced":
        return changed
    listed = calendar.time_s - calendar.known_ahead_s <= known_s
    if how == "dropped":
        at = np.flatnonzero(listed | (np.random.default_rng(seed).random(len(calendar)) < 0.5))
    else:
        at = np.sort(np.append(np.arange(len(calendar)), np.flatnonzero(~listed)))
    arrays = {f.name: getattr(changed, f.name) for f in fields(changed)}
    per_event = {k: v[at] for k, v in arrays.items() if isinstance(v, np.ndarray)}
    return replace(changed, **per_event)


@pytest.mark.parametrize("name", OF_EVENTS)
@given(t=st.integers(0, BARS - 1), seed=st.integers(0, 10**6),
       how=st.sampled_from(["replaced", "dropped", "more"]),
       ahead=st.sampled_from([0, 1, 20, 200]), gap=st.sampled_from([3, 30, 300]))  # fmt: skip
@settings(max_examples=25)
def test_events_not_yet_listed_and_figures_not_yet_out_move_nothing(
    name: str, t: int, seed: int, how: str, ahead: int, gap: int
) -> None:
    entry = CALCULATORS.get(name)
    params = entry.params(**params_of(name))
    calendar = release_table(120, seed=seed, known_ahead_s=ahead * HOUR, hours=400)
    calendar = replace(calendar, max_gap_s=float(gap * HOUR))
    bars = replace(context(HISTORY), releases=(calendar,))
    other = other_calendar(calendar, int(bars.closes_s[t]), how, seed + 1)
    before = entry.make(params, bars)[: t + 1]
    after = entry.make(params, replace(bars, releases=(other,)))[: t + 1]
    assert before.tobytes() == after.tobytes()


@pytest.mark.parametrize("name", OF_EVENTS)
@given(t=st.integers(1, BARS - 1), seed=st.integers(0, 10**6))
@settings(max_examples=10)
def test_a_bar_alone_gives_what_it_gives_in_its_history(name: str, t: int, seed: int) -> None:
    """These depend on no earlier bar: batch and stream are the same bits."""
    entry = CALCULATORS.get(name)
    params = entry.params(**params_of(name))
    bars = replace(context(HISTORY), releases=(release_table(120, seed=seed, hours=400),))
    whole = entry.make(params, bars)
    assert entry.make(params, bars.rows(t, t + 1)).tobytes() == whole[t : t + 1].tobytes()
