"""Training one seed: what is written, when it stops, and that a killed one ends the same."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import jax
import numpy as np
import polars as pl
import pytest

from env_cases import NO_COSTS, agent_of, config_of, environment, random_split, split_of
from truefill.agents import ppo, validate
from truefill.agents.checkpoint import load_tree, save_tree
from truefill.agents.networks import make_network
from truefill.agents.train import CHECKPOINT, History, _judge, train
from truefill.config.schema import Config
from truefill.core.errors import ArtifactError, NonFiniteError
from truefill.core.files import read_arrays, read_json
from truefill.data.split import SplitArrays

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


class KilledError(Exception):
    """Raised in the progress callback, which is where a kill can be timed."""


def config(**changes: Any) -> Config:
    return config_of({**KEYS, **{key.replace("__", "."): v for key, v in changes.items()}})


def run(
    folder: Path,
    config: Config,
    *,
    seed: int = 42,
    kill_at: int | None = None,
    data: SplitArrays = TRAIN,
) -> list[tuple[int, float | None]]:
    """Train; with ``kill_at`` die in the progress callback of that update."""
    seen: list[tuple[int, float | None]] = []

    def progress(steps: int, score: float | None, row: object) -> None:
        seen.append((steps, score))
        if kill_at is not None and steps >= kill_at * PER_UPDATE:
            raise KilledError

    train(config, data, VALIDATION, seed, folder, progress)
    return seen


def hashes(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[int, Any]]]:
    folder = tmp_path_factory.mktemp("trained")
    return folder, run(folder, config())


def test_what_a_training_writes(trained: tuple[Path, list[tuple[int, Any]]]) -> None:
    folder, seen = trained
    assert set(hashes(folder)) == {
        "best.safetensors", "final.safetensors", "updates.parquet", "evaluations.parquet",
        "training.json", CHECKPOINT,
    }  # fmt: skip
    assert [steps for steps, _ in seen] == [PER_UPDATE * i for i in range(1, 11)]
    assert [score is None for _, score in seen] == [True, True] + [False] * 8
    updates = pl.read_parquet(folder / "updates.parquet")
    assert updates["update"].to_list() == list(range(1, 11))
    assert updates["step"].to_list() == [PER_UPDATE * i for i in range(1, 11)]
    named = {"policy_loss", "value_loss", "entropy", "approx_kl", "clip_fraction", "grad_norm",
             "epochs", "learning_rate", "clip_range", "entropy_coef", "explained_variance",
             "value_mean", "reward_mean", "episodes", "illegal", "reward_log_equity",
             "reward_drawdown", "reward_turnover", "reward_downside",
             "reward_differential_sharpe", "r2", "explained_variance_ema", "r2_ema"}  # fmt: skip
    assert set(updates.columns) == named | {"update", "step"}
    assert (updates["reward_drawdown"] < 0.0).all()
    assert (updates["reward_turnover"] == 0.0).all()
    summary = read_json(folder / "training.json")
    evaluations = pl.read_parquet(folder / "evaluations.parquet")
    assert evaluations["step"].to_list() == [PER_UPDATE * i for i in (3, 6, 9, 10)]
    assert summary["best_score"] == evaluations["score"].max()
    best = evaluations["step"][evaluations["score"].arg_max()]
    assert (summary["best_step"], summary["stopped"], summary["updates"]) == (best, "budget", 10)
    digest = hashlib.sha256((folder / "best.safetensors").read_bytes()).hexdigest()
    assert summary["policy_sha256"] == digest


def test_the_best_policy_is_the_one_that_scored_best(
    trained: tuple[Path, list[tuple[int, Any]]],
) -> None:
    folder, _ = trained
    judge = environment(VALIDATION, KEYS, "backtest")
    template = make_network(jax.random.PRNGKey(0), judge.spec, agent_of(hidden=(8,)))
    starts, length = validate.episode_starts(judge.spec, judge.arrays, 4, 10, 0)
    summary = read_json(folder / "training.json")
    last = summary["evaluations"][-1]["score"]
    for name, score in (("best", summary["best_score"]), ("final", last)):
        network, _ = load_tree(folder / f"{name}.safetensors", template)
        got = validate.score(network, judge.arrays, starts, spec=judge.spec, length=length)
        assert float(np.mean(np.asarray(got.log_return))) == score


@pytest.mark.parametrize("kill_at", [1, 3, 7])
def test_killed_and_resumed_ends_in_the_same_bytes(
    trained: tuple[Path, list[tuple[int, Any]]], tmp_path: Path, kill_at: int
) -> None:
    """Before the first checkpoint; with one but before the first evaluation was in it; late."""
    with pytest.raises(KilledError):
        run(tmp_path, config(), kill_at=kill_at)
    assert not (tmp_path / "training.json").exists()
    assert (tmp_path / CHECKPOINT).exists() == (kill_at >= 2)
    resumed = run(tmp_path, config())
    assert resumed[0][0] == PER_UPDATE * (kill_at // 2 * 2 + 1)
    assert hashes(tmp_path) == hashes(trained[0])


def test_another_seed_trains_another_policy_on_the_same_evaluation_episodes(
    trained: tuple[Path, list[tuple[int, Any]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    original = validate.episode_starts

    def spy(*args: Any) -> Any:
        found = original(*args)
        asked.append((found[0].tolist(), found[1]))
        return found

    monkeypatch.setattr(validate, "episode_starts", spy)
    run(tmp_path / "a", config(training__total_steps=3 * PER_UPDATE), seed=1)
    run(tmp_path / "b", config(training__total_steps=3 * PER_UPDATE), seed=2)
    assert asked[0] == asked[1]
    one, other = (hashes(tmp_path / name)["final.safetensors"] for name in "ab")
    assert one != other
    moved = config(training__eval_seed=9, training__total_steps=3 * PER_UPDATE)
    run(tmp_path / "c", moved, seed=1)
    assert asked[2] != asked[0]
    # Which episodes judge it never touches what is learned.
    assert hashes(tmp_path / "c")["final.safetensors"] == one


def test_evaluation_episodes_fit_the_data() -> None:
    env = environment(VALIDATION, {**KEYS, "env.window_bars": 4}, "backtest")
    starts, length = validate.episode_starts(env.spec, env.arrays, 1_000, 10, 0)
    assert length == 10
    assert (int(starts.min()), int(starts.max())) == (3, 39 - 10)
    starts, length = validate.episode_starts(env.spec, env.arrays, 50, 10_000, 0)
    assert length == 36
    assert set(starts.tolist()) == {3}


def test_the_score_by_hand() -> None:
    """Always long on 100, 110, 99, 108.9 at no cost: the log return of the window, no trade closed;
    always flat: nothing at all."""
    keys = {**NO_COSTS, "env.action.kind": "flat_long"}
    env = environment(split_of([100.0, 110.0, 99.0, 108.9]), keys, "backtest")
    net = make_network(jax.random.PRNGKey(0), env.spec, agent_of(hidden=(4,)))
    starts = np.asarray([0, 1], np.int32)
    for action in (0, 1):
        bias = net.policy_head.bias.at[action].set(100.0)
        forced = jax.tree.map(lambda x: x, net)
        object.__setattr__(forced.policy_head, "bias", bias)
        got = validate.score(forced, env.arrays, starts, spec=env.spec, length=2)
        expected = np.log([0.99, 0.99]) if action else [0.0, 0.0]
        np.testing.assert_allclose(got.log_return, expected, atol=1e-12)
        assert got.closed_trades.tolist() == [0, 0]
        np.testing.assert_allclose(got.drawdown, [0.1 * action, 0.1 * action], atol=1e-12)
        np.testing.assert_allclose(got.turnover, [action, action], atol=1e-12)


def test_patience_counts_evaluations_without_a_better_one(tmp_path: Path) -> None:
    """At a learning rate of 0 no evaluation beats the first."""
    frozen = config(
        agent__ppo__learning_rate=0.0, training__patience=2, training__eval_every_steps=PER_UPDATE
    )
    run(tmp_path, frozen)
    summary = read_json(tmp_path / "training.json")
    assert (summary["stopped"], summary["updates"]) == ("patience", 3)
    assert summary["best_step"] == PER_UPDATE
    assert len(summary["evaluations"]) == 3
    before = hashes(tmp_path)
    run(tmp_path, frozen)
    assert hashes(tmp_path) == before


def test_a_better_evaluation_starts_patience_anew() -> None:
    history, kept = History(), "none"
    counts, bests = [], []
    for step, score in enumerate([1.0, 0.5, 0.5, 2.0, 2.0, 1.0], start=1):
        one = np.asarray([score])
        result = validate.Score(*[one] * len(validate.Score._fields))
        kept = _judge(history, result, np.asarray(step), kept, step, 1, 1.0)  # type: ignore[arg-type]
        counts.append(history.since_best)
        bests.append(int(kept))
    assert counts == [0, 1, 2, 0, 1, 2]
    assert bests == [1, 1, 1, 4, 4, 4]
    assert (history.best_score, history.best_step) == (2.0, 4)


def test_a_judge_sees_every_evaluation_and_stops_the_training(tmp_path: Path) -> None:
    rows: list[Any] = []

    def judge(row: Any, network: Any) -> str | None:
        assert hasattr(network, "policy_trunk")
        rows.append(row)
        return "not good enough" if row["step"] == 6 * PER_UPDATE else None

    def nothing(*_: object) -> None:
        pass

    train(config(), TRAIN, VALIDATION, 42, tmp_path, nothing, judge=judge)
    summary = read_json(tmp_path / "training.json")
    assert (summary["stopped"], summary["updates"]) == ("pruned", 6)
    assert summary["evaluations"] == rows
    assert [row["step"] for row in rows] == [3 * PER_UPDATE, 6 * PER_UPDATE]
    before = hashes(tmp_path)
    train(config(), TRAIN, VALIDATION, 42, tmp_path, nothing, judge=judge)
    assert len(rows) == 2  # its checkpoint knows that it was stopped
    assert hashes(tmp_path) == before


@pytest.mark.slow
def test_the_sortino_ratio_of_an_evaluation_is_that_of_its_bars(tmp_path: Path) -> None:
    """One episode over the whole of a split, against the backtest's own figures."""
    held_out = environment(VALIDATION, KEYS, "backtest")
    network = make_network(jax.random.PRNGKey(1), held_out.spec, config().agent)
    starts, length = validate.episode_starts(held_out.spec, held_out.arrays, 3, 20, 0)
    found = validate.score(network, held_out.arrays, starts, spec=held_out.spec, length=length)
    per_bar = [
        validate.score(network, held_out.arrays, starts, spec=held_out.spec, length=n).log_return
        for n in (length - 1, length)
    ]
    last = np.expm1(np.asarray(per_bar[1]) - np.asarray(per_bar[0]))
    shorter = validate.score(
        network, held_out.arrays, starts, spec=held_out.spec, length=length - 1
    )
    gained = np.asarray(found.simple_return) - np.asarray(shorter.simple_return)
    lost = np.asarray(found.squared_downside) - np.asarray(shorter.squared_downside)
    assert gained == pytest.approx(last, abs=1e-12)
    assert lost == pytest.approx(np.minimum(last, 0.0) ** 2, abs=1e-12)


