"""The Python API never shows test rows, and its backtest is the run's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import truefill
from truefill.config.schema import Config
from truefill.core.errors import PolicyError, SealedTestError, UsageError
from truefill.core.files import read_json, write_json
from truefill.pipeline.ledger import Ledger


def test_a_built_dataset_has_no_test_rows(tiny: Config) -> None:
    built = truefill.build_dataset(tiny)
    assert set(built.tables) == {"train", "validation"}
    assert set(built.descriptive) == {"train", "validation"}
    opens = tiny.data.splits.test.start
    for table in built.tables.values():
        assert table["timestamp"].max() < opens
    assert built.lineage["rows"]["test"] > 0


def test_an_environment_on_test_is_refused(tiny: Config) -> None:
    with pytest.raises(SealedTestError, match="the test split is sealed") as caught:
        truefill.make_env(tiny, "test")
    assert "train or validation" in caught.value.do


def test_a_backtest_on_test_is_refused_and_counts_nothing(finished: Path) -> None:
    ledger = Ledger(finished.parent / "ledger.sqlite")
    before = ledger.looks(), ledger.openings()
    bundle = truefill.load_bundle(finished / "train/seed-1/bundle")
    with pytest.raises(SealedTestError, match="the test split is sealed"):
        truefill.backtest(bundle, finished / "dataset", split="test")
    with pytest.raises(UsageError, match="no split is called 'tset'"):
        truefill.backtest(bundle, finished / "dataset", split="tset")
    assert (ledger.looks(), ledger.openings()) == before


def test_a_backtest_is_the_runs_own(finished: Path) -> None:
    bundle = truefill.load_bundle(finished / "train/seed-1/bundle")
    trace = truefill.backtest(bundle, finished / "dataset")
    rows = pl.read_parquet(finished / "backtest/equity.parquet").filter(
        (pl.col("split") == "validation") & (pl.col("strategy") == "seed-1")
    )
    assert trace.equity.tobytes() == rows["equity"].to_numpy().tobytes()
    assert trace.curve("validation", "seed-1").equals(rows)
    metrics = read_json(finished / "backtest/metrics.json")
    assert trace.net_return == metrics["validation"]["seed-1"]["net_return"]
    dear = truefill.backtest(bundle, finished / "dataset", cost_multiple=2.0)
    assert dear.net_return == metrics["cost_stress"]["validation"]["x2.0"]
    slow = truefill.backtest(bundle, finished / "dataset", extra_slippage_bps=2.0)
    assert slow.net_return == metrics["slippage_grid"]["validation"]["2.0"]
    assert slow.net_return < trace.net_return


@pytest.mark.parametrize(("key", "message"), [("contract_sha256", "feature contract"),
                                              ("symbols", "the policy trades SYN1")])  # fmt: skip
def test_a_foreign_dataset_is_refused(copied: Path, key: str, message: str) -> None:
    bundle = truefill.load_bundle(copied / "train/seed-1/bundle")
    lineage = read_json(copied / "dataset/lineage.json")
    other = {"contract_sha256": "d" * 64, "symbols": ["OTHER"]}[key]
    write_json(copied / "dataset/lineage.json", {**lineage, key: other})
    with pytest.raises(PolicyError, match=message):
        truefill.backtest(bundle, copied / "dataset")


def test_a_dataset_normalized_otherwise_is_refused(copied: Path) -> None:
    bundle = truefill.load_bundle(copied / "train/seed-1/bundle")
    stats = read_json(copied / "dataset/norm_stats.json")
    stats["ret"]["mean"] += 1e-9
    write_json(copied / "dataset/norm_stats.json", stats)
    with pytest.raises(PolicyError, match="other statistics than the policy's: ret"):
        truefill.backtest(bundle, copied / "dataset")


@pytest.mark.parametrize("split", ["train", "validation"])
def test_an_environment_steps_through_its_split(tiny: Config, split: str) -> None:
    env = truefill.make_env(tiny, split, num_envs=4)
    observation, _ = env.reset(seed=0)
    assert observation.shape[0] == 4
    for action in (2, 0, 1):
        actions = np.full(env.action_space.shape, action)
        observation, reward, terminated, truncated, _ = env.step(actions)
        assert np.isfinite(observation).all()
        assert np.isfinite(reward).all()
        assert not terminated.any() and not truncated.any()


def test_a_run_through_the_api_goes_on_where_the_last_one_stopped(
    tiny: Config, copied: Path
) -> None:
    result = truefill.run(tiny, runs=str(copied.parent), workers=1, skip_checks=True)
    assert result.folder == copied
    assert set(result.stages.values()) == {"skipped"}
    assert result.verdict == read_json(copied / "verdict.json")["verdict"]
    assert result.report_path == copied / "report.html"
