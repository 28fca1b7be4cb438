"""What one update tells the training log: figures of the compiled update, and their row of
updates.parquet (docs/training.md says what each column means)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from truefill.agents.loss import Losses
from truefill.agents.rollout import Rollout
from truefill.agents.value_metrics import Fit, fit, fit_by_group
from truefill.env.episodes import EnvArrays
from truefill.env.setup import SHAPED
from truefill.market.types import Array

EMA_DECAY = 0.9
"""Of the critic's scores, an update."""
Row = dict[str, float | None]


class CriticLog(NamedTuple):
    """How well the values before the epochs foretold the lambda returns."""

    fit: Fit
    weighted: Fit | None
    """Without the rows that the critic does not learn from; None: there are none."""
    by_symbol: Fit | None
    """[symbols]; None where an account trades all symbols."""


class PopArtLog(NamedTuple):
    """The critic's unit during the epochs, and the held-out bars before and after them."""

    unit_mean: Array
    unit_std: Array
    unit_live: Array
    held_out_before: Array
    held_out_after: Array


class RiskLog(NamedTuple):
    """The tail, in units of the reward."""

    cvar_expected: Array
    """Mean over states of the critic's conditional value at risk."""
    cvar_reward: Array
    """Of the rewards of single bars, as collected."""
    cvar_weight: Array


class UpdateLog(NamedTuple):
    """One update's row of the training log."""

    losses: Losses
    epochs: Array
    learning_rate: Array
    clip_range: Array
    entropy_coef: Array
    critic: CriticLog
    value_mean: Array
    reward_mean: Array
    terms: Array
    episodes: Array
    illegal: Array
    popart: PopArtLog | None
    risk: RiskLog | None


def critic_log(rollout: Rollout, returns: Array, arrays: EnvArrays) -> CriticLog:
    """How well the values of a rollout foretold its lambda returns [T, N]."""
    value = rollout.guess.value
    by_symbol = None
    if rollout.symbol is not None and arrays.pool is not None:
        by_symbol = fit_by_group(value, returns, rollout.symbol, arrays.pool.first.shape[0])
    masked = rollout.tradable
    return CriticLog(
        fit(value, returns), None if masked is None else fit(value, returns, masked), by_symbol
    )


def log_row(
    log: UpdateLog,
    terms: tuple[str, ...],
    symbols: tuple[str, ...],
    steps: int,
    before: Sequence[Row],
) -> Row:
    """One line of updates.parquet; undefined figures are null."""
    values = {name: float(value) for name, value in log.losses._asdict().items()}
    for name in ("epochs", "learning_rate", "clip_range", "entropy_coef", "value_mean",
                 "reward_mean", "episodes", "illegal"):  # fmt: skip
        values[name] = float(getattr(log, name))
    rewards = dict(zip(terms, np.asarray(log.terms).tolist(), strict=True))
    for name in ("log_equity", *SHAPED):
        values[f"reward_{name}"] = rewards.get(name, 0.0)
    values.update(_fits(log.critic, symbols))
    for part in (log.popart, log.risk):
        if part is not None:
            values.update({name: float(value) for name, value in part._asdict().items()})
    defined = {name: value if math.isfinite(value) else None for name, value in values.items()}
    last = before[-1] if before else {}
    averages = {
        f"{name}_ema": _moving(last.get(f"{name}_ema"), defined[name])
        for name in _fits(log.critic, symbols)
    }
    return {"update": len(before) + 1, "step": steps, **defined, **averages}


def _fits(log: CriticLog, symbols: tuple[str, ...]) -> dict[str, float]:
    """How well the critic foretold the returns: over all rows, over those it learns from, by
    symbol."""
    found: dict[str, float] = {}
    for score, values in log.fit._asdict().items():
        found[score] = float(values)
        if log.weighted is not None:
            found[f"{score}_weighted"] = float(getattr(log.weighted, score))
        if log.by_symbol is not None:
            own = np.asarray(getattr(log.by_symbol, score)).tolist()
            found |= {f"{score}/{name}": x for name, x in zip(symbols, own, strict=True)}
    return found


def _moving(before: float | None, now: float | None) -> float | None:
    """The moving average after one more value; undefined ones leave it as it was."""
    if now is None or before is None:
        return before if now is None else now
    return EMA_DECAY * before + (1.0 - EMA_DECAY) * now
