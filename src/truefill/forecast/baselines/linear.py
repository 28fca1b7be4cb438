"""Ridge regression in closed form, and logistic regression by Newton's method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import Field

from truefill.core.errors import DataError
from truefill.core.registry import Params
from truefill.forecast.baselines.base import Forecast, History, Train, forecaster, inputs_of
from truefill.forecast.baselines.solve import gram, solve, times
from truefill.forecast.labels.base import Floats

INTERCEPT_RIDGE = 1e-6
"""Keeps the intercepts of a class that is in no train row finite."""
CONVERGED = 1e-9
MOST_STEPS = 200


@dataclass(frozen=True)
class Scaled:
    """Features in units of their spread in train, and a 1. A feature that is constant in train is
    0."""

    centre: Floats
    spread: Floats

    @staticmethod
    def of(x: Floats) -> Scaled:
        centre = x.mean(axis=0)
        spread = np.sqrt(np.mean((x - centre) ** 2, axis=0))
        return Scaled(centre, np.where(spread > 1e-12 * (1.0 + np.abs(centre)), spread, np.inf))

    def __call__(self, x: Floats) -> Floats:
        return np.column_stack([(x - self.centre) / self.spread, np.ones(len(x))])


class LinearParams(Params):
    """Ridge regression on the features of the row."""

    ridge: float = Field(
        1e-3, gt=0.0, description="penalty of squared weights of standardized features, a row"
    )


@dataclass(frozen=True)
class Linear:
    scaled: Scaled
    weights: Floats

    def predict(self, histories: Sequence[History]) -> Forecast:
        return Forecast(times(self.scaled(inputs_of(histories)), self.weights)[:, 0])


@forecaster("linear", LinearParams, targets=("real",))
def linear(p: LinearParams, train: Train) -> Linear:
    """argmin mean (y - x w)^2 + ridge |w|^2; the intercept is free."""
    x = inputs_of(train.histories)
    scaled = Scaled.of(x)
    rows = scaled(x)
    n, f = rows.shape
    penalty = np.diag(np.append(np.full(f - 1, p.ridge), 0.0))
    return Linear(
        scaled, solve(gram(rows, rows) / n + penalty, gram(rows, train.answers[:, None]) / n)
    )


class LogisticParams(Params):
    """Multinomial logistic regression on the features of the row."""

    ridge: float = Field(
        1e-3, gt=0.0, description="penalty of squared weights of standardized features, a row"
    )


@dataclass(frozen=True)
class Logistic:
    scaled: Scaled
    weights: Floats

    def predict(self, histories: Sequence[History]) -> Forecast:
        logits = times(self.scaled(inputs_of(histories)), self.weights)
        return Forecast.of(softmax(logits))


@forecaster("logistic", LogisticParams, targets=("class",))
def logistic(p: LogisticParams, train: Train) -> Logistic:
    """argmin mean log loss + ridge / 2 |w|^2, to its only minimum."""
    x = inputs_of(train.histories)
    scaled = Scaled.of(x)
    wanted = np.eye(train.label.classes)[train.answers.astype(np.int64)]
    return Logistic(scaled, fit_logistic(scaled(x), wanted, p.ridge))


def softmax(logits: Floats) -> Floats:
    """Over the last axis."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float64)


def fit_logistic(x: Floats, wanted: Floats, ridge: float) -> Floats:
    """Weights f64[F, C] by Newton's method with halved steps; x f64[n, F], its last column 1.

    Raises:
        DataError: ``no_convergence``.
    """
    n, f = x.shape
    c = wanted.shape[1]
    penalty = np.append(np.full(f - 1, ridge), INTERCEPT_RIDGE)[:, None]
    weights = np.zeros((f, c))

    def objective(w: Floats) -> float:
        logits = times(x, w)
        top = logits.max(axis=1)
        total = np.log(np.exp(logits - top[:, None]).sum(axis=1)) + top
        return float((total - (wanted * logits).sum(axis=1)).sum() / n + (penalty * w**2).sum() / 2)

    now = objective(weights)
    for _ in range(MOST_STEPS):
        share = softmax(times(x, weights))
        slope = gram(x, share - wanted) / n + penalty * weights
        if np.abs(slope).max() < CONVERGED:
            return weights
        step = solve(_curvature(x, share, penalty), slope.T.reshape(-1, 1)).reshape(c, f).T
        length, before = 1.0, now
        while (now := objective(weights - length * step)) > before and length > 1e-6:
            length /= 2.0
        weights = weights - length * step
        if length <= 1e-6 or before - now < 1e-15 * abs(before):
            return weights  # as far as rounding allows
    raise DataError("no_convergence", f"logistic regression took more than {MOST_STEPS} steps")


def _curvature(x: Floats, share: Floats, penalty: Floats) -> Floats:
    """f64[C F, C F]: the Hessian, class after class."""
    n, f = x.shape
    c = share.shape[1]
    out = np.zeros((c * f, c * f))
    for i in range(c):
        for j in range(i, c):
            weight = share[:, i] * (float(i == j) - share[:, j])
            block = gram(x * weight[:, None], x) / n
            out[i * f : (i + 1) * f, j * f : (j + 1) * f] = block
            out[j * f : (j + 1) * f, i * f : (i + 1) * f] = block.T
    out[np.diag_indices_from(out)] += np.tile(penalty[:, 0], c)
    return out
