"""yfinance's own client, over its own kind of session, against a server that answers like Yahoo."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from fetch_cases import Vendor, bring, files, nobody, prices, serving
from truefill.core.errors import DataError, UsageError
from truefill.data.snapshots import open_manifest, read_snapshot
from truefill.fetch.base import FetchError

yfinance = pytest.importorskip("yfinance", reason="needs the extra truefill[yfinance]")
curl = pytest.importorskip("curl_cffi.requests", reason="needs the extra truefill[yfinance]")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
"""Of the way in which yfinance calls pandas."""

NEW_YORK = ZoneInfo("America/New_York")
DAYS = [4, 5, 6, 7, 8, 11, 12]
"""Sessions of March 2024; summer time begins on the 10th."""
NOW = datetime(2024, 3, 12, 18, tzinfo=UTC)
OURS = {"symbol": "SPY", "start": "2024-03-01"}


def opened(day: int) -> datetime:
    """When New York opens on a day of March 2024."""
    return datetime(2024, 3, day, 9, 30, tzinfo=NEW_YORK)


class Yahoo:
    """The chart of one symbol as Yahoo writes it."""

    def __init__(self) -> None:
        self.stamps = [round(opened(day).timestamp()) for day in DAYS]
        self.symbol = "SPY"
        self.interval = "1d"
        self.factor = 1.0
        self.holes: set[int] = set()
        self.events: dict[str, Any] = {}
        self.refusals: list[tuple[int, Any]] = []

    def __call__(self, path: str, query: dict[str, str]) -> tuple[int, Any]:
        if "getcrumb" in path:
            return 200, "crumb"
        if "quote" in path:
            error = {"code": "Not Found", "description": "Quote not found for symbol: SPY"}
            return 404, {"quoteSummary": {"result": None, "error": error}}
        if "/chart/" not in path:
            return 200, "hello"
        if self.refusals:
            return self.refusals.pop(0)
        return 200, {"chart": {"result": [self.chart()], "error": None}}

    def says(self, **changes: Any) -> None:
        """Change the answers; yfinance keeps those about the past as long as a process lives."""
        vars(self).update(changes)
        yfinance.data.YfData.cache_get.cache_clear()

    def chart(self) -> dict[str, Any]:
        names = ("open", "high", "low", "close")
        quote: dict[str, list[Any]] = {
            name: [None if n in self.holes else prices(n)[i] for n in range(len(self.stamps))]
            for i, name in enumerate(names)
        }
        quote["volume"] = [None if n in self.holes else 1_000 + n for n in range(len(self.stamps))]
        adjusted = [None if c is None else c * self.factor for c in quote["close"]]
        meta = {
            "symbol": self.symbol, "currency": "USD", "instrumentType": "EQUITY",
            "exchangeTimezoneName": str(NEW_YORK), "timezone": "EST", "gmtoffset": -18_000,
            "regularMarketTime": self.stamps[-1], "dataGranularity": self.interval, "range": "",
            "regularMarketPrice": 1.0, "priceHint": 2, "validRanges": ["1d", "5d", "max"],
        }  # fmt: skip
        if self.interval != "1d":
            spans = [(s, s + 23_400) for s in (round(opened(day).timestamp()) for day in DAYS)]
            meta["tradingPeriods"] = [
                [{"timezone": "EST", "start": a, "end": b, "gmtoffset": -18_000}] for a, b in spans
            ]
        return {"meta": meta, "timestamp": self.stamps, "events": self.events,
                "indicators": {"quote": [quote], "adjclose": [{"adjclose": adjusted}]}}  # fmt: skip


@pytest.fixture
def yahoo() -> Yahoo:
    return Yahoo()


@pytest.fixture
def vendor(yahoo: Yahoo, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Vendor]:
    with serving(yahoo) as found:
        point(monkeypatch, found.url, tmp_path)
        yield found


def point(monkeypatch: pytest.MonkeyPatch, url: str, folder: Path) -> None:
    """Give yfinance a session of its own kind that takes Yahoo's addresses to ``url``."""

    class Local(curl.Session):  # type: ignore[misc]
        def request(self, method: Any, address: Any, *args: Any, **options: Any) -> Any:
            local = re.sub(r"^https://[^/]+", url, address)
            return super().request(method, local, *args, **options)

        def get(self, url: str, **options: Any) -> Any:
            return self.request("GET", url, **options)

        def post(self, url: str, **options: Any) -> Any:
            return self.request("POST", url, **options)

    yfinance.set_tz_cache_location(str(folder / "cache"))
    yfinance.data.YfData.cache_get.cache_clear()
    data = yfinance.data.YfData()
    for name in ("_session", "_crumb", "_cookie", "_cookie_strategy"):
        monkeypatch.setattr(data, name, getattr(data, name))
    data._set_session(Local())
    data._crumb = data._cookie = None
    monkeypatch.setattr(yfinance.cache, "get_tz_cache", lambda: yfinance.cache._TzCacheDummy())
    monkeypatch.setattr(
        yfinance.cache, "get_cookie_cache", lambda: yfinance.cache._CookieCacheDummy()
    )


def dates(folder: Path) -> list[str]:
    return [f"{moment:%m-%d %H:%M}" for moment in read_snapshot(folder)["timestamp"]]


