"""Parts of the market's rules: stops, slippage by volume."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from truefill.config.fields import Count, Fraction, NonNegative, Positive, Section

PositiveFraction = Annotated[float, Field(gt=0.0, le=1.0, allow_inf_nan=False)]


class TrailingStop(Section):
    """Trailing stop from the best price of EARLIER bars since entry."""

    distance: Positive | None = Field(
        None, description="stop at best price x (1 - distance) for a long; fraction"
    )
    activation: Positive | None = Field(
        None, description="keep-profit form: armed once the best profit reached this fraction"
    )
    keep: Fraction = Field(
        0.5, description="keep-profit form: share of the best profit that is kept"
    )
    floor: NonNegative = Field(0.0, description="keep-profit form: profit kept at least, fraction")

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if self.distance is None and self.activation is None:
            raise ValueError("trailing_stop needs distance or activation")
        return self


class AtrStops(Section):
    """Stops at multiples of the ATR of the bar before the fill, as fractions of the entry price."""

    period: Count = Field(14, description="ATR period (Wilder), bars")
    stop_multiple: Positive = Field(2.5, description="stop distance in ATRs")
    target_multiple: Positive | None = Field(
        5.0, description="target distance in ATRs; null = none"
    )
    stop_min: Positive = Field(0.01, description="smallest stop distance, fraction")
    stop_max: Positive = Field(0.08, description="largest stop distance, fraction")
    target_min: Positive = Field(0.01, description="smallest target distance, fraction")
    target_max: Positive = Field(0.10, description="largest target distance, fraction")

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        if self.stop_min > self.stop_max or self.target_min > self.target_max:
            raise ValueError("atr_stops: min must not exceed max")
        return self


class Participation(Section):
    """Slippage and limits that grow with an order's share of the bar's volume."""

    impact_bps: NonNegative = Field(
        0.0, description="slippage of an order as large as the bar's volume, bps of price; 0 = none"
    )
    exponent: Positive = Field(
        0.5, description="slippage = impact x share ^ exponent; 0.5 is the square-root law"
    )
    max_share: PositiveFraction | None = Field(
        None, description="largest share of the bar's volume an order may take; null = any"
    )

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if self.impact_bps == 0.0 and self.max_share is None:
            raise ValueError("participation needs impact_bps or max_share")
        return self
