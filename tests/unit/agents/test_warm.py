"""A training that begins with a bundle: what it begins with, what is refused, that a killed one
ends in the same bytes."""

from __future__ import annotations

import hashlib
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from config_cases import base_tree, put
from env_cases import config_of, environment, random_split
from truefill.agents import validate
from truefill.agents.bundle import load_bundle, save_bundle, save_ensemble
from truefill.agents.bundle_files import Facts, read_files
from truefill.agents.networks import ActorCritic, make_network
from truefill.agents.train import train
from truefill.agents.warm import ancestors, other_statistics, require_alike, require_unseen
from truefill.config.load import parse_config, portable
from truefill.config.schema import Config
from truefill.core.errors import ArtifactError, ConfigError
from truefill.core.files import read_json
from truefill.env.setup import spec_for

PER_UPDATE = 16 * 8
KEYS: dict[str, Any] = {
    "market.allow_short": True,
    "env.action.kind": "short_flat_long",
    "env.episode_bars": 10,
    "env.reward.drawdown": 0.1,
    "agent.network": {"hidden": [8]},
    "agent.ppo": {"num_envs": 16, "num_steps": 8, "minibatch": 32, "block": 8, "epochs": 2},
    "training": {
        "total_steps": 10 * PER_UPDATE, "eval_every_steps": 3 * PER_UPDATE, "eval_episodes": 4,
        "checkpoint_every_steps": 2 * PER_UPDATE, "patience": None,
    },
}  # fmt: skip
TRAIN, VALIDATION = random_split(2, masked=0.0), random_split(3, masked=0.0)
SYMBOLS = ("S0", "S1")
CONTRACT = {
    "features": [{"name": "f0", "normalizer": "zscore"}, {"name": "f1", "normalizer": "none"},
                 {"name": "f2", "normalizer": "none"}],
    "contract_sha256": "c" * 64, "symbols": list(SYMBOLS), "session": None, "interval_s": 3600.0,
}  # fmt: skip
STATS = {"f0": {"mean": 0.0, "std": 1.0}}


def config(changes: dict[str, Any] | None = None) -> Config:
    return config_of({**deepcopy(KEYS), **(changes or {})})


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh network, saved: nothing that a training with another seed would come to."""
    folder = tmp_path_factory.mktemp("warm") / "bundle"
    spec = spec_for(config(), SYMBOLS, 3)
    network = make_network(jax.random.PRNGKey(99), spec, config().agent)
    loud = jax.tree.map(lambda leaf: leaf * 3.0 if leaf.ndim == 2 else leaf, network)
    save_bundle(folder, loud, portable(config()), CONTRACT, STATS)
    return folder


class KilledError(Exception):
    """Raised in the progress callback, which is where a kill can be timed."""


def run(
    folder: Path, config: Config, kill_at: int | None = None, seen: list[int] | None = None
) -> dict[str, str]:
    def progress(steps: int, score: float | None, row: object) -> None:
        if seen is not None:
            seen.append(steps // PER_UPDATE)
        if kill_at is not None and steps >= kill_at * PER_UPDATE:
            raise KilledError

    train(config, TRAIN, VALIDATION, 42, folder, progress)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def warm(bundle: Path, **training: Any) -> Config:
    return config({"training": {**KEYS["training"], "warm_start": str(bundle), **training}})


def test_the_first_evaluation_is_the_bundles_score(bundle: Path, tmp_path: Path) -> None:
    run(tmp_path, warm(bundle))
    env = environment(VALIDATION, KEYS, "backtest")
    starts, length = validate.episode_starts(env.spec, env.arrays, 4, 10, 0)
    network: Any = load_bundle(bundle).network
    got = validate.score(network, env.arrays, starts, spec=env.spec, length=length)
    training = read_json(tmp_path / "training.json")
    first = training["evaluations"][0]
    assert (first["step"], first["score"]) == (0, float(np.mean(np.asarray(got.log_return))))
    assert [one["step"] for one in training["evaluations"]] == [
        0, *(PER_UPDATE * i for i in (3, 6, 9, 10))
    ]  # fmt: skip
    assert training["warm_start"] == {"sha256": load_bundle(bundle).sha256}
    assert training["steps"] == 10 * PER_UPDATE


def test_what_it_begins_with_can_stay_the_best(bundle: Path, tmp_path: Path) -> None:
    """At a learning rate of 0 nothing beats it; the policy is the bundle's, bit for bit."""
    frozen = warm(bundle, total_steps=3 * PER_UPDATE).model_copy(
        update={"agent": config({"agent.ppo": {**KEYS["agent.ppo"], "learning_rate": 0.0}}).agent}
    )
    run(tmp_path, frozen)
    training = read_json(tmp_path / "training.json")
    assert training["best_step"] == 0
    theirs = (bundle / "weights.safetensors").read_bytes()
    assert (tmp_path / "best.safetensors").read_bytes() == theirs


