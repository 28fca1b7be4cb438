"""The volatility guard: trading stops while a symbol's recent returns are too wild.

What it knows at a bar is what was known when the bar opened: the closes (and asks) of the bars
before it. It closes when the rolling sigma, or the spread, exceeds a threshold; it opens again once
everything is below (1 - hysteresis) x its threshold and ``cooldown_bars`` have passed since the
last bar that exceeded one. The percentile's threshold is a quantile of the symbol's train bars; it
is the one thing fitted here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from truefill.config.no_trade import VolatilityGuard
from truefill.core.errors import DataError

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

BPS = 1e-4
_BLOCK = 4096
"""Windows whose deviations are held at once."""


@dataclass(frozen=True)
class Guarded:
    """One symbol: ``closed`` [n] bool, the thresholds by name (sigma as a fraction, spread in
    bps)."""

    closed: Bools
    thresholds: dict[str, float]


def guard(
    rule: VolatilityGuard, symbol: str, close: Floats, ask: Floats | None, train: Bools
) -> Guarded:
    """Which bars of one symbol are closed.

    Args:
        close: f64[n], oldest first.
        ask: f64[n] at the close (NaN: not known there), where ``spread_bps`` is given.
        train: [n] bool, the bars of train: they alone set the percentile's threshold.

    Raises:
        DataError: ``guard_not_fitted``: no train bar has a sigma.
    """
    thresholds: dict[str, float] = {}
    over, calm = np.zeros(len(close), np.bool_), np.ones(len(close), np.bool_)
    if rule.absolute is not None or rule.percentile is not None:
        sigma = rolling_sigma(close, rule.window_bars)
        if rule.absolute is not None:
            thresholds["absolute"] = rule.absolute
        if rule.percentile is not None:
            thresholds["percentile"] = _quantile(sigma[train], rule, symbol)
        _judge(sigma, min(thresholds.values()), rule.hysteresis, over, calm)
    if rule.spread_bps is not None:
        assert ask is not None
        thresholds["spread_bps"] = rule.spread_bps
        spread = np.full(len(close), np.nan)
        spread[1:] = (ask[:-1] - close[:-1]) / close[:-1]
        _judge(spread, BPS * rule.spread_bps, rule.hysteresis, over, calm)
    return Guarded(_held(over, calm, rule.cooldown_bars), thresholds)


def rolling_sigma(close: Floats, window: int) -> Floats:
    """f64[n]: standard deviation (ddof 0) of the last ``window`` log returns known when each bar
    opens; NaN on the first ``window`` + 1 bars. The bits depend on those returns alone."""
    sigma = np.full(len(close), np.nan)
    if len(close) < window + 2:
        return sigma
    returns = np.log(close[1:-1] / close[:-2])
    windows = np.lib.stride_tricks.sliding_window_view(returns, window)
    for first in range(0, len(windows), _BLOCK):
        block = np.ascontiguousarray(windows[first : first + _BLOCK])
        deviations = block - block.mean(axis=1, keepdims=True)
        at = window + 1 + first
        sigma[at : at + len(block)] = np.sqrt((deviations * deviations).mean(axis=1))
    return sigma


def _quantile(sigma: Floats, rule: VolatilityGuard, symbol: str) -> float:
    known = np.sort(sigma[~np.isnan(sigma)])
    if not len(known):
        raise DataError(
            "guard_not_fitted",
            f"none of {len(sigma):,} train bars of {symbol} has {rule.window_bars} returns before "
            "it, and percentile is a quantile of theirs",
            where="market.no_trade",
            do="widen data.splits.train, shorten window_bars, or give absolute instead",
        )
    assert rule.percentile is not None
    return float(known[min(int(rule.percentile * len(known)), len(known) - 1)])


def _judge(values: Floats, threshold: float, hysteresis: float, over: Bools, calm: Bools) -> None:
    """Mark what exceeds the threshold, and take away what is not yet calm. What is not known does
    neither."""
    over |= values > threshold
    calm &= ~(values >= (1.0 - hysteresis) * threshold)


def _held(over: Bools, calm: Bools, cooldown: int) -> Bools:
    """Closed from each bar that exceeds a threshold until one that opens."""
    at = np.arange(len(over))
    last_over = np.maximum.accumulate(np.where(over, at, -1))
    opens = calm & ~over & (at - last_over > cooldown)
    last_open = np.maximum.accumulate(np.where(opens, at, -1))
    return np.asarray((last_over >= 0) & (last_over > last_open))
