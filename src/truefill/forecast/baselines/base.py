"""What a forecaster is to everyone else: fitted on train rows, then asked about rows.

``fit(train) -> predict(rows)``: a maker registered in :data:`FORECASTERS` gets the question (a
fitted label), histories whose ``rows`` are the train rows, and their answers; what it returns
predicts the rows of any histories of the same symbols. Answers are not part of a history, so a
prediction cannot reach its own. A forecast of row t depends on bars and features up to t alone; a
forecast's bars may run on after its last row, and must not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np

from truefill.core.errors import DataError
from truefill.core.registry import Params, Registry
from truefill.forecast.labels.base import FittedLabel, Floats, Ints, LabelBars, Walk


@dataclass(frozen=True)
class History:
    """One symbol's own T bars with features f64[T, F] known at each close, and the positions
    ``rows`` i64[n], ascending, that are trained on or asked about."""

    symbol: str
    bars: LabelBars
    features: Floats
    rows: Ints


@dataclass(frozen=True)
class Forecast:
    """Of n rows. ``value`` f64[n]: the class, or the expected quantity (a position: the position in
    -1 .. 1). ``probability`` f64[n, classes] for a label of classes: its rows add up to 1.
    ``extra``: what else is told, by column name, f64[n]: quantiles (``q10``, ``q50``, ...), the
    facts of a distribution."""

    value: Floats
    probability: Floats | None = None
    extra: Mapping[str, Floats] = field(default_factory=dict)

    @staticmethod
    def of(probability: Floats) -> Forecast:
        """The most probable class (the first of equals)."""
        return Forecast(probability.argmax(axis=1).astype(np.float64), probability)


class Fitted(Protocol):
    """A fitted forecaster."""

    def predict(self, histories: Sequence[History]) -> Forecast:
        """Forecasts of all rows, history after history."""
        ...


@dataclass(frozen=True)
class Train:
    """What a forecaster is fitted on. ``answers`` f64[n]: the labels of all rows, history after
    history; none is null."""

    label: FittedLabel
    histories: tuple[History, ...]
    answers: Floats

    @staticmethod
    def of(label: FittedLabel, histories: Sequence[History]) -> Train:
        """Train rows that have a label, with their labels.

        Raises:
            DataError: ``no_label``: none has.
        """
        kept, answers = [], []
        for own in histories:
            value = label.of(own.symbol, own.bars).value[own.rows]
            known = np.isfinite(value)
            kept.append(History(own.symbol, own.bars, own.features, own.rows[known]))
            answers.append(value[known])
        if not sum(len(part) for part in answers):
            raise DataError("no_label", f"no train row has the label {label.name}")
        return Train(label, tuple(kept), np.concatenate(answers))

    def walk(self, symbol: str) -> Walk:
        """Mean and root mean square of the log returns that end at a symbol's train rows."""
        found = [own for own in self.histories if own.symbol == symbol]
        steps = [own.bars.log_return[own.rows] for own in found]
        step = np.concatenate([part[np.isfinite(part)] for part in steps])
        if not len(step):
            raise DataError("no_label", f"no train row of {symbol} has a return")
        return Walk(float(step.mean()), float(np.sqrt(np.mean(step**2))))

    def frequencies(self) -> Floats:
        """f64[classes]: share of each class among the train rows."""
        counts = np.bincount(self.answers.astype(np.int64), minlength=self.label.classes)
        return np.asarray(counts / counts.sum(), np.float64)


Maker = Callable[[Any, Train], Fitted]
FORECASTERS: Registry[Maker] = Registry("forecaster", plugged=True)
BOTH = ("class", "real")


def forecaster(
    name: str,
    params: type[Params],
    *,
    targets: tuple[str, ...] = BOTH,
    extra: str | None = None,
    family: Literal["baseline", "zero_shot"] = "baseline",
    origin: Callable[[Any], str | None] = lambda params: None,
    reach_bars: Callable[[Any], int] = lambda params: 1,
) -> Callable[[Maker], Maker]:
    """Decorator: register a forecaster. ``targets``: the labels that it can be asked ("class",
    "real"); ``extra``: the extra it comes with; ``family``: "zero_shot" fits nothing here and is
    no baseline of others (:mod:`truefill.forecast.foundation`); ``origin``: parameters -> hash of
    the files that it is made of, beside them; ``reach_bars``: parameters -> bars that a fitted row
    looks back, its own included, besides its features."""
    facts = {"targets": targets, "extra": extra, "family": family, "origin": origin,
             "reach_bars": reach_bars}  # fmt: skip
    return FORECASTERS.register(name, params, **facts)


def inputs_of(histories: Sequence[History]) -> Floats:
    """f64[n, F]: features of all rows.

    Raises:
        DataError: ``feature_value``: one is not finite.
    """
    x = np.concatenate([own.features[own.rows] for own in histories])
    if not np.isfinite(x).all():
        row, column = np.argwhere(~np.isfinite(x))[0]
        raise DataError("feature_value", f"feature {column} of row {row} is not finite")
    return x
