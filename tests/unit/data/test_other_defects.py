"""Defects of several files, of slow series and side tables; of real files; and in lineage."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from data_cases import HOUR, RETURN, START_S, config_of, parquet_bars, walk
from defect_cases import PLANTED, data_of, sample
from truefill.config.data import BarsFile, DataConfig, SeriesFile
from truefill.core.errors import ConfigError, DataError
from truefill.data.defects import Finding, Findings
from truefill.data.defects.side_table import check_side_table, is_side_table
from truefill.data.inputs import read_inputs, survey
from truefill.data.join import read_series
from truefill.features.build import build_dataset

DAILY = sample("googl_1d")


def files(folder: Path, tables: dict[str, pl.DataFrame], policy: Any = None) -> DataConfig:
    """Daily bars of several symbols, each in a file of its own."""
    bars = []
    for name, table in tables.items():
        table.write_parquet(folder / f"{name}.parquet")
        bars.append({"path": str(folder / f"{name}.parquet"), "symbol": name[0]})
    return data_of({"bars": bars}, "googl_1d", policy)


def only(findings: tuple[Finding, ...]) -> Finding:
    (found,) = findings
    return found


def test_a_missing_file_does_not_hide_what_is_wrong_with_the_others(tmp_path: Path) -> None:
    PLANTED["not_a_number"].table(DAILY).write_parquet(tmp_path / "b.parquet")  # type: ignore[misc]
    bars = [{"path": str(tmp_path / "a.parquet"), "symbol": "A"},
            {"path": str(tmp_path / "b.parquet"), "symbol": "B"}]  # fmt: skip
    inputs, findings = survey(data_of({"bars": bars}, "googl_1d"))
    assert inputs is None
    assert [f.rule for f in findings] == ["missing_file", "not_a_number"]
    with pytest.raises(DataError, match="1 more finding: see `truefill check`") as caught:
        read_inputs(data_of({"bars": bars}, "googl_1d"))
    assert caught.value.rule == "missing_file"


def test_one_symbol_in_two_files(tmp_path: Path) -> None:
    found = only(survey(files(tmp_path, {"A1": DAILY, "A2": DAILY}))[1])
    assert (found.rule, found.severity) == ("symbol_overlap", "error")
    assert found.where == "data.bars.1 (A2.parquet) column symbol"


@pytest.mark.parametrize("mode", ["warn", "error"])
@pytest.mark.parametrize(
    ("rule", "kept", "words"),
    [
        ("ragged_start", pl.int_range(pl.len()) >= 60, "B begins 60 sessions after the first"),
        ("misaligned_calendar", pl.int_range(pl.len()) % 50 != 7, "B has no bar in 47 sessions"),
    ],
)
def test_symbols_that_keep_other_calendars(
    tmp_path: Path, rule: str, kept: pl.Expr, words: str, mode: str
) -> None:
    data = files(tmp_path, {"A": DAILY, "B": DAILY.filter(kept)}, {rule: mode})
    inputs, findings = survey(data)
    found = only(findings)
    assert (found.rule, found.severity, found.column) == (rule, mode, "symbol")
    assert found.what.startswith(words)
    assert (inputs is None) == (mode == "error")
    assert (
        survey(files(tmp_path, {"A": DAILY, "B": DAILY.filter(pl.int_range(pl.len()) > 4)}))[1]
        == ()
    )


def wide(folder: Path) -> SeriesFile:
    """Five daily series; on one Saturday only ``close`` has a value: the next one."""
    table = DAILY.with_columns(a=pl.col("close") * 2.0, b=pl.col("low") + 1.0).drop("volume")
    i = 500  # any day will do: the holiday gets a row of its own after it
    holiday = table.slice(i, 1).with_columns(
        timestamp=pl.col("timestamp") + timedelta(hours=12),
        close=pl.lit(table["close"][i + 1]),
        **{name: pl.lit(None, pl.Float64) for name in ("open", "high", "low", "a", "b")},
    )
    pl.concat([table.head(i + 1), holiday, table.slice(i + 1)]).write_parquet(folder / "s.parquet")
    return SeriesFile(path=folder / "s.parquet", columns={"close": "c"}, publication_lag="1d")


@pytest.mark.parametrize("mode", ["error", "warn", "repair"])
def test_a_value_that_is_the_next_one_on_a_day_without_others(tmp_path: Path, mode: str) -> None:
    found = Findings({"copies_next_value": mode}, file="s.parquet")  # type: ignore[dict-item]
    series, (file,) = read_series([wide(tmp_path)], found)
    one = only(tuple(found.found))
    assert (one.rule, one.row, one.column, one.severity) == ("copies_next_value", 502, "c", mode)
    assert len(series["c"].values) == DAILY.height + (mode != "repair")
    assert file.findings == (() if mode == "error" else (one,))
    if mode == "error":
        with pytest.raises(DataError, match="copies_next_value"):
            read_series([wide(tmp_path)])


def monthly(folder: Path, **publication: Any) -> SeriesFile:
    """Three monthly series on the first of each month; July repeats June."""
    months = pl.datetime_range(datetime(2020, 1, 1), datetime(2021, 6, 1), "1mo", eager=True)
    value = pl.int_range(pl.len()).cast(pl.Float64)
    value = pl.when(value == 6.0).then(5.0).otherwise(value)
    table = pl.DataFrame({"timestamp": months}).with_columns(
        cpi=value, rate=value * 2.0, jobs=value + 7.0
    )
    table.write_parquet(folder / "m.parquet")
    return SeriesFile(path=folder / "m.parquet", columns={"cpi": "cpi"}, **publication)


def test_rows_in_which_every_series_repeats(tmp_path: Path) -> None:
    found = Findings()
    read_series([monthly(tmp_path, publication_lag="43d")], found)
    one = only(tuple(found.found))
    assert (one.rule, one.severity, one.row, one.others) == ("frozen_row", "warn", 7, 0)


@pytest.mark.parametrize(
    ("publication", "early"),
    [
        ({"publication_lag": "13d"}, True),
        ({"publication_lag": "43d"}, False),
        ({"release": {"months": 0, "day": 13, "time": "08:30", "timezone": "UTC"}}, True),
        ({"release": {"months": 1, "day": 13, "time": "08:30", "timezone": "UTC"}}, False),
        ({"release": {"business_days": 5, "time": "08:30", "timezone": "UTC"}}, True),
        ({"release": {"days": 40, "time": "08:30", "timezone": "UTC"}}, False),
    ],
)
def test_a_month_is_not_known_before_it_ends(
    tmp_path: Path, publication: dict[str, Any], early: bool
) -> None:
    for mode in ("error", "warn"):
        found = Findings({"reference_stamps": mode})  # type: ignore[dict-item]
        read_series([monthly(tmp_path, **publication)], found)
        said = [(f.severity, f.row, f.column) for f in found.found if f.rule == "reference_stamps"]
        assert said == ([(mode, 1, "cpi")] if early else [])


def test_a_series_that_moves_in_steps_copies_nothing(tmp_path: Path) -> None:
    step = pl.int_range(pl.len()) // 40
    DAILY.with_columns(rate=step.cast(pl.Float64)).write_parquet(tmp_path / "s.parquet")
    source = SeriesFile(path=tmp_path / "s.parquet", columns={"rate": "r"}, publication_lag="1d")
    assert len(read_series([source])[0]["r"].values) == DAILY.height


def test_gold_on_holidays_is_the_next_session(shared_data: Path) -> None:
    """On 2018-12-25 and 2024-12-25 gold alone has a value, and it is that of the 26th."""
    path = shared_data / "macro_daily_2018_2024.parquet"
    source = SeriesFile(path=path, columns={"gold": "gold", "dxy": "dxy", "vix_close": "vix"},
                        publication_lag="1d")  # fmt: skip
    with pytest.raises(DataError, match="gold on 2018-12-25") as caught:
        read_series([source])
    assert caught.value.where == f"{path.name} row 256 column gold"
    assert "and 1 more row" in caught.value.what
    found = Findings({"copies_next_value": "repair"})
    dates = read_series([source], found)[0]["gold"].value_date_s.astype("datetime64[s]").astype(str)
    assert "2018-12-26T00:00:00" in dates and "2024-12-26T00:00:00" in dates
    assert "2018-12-25T00:00:00" not in dates and "2024-12-25T00:00:00" not in dates


def test_two_clocks_of_a_side_table() -> None:
    sent = np.arange(100) * 10
    table = pl.DataFrame({"exch_ms": sent, "local_ns": (sent + 3) * 1_000_000})
    assert is_side_table(table.columns) and check_side_table(table, "t.parquet") == []
    late = pl.int_range(pl.len()) == 7
    early = table.with_columns(
        pl.when(late).then(pl.col("local_ns") - 5_000_000).otherwise("local_ns")
    )
    (found,) = check_side_table(early, "t.parquet", policy={"received_before_sent": "warn"})
    assert (found.rule, found.row, found.column, found.others) == (
        "received_before_sent", 8, "local_ns", 0,
    )  # fmt: skip
    assert found.severity == "warn" and found.do
    quotes = pl.DataFrame({"bid": [1.0, 2.0], "ask": [1.5, 1.9]})
    assert [(f.rule, f.row) for f in check_side_table(quotes, "q")] == [("bid_above_ask", 2)]


def test_the_clock_of_the_recorded_feed_runs_behind(shared_data: Path) -> None:
    """Every trade and level was received before the exchange sent it; the ticker is in order."""
    folder = shared_data / "lob"
    for name, rows in (("trades", 9_757), ("depth", 124_090)):
        table = pl.read_parquet(folder / f"btcusdt_spot_20240808_{name}.parquet")
        (found,) = check_side_table(table, name)
        assert (found.rule, found.row, found.others) == ("received_before_sent", 1, rows - 1)
    ticker = pl.read_parquet(folder / "btcusdt_spot_20240808_bookticker.parquet")
    assert is_side_table(ticker.columns) and check_side_table(ticker, "bookticker") == []


CLEAN = [
    ("btcusdt_1h_2017_2022.csv", "1h", {"zero_volume", "gaps"}),
    ("btcusdt_5m_2024.feather", "5m", set()),
    ("ethusdt_5m_2024.parquet", "5m", set()),
    ("eurusd_1h_2007_2016.parquet", "1h", {"extra_columns", "zero_volume", "gaps"}),
    ("spy_1h_1998_2021.parquet", "1h", {"outlier_tick"}),
    ("spy_1m_2013_10.parquet", "1m", {"outlier_tick"}),
    ("usdcop_5m_2020_2023.parquet", "5m",
     {"zero_volume", "gaps", "frozen_price", "frozen_session"}),
]  # fmt: skip
"""What is true of the real files: Binance's 27 outages, quotes without volume, prints far out."""


