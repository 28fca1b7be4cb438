"""From an order to the units that may trade: target, min-hold, limits, lots, minimum."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp

from truefill.market.types import (
    Account,
    Array,
    BarRow,
    BarState,
    MarketParams,
    OrderKind,
    Orders,
    OrderStatus,
)

LOT_TOLERANCE = 1e-9
"""Lots this close to the next whole one count as whole: last-bit noise never flips a lot."""

ROOM_TOLERANCE = 1e-9
"""Room below this share of leverage x equity is none: last-bit noise never opens a trade."""


class Plan(NamedTuple):
    """What an order will trade, [N, S]."""

    reduce: Array
    """Signed units that bring the position toward 0."""
    add: Array
    """Signed units that open or add."""
    status: Array
    """OrderStatus, int32."""


def target_units(
    account: Account, orders: Orders, row: BarRow, equity: Array, params: MarketParams
) -> Array:
    """Units that the order wants, decoded against the account as it is at the open, [N, S]."""
    kind, value = orders
    side = jnp.sign(account.units)
    value = jnp.where((params.allow_short > 0.0) | (value > 0.0), value, 0.0)
    wealth = jnp.maximum(equity, 0.0)[:, None]
    weight_now = account.units * row.open / jnp.where(wealth > 0.0, wealth, 1.0)
    banded = (kind == OrderKind.WEIGHT) & (value != 0.0) & (wealth > 0.0)
    capped = jnp.clip(value, -params.max_weight, params.max_weight)
    near = banded & (jnp.abs(capped - weight_now) <= params.band)
    same = (kind == OrderKind.SIDE) & (side != 0.0) & (jnp.sign(value) == side)
    by_weight = value * wealth / row.open
    wanted = jnp.where(
        kind == OrderKind.UNITS,
        value,
        jnp.where(kind == OrderKind.NOTIONAL, value / row.open, by_weight),
    )
    limit = params.max_weight * wealth / row.open
    wanted = jnp.clip(wanted, -limit, limit)
    keep = (kind == OrderKind.HOLD) | near | same
    return jnp.where(keep, account.units, wanted)


def whole_lots(units: Array, lot: Array) -> Array:
    """``units`` >= 0 rounded down to whole lots; lot 0 leaves them as they are."""
    size = jnp.where(lot > 0.0, lot, 1.0)
    return jnp.where(lot > 0.0, jnp.floor(units / size + LOT_TOLERANCE) * size, units)


def plan_orders(
    account: Account,
    orders: Orders,
    row: BarRow,
    fee: Array,
    spread: Array,
    equity: Array,
    params: MarketParams,
) -> Plan:
    """Apply the rules that stand between an order and its fill.

    Reductions come first and free their room; what opens or adds is scaled by one factor an
    account, so that gross exposure after costs stays within ``max_leverage`` x equity (at leverage
    1 without shorts: cash after costs stays >= 0). A full close is exempt from lots and minimum.
    """
    units = account.units
    side = jnp.sign(units)
    asked = orders.kind != OrderKind.HOLD
    tradable = row.state >= BarState.TRADABLE
    wanted = target_units(account, orders, row, equity, params)
    held_back = (side != 0.0) & (side * wanted < side * units) & (account.held < params.min_hold)
    moves = tradable & asked & ~held_back & (wanted != units)
    wanted = jnp.where(moves, wanted, units) / params.one

    same_side = side * wanted > LOT_TOLERANCE * params.lot
    closes = (side != 0.0) & ~same_side & moves
    partial = whole_lots(jnp.maximum(jnp.abs(units) - jnp.abs(wanted), 0.0), params.lot)
    partial = jnp.where(partial * row.open >= params.min_notional, partial, 0.0)
    partial = jnp.where(same_side, partial, 0.0)
    out = jnp.where(closes, jnp.abs(units), partial)

    more = jnp.where(
        closes | (side == 0.0), jnp.abs(wanted), jnp.maximum(jnp.abs(wanted) - jnp.abs(units), 0.0)
    )
    more = jnp.where(moves, more, 0.0)
    direction = jnp.sign(wanted)
    sell = 1.0 - (1.0 - spread) * (1.0 - fee)
    buy = (1.0 + spread) * (1.0 + fee) - 1.0
    price = jnp.where(row.state > BarState.MASKED, row.open, account.mark)
    cost_out = jnp.where(side > 0.0, sell, buy)
    cost_more = jnp.where(direction > 0.0, buy, sell)
    leverage = params.max_leverage
    gross = jnp.sum((jnp.abs(units) - out) * price, axis=-1)
    left = equity - jnp.sum(out * price * cost_out, axis=-1)
    need = jnp.sum(more * price * (1.0 + jnp.reshape(leverage, (-1, 1)) * cost_more), axis=-1)
    room = leverage * left - gross
    room = jnp.where(room > ROOM_TOLERANCE * leverage * left, jnp.maximum(room, 0.0), 0.0)
    scale = jnp.minimum(room / jnp.where(need > 0.0, need, 1.0), 1.0) / params.one
    fitted = whole_lots(more * scale[:, None], params.lot)
    added = jnp.where(fitted * row.open >= params.min_notional, fitted, 0.0)

    status = _status(asked, tradable, held_back, moves, out, more, fitted, added)
    return Plan(reduce=-side * out, add=direction * added, status=status)


def _status(
    asked: Array,
    tradable: Array,
    held_back: Array,
    moves: Array,
    out: Array,
    more: Array,
    fitted: Array,
    added: Array,
) -> Array:
    filled = (out > 0.0) | (added > 0.0)
    refused = jnp.where(
        (more > 0.0) & (fitted == 0.0), OrderStatus.NO_ROOM, OrderStatus.BELOW_MINIMUM
    )
    status = jnp.where(filled, OrderStatus.FILLED, refused)
    status = jnp.where(moves, status, OrderStatus.NO_CHANGE)
    status = jnp.where(held_back, OrderStatus.MIN_HOLD, status)
    status = jnp.where(tradable, status, OrderStatus.NOT_TRADABLE)
    return jnp.where(asked, status, OrderStatus.NONE).astype(jnp.int32)
