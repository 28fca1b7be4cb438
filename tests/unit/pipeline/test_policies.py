"""Warm start and ensemble in a run: keys and inputs, what is written, what is judged, the page."""

from __future__ import annotations

import json
import shutil
from html import unescape
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import truefill
from config_cases import base_tree, put
from small_run import hashes
from truefill.agents.bundle import load_bundle
from truefill.agents.ensemble import Ensemble
from truefill.config.load import load_config, parse_config, portable
from truefill.core.errors import ConfigError, TruefillError
from truefill.pipeline.folder import input_hashes, run_identity
from truefill.pipeline.ledger import Ledger
from truefill.pipeline.preflight import check
from truefill.pipeline.run import RunResult, _Course, run
from unit.pipeline.conftest import tiny_tree

# ---- inputs and keys


def indexed(folder: Path, text: str = "{}") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bundle.json").write_text(text)
    return folder


def keys_of(folder: Path, **changes: Any) -> dict[str, str]:
    """Stage -> key of the small config with ``a__b`` changed, all outputs made up."""
    tree = base_tree()
    for key, value in changes.items():
        put(tree, key.replace("__", "."), value)
    config = parse_config(tree)
    course = _Course(config, folder, "id", input_hashes(config), None, lambda _: None, True)
    seeds = [f"train/seed-{seed}" for seed in config.training.seeds]
    course.manifest.stages = {n: {"artifacts": {n: "aa"}} for n in ("dataset", *seeds)}
    keys = {stage: course._key(stage) for stage in ("dataset", "select")}
    return {**keys, "train": course._key("train", seed=42)}


def changed(one: dict[str, str], two: dict[str, str]) -> set[str]:
    return {stage for stage in one if one[stage] != two[stage]}


def test_training_depends_on_the_bundle_and_the_dataset_does_not(tmp_path: Path) -> None:
    bundle = indexed(tmp_path / "bundle")
    cold = keys_of(tmp_path)
    warm = keys_of(tmp_path, training__warm_start=str(bundle))
    assert changed(cold, warm) == {"train", "select"}
    moved = indexed(tmp_path / "elsewhere/bundle")
    assert keys_of(tmp_path, training__warm_start=str(moved)) == warm
    indexed(bundle, '{"other": 1}')
    assert "train" in changed(warm, keys_of(tmp_path, training__warm_start=str(bundle)))
    assert "dataset" not in changed(warm, keys_of(tmp_path, training__warm_start=str(bundle)))


def test_an_ensemble_is_no_other_training(tmp_path: Path) -> None:
    plain, vote, mean = (keys_of(tmp_path, training__ensemble=r) for r in (None, "vote", "mean"))
    assert changed(plain, vote) == changed(vote, mean) == {"select"}


def test_the_path_counts_from_the_config_and_never_reaches_an_artifact(tmp_path: Path) -> None:
    bundle = indexed(tmp_path / "old/bundle")
    tree = base_tree()
    put(tree, "training.warm_start", "../old/bundle")
    (tmp_path / "new").mkdir()
    (tmp_path / "new/config.yaml").write_text(json.dumps(tree))
    config = load_config(tmp_path / "new/config.yaml")
    assert config.training.warm_start == bundle
    assert config.files() == {"training.warm_start": bundle / "bundle.json"}
    tree = portable(config)
    assert tree["training"]["warm_start"] == "bundle"
    assert portable(parse_config(tree)) == tree
    before = run_identity(config, input_hashes(config))
    indexed(bundle, "[]")
    assert run_identity(config, input_hashes(config)) != before
    shutil.rmtree(bundle)
    with pytest.raises(ConfigError, match="does not exist") as caught:
        input_hashes(config)
    assert caught.value.where.startswith("training.warm_start: ")


# ---- whole runs


def config_with(**training: Any) -> Any:
    tree = tiny_tree()
    tree["training"] |= {"seeds": [3, 1, 2], **training}
    return tree


def start(tree: dict[str, Any], runs: Path, **options: Any) -> RunResult:
    lines: list[str] = []
    found = run(
        parse_config(tree), runs=runs, report=lambda e: lines.append(e.text),
        **{"workers": 1, "skip_checks": True, **options},
    )  # fmt: skip
    object.__setattr__(found, "lines", lines)
    return found


