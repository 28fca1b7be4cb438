"""Splits given as a rule get their dates from the bars, once."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import truefill
from config_cases import base_tree, put
from data_cases import RETURN, config_of, moment, parquet_bars, walk
from truefill.config.load import dump_config, parse_config, portable
from truefill.config.schema import Config
from truefill.config.splits import FractionSplits
from truefill.core.errors import ConfigError, DataError
from truefill.core.files import read_json
from truefill.data.dataset import load_lineage, write_dataset
from truefill.data.fold_plan import rows_of
from truefill.data.resolve import resolve
from truefill.data.splits import period_of
from truefill.features.build import build_dataset
from truefill.pipeline.estimate import estimate
from truefill.pipeline.preflight import check
from truefill.pipeline.smoke import smoke_config

FRACTIONS = {"kind": "fractions", "train": 0.5, "validation": 0.3, "test": 0.2}
WALK = {"kind": "walk_forward", "folds": 3, "fold": 1, "validation": "1d", "test": "2d"}


def synthetic(splits: dict[str, Any], **data: Any) -> Config:
    """200 hourly bars from 2020-01-01."""
    market = {"kind": "random_walk", "bars": 200}
    return config_of({"synthetic": market, "splits": splits, **data}, RETURN)


def hours(config: Config) -> dict[str, tuple[float, float]]:
    """The periods in hours after the first bar."""
    zero = datetime(2020, 1, 1, tzinfo=UTC)
    found = {}
    for name in ("train", "validation", "test"):
        period = period_of(config.data.splits, name)
        found[name] = tuple((m - zero).total_seconds() / 3600 for m in (period.start, period.end))
    return found


def test_fractions_are_of_the_bars() -> None:
    found = hours(resolve(synthetic(FRACTIONS)))
    assert found == {"train": (0, 100), "validation": (100, 160), "test": (160, 200)}


def test_fractions_count_bars_and_not_time(tmp_path: Path) -> None:
    """100 bars, a hole of 300 hours, 100 bars: half of the bars lie before the hole. Two symbols
    share their bar starts; bars outside the session do not count."""
    table = walk(500)
    kept = table.filter((pl.int_range(pl.len()) < 100) | (pl.int_range(pl.len()) >= 400))
    both = pl.concat([kept, kept.with_columns(symbol=pl.lit("Y"))])
    found = hours(resolve(config_of({"bars": [parquet_bars(tmp_path, both)], "splits": FRACTIONS})))
    assert found == {"train": (0, 400), "validation": (400, 460), "test": (460, 500)}
    session = {"days": ["wed", "thu", "fri"], "start": "00:00", "end": "12:00"}
    found = hours(resolve(synthetic(FRACTIONS, session=session)))  # 12, 12, 12, 12 and 8 bars
    assert found == {"train": (0, 52), "validation": (52, 177), "test": (177, 200)}


@pytest.mark.parametrize(
    ("fold", "train", "validation", "test"),
    [(1, (0, 32), (32, 56), (56, 104)), (2, (0, 80), (80, 104), (104, 152)),
     (3, (0, 128), (128, 152), (152, 200))],
)  # fmt: skip
def test_an_expanding_walk_by_durations(fold: int, train: Any, validation: Any, test: Any) -> None:
    found = hours(resolve(synthetic({**WALK, "fold": fold})))
    assert found == {"train": train, "validation": validation, "test": test}


def test_a_rolling_walk_by_shares_of_the_bars() -> None:
    rule = {**WALK, "mode": "rolling", "train": 0.25, "validation": 0.1, "test": 0.2, "fold": 2}
    found = hours(resolve(synthetic(rule)))
    assert found == {"train": (50, 100), "validation": (100, 120), "test": (120, 160)}


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"folds": 4, "fold": 4}, "too_few_folds"),
        ({"train": "40h"}, "too_few_folds"),
        ({"mode": "rolling", "train": "33h"}, "too_few_folds"),
        ({"purge_bars": 24}, "empty_fold"),
        ({"purge_bars": 40, "validation": "40h", "test": "40h"}, "empty_fold"),
        ({"validation": 60}, "empty_fold"),
    ],
)
def test_folds_that_do_not_fit_are_errors_whichever_is_chosen(
    change: dict[str, Any], rule: str
) -> None:
    with pytest.raises(DataError) as caught:
        resolve(synthetic({**WALK, "fold": 3, **change}))
    assert caught.value.rule == rule


def test_a_purge_leaves_bars_out_before_the_next_split() -> None:
    found = hours(resolve(synthetic({**FRACTIONS, "purge_bars": 7})))
    assert found == {"train": (0, 93), "validation": (100, 153), "test": (160, 200)}


def test_a_gap_between_dates_counts_as_purged() -> None:
    """5 bars lie between train and validation already, none between validation and test."""
    dates = {
        "train": {"start": "2020-01-01", "end": moment(95).isoformat()},
        "validation": {"start": moment(100).isoformat(), "end": moment(160).isoformat()},
        "test": {"start": moment(160).isoformat(), "end": moment(200).isoformat()},
    }
    assert hours(resolve(synthetic({**dates, "purge_bars": 5}))) == {
        "train": (0, 95), "validation": (100, 155), "test": (160, 200)
    }  # fmt: skip
    with pytest.raises(DataError, match=r"no bar is left in validation after a purge of 60 bars"):
        resolve(synthetic({**dates, "purge_bars": 60}))
    plain = synthetic(dates)
    assert resolve(plain) is plain


def test_what_is_resolved_stays_and_says_where_it_came_from() -> None:
    once = resolve(synthetic({**WALK, "purge_bars": 2}))
    assert resolve(once) is once
    assert resolve(parse_config(portable(once))) == once
    text = "fold 1 of 3 of a walk forward, expanding; purge 2 bars"
    assert text in dump_config(once)
    assert build_dataset(once).lineage["splits_from"] == text


def roles_file(folder: Path, roles: list[str | None]) -> dict[str, Any]:
    table = walk(len(roles)).with_columns(part=pl.Series(roles, dtype=pl.String))
    return {"bars": [parquet_bars(folder, table)], "splits": {"kind": "column", "column": "part"}}


ROLES = [None, *["train"] * 50, None, "", *["validation"] * 20, *["test"] * 20, None]


def test_roles_may_come_as_a_column(tmp_path: Path) -> None:
    found = hours(resolve(config_of(roles_file(tmp_path, ROLES))))
    assert found == {"train": (1, 51), "validation": (53, 73), "test": (73, 93)}


@pytest.mark.parametrize(
    ("at", "role", "rule"),
    [
        (10, "validation", "mixed_roles"), (80, "train", "mixed_roles"), (60, None, "mixed_roles"),
        (5, "tests", "unknown_role"),
    ],
)  # fmt: skip
def test_roles_that_are_no_periods_are_refused(
    tmp_path: Path, at: int, role: str | None, rule: str
) -> None:
    roles = [*ROLES[:at], role, *ROLES[at + 1 :]]
    with pytest.raises(DataError) as caught:
        resolve(config_of(roles_file(tmp_path, roles)))
    assert caught.value.rule == rule


def test_roles_out_of_order_or_missing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="train must end before validation starts"):
        resolve(config_of(roles_file(tmp_path, ROLES[::-1])))
    with pytest.raises(DataError, match="no row is test"):
        resolve(config_of(roles_file(tmp_path, ROLES[:70])))
    misspelt = {"splits": {"kind": "column", "column": "prat"}}
    with pytest.raises(ConfigError, match=r"has no column 'prat'.*\n.*'part'"):
        resolve(config_of(roles_file(tmp_path, ROLES) | misspelt))
    with pytest.raises(ConfigError, match="synthetic market has no column"):
        resolve(synthetic({"kind": "column", "column": "part"}))


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({**FRACTIONS, "test": 0.3}, "make 1.1, not 1"),
        ({**FRACTIONS, "test": 0.0}, "greater than 0"),
        ({**WALK, "fold": 4}, "fold 4 is not one of 3 folds"),
        ({**WALK, "mode": "rolling"}, "rolling needs the length of train"),
        ({**WALK, "folds": 0}, "data.splits.folds"),
        ({**WALK, "purge_bars": -1}, "data.splits.purge_bars"),
        ({"kind": "fraction"}, "no kind is called 'fraction'"),
        ({**FRACTIONS, "trian": 1}, "unknown key 'data.splits.trian'. Did you mean 'train'"),
    ],
)
def test_wrong_rules_are_refused_by_name(splits: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        synthetic(splits)


def test_a_window_longer_than_a_split_is_found_once_there_are_dates() -> None:
    tree = base_tree()
    put(tree, "data.splits", {"kind": "fractions"})
    put(tree, "env.window_bars", 1_850)
    with pytest.raises(ConfigError, match=r"does not fit data\.splits\.validation"):
        resolve(parse_config(tree))


def test_every_way_in_resolves(tmp_path: Path) -> None:
    tree = base_tree()
    put(tree, "data.splits", {"kind": "fractions"})
    config = parse_config(tree)
    built = truefill.build_dataset(config)
    assert {name: table.height for name, table in built.tables.items()} == {
        "train": 8_396, "validation": 1_800
    }  # fmt: skip
    assert truefill.make_env(config, "validation", num_envs=2).num_envs == 2
    checks = {c.name: c for c in check(config, runs=tmp_path / "runs", workers=1)}
    assert checks["splits"].passed and "fractions 0.7" in checks["splits"].figure
    assert checks["rows test"].figure.startswith("1,800 rows")
    assert estimate(config, 1).breakdown["rows"] == (
        "about train 8,400, validation 1,800, test 1,800"
    )
    smoke = smoke_config(config)
    assert hours(smoke)["test"][1] == 8_400
    assert isinstance(config.data.splits, FractionSplits)
    with pytest.raises(ConfigError, match="splits of kind fractions have no dates yet"):
        build_dataset(config)


def test_a_check_names_what_cannot_be_resolved(tmp_path: Path) -> None:
    checks = check(synthetic({**WALK, "folds": 9}), runs=tmp_path / "runs", workers=1)
    failed = [c for c in checks if not c.passed]
    assert [c.name for c in failed] == ["data (too_few_folds)"]


def test_folds_are_written_for_train_only_and_picked_by_time(tmp_path: Path) -> None:
    folds = {"kind": "purged_k_fold", "folds": 3, "label_horizon_bars": 2, "embargo_bars": 1}
    built = build_dataset(resolve(synthetic(FRACTIONS, folds=folds)))
    names = write_dataset(built, tmp_path)
    assert names[-1] == "folds.json"
    plan = read_json(tmp_path / "folds.json")
    assert load_lineage(tmp_path)["folds_sha256"] is not None
    assert (plan["bars"], plan["rows"]) == (99, 99)  # the first bar has no return yet
    assert plan["feature_window_bars"] == 2
    at = built.tables["train"]["timestamp"].dt.epoch("s").to_numpy()
    tested = np.stack([rows_of(plan, k, "test", at) for k in range(3)])
    assert (tested.sum(axis=0) == 1).all()
    trained = rows_of(plan, 1, "train", at)
    assert np.flatnonzero(~trained).tolist() == list(range(31, 70))  # 2 before, 2 + 1 + 1 behind
    later = built.tables["test"]["timestamp"].dt.epoch("s").to_numpy()
    assert not any(rows_of(plan, k, role, later).any() for k in range(3)
                   for role in ("train", "test"))  # fmt: skip


def test_folds_may_reach_into_validation_and_never_into_test() -> None:
    folds = {"kind": "walk_forward", "folds": 4, "test_bars": 10, "within": "train_validation"}
    built = build_dataset(resolve(synthetic(FRACTIONS, folds=folds)))
    assert built.folds is not None
    last = built.folds["folds"][-1]["test"]["bar_starts_s"][-1][-1]
    assert last == int(moment(159).timestamp())
    with pytest.raises(DataError, match="too_few_folds"):
        build_dataset(resolve(synthetic(FRACTIONS, folds={**folds, "within": "train",
                                                          "test_bars": 25})))  # fmt: skip
