"""Fit a network: epochs, a holdout that judges them, the best weights, and going on after a kill.

The same task, rows and seed give the same bits. A fit that was killed goes on from its checkpoint
and ends in the same bits, for a checkpoint holds all that decides anything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from truefill.config.forecast import FitConfig
from truefill.core.errors import ConfigError, DataError, NonFiniteError
from truefill.forecast.baselines.base import History
from truefill.forecast.fit import optimizer
from truefill.forecast.fit.course import Course, State, copied
from truefill.forecast.fit.epoch import Learned, Shape, Told, outputs, run_epoch
from truefill.forecast.fit.fitted import FittedNetwork
from truefill.forecast.fit.holdout import Metrics, require_metric
from truefill.forecast.fit.prepare import Prepared, metric_of
from truefill.forecast.fit.task import LossKey, NetworkTask, make_network

Progress = Callable[[int, int, float | None], None]
"""Called after each epoch with its number, the most there can be, and its metric on the holdout."""
LEAST_BATCH, MOST_BATCH = 64, 1024


def fit_network(
    task: NetworkTask,
    histories: Sequence[History],
    seed: int,
    *,
    checkpoint: Path | None = None,
    checkpoint_every: int = 1,
    progress: Progress | None = None,
) -> FittedNetwork:
    """The task's network, fitted to the rows of histories.

    Args:
        task: network, loss, labels, and how to fit.
        histories: bars and features; ``rows``: the train rows, each with a full window.
        seed: of weights, orders and dropout.
        checkpoint: a file that is written after every ``checkpoint_every`` epochs; the fit goes on
            from it where it exists. It stays there.
        progress: told of every epoch.

    Raises:
        ConfigError: a task that cannot be; mixed precision on a CPU.
        DataError: rows that cannot be fitted.
        NonFiniteError: the loss became NaN or infinite; names epoch and step.
        ArtifactError: the checkpoint is of another fit.
    """
    prepared = Prepared.of(task, histories)
    check_fit(task.fit, prepared.key)
    batch = batch_size(task.fit, len(prepared.chosen.fitted), custom=prepared.key.custom)
    fitting = _Fitting(prepared, seed, checkpoint, checkpoint_every, progress)
    state, notes = fitting.begin(batch), list[str]()
    if checkpoint is not None and checkpoint.exists():
        state = state.load(checkpoint, fitting.sha256)
    while True:
        try:
            fitting.go_on(state, notes)
            break
        except jax.errors.JaxRuntimeError as error:
            batch = _halved(task.fit, state.course.batch_size, error)
        notes = [f"memory ended with batches of {2 * batch:,} rows; begun anew with {batch:,}"]
        state = fitting.begin(batch)
    return fitting.result(state)


@dataclass(frozen=True)
class _Fitting:
    """A fit at work."""

    prepared: Prepared
    seed: int
    checkpoint: Path | None
    every: int
    progress: Progress | None

    @cached_property
    def sha256(self) -> str:
        return self.prepared.sha256(self.seed)

    @cached_property
    def _made(self) -> tuple[Any, Any]:
        """Initial weights, and the rest of the network."""
        key = jax.random.PRNGKey(self.seed)
        network = make_network(self.prepared.task, self.prepared.inputs, key)
        weights, rest = eqx.partition(network, eqx.is_array)
        return weights, rest

    def begin(self, batch: int) -> State:
        """A fresh fit with batches of this size."""
        weights, _ = self._made
        moments = optimizer.begin(self.prepared.task.fit.optimizer, weights)
        learned = Learned(copied(weights), moments, jnp.int32(0))
        return State(learned, weights, Course(batch))

    def go_on(self, state: State, notes: list[str]) -> None:
        """Epochs until the fit ends; ``notes`` go into the history of the first of them."""
        prepared, fit, course = self.prepared, self.prepared.task.fit, state.course
        _, rest = self._made
        data = prepared.data(course.batch_size)
        shape = Shape(
            fit.optimizer, fit.schedule.kind, prepared.inputs.window, course.batch_size,
            prepared.key, fit.mixed_precision,
        )  # fmt: skip
        steps = steps_of(len(prepared.chosen.fitted), course.batch_size, prepared.key.custom)
        hyper = optimizer.Hyper.of(fit, steps)
        judge, judged = prepared.judge(), prepared.at[prepared.chosen.holdout]
        sha256 = self.sha256 if self.checkpoint is not None else ""
        while course.stopped is None:
            seeds = (self.seed, course.epoch + 1)
            turned = hyper._replace(plateau=np.float32(course.plateau))
            state.learned, told = run_epoch(state.learned, rest, data, turned, seeds, shape)
            _require_finite(told, course, steps, self.seed)
            row = _row(course, told, steps)
            if notes:
                row["note"] = notes.pop()
            course.history.append(row)
            metric = None
            if len(judged):
                found = outputs(state.learned.weights, rest, data.table, judged, shape.window)
                row["holdout"] = judge(found)
                _require_judged(row["holdout"], course, self.seed)
                metric = row["holdout"][judge.asked]
                if course.judge(fit, metric):
                    state.kept = copied(state.learned.weights)
            if course.epoch >= fit.epochs and course.stopped is None:
                course.stopped = "epochs"
            ends = course.stopped is not None
            if self.checkpoint is not None and (ends or course.epoch % self.every == 0):
                state.save(self.checkpoint, sha256)
            if self.progress is not None:
                self.progress(course.epoch, fit.epochs, metric)

    def result(self, state: State) -> FittedNetwork:
        """The best weights, or the last ones where nothing judged."""
        prepared, course = self.prepared, state.course
        judged = bool(len(prepared.chosen.holdout))
        if judged and not course.best_epoch:
            asked = metric_of(prepared.task.fit)
            raise DataError(
                "undefined_metric",
                f"{asked} was not defined on any epoch's holdout of "
                f"{len(prepared.chosen.holdout):,} rows",
                where="fit.early_stopping.metric",
                do="judge by the loss, or enlarge the holdout",
            )
        _, rest = self._made
        weights = state.kept if judged else state.learned.weights
        return FittedNetwork(
            task=prepared.task,
            inputs=prepared.inputs,
            network=eqx.combine(weights, rest),
            standard=prepared.standard,
            scale=prepared.scale,
            seed=self.seed,
            history=tuple(course.history),
            facts={
                "rows": prepared.chosen.counts(),
                "batch_size": course.batch_size,
                "best_epoch": course.best_epoch or course.epoch,
                "stopped": course.stopped,
                "parameters": sum(leaf.size for leaf in jax.tree.leaves(weights)),
            },
        )


def batch_size(fit: FitConfig, rows: int, *, custom: bool = False) -> int:
    """Rows a gradient step. ``auto``: the largest power of two that leaves at least 100 steps an
    epoch, within 64 .. 1024. A loss of the user's own, which gets whole batches only, has batches
    of at most all rows.

    >>> [batch_size(FitConfig(batch_size="auto"), rows) for rows in (500, 20_000, 40_000, 10**7)]
    [64, 128, 256, 1024]
    """
    if fit.batch_size == "auto":
        wanted = 1 << max(rows // 100, 1).bit_length() - 1
        size = min(max(wanted, LEAST_BATCH), MOST_BATCH)
    else:
        size = fit.batch_size
    return min(size, rows) if custom else size


def steps_of(rows: int, batch: int, custom: bool) -> int:
    """Gradient steps an epoch."""
    return rows // batch if custom else -(-rows // batch)


def check_fit(fit: FitConfig, key: LossKey) -> None:
    """Refuse what this fit or this machine cannot do."""
    if fit.mixed_precision and jax.default_backend() == "cpu":
        raise ConfigError(
            "mixed precision needs a GPU, and this fit is on a CPU",
            where="fit.mixed_precision",
            do="leave it out",
        )
    if fit.holdout:
        require_metric(metric_of(fit), key)
    elif fit.schedule.kind == "plateau":
        raise ConfigError(
            "the plateau schedule needs a holdout that judges epochs",
            where="fit.schedule.kind",
            do="give fit.holdout, or choose step or cosine",
        )


def _require_finite(told: Told, course: Course, steps: int, seed: int) -> None:
    bad = int(told.bad)
    if bad >= 0:
        raise NonFiniteError(
            f"loss, gradient or weights are not finite at step {bad + 1:,} of {steps:,} of epoch "
            f"{course.epoch + 1}",
            where=f"fit, seed {seed}",
            do="lower fit.learning_rate or fit.max_grad_norm, or add warm-up epochs",
        )


def _require_judged(metrics: Metrics, course: Course, seed: int) -> None:
    bad = [name for name, value in metrics.items() if value is not None and not np.isfinite(value)]
    if bad:
        raise NonFiniteError(
            f"{', '.join(bad)} of the holdout is not finite after epoch {course.epoch}",
            where=f"fit, seed {seed}",
            do="lower fit.learning_rate or fit.max_grad_norm, or add warm-up epochs",
        )


def _row(course: Course, told: Told, steps: int) -> dict[str, Any]:
    epoch = course.epoch + 1
    figures = {
        "learning_rate": float(told.rate),
        "loss": float(told.loss),
        "grad_norm": float(told.grad_norm),
    }
    return {"epoch": epoch, "step": epoch * steps, "batch_size": course.batch_size, **figures}


def _halved(fit: FitConfig, batch: int, error: jax.errors.JaxRuntimeError) -> int:
    """Half the batch where memory ended and the size is ours to choose; else the error."""
    if "RESOURCE_EXHAUSTED" not in str(error) or fit.batch_size != "auto" or batch < 2:
        raise error
    return batch // 2
