"""Snapshots: what is stored stays, what is newer is added, and what has changed is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from fetch_cases import LATER, START, bring, files, hours, kline_rows, write_klines
from truefill.core.errors import ArtifactError, DataError, UsageError
from truefill.data.snapshots import content_sha256, open_manifest, read_snapshot
from truefill.fetch import store as store_module
from truefill.fetch.base import About
from truefill.fetch.batches import batches
from truefill.fetch.revisions import compare
from truefill.fetch.store import OVERLAP_ROWS, Store

OURS = {"symbol": "BTCUSDT", "interval": "1h"}
BARS = About("bars", "X", 3_600.0, ("open", "high", "low", "close", "volume"), {})


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A folder with one raw file of 24 hours."""
    (tmp_path / "raw").mkdir()
    write_klines(tmp_path / "raw" / "BTCUSDT-1h-a.csv", kline_rows(24))
    return tmp_path / "raw"


def changed(raw: Path, hour: int, close: str) -> None:
    """The raw file again, with 30 hours and another close in one."""
    rows = kline_rows(30)
    rows[hour][4] = close
    write_klines(raw / "BTCUSDT-1h-a.csv", rows)


def bars(first: int, last: int) -> pl.DataFrame:
    """Invented bars of the hours first..last - 1."""
    stamps = pl.Series([START + timedelta(hours=h) for h in range(first, last)])
    values = {name: [100.0 + h for h in range(first, last)] for name in BARS.columns}
    return pl.DataFrame({"timestamp": stamps.cast(pl.Datetime("us", "UTC")), **values})


def half_hours(count: int) -> pl.DataFrame:
    """Bars that lie half an hour apart."""
    half = pl.duration(minutes=30) * pl.int_range(count)
    return bars(0, count).with_columns(pl.col("timestamp") - half)


class Pages:
    """A source that hands out these pages."""

    def __init__(self, *pages: pl.DataFrame, about: About = BARS) -> None:
        self.about = about
        self.given = pages

    def pages(self, start: datetime | None, until: datetime) -> Iterator[pl.DataFrame]:
        yield from self.given


def test_a_second_import_adds_newer_bars_in_a_part_of_their_own(raw: Path, tmp_path: Path) -> None:
    now = START + timedelta(hours=20, minutes=30)
    first = bring("klines", tmp_path / "s", now, folder=raw, **OURS)
    before = (tmp_path / "s" / "part-00001.parquet").read_bytes()
    second = bring("klines", tmp_path / "s", folder=raw, **OURS)
    assert (first.added, second.added, second.rows, second.parts) == (20, 4, 24, 2)
    assert (tmp_path / "s" / "part-00001.parquet").read_bytes() == before
    assert hours(read_snapshot(tmp_path / "s")) == list(range(24))
    assert first.sha256 != second.sha256 == content_sha256(tmp_path / "s")


def test_an_import_without_news_changes_no_byte(raw: Path, tmp_path: Path) -> None:
    bring("klines", tmp_path / "s", folder=raw, **OURS)
    before = {name: (tmp_path / "s" / name).read_bytes() for name in files(tmp_path / "s")}
    done = bring("klines", tmp_path / "s", LATER + timedelta(days=1), folder=raw, **OURS)
    assert (done.added, done.parts) == (0, 1)
    assert {n: (tmp_path / "s" / n).read_bytes() for n in files(tmp_path / "s")} == before


def test_the_same_import_elsewhere_at_another_time_has_the_same_hash(
    raw: Path, tmp_path: Path
) -> None:
    one = bring("klines", tmp_path / "one", folder=raw, **OURS)
    raw.rename(tmp_path / "moved")
    two = bring("klines", tmp_path / "b" / "two", LATER + timedelta(days=3),
                folder=tmp_path / "moved", **OURS)  # fmt: skip
    assert one.sha256 == two.sha256
    manifest = (tmp_path / "one" / "manifest.json").read_text()
    assert manifest == (tmp_path / "b" / "two" / "manifest.json").read_text()
    assert str(tmp_path) not in manifest


def test_a_revised_row_is_an_error_that_names_it(raw: Path, tmp_path: Path) -> None:
    bring("klines", tmp_path / "s", folder=raw, **OURS)
    before = content_sha256(tmp_path / "s")
    changed(raw, 7, "100.75")
    with pytest.raises(DataError) as error:
        bring("klines", tmp_path / "s", folder=raw, **OURS)
    assert error.value.rule == "vendor_revision"
    assert "2024-01-01 07:00:00+00:00 close 100.5 -> 100.75" in error.value.what
    assert "--accept-revisions" in error.value.do
    assert content_sha256(tmp_path / "s") == before