def test_daily_bars_stand_at_their_date_and_close_with_it(vendor: Vendor, tmp_path: Path) -> None:
    """The session of the 12th is open at 18:00 UTC."""
    bring("yfinance", tmp_path / "s", NOW, **OURS)
    assert dates(tmp_path / "s") == [f"03-{day:02d} 00:00" for day in DAYS[:-1]]
    table = read_snapshot(tmp_path / "s")
    assert table.row(3)[1:] == ("SPY", *prices(3), 1_003.0)
    assert open_manifest(tmp_path / "s").request == {"what": "bars", "adjustment": "splits"}
    bring("yfinance", tmp_path / "s", datetime(2024, 3, 13, tzinfo=UTC), **OURS)
    assert len(dates(tmp_path / "s")) == len(DAYS)


def test_hourly_bars_keep_their_moment(vendor: Vendor, yahoo: Yahoo, tmp_path: Path) -> None:
    yahoo.interval = "1h"
    first = opened(8)
    yahoo.stamps = [round((first + timedelta(hours=n)).timestamp()) for n in range(4)]
    now = first + timedelta(hours=3, minutes=40)
    bring("yfinance", tmp_path / "s", now, interval="1h", **OURS)
    assert dates(tmp_path / "s") == ["03-08 14:30", "03-08 15:30", "03-08 16:30"]


def test_adjusted_prices_are_another_snapshot_and_a_new_dividend_is_told(
    vendor: Vendor, yahoo: Yahoo, tmp_path: Path
) -> None:
    yahoo.factor = 0.5
    given = {**OURS, "adjusted": "true"}
    bring("yfinance", tmp_path / "s", NOW, **given)
    assert read_snapshot(tmp_path / "s")["close"][0] == prices(0)[3] / 2
    assert open_manifest(tmp_path / "s").request["adjustment"] == "splits and dividends"
    yahoo.says(factor=0.5 * (1.0 + 1e-8))  # the last digits of single precision
    assert bring("yfinance", tmp_path / "s", NOW, **given).added == 0
    yahoo.says(factor=0.49)
    with pytest.raises(DataError, match="revised 6 of the rows"):
        bring("yfinance", tmp_path / "s", NOW, **given)
    assert bring("yfinance", tmp_path / "s", NOW, accept_revisions=True, **given).revised == 6
    with pytest.raises(UsageError, match="request"):
        bring("yfinance", tmp_path / "s", NOW, **OURS)


def test_a_day_without_prices_is_left_out(vendor: Vendor, yahoo: Yahoo, tmp_path: Path) -> None:
    yahoo.holes = {2}
    bring("yfinance", tmp_path / "s", NOW, **OURS)
    assert dates(tmp_path / "s") == [f"03-{day:02d} 00:00" for day in (4, 5, 7, 8, 11)]


def test_closes_dividends_and_splits(vendor: Vendor, yahoo: Yahoo, tmp_path: Path) -> None:
    at = yahoo.stamps[3]
    yahoo.events = {
        "dividends": {str(at): {"amount": 1.5, "date": at}},
        "splits": {str(yahoo.stamps[4]): {"date": yahoo.stamps[4], "numerator": 4.0,
                                          "denominator": 1.0, "splitRatio": "4:1"}},
    }  # fmt: skip
    for what, kind, values, days in (
        ("dividends", "events", [1.5], ["03-07 00:00"]),
        ("splits", "events", [4.0], ["03-08 00:00"]),
        ("series", "series", [prices(n)[3] for n in range(6)],
         [f"03-{day:02d} 00:00" for day in DAYS[:6]]),
    ):  # fmt: skip
        bring("yfinance", tmp_path / what, datetime(2024, 3, 12, tzinfo=UTC), what=what, **OURS)
        assert read_snapshot(tmp_path / what)["value"].to_list() == values
        assert dates(tmp_path / what) == days
        assert open_manifest(tmp_path / what).kind == kind


@pytest.mark.parametrize(
    ("refusals", "words"),
    [
        ([(429, "Too Many Requests")] * 9, "YFRateLimitError"),
        ([(200, "<html>")] * 9, "JSON|Expecting"),
        ([(404, {"chart": {"result": None, "error": {"code": "Not Found",
                 "description": "No data found, symbol may be delisted"}}})] * 9, "SPY"),
    ],
)  # fmt: skip
def test_a_wrong_answer_is_an_error_and_nothing_is_written(
    vendor: Vendor, yahoo: Yahoo, tmp_path: Path, refusals: list[tuple[int, Any]], words: str
) -> None:
    yahoo.refusals = refusals
    with pytest.raises(FetchError, match=words):
        bring("yfinance", tmp_path / "s", NOW, **OURS)
    assert files(tmp_path / "s") == []


def test_the_bars_of_another_symbol_are_refused(
    vendor: Vendor, yahoo: Yahoo, tmp_path: Path
) -> None:
    yahoo.symbol = "QQQ"
    with pytest.raises(FetchError, match="asked for SPY, Yahoo sent QQQ"):
        bring("yfinance", tmp_path / "s", NOW, **OURS)


def test_no_network_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    point(monkeypatch, nobody(), tmp_path)
    monkeypatch.setattr(yfinance.data._time, "sleep", lambda seconds: None)
    with pytest.raises(FetchError, match=r"source yfinance, SPY: .*Connect"):
        bring("yfinance", tmp_path / "s", NOW, **OURS)
    assert files(tmp_path / "s") == []


def test_an_interval_that_yahoo_lacks_is_refused(vendor: Vendor, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such interval"):
        bring("yfinance", tmp_path / "s", NOW, interval="2h", **OURS)
