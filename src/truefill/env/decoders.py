"""Action decoders: what an agent's action orders. Sides and sizes are resolved at the fill."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax.numpy as jnp
from pydantic import Field, model_validator

from truefill.core.registry import Params, Registry
from truefill.market.types import Account, Array, MarketParams, OrderKind, Orders


@dataclass(frozen=True)
class Decoder:
    """One way to turn actions into orders.

    Attributes:
        num_actions: number of discrete actions per symbol; 0 = one continuous action per symbol.
        orders: action ([N, S], int32 or float32) -> orders.
        legal: account and limits -> bool [N, S, num_actions]; None where every action is legal.
            An illegal action becomes a HOLD order.
        needs_band: refuse a market without a no-trade band (resized every bar otherwise).
        needs_short: refuse a market without shorts (an action would do nothing otherwise).
    """

    num_actions: int
    orders: Callable[[Array], Orders]
    legal: Callable[[Account, MarketParams], Array] | None = None
    needs_band: bool = False
    needs_short: bool = False

    @property
    def discrete(self) -> bool:
        return self.num_actions > 0


DECODERS: Registry[Callable[..., Decoder]] = Registry("action decoder")


class ShortFlatLong(Params):
    """Three actions: short, flat, long at a fixed size."""

    size: float = Field(1.0, gt=0.0, description="position size, fraction of equity")


@DECODERS.register("short_flat_long", ShortFlatLong, needs_short=True)
def short_flat_long(p: ShortFlatLong) -> Decoder:
    """0 short, 1 flat, 2 long; no trade while the position is already on that side."""

    def orders(action: Array) -> Orders:
        side = action.astype(jnp.float64) - 1.0
        kind = jnp.where(action == 1, OrderKind.WEIGHT, OrderKind.SIDE)
        return Orders(kind.astype(jnp.int32), side * p.size)

    return Decoder(3, orders, needs_short=True)


class FlatLong(Params):
    """Two actions: flat, long at a fixed size."""

    size: float = Field(1.0, gt=0.0, description="position size, fraction of equity")


@DECODERS.register("flat_long", FlatLong)
def flat_long(p: FlatLong) -> Decoder:
    """0 flat, 1 long; no trade while already long."""

    def orders(action: Array) -> Orders:
        kind = jnp.where(action == 0, OrderKind.WEIGHT, OrderKind.SIDE)
        return Orders(kind.astype(jnp.int32), action.astype(jnp.float64) * p.size)

    return Decoder(2, orders)


class HoldBuySellClose(Params):
    """Four actions: hold, buy, sell, close."""

    size: float = Field(1.0, gt=0.0, description="position size, fraction of equity")


@DECODERS.register("hold_buy_sell_close", HoldBuySellClose)
def hold_buy_sell_close(p: HoldBuySellClose) -> Decoder:
    """0 hold, 1 buy (be long), 2 sell (be short), 3 close.

    Illegal: buy while long, sell while short or where shorts are not allowed, close while flat.
    """
    kinds = (OrderKind.HOLD, OrderKind.SIDE, OrderKind.SIDE, OrderKind.WEIGHT)
    values = (0.0, p.size, -p.size, 0.0)

    def orders(action: Array) -> Orders:
        kind = jnp.asarray(kinds, jnp.int32)[action]
        return Orders(kind, jnp.asarray(values)[action])

    def legal(account: Account, params: MarketParams) -> Array:
        side = jnp.sign(account.units)
        may_short = jnp.broadcast_to(params.allow_short > 0.0, side.shape)
        rows = [jnp.ones(side.shape, bool), side <= 0.0, (side >= 0.0) & may_short, side != 0.0]
        return jnp.stack(rows, axis=-1)

    return Decoder(4, orders, legal)


class Score(Params):
    """A continuous score in [-1, 1] with thresholds: one zone or two."""

    threshold: float = Field(0.35, gt=0.0, lt=1.0, description="|score| below is flat")
    size: float = Field(1.0, gt=0.0, description="position size of the (inner) zone")
    outer_threshold: float | None = Field(None, description="|score| from here on takes outer_size")
    outer_size: float = Field(1.0, gt=0.0, description="position size of the outer zone")

    @model_validator(mode="after")
    def _ordered(self) -> Score:
        if self.outer_threshold is not None and not self.threshold < self.outer_threshold < 1.0:
            raise ValueError("outer_threshold must lie between threshold and 1")
        return self


@DECODERS.register("score", Score, needs_short=True)
def score(p: Score) -> Decoder:
    """|a| < threshold: flat; else the sign is the side.

    One zone trades only when the side changes. Two zones order a weight at every decision, so they
    need a no-trade band, or drift alone would trade every bar.
    """

    def orders(action: Array) -> Orders:
        a = jnp.clip(action.astype(jnp.float64), -1.0, 1.0)
        flat = jnp.abs(a) < p.threshold
        size = jnp.full(a.shape, p.size)
        kind = OrderKind.SIDE
        if p.outer_threshold is not None:
            size = jnp.where(jnp.abs(a) >= p.outer_threshold, p.outer_size, size)
            kind = OrderKind.WEIGHT
        value = jnp.where(flat, 0.0, jnp.sign(a) * size)
        return Orders(jnp.where(flat, OrderKind.WEIGHT, kind).astype(jnp.int32), value)

    return Decoder(0, orders, needs_band=p.outer_threshold is not None, needs_short=True)


class TargetWeight(Params):
    """A continuous target weight in [-1, 1], times a scale."""

    scale: float = Field(1.0, gt=0.0, description="weight at action 1, fraction of equity")


@DECODERS.register("target_weight", TargetWeight)
def target_weight(p: TargetWeight) -> Decoder:
    """The action is the weight; the market's no-trade band keeps dust from trading."""

    def orders(action: Array) -> Orders:
        value = jnp.clip(action.astype(jnp.float64), -1.0, 1.0) * p.scale
        return Orders(jnp.full(value.shape, OrderKind.WEIGHT, jnp.int32), value)

    return Decoder(0, orders, needs_band=True)
