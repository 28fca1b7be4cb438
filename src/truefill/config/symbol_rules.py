"""Rules of a class of symbols and of one symbol, where they differ from the market's."""

from __future__ import annotations

from typing import NamedTuple, Self

from pydantic import Field, model_validator

from truefill.config.fields import NonNegative, Positive, Section


class ClassRules(Section):
    """Rules that a class of symbols shares; what is null is the market's."""

    fee_bps: NonNegative | None = Field(None, description="fee, bps of notional")
    maker_fee_bps: NonNegative | None = Field(
        None, description="fee of a limit order that rests and is filled, bps of notional"
    )
    half_spread_bps: NonNegative | None = Field(None, description="half spread, bps of price")
    slippage_bps: NonNegative | None = Field(None, description="slippage, bps of price")
    lot_size: NonNegative | None = Field(None, description="units per lot")
    min_notional: NonNegative | None = Field(None, description="smallest order, account currency")
    borrow_rate_annual: NonNegative | None = Field(
        None, description="fee on shorts, fraction a year"
    )
    allow_short: bool | None = Field(None, description="negative positions are allowed")
    allow_leverage: bool | None = Field(
        None, description="false: the weight stays within 1, whatever max_weight allows"
    )
    max_weight: Positive | None = Field(None, description="limit, multiple of equity")
    max_weight_at_close: NonNegative | None = Field(
        None, description="what exceeds it at a session's last close is sold; multiple of equity"
    )
    no_trade_band: NonNegative | None = Field(
        None, description="a weight order closer than this to the current weight is no trade"
    )
    derivative: bool | None = Field(
        None, description="the notional is not paid from cash: no interest or borrow fee on it"
    )
    contract_multiplier: Positive | None = Field(
        None, description="what one unit is worth at a price of 1, e.g. 50 for a future"
    )
    declared_volume: Positive | None = Field(
        None, description="units a bar, in place of a volume of zero only; for participation"
    )
    spread_multiplier: Positive | None = Field(None, description="multiplies the half spread")
    liquidity_multiplier: Positive | None = Field(
        None, description="multiplies the volume that participation counts with"
    )

    @model_validator(mode="after")
    def _leverage(self) -> Self:
        if self.allow_leverage is False and self.max_weight is not None and self.max_weight > 1.0:
            raise ValueError(
                f"max_weight {self.max_weight:g} needs leverage, and allow_leverage is false"
            )
        return self


class SymbolRules(ClassRules):
    """Rules of one symbol; what is null is its class's, else the market's."""

    asset_class: str | None = Field(None, description="its class, one of market.classes")


class Rules(NamedTuple):
    """What holds for one symbol, the symbol's own over its class's over the market's."""

    fee_bps: float
    maker_fee_bps: float
    half_spread_bps: float
    """Times the spread multiplier."""
    slippage_bps: float
    lot_size: float
    min_notional: float
    borrow_rate_annual: float
    allow_short: bool
    max_weight: float
    """At most 1 where leverage is not allowed."""
    max_weight_at_close: float | None
    no_trade_band: float
    derivative: bool
    contract_multiplier: float
    declared_volume: float | None
    liquidity_multiplier: float
