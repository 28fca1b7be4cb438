"""alpaca-py's own client against a server that answers like Alpaca."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fetch_cases import START, Vendor, bring, files, hours, nobody, prices, serving
from truefill.core.errors import DataError, UsageError
from truefill.data.snapshots import open_manifest, read_snapshot
from truefill.fetch.alpaca import KEY, SECRET
from truefill.fetch.base import FetchError

rest = pytest.importorskip("alpaca.common.rest", reason="needs the extra truefill[alpaca]")

ROWS = 7
NOW = START + timedelta(hours=ROWS - 1, minutes=20)
OURS = {"symbol": "AAPL", "interval": "1h", "start": "2024-01-01"}


def bar(moment: datetime, n: int) -> dict[str, Any]:
    """The n-th bar as Alpaca writes it."""
    opened, high, low, close = prices(n)
    return {"t": f"{moment:%Y-%m-%dT%H:%M:%SZ}", "o": opened, "h": high, "l": low, "c": close,
            "v": 1_000 + n, "n": 10 + n, "vw": opened + 0.25}  # fmt: skip


class Answers:
    """Pages of three bars, chained by tokens; ``refusals`` come first."""

    def __init__(self) -> None:
        self.bars = [bar(START + timedelta(hours=n), n) for n in range(ROWS)]
        self.symbol = "AAPL"
        self.refusals: list[tuple[int, Any]] = []

    def __call__(self, path: str, query: dict[str, str]) -> tuple[int, Any]:
        if self.refusals:
            return self.refusals.pop(0)
        since = query["start"][:19]
        own = [row for row in self.bars if row["t"][:19] >= since]
        at = int(query.get("page_token", 0))
        token = str(at + 3) if at + 3 < len(own) else None
        page = own[at : at + 3]
        return 200, {"bars": {self.symbol: page} if page else {}, "next_page_token": token}


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture
def vendor(answers: Answers, monkeypatch: pytest.MonkeyPatch) -> Iterator[Vendor]:
    monkeypatch.setenv(KEY, "the-key")
    monkeypatch.setenv(SECRET, "the-secret")
    monkeypatch.setattr(rest, "DEFAULT_RETRY_WAIT_SECONDS", 0)
    with serving(answers) as found:
        yield found


def test_pages_become_closed_bars_and_no_key_is_stored(vendor: Vendor, tmp_path: Path) -> None:
    bring("alpaca", tmp_path / "s", NOW, base_url=vendor.url, **OURS)
    table = read_snapshot(tmp_path / "s")
    assert hours(table) == list(range(ROWS - 1))
    assert table.row(4)[1:] == ("AAPL", *prices(4), 1_004.0, 14.0, prices(4)[0] + 0.25)
    assert table.columns[-2:] == ["trades", "vwap"]
    asked = vendor.paths("/v2/stocks/bars")
    assert [q.get("page_token") for q in asked] == [None, "3", "6"]
    assert (asked[0]["timeframe"], asked[0]["adjustment"]) == ("1Hour", "raw")
    stored = "".join(p.read_text() for p in (tmp_path / "s").glob("*.json*"))
    assert "the-key" not in stored and "the-secret" not in stored and vendor.url not in stored
    request = open_manifest(tmp_path / "s").request
    assert request == {"adjustment": "raw", "feed": "default"}


def test_the_next_import_asks_for_the_end_only(vendor: Vendor, tmp_path: Path) -> None:
    first = START + timedelta(hours=4)
    bring("alpaca", tmp_path / "s", first, base_url=vendor.url, **OURS)
    done = bring("alpaca", tmp_path / "s", NOW, base_url=vendor.url, **OURS)
    assert (done.added, done.rows) == (2, 6)


def test_adjusted_prices_are_asked_for_whole_and_a_new_adjustment_is_told(
    vendor: Vendor, answers: Answers, tmp_path: Path
) -> None:
    given = {**OURS, "adjustment": "split", "base_url": vendor.url}
    answers.bars = [bar(START + timedelta(hours=n), n) for n in range(20)]
    bring("alpaca", tmp_path / "s", START + timedelta(hours=14), **given)
    answers.bars = [{**row, "o": 1.0} for row in answers.bars]
    now = START + timedelta(hours=20)
    with pytest.raises(DataError, match=r"revised 14 of the rows(.|\n)*open 100\.0 -> 1\.0"):
        bring("alpaca", tmp_path / "s", now, **given)
    done = bring("alpaca", tmp_path / "s", now, accept_revisions=True, **given)
    assert (done.added, done.revised) == (6, 14)
    assert set(read_snapshot(tmp_path / "s")["open"]) == {1.0}


def test_raw_and_adjusted_do_not_mix(vendor: Vendor, tmp_path: Path) -> None:
    bring("alpaca", tmp_path / "s", NOW, base_url=vendor.url, **OURS)
    with pytest.raises(UsageError, match="request"):
        bring("alpaca", tmp_path / "s", NOW, base_url=vendor.url, adjustment="all", **OURS)


def test_daily_bars_stand_at_the_date_of_their_session(
    vendor: Vendor, answers: Answers, tmp_path: Path
) -> None:
    """Alpaca stamps them at midnight in New York, 05:00 or (in summer) 04:00 UTC."""
    days = [datetime(2024, 3, 8, 5, tzinfo=UTC), datetime(2024, 3, 11, 4, tzinfo=UTC)]
    answers.bars = [bar(day, n) for n, day in enumerate(days)]
    given = {**OURS, "interval": "1d", "base_url": vendor.url}
    bring("alpaca", tmp_path / "s", datetime(2024, 3, 11, 23, tzinfo=UTC), **given)
    assert read_snapshot(tmp_path / "s")["timestamp"].to_list() == [
        datetime(2024, 3, 8, tzinfo=UTC)
    ]
    bring("alpaca", tmp_path / "s", datetime(2024, 3, 12, tzinfo=UTC), **given)
    assert read_snapshot(tmp_path / "s")["timestamp"][-1] == datetime(2024, 3, 11, tzinfo=UTC)


def test_a_rate_limit_is_waited_for_and_one_that_stays_is_an_error(
    vendor: Vendor, answers: Answers, tmp_path: Path
) -> None:
    answers.refusals = [(429, {"message": "too many requests."})] * 2
    assert bring("alpaca", tmp_path / "s", NOW, base_url=vendor.url, **OURS).rows == ROWS - 1
    answers.refusals = [(429, {"message": "too many requests."})] * 9
    with pytest.raises(FetchError, match="too many requests"):
        bring("alpaca", tmp_path / "t", NOW, base_url=vendor.url, **OURS)
    assert files(tmp_path / "t") == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"symbol": "MSFT"}, "asked for AAPL, got MSFT"),
        ({"bars": []}, "no closed rows of AAPL"),
        ({"refusals": [(403, {"message": "forbidden."})]}, "forbidden"),
        ({"refusals": [(200, "<html>")]}, "JSON"),
    ],
)
def test_a_wrong_answer_is_an_error_and_nothing_is_written(
    vendor: Vendor, answers: Answers, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    vars(answers).update(change)
    with pytest.raises(FetchError, match=words):
        bring("alpaca", tmp_path / "s", NOW, base_url=vendor.url, **OURS)
    assert files(tmp_path / "s") == []


def test_no_network_is_an_error(vendor: Vendor, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="source alpaca, AAPL: ConnectionError"):
        bring("alpaca", tmp_path / "s", NOW, base_url=nobody(), **OURS)
    assert files(tmp_path / "s") == []


def test_a_missing_key_is_named(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(SECRET)
    with pytest.raises(UsageError, match="APCA_API_SECRET_KEY is not set"):
        bring("alpaca", tmp_path / "s", NOW, base_url=vendor.url, **OURS)


def test_an_interval_that_alpaca_lacks_is_refused(vendor: Vendor, tmp_path: Path) -> None:
    given = {**OURS, "interval": "90m", "base_url": vendor.url}
    with pytest.raises(UsageError, match="no such interval"):
        bring("alpaca", tmp_path / "s", NOW, **given)
