"""The rules of filling, costs, limits and stops."""

from __future__ import annotations

import math
from typing import Any, Self

from pydantic import Field, model_validator

from truefill.config.fields import Count, Fraction, NonNegative, Positive, Section
from truefill.config.market_parts import AtrStops, Participation, TrailingStop
from truefill.config.no_trade import NoTrade
from truefill.config.symbol_rules import ClassRules, Rules, SymbolRules
from truefill.core.errors import did_you_mean


class MarketConfig(Section):
    """The rules of filling, costs, limits and stops: the same everywhere."""

    fee_bps: NonNegative = Field(10.0, description="fee, bps of traded notional")
    maker_fee_bps: NonNegative | None = Field(
        None, description="fee of a limit order that rests and is filled; null = fee_bps"
    )
    fill_buffer_bps: NonNegative = Field(
        5.0, description="limit orders: how far a bar must trade through the price, bps of price"
    )
    half_spread_bps: NonNegative = Field(2.0, description="half spread, bps of price")
    slippage_bps: NonNegative = Field(3.0, description="base slippage, bps of price")
    interest_rate_annual: NonNegative = Field(
        0.065, description="interest on borrowed cash, fraction a year"
    )
    borrow_rate_annual: NonNegative = Field(
        0.03, description="fee on the value of shorts, fraction a year"
    )
    participation: Participation | None = Field(
        None, description="slippage and limits by share of the bar's volume"
    )
    derivative: bool = Field(
        False, description="the notional is not paid from cash: no interest or borrow fee on it"
    )
    contract_multiplier: Positive = Field(
        1.0, description="what one unit is worth at a price of 1, e.g. 50 for a future"
    )
    declared_volume: Positive | None = Field(
        None, description="units a bar, in place of a volume of zero only; for participation"
    )
    classes: dict[str, ClassRules] = Field(
        default_factory=dict, description="rules by asset class, where they differ from these"
    )
    symbols: dict[str, SymbolRules] = Field(
        default_factory=dict, description="class and own rules by symbol"
    )
    decision_lag: Count = Field(
        1, description="bars from decision (close) to fill (open); at least 1"
    )
    decision_interval_bars: Count = Field(1, description="the agent decides every n-th bar")
    allow_short: bool = Field(False, description="negative positions are allowed")
    max_leverage: Positive = Field(1.0, description="gross exposure limit, multiple of equity")
    max_weight: Positive = Field(1.0, description="limit per symbol, multiple of equity")
    max_leverage_at_close: NonNegative | None = Field(
        None, description="what exceeds it at a session's last close is sold; null = off"
    )
    max_weight_at_close: NonNegative | None = Field(
        None, description="the same for each symbol, multiple of equity; null = off"
    )
    no_trade: tuple[NoTrade, ...] = Field(
        (),
        description="orders are cancelled on bars that start inside, stops work; kind: daily (may "
        "be left out), interval, funding, volatility",
    )
    lot_size: NonNegative = Field(0.0, description="units per lot; 0 = any fraction")
    min_notional: NonNegative = Field(0.0, description="smallest order, account currency")
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
        shorts = self.allow_short or any(rules.allow_short for rules in self._levels().values())
        if self.stop_loss is not None and self.stop_loss >= 1.0 and not shorts:
            raise ValueError("stop_loss of 100 % or more can never be hit by a long")
        return self

    @model_validator(mode="after")
    def _classes(self) -> Self:
        used = {rules.asset_class for rules in self.symbols.values()}
        for symbol, rules in self.symbols.items():
            if rules.asset_class is not None and rules.asset_class not in self.classes:
                raise ValueError(
                    f"symbols.{symbol}.asset_class {rules.asset_class!r} is not in classes. "
                    + did_you_mean(rules.asset_class, self.classes)
                )
        for name in self.classes:
            if name not in used:
                raise ValueError(
                    f"classes.{name} has no symbol; give one asset_class: {name}, or remove it"
                )
        return self

    @model_validator(mode="after")
    def _limits(self) -> Self:
        if self.max_weight > self.max_leverage:
            raise ValueError("max_weight exceeds max_leverage; lower it or raise max_leverage")
        if _above(self.max_leverage_at_close, self.max_leverage):
            raise ValueError("max_leverage_at_close exceeds max_leverage; it must be the lower")
        if _above(self.max_weight_at_close, self.max_weight):
            raise ValueError("max_weight_at_close exceeds max_weight; it must be the lower")
        for where, level in self._levels().items():
            if _above(level.max_weight, self.max_leverage):
                raise ValueError(
                    f"{where}.max_weight exceeds max_leverage; lower it or raise max_leverage"
                )
        for symbol, own in self.symbols.items():
            rules = self.rules_for(symbol)
            if _above(self._given(own).max_weight_at_close, rules.max_weight):
                raise ValueError(
                    f"symbols.{symbol}: max_weight_at_close {rules.max_weight_at_close:g} exceeds "
                    f"its max_weight {rules.max_weight:g}; it must be the lower"
                )
            if _above(own.max_weight, 1.0) and rules.max_weight == 1.0:
                raise ValueError(
                    f"symbols.{symbol}.max_weight {own.max_weight:g} needs leverage, which "
                    f"classes.{own.asset_class} does not allow"
                )
        return self

    def _levels(self) -> dict[str, ClassRules]:
        """Rules of every class and symbol, by their key."""
        classes = {f"classes.{name}": rules for name, rules in self.classes.items()}
        return {**classes, **{f"symbols.{name}": rules for name, rules in self.symbols.items()}}

    def _given(self, own: SymbolRules) -> ClassRules:
        """What a symbol and its class say, the symbol's word first."""
        if own.asset_class is None:
            return own
        spoken = own.model_dump(exclude_none=True, exclude={"asset_class"})
        return self.classes[own.asset_class].model_copy(update=spoken)

    def rules_for(self, symbol: str) -> Rules:
        """What holds for ``symbol``: its own rules, else its class's, else the market's."""
        given = self._given(self.symbols.get(symbol) or SymbolRules())

        def of(name: str) -> Any:
            own = getattr(given, name)
            return getattr(self, name) if own is None else own

        fee, maker, half_spread = of("fee_bps"), of("maker_fee_bps"), of("half_spread_bps")
        widest = given.spread_multiplier
        return Rules(
            fee_bps=fee,
            maker_fee_bps=fee if maker is None else maker,
            half_spread_bps=half_spread if widest is None else half_spread * widest,
            slippage_bps=of("slippage_bps"),
            lot_size=of("lot_size"),
            min_notional=of("min_notional"),
            borrow_rate_annual=of("borrow_rate_annual"),
            allow_short=of("allow_short"),
            max_weight=min(of("max_weight"), 1.0 if given.allow_leverage is False else math.inf),
            max_weight_at_close=of("max_weight_at_close"),
            no_trade_band=of("no_trade_band"),
            derivative=of("derivative"),
            contract_multiplier=of("contract_multiplier"),
            declared_volume=of("declared_volume"),
            liquidity_multiplier=given.liquidity_multiplier or 1.0,
        )


def _above(value: float | None, limit: float) -> bool:
    return value is not None and value > limit
