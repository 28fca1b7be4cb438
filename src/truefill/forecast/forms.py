"""The baselines of a question, in the form of the forecasts that they are held against.

A quantile of constant width is a straw man where volatility changes: whoever sees how wild the last
bars were beats it without a notion of where prices go. So walks that see that, and nothing else,
are among the baselines of quantiles, as ``scaled_walk`` is among those of classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from truefill.forecast.baselines.base import FORECASTERS, Forecast, History, Train
from truefill.forecast.kinds import quantile_name
from truefill.forecast.labels.base import FittedLabel, Floats
from truefill.forecast.labels.trailing import volatility
from truefill.forecast.scores import Kind, signal

FLAT = "random_walk"
"""The baseline that takes no position: a random walk has nothing to trade on."""
WALKS = {"scaled_walk_24": 24, "scaled_walk_96": 96}
"""Baselines of quantiles by the bars whose volatility they take."""


def baselines_of(label: FittedLabel, *, boosting: bool = False) -> tuple[str, ...]:
    """Names of the baselines that can be asked this label; boosting, whose extra may be missing,
    where wanted."""
    kind = "class" if label.classes else "real"
    return tuple(
        entry.name
        for entry in FORECASTERS
        if entry.facts["family"] == "baseline"
        and kind in entry.facts["targets"]
        and (boosting or entry.facts["extra"] is None)
    )


def forecasts_of(
    names: Sequence[str], train: Train, histories: Sequence[History]
) -> dict[str, Forecast]:
    """Forecasts of each named forecaster with its default parameters, fitted on ``train``."""
    return baselines_for("class" if train.label.classes else "real", names, train, histories)


def baselines_for(
    kind: Kind,
    names: Sequence[str],
    train: Train,
    histories: Sequence[History],
    levels: Sequence[float] = (),
) -> dict[str, Forecast]:
    """Forecasts of each named forecaster, fitted on ``train``, in the form of a kind.

    Quantiles (``levels``): the forecast plus the quantiles of its errors on the train rows; and
    walks whose quantiles are as wide as the last 24 and 96 bars were wild (:data:`WALKS`).
    Positions: all in, the way the forecast points; the random walk stays flat.
    """
    out = {}
    if kind == "quantile":
        for name, window in WALKS.items():
            out[name] = _scaled_walk(train, histories, window, levels)
    for name in names:
        entry = FORECASTERS.get(name)
        fitted = entry.make(entry.params(), train)
        found = fitted.predict(histories)
        if kind == "quantile":
            errors = train.answers - fitted.predict(train.histories).value
            found = with_quantiles(found.value, errors, levels)
        elif kind == "position":
            way = np.sign(signal(found.value, found.probability))
            found = Forecast(np.zeros(len(way)) if name == FLAT else way)
        out[name] = found
    return out


def with_quantiles(value: Floats, errors: Floats, levels: Sequence[float]) -> Forecast:
    """Quantiles: ``value`` f64[n] plus those of ``errors`` f64[m]; its value is their median."""
    at = np.quantile(errors, [0.5, *levels])
    extra = {quantile_name(q): value + e for q, e in zip(levels, at[1:], strict=True)}
    return Forecast(value + at[0], extra=extra)


def _scaled_walk(
    train: Train, histories: Sequence[History], window: int, levels: Sequence[float]
) -> Forecast:
    """Quantiles of train's answers in units of the volatility of the last bars, times that of each
    row; where there are too few bars, or nothing moved, train's volatility."""
    usual = {own.symbol: train.walk(own.symbol).sigma for own in train.histories}

    def late(asked: Sequence[History]) -> Floats:
        parts = []
        for own in asked:
            found = volatility(own.bars, window)[own.rows]
            parts.append(np.where(np.nan_to_num(found) > 0.0, found, usual[own.symbol]))
        return np.concatenate(parts)

    wild = late(histories)
    at = np.quantile(train.answers / late(train.histories), [0.5, *levels])
    extra = {quantile_name(q): own * wild for q, own in zip(levels, at[1:], strict=True)}
    return Forecast(at[0] * wild, extra=extra)