@pytest.fixture(scope="module")
def vote(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """A finished run of an ensemble; read it, do not change it."""
    return start(config_with(ensemble="vote"), tmp_path_factory.mktemp("vote"))


@pytest.mark.slow
def test_the_ensemble_is_the_judged_policy(vote: RunResult) -> None:
    folder = vote.folder
    metrics = json.loads((folder / "backtest/metrics.json").read_text())
    summary = json.loads((folder / "train/summary.json").read_text())
    bundle = load_bundle(folder / "train/ensemble")
    assert isinstance(bundle.network, Ensemble)
    assert len(bundle.network.members) == 3
    assert metrics["chosen"] == summary["chosen"] == "ensemble"
    assert summary["ensemble"]["bundle_sha256"] == bundle.sha256
    assert summary["ensemble"]["members"] == [1, 2, 3]
    names = {"ensemble", "seed-1", "seed-2", "seed-3"}
    curves = pl.read_parquet(folder / "backtest/equity.parquet")
    for split in ("validation", "test"):
        assert names <= set(metrics[split])
        own = curves.filter((pl.col("split") == split) & (pl.col("strategy") == "ensemble"))
        assert own["equity"][-1] / own["equity"][0] - 1.0 == pytest.approx(
            metrics[split]["ensemble"]["net_return"]
        )
        facts = json.loads((folder / f"backtest/{split}/metrics.json").read_text())
        assert facts["slippage_grid"]["0.0"] == metrics[split]["ensemble"]["net_return"]
        gates = {
            g["name"]: g for g in json.loads((folder / "backtest/gates.json").read_text())[split]
        }
        assert gates and names.isdisjoint(facts["paired"])
    again = truefill.backtest(bundle, folder / "dataset")
    assert again.net_return == pytest.approx(metrics["validation"]["ensemble"]["net_return"])
    verdict = json.loads((folder / "verdict.json").read_text())
    assert verdict["looks"] == 4
    assert verdict["behaviour"].startswith("The ensemble ")
    looks = Ledger(folder.parent / "ledger.sqlite").looks()
    booked = {(look["split"], look["seed"]) for look in looks if look["policy"] == bundle.sha256}
    assert booked == {("validation", -1), ("test", -1)}
    [opening] = Ledger(folder.parent / "ledger.sqlite").openings()
    assert opening["policy"] == bundle.sha256
    assert "train/ensemble/bundle.json" in hashes(folder)


@pytest.mark.slow
def test_the_agreement_is_told(vote: RunResult) -> None:
    summary = json.loads((vote.folder / "train/summary.json").read_text())
    agreement = summary["ensemble"]["agreement"]
    assert 0.0 < agreement["unanimous"] <= min(agreement["with_ensemble"].values()) <= 1.0
    assert list(agreement["with_ensemble"]) == ["1", "2", "3"]
    assert any("all 3 members agree on" in line for line in vote.lines)  # type: ignore[attr-defined]


@pytest.mark.slow
def test_what_every_policy_does_is_told(vote: RunResult) -> None:
    lines = vote.lines  # type: ignore[attr-defined]
    assert vote.behaviour is not None
    assert vote.behaviour["policy"] == "ensemble"
    for seed in ("1", "2", "3"):
        training = json.loads((vote.folder / f"train/seed-{seed}/training.json").read_text())
        text = training["behaviour"]["text"]
        assert vote.behaviour["seeds"][seed]["text"] == text
        assert f"seed {seed} {text}" in lines
    page = unescape((vote.folder / "report.html").read_text()).replace("\u00a0", " ")
    for text in ("What each policy does", "Ensemble, vote", "All members order the same",
                 "entries an episode", vote.behaviour["text"]):  # fmt: skip
        assert text in page, text


@pytest.mark.slow
def test_workers_do_not_matter(vote: RunResult, tmp_path: Path) -> None:
    again = start(config_with(ensemble="vote"), tmp_path, workers=3)
    assert hashes(again.folder) == hashes(vote.folder)


@pytest.mark.slow
def test_a_flipped_byte_of_a_member_is_found(vote: RunResult, tmp_path: Path) -> None:
    shutil.copytree(vote.folder.parent, tmp_path / "runs")
    path = (
        tmp_path / "runs" / vote.folder.name / "train/ensemble/members/seed-2/weights.safetensors"
    )
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(TruefillError, match="does not match its hash"):
        start(config_with(ensemble="vote"), tmp_path / "runs")


LATER = {
    "train": {"start": "2020-02-01", "end": "2020-03-15"},
    "validation": {"start": "2020-03-15", "end": "2020-04-10"},
    "test": {"start": "2020-04-10", "end": "2020-05-01"},
}
EARLIER = {
    "train": {"start": "2020-01-01", "end": "2020-02-10"},
    "validation": {"start": "2020-02-10", "end": "2020-03-01"},
    "test": {"start": "2020-03-01", "end": "2020-03-15"},
}


@pytest.mark.slow
def test_a_run_goes_on_with_a_bundle_of_an_earlier_period(tmp_path: Path) -> None:
    early = config_with(seeds=[1])
    early["data"]["splits"] = EARLIER
    first = start(early, tmp_path / "runs", until="train").folder
    bundle = first / "train/seed-1/bundle"
    tree = config_with(seeds=[1, 2], warm_start=str(bundle))
    tree["data"]["splits"] = LATER
    found = start(tree, tmp_path / "runs", skip_checks=False)
    assert found.verdict is not None
    sha256 = load_bundle(bundle).sha256
    summary = json.loads((found.folder / "train/summary.json").read_text())
    assert summary["warm_start"] == {"sha256": sha256}
    mine = load_bundle(found.folder / "train/seed-2/bundle")
    assert [one["sha256"] for one in mine.contract["ancestors"]] == [sha256]
    for name in hashes(found.folder):
        if name.endswith((".json", ".yaml")):
            assert str(tmp_path) not in (found.folder / name).read_text(), name
    told = [line for line in found.lines if line.startswith("warm start")]  # type: ignore[attr-defined]
    assert any("other normalizer statistics" in line for line in told), told
    # And back: what has seen our validation may not be gone on with.
    early["training"]["warm_start"] = str(found.folder / "train/seed-1/bundle")
    early["data"]["splits"] = {**EARLIER, "test": {"start": "2020-03-20", "end": "2020-04-01"}}
    checks = {c.name: c for c in check(parse_config(early), runs=tmp_path / "runs")}
    assert not checks["warm start"].passed
    assert checks["warm start"].exit_code == 2
    assert "it has seen what shall judge it" in checks["warm start"].figure
    with pytest.raises(ConfigError, match="has seen what shall judge it"):
        start(early, tmp_path / "runs")
