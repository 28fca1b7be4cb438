"""The preflight finds every kind of wrong input, says so with figures, and writes nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from config_cases import base_tree, put
from truefill.config.load import parse_config
from truefill.config.schema import Config
from truefill.core.errors import TruefillError
from truefill.features import build
from truefill.pipeline import host, preflight
from truefill.pipeline.estimate import multiply_adds, samples_per_s
from truefill.pipeline.preflight import Check, check, require

FOUND = {"gpu": [], "cpu": ["cpu"]}


@pytest.fixture(autouse=True)
def _no_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "probe_devices", lambda: FOUND)


def config_with(**changes: Any) -> Config:
    """The small config with ``a__b`` set to a value."""
    tree = base_tree()
    tree["env"] = {"action": {"kind": "flat_long"}}
    for key, value in changes.items():
        put(tree, key.replace("__", "."), value)
    return parse_config(tree)


def failures(config: Config, runs: Path) -> list[Check]:
    return [c for c in check(config, runs=runs) if not c.passed]


def test_all_checks_pass_and_carry_figures(tmp_path: Path) -> None:
    checks = check(config_with(), runs=tmp_path / "runs", workers=1)
    assert [c for c in checks if not c.passed] == []
    names = {c.name for c in checks}
    assert {"features", "environment", "files", "data", "dead features", "rows train", "rows test",
            "device", "memory", "runs folder", "disk", "extras"} <= names  # fmt: skip
    assert all(c.figure for c in checks)
    require(checks)
    assert list(tmp_path.iterdir()) == []


CONFIG_FAULTS: list[tuple[dict[str, Any], str, str]] = [
    ({"features__0__calculator": "log_retrun"}, "features", "Did you mean 'log_return'?"),
    ({"features__0__params": {"period": 3}}, "features", "Did you mean 'periods'?"),
    ({"env__action__kind": "flatlong"}, "environment", "Did you mean 'flat_long'?"),
    ({"env__action__kind": "short_flat_long"}, "environment", "allow_short"),
    ({"env__action__kind": "target_weight"}, "environment", "no_trade_band"),
    ({"env__state_features": ["positoin"]}, "environment", "Did you mean 'position'?"),
    ({"gates__min_rows": {"test": 10_000}}, "rows test", "gates.min_rows.test"),
    ({"market__symbols": {"NOPE": {"fee_bps": 1}}}, "symbols", "rules given for NOPE"),
    ({"env__state_features": ["pending"]}, "environment", "decision_lag"),
]


@pytest.mark.parametrize(("changes", "name", "message"), CONFIG_FAULTS, ids=lambda v: str(v)[:40])
def test_config_faults_have_exit_code_2(
    tmp_path: Path, changes: dict[str, Any], name: str, message: str
) -> None:
    (failed,) = failures(config_with(**changes), tmp_path / "runs")
    assert failed.name == name
    assert failed.exit_code == 2
    assert message in failed.figure + failed.do
    assert list(tmp_path.iterdir()) == []


def bars_config(path: Path) -> Config:
    tree = base_tree()
    tree["env"] = {"action": {"kind": "flat_long"}}
    del tree["data"]["synthetic"]
    tree["data"]["bars"] = [{"path": str(path), "symbol": "X"}]
    return parse_config(tree)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    (failed,) = failures(bars_config(tmp_path / "nowhere.csv"), tmp_path / "runs")
    assert failed.name == "files"
    assert "nowhere.csv" in failed.figure


def test_an_unknown_sample_gets_the_nearest() -> None:
    (failed,) = failures(bars_config(Path("sample:eurusd_h1")), Path("runs"))
    assert failed.name == "files"
    assert "Did you mean 'eurusd_1h'?" in failed.do


def test_a_missing_events_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bars.csv"
    path.write_text("timestamp,open,high,low,close,volume\n2020-01-01T00:00:00Z,1,1,1,1,0\n")
    tree = bars_config(path).model_dump(mode="json")
    tree["data"]["events"] = [
        {"path": str(tmp_path / "nowhere.csv"), "kind": "funding", "symbol": "X", "column": "rate"}
    ]
    (failed,) = failures(parse_config(tree), tmp_path / "runs")
    assert failed.name == "files"
    assert "nowhere.csv" in failed.figure


def given(monkeypatch: pytest.MonkeyPatch, made: build.BuiltDataset) -> None:
    """The preflight sees this dataset."""
    monkeypatch.setattr(build, "build", lambda *_: made)


def test_a_warning_of_the_data_passes_and_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_with()
    made = build.build_dataset(config)
    given(monkeypatch, replace(made, lineage=made.lineage | {"warnings": ["SYN1 ends early"]}))
    checks = check(config, runs=tmp_path / "runs")
    assert [(c.figure, c.passed) for c in checks if c.warning] == [("SYN1 ends early", True)]
    require(checks)


@pytest.mark.parametrize("flag", ["no_trade", "closed"])
def test_rows_without_trading_do_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flag: str
) -> None:
    config = config_with(gates__min_rows={"train": 1_000})
    made = build.build_dataset(config)
    closed = made.tables["train"].with_columns((pl.int_range(pl.len()) >= 999).alias(flag))
    given(monkeypatch, replace(made, tables={**made.tables, "train": closed}))
    (failed,) = failures(config, tmp_path / "runs")
    assert failed.name == "rows train"
    assert "999 rows (at least 1,000)" in failed.figure
    assert f"{closed.height - 999:,} more without trading" in failed.figure


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bars.csv"
    path.write_text("timestamp,open,high,low,volume\n2020-01-01T00:00:00Z,1,1,1,0\n")
    (failed,) = failures(bars_config(path), tmp_path / "runs")
    assert "close" in failed.figure
    assert "bars.csv" in failed.figure


def test_a_dead_feature_is_named(tmp_path: Path) -> None:
    twin = {"name": "twin", "calculator": "log_return"}
    (failed,) = failures(config_with(features__1=twin), tmp_path / "runs")
    assert "twin" in failed.figure


def test_dates_without_bars_are_named(tmp_path: Path) -> None:
    late = {"start": "2031-01-01", "end": "2032-01-01"}
    (failed,) = failures(config_with(data__splits__test=late), tmp_path / "runs")
    assert "test" in failed.figure


def test_an_unavailable_gpu_is_an_error_and_auto_takes_the_cpu(tmp_path: Path) -> None:
    (failed,) = failures(config_with(device="gpu"), tmp_path / "runs")
    assert (failed.name, failed.exit_code) == ("device", 1)
    assert host.resolve_device("auto", FOUND) == "cpu"
    assert host.resolve_device("auto", {"gpu": ["H200"], "cpu": ["cpu"]}) == "gpu"
    assert host.resolve_device("cpu", {"gpu": ["H200"], "cpu": ["cpu"]}) == "cpu"


@pytest.mark.parametrize(
    ("name", "probe"),
    [("memory", "memory_available_bytes"), ("disk", "disk_available_bytes")],
)
def test_too_little_memory_or_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, probe: str
) -> None:
    little: Callable[..., int] = lambda *_: 1_000  # noqa: E731
    monkeypatch.setattr(host, probe, little)
    (failed,) = failures(config_with(), tmp_path / "runs")
    assert (failed.name, failed.exit_code) == (name, 1)
    assert "needed" in failed.figure


def test_a_runs_folder_that_cannot_be_written(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    (failed,) = failures(config_with(), blocked / "runs")
    assert (failed.name, failed.exit_code) == ("runs folder", 1)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_runs_folder_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    (failed,) = failures(config_with(), tmp_path / "runs")
    assert failed.name == "runs folder"


def test_require_refuses_with_every_failure_and_the_worst_code() -> None:
    bad = [Check("disk", False, "full", "free some"), Check("rows", False, "3 rows", "", 2)]
    with pytest.raises(TruefillError, match=r"disk: full; rows: 3 rows[\s\S]*free some") as caught:
        require([Check("files", True, "ok"), *bad])
    assert caught.value.exit_code == 2


def test_the_estimate_knows_decoders_and_pooled_episodes() -> None:
    many = {"data__synthetic": {"kind": "random_walk", "symbols": 8}}
    together = config_with(**many)
    one = config_with(**many, env__episode_symbols="one")
    alone = config_with()
    assert multiply_adds(one) == multiply_adds(alone) < multiply_adds(together)
    assert samples_per_s(one) == samples_per_s(alone) > samples_per_s(together)
    band = {"market__no_trade_band": 0.05}
    weights = config_with(**many, **band, env__action={"kind": "portfolio_weights"})
    nine = config_with(**many, env__action={"kind": "nine_actions"})
    last = 2 * alone.agent.network.hidden[-1]
    last //= 2 if alone.agent.network.shared_trunk else 1
    assert multiply_adds(together) - multiply_adds(weights) == last * (8 * 2 - 9)
    assert multiply_adds(nine) - multiply_adds(together) == last * 8 * (9 - 2)


def test_the_estimate_grows_with_the_work() -> None:
    one = preflight.estimate(config_with(), 1)
    wide = preflight.estimate(config_with(agent__network={"hidden": [256, 256]}), 1)
    long = preflight.estimate(config_with(training__total_steps=20_000_000), 1)
    two = preflight.estimate(config_with(), 2)
    assert wide.time_s > one.time_s and long.time_s > 2 * one.time_s
    assert two.time_s < one.time_s < 2 * two.time_s
    assert two.memory_bytes > one.memory_bytes and wide.disk_bytes > one.disk_bytes


@pytest.mark.parametrize(
    ("changes", "figure"),
    [
        ({"kind": "random_walk"}, "flat: no edge"),
        ({"kind": "momentum", "strength": 0.2}, "net Sharpe 5.79 a year"),
        ({"kind": "random_walk", "resample": "4h"}, "flat: no edge"),
        ({"kind": "momentum", "strength": 0.2, "resample": "4h"}, "not known with"),
        ({"kind": "momentum", "strength": 0.0, "resample": "4h"}, "flat: no edge"),
    ],
)
def test_the_best_possible_is_told_where_it_is_known(changes: dict[str, Any], figure: str) -> None:
    kind, strength = changes["kind"], changes.get("strength", 0.7)
    config = config_with(
        data__synthetic={"kind": kind, "strength": strength}, data__resample=changes.get("resample")
    )
    (told,) = preflight._known_answer(config)
    assert told.passed and told.figure.startswith(figure)