@pytest.mark.parametrize(("name", "interval", "rules"), CLEAN)
def test_real_files_raise_no_false_alarm(
    shared_data: Path, name: str, interval: str, rules: set[str]
) -> None:
    symbol = "BTCUSDT" if name.endswith(".csv") else None
    bars = {"path": str(shared_data / name), "symbol": symbol}
    inputs, findings = survey(data_of({"bars": [bars], "interval": interval}))
    assert inputs is not None
    assert {f.rule for f in findings} == rules
    assert all(f.severity == "warn" for f in findings)
    if name.startswith("btcusdt_1h"):
        gaps = next(f for f in findings if f.rule == "gaps")
        assert gaps.what.startswith(
            "27 gaps, 127 bars missing; the longest, 33 bars, after 2018-02"
        )


def test_of_twenty_shares_one_became_another_company(shared_data: Path) -> None:
    """DKNG was a blank-cheque company until its merger of 2020-04-23."""
    bars = [{"path": str(p)} for p in sorted((shared_data / "equities_daily").glob("*.feather"))]
    found = only(survey(data_of({"bars": bars, "interval": "1d"}))[1])
    assert (found.rule, found.file, found.row) == ("identity_change", "DKNG.feather", 79)
    assert "2020-04-24" in found.what


def test_holidays_of_usdcop_stand_still_and_can_be_dropped(shared_data: Path) -> None:
    bars = {"path": str(shared_data / "usdcop_5m_2020_2023.parquet")}
    data = data_of({"bars": [bars], "interval": "5m"}, policy={"frozen_session": "repair"})
    inputs, findings = survey(data)
    assert inputs is not None
    found = next(f for f in findings if f.rule == "frozen_session")
    assert found.severity == "repair" and "27 sessions of 1,038" in found.what
    days = inputs.bars.table.group_by(pl.col("timestamp").dt.date().alias("day")).len()
    left = dict(
        days.filter(
            pl.col("day").is_in([date(2022, 7, 4), date(2023, 1, 2), date(2023, 12, 25)])
        ).iter_rows()
    )
    assert left == {date(2022, 7, 4): 3, date(2023, 1, 2): 3, date(2023, 12, 25): 3}


