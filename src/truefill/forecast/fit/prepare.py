"""A task with its rows: what is fitted, what judges, and the statistics that both are told in."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np

from truefill.config.forecast import FitConfig, LossConfig
from truefill.core.fingerprint import fingerprint
from truefill.forecast.baselines.base import History
from truefill.forecast.fit.epoch import Data
from truefill.forecast.fit.fitted import decode
from truefill.forecast.fit.holdout import Answers, Chosen, Judge, choose
from truefill.forecast.fit.task import LossKey, NetworkTask, check, task_facts
from truefill.forecast.fit.windows import F32, I32, Standard, Table, padded, rounded
from truefill.forecast.labels.base import Floats
from truefill.forecast.losses import TargetFacts, build_loss
from truefill.forecast.losses.classes import CrossEntropyParams, class_weights
from truefill.forecast.networks import Inputs


@dataclass(frozen=True)
class Prepared:
    """A task with its rows: what every epoch reads, and what judges it."""

    task: NetworkTask
    key: LossKey
    inputs: Inputs
    chosen: Chosen
    standard: Standard
    table: F32
    at: I32
    target: F32
    scale: Floats
    balanced: F32 | None

    @staticmethod
    def of(task: NetworkTask, histories: Sequence[History]) -> Prepared:
        """Statistics are those of the fitted rows and their windows alone.

        Raises:
            ConfigError, DataError: what the task and the rows cannot be.
        """
        key, window = check(task), task.window_bars
        table = Table.of(histories, window, task.features)
        answers = Answers.of(histories, task.labels)
        chosen = choose(answers, task.fit.holdout, whole=key.custom)
        standard = Standard.of(table.seen(chosen.fitted, window))
        facts = [TargetFacts.of(column, task.classes) for column in answers.value[chosen.fitted].T]
        scale = np.array([fact.scale for fact in facts])
        features = table.features.shape[1]
        return Prepared(
            task=task,
            key=key,
            inputs=Inputs(window, features, len(task.labels), key.outputs),
            chosen=chosen,
            standard=standard,
            table=standard.apply(table.features),
            at=table.at,
            target=np.asarray(answers.value / scale, np.float32),
            scale=scale,
            balanced=_balanced(task.loss, facts),
        )

    def sha256(self, seed: int) -> str:
        """Of all that decides the fit."""
        digest = hashlib.sha256()
        fitted, holdout = self.chosen.fitted, self.chosen.holdout
        for array in (self.table, self.at, self.target, self.scale, fitted, holdout):
            digest.update(f"{array.dtype}{array.shape}".encode() + array.tobytes())
        return fingerprint([task_facts(self.task), seed, digest.hexdigest()])

    def data(self, batch: int) -> Data:
        """The rows to fit on the device, filled up to whole batches of the whole table: the folds
        of one table then share a compiled epoch."""
        fitted = self.chosen.fitted
        size = batch * rounded(-(-len(self.table) // batch))
        at = np.full(size, self.at[fitted[0]], np.int32)
        at[: len(fitted)] = self.at[fitted]
        target = np.full((size, self.target.shape[1]), np.nan, np.float32)
        target[: len(fitted)] = self.target[fitted]
        balanced = None if self.balanced is None else jnp.asarray(self.balanced)
        return Data(
            table=jnp.asarray(padded(self.table, rounded(len(self.table)))),
            at=jnp.asarray(at),
            target=jnp.asarray(target),
            count=jnp.int32(len(fitted)),
            scale=jnp.asarray(self.scale, jnp.float32),
            balanced=balanced,
        )

    def judge(self) -> Judge:
        """What tells the metrics of the holdout."""
        return Judge(
            key=self.key,
            target=self.target[self.chosen.holdout],
            scale=np.asarray(self.scale, np.float32),
            balanced=self.balanced,
            asked=metric_of(self.task.fit),
            decode=partial(decode, key=self.key, scale=self.scale),
        )


def metric_of(fit: FitConfig) -> str:
    """What the holdout judges epochs by."""
    return "loss" if fit.early_stopping is None else fit.early_stopping.metric


def _balanced(loss: Any, facts: Sequence[TargetFacts]) -> F32 | None:
    """f32[heads, classes]: the balanced weights, where the loss asks for them."""
    if not isinstance(loss, LossConfig):
        return None
    for _, _, params in build_loss(loss).terms:
        if isinstance(params, CrossEntropyParams) and params.weights == "balanced":
            return np.array([class_weights(params, fact) for fact in facts], np.float32)
    return None
