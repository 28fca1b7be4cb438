"""From config to the market's rules as traced arrays. A rule that is not set is absent."""

from __future__ import annotations

from collections.abc import Mapping

import jax.numpy as jnp

from truefill.config.schema import Config, MarketConfig
from truefill.config.symbol_rules import Rules
from truefill.core.errors import ConfigError, did_you_mean
from truefill.env.market_bars import BPS
from truefill.market.types import NEVER, MarketParams

FOREVER = 2**30
"""Bars; no data are as long."""


def market_params(
    config: Config,
    symbols: tuple[str, ...],
    balance: float,
    cost_multiples: tuple[float, ...] = (1.0,),
    extra_slippage_bps: tuple[float, ...] = (0.0,),
    *,
    routes: bool = False,
) -> MarketParams:
    """The config's rules as traced arrays, [N] or [1] by account, [1, S] by symbol.

    Raises:
        ConfigError: rules are given for a symbol that the data do not hold.
    """
    market = config.market
    for name in sorted(set(market.symbols) - set(symbols)):
        raise ConfigError(
            f"rules are given for {name}, which the data do not hold",
            where="market.symbols",
            do=did_you_mean(name, symbols),
        )
    rules = [market.rules_for(symbol) for symbol in symbols]
    trail, atr = market.trailing_stop, market.atr_stops

    def account(value: float) -> jnp.ndarray:
        return jnp.full((1,), value, jnp.float64)

    def symbol(value: float | None) -> jnp.ndarray:
        return jnp.full((1, len(symbols)), NEVER if value is None else value, jnp.float64)

    def bars(value: int | None) -> jnp.ndarray:
        return jnp.full((1, len(symbols)), FOREVER if value is None else value, jnp.int32)

    return MarketParams(
        one=jnp.asarray(1.0),
        initial_balance=account(balance),
        cost_multiple=jnp.asarray(cost_multiples, jnp.float64),
        extra_slippage=jnp.asarray(extra_slippage_bps, jnp.float64) * BPS,
        decision_interval=jnp.full((1,), market.decision_interval_bars, jnp.int32),
        allow_short=_own([r.allow_short for r in rules]),
        max_leverage=account(market.max_leverage),
        max_weight=_own([r.max_weight for r in rules]),
        lot=_own([r.lot_size for r in rules]),
        min_notional=_own([r.min_notional for r in rules]),
        band=_own([r.no_trade_band for r in rules]),
        min_hold=bars(market.min_hold_bars),
        max_hold=bars(market.max_hold_bars),
        stop_loss=symbol(market.stop_loss),
        take_profit=symbol(market.take_profit),
        use_atr=symbol(0.0 if atr is None else 1.0),
        atr_stop=symbol(atr.stop_multiple if atr else 1.0),
        atr_target=symbol(atr.target_multiple if atr else 1.0),
        atr_stop_min=symbol(atr.stop_min if atr else None),
        atr_stop_max=symbol(atr.stop_max if atr else None),
        atr_target_min=symbol(atr.target_min if atr and atr.target_multiple else None),
        atr_target_max=symbol(atr.target_max if atr and atr.target_multiple else None),
        trail_distance=symbol(trail.distance if trail else None),
        trail_activation=symbol(trail.activation if trail else None),
        trail_keep=symbol(trail.keep if trail else 0.0),
        trail_floor=symbol(trail.floor if trail else 0.0),
        maintenance=account(market.maintenance_margin),
        ruin_fraction=account(market.ruin_fraction),
        **_optional(market, rules, routes),
    )


def _own(values: list[float] | list[bool]) -> jnp.ndarray:
    """One value a symbol, [1, S]."""
    return jnp.asarray([values], jnp.float64)


def _optional(market: MarketConfig, rules: list[Rules], routes: bool) -> Mapping[str, jnp.ndarray]:
    """Rules that are absent where they are not set, so that they cost nothing."""
    found: dict[str, jnp.ndarray] = {}
    if routes:
        found["fill_buffer"] = _own([BPS * market.fill_buffer_bps for _ in rules])
    part = market.participation
    if part is not None and part.impact_bps > 0.0:
        found["impact"] = _own([BPS * part.impact_bps for _ in rules])
        found["impact_exponent"] = _own([part.exponent for _ in rules])
    if part is not None and part.max_share is not None:
        found["max_participation"] = _own([part.max_share for _ in rules])
    if market.max_leverage_at_close is not None:
        found["leverage_at_close"] = jnp.full((1,), market.max_leverage_at_close, jnp.float64)
    weights = [r.max_weight_at_close for r in rules]
    if any(w is not None for w in weights):
        found["weight_at_close"] = _own([NEVER if w is None else w for w in weights])
    if any(r.derivative for r in rules):
        found["derivative"] = _own([float(r.derivative) for r in rules])
    return found