def test_killed_and_resumed_ends_in_the_same_bytes(bundle: Path, tmp_path: Path) -> None:
    """Before the first checkpoint, and after it: the checkpoint goes before the bundle."""
    whole = run(tmp_path / "whole", warm(bundle))
    for kill_at in (1, 5):
        folder = tmp_path / str(kill_at)
        with pytest.raises(KilledError):
            run(folder, warm(bundle), kill_at)
        seen: list[int] = []
        assert run(folder, warm(bundle), seen=seen) == whole
        assert seen[0] == kill_at // 2 * 2 + 1  # the checkpoint goes before the bundle
    assert run(tmp_path / "cold", config())["final.safetensors"] != whole["final.safetensors"]


# ---- refused: another learner


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"agent.network": {"hidden": [8, 8]}}, r"agent\.network\.hidden is \[8, 8\], .* \[8\]"),
        ({"agent.network": {"hidden": [8], "activation": "tanh"}}, r"activation is tanh"),
        ({"agent.network": {"hidden": [8], "shared_trunk": False}}, r"shared_trunk is False"),
        ({"agent.kind": "recurrent_ppo"}, r"agent\.kind is recurrent_ppo, the bundle's ppo"),
        ({"agent.kind": "quantile_ppo"}, r"kind is quantile_ppo.*critic\.quantiles is 32"),
        ({"agent.kind": "recurrent_ppo", "agent.memory": {"units": 6}}, r"memory\.units is 6"),
        ({"env.action.params": {"size": 0.5}}, r"env\.action\.params is \{'size': 0\.5\}"),
        ({"env.action.kind": "flat_long"}, r"env\.action\.kind is flat_long"),
        ({"env.state_features": ["position"]}, r"state features is \[position\]"),
        ({"env.window_bars": 2}, r"env\.window_bars is 2, the bundle's 1"),
        ({"market.decision_lag": 2}, r"state features .*market\.decision_lag is 2"),
        ({"env.episode_symbols": "one"}, r"env\.episode_symbols is one"),
    ],
)
def test_another_learner_is_refused(bundle: Path, changes: dict[str, Any], said: str) -> None:
    other = config({**changes, "training.warm_start": str(bundle)})
    with pytest.raises(ConfigError, match=f"of another learner: .*{said}") as caught:
        require_alike(other, spec_for(other, SYMBOLS, 3))
    assert caught.value.where == "training.warm_start"


def test_what_only_learning_knows_may_differ(bundle: Path) -> None:
    network = {"hidden": [8], "log_std_init": -1.0}
    other = config({
        "agent.network": network, "agent.ppo": {**KEYS["agent.ppo"], "gamma": 0.5},
        "env.reward.turnover": 0.3, "market.fee_bps": 7, "training.warm_start": str(bundle),
    })  # fmt: skip
    assert require_alike(other, spec_for(other, SYMBOLS, 3)).sha256 == load_bundle(bundle).sha256


def test_other_tensors_are_refused_by_name(bundle: Path, tmp_path: Path) -> None:
    """Four features under a contract that says three: every setting is the same."""
    with pytest.raises(ConfigError, match=r"tensor \.policy_trunk\[0\]\.weight is \[\d+, 8\]"):
        wide = random_split(2)
        wide = type(wide)(**{**vars(wide), "features": np.zeros((40, 2, 4), np.float32)})
        train(warm(bundle), wide, wide, 1, tmp_path, lambda *_: None)


def test_an_ensemble_is_refused(bundle: Path, tmp_path: Path) -> None:
    save_ensemble(tmp_path / "e", {1: bundle}, "vote")
    with pytest.raises(ConfigError, match="is an ensemble's") as caught:
        run(tmp_path / "t", warm(tmp_path / "e"))
    assert "members/seed-42" in caught.value.do
    run(tmp_path / "member", warm(tmp_path / "e/members/seed-1", total_steps=3 * PER_UPDATE))


def test_a_damaged_bundle_is_refused(bundle: Path, tmp_path: Path) -> None:
    save_ensemble(tmp_path / "e", {1: bundle}, "vote")
    one = tmp_path / "e/members/seed-1"
    (one / "norm_stats.json").write_text("{}")
    with pytest.raises(ArtifactError, match="does not match its hash"):
        run(tmp_path / "t", warm(one))
    with pytest.raises(ArtifactError, match="does not exist"):
        run(tmp_path / "t", warm(tmp_path / "nowhere"))


# ---- refused: other data, and what has seen what shall judge it


@lru_cache
def small_network() -> ActorCritic:
    return make_network(jax.random.PRNGKey(0), spec_for(config(), SYMBOLS, 3), config().agent)