def test_a_sortino_ratio_without_losses_is_0_or_undefined() -> None:
    assert validate.sortino(0.02, 0.0004, 4, 100.0) == pytest.approx(5.0)
    assert validate.sortino(0.0, 0.0, 4, 100.0) == 0.0
    assert validate.sortino(0.02, 0.0, 4, 100.0) is None


def test_a_number_that_is_not_finite_stops_the_training_by_name(tmp_path: Path) -> None:
    with pytest.raises(NonFiniteError) as error:
        run(tmp_path, config(agent__ppo__learning_rate=1e30))
    assert "loss value_loss" in error.value.what
    assert "network" in error.value.what
    assert error.value.where == "seed 42"
    features = TRAIN.features.copy()
    features[7, 1, 2] = np.nan
    broken = SplitArrays(**{**vars(TRAIN), "features": features})
    with pytest.raises(NonFiniteError, match=r"network\.policy_trunk\[0\]\.weight"):
        run(tmp_path, config(), data=broken)
    assert not (tmp_path / "training.json").exists()


@pytest.mark.slow
def test_an_undefined_explained_variance_is_null_in_the_log(tmp_path: Path) -> None:
    """A market that never moves, a value of 0 and a discount of 0: every target is exactly 0."""
    flat = split_of(np.full((40, 1), 100.0), features=np.zeros((40, 1, 1)))
    still = config(**{
        **{key.replace(".", "__"): value for key, value in NO_COSTS.items()},
        "env__state_features": ["unrealized_pnl"], "training__total_steps": PER_UPDATE,
        "training__eval_every_steps": PER_UPDATE, "env__reward__drawdown": 0.0,
    })  # fmt: skip
    train(still, flat, flat, 42, tmp_path, lambda *_: None)
    updates = pl.read_parquet(tmp_path / "updates.parquet")
    assert updates["explained_variance"].to_list() == [None]
    assert updates["reward_mean"].to_list() == [0.0]


