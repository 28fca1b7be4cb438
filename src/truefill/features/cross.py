"""Features of a symbol and another one of the same dataset, as of each bar's close.

The other symbol's price at a bar is the close of its newest bar that had closed by then: of the bar
with the same start, as a rule. Where it has none, its last one counts for ``max_age_bars`` bars;
after that, and before its first bar, there is no value. For the other symbol itself the formulas
hold too: its spread is 0, beta and correlation are 1.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from truefill.core.errors import ConfigError, did_you_mean
from truefill.core.registry import Params
from truefill.features.base import Context, Floats, Running, calculator
from truefill.features.filters import Filter, Lag, Mean, Std
from truefill.features.parts import LogReturns
from truefill.features.state import Stateful


class _Cross(Params):
    other: str = Field(description="another symbol of the dataset")
    max_age_bars: int = Field(
        3, ge=0, description="bars for which its last close counts where it has no bar of its own"
    )


class OtherClose(Stateful):
    """The other symbol's close as of each bar's own."""

    def __init__(self, p: _Cross) -> None:
        self.p = p
        self.close = float("nan")
        self.closed_s = 0

    def push(self, bars: Context) -> Floats:
        """f64[n], NaN where the other symbol has no close that counts.

        Of the other symbol it needs the bars that closed since the push before; ``ConfigError``
        where the dataset has no such symbol.
        """
        other = _find(bars, self.p.other)
        closes_s = np.concatenate([[self.closed_s], other.closes_s])
        closes = np.concatenate([[self.close], other.close])
        at = np.searchsorted(closes_s[1:], bars.closes_s, side="right")
        if len(at):
            self.close, self.closed_s = float(closes[at[-1]]), int(closes_s[at[-1]])
        young = bars.closes_s - closes_s[at] <= self.p.max_age_bars * bars.interval_s
        return np.where(young, closes[at], np.nan)


def _find(bars: Context, name: str) -> Context:
    if name == bars.symbol and not bars.others:
        raise ConfigError(
            f"{name} is the only symbol, and a cross feature needs two",
            where="features",
            do="add the bars of another symbol",
        )
    known = {**bars.others, bars.symbol: bars}
    if name not in known:
        raise ConfigError(
            f"no symbol of the dataset is called {name!r}",
            where="features",
            do=did_you_mean(name, known),
        )
    return known[name]


class CrossReturnParams(_Cross):
    """Log return of another symbol."""

    periods: int = Field(1, ge=1, description="bars back")


@calculator(
    "cross_return",
    CrossReturnParams,
    unit="log return",
    source="ln(other[t] / other[t - periods]), as of this symbol's closes",
    crosses_session=True,
    irregular=True,
    warmup=lambda p: p.periods,
    lookback=lambda p: p.periods + 1 + p.max_age_bars,
)
class CrossReturn(Running):
    """Log return of the other symbol over the same bars."""

    def __init__(self, p: CrossReturnParams) -> None:
        self.other = OtherClose(p)
        self.before = Lag(p.periods)

    def push(self, bars: Context) -> Floats:
        other = self.other.push(bars)
        return np.log(other / self.before.push(other))


class CrossLogSpreadParams(_Cross):
    """Logarithm of the price over that of another symbol."""


@calculator(
    "cross_log_spread",
    CrossLogSpreadParams,
    unit="log of a price ratio",
    source="ln(close / other)",
    crosses_session=False,
    level=True,
    irregular=True,
    lookback=lambda p: 1 + p.max_age_bars,
)
class CrossLogSpread(Running):
    """ln(close / other): a level, see ``cross_zscore``."""

    def __init__(self, p: CrossLogSpreadParams) -> None:
        self.other = OtherClose(p)

    def push(self, bars: Context) -> Floats:
        return np.log(bars.close / self.other.push(bars))


class CrossZscoreParams(_Cross):
    """Rolling z-score of the log spread to another symbol."""

    window: int = Field(100, ge=2, description="bars")
    clip: float = Field(5.0, gt=0.0, description="clip to +- this")


@calculator(
    "cross_zscore",
    CrossZscoreParams,
    unit="rolling standard deviations",
    source="(spread - mean) / std (ddof 1) of ln(close / other); 0 while constant",
    crosses_session=True,
    normalized=True,
    irregular=True,
    warmup=lambda p: p.window - 1,
    lookback=lambda p: p.window + p.max_age_bars,
)
class CrossZscore(Running):
    """Rolling z-score of ln(close / other)."""

    def __init__(self, p: CrossZscoreParams) -> None:
        self.p = p
        self.spread = CrossLogSpread(
            CrossLogSpreadParams(other=p.other, max_age_bars=p.max_age_bars)
        )
        self.mean, self.std = Mean(p.window), Std(p.window)

    def push(self, bars: Context) -> Floats:
        spread = self.spread.push(bars)
        std = self.std.push(spread)
        distance = spread - self.mean.push(spread)
        scores = np.where(std > 0.0, distance / np.where(std > 0.0, std, 1.0), 0.0 * distance)
        return np.where(np.isnan(std), np.nan, np.clip(scores, -self.p.clip, self.p.clip))


class _PairedReturns(Stateful):
    """Rolling moments of this symbol's one-bar log returns and the other's."""

    def __init__(self, p: CrossBetaParams) -> None:
        self.other = OtherClose(p)
        self.own, self.others = LogReturns(), LogReturns()
        self.means: list[Filter] = [Mean(p.window) for _ in range(5)]

    def push(self, bars: Context) -> tuple[Floats, Floats, Floats]:
        """Covariance, own variance and the other's (ddof 0), f64[n] each; NaN where either return
        of the window is missing."""
        x, y = self.own.push(bars.close), self.others.push(self.other.push(bars))
        x = np.where(np.isnan(y), np.nan, x)
        mean_x, mean_y, xy, xx, yy = (
            mean.push(values)
            for mean, values in zip(self.means, (x, y, x * y, x * x, y * y), strict=True)
        )
        return xy - mean_x * mean_y, xx - mean_x * mean_x, yy - mean_y * mean_y


class CrossBetaParams(_Cross):
    """Slope of this symbol's returns on another's."""

    window: int = Field(100, ge=3, description="returns in the window")


@calculator(
    "cross_beta",
    CrossBetaParams,
    unit="return for a return of the other symbol",
    source="covariance / variance of the other's one-bar log returns; 0 while that is constant",
    crosses_session=True,
    irregular=True,
    warmup=lambda p: p.window,
    lookback=lambda p: p.window + 1 + p.max_age_bars,
)
class CrossBeta(Running):
    """Covariance of the last ``window`` returns over the other's variance."""

    def __init__(self, p: CrossBetaParams) -> None:
        self.returns = _PairedReturns(p)

    def push(self, bars: Context) -> Floats:
        covariance, _, variance = self.returns.push(bars)
        return _over(covariance, variance)


class CrossCorrelationParams(CrossBetaParams):
    """Correlation of this symbol's returns with another's."""


@calculator(
    "cross_correlation",
    CrossCorrelationParams,
    unit="-1..1",
    source="Pearson correlation of one-bar log returns; 0 while one of them is constant",
    crosses_session=True,
    normalized=True,
    irregular=True,
    warmup=lambda p: p.window,
    lookback=lambda p: p.window + 1 + p.max_age_bars,
)
class CrossCorrelation(Running):
    """Correlation of the last ``window`` returns."""

    def __init__(self, p: CrossCorrelationParams) -> None:
        self.returns = _PairedReturns(p)

    def push(self, bars: Context) -> Floats:
        covariance, own, others = self.returns.push(bars)
        both = np.sqrt(np.maximum(own, 0.0) * np.maximum(others, 0.0))
        return np.clip(_over(covariance, both), -1.0, 1.0)


FLAT = 1e-14
"""Variances (squared log returns) up to this are rounding, not movement."""


def _over(above: Floats, variance: Floats) -> Floats:
    """above / variance, 0 where the variance is rounding; NaN where either is."""
    moves = variance > FLAT
    return np.where(moves | np.isnan(variance), above / np.where(moves, variance, 1.0), 0.0)
