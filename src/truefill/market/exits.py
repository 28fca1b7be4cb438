"""Exits that no order of the agent's asks for, and the close that a REOPEN begins with."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp

from truefill.market import gates
from truefill.market.arithmetic import cut, cut_gate
from truefill.market.fills import Costs, cancel, close, exit_spread
from truefill.market.stops import levels
from truefill.market.types import (
    Account,
    Array,
    BarRow,
    BarState,
    ExitReason,
    Leg,
    MarketParams,
    OrderKind,
    Orders,
    OrderStatus,
)


class Late(NamedTuple):
    """Positions that a working order opened or added to inside this bar, bool [N, S]."""

    limit: Array
    stop: Array
    opened: Array
    """Either, where there was no position before."""


class InBar(NamedTuple):
    """What the exits inside the bar did besides their leg, bool [N, S]."""

    ambiguous: Array
    resolved: Array | None


class AtOpen(NamedTuple):
    """What happened at the open before the orders, [N, S]."""

    leg: Leg
    exited: Array
    """bool: an exit that no order asked for."""
    status: Array
    """OrderStatus of a REOPEN or REVERSE that is due, int32: FILLED where it closed, MIN_HOLD where
    it was held back, else NONE."""


def exit_at_open(
    account: Account, due: Orders, row: BarRow, costs: Costs, params: MarketParams
) -> tuple[Account, Orders, AtOpen]:
    """Step 3. A stop that the gap jumped over fills at the open, a target at its level; then the
    maximum holding time and the close that a due REOPEN or REVERSE begins with, which need a
    tradable bar. Returns the orders too: REVERSE is REOPEN then, and HOLD where held back."""
    side = jnp.sign(account.units)
    held = side != 0.0
    level = levels(account, params)
    temperature = params.temperature
    live = (row.state > BarState.MASKED) & held
    beyond_stop = gates.at_least(0.0, side * (row.open - level.stop), row.open, temperature)
    beyond_target = gates.at_least(side * (row.open - level.target), 0.0, row.open, temperature)
    stop = cut_gate(gates.both(live, beyond_stop), params)
    target = cut_gate(gates.both(live, gates.no(stop), beyond_target), params)
    tradable = (row.state >= BarState.TRADABLE) & held
    aged = tradable & (account.held >= params.max_hold)
    forced = gates.either(gates.either(stop, target), aged)
    exited = cut_gate(gates.is_open(forced), params)

    reverse = due.kind == OrderKind.REVERSE
    anew = (reverse | (due.kind == OrderKind.REOPEN)) & tradable & ~exited
    held_back = anew & (account.held < params.min_hold)
    closes = cut_gate(anew & ~held_back, params)
    due = Orders(
        kind=jnp.where(reverse, OrderKind.REOPEN, due.kind),
        value=jnp.where(reverse, -side * jnp.abs(due.value), due.value),
        route=due.route,
    )
    due = cancel(due, held_back | exited)
    due = due._replace(kind=cut(due.kind, params))
    status = jnp.where(held_back, OrderStatus.MIN_HOLD, OrderStatus.NONE)
    status = jnp.where(closes, OrderStatus.FILLED, status).astype(jnp.int32)

    of_orders = jnp.where(aged, ExitReason.MAX_HOLD, ExitReason.ORDER)
    reason = jnp.where(
        gates.is_open(stop),
        ExitReason.GAP_STOP,
        jnp.where(gates.is_open(target), ExitReason.TAKE_PROFIT, of_orders),
    )
    spread = exit_spread(account.units, row, costs, params)
    worse = row.open * (1.0 - side * spread)
    out = gates.either(forced, closes)
    price = gates.pick(gates.share_of(target, out), level.target, worse)
    paid = jnp.where(gates.is_open(target), 0.0, jnp.abs(row.open - worse))
    account, leg = close(account, out, reason, price, paid, row.rate_open, costs, params)
    return account, due, AtOpen(leg, exited, status)


def stop_inside(account: Account, row: BarRow, params: MarketParams) -> tuple[Array, Array]:
    """bool [N, S]: the bar reaches the stop of the position held now; and the stop's price."""
    side = jnp.sign(account.units)
    worst = jnp.where(side > 0.0, row.low, row.high)
    live = (row.state > BarState.MASKED) & (side != 0.0)
    stop = levels(account, params).stop
    return live & (side * (worst - stop) <= 0.0), stop


