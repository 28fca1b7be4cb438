"""The rules of filling, costs, limits and stops."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from truefill.config.fields import Count, Fraction, NonNegative, Positive, Section


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


class CostOverride(Section):
    """Costs of one symbol, where they differ from the market's."""

    fee_bps: NonNegative | None = Field(None, description="fee, bps of notional")
    half_spread_bps: NonNegative | None = Field(None, description="half spread, bps of price")
    slippage_bps: NonNegative | None = Field(None, description="slippage, bps of price")
    lot_size: NonNegative | None = Field(None, description="units per lot")
    min_notional: NonNegative | None = Field(None, description="smallest order, quote currency")
    borrow_rate_annual: NonNegative | None = Field(
        None, description="fee on shorts, fraction a year"
    )


class MarketConfig(Section):
    """The rules of filling, costs, limits and stops: the same everywhere."""

    fee_bps: NonNegative = Field(10.0, description="fee, bps of traded notional")
    half_spread_bps: NonNegative = Field(2.0, description="half spread, bps of price")
    slippage_bps: NonNegative = Field(3.0, description="base slippage, bps of price")
    interest_rate_annual: NonNegative = Field(
        0.065, description="interest on borrowed cash, fraction a year"
    )
    borrow_rate_annual: NonNegative = Field(
        0.03, description="fee on the value of shorts, fraction a year"
    )
    symbols: dict[str, CostOverride] = Field(default_factory=dict, description="costs by symbol")
    decision_lag: Count = Field(
        1, description="bars from decision (close) to fill (open); at least 1"
    )
    decision_interval_bars: Count = Field(1, description="the agent decides every n-th bar")
    allow_short: bool = Field(False, description="negative positions are allowed")
    max_leverage: Positive = Field(1.0, description="gross exposure limit, multiple of equity")
    max_weight: Positive = Field(1.0, description="limit per symbol, multiple of equity")
    lot_size: NonNegative = Field(0.0, description="units per lot; 0 = any fraction")
    min_notional: NonNegative = Field(0.0, description="smallest order, quote currency")
    no_trade_band: NonNegative = Field(
        0.0, description="a weight order closer than this to the current weight is no trade"
    )
    min_hold_bars: int = Field(
        0, ge=0, description="bars before the agent may reduce, close or reverse"
    )
    max_hold_bars: Count | None = Field(None, description="bars after which a position is closed")
    stop_loss: Positive | None = Field(
        None, description="stop distance, fraction of the entry price"
    )
    take_profit: Positive | None = Field(
        None, description="target distance, fraction of entry price"
    )
    trailing_stop: TrailingStop | None = Field(None, description="trailing stop")
    atr_stops: AtrStops | None = Field(None, description="ATR stops instead of fixed fractions")
    maintenance_margin: Fraction = Field(
        0.25, description="liquidated when equity / gross exposure falls below this"
    )
    ruin_fraction: Fraction = Field(
        0.05, description="ruin when equity falls to this share of the starting balance"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.maintenance_margin * self.max_leverage >= 1.0:
            raise ValueError(
                f"maintenance_margin {self.maintenance_margin} would liquidate at once at "
                f"max_leverage {self.max_leverage}; it must be below {1 / self.max_leverage:.4g}"
            )
        if self.ruin_fraction <= 0.0:
            raise ValueError("ruin_fraction must be above 0 (log equity must stay finite)")
        if self.max_hold_bars is not None and self.max_hold_bars < self.min_hold_bars:
            raise ValueError("max_hold_bars is below min_hold_bars")
        if self.atr_stops is not None and (self.stop_loss or self.take_profit):
            raise ValueError("give either atr_stops or stop_loss / take_profit, not both")
        if self.stop_loss is not None and self.stop_loss >= 1.0 and not self.allow_short:
            raise ValueError("stop_loss of 100 % or more can never be hit by a long")
        if self.max_weight > self.max_leverage:
            raise ValueError("max_weight exceeds max_leverage; lower it or raise max_leverage")
        return self
