"""Exits that no order of the agent's asks for, and the close that a REOPEN begins with."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from truefill.market import gates
from truefill.market.fills import Costs, cancel, cancel_all, close, exit_spread, merge, no_leg
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


def exit_at_open(
    account: Account, row: BarRow, costs: Costs, params: MarketParams
) -> tuple[Account, Leg, Array]:
    """A stop that the gap jumped over fills at the open, a target at its level; then the maximum
    holding time, which needs a tradable bar. Also returns where there was an exit, bool."""
    side = jnp.sign(account.units)
    level = levels(account, params)
    temperature = params.temperature
    live = (row.state > BarState.MASKED) & (side != 0.0)
    beyond_stop = gates.at_least(0.0, side * (row.open - level.stop), row.open, temperature)
    beyond_target = gates.at_least(side * (row.open - level.target), 0.0, row.open, temperature)
    stop = gates.both(live, beyond_stop)
    target = gates.both(live, gates.no(stop), beyond_target)
    aged = (row.state >= BarState.TRADABLE) & (side != 0.0) & (account.held >= params.max_hold)
    out = gates.either(gates.either(stop, target), aged)
    reason = jnp.where(
        gates.is_open(stop),
        ExitReason.GAP_STOP,
        jnp.where(gates.is_open(target), ExitReason.TAKE_PROFIT, ExitReason.MAX_HOLD),
    )
    spread = exit_spread(account.units, row, costs, params)
    worse = row.open * (1.0 - side * spread)
    price = gates.pick(target, level.target, worse)
    paid = jnp.where(gates.is_open(target), 0.0, jnp.abs(row.open - worse))
    account, leg = close(account, out, reason, price, paid, row.rate_open, costs, params)
    return account, leg, gates.is_open(out)


def reopen(
    account: Account, due: Orders, row: BarRow, costs: Costs, params: MarketParams
) -> tuple[Account, Orders, Leg, Array]:
    """The close that a due REOPEN or REVERSE begins with; REVERSE becomes REOPEN.

    Returns the account, the orders (HOLD where min-hold forbids), the leg, and OrderStatus int32:
    FILLED where it closed, MIN_HOLD where it was held back, NONE elsewhere.
    """
    side = jnp.sign(account.units)
    reverse = due.kind == OrderKind.REVERSE
    value = jnp.where(reverse, -side * jnp.abs(due.value), due.value)
    anew = reverse | (due.kind == OrderKind.REOPEN)
    kind = jnp.where(reverse, OrderKind.REOPEN, due.kind)
    acts = anew & (side != 0.0) & (row.state >= BarState.TRADABLE)
    held_back = acts & (account.held < params.min_hold)
    out = acts & ~held_back
    spread = exit_spread(account.units, row, costs, params)
    price = row.open * (1.0 - side * spread)
    reason = jnp.full(side.shape, ExitReason.ORDER)
    paid = jnp.abs(row.open - price)
    account, leg = close(account, out, reason, price, paid, row.rate_open, costs, params)
    due = cancel(due._replace(kind=kind, value=value), held_back)
    status = jnp.where(held_back, OrderStatus.MIN_HOLD, OrderStatus.NONE)
    return account, due, leg, jnp.where(out, OrderStatus.FILLED, status).astype(jnp.int32)


def exits_at_open(
    account: Account, due: Orders, row: BarRow, costs: Costs, params: MarketParams
) -> tuple[Account, Orders, Leg, Array]:
    """Step 3: exits at the open, what they cancel, and the close of a REOPEN.

    The status is STOPPED, FILLED or MIN_HOLD as above, else NONE.
    """
    account, leg, exited = exit_at_open(account, row, costs, params)
    waiting = due.kind != OrderKind.HOLD
    if account.working is not None:
        waiting = waiting | (account.working.kind != OrderKind.HOLD)
    stopped = jnp.where(exited & waiting, OrderStatus.STOPPED, OrderStatus.NONE).astype(jnp.int32)
    due = cancel(due, exited)
    account = cancel_all(account, exited)
    anew = (due.kind == OrderKind.REOPEN) | (due.kind == OrderKind.REVERSE)

    def act(account: Account, due: Orders) -> tuple[Account, Orders, Leg, Array]:
        return reopen(account, due, row, costs, params)

    def skip(account: Account, due: Orders) -> tuple[Account, Orders, Leg, Array]:
        return account, due, no_leg(account.units), jnp.zeros_like(stopped)

    account, due, closed, status = jax.lax.cond(jnp.any(anew), act, skip, account, due)
    return account, due, merge(leg, closed), stopped + status


def stop_inside(account: Account, row: BarRow, params: MarketParams) -> Array:
    """bool [N, S]: the bar reaches the stop of the position held now."""
    side = jnp.sign(account.units)
    worst = jnp.where(side > 0.0, row.low, row.high)
    live = (row.state > BarState.MASKED) & (side != 0.0)
    return live & (side * (worst - levels(account, params).stop) <= 0.0)


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
    stop, target = gates.both(live, reached_stop), gates.both(live, reached_target)
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
    price = gates.pick(stop, stopped, level.target)
    paid = jnp.where(gates.is_open(stop), jnp.abs(reference - stopped), 0.0)
    out = gates.either(stop, target)
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
