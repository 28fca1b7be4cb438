"""examples/btc_events.yaml on the real files: events known ahead, and the calendar's hole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from truefill.config.load import load_config
from truefill.features.build import BuiltDataset, build_dataset
from truefill.pipeline.smoke import smoke_config

pytestmark = pytest.mark.slow
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "btc_events.yaml"


@pytest.fixture(scope="module")
def built(shared_data: Path) -> BuiltDataset:
    return build_dataset(load_config(EXAMPLE))


def test_every_input_is_named_with_its_ages(built: BuiltDataset) -> None:
    assert [file["file"] for file in built.lineage["inputs"]] == [
        "btcusdt_1h_2017_2022.csv", "crypto_fear_greed_2018_2024.csv",
        "btc_funding_daily_2019_2024.parquet", "econ_calendar_2019_2020.parquet",
    ]  # fmt: skip
    told = {one["series"]: one for one in built.lineage["joined"]["series"]}
    assert told["fear_greed"]["value_age_hours"]["max"] == 23.0
    assert told["funding"]["value_age_hours"]["min"] == 24.0
    calendar = built.lineage["joined"]["releases"][0]
    assert (calendar["uncovered"], calendar["age_hours"]["max"]) == (0.0, 65.0)


def test_no_bar_in_the_hole_of_the_calendar_is_traded(built: BuiltDataset) -> None:
    """From the last event of 21 August to the first of 2 September 2020."""
    quiet = built.tables["test"].filter(pl.col("no_trade"))["timestamp"].dt.date().unique()
    first, last = quiet.min(), quiet.max()
    assert str(first) == "2020-08-21" and str(last) == "2020-09-01"
    assert not built.tables["train"]["no_trade"].any()


def test_the_day_of_the_march_crash_is_risk_off(built: BuiltDataset) -> None:
    """The index of 13 March 2020 was 10; payrolls of 6 March were out at 13:30 UTC."""
    train = built.tables["train"]
    noon = train.filter(pl.col("timestamp") == pl.datetime(2020, 3, 13, 12, time_zone="UTC"))
    assert noon["risk_off"][0] == 1.0 and noon["fear_greed"][0] == pytest.approx(0.10)
    friday = train.filter(pl.col("timestamp").dt.date() == pl.date(2020, 3, 6))
    assert friday["recent_high"].to_numpy()[13] == 1.0  # the bar from 13:00 closes at 14:00
    assert np.isfinite(friday.select(built.contract.names).to_numpy()).all()


def test_the_smoke_run_has_a_dataset_too(shared_data: Path) -> None:
    assert build_dataset(smoke_config(load_config(EXAMPLE))).tables["test"].height
