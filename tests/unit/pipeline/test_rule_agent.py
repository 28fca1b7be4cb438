"""A run whose judged policy is a rule: nothing is trained, everything else is as ever."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import truefill
from small_run import TREE, run_folder
from truefill.agents.bundle import load_bundle
from truefill.agents.warm import require_alike
from truefill.config.load import parse_config
from truefill.config.schema import Config
from truefill.core.errors import ArtifactError, ConfigError
from truefill.data.dataset import load_lineage
from truefill.pipeline import stages
from truefill.pipeline.behaviours import behaviours
from truefill.pipeline.estimate import env_spec, estimate
from truefill.pipeline.preflight import _registered
from truefill.pipeline.run import run
from truefill.pipeline.tune import make_plan

RULE = {"policy": "threshold", "params": {"signal": "signal", "enter": 1.0, "exit": 0.5}}
FREE = dict.fromkeys(
    ("min_return", "min_sharpe", "max_drawdown", "min_closed_trades", "min_win_rate",
     "max_action_imbalance")
)  # fmt: skip


def tree_of(**more: Any) -> dict[str, Any]:
    tree = {**deepcopy(TREE), "name": "ruled", "agent": {"kind": "rule", "rule": RULE}}
    tree["gates"] |= FREE
    return {**tree, **more}


def test_a_rule_has_no_seeds_to_be_trained() -> None:
    config = parse_config(tree_of())
    assert config.training.seeds == (0,) and config.evaluation.min_positive_seeds == 1
    assert parse_config(config.model_dump(mode="json")) == config
    plain = tree_of()
    del plain["training"], plain["evaluation"]
    assert parse_config(plain).training.seeds == (0,)
    assert Config(**dict(config)).training.seeds == (0,)
    assert estimate(config).breakdown["rate"] == "a rule: nothing is trained"
    assert estimate(config).time_s < 60.0


@pytest.mark.parametrize(
    ("section", "keys", "what"),
    [
        ("training", {"ensemble": "vote"}, "training.ensemble is for policies that are trained"),
        ("training", {"warm_start": "b"}, "training.warm_start is for policies that are trained"),
        ("agent", {"rule": None}, "agent.kind rule needs agent.rule"),
        ("agent", {"kind": "ppo"}, "agent.rule is of kind: rule, and agent.kind is ppo"),
    ],
)
def test_what_a_rule_cannot_have(section: str, keys: dict[str, Any], what: str) -> None:
    tree = tree_of()
    tree[section] = {**tree[section], **keys}
    with pytest.raises(ConfigError, match=what):
        parse_config(tree)


def test_checks_know_the_rule_and_there_is_nothing_to_tune() -> None:
    config = parse_config(tree_of())
    found = {check.name: check for check in _registered(config)}
    assert found["rule"].passed and "nothing is trained" in found["rule"].figure
    assert "network" not in found
    wrong = {"kind": "rule", "rule": {"policy": "threshold", "params": {"signal": "sgnal"}}}
    found = {c.name: c for c in _registered(parse_config(tree_of(agent=wrong)))}
    assert not found["rule"].passed and found["rule"].figure.startswith("agent.rule: no feature")
    with pytest.raises(ConfigError, match="nothing to search"):
        make_plan(config, None, 1, 0)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[stages.Work]:
    """A run up to its choice, in this process."""
    runs = tmp_path_factory.mktemp("runs")
    work = stages.Work(
        runs / "ruled", runs, parse_config(tree_of()), "key", "run", lambda *_: None, print
    )
    stages.build(work)
    files = stages.train(work, 0)
    assert sorted(files) == sorted(
        path.relative_to(work.folder).as_posix()
        for path in (work.folder / "train").rglob("*")
        if path.is_file()
    )
    assert stages.select(work) == ["train/summary.json", "config.yaml"]
    yield work


def test_what_stands_in_a_trainings_place(trained: stages.Work) -> None:
    facts = json.loads((trained.folder / "train/rule/rule.json").read_text())
    assert facts["policy"] == "threshold" and facts["params"]["exit"] == 0.5
    assert facts["behaviour"]["name"] == "trades" and facts["behaviour"]["driven_by"] is None
    told = behaviours(trained.folder)
    assert told is not None and told["policy"] == "rule" and told["seeds"] == {}
    assert told["text"].startswith("The rule threshold trades: ")
    sha256 = load_lineage(trained.dataset)["split_sha256"]["validation"]
    assert len(trained.ledger.looks_on(sha256)) == 1


def test_its_bundle_acts_without_weights(trained: stages.Work) -> None:
    bundle = load_bundle(trained.folder / "train/rule/bundle")
    player, contract = bundle.player(), bundle.contract_sha256
    sides = []
    for signal in (0.0, 1.01, 0.6, 0.4, -1.2, -0.6):
        seen = np.zeros(bundle.spec.observation_size)
        given = bundle.network.given  # type: ignore[union-attr]
        seen[given.rows("signal")] = float(given.normalized("signal", signal))
        sides.append(int(player.act(seen, contract_sha256=contract)[0]) - 1)
    assert sides == [0, 1, 1, 0, -1, -1]
    learner = {"training": {**TREE["training"], "warm_start": trained.folder / "train/rule/bundle"}}
    config = parse_config({**TREE, **learner})
    with pytest.raises(ConfigError, match=r"agent\.kind is ppo, the bundle's rule"):
        require_alike(config, env_spec(config))
    path = trained.folder / "train/rule/bundle/config.json"
    before = path.read_bytes()
    try:
        path.write_bytes(before.replace(b'"exit": 0.5', b'"exit": 0.4'))
        with pytest.raises(ArtifactError, match="does not match its hash"):
            load_bundle(path.parent)
    finally:
        path.write_bytes(before)


@pytest.mark.slow
def test_a_rule_is_judged_from_data_to_verdict(tmp_path: Path) -> None:
    config = parse_config(tree_of())
    first = run(config, runs=tmp_path, workers=1)
    assert set(first.stages.values()) == {"done"} and first.behaviour is not None
    folder = run_folder(tmp_path)
    metrics = json.loads((folder / "backtest/metrics.json").read_text())
    verdict = json.loads((folder / "verdict.json").read_text())
    assert metrics["chosen"] == "rule" and metrics["test"]["rule"]["closed_trades"] > 20
    assert not [name for name in metrics["test"] if name.startswith("seed-")]
    assert set(metrics["paired"]["test"]) == set(metrics["test"]) - {"rule"}
    [seeds] = [r for r in verdict["reasons"] if r["check"] == "seeds"]
    assert seeds["text"].startswith("A rule was judged") and verdict["looks"] == 1
    assert seeds["passed"] == (metrics["test"]["rule"]["net_return"] > 0.0)
    bundle = truefill.load_bundle(folder / "train/rule/bundle")
    alone = truefill.backtest(bundle, folder / "dataset")
    assert alone.net_return == metrics["validation"]["rule"]["net_return"]
    page = (folder / "report.html").read_text()
    assert "Rule, threshold" in page and "A rule was judged: nothing was trained." in page
    assert set(run(config, runs=tmp_path, workers=1).stages.values()) == {"skipped"}
