"""Bars for tests of labels, baselines and skill."""

from __future__ import annotations

from typing import Any

import numpy as np

from truefill.forecast.baselines import History, Train
from truefill.forecast.labels import LABELS, FittedLabel, LabelBars, fit_label
from truefill.forecast.labels.trailing import trailing_mean

HOUR = 3_600
BARS = ("open", "high", "low", "close")


def bars_from(close: np.ndarray, *, spread: float = 0.0, session_bars: int = 10**9) -> LabelBars:
    """Hourly bars that open at the close before; highs and lows lie ``spread`` (a fraction) beyond
    open and close."""
    close = np.asarray(close, np.float64)
    opened = np.concatenate([close[:1], close[:-1]])
    at = np.arange(len(close))
    return LabelBars(
        timestamps_s=at * HOUR,
        open=opened,
        high=np.maximum(opened, close) * (1.0 + spread),
        low=np.minimum(opened, close) * (1.0 - spread),
        close=close,
        session=at // session_bars,
    )


def random_walk(n: int, seed: int, sigma: float = 0.01) -> LabelBars:
    """Bars of a random walk without drift."""
    noise = np.random.default_rng(seed).standard_normal(n)
    return bars_from(100.0 * np.exp(np.cumsum(sigma * noise)), spread=sigma / 4)


def history(bars: LabelBars, rows: np.ndarray, features: np.ndarray | None = None) -> History:
    """Rows of a symbol X; by default with features of its past: returns, volatility, the gap to a
    mean."""
    if features is None:
        step = np.nan_to_num(bars.log_return)
        mean = trailing_mean(bars.close, 5)
        gap = np.nan_to_num(bars.close / mean - 1.0)
        spread = np.sqrt(np.nan_to_num(trailing_mean(step**2, 10)))
        features = np.column_stack([step, np.roll(step, 1), gap, spread])
    return History("X", bars, features, np.asarray(rows))


def split_history(
    bars: LabelBars, cut: int, purge: int, features: np.ndarray | None = None, first: int = 20
) -> tuple[list[History], list[History]]:
    """Train rows up to ``cut`` less the purged ones, and the rows from ``cut`` on."""
    train = history(bars, np.arange(first, cut - purge), features)
    return [train], [history(bars, np.arange(cut, len(bars)), features)]


def asked(
    name: str, bars: LabelBars, cut: int, features: np.ndarray | None = None, **params: Any
) -> tuple[Train, list[History]]:
    """Train rows with their answers under a label fitted on them, and the rows to forecast."""
    label = LABELS.parse(name, params)
    horizon = FittedLabel(name, label).horizon
    train, test = split_history(bars, cut, horizon, features)
    mask = np.isin(np.arange(len(bars)), train[0].rows)
    return Train.of(fit_label(name, label, {"X": bars}, {"X": mask}), train), test
