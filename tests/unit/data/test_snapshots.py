"""A snapshot stands where a file may stand: bars, series, events; every byte counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from data_cases import RETURN, config_of, moment, walk
from fetch_cases import LATER
from truefill.config.schema import Config
from truefill.core.errors import ConfigError, DataError
from truefill.data.snapshots import content_sha256, size_bytes
from truefill.features.build import build_dataset
from truefill.fetch.base import PRICES, About
from truefill.fetch.store import Store
from truefill.pipeline import preflight
from truefill.pipeline.folder import input_hashes, run_identity

BARS = About("bars", "BTC", 3_600.0, (*PRICES, "taker_buy_volume"), {})
VALUES = About("events", "BTC", None, ("value",), {})


def stored(folder: Path, about: About, table: pl.DataFrame) -> Path:
    """The rows in a snapshot, in two parts."""
    store = Store.open(folder, "case", about)
    half = table.height // 2
    for part in (table[:half], table[half:]):
        store.add(part.select("timestamp", *about.columns), LATER, accept_revisions=False)
    return folder


def bars(folder: Path) -> dict[str, Any]:
    """480 hours of bars in a snapshot, as ``data.bars``."""
    table = walk(480).with_columns(taker_buy_volume=pl.col("volume") / 3)
    return {"bars": [{"path": str(stored(folder / "btc", BARS, table))}]}


def values(folder: Path, name: str, days: int) -> str:
    """A value a day from the first bar on."""
    stamps = pl.Series([moment(24 * n) for n in range(days)]).cast(pl.Datetime("us", "UTC"))
    table = pl.DataFrame({"timestamp": stamps, "value": [0.001 * (n + 1) for n in range(days)]})
    return str(stored(folder / name, VALUES, table))


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Bars, a series and funding, each from a snapshot."""
    taker = {"name": "taker", "calculator": "column", "params": {"column": "taker_buy_volume"}}
    lag = {"publication_lag": "1d", "columns": {"value": "m"}}
    return config_of(
        {
            **bars(tmp_path),
            "series": [{"path": values(tmp_path, "daily", 20), **lag}],
            "events": [
                {"path": values(tmp_path, "funding", 20), "kind": "funding", "column": "value"}
            ],
        },
        [*RETURN, taker],
    )


def test_a_dataset_comes_from_snapshots_alone(config: Config) -> None:
    built = build_dataset(config)
    table = walk(480, symbol="BTC").with_columns(taker_buy_volume=pl.col("volume") / 3)
    train = built.tables["train"]
    assert train["funding"].sum() == pytest.approx(sum(0.001 * (n + 1) for n in range(1, 10)))
    own = table.filter(pl.col("timestamp") == train["timestamp"][0])
    assert train["close"][0] == own["close"][0]
    assert built.lineage["symbols"] == ["BTC"]
    names = [entry["file"] for entry in built.lineage["inputs"]]
    assert names == ["btc", "daily", "funding"]


def test_lineage_and_identity_hold_the_hash_of_the_content(config: Config, tmp_path: Path) -> None:
    hashes = input_hashes(config)
    first = {entry["file"]: entry["sha256"] for entry in build_dataset(config).lineage["inputs"]}
    for key, name in (("bars.0", "btc"), ("series.0", "daily"), ("events.0", "funding")):
        assert hashes[key] == first[name] == content_sha256(tmp_path / name)
    before = run_identity(config, hashes)
    later = walk(500).with_columns(taker_buy_volume=pl.col("volume") / 3)[480:]
    store = Store.open(tmp_path / "btc", "case", BARS)
    store.add(later.select("timestamp", *BARS.columns), LATER, accept_revisions=False)
    assert run_identity(config, input_hashes(config)) != before


@pytest.mark.parametrize("name", ["part-00002.parquet", "manifest.json"])
def test_a_changed_byte_stops_every_reader(config: Config, tmp_path: Path, name: str) -> None:
    path = tmp_path / "btc" / name
    data = path.read_bytes()
    path.write_bytes(data[:90] + bytes([data[90] ^ 1]) + data[91:])
    for read in (build_dataset, input_hashes):
        with pytest.raises(DataError, match="broken_snapshot"):
            read(config)


def test_the_preflight_tells_of_a_changed_byte(config: Config, tmp_path: Path) -> None:
    path = tmp_path / "btc" / "part-00002.parquet"
    path.write_bytes(path.read_bytes()[:-1])
    checks = preflight.check(config, runs=tmp_path / "runs")
    (failed,) = [c for c in checks if not c.passed]
    assert "broken_snapshot" in failed.name and "part-00002.parquet" in failed.figure


def test_a_missing_snapshot_and_a_folder_of_other_things_are_refused(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    for name in ("absent", "other"):
        config = config_of({"bars": [{"path": str(tmp_path / name), "symbol": "X"}]}, RETURN)
        with pytest.raises(DataError, match="missing_file"):
            build_dataset(config)
        with pytest.raises(ConfigError, match="does not exist"):
            input_hashes(config)


def test_the_defects_of_bars_are_found_in_snapshots_too(tmp_path: Path) -> None:
    table = walk(480).with_columns(low=pl.col("high") + 1.0, taker_buy_volume=pl.lit(1.0))
    path = stored(tmp_path / "btc", BARS, table)
    with pytest.raises(DataError, match=r"btc row 1 column high.*high_below_low"):
        build_dataset(config_of({"bars": [{"path": str(path)}]}, RETURN))


def test_its_size_is_that_of_its_parts(tmp_path: Path) -> None:
    bars(tmp_path)
    parts = [path.stat().st_size for path in (tmp_path / "btc").glob("*.parquet")]
    assert len(parts) == 2 and size_bytes(tmp_path / "btc") == sum(parts)