def facts(folder: Path, changes: dict[str, Any], **more: Any) -> Facts:
    """A bundle with other splits (and weights of no account)."""
    tree = base_tree()
    for key, value in changes.items():
        put(tree, key, value)
    save_bundle(folder, small_network(), portable(parse_config(tree)), CONTRACT, STATS, **more)
    return read_files(folder).facts


LINEAGE = {**CONTRACT, "split_sha256": {}}
EARLY = {
    "data.splits": {
        "train": {"start": "2019-01-01", "end": "2019-06-01"},
        "validation": {"start": "2019-06-01", "end": "2019-09-01"},
        "test": {"start": "2019-09-01", "end": "2020-01-01"},
    }
}


def own() -> Config:
    """Validation from 2020-10-01 to 2021-01-01, test to 2021-05-01."""
    return parse_config(base_tree())


def test_other_symbols_and_features_are_refused(tmp_path: Path) -> None:
    early = facts(tmp_path, EARLY)
    require_unseen(early, own(), LINEAGE)
    with pytest.raises(ConfigError, match="the bundle trades S0, S1, this run S0"):
        require_unseen(early, own(), {**LINEAGE, "symbols": ["S0"]})
    features = deepcopy(CONTRACT["features"])
    features[1]["normalizer"] = "minmax"
    other = {**LINEAGE, "contract_sha256": "d" * 64, "features": features}
    with pytest.raises(ConfigError, match=r"feature 1 \(f1\) differs in normalizer"):
        require_unseen(early, own(), other)
    with pytest.raises(ConfigError, match="feature 2 is none, the bundle's f2"):
        require_unseen(early, own(), {**other, "features": CONTRACT["features"][:2]})


def splits(train: str, validation: str, test: str, end: str) -> dict[str, Any]:
    edges = (train, validation, test, end)
    periods = zip(("train", "validation", "test"), edges[:-1], edges[1:], strict=True)
    return {"data.splits": {name: {"start": start, "end": end} for name, start, end in periods}}


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (splits("2020-09-01", "2020-10-02", "2020-12-01", "2021-01-01"),
         "trained on 2020-09-01 to 2020-10-02, which overlaps this run's validation"),
        (splits("2021-02-01", "2021-03-01", "2021-06-01", "2021-07-01"),
         "trained on 2021-02-01 to 2021-03-01, which overlaps this run's test"),
        (splits("2020-01-01", "2020-12-31", "2021-01-01", "2021-07-01"), "trained on 2020-01-01"),
        (splits("2020-01-01", "2020-09-01", "2020-11-01", "2021-07-01"),
         "selected on 2020-09-01 to 2020-11-01, which overlaps this run's validation"),
        (splits("2018-01-01", "2021-04-30", "2021-06-01", "2021-07-01"), "trained on"),
        (splits("2020-01-01", "2020-05-01", "2020-10-01", "2021-07-01"), None),
        (splits("2021-05-01", "2021-06-01", "2021-07-01", "2021-08-01"), None),
    ],
)  # fmt: skip
def test_a_bundle_that_has_seen_what_judges_it_is_refused(
    tmp_path: Path, seen: dict[str, Any], said: str | None
) -> None:
    theirs = facts(tmp_path, seen)
    if said is None:
        require_unseen(theirs, own(), LINEAGE)
        return
    with pytest.raises(ConfigError, match=f"the bundle was {said}.*") as caught:
        require_unseen(theirs, own(), LINEAGE)
    assert "it has seen what shall judge it" in str(caught.value)
    # Another synthetic market, or a smoke run inside train: nothing of ours was seen.
    tree = base_tree()
    put(tree, "data.synthetic.seed", 77)
    require_unseen(theirs, parse_config(tree), LINEAGE)
    require_unseen(theirs, own().model_copy(update={"name": "small-smoke"}), LINEAGE)


def test_what_a_bundle_began_with_counts_too(tmp_path: Path) -> None:
    """Trained early, but begun with a policy that was trained on our test."""
    late = facts(tmp_path / "late", splits("2021-01-01", "2021-06-01", "2021-07-01", "2021-08-01"))
    child = facts(tmp_path / "child", EARLY, ancestors=ancestors(late))
    with pytest.raises(ConfigError, match="a policy it began with was trained on 2021-01-01"):
        require_unseen(child, own(), LINEAGE)
    grandchild = facts(tmp_path / "grandchild", EARLY, ancestors=ancestors(child))
    assert [one["sha256"] for one in ancestors(grandchild)] == [
        late.sha256, child.sha256, grandchild.sha256
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="a policy it began with was trained on 2021-01-01"):
        require_unseen(grandchild, own(), LINEAGE)


def test_other_normalizer_statistics_are_told(tmp_path: Path) -> None:
    early = facts(tmp_path, EARLY)
    assert other_statistics(early, STATS) == []
    other = {"f0": {"mean": 0.0, "std": 2.0}, "f1": {"mean": 9.0, "std": 2.0}}
    assert other_statistics(early, other) == ["f0"]  # f1 is not fitted
