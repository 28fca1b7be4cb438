"""The four kinds of forecast - a class, a quantity, its quantiles, a position - and what one row of
each is worth. Scores of the first two are in :mod:`truefill.forecast.scores`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from truefill.core.errors import ConfigError, DataError
from truefill.core.figures import Figure, ratio
from truefill.forecast.baselines.base import Forecast
from truefill.forecast.labels.base import CLASSES, Floats, Ints
from truefill.forecast.scores import (
    LEAST_PROBABILITY,
    ClassScores,
    Kind,
    RealScores,
    class_scores,
    real_scores,
    require_pairs,
    row_scores,
)

LEVEL = re.compile(r"q(\d+(?:_\d+)?)")
SCORE_NAMES: Mapping[Kind, str] = {
    "class": "hit rate",
    "real": "minus the squared error",
    "quantile": "minus the pinball loss",
    "position": "gain",
}
"""What the score of a row is, by kind; higher is better."""


@dataclass(frozen=True)
class QuantileScores:
    """Scores of n forecasts of the quantiles ``levels``. ``pinball``: mean loss by quantile
    (Koenker & Bassett 1978), ``mean_pinball`` of all; ``interval``: share of outcomes between the
    outermost two (``coverage``) against their ``nominal`` one, and how far apart they lie
    (``width``), None of a single quantile; ``median``: scores of ``value``."""

    rows: int
    levels: tuple[float, ...]
    pinball: Mapping[str, float]
    mean_pinball: float
    interval: Mapping[str, float] | None
    median: RealScores

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            **vars(self),
            "levels": list(self.levels),
            "pinball": dict(self.pinball),
            "median": self.median.to_dict(),
        }


@dataclass(frozen=True)
class PositionScores:
    """Scores of n positions. A row's gain is position x log return that can be traded, before
    costs. ``sharpe``: mean over standard deviation (ddof 1) of the rows' gains, not annual;
    ``mean_size``: mean |position|."""

    rows: int
    mean_gain: float
    gain_std: float
    sharpe: Figure
    mean_position: float
    mean_size: float
    share_long: float
    share_short: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {**vars(self), "sharpe": self.sharpe.as_json()}


Scores = ClassScores | RealScores | QuantileScores | PositionScores


def quantile_name(level: float) -> str:
    """The column of a quantile.

    >>> quantile_name(0.1), quantile_name(0.025)
    ('q10', 'q2_5')
    """
    return f"q{100.0 * level:.6g}".replace(".", "_")


def quantile_levels(forecast: Forecast) -> tuple[float, ...]:
    """Levels of the quantiles that a forecast tells, ascending; none: ()."""
    return tuple(sorted(_columns(forecast)))


def rows_of(forecast: Forecast, rows: Any) -> Forecast:
    """The forecast of these rows (bool[n] or positions)."""
    share = None if forecast.probability is None else forecast.probability[rows]
    return Forecast(
        forecast.value[rows], share, {name: own[rows] for name, own in forecast.extra.items()}
    )


def with_levels(forecast: Forecast, levels: Sequence[float]) -> Forecast:
    """The forecast without the quantiles of other levels."""
    drop = {quantile_name(level) for level in quantile_levels(forecast) if level not in levels}
    extra = {name: own for name, own in forecast.extra.items() if name not in drop}
    return Forecast(forecast.value, forecast.probability, extra)


def require_kind(name: str, forecast: Forecast, kind: Kind, levels: Sequence[float] = ()) -> None:
    """A forecast has what its kind needs: probabilities of classes (a baseline may lack them: not
    asked here), the same quantiles, a position within -1 .. 1.

    Raises:
        ConfigError: it has not.
    """
    where = f"forecaster {name}"
    if kind != "class" and forecast.probability is not None:
        raise ConfigError(f"gives classes, the others a {kind}", where=where)
    if kind == "quantile" and quantile_levels(forecast) != tuple(levels):
        raise ConfigError(
            f"tells the quantiles {list(quantile_levels(forecast))}, asked are {list(levels)}",
            where=where,
            do="give all members the same quantiles",
        )
    if kind == "position" and (np.abs(forecast.value) > 1.0 + 1e-6).any():
        raise ConfigError("gives positions beyond -1 .. 1", where=where)


def row_score(kind: Kind, outcome: Floats, forecast: Forecast) -> Floats:
    """f64[n], higher is better: see :data:`SCORE_NAMES`. ``outcome``: the label; of a position, the
    return that can be traded. No nulls."""
    if kind == "quantile":
        losses = [pinball(outcome, own, q) for q, own in sorted(_columns(forecast).items())]
        return -np.mean(losses, axis=0)
    if kind == "position":
        require_pairs(outcome, forecast.value)
        return forecast.value * outcome
    return row_scores(outcome, forecast.value, len(CLASSES) if kind == "class" else 0)


def log_likelihood(outcome: Floats, forecast: Forecast) -> Floats | None:
    """f64[n]: log probability of the class that came, minus the log loss; None without
    probabilities."""
    if forecast.probability is None:
        return None
    place: Ints = outcome.astype(np.int64)
    given = forecast.probability[np.arange(len(place)), place]
    return np.asarray(np.log(np.maximum(given, LEAST_PROBABILITY)), np.float64)


def scores_of(kind: Kind, outcome: Floats, forecast: Forecast, bins: int) -> Scores:
    """All scores of one forecaster; ``bins`` of the calibration."""
    if kind == "class":
        value, share = forecast.value, forecast.probability
        return class_scores(outcome, value, share, classes=len(CLASSES), bins=bins)
    if kind == "quantile":
        return quantile_scores(outcome, forecast)
    if kind == "position":
        return position_scores(outcome, forecast.value)
    return real_scores(outcome, forecast.value)


def quantile_scores(outcome: Floats, forecast: Forecast) -> QuantileScores:
    """Scores of forecast quantiles against outcomes f64[n] (no nulls).

    Raises:
        DataError: no row, a null, or no quantile.
    """
    columns = dict(sorted(_columns(forecast).items()))
    if not columns:
        raise DataError("levels", "the forecast tells no quantile")
    losses = {
        quantile_name(q): math.fsum(pinball(outcome, own, q)) / max(len(outcome), 1)
        for q, own in columns.items()
    }
    levels, interval = tuple(columns), None
    if len(levels) > 1:
        low, high = columns[levels[0]], columns[levels[-1]]
        inside = int(((outcome >= low) & (outcome <= high)).sum())
        interval = {
            "low": levels[0],
            "high": levels[-1],
            "nominal": levels[-1] - levels[0],
            "coverage": inside / max(len(outcome), 1),
            "width": math.fsum(high - low) / max(len(outcome), 1),
        }
    mean = math.fsum(losses.values()) / len(losses)
    median = real_scores(outcome, forecast.value)
    return QuantileScores(len(outcome), levels, losses, mean, interval, median)


def position_scores(traded: Floats, position: Floats) -> PositionScores:
    """Scores of positions f64[n] against the log returns that can be traded f64[n] (no nulls).

    Raises:
        DataError: no row, or a null.
    """
    require_pairs(traded, position)
    n = len(traded)
    gain = traded * position
    mean = math.fsum(gain) / n
    spread = math.sqrt(math.fsum((gain - mean) ** 2) / (n - 1)) if n > 1 else 0.0
    return PositionScores(
        rows=n,
        mean_gain=mean,
        gain_std=spread,
        sharpe=ratio(mean, spread, "the gains do not vary"),
        mean_position=math.fsum(position) / n,
        mean_size=math.fsum(np.abs(position)) / n,
        share_long=int((position > 0.0).sum()) / n,
        share_short=int((position < 0.0).sum()) / n,
    )


def pinball(outcome: Floats, quantile: Floats, level: float) -> Floats:
    """f64[n]: max(q (y - p), (q - 1) (y - p))."""
    require_pairs(outcome, quantile)
    short = outcome - quantile
    return np.maximum(level * short, (level - 1.0) * short)


def _columns(forecast: Forecast) -> dict[float, Floats]:
    """The quantiles by their level."""
    found = ((LEVEL.fullmatch(name), own) for name, own in forecast.extra.items())
    return {round(float(m[1].replace("_", ".")) / 100.0, 12): own for m, own in found if m}
