"""One small run through the command line: every stage, skipping, sealing, integrity."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest

from small_run import TREE, hashes, run_folder, truefill, write_config
from truefill.pipeline.ledger import Ledger

DESIGNED = (
    "config.yaml", "dataset/train.parquet", "dataset/validation.parquet", "dataset/test.parquet",
    "dataset/norm_stats.json", "dataset/lineage.json", "dataset/descriptive_stats.json",
    "train/summary.json", "train/seed-1/best.safetensors", "train/seed-1/final.safetensors",
    "train/seed-1/evaluations.parquet", "train/seed-1/training.json", "backtest/equity.parquet",
    "backtest/trades.parquet", "backtest/metrics.json", "backtest/gates.json", "verdict.json",
    "report.html",
)  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run's folder."""
    base = tmp_path_factory.mktemp("finished")
    done = truefill(write_config(base), base / "runs")
    assert done.returncode == 0, done.stderr
    assert "verdict:" in done.stdout
    return run_folder(base / "runs")


def copy(finished: Path, target: Path) -> Path:
    """The finished run and its ledger again, elsewhere; returns its config."""
    shutil.copytree(finished.parent, target / "runs")
    return write_config(target)


def test_the_folder_is_as_designed(finished: Path) -> None:
    found = hashes(finished)
    assert set(DESIGNED) <= set(found)
    assert "timing.json" not in found
    assert "log.txt" not in found
    strays = [path.name for path in finished.rglob("*.partial")]
    assert strays == []


def test_every_look_and_one_opening_are_in_the_ledger(finished: Path) -> None:
    ledger = Ledger(finished.parent / "ledger.sqlite")
    looks = Counter((look["split"], look["seed"]) for look in ledger.looks())
    evaluations = TREE["training"]["total_steps"] // TREE["training"]["eval_every_steps"]
    assert looks == {
        ("test", 1): 1, ("test", 2): 1,
        ("validation", 1): evaluations, ("validation", 2): evaluations,
    }  # fmt: skip
    assert len(ledger.openings()) == 1
    verdict = json.loads((finished / "verdict.json").read_text())
    assert verdict["openings"] == 1
    assert verdict["looks"] == 2
    assert not verdict["contaminated"]


def test_again_skips_every_stage(finished: Path, tmp_path: Path) -> None:
    config = copy(finished, tmp_path)
    before = hashes(run_folder(tmp_path / "runs"))
    done = truefill(config, tmp_path / "runs", "--json")
    assert done.returncode == 0, done.stderr
    stages = json.loads(done.stdout)["stages"]
    assert set(stages.values()) == {"skipped"}
    assert hashes(run_folder(tmp_path / "runs")) == before


@pytest.mark.parametrize(
    "name",
    ["dataset/train.parquet", "train/seed-2/bundle/weights.safetensors", "backtest/gates.json"],
)
def test_a_flipped_byte_is_found(finished: Path, tmp_path: Path, name: str) -> None:
    config = copy(finished, tmp_path)
    path = run_folder(tmp_path / "runs") / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    done = truefill(config, tmp_path / "runs")
    assert done.returncode == 1
    assert name in done.stderr
    assert "does not match its hash" in done.stderr


@pytest.mark.slow
def test_until_validate_never_opens_test(finished: Path, tmp_path: Path) -> None:
    config = write_config(tmp_path)
    done = truefill(config, tmp_path / "runs", "--until", "validate")
    assert done.returncode == 0, done.stderr
    assert Ledger(tmp_path / "runs/ledger.sqlite").openings() == []
    assert not (run_folder(tmp_path / "runs") / "backtest/test").exists()


@pytest.mark.slow
def test_a_failed_validation_gate_keeps_test_sealed(finished: Path, tmp_path: Path) -> None:
    config = write_config(tmp_path, gates={**TREE["gates"], "min_return": 1e6})
    done = truefill(config, tmp_path / "runs")
    assert done.returncode == 0, done.stderr
    assert "do not deploy" in done.stdout
    assert Ledger(tmp_path / "runs/ledger.sqlite").openings() == []


@pytest.mark.slow
def test_another_policy_on_the_same_test_is_contaminated(finished: Path, tmp_path: Path) -> None:
    copy(finished, tmp_path)
    training = {**TREE["training"], "seeds": [1, 3]}
    config = write_config(tmp_path, training=training)
    done = truefill(config, tmp_path / "runs", "--json")
    assert done.returncode == 0, done.stderr
    folder = Path(json.loads(done.stdout)["folder"])
    verdict = json.loads((folder / "verdict.json").read_text())
    assert verdict["contaminated"]
    assert verdict["openings"] == 2
    assert verdict["looks"] == 4


def test_no_artifact_names_a_path_of_this_machine(finished: Path) -> None:
    for name in hashes(finished):
        if name.endswith((".json", ".yaml", ".html")):
            text = (finished / name).read_text()
            assert str(finished.parent) not in text, name
            assert str(Path.home()) + "/" not in text, name


def test_wrong_usage_leaves_nothing(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    for options in (["--only", "tran"], ["--set", "market.fee=1"], ["--workers", "0"]):
        done = truefill(config, tmp_path / "runs", *options)
        assert done.returncode == 2, (options, done.stderr)
        assert done.stderr.strip()
        assert not (tmp_path / "runs").exists()
