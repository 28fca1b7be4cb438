"""Which rows are fitted and which judge the fit, and what these say of an epoch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from truefill.config.forecast import LossConfig
from truefill.core.errors import ConfigError, DataError, did_you_mean
from truefill.core.figures import Figure
from truefill.forecast.baselines.base import History
from truefill.forecast.fit.epoch import loss_of
from truefill.forecast.fit.task import LossKey
from truefill.forecast.fit.windows import F32, padded, rounded
from truefill.forecast.labels.base import FittedLabel, Floats, Ints
from truefill.forecast.losses import LOSSES
from truefill.forecast.scores import class_scores, correlation


@dataclass(frozen=True)
class Answers:
    """The labels of n asked rows, history after history: value f64[n, heads] (NaN: null), end_s
    i64[n]: the last bar that any of a row's labels looked at, at_s i64[n]: the row's own."""

    value: Floats
    end_s: Ints
    at_s: Ints

    @staticmethod
    def of(histories: Sequence[History], labels: Sequence[FittedLabel]) -> Answers:
        """Of all rows of histories."""
        found = [[label.of(own.symbol, own.bars) for label in labels] for own in histories]
        pairs = list(zip(histories, found, strict=True))
        return Answers(
            np.concatenate([np.stack([x.value[own.rows] for x in each], 1) for own, each in pairs]),
            np.concatenate(
                [np.max([x.end_s[own.rows] for x in each], axis=0) for own, each in pairs]
            ),
            np.concatenate([own.bars.timestamps_s[own.rows] for own in histories]),
        )


@dataclass(frozen=True)
class Chosen:
    """``fitted`` and ``holdout``: positions among the asked rows, ascending; ``purged``: rows in
    between whose label reaches into the holdout; ``null``: rows without a label."""

    fitted: Ints
    holdout: Ints
    purged: int
    null: int

    def counts(self) -> dict[str, int]:
        """JSON-able."""
        return {
            "fitted": len(self.fitted),
            "holdout": len(self.holdout),
            "purged": self.purged,
            "null": self.null,
        }


def choose(answers: Answers, share: float, *, whole: bool = False) -> Chosen:
    """The newest ``share`` of the labelled times (at least one, where ``share`` > 0) judges; the
    rest is fitted, less the rows whose label ends inside it. ``whole``: rows need every label.

    Raises:
        DataError: ``no_label``; ``empty_fold``: no row is left to fit.
    """
    finite = np.isfinite(answers.value)
    known = finite.all(axis=1) if whole else finite.any(axis=1)
    null = int(np.count_nonzero(~known))
    if not known.any():
        raise DataError("no_label", f"none of {len(answers.at_s):,} train rows has a label")
    if not share:
        return Chosen(np.flatnonzero(known), np.zeros(0, np.int64), 0, null)
    times = np.unique(answers.at_s[known])
    first = times[-max(1, math.floor(share * len(times) + 0.5))]
    late = answers.at_s >= first
    clear = answers.end_s < first
    fitted, holdout = known & ~late & clear, known & late
    purged = int((known & ~late & ~clear).sum())
    if not fitted.any():
        raise DataError(
            "empty_fold",
            f"a holdout of {int(holdout.sum()):,} rows and {purged:,} purged before it leave none "
            f"of {int(known.sum()):,} labelled train rows to fit",
            where="fit.holdout",
            do="make the holdout smaller, or shorten the label's horizon",
        )
    return Chosen(np.flatnonzero(fitted), np.flatnonzero(holdout), purged, null)


Metrics = dict[str, float | None]
"""By name; None where a metric is not defined, such as the correlation of a constant. The loss of
outputs that are not finite is NaN."""


def metric_names(key: LossKey) -> list[str]:
    """What a holdout can be judged by."""
    told = ["loss", *(("accuracy", "f1") if key.classes else ("correlation",))]
    return told + [entry.name for entry in LOSSES if _suits(entry.name, key)]


def _suits(name: str, key: LossKey) -> bool:
    """Can this loss, with its default parameters, judge what the network predicts?"""
    entry = LOSSES.get(name)
    target = "class" if key.classes else "real"
    return bool(
        entry.facts["target"] == target and entry.facts["outputs"](entry.params()) == key.outputs
    )


def require_metric(name: str, key: LossKey) -> None:
    """Refuse a metric that this network's holdout does not have.

    Raises:
        ConfigError: with those that it has.
    """
    known = metric_names(key)
    if name not in known:
        raise ConfigError(
            f"a holdout of this network has no metric {name!r}",
            where="fit.early_stopping.metric",
            do=f"{did_you_mean(name, known)} It has: {', '.join(known)}",
        )


@dataclass(frozen=True)
class Judge:
    """Tells the metrics of raw outputs on the holdout. target f32[n, heads] in units of ``scale``;
    decode: raw outputs -> by head (value f64[n], probability f64[n, classes] or None)."""

    key: LossKey
    target: F32
    scale: F32
    balanced: F32 | None
    asked: str
    decode: Callable[[F32], list[tuple[Floats, Floats | None]]]

    def __call__(self, output: F32) -> Metrics:
        """Metrics by name: the loss, the scores, and the one that is asked for."""
        if not np.isfinite(output).all():
            return {"loss": math.nan}
        told: Metrics = {"loss": self._loss(self.key, output)}
        told |= self._scores(output)
        if self.asked not in told:
            key = LossKey.of(LossConfig(loss=self.asked), self.key.classes)
            told[self.asked] = self._loss(key, output)
        return told

    def _loss(self, key: LossKey, output: F32) -> float:
        size = len(output) if key.custom else rounded(len(output))
        target = np.full((size, self.target.shape[1]), np.nan, np.float32)
        target[: len(output)] = self.target
        arrays = (padded(output, size), target, self.scale)
        balanced = None if self.balanced is None else jnp.asarray(self.balanced)
        return float(loss_of(*(jnp.asarray(x) for x in arrays), balanced, loss=key))

    def _scores(self, output: F32) -> Metrics:
        by_head: dict[str, list[Figure]] = {}
        for h, (value, share) in enumerate(self.decode(output)):
            known = np.isfinite(self.target[:, h])
            truth = self.target[known, h].astype(np.float64)
            if not len(truth):
                continue
            if self.key.classes:
                assert share is not None
                found = class_scores(truth, value[known], share[known], classes=self.key.classes)
                by_head.setdefault("accuracy", []).append(Figure(found.accuracy))
                by_head.setdefault("f1", []).append(found.macro_f1)
            else:
                by_head.setdefault("correlation", []).append(correlation(value[known], truth))
        return {name: _mean(figures) for name, figures in by_head.items()}


def _mean(figures: Sequence[Figure]) -> float | None:
    there = [figure.value for figure in figures if figure.value is not None]
    return math.fsum(there) / len(there) if there else None
