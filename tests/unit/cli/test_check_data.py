"""``truefill check`` lists every finding, of a config's files or of one file."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
from typer.testing import CliRunner

from data_cases import walk
from truefill.cli.app import app

CONFIG = """
name: case
data:
  interval: 1h
  bars:
    - {path: a.parquet}
    - {path: b.parquet}
  splits:
    train: {start: 2020-01-01, end: 2020-01-11}
    validation: {start: 2020-01-11, end: 2020-01-16}
    test: {start: 2020-01-16, end: 2020-01-21}
features:
  - {name: ret, calculator: log_return, params: {periods: 1}}
"""


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["check", *arguments])
    return result.exit_code, result.stdout


def broken(folder: Path) -> Path:
    """Two files: one with a spike and a gap in the hourly bars, one with a high below its low."""
    row = pl.int_range(pl.len())
    one = walk(480, symbol="A").with_columns(
        pl.when(row == 100).then(pl.col(n) * 9.0).otherwise(pl.col(n)).alias(n)
        for n in ("close", "high")
    )
    one.write_parquet(folder / "a.parquet")
    two = walk(480, symbol="B").with_columns(
        volume=pl.when(row == 50).then(0.0).otherwise("volume"),
        low=pl.when(row == 60).then(pl.col("high") + 1.0).otherwise("low"),
    )
    two.write_parquet(folder / "b.parquet")
    (folder / "c.yaml").write_text(CONFIG)
    return folder / "c.yaml"


def test_all_findings_of_all_files_are_listed(tmp_path: Path) -> None:
    config = str(broken(tmp_path))
    code, text = run(config, "--json")
    found = [c["finding"] for c in json.loads(text)["checks"] if c["finding"] is not None]
    assert code == 1
    assert [(f["rule"], f["severity"], f["file"], f["row"], f["column"]) for f in found] == [
        ("price_spike", "error", "a.parquet", 101, "close"),
        ("high_below_low", "error", "b.parquet", 61, "high"),
        ("open_outside_range", "error", "b.parquet", 61, "open"),
        ("close_outside_range", "error", "b.parquet", 61, "close"),
        ("zero_volume", "warn", "b.parquet", 51, "volume"),
    ]
    assert all(f["do"] and f["what"] for f in found)
    code, text = run(config)
    assert code == 1
    for words in ("findings in the data", "price_spike", "high_below_low", "zero_volume", "61"):
        assert words in text


def test_one_file_is_checked_without_a_config(tmp_path: Path) -> None:
    broken(tmp_path)
    code, text = run(str(tmp_path / "a.parquet"), "--interval", "1h", "--json")
    (found,) = json.loads(text)["findings"]
    assert (code, found["rule"], found["row"]) == (1, "price_spike", 101)
    walk(480).write_parquet(tmp_path / "clean.parquet")
    code, text = run(str(tmp_path / "clean.parquet"), "--interval", "1h")
    assert (code, text.strip()) == (0, "clean.parquet: 0 findings, 0 of them errors")
    assert run(str(tmp_path / "clean.parquet"))[0] == 2
    assert run(str(tmp_path / "clean.parquet"), "--interval", "soon")[0] == 2


def test_a_side_table_is_checked_for_its_clocks(tmp_path: Path) -> None:
    path = tmp_path / "trades.parquet"
    pl.DataFrame({"exch_ms": [5, 6], "local_ns": [4_000_000, 7_000_000]}).write_parquet(path)
    code, text = run(str(path), "--json")
    (found,) = json.loads(text)["findings"]
    assert (code, found["rule"], found["row"]) == (1, "received_before_sent", 1)
