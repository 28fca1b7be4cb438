"""How good forecasts are by themselves: scores of classes and of quantities, calibration,
correlation. What cannot be had is undefined with a reason. Sums are in a fixed order."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from truefill.core.errors import DataError
from truefill.core.figures import Figure, ratio

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Kind = Literal["class", "real", "quantile", "position"]
"""What a forecast says of a row: a class with its probabilities, a quantity, quantiles of it, or a
position in -1 .. 1."""

LEAST_PROBABILITY = 1e-15
"""Floor of a probability inside the log loss, so that a sure and wrong forecast costs 34.5, not
infinity."""


@dataclass(frozen=True)
class Bin:
    """Forecasts whose highest probability lies in (``low``, ``high``]."""

    low: float
    high: float
    count: int
    confidence: Figure
    """Their mean highest probability."""
    accuracy: Figure
    """Share of them that came true."""


@dataclass(frozen=True)
class ClassScores:
    """Scores of n forecasts of C classes. Lists of figures are by class.

    ``confusion``: [outcome][forecast] counts. ``precision``: share of a class's forecasts that came
    true; ``recall``: share of its outcomes that were forecast; ``f1``: 2 tp / (2 tp + fp + fn),
    undefined where the class is neither. ``macro_f1``: mean over the classes that have one.
    ``log_loss``: mean -log p(outcome), natural; ``brier``: mean squared distance of the
    probabilities from the outcome, summed over classes (0 .. 2; Brier 1950). ``calibration_error``:
    mean |accuracy - confidence| of the bins, weighted by count (expected calibration error: Naeini
    et al. 2015; of the highest probability: Guo et al. 2017).
    """

    rows: int
    confusion: tuple[tuple[int, ...], ...]
    accuracy: float
    precision: tuple[Figure, ...]
    recall: tuple[Figure, ...]
    f1: tuple[Figure, ...]
    macro_precision: Figure
    macro_recall: Figure
    macro_f1: Figure
    log_loss: Figure
    brier: Figure
    calibration_error: Figure
    calibration: tuple[Bin, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return _plain(self)


@dataclass(frozen=True)
class RealScores:
    """Scores of n forecasts of a quantity. ``r2``: 1 - sum (y - p)^2 / sum (y - mean y)^2;
    ``r2_zero``: the same against a forecast of 0; ``sign``: share of outcomes other than 0 whose
    sign the forecast has."""

    rows: int
    mse: float
    mae: float
    r2: Figure
    r2_zero: Figure
    correlation: Figure
    sign: Figure

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return _plain(self)


def class_scores(
    outcome: Floats, forecast: Floats, probability: Floats | None, *, classes: int, bins: int = 10
) -> ClassScores:
    """Scores of forecast classes f64[n] against outcomes f64[n] (no nulls); ``probability`` f64[n,
    classes], or None: what needs it is then undefined.

    Raises:
        DataError: no row, a null, or probabilities that do not add up to 1.
    """
    require_pairs(outcome, forecast)
    truth, said = outcome.astype(np.int64), forecast.astype(np.int64)
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (truth, said), 1)
    hits, happened, told = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    precision = tuple(
        _share(hits[c], told[c], f"class {c} was never forecast") for c in range(classes)
    )
    recall = tuple(_share(hits[c], happened[c], f"class {c} never came") for c in range(classes))
    f1 = tuple(
        _share(2 * hits[c], told[c] + happened[c], f"class {c} never came nor was forecast")
        for c in range(classes)
    )
    log_loss, brier, error, table = _by_probability(truth, probability, bins)
    return ClassScores(
        rows=len(truth),
        confusion=tuple(tuple(int(n) for n in row) for row in counts),
        accuracy=float(hits.sum() / len(truth)),
        precision=precision,
        recall=recall,
        f1=f1,
        macro_precision=_macro(precision),
        macro_recall=_macro(recall),
        macro_f1=_macro(f1),
        log_loss=log_loss,
        brier=brier,
        calibration_error=error,
        calibration=table,
    )


def real_scores(outcome: Floats, forecast: Floats) -> RealScores:
    """Scores of forecast quantities f64[n] against outcomes f64[n] (no nulls).

    Raises:
        DataError: no row, or a null.
    """
    require_pairs(outcome, forecast)
    error = math.fsum((outcome - forecast) ** 2)
    centred = outcome - math.fsum(outcome) / len(outcome)
    moved = outcome != 0.0
    same = int((np.sign(forecast) == np.sign(outcome))[moved].sum())
    return RealScores(
        rows=len(outcome),
        mse=error / len(outcome),
        mae=math.fsum(np.abs(outcome - forecast)) / len(outcome),
        r2=_one_less(ratio(error, math.fsum(centred**2), "the outcomes do not vary")),
        r2_zero=_one_less(ratio(error, math.fsum(outcome**2), "all outcomes are 0")),
        correlation=correlation(forecast, outcome),
        sign=_share(same, int(moved.sum()), "all outcomes are 0"),
    )


def correlation(a: Floats, b: Floats) -> Figure:
    """Pearson's, of the rows where both are there; e.g. of a forecast and the raw future return
    that can be traded (``future_return`` with ``entry: next_open``)."""
    both = np.isfinite(a) & np.isfinite(b)
    x, y = a[both], b[both]
    if len(x) < 3:
        return Figure.undefined("fewer than 3 rows")
    x, y = x - math.fsum(x) / len(x), y - math.fsum(y) / len(y)
    if not (_varies(x, a[both]) and _varies(y, b[both])):
        return Figure.undefined("one of the two does not vary")
    return Figure(math.fsum(x * y) / math.sqrt(math.fsum(x * x) * math.fsum(y * y)))


def signal(forecast: Floats, probability: Floats | None) -> Floats:
    """f64[n]: which way a forecast points and how much: P(rise) - P(fall) of three classes, a
    quantity itself."""
    return forecast if probability is None else probability[:, 2] - probability[:, 0]


def row_scores(outcome: Floats, forecast: Floats, classes: int) -> Floats:
    """f64[n], higher is better: hit (1) or miss (0) of classes, minus the squared error of a
    quantity."""
    require_pairs(outcome, forecast)
    if classes:
        return (outcome == forecast).astype(np.float64)
    return -((outcome - forecast) ** 2)


def _by_probability(
    truth: Ints, probability: Floats | None, bins: int
) -> tuple[Figure, Figure, Figure, tuple[Bin, ...]]:
    if probability is None:
        none = Figure.undefined("the forecaster gives no probabilities")
        return none, none, none, ()
    if not np.allclose(probability.sum(axis=1), 1.0, atol=1e-6) or (probability < -1e-9).any():
        raise DataError("probability", "probabilities of a row do not add up to 1")
    n = len(truth)
    given = np.maximum(probability[np.arange(n), truth], LEAST_PROBABILITY)
    distance = probability.copy()
    distance[np.arange(n), truth] -= 1.0
    table = _calibration(truth, probability, bins)
    gaps = [
        b.count * abs(b.accuracy.value - b.confidence.value)
        for b in table
        if b.accuracy.value is not None and b.confidence.value is not None
    ]
    return (
        Figure(-math.fsum(np.log(given)) / n),
        Figure(math.fsum((distance**2).sum(axis=1)) / n),
        Figure(math.fsum(gaps) / n),
        table,
    )


def _calibration(truth: Ints, probability: Floats, bins: int) -> tuple[Bin, ...]:
    top = probability.max(axis=1)
    right = probability.argmax(axis=1) == truth
    edges = np.linspace(0.0, 1.0, bins + 1)
    place = np.clip(np.searchsorted(edges, top, side="left") - 1, 0, bins - 1)
    out = []
    for k in range(bins):
        mine = place == k
        count = int(mine.sum())
        out.append(
            Bin(
                low=float(edges[k]),
                high=float(edges[k + 1]),
                count=count,
                confidence=ratio(math.fsum(top[mine]), count, "no forecast"),
                accuracy=_share(int(right[mine].sum()), count, "no forecast"),
            )
        )
    return tuple(out)


def require_pairs(outcome: Floats, forecast: Floats) -> None:
    """Refuse outcomes and forecasts that do not pair, or are not finite.

    Raises:
        DataError: ``paired``, ``no_label``, ``null``.
    """
    if len(outcome) != len(forecast):
        raise DataError("paired", f"{len(outcome)} outcomes against {len(forecast)} forecasts")
    if not len(outcome):
        raise DataError("no_label", "no row has an outcome")
    if not (np.isfinite(outcome).all() and np.isfinite(forecast).all()):
        raise DataError("null", "outcomes and forecasts must be finite; leave null labels out")


def _varies(centred: Floats, values: Floats) -> bool:
    return bool(np.abs(centred).max() > 1e-13 * np.abs(values).max())


def _share(part: int, whole: int, reason: str) -> Figure:
    return ratio(float(part), float(whole), reason)


def _one_less(figure: Figure) -> Figure:
    return figure if figure.value is None else Figure(1.0 - figure.value)


def _macro(figures: tuple[Figure, ...]) -> Figure:
    there = [figure.value for figure in figures if figure.value is not None]
    return ratio(math.fsum(there), len(there), "no class has one")


def _plain(value: Any) -> Any:
    if isinstance(value, Figure):
        return value.as_json()
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    if hasattr(value, "__dataclass_fields__"):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    return value