def test_a_damaged_checkpoint_is_an_error_not_a_fresh_start(tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        run(tmp_path, config(), kill_at=5)
    path = tmp_path / CHECKPOINT
    whole = path.read_bytes()
    for damaged in (whole[:-10], whole[:-1] + bytes([whole[-1] ^ 1]), b""):
        path.write_bytes(damaged)
        with pytest.raises(ArtifactError, match=r"last\.safetensors"):
            run(tmp_path, config())
    path.write_bytes(whole)
    with pytest.raises(ArtifactError, match="expected float32"):
        run(tmp_path, config(agent__network={"hidden": [9]}))


def test_a_checkpoint_holds_the_whole_state(tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        run(tmp_path, config(), kill_at=4)
    arrays, metadata = read_arrays(tmp_path / CHECKPOINT)
    env = environment(TRAIN, KEYS)
    net = make_network(jax.random.PRNGKey(0), env.spec, config().agent)
    state = ppo.init(env.spec, env.arrays, net, config().agent, jax.random.PRNGKey(0))
    assert len(arrays) == len(jax.tree.leaves(state)) + len(jax.tree.leaves(net))
    assert arrays["state.steps"] == 4 * PER_UPDATE
    assert "history" in metadata


def test_trees_round_trip_and_refuse_what_does_not_fit(tmp_path: Path) -> None:
    tree = {"a": np.arange(3.0), "b": (np.ones((2, 2), np.float32),)}
    save_tree(tmp_path / "tree", tree, {"note": "x"})
    found, metadata = load_tree(tmp_path / "tree", tree)
    assert metadata == {"note": "x"}
    assert found["b"][0].dtype == np.float32
    assert np.array_equal(found["a"], tree["a"])
    with pytest.raises(ArtifactError, match=r"\['c'\].* is missing"):
        load_tree(tmp_path / "tree", {**tree, "c": np.zeros(1)})
    with pytest.raises(ArtifactError, match=r"expected float64\[4\]"):
        load_tree(tmp_path / "tree", {**tree, "a": np.zeros(4)})
