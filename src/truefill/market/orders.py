"""From an order to the units that may trade: target, min-hold, volume, room, lots, minimum."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from truefill.market import gates
from truefill.market.arithmetic import cut, total
from truefill.market.gates import LOT_TOLERANCE
from truefill.market.types import (
    Account,
    Array,
    BarRow,
    MarketParams,
    OrderKind,
    Orders,
    OrderStatus,
)

ROOM_TOLERANCE = 1e-9
"""Room below this share of leverage x equity is none, nor is cash below this share of equity:
last-bit noise never opens a trade."""
MOST_SPREAD = 0.9
"""Slippage by participation never takes more than this share of the price."""
RELATIVE = (OrderKind.CASH, OrderKind.POSITION)
"""Kinds whose value is a change: a negative one is a sale, not a short."""


class Quote(NamedTuple):
    """What an order meets, [N, S]."""

    worth: Array
    """Account currency for a unit at the reference price."""
    marks: Array
    """The same for every symbol, traded now or not: equity and gross exposure are taken at it."""
    fee: Array
    spread: Array
    """Half spread + slippage, fraction of price; impact comes on top."""
    impact: Array | None
    """Slippage of an order as large as the bar's volume; None = no participation slippage."""


class Plan(NamedTuple):
    """What an order will trade, [N, S]."""

    reduce: Array
    """Signed units that bring the position toward 0."""
    add: Array
    """Signed units that open or add."""
    spread: Array
    """Half spread + slippage + impact."""
    status: Array
    """OrderStatus of orders that were let through, int32."""
    waits: Array
    """bool: held back by min-hold."""


def target_units(
    account: Account, orders: Orders, worth: Array, equity: Array, params: MarketParams
) -> Array:
    """Units that the order wants, decoded against the account as it is now, [N, S]."""
    kind, value = orders.kind, orders.value
    side = jnp.sign(account.units)
    relative = (kind == RELATIVE[0]) | (kind == RELATIVE[1])
    may_short = params.allow_short > 0.0
    value = jnp.where(may_short | relative | (value > 0.0), value, 0.0)
    wealth = jnp.maximum(equity, 0.0)[:, None]
    cash = account.cash[:, None]
    cash = jnp.where(cash > ROOM_TOLERANCE * wealth, cash, 0.0)
    weight_now = account.units * worth / jnp.where(wealth > 0.0, wealth, 1.0)
    banded = (kind == OrderKind.WEIGHT) & (value != 0.0) & (wealth > 0.0)
    capped = jnp.clip(value, -params.max_weight, params.max_weight)
    distance = jnp.abs(capped - weight_now)
    near = gates.both(banded, gates.at_least(params.band, distance, 1.0, params.temperature))
    same = (kind == OrderKind.SIDE) & (side != 0.0) & (jnp.sign(value) == side)
    notional = jnp.where(
        kind == OrderKind.NOTIONAL, 1.0, jnp.where(kind >= OrderKind.CASH, cash, wealth)
    )
    wanted = jnp.where(kind == OrderKind.UNITS, value, value * notional / worth)
    wanted = jnp.where(kind == OrderKind.POSITION, account.units * (1.0 + value), wanted)
    wanted = jnp.where(kind == OrderKind.CASH, account.units + wanted, wanted)
    wanted = jnp.where(may_short, wanted, jnp.maximum(wanted, 0.0))
    limit = params.max_weight * wealth / worth
    wanted = jnp.clip(wanted, -limit, limit)
    idle = (kind == OrderKind.HOLD) | (kind == OrderKind.CANCEL) | same
    return gates.pick(gates.either(idle, near), account.units, wanted)


def whole_lots(units: Array, params: MarketParams) -> Array:
    """``units`` >= 0 rounded down to whole lots; lot 0 leaves them as they are."""
    size = jnp.where(params.lot > 0.0, params.lot, 1.0)
    lots = gates.floor(units / size, params.temperature) * size
    return jnp.where(params.lot > 0.0, lots, units)


def large_enough(units: Array, worth: Array, params: MarketParams) -> Array:
    """``units`` >= 0, or 0 where their notional is below the minimum."""
    scale = jnp.where(params.min_notional > 0.0, params.min_notional, 1.0)
    fine = gates.at_least(units * worth, params.min_notional, scale, params.temperature)
    return gates.pick(fine, units, 0.0)


