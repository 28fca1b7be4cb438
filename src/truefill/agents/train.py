"""Train one seed: updates, evaluations on validation, checkpoints, the best and the final policy.

A training killed at any moment and started again goes on from its last checkpoint and ends in the
same bytes: a checkpoint holds the whole state, and nothing else decides anything.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl

from truefill.agents import ppo, validate
from truefill.agents.checkpoint import flatten, save_tree, unflatten
from truefill.agents.networks import ActorCritic, make_network
from truefill.config.schema import Config
from truefill.core.errors import NonFiniteError
from truefill.core.files import read_arrays, write_arrays, write_json, write_parquet
from truefill.core.fingerprint import sha256_file
from truefill.data.split import SplitArrays
from truefill.env.setup import Environment, make_environment

CHECKPOINT = "checkpoints/last.safetensors"
Row = dict[str, float | None]
Progress = Callable[[int, float | None, Row], None]
"""Called after each update with environment steps done, the latest validation score, and the
update's row of the training log."""


@dataclass
class History:
    """What the training has seen so far; part of every checkpoint."""

    updates: list[Row] = field(default_factory=list)
    evaluations: list[dict[str, float]] = field(default_factory=list)
    best_score: float | None = None
    best_step: int = 0
    since_best: int = 0


def train(
    config: Config,
    train_split: SplitArrays,
    validation_split: SplitArrays,
    seed: int,
    folder: Path,
    progress: Progress,
) -> None:
    """Train ``seed`` into ``folder``, going on from its checkpoint when there is one.

    Writes best.safetensors, final.safetensors, updates.parquet, evaluations.parquet and, last,
    training.json.

    Raises:
        NonFiniteError: naming the tensor that first became NaN or infinite.
    """
    env = make_environment(config, train_split, "train")
    judge = make_environment(config, validation_split, "backtest")
    settings = config.training
    starts, length = validate.episode_starts(
        judge.spec,
        judge.arrays,
        settings.eval_episodes,
        config.env.episode_bars,
        settings.eval_seed,
    )
    state, best, history = _begin(config, env, seed, folder)
    per_update = config.agent.ppo.num_envs * config.agent.ppo.num_steps
    stopped = _stopped(history, config)
    while not stopped and int(state.steps) < settings.total_steps:
        state, log = ppo.update(
            state,
            env.arrays,
            spec=env.spec,
            config=config.agent,
            total_steps=settings.total_steps,
        )
        steps = int(state.steps)
        history.updates.append(_row(log, env.spec.reward_terms, steps, len(history.updates) + 1))
        _check_finite(log, state, steps, seed)
        if _crossed(steps, per_update, settings.eval_every_steps) or steps >= settings.total_steps:
            result = validate.score(
                state.network, judge.arrays, starts, spec=judge.spec, length=length
            )
            best = _judge(history, result, state.network, best, steps)
            stopped = _stopped(history, config)
        if _crossed(steps, per_update, settings.checkpoint_every_steps):
            _save_checkpoint(folder, state, best, history)
        latest = history.evaluations[-1]["score"] if history.evaluations else None
        progress(steps, latest, history.updates[-1])
    _finish(config, folder, seed, state, best, history, stopped)


def chosen_seed(best_scores: Mapping[int, float]) -> int:
    """The seed whose best score on validation is the highest; of equals the smallest."""
    return max(best_scores, key=lambda seed: (best_scores[seed], -seed))


def _begin(
    config: Config, env: Environment, seed: int, folder: Path
) -> tuple[ppo.TrainState, ActorCritic, History]:
    """A fresh state, or the checkpoint's."""
    net_key, key = jax.random.split(jax.random.PRNGKey(seed))
    network = make_network(net_key, env.spec, config.agent)
    state = ppo.init(env.spec, env.arrays, network, config.agent, key)
    path = folder / CHECKPOINT
    if not path.exists():
        return state, network, History()
    arrays, metadata = read_arrays(path)
    where = str(path)
    restored = unflatten(state, arrays, "state", where)
    best = unflatten(network, arrays, "best", where)
    return restored, best, History(**json.loads(metadata["history"]))


