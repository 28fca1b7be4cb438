"""Discrete decoders: one of a few actions per symbol, each an order of its own kind."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import jax.numpy as jnp
from pydantic import Field, model_validator

from truefill.core.registry import Params
from truefill.env.decoders.base import DECODERS, Decoder, Wish
from truefill.market.types import Account, Array, MarketParams, OrderKind, Orders


class ShortFlatLong(Params):
    """Three actions: short, flat, long at a fixed size."""

    size: float = Field(1.0, gt=0.0, description="position size, fraction of equity")


@DECODERS.register("short_flat_long", ShortFlatLong)
def short_flat_long(p: ShortFlatLong) -> Decoder:
    """0 short, 1 flat, 2 long; no trade while on that side. Needs shorts."""

    def orders(action: Array) -> Orders:
        side = action.astype(jnp.float64) - 1.0
        kind = jnp.where(action == 1, OrderKind.WEIGHT, OrderKind.SIDE)
        return Orders(kind.astype(jnp.int32), side * p.size)

    def toward(wish: Wish) -> Array:
        return jnp.sign(wish.desired).astype(jnp.int32) + 1

    return Decoder(3, orders, needs_short=True, toward=toward)


class FlatLong(Params):
    """Two actions: flat, long at a fixed size."""

    size: float = Field(1.0, gt=0.0, description="position size, fraction of equity")


@DECODERS.register("flat_long", FlatLong)
def flat_long(p: FlatLong) -> Decoder:
    """0 flat, 1 long; no trade while already long."""

    def orders(action: Array) -> Orders:
        kind = jnp.where(action == 0, OrderKind.WEIGHT, OrderKind.SIDE)
        return Orders(kind.astype(jnp.int32), action.astype(jnp.float64) * p.size)

    def toward(wish: Wish) -> Array:
        return (wish.desired > 0.0).astype(jnp.int32)

    return Decoder(2, orders, toward=toward)


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

    def legal(account: Account, params: MarketParams) -> Array:
        side = jnp.sign(account.units)
        may_short = jnp.broadcast_to(params.allow_short > 0.0, side.shape)
        rows = [jnp.ones(side.shape, bool), side <= 0.0, (side >= 0.0) & may_short, side != 0.0]
        return jnp.stack(rows, axis=-1)

    def toward(wish: Wish) -> Array:
        """Without ``legal`` what is illegal holds: buying while long, closing while flat."""
        wanted = jnp.where(wish.desired > 0.0, 1, jnp.where(wish.desired < 0.0, 2, 3))
        if wish.legal is None:
            return wanted.astype(jnp.int32)
        fine = jnp.take_along_axis(wish.legal, wanted[..., None], axis=-1)[..., 0]
        stuck = (wanted == 2) & ~wish.legal[..., 1]  # long, and a short is not allowed
        return jnp.where(fine, wanted, jnp.where(stuck, 3, 0)).astype(jnp.int32)

    return Decoder(4, _table(kinds, values), legal, toward=toward)


class NineActions(Params):
    """Nine actions: hold, open (three sizes), reduce (two sizes), close, reverse."""

    open_shares: tuple[float, float, float] = Field(
        (0.25, 0.5, 1.0), description="shares of the cash that actions 1, 2, 3 open; rising, <= 1"
    )
    reduce_shares: tuple[float, float] = Field(
        (0.25, 0.5), description="shares of the position that actions 4, 5 close; rising, < 1"
    )

    @model_validator(mode="after")
    def _rising(self) -> NineActions:
        for name, shares in (
            ("open_shares", (0.0, *self.open_shares)),
            ("reduce_shares", (0.0, *self.reduce_shares)),
        ):
            if not all(a < b for a, b in pairwise(shares)):
                raise ValueError(f"{name} must rise from above 0")
        if self.open_shares[-1] > 1.0:
            raise ValueError("open_shares must not exceed 1: there is no more cash than all of it")
        if self.reduce_shares[-1] >= 1.0:
            raise ValueError("reduce_shares must stay below 1: actions 6 and 7 close")
        return self


@DECODERS.register("nine_actions", NineActions)
def nine_actions(p: NineActions) -> Decoder:
    """0 hold, 1-3 open long with a share of cash, 4-5 reduce, 6-7 close, 8 reverse.

    1, 2 and 3 close whatever is held first, a long as well, and pay for both trades. 8 closes and
    opens the opposite side with 100 % of the cash; shorts arise through it alone. 6 closes 100 % of
    the position and 7 closes: two actions of the original, one meaning. Illegal: 4-8 while flat, 8
    on a long where shorts are not allowed.
    """
    kinds = (
        OrderKind.HOLD,
        *(OrderKind.REOPEN,) * 3,
        *(OrderKind.POSITION,) * 3,
        OrderKind.WEIGHT,
        OrderKind.REVERSE,
    )
    values = (0.0, *p.open_shares, *(-share for share in p.reduce_shares), -1.0, 0.0, 1.0)

    def legal(account: Account, params: MarketParams) -> Array:
        side = jnp.sign(account.units)
        may_short = jnp.broadcast_to(params.allow_short > 0.0, side.shape)
        always, held = jnp.ones(side.shape, bool), side != 0.0
        reverse = (side < 0.0) | ((side > 0.0) & may_short)
        return jnp.stack([always] * 4 + [held] * 4 + [reverse], axis=-1)

    def toward(wish: Wish) -> Array:
        """Opens with the share nearest to what is wanted and leaves it at that. Shorts arise from
        longs alone: a flat account that wants one stays flat."""
        assert wish.side is not None
        sizes = jnp.abs(jnp.abs(wish.desired)[..., None] - jnp.asarray(p.open_shares))
        opens = 1 + jnp.argmin(sizes, axis=-1)
        reverses = jnp.ones(wish.side.shape, bool) if wish.legal is None else wish.legal[..., 8]
        long = jnp.where(wish.side > 0.0, 0, opens)
        short = jnp.where(wish.side > 0.0, jnp.where(reverses, 8, 7), 0)
        flat = jnp.where(wish.side == 0.0, 0, 7)
        wanted = jnp.where(wish.desired > 0.0, long, jnp.where(wish.desired < 0.0, short, flat))
        return wanted.astype(jnp.int32)

    return Decoder(9, _table(kinds, values), legal, toward=toward, needs_side=True)


def _table(kinds: tuple[OrderKind, ...], values: tuple[float, ...]) -> Callable[[Array], Orders]:
    """Orders that look each action up."""

    def orders(action: Array) -> Orders:
        return Orders(jnp.asarray(kinds, jnp.int32)[action], jnp.asarray(values)[action])

    return orders