def plan_orders(
    account: Account,
    wanted: Array,
    let_through: Array,
    quote: Quote,
    row: BarRow,
    equity: Array,
    params: MarketParams,
) -> Plan:
    """Apply the rules that stand between an order and its fill.

    Reductions come first and free their room; what opens or adds is scaled by one factor an
    account, so that gross exposure after costs stays within ``max_leverage`` x equity (at leverage
    1 without shorts: cash after costs stays >= 0). A full close is exempt from lots and minimum.

    Args:
        wanted: target units, [N, S].
        let_through: bool [N, S]; orders that may trade now. The others change nothing.
        equity: at ``quote.marks``, [N].
    """
    units, worth = account.units, quote.worth
    side = jnp.sign(units)
    waits = (side != 0.0) & (side * wanted < side * units) & (account.held < params.min_hold)
    waits = waits & let_through
    moves = let_through & ~waits & (wanted != units)
    wanted = cut(jnp.where(moves, wanted, units), params)
    moves = wanted != units

    same_side = side * wanted > LOT_TOLERANCE * params.lot
    closes = (side != 0.0) & ~same_side & moves
    partial = whole_lots(jnp.maximum(jnp.abs(units) - jnp.abs(wanted), 0.0), params)
    partial = jnp.where(same_side, large_enough(partial, worth, params), 0.0)
    out = jnp.where(closes, jnp.abs(units), partial)
    more = jnp.where(
        closes | (side == 0.0), jnp.abs(wanted), jnp.maximum(jnp.abs(wanted) - jnp.abs(units), 0.0)
    )
    more = jnp.where(moves, more, 0.0)
    out, more, thin = _within_volume(out, more, worth, row, params)
    out, more = cut(out, params), cut(more, params)

    direction = jnp.sign(wanted)
    leverage = params.max_leverage
    gross = total((jnp.abs(units) - out) * quote.marks, params)
    costless = jnp.maximum(leverage * equity - gross, 0.0)
    asked_notional = total(more * worth, params)
    spread = quote.spread
    if quote.impact is not None:
        fits = jnp.minimum(costless / jnp.where(asked_notional > 0.0, asked_notional, 1.0), 1.0)
        spread = with_impact(spread, out + more * fits[:, None], quote.impact, row, params)
    sell = 1.0 - (1.0 - spread) * (1.0 - quote.fee)
    buy = (1.0 + spread) * (1.0 + quote.fee) - 1.0
    cost_out = jnp.where(side > 0.0, sell, buy)
    cost_more = jnp.where(direction > 0.0, buy, sell)
    left = equity - total(out * worth * cost_out, params)
    need = total(more * worth * (1.0 + jnp.reshape(leverage, (-1, 1)) * cost_more), params)
    room = leverage * left - gross
    room = jnp.where(room > ROOM_TOLERANCE * leverage * left, jnp.maximum(room, 0.0), 0.0)
    scale = cut(jnp.minimum(room / jnp.where(need > 0.0, need, 1.0), 1.0), params)
    fitted = whole_lots(more * scale[:, None], params)
    added = large_enough(fitted, worth, params)

    crowded = asked_notional > costless * (1.0 + ROOM_TOLERANCE)
    status = _status(moves, waits, out, more, fitted, added, thin, crowded[:, None])
    return Plan(-side * out, direction * added, spread, status, waits)


def with_impact(
    spread: Array, units: Array, impact: Array, row: BarRow, params: MarketParams
) -> Array:
    """``spread`` plus the slippage of ``units`` >= 0 in this bar's volume, fraction of price.

    No slippage where there is no volume: such bars are masked (``make_bars`` sees to it).
    """
    assert row.volume is not None and params.impact_exponent is not None
    share = units / jnp.where(row.volume > 0.0, row.volume, 1.0)
    safe = jnp.where(share > 0.0, share, 1.0)
    own = jnp.where(share > 0.0, impact * _power(safe, params.impact_exponent), 0.0)
    return jnp.minimum(spread + own, MOST_SPREAD)


def _power(share: Array, exponent: Array) -> Array:
    """share ** exponent; the square-root law, which is the usual one, costs a tenth of a power."""
    root = jnp.sqrt(share)

    def any_law(share: Array, root: Array) -> Array:
        return jnp.where(exponent == 0.5, root, share**exponent)

    def square_root(share: Array, root: Array) -> Array:
        return root

    law: Array = jax.lax.cond(jnp.all(exponent == 0.5), square_root, any_law, share, root)
    return law


def _within_volume(
    out: Array, more: Array, worth: Array, row: BarRow, params: MarketParams
) -> tuple[Array, Array, Array]:
    """Cut an order down to the share of the bar's volume that it may take; and where it was."""
    if params.max_participation is None:
        return out, more, jnp.zeros(out.shape, bool)
    assert row.volume is not None
    most = params.max_participation * row.volume
    too_much = out > most
    reduced = large_enough(whole_lots(jnp.minimum(out, most), params), worth, params)
    left = jnp.maximum(most - out, 0.0)
    fitting = jnp.where(too_much, 0.0, jnp.minimum(more, left))
    return jnp.where(too_much, reduced, out), fitting, too_much | (fitting < more)


def _status(
    moves: Array,
    waits: Array,
    out: Array,
    more: Array,
    fitted: Array,
    added: Array,
    thin: Array,
    crowded: Array,
) -> Array:
    short_of = thin | (crowded & (more > 0.0))
    filled = jnp.where(short_of, OrderStatus.PARTIAL, OrderStatus.FILLED)
    refused = jnp.where(
        (more > 0.0) & (fitted == 0.0), OrderStatus.NO_ROOM, OrderStatus.BELOW_MINIMUM
    )
    refused = jnp.where(thin, OrderStatus.NO_VOLUME, refused)
    status = jnp.where((out > 0.0) | (added > 0.0), filled, refused)
    status = jnp.where(moves, status, OrderStatus.NO_CHANGE)
    return jnp.where(waits, OrderStatus.MIN_HOLD, status).astype(jnp.int32)