REAL = (
    "not_a_number", "unsorted", "duplicate_row", "duplicate_timestamp", "newest_first",
    "non_positive_price", "open_outside_range", "close_outside_range", "negative_volume",
    "two_clocks", "frozen_price", "copied_bar", "price_spike", "outlier_tick", "scale_break",
)  # fmt: skip


@pytest.mark.parametrize("rule", REAL)
def test_defects_in_a_slice_of_real_bars(shared_data: Path, tmp_path: Path, rule: str) -> None:
    clean = pl.read_ipc(shared_data / "btcusdt_5m_2024.feather").head(3_000).drop("symbol")
    data, row = PLANTED[rule].write(tmp_path, clean)
    findings = survey(data.model_copy(update={"interval": 300.0}))[1]
    rules = {f.rule for f in findings} - set(PLANTED[rule].also)
    assert rules == {rule}
    found = next(f for f in findings if f.rule == rule)
    assert (found.row, found.column) == (row, PLANTED[rule].column)


@pytest.mark.parametrize("late", [False, True])
def test_warnings_tell_of_nothing_from_the_test_split_on(tmp_path: Path, late: bool) -> None:
    """480 hours, the test split begins with hour 360."""
    hour = 400 if late else 200
    row = pl.int_range(pl.len())
    table = walk(480).with_columns(volume=pl.when(row == hour).then(0.0).otherwise("volume"))
    table = table.filter(row != hour + 5)
    lineage = build_dataset(config_of({"bars": [parquet_bars(tmp_path, table)]}, RETURN)).lineage
    said = [] if late else [
        f"bars.parquet row {hour + 1} column volume: [zero_volume] 1 of 359 bars (0.28%) have no "
        "volume",
    ]  # fmt: skip
    assert [w for w in lineage["warnings"] if "zero_volume" in w] == said
    broken = table.with_columns(
        high=pl.when(row == hour).then(pl.col("low") * 0.9).otherwise("high")
    )
    for mode, told in (("warn", 0 if late else 3), ("repair", 0 if late else 3)):
        rules = ("high_below_low", "open_outside_range", "close_outside_range")
        data = {"bars": [parquet_bars(tmp_path, broken)], "defects": dict.fromkeys(rules, mode)}
        lineage = build_dataset(config_of(data, RETURN)).lineage
        assert sum(any(r in w for r in rules) for w in lineage["warnings"]) == told * (
            mode == "warn"
        )
        assert len(lineage["repairs"]) == told * (mode == "repair")
        assert all((r["rule"] in rules, r["row"]) == (True, hour + 1) for r in lineage["repairs"])
    with pytest.raises(DataError, match="high_below_low"):
        build_dataset(config_of({"bars": [parquet_bars(tmp_path, broken)]}, RETURN))


