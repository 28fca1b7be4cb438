"""examples/crypto_cvar.yaml on the real files: every input named, closed where and when it says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from truefill.config.load import load_config
from truefill.core.fingerprint import sha256_file
from truefill.data.seasonality_file import HOURS
from truefill.features.build import BuiltDataset, build_dataset
from truefill.pipeline.smoke import smoke_config

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def built(shared_data: Path) -> BuiltDataset:
    return build_dataset(load_config(ROOT / "examples" / "crypto_cvar.yaml"))


def test_lineage_names_every_input_and_how_old_its_values_were(
    built: BuiltDataset, shared_data: Path
) -> None:
    inputs = {file["file"]: file["sha256"] for file in built.lineage["inputs"]}
    assert set(inputs) == {
        "btcusdt_5m_2024.feather", "ethusdt_5m_2024.parquet", "crypto_fear_greed_2018_2024.csv",
        "btc_funding_daily_2019_2024.parquet",
    }  # fmt: skip
    assert all(sha256_file(shared_data / name) == found for name, found in inputs.items())
    ages = {told["series"]: told["age_hours"]["max"] for told in built.lineage["joined"]["series"]}
    assert set(ages) == {"fear_greed", "funding"} and all(age < 24 for age in ages.values())
    assert built.lineage["warnings"] == []


def test_the_minutes_of_funding_and_the_guarded_hours_are_closed(built: BuiltDataset) -> None:
    train = built.tables["train"]
    stamp = train["timestamp"].dt.strftime("%H:%M")
    around = stamp.is_in(["23:55", "00:00", "07:55", "08:00", "15:55", "16:00"])
    assert train.filter(around)["closed"].all()
    guarded = train.filter(~around & pl.col("closed"))
    assert 0 < guarded.height < 0.01 * train.height
    windows = built.lineage["no_trade"]["windows"]
    assert [window["kind"] for window in windows] == ["daily"] * 3 + ["funding", "volatility"]
    assert windows[3]["bars"]["validation"] == 31 * 6 * 2
    limits = windows[4]["thresholds"]
    assert 0.002 < limits["BTCUSDT"]["percentile"] < limits["ETHUSDT"]["percentile"] < 0.015


def test_the_spread_follows_the_hours_of_train(built: BuiltDataset) -> None:
    """The busiest hours of both coins are those of the open in New York, on working days."""
    assert built.seasonality is not None
    for symbol in ("BTCUSDT", "ETHUSDT"):
        values = np.asarray(built.seasonality["spread"][symbol])
        assert values.shape == (HOURS,) and values.mean() == pytest.approx(1.0, abs=0.01)
        assert np.argmax(values) % 24 in (13, 14, 15) and np.argmax(values) < 120


def test_the_smoke_run_has_a_dataset_too(shared_data: Path) -> None:
    config = smoke_config(load_config(ROOT / "examples" / "crypto_cvar.yaml"))
    made = build_dataset(config)
    assert made.lineage["splits"]["test"]["end"] == "2024-07-01T00:00:00+00:00"
    assert made.lineage["seasonality"]["least_samples"] >= 10
