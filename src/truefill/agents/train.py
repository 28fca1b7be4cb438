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

from truefill.agents import behaviour, ppo, validate
from truefill.agents.checkpoint import flatten, save_tree, unflatten
from truefill.agents.networks import ActorCritic, make_network
from truefill.agents.update_log import Row, UpdateLog, log_row
from truefill.agents.warm import WarmStart, warm_start
from truefill.config.schema import Config
from truefill.core.errors import NonFiniteError
from truefill.core.files import read_arrays, write_arrays, write_json, write_parquet
from truefill.core.fingerprint import sha256_file
from truefill.data.split import SplitArrays
from truefill.env.setup import Environment, make_environment

CHECKPOINT = "checkpoints/last.safetensors"
Judge = Callable[[Row, ActorCritic], str | None]
"""Called with each row of evaluations.parquet and the network it is of: why to stop, or None."""
Progress = Callable[[int, float | None, Row], None]
"""Called after each update with environment steps done, the latest validation score, and the
update's row of the training log."""


@dataclass
class History:
    """What the training has seen so far; part of every checkpoint."""

    updates: list[Row] = field(default_factory=list)
    evaluations: list[Row] = field(default_factory=list)
    best_score: float | None = None
    best_step: int = 0
    since_best: int = 0
    pruned: str | None = None
    """Why a judge stopped the training."""


def train(
    config: Config,
    train_split: SplitArrays,
    validation_split: SplitArrays,
    seed: int,
    folder: Path,
    progress: Progress,
    *,
    judge: Judge | None = None,
) -> None:
    """Train ``seed`` into ``folder``, going on from its checkpoint when there is one.

    Writes best.safetensors, final.safetensors, updates.parquet, evaluations.parquet and, last,
    training.json.

    Raises:
        NonFiniteError: naming the tensor that first became NaN or infinite.
    """
    env = make_environment(config, train_split, "train")
    held_out = make_environment(config, validation_split, "backtest")
    settings = config.training
    starts, length = validate.episode_starts(
        held_out.spec,
        held_out.arrays,
        settings.eval_episodes,
        config.env.episode_bars,
        settings.eval_seed,
    )
    warm = warm_start(config, env.spec)
    state, best, history = _begin(config, env, seed, folder, warm)
    per_update = config.agent.ppo.num_envs * config.agent.ppo.num_steps

    def evaluate(network: ActorCritic, best: ActorCritic, steps: int) -> ActorCritic:
        result = validate.score(network, held_out.arrays, starts, spec=held_out.spec, length=length)
        bars_a_year = (length, validation_split.periods_per_year)
        best = _judge(history, result, network, best, steps, *bars_a_year)
        if judge is not None:
            history.pruned = judge(history.evaluations[-1], network)
        return best

    if warm is not None and not history.evaluations:
        best = evaluate(state.network, best, 0)
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
        row = log_row(log, env.spec.reward_terms, train_split.symbols, steps, history.updates)
        history.updates.append(row)
        _check_finite(log, state, steps, seed)
        if _crossed(steps, per_update, settings.eval_every_steps) or steps >= settings.total_steps:
            best = evaluate(state.network, best, steps)
            stopped = _stopped(history, config)
        if _crossed(steps, per_update, settings.checkpoint_every_steps):
            _save_checkpoint(folder, state, best, history)
        latest = history.evaluations[-1]["score"] if history.evaluations else None
        progress(steps, latest, history.updates[-1])
    seen = behaviour.watch(best, held_out, starts, length, validation_split.symbols)
    found = behaviour.diagnose(seen, history.updates, env.spec.reward_terms, history.best_step)
    began = None if warm is None else {"sha256": warm.sha256}
    more = {"behaviour": found, "warm_start": began}
    _finish(folder, seed, state, best, history, stopped, more)


def chosen_seed(best_scores: Mapping[int, float]) -> int:
    """The seed whose best score on validation is the highest; of equals the smallest."""
    return max(best_scores, key=lambda seed: (best_scores[seed], -seed))


def _begin(
    config: Config, env: Environment, seed: int, folder: Path, warm: WarmStart | None
) -> tuple[ppo.TrainState, ActorCritic, History]:
    """A fresh state (of a warm start's network, where there is one), or the checkpoint's."""
    net_key, key = jax.random.split(jax.random.PRNGKey(seed))
    network = make_network(net_key, env.spec, config.agent) if warm is None else warm.network
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


def _stopped(history: History, config: Config) -> str | None:
    """Why the training ends before its budget does."""
    if history.pruned is not None:
        return "pruned"
    patience = config.training.patience
    return "patience" if patience is not None and history.since_best >= patience else None


def _judge(
    history: History,
    result: validate.Score,
    network: ActorCritic,
    best: ActorCritic,
    steps: int,
    length: int,
    periods_per_year: float,
) -> ActorCritic:
    """Book an evaluation; the score is the mean net log return of the fixed episodes of ``length``
    bars."""
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
            "sortino": validate.sortino(
                math.fsum(np.asarray(result.simple_return)),
                math.fsum(np.asarray(result.squared_downside)),
                len(returns) * length,
                periods_per_year,
            ),
        }
    )
    if history.best_score is None or score > history.best_score:
        history.best_score, history.best_step, history.since_best = score, steps, 0
        return jax.tree.map(jnp.copy, network)
    history.since_best += 1
    return best


@jax.jit
def _finite_flags(state: ppo.TrainState) -> list[jax.Array]:
    return [jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(state.network)]


def _check_finite(log: UpdateLog, state: ppo.TrainState, steps: int, seed: int) -> None:
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
    folder: Path,
    seed: int,
    state: ppo.TrainState,
    best: ActorCritic,
    history: History,
    stopped: str | None,
    more: dict[str, Any],
) -> None:
    save_tree(folder / "final.safetensors", state.network)
    save_tree(folder / "best.safetensors", best)
    write_parquet(
        folder / "updates.parquet", pl.DataFrame(history.updates, infer_schema_length=None)
    )
    evaluations = pl.DataFrame(history.evaluations, schema_overrides={"sortino": pl.Float64})
    write_parquet(folder / "evaluations.parquet", evaluations)
    summary: dict[str, Any] = {
        "seed": seed,
        "steps": int(state.steps),
        "updates": len(history.updates),
        "best_score": history.best_score,
        "best_step": history.best_step,
        "score_is": "mean net log return of the fixed validation episodes",
        "stopped": stopped or "budget",
        "evaluations": history.evaluations,
        "policy_sha256": sha256_file(folder / "best.safetensors"),
        **more,
    }
    write_json(folder / "training.json", summary)
