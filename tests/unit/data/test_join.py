"""A slow series is visible from its publication on, until it is stale, and never before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data_cases import START_S, context, series_of, walk
from truefill.config.schema import SeriesFile
from truefill.core.errors import ConfigError, DataError
from truefill.data.join import Series, pair, read_series
from truefill.features.registry import CALCULATORS

DAY = 86_400


def at(*days: float) -> np.ndarray:
    return (START_S + DAY * np.array(days)).astype(np.int64)


def test_a_value_appears_at_its_publication_and_not_a_second_earlier() -> None:
    series = series_of([1.0, 2.0, 3.0], lag_days=1)
    moments = at(0, 1, 1.5, 2, 3)
    assert np.isnan(series.as_of(series.values, moments - 1)[:2]).all()
    np.testing.assert_array_equal(series.as_of(series.values, moments), [np.nan, 1, 1, 2, 3])
    np.testing.assert_array_equal(series.as_of(series.values, moments[2:] - 1), [1, 1, 2])


def test_a_value_published_tomorrow_is_invisible_today() -> None:
    """The very bug of an as-of join on value dates: today's bars would see today's close."""
    series = series_of([1.0, 2.0], lag_days=1)
    todays_bars = at(1.0) + np.arange(0, DAY, 3_600)
    assert (series.as_of(series.values, todays_bars) == 1.0).all()


def test_a_bar_sees_what_is_published_by_its_close_not_only_by_its_open() -> None:
    entry = CALCULATORS.get("macro_pct_change")
    bars = context(walk(72), {"m": series_of([1.0, 2.0, 4.0], lag_days=1)})
    change = entry.make(entry.params(series="m"), bars)
    first = int(np.argmax(~np.isnan(change)))
    assert bars.closes_s[first] == START_S + 2 * DAY  # second value, published a day later
    assert bars.timestamps_s[first] == START_S + 2 * DAY - 3_600


@pytest.mark.parametrize("lag", [0.0, 0.5, 1.0, 3.0])
def test_the_publication_lag_shifts_visibility(lag: float) -> None:
    series = series_of([1.0], lag_days=lag)
    seen = ~np.isnan(series.as_of(series.values, at(*np.arange(0, 5, 0.25))))
    assert np.argmax(seen) == lag / 0.25


def test_a_stale_value_is_null_not_carried() -> None:
    series = series_of([1.0], lag_days=1)
    np.testing.assert_array_equal(series.as_of(series.values, at(6.0, 6.01)), [1.0, np.nan])


def test_a_pair_is_visible_once_both_are() -> None:
    a, b = series_of([5.0, 6.0, 7.0], lag_days=1), series_of([1.0, 1.0], lag_days=2)
    joint, first, second = pair(a, b)
    assert (first - second).tolist() == [4.0, 5.0]
    assert joint.available_at_s.tolist() == at(2, 3).tolist()


def file_of(folder: Path, lines: list[str], **options: object) -> SeriesFile:
    (folder / "s.csv").write_text("\n".join(["day,a,b", *lines]) + "\n")
    options = {"columns": {"a": "x", "b": "y"}, "publication_lag": "1d", **options}
    return SeriesFile(path=folder / "s.csv", timestamp="day", **options)  # type: ignore[arg-type]


def test_empty_values_are_skipped_and_each_series_has_its_own_lag(tmp_path: Path) -> None:
    lines = ["2020-01-01,1,10", "2020-01-02,,20", "2020-01-03,NaN,30", "2020-01-04,4,40"]
    source = file_of(tmp_path, lines, publication_lag_by_column={"y": "12h"})
    series, files = read_series([source])
    assert series["x"].values.tolist() == [1.0, 4.0]
    assert series["x"].available_at_s.tolist() == at(1, 4).tolist()
    assert series["y"].available_at_s.tolist() == at(0.5, 1.5, 2.5, 3.5).tolist()
    assert files[0].rows == 4 and len(files[0].sha256) == 64


def test_local_value_dates_become_utc(tmp_path: Path) -> None:
    source = file_of(tmp_path, ["2020-01-01,1,1"], timezone="America/Bogota")
    assert read_series([source])[0]["x"].value_date_s.tolist() == [START_S + 5 * 3_600]


@pytest.mark.parametrize(
    ("lines", "rule", "where"),
    [
        (
            ["2020-01-01,1,1", "2020-01-01,2,2"],
            "duplicate_timestamp",
            "s.csv row 2 column timestamp",
        ),
        (["2020-01-02,1,1", "2020-01-01,2,2"], "unsorted", "s.csv row 2 column timestamp"),
        (["2020-01-01,1,1", "2020-01-02,2,x"], "not_a_number", "s.csv row 2 column y"),
        (["2020-01-01,inf,1"], "not_a_number", "s.csv row 1 column x"),
        (["first,1,1"], "unreadable_timestamp", "s.csv row 1 column timestamp"),
    ],
)
def test_defects_of_series_are_named(
    tmp_path: Path, lines: list[str], rule: str, where: str
) -> None:
    with pytest.raises(DataError) as caught:
        read_series([file_of(tmp_path, lines)])
    assert (caught.value.rule, caught.value.where) == (rule, where)


def test_unknown_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'z'"):
        read_series([file_of(tmp_path, ["2020-01-01,1,1"], publication_lag_by_column={"z": "1d"})])
    with pytest.raises(DataError, match="no 'c'"):
        read_series([file_of(tmp_path, ["2020-01-01,1,1"], columns={"c": "x"})])
    entry = CALCULATORS.get("macro_zscore")
    with pytest.raises(ConfigError, match="Did you mean 'gold'"):
        entry.make(entry.params(series="glod"), context(walk(3), {"gold": series_of([1.0])}))


def test_an_empty_series_gives_no_values() -> None:
    empty = Series("e", *(np.zeros(0, np.int64),) * 2, np.zeros(0), 1.0)
    assert np.isnan(empty.as_of(empty.values, at(1, 2))).all()


def out_of_order(values: list[float], days: list[float]) -> Series:
    """Daily values from 2020-01-01 on, published on these days (0 = 2020-01-01)."""
    dates = START_S + DAY * np.arange(len(values))
    return Series("o", dates, at(*days), np.array(values, np.float64), 5.0 * DAY)


def test_the_newest_value_date_counts_not_the_newest_publication() -> None:
    """The second value comes out after the third: it never counts by itself."""
    series = out_of_order([1.0, 2.0, 3.0], [1, 4, 3])
    seen = series.as_of(series.values, at(0.9, 1, 2.9, 3, 4, 5))
    np.testing.assert_array_equal(seen, [np.nan, 1, 1, 3, 3, 3])
    late = out_of_order([1.0, 2.0], [3, 2])  # the older one is out last
    np.testing.assert_array_equal(late.as_of(late.values, at(2, 3)), [2, 2])


def test_a_figure_of_several_values_is_made_of_those_published_by_then() -> None:
    """At day 3 the change of the third value is against the first: the second is not out. On day 4
    it is against the second."""
    series = out_of_order([1.0, 2.0, 5.0, 9.0], [1, 4, 3, 6])
    bars = context(walk(24 * 7), {"o": series})
    entry = CALCULATORS.get("series_change")
    change = entry.make(entry.params(series="o"), bars)
    at_close = dict(zip(((bars.closes_s - START_S) / DAY).tolist(), change.tolist(), strict=True))
    assert np.isnan(at_close[1.0]) and np.isnan(at_close[2.875])
    assert [at_close[day] for day in (3.0, 3.875, 4.0, 5.875, 6.0)] == [4.0, 4.0, 3.0, 3.0, 4.0]


@pytest.mark.parametrize("name", ["macro_zscore", "macro_pct_change", "series_change"])
def test_each_publication_in_any_order_is_as_if_the_file_ended_there(name: str) -> None:
    """Whatever is not yet out may as well not be in the file."""
    rng = np.random.default_rng(2)
    values = (50.0 + rng.standard_normal(30)).tolist()
    days = np.arange(30) * 0.3 + rng.integers(0, 4, 30)
    whole = replace(out_of_order(values, days.tolist()), max_staleness_s=1e9)
    assert not whole.in_order
    entry = CALCULATORS.get(name)
    params = {"window": 6} if name == "macro_zscore" else {"periods": 3}
    bars = context(walk(24 * 13), {"o": whole})
    found = entry.make(entry.params(series="o", **params), bars)
    for t in range(0, len(bars), 5):
        out = whole.available_at_s <= bars.closes_s[t]
        known = replace(
            whole, values=whole.values[out], value_date_s=whole.value_date_s[out],
            available_at_s=np.zeros(int(out.sum()), np.int64), max_staleness_s=1e12,
        )  # fmt: skip
        alone = entry.make(entry.params(series="o", **params), replace(bars, series={"o": known}))
        np.testing.assert_array_equal(found[t], alone[t], err_msg=str(t))


def test_values_in_order_take_the_short_way_with_the_same_bits() -> None:
    """Where two values come out together, their order in the file is theirs."""
    same = out_of_order([1.0, 2.0, 4.0], [1, 3, 3])
    assert same.in_order
    np.testing.assert_array_equal(same.as_of(same.values, at(2.9, 3)), [1, 4])
    late = out_of_order([1.0, 2.0, 4.0, 7.0], [1, 2, 3, 2.5])
    twice = late.rolled(lambda v: 2.0 * v, 1, at(1, 2, 2.5, 3))
    np.testing.assert_array_equal(twice, [2, 4, 14, 14])


def test_the_age_counts_from_the_publication_of_the_value_itself() -> None:
    series = out_of_order([1.0, 2.0], [9, 2])
    np.testing.assert_array_equal(series.as_of(series.values, at(7, 7.1, 9)), [2, np.nan, np.nan])
