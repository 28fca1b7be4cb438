"""``truefill fetch``: what it prints, how it fails, and what docs/fetch.md promises of it."""

from __future__ import annotations

import importlib
import json
import re
import shlex
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from fetch_cases import START, files, kline_rows, write_klines
from truefill.cli.app import app
from truefill.config.load import parse_config
from truefill.features.build import build_dataset
from truefill.fetch.registry import SOURCES

runner = CliRunner()


def truefill(*arguments: str) -> Result:
    return runner.invoke(app, list(arguments))


@pytest.fixture
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A raw file of 48 hours in ``raw`` of the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raw").mkdir()
    write_klines(tmp_path / "raw" / "BTCUSDT-1h-2024-01.csv", kline_rows(48))
    return tmp_path / "raw"


def commands(repository: Path) -> list[list[str]]:
    """The commands of docs/fetch.md, without ``truefill``."""
    text = (repository / "docs" / "fetch.md").read_text()
    block = re.findall(r"```sh\n(.*?)```", text, re.S)[0]
    return [shlex.split(line)[1:] for line in block.strip().split("\n")]


def test_the_documented_import_works_and_says_what_it_did(raw: Path, repository: Path) -> None:
    (klines,) = [c for c in commands(repository) if c[1] == "klines"]
    first = truefill(*klines)
    assert first.exit_code == 0, first.output
    assert "48 rows added; 48 rows, 2024-01-01T00:00:00+00:00 to 2024-01-02T23" in first.stdout
    assert "nothing new; 48 rows" in truefill(*klines).stdout
    again = json.loads(truefill(*klines, "--json").stdout)
    assert (again["added"], again["rows"], again["parts"]) == (0, 48, 1)
    assert len(again["sha256"]) == 64


@pytest.mark.parametrize("number", range(6))
def test_every_documented_command_has_parameters_that_its_source_takes(
    repository: Path, number: int
) -> None:
    _, source, *parameters, option, _ = commands(repository)[number]
    assert option == "--to"
    given = dict(text.split("=", 1) for text in parameters)
    SOURCES.parse(source, {**given, "folder": "raw"} if source == "klines" else given)


def test_the_documented_config_reads_the_snapshot(raw: Path, repository: Path) -> None:
    text = (repository / "docs" / "fetch.md").read_text()
    shown = yaml.safe_load(re.findall(r"```yaml\n(data:.*?)```", text, re.S)[0])
    assert truefill(*commands(repository)[0]).exit_code == 0
    ends = [(START + timedelta(hours=h)).isoformat() for h in (0, 24, 36, 48)]
    names = ("train", "validation", "test")
    shown["data"]["splits"] = {
        name: {"start": ends[i], "end": ends[i + 1]} for i, name in enumerate(names)
    }
    features = [{"name": "ret", "calculator": "log_return", "params": {"periods": 1}}]
    config = parse_config({"name": "documented", **shown, "features": features})
    built = build_dataset(config)
    assert [built.tables[name].height for name in names] == [5, 3, 3]
    assert built.lineage["symbols"] == ["BTC"]


def test_the_documented_error_is_the_one_that_comes(raw: Path, repository: Path) -> None:
    text = (repository / "docs" / "fetch.md").read_text()
    shown = re.findall(r"```text\n(error: .*?)```", text, re.S)[0]
    (klines,) = [c for c in commands(repository) if c[1] == "klines"]
    truefill(*klines)
    rows = kline_rows(48)
    rows[7][4] = "100.75"
    write_klines(raw / "BTCUSDT-1h-2024-01.csv", rows)
    failed = truefill(*klines)
    assert (failed.exit_code, failed.stderr) == (1, shown)
    taken = truefill(*klines, "--accept-revisions")
    assert "nothing new, 1 revised; 48 rows" in taken.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["klines", "folder=raw", "symbol=BTCUSDT", "interval=1h"], 2, "--to"),
        (["kline", "--to", "s"], 2, "Did you mean 'klines'?"),
        (["klines", "folder=raw", "symbol=BTCUSDT", "--to", "s"], 2, "'interval'"),
        (["klines", "folder", "--to", "s"], 2, "no KEY=VALUE"),
        (["klines", "symbol=A", "symbol=B", "--to", "s"], 2, "symbol is given twice"),
        (["klines", "folder=raw", "symbol=X", "interval=1h", "--to", "s"], 2, "X-1h-"),
        (["klines", "folder=raw", "symbol=BTCUSDT", "interval=1h", "end=2023-01-01", "--to", "s"],
         1, "no closed rows"),
        (["alpaca", "symbol=AAPL", "interval=1h", "start=2024-01-01", "--to", "s"],
         2, "APCA_API_KEY_ID is not set"),
    ],
)  # fmt: skip
def test_a_failure_has_a_code_and_leaves_nothing(
    raw: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, words: str
) -> None:
    if arguments[0] == "alpaca":
        pytest.importorskip("alpaca.data", reason="needs the extra truefill[alpaca]")
    monkeypatch.delenv("APCA_API_KEY_ID", raising=False)
    failed = truefill("fetch", *arguments)
    assert (failed.exit_code, failed.stdout) == (code, "")
    assert words in failed.stderr
    assert files(raw.parent / "s") == []
    as_json = json.loads(truefill("fetch", *arguments, "--json").stdout)
    assert as_json["exit_code"] == code


@pytest.mark.parametrize(
    ("source", "parameters"),
    [
        ("ccxt", ["exchange=binance", "symbol=BTC/USDT", "interval=1h", "start=2024-01-01"]),
        ("yfinance", ["symbol=SPY", "start=2024-01-01"]),
        ("alpaca", ["symbol=AAPL", "interval=1h", "start=2024-01-01"]),
        ("polygon", ["symbol=AAPL", "interval=1h", "start=2024-01-01"]),
    ],
)
def test_a_missing_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, parameters: list[str]
) -> None:
    def absent(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name.split(".")[0])

    monkeypatch.setattr(importlib, "import_module", absent)
    failed = truefill("fetch", source, *parameters, "--to", str(tmp_path / "s"))
    assert failed.exit_code == 2
    assert f"pip install 'truefill[{source}]'" in failed.stderr


def test_sources_are_listed_with_their_parameters() -> None:
    shown = truefill("list", "sources").stdout
    assert all(entry.name in shown for entry in SOURCES)
    assert "interval = (required)" in shown
