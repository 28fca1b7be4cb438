"""Shape of the returns in a window: skewness and kurtosis."""

from __future__ import annotations

from math import sqrt

import numpy as np
from pydantic import Field

from truefill.core.registry import Params
from truefill.features.base import Context, Floats, Running, calculator
from truefill.features.filters import Skew, Sum
from truefill.features.parts import LogReturns, quotient

_SOURCE = "Amaya, Christoffersen, Jacobs, Vasquez (2015)"


class SkewParams(Params):
    """Skewness of the one-bar log returns about their mean."""

    window: int = Field(100, ge=3, description="returns in the window")


@calculator(
    "skew", SkewParams, unit="none; 0 = symmetric",
    source="population skewness m3 / m2^1.5; 0 on constant prices",
    crosses_session=True, warmup=lambda p: p.window,
)  # fmt: skip
class ReturnSkew(Running):
    """Population skewness (not corrected for bias) of the last ``window`` log returns."""

    def __init__(self, p: SkewParams) -> None:
        self.returns = LogReturns()
        self.skew = Skew(p.window)

    def push(self, bars: Context) -> Floats:
        return self.skew.push(self.returns.push(bars.close))


class RealizedSkewParams(Params):
    """Realised skewness: third moment of the returns about zero."""

    window: int = Field(100, ge=3, description="returns in the window")


@calculator(
    "realized_skew", RealizedSkewParams, unit="none; 0 = symmetric",
    source=_SOURCE + ": sqrt(N) sum r^3 / (sum r^2)^1.5; 0 on constant prices",
    crosses_session=True, warmup=lambda p: p.window,
)  # fmt: skip
class RealizedSkew(Running):
    """sqrt(N) sum r^3 / (sum r^2)^1.5 over the last ``window`` log returns."""

    def __init__(self, p: RealizedSkewParams) -> None:
        self.root = sqrt(p.window)
        self.returns = LogReturns()
        self.squares, self.cubes = Sum(p.window), Sum(p.window)

    def push(self, bars: Context) -> Floats:
        r = self.returns.push(bars.close)
        squares, cubes = self.squares.push(r * r), self.cubes.push(r * r * r)
        return self.root * quotient(cubes, squares * np.sqrt(squares), 0.0)


class RealizedKurtosisParams(Params):
    """Realised kurtosis: fourth moment of the returns about zero; 3 for a normal."""

    window: int = Field(100, ge=3, description="returns in the window")


@calculator(
    "realized_kurtosis", RealizedKurtosisParams, unit="none; normal = 3",
    source=_SOURCE + ": N sum r^4 / (sum r^2)^2; 3 on constant prices",
    crosses_session=True, warmup=lambda p: p.window,
)  # fmt: skip
class RealizedKurtosis(Running):
    """N sum r^4 / (sum r^2)^2 over the last ``window`` log returns."""

    def __init__(self, p: RealizedKurtosisParams) -> None:
        self.count = float(p.window)
        self.returns = LogReturns()
        self.squares, self.fourths = Sum(p.window), Sum(p.window)

    def push(self, bars: Context) -> Floats:
        squared = self.returns.push(bars.close) ** 2
        squares, fourths = self.squares.push(squared), self.fourths.push(squared * squared)
        return quotient(self.count * fourths, squares * squares, 3.0)