def test_negative_prices_may_be_read_where_declared_and_never_traded(tmp_path: Path) -> None:
    """As of oil on 2020-04-20; inside the splits the market could fill nothing."""
    row = pl.int_range(pl.len())
    prices = ("open", "high", "low", "close")
    outside = walk(600).with_columns(
        [pl.when(row >= 500).then(-pl.col("close")).otherwise(pl.col(n)).alias(n) for n in prices]
    )
    bars = parquet_bars(tmp_path, outside)
    with pytest.raises(DataError, match="non_positive_price"):
        build_dataset(config_of({"bars": [bars]}, RETURN))
    declared = {**bars, "non_positive_prices": True}
    assert read_inputs(config_of({"bars": [declared]}, RETURN).data).bars.table["low"].min() < 0.0
    inside = outside.with_columns(
        [pl.when(row == 100).then(-1.0).otherwise(pl.col(n)).alias(n) for n in prices]
    )
    parquet_bars(tmp_path, inside)
    with pytest.raises(DataError, match="inside the splits"):
        build_dataset(config_of({"bars": [declared]}, RETURN))


def test_a_declared_split_is_no_defect(tmp_path: Path) -> None:
    row = pl.int_range(pl.len())
    table = walk(480).with_columns(
        pl.when(row >= 50).then(pl.col(n) / 4.0).otherwise(pl.col(n)).alias(n)
        for n in ("open", "high", "low", "close")
    )
    bars = {"bars": [parquet_bars(tmp_path, table)]}
    assert "unadjusted_split" in [f.rule for f in survey(config_of(bars, RETURN).data)[1]]
    moment = datetime.fromtimestamp(START_S + 50 * HOUR, UTC)
    pl.DataFrame({"timestamp": [moment], "ratio": [4.0]}).write_parquet(tmp_path / "e.parquet")
    event = {"path": str(tmp_path / "e.parquet"), "kind": "split", "column": "ratio", "symbol": "X"}
    assert survey(config_of({**bars, "events": [event]}, RETURN).data)[1] == ()


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ({"gap": "warn"}, "no defect is called 'gap'. Did you mean 'gaps'"),
        ({"price_spike": "repair"}, "price_spike has no repair; it may be error or warn"),
        ({"missing_columns": "warn"}, "missing_columns cannot be 'warn'"),
        ({"gaps": "ignore"}, "'error', 'warn' or 'repair'"),
        (dict.fromkeys(("thousands_separator", "decimal_comma"), "repair"), "choose one reading"),
    ],
)
def test_a_policy_that_means_nothing_is_refused(policy: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        config_of({"bars": [{"path": "x.csv"}], "defects": policy})


def test_declared_encoding_and_separator(tmp_path: Path) -> None:
    text = DAILY.write_csv(datetime_format="%Y-%m-%dT%H:%M:%SZ", separator=";")
    for encoding in ("utf-16", "latin-1", "utf-8"):
        (tmp_path / "b.csv").write_bytes(text.encode(encoding))
        bars = BarsFile(path=tmp_path / "b.csv", symbol="A", encoding=encoding, separator=";")
        inputs, findings = survey(data_of({"bars": [bars.model_dump()]}, "googl_1d"))
        assert findings == () and inputs is not None
        assert inputs.bars.table["close"].equals(DAILY["close"])
    with pytest.raises(ConfigError, match="is no encoding"):
        config_of({"bars": [{"path": "x.csv", "encoding": "utf-99"}]})


def test_a_latin_1_byte_and_a_cut_binary_are_named(tmp_path: Path) -> None:
    text = DAILY.with_columns(note=pl.lit("x")).write_csv(datetime_format="%Y-%m-%d").encode()
    lines = text.splitlines(keepends=True)
    lines[700] = lines[700].replace(b"x", b"\xe9")
    (tmp_path / "b.csv").write_bytes(b"".join(lines))
    data = data_of({"bars": [{"path": str(tmp_path / "b.csv"), "symbol": "A"}]}, "googl_1d")
    found = only(survey(data)[1])
    assert (found.rule, found.row) == ("wrong_encoding", 700)
    for name, write in (("b.parquet", DAILY.write_parquet), ("b.feather", DAILY.write_ipc)):
        write(tmp_path / name)  # type: ignore[operator]
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 2])
        data = data_of({"bars": [{"path": str(tmp_path / name), "symbol": "A"}]}, "googl_1d")
        assert only(survey(data)[1]).rule == "truncated_file"
