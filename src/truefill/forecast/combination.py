"""One way to combine members' forecasts, with its numbers: weights, or a linear model of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

import numpy as np

from truefill.forecast.baselines.base import Forecast
from truefill.forecast.baselines.linear import Scaled, fit_logistic, softmax
from truefill.forecast.baselines.solve import gram, solve, times
from truefill.forecast.kinds import log_likelihood, row_score
from truefill.forecast.labels.base import CLASSES, STILL, Floats
from truefill.forecast.scores import LEAST_PROBABILITY, Kind

RIDGE = 1e-3
"""Penalty of squared weights of standardized forecasts, a row."""
FARTHEST = 6.0
"""Log odds of a member are cut here, so that a sure one does not rule the others."""


@dataclass(frozen=True)
class Combination:
    """``weights``: one a member, adding up to 1 (of ``stacked``: equal, of the extras alone).
    ``rows``: fitted on so many; 0: nothing was fitted. Of ``stacked``: ``centre``, ``spread`` [F]
    (None: the forecast did not vary, and has no part) and ``model`` [F + 1, outputs]."""

    kind: Kind
    rule: Literal["mean", "weighted", "stacked"]
    members: tuple[str, ...]
    weights: tuple[float, ...]
    rows: int = 0
    centre: tuple[float, ...] = ()
    spread: tuple[float | None, ...] = ()
    model: tuple[tuple[float, ...], ...] = ()

    @staticmethod
    def mean(kind: Kind, members: tuple[str, ...]) -> Combination:
        """Equal weights."""
        return Combination(kind, "mean", members, (1.0 / len(members),) * len(members))

    def combine(self, members: Mapping[str, Forecast]) -> Forecast:
        """One forecast of the members' (all of :attr:`members`), with the weighted mean of the
        extras that all of them have."""
        parts = [members[name] for name in self.members]
        extra = {name: self._sum([own.extra[name] for own in parts]) for name in common(parts)}
        if self.rule == "stacked":
            said = times(self._scaled()(_inputs(parts, self.kind)), np.array(self.model))
            if self.kind == "class":
                return _of(softmax(said), extra)
            return Forecast(said[:, 0], extra=extra)
        if self.kind == "class":
            total = self._sum([own.probability for own in parts if own.probability is not None])
            return _of(total, extra)
        value = self._sum([own.value for own in parts])
        return Forecast(
            np.clip(value, -1.0, 1.0) if self.kind == "position" else value, None, extra
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """What :meth:`to_dict` gave."""
        return cls(
            kind=data["kind"],
            rule=data["rule"],
            members=tuple(data["members"]),
            weights=tuple(data["weights"]),
            rows=data["rows"],
            centre=tuple(data["centre"]),
            spread=tuple(data["spread"]),
            model=tuple(tuple(row) for row in data["model"]),
        )

    def _scaled(self) -> Scaled:
        spread = [math.inf if own is None else own for own in self.spread]
        return Scaled(np.array(self.centre), np.array(spread))

    def _sum(self, values: Sequence[Floats]) -> Floats:
        """The weighted sum, member after member."""
        total = np.zeros_like(values[0], np.float64)
        for weight, own in zip(self.weights, values, strict=True):
            total = total + weight * own
        return total


def numbers_of(rule: str, kind: Kind, members: int) -> int:
    """How many numbers a rule fits."""
    if rule == "stacked":
        outputs = len(CLASSES) - 1 if kind == "class" else 1
        return (members * outputs + 1) * outputs
    return members if rule == "weighted" else 0


def fit_combination(
    rule: str, members: Mapping[str, Forecast], answer: Floats, kind: Kind
) -> Combination:
    """A weighted mean or a model of the members, fitted on rows f64[n] without nulls."""
    names, parts = tuple(members), list(members.values())
    if rule == "weighted":
        weights = weights_of(parts, answer, kind)
        return Combination(kind, "weighted", names, weights, len(answer))
    x = _inputs(parts, kind)
    scaled = Scaled.of(x)
    rows = scaled(x)
    if kind == "class":
        wanted = np.eye(len(CLASSES))[answer.astype(np.int64)]
        model = fit_logistic(rows, wanted, RIDGE)
    else:
        penalty = np.diag(np.append(np.full(x.shape[1], RIDGE), 0.0))
        n = len(answer)
        model = solve(gram(rows, rows) / n + penalty, gram(rows, answer[:, None]) / n)
    return Combination(
        kind,
        "stacked",
        names,
        (1.0 / len(names),) * len(names),
        len(answer),
        tuple(float(own) for own in scaled.centre),
        tuple(float(own) if math.isfinite(own) else None for own in scaled.spread),
        tuple(tuple(float(own) for own in row) for row in model),
    )


def weights_of(parts: Sequence[Forecast], answer: Floats, kind: Kind) -> tuple[float, ...]:
    """Weights that add up to 1: in proportion to 1 / mean loss (Bates & Granger 1969): log loss of
    classes, squared error of quantities, pinball loss of quantiles. Positions, whose gains can be
    negative: in proportion to the mean gain, none to those that lost; equal where none gained."""
    if kind == "position":
        worth = [max(_mean(row_score(kind, answer, own)), 0.0) for own in parts]
    else:
        losses = [-_mean(_score(own, answer, kind)) for own in parts]
        none = [float(loss <= 0.0) for loss in losses]
        worth = none if any(none) else [1.0 / loss for loss in losses]
    total = math.fsum(worth)
    if total <= 0.0:
        return (1.0 / len(parts),) * len(parts)
    return tuple(own / total for own in worth)


def common(parts: Sequence[Forecast]) -> list[str]:
    """Names of the extras that all have, in the order of the first."""
    return [name for name in parts[0].extra if all(name in own.extra for own in parts)]


def _score(own: Forecast, answer: Floats, kind: Kind) -> Floats:
    likely = log_likelihood(answer, own) if kind == "class" else None
    return row_score(kind, answer, own) if likely is None else likely


def _inputs(parts: Sequence[Forecast], kind: Kind) -> Floats:
    """f64[n, F]: values, or log odds of fall and rise against still, member after member."""
    if kind != "class":
        return np.column_stack([own.value for own in parts])
    columns = []
    for own in parts:
        if own.probability is not None:
            logs = np.log(np.maximum(own.probability, LEAST_PROBABILITY))
            moves = [logs[:, c] - logs[:, STILL] for c in range(len(CLASSES)) if c != STILL]
            columns += [np.clip(odds, -FARTHEST, FARTHEST) for odds in moves]
    return np.column_stack(columns)


def _of(probability: Floats, extra: Mapping[str, Floats]) -> Forecast:
    found = Forecast.of(probability)
    return Forecast(found.value, found.probability, extra)


def _mean(values: Floats) -> float:
    return math.fsum(values) / len(values)
