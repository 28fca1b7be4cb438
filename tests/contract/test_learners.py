"""Whatever learner is registered: killed, it goes on and ends in the same bytes; its bundle acts
as the network did."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
import polars as pl
import pytest

from config_cases import base_tree, put
from env_cases import config_of, random_split, with_windows
from learner_cases import BUDGETS, KINDS, window
from learner_cases import SMALL as LEARNERS
from truefill.agents.bundle import Bundle, load_bundle, most_likely, save_bundle
from truefill.agents.networks import ActorCritic, best_action, make_network
from truefill.agents.train import train
from truefill.config.load import parse_config, portable
from truefill.config.schema import Config
from truefill.core.errors import SealedTestError
from truefill.data.dataset import load_split, write_dataset
from truefill.env.setup import make_environment, spec_for
from truefill.evaluation.backtest import backtest
from truefill.features.build import build_dataset

FAST = ("ppo", "recurrent_ppo gru")
EACH = [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in LEARNERS]
PPO = {"num_envs": 16, "num_steps": 8, "minibatch": 32, "block": 8, "epochs": 2}
UPDATE = 128


def test_every_learner_is_here() -> None:
    assert {learner["kind"] for learner in LEARNERS.values()} == set(KINDS)
    assert set(BUDGETS) == set(LEARNERS)


def agent(learner: str) -> dict[str, Any]:
    network = {"hidden": [8], **LEARNERS[learner].get("network", {})}
    return {**LEARNERS[learner], "network": network, "ppo": PPO}


def config(learner: str) -> Config:
    return config_of(
        {
            "market.allow_short": True, "env.episode_bars": 10, "agent": agent(learner),
            "env.action.kind": "short_flat_long", "env.window_bars": window(learner),
            "training": {"total_steps": 6 * UPDATE, "eval_every_steps": 3 * UPDATE,
                         "eval_episodes": 4, "checkpoint_every_steps": 2 * UPDATE},
        }
    )  # fmt: skip


class KilledError(Exception):
    """Raised in the progress callback."""


def trained(learner: str, folder: Path, *, kill_at: int | None = None) -> dict[str, str]:
    def progress(steps: int, score: float | None, row: object) -> None:
        if kill_at is not None and steps >= kill_at * UPDATE:
            raise KilledError

    train(config(learner), random_split(2), random_split(3), 42, folder, progress)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.mark.slow
@pytest.mark.parametrize("learner", LEARNERS)
def test_a_killed_training_goes_on_and_ends_in_the_same_bytes(learner: str, tmp_path: Path) -> None:
    whole = trained(learner, tmp_path / "whole")
    with pytest.raises(KilledError):
        trained(learner, tmp_path / "killed", kill_at=3)
    assert trained(learner, tmp_path / "killed") == whole
    assert len(whole) == 6


def bundle_of(learner: str, folder: Path) -> Bundle:
    """A fresh network whose weights are loud, so that its actions differ."""
    tree = base_tree()
    put(tree, "agent", agent(learner))
    put(tree, "env.action.kind", "flat_long")
    put(tree, "env.window_bars", window(learner))
    parsed = parse_config(tree)
    built = build_dataset(parsed)
    spec = spec_for(parsed, tuple(built.lineage["symbols"]), len(built.lineage["features"]))
    network = make_network(jax.random.PRNGKey(1), spec, parsed.agent)
    loud = jax.tree.map(lambda leaf: leaf * 10.0 if leaf.ndim == 2 else leaf, network)
    save_bundle(folder, loud, portable(parsed), built.lineage, built.norm_stats)
    return load_bundle(folder)


@pytest.mark.parametrize("learner", EACH)
def test_a_bundle_acts_bar_by_bar_as_its_network(learner: str, tmp_path: Path) -> None:
    bundle = bundle_of(learner, tmp_path / "bundle")
    again = load_bundle(tmp_path / "bundle")
    seen = np.random.default_rng(0).normal(size=(30, bundle.spec.observation_size))
    seen = seen.astype(np.float32)
    one, two = bundle.player(), again.player()
    acted, first, carry = [], [], bundle.network.initial(1)
    for row in seen:
        action = one.act(row, contract_sha256=bundle.contract_sha256)
        assert action.tobytes() == two.act(row, contract_sha256=again.contract_sha256).tobytes()
        carry, out, _ = bundle.network.step(carry, row[:, None], None)
        assert action.tolist() == np.asarray(best_action(bundle.network, out))[:, 0].tolist()
        acted.append(action.item())
        first.append(bundle.act(row, contract_sha256=bundle.contract_sha256).item())
    assert len(set(acted)) == 2
    assert (acted == first) == (not bundle.network.memories)
    one.reset()
    replayed = [one.act(row, contract_sha256=bundle.contract_sha256).item() for row in seen]
    assert replayed == acted


@pytest.mark.slow
@pytest.mark.parametrize("learner", LEARNERS)
def test_the_same_seed_gives_the_same_bytes_and_no_test_row_is_in_reach(
    learner: str, tmp_path: Path
) -> None:
    """Twice, from a dataset whose test table is first another one and then gone."""
    tree = base_tree()
    put(tree, "agent", agent(learner))
    put(tree, "env.window_bars", window(learner))
    put(tree, "training", {"total_steps": 2 * UPDATE, "eval_every_steps": UPDATE,
                           "eval_episodes": 2, "checkpoint_every_steps": UPDATE})  # fmt: skip
    parsed = parse_config(tree)
    folder = tmp_path / "dataset"
    built = build_dataset(parsed)
    write_dataset(built, folder)

    def policy(name: str, seed: int = 1) -> str:
        splits = [load_split(folder, split) for split in ("train", "validation")]
        train(parsed, *splits, seed, tmp_path / name, lambda *_: None)
        return hashlib.sha256((tmp_path / name / "final.safetensors").read_bytes()).hexdigest()

    table = folder / "test.parquet"
    first = policy("first")
    shuffled = pl.read_parquet(table).sample(fraction=1.0, shuffle=True, seed=1)
    shuffled.write_parquet(table)
    assert policy("shuffled") == first
    table.unlink()
    assert policy("gone") == first != policy("other", seed=2)
    with pytest.raises(SealedTestError):
        load_split(folder, "test")


@pytest.mark.slow
@pytest.mark.parametrize("learner", LEARNERS)
def test_what_a_learner_does_stays_within_the_limits(learner: str) -> None:
    """Loud weights that want everything: half the equity a symbol at most, three bars at least, and
    nothing inside the windows."""
    closed = [{"start": "06:00", "end": "08:00"}]
    keys = {"market.allow_short": True, "market.max_weight": 0.5, "market.min_hold_bars": 3,
            "market.no_trade_band": 0.02, "market.no_trade": closed,
            "env.action.kind": "target_weight", "env.window_bars": window(learner),
            "agent": agent(learner)}  # fmt: skip
    parsed = config_of(keys)
    split = with_windows(random_split(4, bars=200, symbols=1, masked=0.0), parsed)
    env = make_environment(parsed, split, "backtest")
    network = make_network(jax.random.PRNGKey(1), env.spec, parsed.agent)
    loud = eqx.tree_at(lambda n: n.policy_head.weight, network, 1e3 * network.policy_head.weight)
    [trace] = backtest(Loud(loud), env, split, "any")
    held = np.abs(trace.weights[:, 0])
    traded = trace.turnover > 0.0
    assert traded.sum() > 20 and held.max() > 0.4
    assert held[traded].max() <= 0.5 + 0.1  # at the open; the close of the same bar may lie off
    assert trace.trades["bars_held"].min() >= 3
    hours = (trace.timestamps_s // 3_600) % 24
    assert not traded[(hours >= 6) & (hours < 8)].any()


class Loud:
    """A network as a policy."""

    decide = staticmethod(most_likely)
    contract_sha256 = "any"

    def __init__(self, network: ActorCritic) -> None:
        self.parameters = network
        self.initial = network.initial
