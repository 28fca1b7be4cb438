"""Forecasts as columns of a table, the form in which they are stored and observed, and back.

Names begin with the head, ``h3_`` for the horizon of 3 bars:

- classes: ``class`` (0 fall, 0.5 still, 1 rise), ``confidence`` (the highest probability),
  ``p_fall``, ``p_still``, ``p_rise``;
- quantities: ``value``, in units of the label's standard deviation on the rows that were fitted;
- quantiles: ``value`` (the median) and ``q10``, ..., in the same unit;
- positions: ``position``, -1 .. 1;
- all: ``signal``, above 0 where the forecast is for a rise (p_rise - p_fall, value, position);
- further facts of a distribution, by their own names (beside classes ``return_p_rise``), those with
  a unit in that of ``value``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from truefill.forecast.baselines.base import Forecast
from truefill.forecast.labels.base import CLASSES, Floats
from truefill.forecast.scores import Kind

DIMENSIONLESS = ("tail_ratio", "entropy", "skew", "p_rise")
"""Facts of a distribution that have no unit."""
OF_RETURN = "return_"
"""Before a further fact whose name a class already has."""
OWN = ("class", "confidence", "value", "position", "signal", *(f"p_{name}" for name in CLASSES))


def head(horizon: int) -> str:
    """How the columns of a horizon begin."""
    return f"h{horizon}"


def to_columns(
    horizon: int, forecast: Forecast, kind: Kind, spread: float | Floats
) -> dict[str, Floats]:
    """The columns of one head, f64[n] each; ``spread``: the label's standard deviation."""
    own: dict[str, Floats] = {}
    if kind == "class":
        assert forecast.probability is not None
        share = forecast.probability
        own["class"] = forecast.value / (len(CLASSES) - 1)
        own["confidence"] = share.max(axis=1)
        own |= {f"p_{name}": share[:, i] for i, name in enumerate(CLASSES)}
        own["signal"] = share[:, -1] - share[:, 0]
    elif kind == "position":
        own["position"] = own["signal"] = forecast.value
    else:
        own["value"] = own["signal"] = forecast.value / spread
    for name, values in forecast.extra.items():
        other = (
            f"{OF_RETURN}{name}" if name in own else name
        )  # P(rise) of the return, not the class
        own[other] = values / spread if _has_unit(name, kind) else values
    return {f"{head(horizon)}_{name}": values for name, values in own.items()}


def from_columns(
    horizon: int, columns: Mapping[str, Floats], kind: Kind, spread: float | Floats
) -> Forecast:
    """The forecast of one head from :func:`to_columns`' columns, to the last bits of ``spread``."""
    first = f"{head(horizon)}_"
    own = {n.removeprefix(first): values for n, values in columns.items() if n.startswith(first)}
    extra = {name: values for name, values in own.items() if name not in OWN}
    if kind == "class":
        share = np.stack([own[f"p_{name}"] for name in CLASSES], axis=1)
        return Forecast(own["class"] * (len(CLASSES) - 1), share, extra)
    if kind == "position":
        return Forecast(own["position"], None, extra)
    extra = {n: values * spread if _has_unit(n, kind) else values for n, values in extra.items()}
    return Forecast(own["value"] * spread, None, extra)


def _has_unit(name: str, kind: Kind) -> bool:
    """Is a further fact counted in the label's spread?"""
    return kind in ("real", "quantile") and name not in DIMENSIONLESS


def names(horizons: Sequence[int], kind: Kind, levels: Sequence[float] = ()) -> tuple[str, ...]:
    """The columns of forecasts of a kind, without further facts.

    >>> names((1, 2), "position")
    ('h1_position', 'h1_signal', 'h2_position', 'h2_signal')
    """
    quantiles = {f"q{100.0 * level:g}".replace(".", "_"): np.zeros(1) for level in levels}
    share = np.full((1, len(CLASSES)), 1.0 / len(CLASSES)) if kind == "class" else None
    empty = Forecast(np.zeros(1), share, quantiles if kind == "quantile" else {})
    return tuple(n for horizon in horizons for n in to_columns(horizon, empty, kind, 1.0))
