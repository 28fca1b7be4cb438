"""What is right for the real series: when each could be known, and what a wrong lag would do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from data_cases import HOUR
from truefill.config.schema import SeriesFile
from truefill.core.errors import DataError
from truefill.data.join import Series, read_series

DAY = 86_400
NEW_YORK = {"time": "08:30", "timezone": "America/New_York"}


def seconds(moment: str) -> int:
    return int(np.datetime64(moment, "s").astype(np.int64))


def value(series: Series, moment: str) -> float:
    """The value a bar that closes at this moment (UTC) may use."""
    return float(series.as_of(series.values, np.array([seconds(moment)]))[0])


def monthly(shared_data: Path, **rule: Any) -> dict[str, Series]:
    columns = {"cpi": "cpi", "unemployment": "unemployment"}
    path = shared_data / "macro_monthly_2016_2024.parquet"
    source = SeriesFile(path=path, columns=columns, max_staleness="60d", **rule)
    return read_series([source])[0]


def test_cpi_and_unemployment_are_known_at_their_release_in_new_york(shared_data: Path) -> None:
    """The stamp is the month they are about. May 2020's unemployment came out on 5 June (the 7th is
    the rule's day), its CPI on the 10th (the 13th is): until then April's counts."""
    series = monthly(
        shared_data,
        release={"months": 1, "day": 13, **NEW_YORK},
        release_by_column={"unemployment": {"months": 1, "day": 7, **NEW_YORK}},
    )
    table = pl.read_parquet(shared_data / "macro_monthly_2016_2024.parquet")
    of = {str(stamp.date())[:7]: row for stamp, *row in
          table.select("timestamp", "cpi", "unemployment").iter_rows()}  # fmt: skip
    cpi, jobless = series["cpi"], series["unemployment"]
    assert value(cpi, "2020-06-13T12:29:59") == of["2020-04"][0]  # 08:29:59 in New York, summer
    assert value(cpi, "2020-06-13T12:30:00") == of["2020-05"][0]
    assert value(cpi, "2020-01-13T13:29:59") == of["2019-11"][0]  # winter
    assert value(cpi, "2020-01-13T13:30:00") == of["2019-12"][0]
    assert value(jobless, "2020-05-07T12:29:59") == of["2020-03"][1] == 3.6
    assert value(jobless, "2020-05-07T12:30:00") == of["2020-04"][1] == 14.8  # the jump of April


def test_a_lag_of_days_would_show_a_month_before_it_is_over(shared_data: Path) -> None:
    with pytest.raises(DataError) as caught:
        monthly(shared_data, publication_lag="13d")
    assert caught.value.rule == "reference_stamps"
    assert len(monthly(shared_data, publication_lag="43d")) == 2


def test_oil_and_gas_come_about_a_week_later(shared_data: Path) -> None:
    """Monday 20 April 2020 closed at -36.98; the file that says so came out a week later."""
    source = SeriesFile(
        path=shared_data / "macro_daily_2018_2024.parquet",
        columns={"wti": "wti", "vix_close": "vix"},
        publication_lag="1d", max_staleness="14d",
        release_by_column={"wti": {**NEW_YORK, "business_days": 5, "time": "17:00"}},
    )  # fmt: skip
    series = read_series([source])[0]
    assert value(series["wti"], "2020-04-27T20:59:59") > 0.0
    assert value(series["wti"], "2020-04-27T21:00:00") == pytest.approx(-36.98)
    assert value(series["vix"], "2020-04-20T23:59:59") != value(
        series["vix"], "2020-04-21T00:00:00"
    )


def test_oil_stamped_on_a_sunday_is_of_the_holiday_session_that_follows(shared_data: Path) -> None:
    """24 Sundays before Mondays on which the United States rest have an oil price of their own:
    that of the short session from Sunday evening to Monday noon. A lag of a day would show it at
    midnight, an hour after that session opened; a release on the next business day does not."""
    source = SeriesFile(
        path=shared_data / "macro_usdcop_daily_2019_2023.parquet",
        columns={"wti": "wti", "gold": "gold"},
        release={"business_days": 1, "time": "18:00", "timezone": "America/New_York"},
    )
    series = read_series([source])[0]
    for name, sundays in (("wti", 24), ("gold", 0)):
        dates = series[name].value_date_s
        assert int(((dates // DAY + 3) % 7 >= 5).sum()) == sundays
    wti = series["wti"]
    at = int(np.searchsorted(wti.value_date_s, seconds("2021-01-17")))
    friday, sunday = wti.values[at - 1], wti.values[at]
    assert wti.value_date_s[at] == seconds("2021-01-17") and friday != sunday
    assert value(wti, "2021-01-18T22:59:59") != sunday
    assert value(wti, "2021-01-18T23:00:00") == sunday  # with Friday's, newest date first


def test_fear_and_greed_is_known_on_its_day_and_funding_after_it(shared_data: Path) -> None:
    """The index is stamped with the day on which it is shown; a day's mean of three funding rates
    is known when the day is over."""
    fear = SeriesFile(
        path=shared_data / "crypto_fear_greed_2018_2024.csv",
        columns={"value": "fear"}, publication_lag=0,
    )  # fmt: skip
    funding = SeriesFile(
        path=shared_data / "btc_funding_daily_2019_2024.parquet",
        columns={"funding_mean": "funding"}, publication_lag="1d",
    )  # fmt: skip
    series = read_series([fear, funding])[0]
    table = pl.read_csv(shared_data / "crypto_fear_greed_2018_2024.csv")
    day = table.filter(pl.col("timestamp").str.starts_with("2020-03-13"))["value"][0]
    assert value(series["fear"], "2020-03-13T00:00:00") == day == 10
    means = pl.read_parquet(shared_data / "btc_funding_daily_2019_2024.parquet")
    of = {str(t.date()): v for t, v in means.select("timestamp", "funding_mean").iter_rows()}
    assert value(series["funding"], "2020-03-13T23:59:59") == of["2020-03-12"]
    assert value(series["funding"], "2020-03-14T00:00:00") == of["2020-03-13"]


def test_a_missing_day_of_the_index_goes_stale(shared_data: Path) -> None:
    """14 to 16 April 2018 are missing: with a staleness of a day nothing is shown on the 15th."""
    source = SeriesFile(
        path=shared_data / "crypto_fear_greed_2018_2024.csv",
        columns={"value": "fear"}, publication_lag=0, max_staleness=24 * HOUR,
    )  # fmt: skip
    fear = read_series([source])[0]["fear"]
    assert not np.isnan(value(fear, "2018-04-14T00:00:00"))
    assert np.isnan(value(fear, "2018-04-15T00:00:00"))
    assert not np.isnan(value(fear, "2018-04-17T00:00:00"))
