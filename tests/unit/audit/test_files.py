"""What is read from files is audited through the chain's own reading of changed files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from audit_cases import world
from data_cases import HOUR, START_S
from truefill.audit import chain as real
from truefill.audit.case import Case
from truefill.audit.chain import Chain
from truefill.audit.checks import AUDITS
from truefill.audit.files import moments
from truefill.audit.registry import Tally
from truefill.config.load import parse_config
from truefill.config.schema import Config
from truefill.data.inputs import Inputs
from truefill.features.build import BuiltDataset, build

SERIES = {"publication_lag": "1d", "max_staleness": "10d"}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """The world of the audit's tests in files, with funding three times a day."""
    folder = tmp_path_factory.mktemp("files")
    inputs = world()
    table, slow = inputs.bars.table.drop("mine"), inputs.series["a"]
    table.write_parquet(folder / "bars.parquet")
    dates = {"timestamp": moments(slow.value_date_s)}
    pl.DataFrame({**dates, "v": slow.values}).write_parquet(folder / "a.parquet")
    paid = START_S + 8 * HOUR * np.arange(1, 80)
    rates = 1e-4 * np.random.default_rng(2).standard_normal(len(paid))
    pl.DataFrame({"timestamp": moments(paid), "rate": rates}).write_parquet(folder / "f.parquet")
    splits = {"train": ("01", "15"), "validation": ("15", "22"), "test": ("22", "29")}
    return parse_config(
        {
            "name": "files",
            "data": {
                "bars": [{"path": str(folder / "bars.parquet")}],
                "interval": "1h",
                "defects": {"not_a_number": "repair"},
                "series": [{"path": str(folder / "a.parquet"), "columns": {"v": "a"}, **SERIES}],
                "events": [
                    {
                        "path": str(folder / "f.parquet"),
                        "kind": "funding",
                        "symbol": "X",
                        "column": "rate",
                    }
                ],
                "splits": {
                    name: {"start": f"2020-01-{a}", "end": f"2020-01-{b}"}
                    for name, (a, b) in splits.items()
                },
            },
            "features": [
                {"name": "ret", "calculator": "log_return"},
                {
                    "name": "macro",
                    "calculator": "macro_zscore",
                    "params": {"series": "a", "window": 8},
                    "normalizer": "none",
                },
            ],
            "market": {"allow_short": True},
            "env": {"action": {"kind": "short_flat_long"}, "episode_bars": 40},
        }
    )


def check(name: str, config: Config, folder: Path, **stages: Any) -> Tally:
    return AUDITS[name](Case(config, replace(Chain(), **stages), folder, quick=True))


def filled_backward(config: Config, specs: Any) -> Inputs:
    """Empty values of the file taken from the next one that is there."""
    inputs = real.read(config, specs)
    table = pl.read_parquet(config.data.series[0].path)
    values = table["v"].fill_null(strategy="backward").fill_null(50.0).to_numpy()
    dates = table["timestamp"].dt.epoch("s").to_numpy()
    filled = replace(
        inputs.series["a"], value_date_s=dates, available_at_s=dates + 24 * HOUR, values=values
    )
    return replace(inputs, series={"a": filled})


def mended_backward(config: Config, specs: Any) -> Inputs:
    """A close that is no number taken from the next bar, instead of no bar."""
    path = config.data.bars[0].path
    table = pl.read_parquet(path)
    table = table.with_columns(close=pl.col("close").fill_nan(None).backward_fill().over("symbol"))
    table.write_parquet(path)
    return real.read(config, specs)


def test_honest_reading_passes(config: Config, tmp_path: Path) -> None:
    tally = check("bars/read", config, tmp_path)
    assert (tally.result, tally.findings) == ("passed", {})


@pytest.mark.parametrize(
    ("leak", "item"),
    [
        (filled_backward, "values of a"),
        (mended_backward, "close (X)"),
    ],
)
def test_reading_that_knows_later_rows_is_found(
    leak: Callable[..., Inputs], item: str, config: Config, tmp_path: Path
) -> None:
    assert item in check("bars/read", config, tmp_path, read=leak).findings


def funded_ahead(config: Config, specs: Any, inputs: Inputs) -> BuiltDataset:
    built = build(config, specs, inputs)
    ahead = pl.col("funding").shift(-8).over("symbol").fill_null(0.0)
    return replace(
        built, tables={k: t.with_columns(funding=ahead) for k, t in built.tables.items()}
    )


def test_payments_of_later_are_found(config: Config, tmp_path: Path) -> None:
    assert check("dataset/side files", config, tmp_path).result == "passed"
    found = check("dataset/side files", config, tmp_path, dataset=funded_ahead).findings
    assert any(item.endswith("funding (X)") for item in found)


def test_features_of_the_hour_are_audited(config: Config, tmp_path: Path) -> None:
    """Multipliers from a file become columns of what calculators are given."""
    text = json.dumps({"spread": [1.0 + 0.01 * hour for hour in range(168)]})
    (tmp_path / "hours.json").write_text(text)
    tree = config.model_dump(mode="json")
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    tree["data"]["seasonality"] = {"path": str(tmp_path / "hours.json"), "sha256": sha256}
    params = {"column": "spread_season"}
    tree["features"].append({"name": "hour", "calculator": "column", "params": params})
    tally = check("features/canary", parse_config(tree), tmp_path)
    assert tally.result == "passed" and tally._items["hour (X)"][0] == tally.comparisons


def test_resampled_bars_before_a_gap_are_no_leak(config: Config, tmp_path: Path) -> None:
    """A bar of four hours of which the file holds two is closed by whatever comes after the gap."""
    tree = config.model_dump(mode="json")
    tree["data"].update(resample="4h", events=[])
    tree["features"] = [{"name": "ret", "calculator": "log_return"}]

    def read(config: Config, specs: Any) -> Inputs:
        inputs = real.read(config, specs)
        hour = pl.col("timestamp").dt.hour()
        table = inputs.bars.table.filter((hour < 14) | (hour >= 20))
        return replace(inputs, bars=replace(inputs.bars, table=table))

    tally = check("features/real data", parse_config(tree), tmp_path, read=read)
    assert (tally.result, tally.findings) == ("passed", {})