def _save_checkpoint(
    folder: Path, state: ppo.TrainState, best: ActorCritic, history: History
) -> None:
    arrays = {**flatten(state, "state"), **flatten(best, "best")}
    write_arrays(folder / CHECKPOINT, arrays, {"history": json.dumps(asdict(history))})


def _crossed(steps: int, per_update: int, every: int) -> bool:
    """Did this update cross a multiple of ``every``?"""
    return steps // every > (steps - per_update) // every


def _stopped(history: History, config: Config) -> bool:
    patience = config.training.patience
    return patience is not None and history.since_best >= patience


def _judge(
    history: History, result: validate.Score, network: ActorCritic, best: ActorCritic, steps: int
) -> ActorCritic:
    """Book an evaluation; the score is the mean net log return of the fixed episodes."""
    returns = np.asarray(result.log_return)
    score = float(np.mean(returns))
    history.evaluations.append(
        {
            "step": steps,
            "score": score,
            "net_return": float(np.mean(np.expm1(returns))),
            "worst_return": float(np.min(np.expm1(returns))),
            "closed_trades": float(np.mean(np.asarray(result.closed_trades))),
            "max_drawdown": float(np.mean(np.asarray(result.drawdown))),
            "turnover": float(np.mean(np.asarray(result.turnover))),
        }
    )
    if history.best_score is None or score > history.best_score:
        history.best_score, history.best_step, history.since_best = score, steps, 0
        return jax.tree.map(jnp.copy, network)
    history.since_best += 1
    return best


def _row(log: ppo.UpdateLog, terms: tuple[str, ...], steps: int, update: int) -> Row:
    """One line of updates.parquet; undefined figures are null."""
    values = {name: float(value) for name, value in log.losses._asdict().items()}
    for name in ("epochs", "learning_rate", "clip_range", "entropy_coef", "explained_variance",
                 "value_mean", "reward_mean", "episodes", "illegal"):  # fmt: skip
        values[name] = float(getattr(log, name))
    rewards = dict(zip(terms, np.asarray(log.terms).tolist(), strict=True))
    for name in ("log_equity", "drawdown", "turnover", "downside", "differential_sharpe"):
        values[f"reward_{name}"] = rewards.get(name, 0.0)
    defined = {name: value if math.isfinite(value) else None for name, value in values.items()}
    return {"update": update, "step": steps, **defined}


@jax.jit
def _finite_flags(state: ppo.TrainState) -> list[jax.Array]:
    return [jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(state.network)]


def _check_finite(log: ppo.UpdateLog, state: ppo.TrainState, steps: int, seed: int) -> None:
    """Stop at the first NaN or infinity, by name."""
    bad = [f"loss {name}" for name, value in log.losses._asdict().items() if not np.isfinite(value)]
    bad += [] if np.isfinite(log.reward_mean) else ["reward"]
    flags = _finite_flags(state)
    names = flatten(state.network)
    bad += [f"network{n}" for n, fine in zip(names, flags, strict=True) if not bool(fine)]
    if bad:
        raise NonFiniteError(
            f"not finite after {steps:,} steps: {', '.join(bad)}",
            where=f"seed {seed}",
            do="lower agent.ppo.learning_rate or max_grad_norm, or see env.reward.scale and clip",
        )


def _finish(
    config: Config,
    folder: Path,
    seed: int,
    state: ppo.TrainState,
    best: ActorCritic,
    history: History,
    stopped: bool,
) -> None:
    save_tree(folder / "final.safetensors", state.network)
    save_tree(folder / "best.safetensors", best)
    write_parquet(
        folder / "updates.parquet", pl.DataFrame(history.updates, infer_schema_length=None)
    )
    write_parquet(folder / "evaluations.parquet", pl.DataFrame(history.evaluations))
    summary: dict[str, Any] = {
        "seed": seed,
        "steps": int(state.steps),
        "updates": len(history.updates),
        "best_score": history.best_score,
        "best_step": history.best_step,
        "score_is": "mean net log return of the fixed validation episodes",
        "stopped": "patience" if stopped else "budget",
        "evaluations": history.evaluations,
        "policy_sha256": sha256_file(folder / "best.safetensors"),
    }
    write_json(folder / "training.json", summary)