def test_an_accepted_revision_is_a_new_part_that_wins(raw: Path, tmp_path: Path) -> None:
    bring("klines", tmp_path / "s", folder=raw, **OURS)
    old = (tmp_path / "s" / "part-00001.parquet").read_bytes()
    changed(raw, 7, "100.75")
    done = bring("klines", tmp_path / "s", accept_revisions=True, folder=raw, **OURS)
    assert (done.added, done.revised, done.rows) == (6, 1, 30)
    table = read_snapshot(tmp_path / "s")
    assert hours(table) == list(range(30))
    assert table["close"][7] == 100.75
    assert (tmp_path / "s" / "part-00001.parquet").read_bytes() == old
    part = open_manifest(tmp_path / "s").parts[1]
    assert (part.rows, part.revised, part.late) == (7, 1, 0)
    assert bring("klines", tmp_path / "s", folder=raw, **OURS).added == 0


def test_revisions_are_taken_of_all_rows_or_none(raw: Path, tmp_path: Path) -> None:
    bring("klines", tmp_path / "s", folder=raw, **OURS)
    with pytest.raises(UsageError, match="all rows or none"):
        bring("klines", tmp_path / "s", accept_revisions=True, folder=raw,
              end=START + timedelta(hours=12), **OURS)  # fmt: skip


def test_a_row_that_appears_between_stored_ones_is_a_revision(raw: Path, tmp_path: Path) -> None:
    rows = kline_rows(24)
    write_klines(raw / "BTCUSDT-1h-a.csv", rows[:5] + rows[6:])
    bring("klines", tmp_path / "s", folder=raw, **OURS)
    write_klines(raw / "BTCUSDT-1h-a.csv", rows)
    with pytest.raises(DataError, match=r"05:00:00\+00:00 was not there"):
        bring("klines", tmp_path / "s", folder=raw, **OURS)
    done = bring("klines", tmp_path / "s", accept_revisions=True, folder=raw, **OURS)
    assert (done.added, done.revised) == (1, 0)
    assert hours(read_snapshot(tmp_path / "s")) == list(range(24))


def test_a_row_that_was_withdrawn_stays_with_a_warning(raw: Path, tmp_path: Path) -> None:
    bring("klines", tmp_path / "s", folder=raw, **OURS)
    rows = kline_rows(26)
    write_klines(raw / "BTCUSDT-1h-a.csv", rows[:5] + rows[6:])
    done = bring("klines", tmp_path / "s", folder=raw, **OURS)
    assert done.warnings == ("the source no longer has 1 stored rows; they stay",)
    assert hours(read_snapshot(tmp_path / "s")) == list(range(26))


def test_older_bars_may_be_added_in_front(raw: Path, tmp_path: Path) -> None:
    bring("klines", tmp_path / "s", folder=raw, start=START + timedelta(hours=8), **OURS)
    done = bring("klines", tmp_path / "s", folder=raw, **OURS)
    assert (done.added, done.rows) == (8, 24)
    assert hours(read_snapshot(tmp_path / "s")) == list(range(24))


@pytest.mark.parametrize("name", ["part-00001.parquet", "manifest.json"])
def test_every_flipped_byte_is_an_error_on_reading(raw: Path, tmp_path: Path, name: str) -> None:
    bring("klines", tmp_path / "s", folder=raw, **OURS)
    path = tmp_path / "s" / name
    good = path.read_bytes()
    for at in range(0, len(good), 41):
        path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        for read in (read_snapshot, content_sha256):
            with pytest.raises(DataError) as error:
                read(tmp_path / "s")
            assert error.value.rule == "broken_snapshot"
            assert name in error.value.where
    path.write_bytes(good)
    assert read_snapshot(tmp_path / "s").height == 24


def test_a_missing_part_is_named(raw: Path, tmp_path: Path) -> None:
    bring("klines", tmp_path / "s", folder=raw, **OURS)
    (tmp_path / "s" / "part-00001.parquet").unlink()
    with pytest.raises(DataError, match=r"part-00001.parquet.*broken_snapshot"):
        read_snapshot(tmp_path / "s")


