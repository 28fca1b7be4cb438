"""Who pays the spread: features of the volume that buyers took, where the bars have that column.

Exchanges that publish klines give it as "taker buy volume"; the rest of the volume was sold by
takers. The column is named by a parameter; a file without it is a ``ConfigError``.
"""

from __future__ import annotations

from pydantic import Field

from truefill.core.registry import Params
from truefill.features.base import Context, Floats, Running, calculator
from truefill.features.filters import Lag, Mean, Sum
from truefill.features.parts import quotient
from truefill.features.price import bar_column


class _Taker(Params):
    column: str = Field(
        "taker_buy_volume", description="column of the bars: volume bought by takers, in units"
    )


class CvdParams(_Taker):
    """Cumulative volume delta: bought less sold by takers, as a share of the volume."""

    window: int = Field(288, ge=1, description="bars")


@calculator(
    "cvd",
    CvdParams,
    unit="-1..1",
    source="sum of (2 x taker buys - volume) / sum of volume; 0 without volume",
    crosses_session=True,
    warmup=lambda p: p.window - 1,
    columns=lambda p: [p.column],
)
class Cvd(Running):
    """Volume delta of the last ``window`` bars over their volume."""

    def __init__(self, p: CvdParams) -> None:
        self.column = p.column
        self.delta, self.volume = Sum(p.window), Sum(p.window)

    def push(self, bars: Context) -> Floats:
        delta = self.delta.push(2.0 * bar_column(bars, self.column) - bars.volume)
        return quotient(delta, self.volume.push(bars.volume), 0.0)


class TakerBuyRatioParams(_Taker):
    """Share of the volume bought by takers, averaged over some bars."""

    window: int = Field(1, ge=1, description="bars in the simple average; 1: the bar's own share")


@calculator(
    "taker_buy_ratio",
    TakerBuyRatioParams,
    unit="0..1",
    source="mean of taker buys / volume; 0.5 on a bar without volume",
    crosses_session=True,
    warmup=lambda p: p.window - 1,
    columns=lambda p: [p.column],
)
class BuyRatio(Running):
    """Simple average of taker buys / volume; a bar without volume counts as one half."""

    def __init__(self, p: TakerBuyRatioParams) -> None:
        self.column = p.column
        self.mean = Mean(p.window)

    def push(self, bars: Context) -> Floats:
        return self.mean.push(quotient(bar_column(bars, self.column), bars.volume, 0.5))


class TakerBuyMomentumParams(TakerBuyRatioParams):
    """Change of the takers' share over some bars."""

    periods: int = Field(48, ge=1, description="bars back")


@calculator(
    "taker_buy_momentum",
    TakerBuyMomentumParams,
    unit="difference of shares, -1..1",
    source="taker_buy_ratio[t] - taker_buy_ratio[t - periods]",
    crosses_session=True,
    warmup=lambda p: p.window - 1 + p.periods,
    columns=lambda p: [p.column],
)
class BuyMomentum(BuyRatio):
    """The averaged share now less that ``periods`` bars earlier."""

    def __init__(self, p: TakerBuyMomentumParams) -> None:
        super().__init__(p)
        self.earlier = Lag(p.periods)

    def push(self, bars: Context) -> Floats:
        share = super().push(bars)
        return share - self.earlier.push(share)
