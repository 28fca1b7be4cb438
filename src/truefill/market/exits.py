"""Exits that no order of the agent's asks for, and the close that a REOPEN begins with."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp

from truefill.market import gates
from truefill.market.arithmetic import cut, cut_gate
from truefill.market.fills import Costs, cancel, close, exit_spread
from truefill.market.margin import adverse_price, margin_call, stop_fill
from truefill.market.stops import Levels, levels
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
    called: Array
    """Gate [N]: below maintenance at the adverse extremes."""


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


def reached_inside(
    account: Account, level: Levels, late: Late | None, row: BarRow, params: MarketParams
) -> tuple[Array, Array]:
    """Gates [N, S]: the bar reaches the stop, and the target, of the position held now."""
    side = jnp.sign(account.units)
    temperature = params.temperature
    live = (row.state > BarState.MASKED) & (side != 0.0)
    worst = adverse_price(account, row)
    best = jnp.where(side > 0.0, row.high, row.low)
    if late is not None:
        best = jnp.where(late.limit, row.close, best)
    stop = gates.at_least(0.0, side * (worst - level.stop), row.open, temperature)
    target = gates.at_least(side * (best - level.target), 0.0, row.open, temperature)
    return (
        cut_gate(gates.both(live, stop), params),
        cut_gate(gates.both(live, target), params),
    )


def exit_in_bar(
    account: Account, row: BarRow, late: Late | None, costs: Costs, params: MarketParams
) -> tuple[Account, Leg, InBar]:
    """Step 6: stop or target from the bar's high and low; of both the stop, unless finer bars know,
    and no target where the account is called."""
    side = jnp.sign(account.units)
    level = levels(account, params)
    entered = None if late is None else late.limit | late.stop
    stop, target = reached_inside(account, level, late, row, params)
    together = gates.is_open(stop) & gates.is_open(target)
    stopped, reference = stop_fill(account, level, entered, row, costs, params)
    called = margin_call(account, stop, stopped, row, costs, params)
    resolved = None
    ambiguous = together
    if row.finer_low is not None and row.finer_high is not None:
        knows = together if entered is None else together & ~entered
        first, known = _first(side, level.stop, level.target, row.finer_low, row.finer_high)
        resolved = knows & known & ~(first & gates.is_open(called)[:, None])
        ambiguous = together & ~resolved
        stop = gates.both(stop, ~(resolved & first))
    if late is not None:
        ambiguous = ambiguous | (gates.is_open(stop) & late.stop)
    overruled = gates.is_open(target) & ~gates.is_open(stop) & gates.is_open(called)[:, None]
    ambiguous = ambiguous | overruled
    target = gates.both(target, gates.no(called)[:, None])
    reason = jnp.where(
        gates.is_open(stop),
        jnp.where(level.trailing, ExitReason.TRAILING_STOP, ExitReason.STOP_LOSS),
        ExitReason.TAKE_PROFIT,
    )
    out = gates.either(stop, target)
    price = gates.pick(stop, stopped, level.target)
    if params.temperature is not None:
        # Each level by its own share: what 1 - share leaves of a level at NEVER is no price.
        at_stop = gates.share_of(stop, out)
        at_target = gates.share_of(gates.both(target, gates.no(stop)), out)
        price = at_stop * stopped + at_target * level.target
    paid = jnp.where(gates.is_open(stop), jnp.abs(reference - stopped), 0.0)
    account, leg = close(account, out, reason, price, paid, row.rate_close, costs, params)
    return account, leg, InBar(ambiguous, resolved, called)


def _first(side: Array, stop: Array, target: Array, low: Array, high: Array) -> tuple[Array, Array]:
    """bool: the finer bars reach the target first; and whether they say.

    They do not where one finer bar reaches both, where one is missing before that, or where none
    reaches the stop that the bar did reach: they are incomplete then.
    """
    long = (side > 0.0)[..., None]
    worst, best = jnp.where(long, low, high), jnp.where(long, high, low)
    count = low.shape[-1]
    order = jnp.arange(count)

    def first(where: Array) -> Array:
        return jnp.min(jnp.where(where, order, count), axis=-1)

    at_stop = first(side[..., None] * (worst - stop[..., None]) <= 0.0)
    at_target = first(side[..., None] * (best - target[..., None]) >= 0.0)
    complete = jnp.minimum(at_stop, at_target) < first(low > high)
    return at_target < at_stop, (at_target != at_stop) & (at_stop < count) & complete