def exit_in_bar(
    account: Account, row: BarRow, late: Late | None, costs: Costs, params: MarketParams
) -> tuple[Account, Leg, InBar]:
    """Stop or target from the bar's high and low; of both the stop, unless finer bars know."""
    side = jnp.sign(account.units)
    level = levels(account, params)
    temperature = params.temperature
    live = (row.state > BarState.MASKED) & (side != 0.0)
    worst = jnp.where(side > 0.0, row.low, row.high)
    best = jnp.where(side > 0.0, row.high, row.low)
    if late is not None:
        best = jnp.where(late.limit, row.close, best)
    reached_stop = gates.at_least(0.0, side * (worst - level.stop), row.open, temperature)
    reached_target = gates.at_least(side * (best - level.target), 0.0, row.open, temperature)
    stop = cut_gate(gates.both(live, reached_stop), params)
    target = cut_gate(gates.both(live, reached_target), params)
    together = gates.is_open(stop) & gates.is_open(target)
    ambiguous, resolved = together, None
    if late is not None:
        ambiguous = ambiguous | (gates.is_open(stop) & late.stop)
    if row.finer_low is not None and row.finer_high is not None:
        knows = together if late is None else together & ~(late.limit | late.stop)
        first, known = _first(side, level.stop, level.target, row.finer_low, row.finer_high)
        resolved = knows & known
        ambiguous = ambiguous & ~resolved
        stop = gates.both(stop, ~(resolved & (first > 0.0)))
    # A position opened at this open may have its stop beyond the open already: never fill better.
    reference = side * jnp.minimum(side * level.stop, side * row.open)
    if late is not None:
        reference = jnp.where(late.limit | late.stop, level.stop, reference)
    spread = exit_spread(account.units, row, costs, params)
    stopped = reference * (1.0 - side * spread)
    reason = jnp.where(
        gates.is_open(stop),
        jnp.where(level.trailing, ExitReason.TRAILING_STOP, ExitReason.STOP_LOSS),
        ExitReason.TAKE_PROFIT,
    )
    out = gates.either(stop, target)
    price = gates.pick(stop, stopped, level.target)
    if temperature is not None:
        # Each level by its own share: what 1 - share leaves of a level at NEVER is no price.
        at_stop = gates.share_of(stop, out)
        at_target = gates.share_of(gates.both(target, gates.no(stop)), out)
        price = at_stop * stopped + at_target * level.target
    paid = jnp.where(gates.is_open(stop), jnp.abs(reference - stopped), 0.0)
    account, leg = close(account, out, reason, price, paid, row.rate_close, costs, params)
    return account, leg, InBar(ambiguous, resolved)


def _first(side: Array, stop: Array, target: Array, low: Array, high: Array) -> tuple[Array, Array]:
    """Whether the finer bars reach the target first (1.0) or the stop (0.0), and whether they say.

    They do not where one finer bar reaches both, or none reaches either.
    """
    long = (side > 0.0)[..., None]
    worst, best = jnp.where(long, low, high), jnp.where(long, high, low)
    count = low.shape[-1]
    order = jnp.arange(count)
    hits_stop = side[..., None] * (worst - stop[..., None]) <= 0.0
    hits_target = side[..., None] * (best - target[..., None]) >= 0.0
    at_stop = jnp.min(jnp.where(hits_stop, order, count), axis=-1)
    at_target = jnp.min(jnp.where(hits_target, order, count), axis=-1)
    return (at_target < at_stop).astype(jnp.float64), at_target != at_stop