def test_a_full_disk_leaves_the_snapshot_as_it_was(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = START + timedelta(hours=20)
    bring("klines", tmp_path / "s", now, folder=raw, **OURS)
    before = content_sha256(tmp_path / "s")

    def full(*_: Any) -> None:
        raise ArtifactError("cannot be written: No space left on device")

    monkeypatch.setattr(store_module, "write_text", full)  # the part is there, its manifest not
    with pytest.raises(ArtifactError):
        bring("klines", tmp_path / "s", folder=raw, **OURS)
    assert "part-00002.parquet" in files(tmp_path / "s")
    assert content_sha256(tmp_path / "s") == before
    monkeypatch.undo()
    assert bring("klines", tmp_path / "s", folder=raw, **OURS).added == 4
    assert hours(read_snapshot(tmp_path / "s")) == list(range(24))


def test_a_first_import_that_was_cut_off_can_be_done_again(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(store_module, "write_text", killed)
    with pytest.raises(KeyboardInterrupt):
        bring("klines", tmp_path / "s", folder=raw, **OURS)
    monkeypatch.undo()
    assert bring("klines", tmp_path / "s", folder=raw, **OURS).rows == 24


def test_another_request_or_a_folder_of_other_files_is_refused(raw: Path, tmp_path: Path) -> None:
    bring("klines", tmp_path / "s", folder=raw, **OURS)
    write_klines(raw / "BTCUSDT-1m-a.csv", kline_rows(3, step_ms=60_000))
    with pytest.raises(UsageError, match=r"interval_s 3600\.0, asked for is 60\.0"):
        bring("klines", tmp_path / "s", folder=raw, symbol="BTCUSDT", interval="1m")
    with pytest.raises(UsageError, match="other files"):
        bring("klines", raw, folder=raw, **OURS)


def test_the_log_says_when_and_no_hash_depends_on_it(raw: Path, tmp_path: Path) -> None:
    bring("klines", tmp_path / "s", folder=raw, **OURS)
    log = tmp_path / "s" / "log.jsonl"
    assert json.loads(log.read_text())["fetched_at"] == LATER.isoformat()
    before = content_sha256(tmp_path / "s")
    log.unlink()
    assert content_sha256(tmp_path / "s") == before


def test_only_the_end_of_what_is_stored_is_asked_for_again(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "s", "case", BARS)
    assert store.start(START, whole=False) == START
    store.add(bars(0, 30), LATER, accept_revisions=False)
    again = Store.open(tmp_path / "s", "case", BARS)
    assert again.start(START, whole=False) == START + timedelta(hours=30 - OVERLAP_ROWS)
    assert again.start(START, whole=True) == START
    assert again.start(START + timedelta(hours=25), whole=True) == START
    earlier = START - timedelta(days=1)
    assert again.start(earlier, whole=False) == earlier


def test_two_imports_at_once_store_each_row_once(tmp_path: Path) -> None:
    one, two = (Store.open(tmp_path / "s", "case", BARS) for _ in range(2))
    one.add(bars(0, 20), LATER, accept_revisions=False)
    two.add(bars(0, 25), LATER, accept_revisions=False)
    assert (one.added, two.added) == (20, 5)
    assert hours(read_snapshot(tmp_path / "s")) == list(range(25))


def test_pages_that_repeat_rows_are_one_history() -> None:
    pages = Pages(bars(0, 10), bars(0, 10), bars(8, 14), bars(14, 14), bars(14, 20))
    (batch,) = batches(pages, None, LATER)
    assert hours(batch) == list(range(20))


def test_batches_are_handed_out_as_they_fill() -> None:
    pages = Pages(*(bars(n, n + 12) for n in range(0, 100, 10)))
    found = list(batches(pages, None, LATER, rows=20))
    assert [part.height for part in found] == [22, 20, 20, 20, 20]
    assert [h for part in found for h in hours(part)] == list(range(102))


@pytest.mark.parametrize(
    ("pages", "rule"),
    [
        ((bars(0, 5), bars(3, 8).with_columns(close=pl.lit(1.0))), "conflicting_rows"),
        ((bars(0, 5).reverse(),), "unsorted"),
        ((pl.concat([bars(0, 3), bars(2, 3).with_columns(open=pl.lit(9.0))]),), "conflicting_rows"),
        ((bars(0, 5).drop("volume"),), "wrong_columns"),
        ((bars(0, 5).with_columns(low=pl.lit(float("nan"))),), "not_a_number"),
        ((bars(0, 5).with_columns(low=pl.lit(None, pl.Float64)),), "not_a_number"),
        ((half_hours(5),), "wrong_interval"),
    ],
)
def test_a_page_that_breaks_a_rule_is_refused(pages: tuple[pl.DataFrame, ...], rule: str) -> None:
    with pytest.raises(DataError) as error:
        list(batches(Pages(*pages), None, LATER))
    assert error.value.rule == rule


def test_a_tolerance_lets_the_last_digits_differ() -> None:
    other = bars(0, 5).with_columns(pl.col("close") * (1.0 + 1e-7))
    assert compare(bars(0, 5), other, 1e-6).changed.height == 0
    assert compare(bars(0, 5), other, 1e-8).changed.height == 5
    empty = bars(0, 5).with_columns(close=pl.lit(None, pl.Float64))
    assert compare(empty, empty, 0.0).changed.height == 0
    assert compare(empty, bars(0, 5), 1.0).changed.height == 5


def test_nothing_of_now_is_in_what_is_hashed(raw: Path, tmp_path: Path) -> None:
    bring("klines", tmp_path / "s", datetime(2031, 7, 9, tzinfo=UTC), folder=raw, **OURS)
    assert "2031" not in (tmp_path / "s" / "manifest.json").read_text()
