"""polygon-api-client's own client against a server that answers like Polygon."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fetch_cases import (
    HOUR_MS,
    START,
    START_MS,
    Vendor,
    bring,
    files,
    hours,
    nobody,
    prices,
    serving,
)
from truefill.core.errors import UsageError
from truefill.data.snapshots import open_manifest, read_snapshot
from truefill.fetch.base import FetchError
from truefill.fetch.polygon import KEY

pytest.importorskip("polygon", reason="needs the extra truefill[polygon]")

ROWS = 7
NOW = START + timedelta(hours=ROWS - 1, minutes=20)
OURS = {"symbol": "AAPL", "interval": "1h", "start": "2024-01-01"}


def agg(ms: int, n: int) -> dict[str, Any]:
    """The n-th bar as Polygon writes it."""
    opened, high, low, close = prices(n)
    return {"t": ms, "o": opened, "h": high, "l": low, "c": close, "v": 1_000 + n, "n": 10 + n,
            "vw": opened + 0.25}  # fmt: skip


class Answers:
    """Pages of three, chained by ``next_url``; ``refusals`` come first."""

    def __init__(self) -> None:
        self.url = ""
        self.aggs = [agg(START_MS + n * HOUR_MS, n) for n in range(ROWS)]
        self.ticker = "AAPL"
        self.refusals: list[tuple[int, Any]] = []
        self.dividends: list[dict[str, Any]] = []
        self.splits: list[dict[str, Any]] = []

    def __call__(self, path: str, query: dict[str, str]) -> tuple[int, Any]:
        if self.refusals and int(query.get("cursor", 0)) > 0:
            return self.refusals.pop(0)
        if "/v3/reference/dividends" in path:
            return 200, {"status": "OK", "results": self.dividends}
        if "/v3/reference/splits" in path:
            return 200, {"status": "OK", "results": self.splits}
        first = int(path.split("/")[-2])
        own = [row for row in self.aggs if row["t"] >= first]
        at = int(query.get("cursor", 0))
        answer = {
            "status": "OK",
            "ticker": self.ticker,
            "adjusted": False,
            "resultsCount": len(own),
        }
        if own:
            answer["results"] = own[at : at + 3]
        if at + 3 < len(own):
            answer["next_url"] = f"{self.url}{path}?cursor={at + 3}"
        return 200, answer


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture
def vendor(answers: Answers, monkeypatch: pytest.MonkeyPatch) -> Iterator[Vendor]:
    monkeypatch.setenv(KEY, "the-key")
    with serving(answers) as found:
        answers.url = found.url
        yield found


def test_pages_become_closed_bars_and_no_key_is_stored(vendor: Vendor, tmp_path: Path) -> None:
    bring("polygon", tmp_path / "s", NOW, base_url=vendor.url, **OURS)
    table = read_snapshot(tmp_path / "s")
    assert hours(table) == list(range(ROWS - 1))
    row = dict(zip(table.columns, table.row(4), strict=True))
    assert tuple(row[name] for name in ("open", "high", "low", "close")) == prices(4)
    assert (row["volume"], row["trades"], row["vwap"]) == (1_004.0, 14.0, prices(4)[0] + 0.25)
    path, query = vendor.asked[0]
    assert path == f"/v2/aggs/ticker/AAPL/range/1/hour/{START_MS}/{START_MS + 380 * 60_000}"
    assert (query["adjusted"], query["sort"]) == ("false", "asc")
    assert len(vendor.asked) == 3
    stored = "".join(p.read_text() for p in (tmp_path / "s").glob("*.json*"))
    assert "the-key" not in stored and vendor.url not in stored
    request = open_manifest(tmp_path / "s").request
    assert request == {"what": "bars", "adjustment": "none"}


def test_the_next_import_adds_what_is_newer(vendor: Vendor, tmp_path: Path) -> None:
    bring("polygon", tmp_path / "s", START + timedelta(hours=4), base_url=vendor.url, **OURS)
    done = bring("polygon", tmp_path / "s", NOW, base_url=vendor.url, **OURS)
    assert (done.added, done.rows) == (2, 6)


@pytest.mark.parametrize(
    ("ticker", "stamp", "date"),
    [
        ("AAPL", datetime(2024, 3, 8, 5, tzinfo=UTC), datetime(2024, 3, 8, tzinfo=UTC)),
        ("AAPL", datetime(2024, 7, 8, 4, tzinfo=UTC), datetime(2024, 7, 8, tzinfo=UTC)),
        ("X:BTCUSD", datetime(2024, 3, 8, tzinfo=UTC), datetime(2024, 3, 8, tzinfo=UTC)),
    ],
)
def test_daily_bars_stand_at_the_date_of_their_session(
    vendor: Vendor, answers: Answers, tmp_path: Path, ticker: str, stamp: datetime, date: datetime
) -> None:
    answers.ticker = ticker
    answers.aggs = [agg(round(stamp.timestamp() * 1_000), 0)]
    now = datetime(2024, 9, 1, tzinfo=UTC)
    bring("polygon", tmp_path / "s", now, base_url=vendor.url, symbol=ticker, interval="1d",
          start="2024-01-01")  # fmt: skip
    assert read_snapshot(tmp_path / "s")["timestamp"].to_list() == [date]


def test_dividends_of_one_day_add_up_and_later_ones_wait(
    vendor: Vendor, answers: Answers, tmp_path: Path
) -> None:
    answers.dividends = [
        {"ticker": "AAPL", "ex_dividend_date": day, "cash_amount": cash}
        for day, cash in (("2024-02-09", 0.24), ("2024-05-10", 0.25), ("2024-05-10", 1.0),
                          ("2024-08-12", 0.25))
    ]  # fmt: skip
    bring("polygon", tmp_path / "s", datetime(2024, 6, 1, tzinfo=UTC), base_url=vendor.url,
          symbol="AAPL", what="dividends", start="2024-01-01")  # fmt: skip
    table = read_snapshot(tmp_path / "s")
    assert table["value"].to_list() == [0.24, 1.25]
    assert table["timestamp"][1] == datetime(2024, 5, 10, tzinfo=UTC)
    assert open_manifest(tmp_path / "s").kind == "events"


def test_splits_are_new_shares_for_an_old_one(
    vendor: Vendor, answers: Answers, tmp_path: Path
) -> None:
    answers.splits = [
        {"ticker": "AAPL", "execution_date": "2020-08-31", "split_from": 1, "split_to": 4},
        {"ticker": "AAPL", "execution_date": "2022-08-31", "split_from": 8, "split_to": 1},
    ]
    bring("polygon", tmp_path / "s", base_url=vendor.url, symbol="AAPL", what="splits",
          start="2020-01-01")  # fmt: skip
    assert read_snapshot(tmp_path / "s")["value"].to_list() == [4.0, 0.125]


def test_a_rate_limit_is_waited_for(vendor: Vendor, answers: Answers, tmp_path: Path) -> None:
    answers.refusals = [(429, {"status": "ERROR", "error": "exceeded the maximum requests"})]
    assert bring("polygon", tmp_path / "s", NOW, base_url=vendor.url, **OURS).rows == ROWS - 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"refusals": [(403, {"error": "not entitled to this data."})]}, "not entitled"),
        ({"refusals": [(200, "<html>")]}, "no JSON"),
        ({"ticker": "MSFT"}, "asked for AAPL, got MSFT"),
        ({"aggs": []}, "no closed rows of AAPL"),
    ],
)
def test_a_wrong_answer_is_an_error_and_nothing_is_written(
    vendor: Vendor, answers: Answers, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    vars(answers).update(change)
    with pytest.raises(FetchError, match=words):
        bring("polygon", tmp_path / "s", NOW, base_url=vendor.url, **OURS)
    assert files(tmp_path / "s") == []


def test_no_network_and_no_key_are_errors(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(FetchError, match="source polygon, AAPL: MaxRetryError"):
        bring("polygon", tmp_path / "s", NOW, base_url=nobody(), **OURS)
    monkeypatch.delenv(KEY)
    with pytest.raises(UsageError, match="POLYGON_API_KEY is not set"):
        bring("polygon", tmp_path / "s", NOW, base_url=vendor.url, **OURS)
    assert files(tmp_path / "s") == []
