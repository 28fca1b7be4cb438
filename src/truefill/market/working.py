"""Limit and stop orders: when they trigger, at which price they fill, how long they wait."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp

from truefill.market import gates
from truefill.market.arithmetic import total
from truefill.market.exits import Late, reached_inside
from truefill.market.fills import Costs, cancel, trade, worth
from truefill.market.margin import margin_call, stop_fill
from truefill.market.orders import Quote, plan_orders, target_units
from truefill.market.stops import levels
from truefill.market.types import (
    Account,
    Array,
    BarRow,
    BarState,
    Leg,
    MarketParams,
    OrderKind,
    Orders,
    OrderStatus,
    OrderType,
    Route,
)


class Trigger(NamedTuple):
    """What the bar does to the working orders, [N, S]."""

    fires: Array
    """bool."""
    limit: Array
    passive: Array
    """bool: a limit order that rested and is filled at its price."""
    inside: Array
    """bool: filled elsewhere than at the open."""
    reference: Array
    """Price before spread."""


def route_of(orders: Orders) -> Route:
    """The route of orders that have one."""
    assert orders.route is not None
    return orders.route


def take_due(account: Account, due: Orders, dead: Array) -> tuple[Account, Orders, Array]:
    """Let due orders replace the working ones; ``dead`` (bool [N, 1]) accounts have none.

    Returns the account, the market orders that are due, and OrderStatus int32 [N, S].
    """
    working, route = account.working, route_of(due)
    assert working is not None
    at_open_only = (due.kind == OrderKind.REOPEN) | (due.kind == OrderKind.REVERSE)
    kind_of = jnp.where(at_open_only, OrderType.OPEN, route.type)
    arrives = due.kind != OrderKind.HOLD
    waits = arrives & (due.kind != OrderKind.CANCEL) & (
        (kind_of == OrderType.LIMIT) | (kind_of == OrderType.STOP)
    )  # fmt: skip
    had = working.kind != OrderKind.HOLD
    status = jnp.where(had, OrderStatus.CANCELLED, OrderStatus.NO_CHANGE)
    status = jnp.where((due.kind == OrderKind.CANCEL) | (dead & had), status, OrderStatus.NONE)
    old = route_of(working)
    route = Route(
        type=jnp.where(waits, kind_of, old.type),
        price=jnp.where(waits, route.price, old.price),
        gtc=jnp.where(waits, route.gtc, old.gtc),
    )
    kept = cancel(working, (arrives & ~waits) | dead)
    working = Orders(
        kind=jnp.where(waits, due.kind, kept.kind),
        value=jnp.where(waits, due.value, kept.value),
        route=route,
    )
    due = cancel(due, waits | (due.kind == OrderKind.CANCEL))
    market = due._replace(route=due.route and due.route._replace(type=kind_of))
    return account._replace(working=working), market, status.astype(jnp.int32)


def trigger(wanted: Array, account: Account, row: BarRow, params: MarketParams) -> Trigger:
    """Which working orders the bar reaches, and where."""
    assert account.working is not None and params.fill_buffer is not None
    route = route_of(account.working)
    price, limit = route.price, route.type == OrderType.LIMIT
    direction = jnp.sign(wanted - account.units)
    reach = price * (1.0 - direction * params.fill_buffer)
    toward = jnp.where(direction > 0.0, row.low, row.high)
    away = jnp.where(direction > 0.0, row.high, row.low)
    through_open = direction * (reach - row.open) >= 0.0
    through = through_open | (direction * (reach - toward) >= 0.0)
    touched = direction * (away - price) >= 0.0
    beyond_open = direction * (row.open - price) >= 0.0
    at_open = jnp.where(limit, through_open, beyond_open)
    can = (account.working.kind != OrderKind.HOLD) & (row.state >= BarState.TRADABLE)
    return Trigger(
        fires=can & (direction != 0.0) & jnp.where(limit, through, touched),
        limit=limit,
        passive=limit & ~through_open,
        inside=~at_open,
        reference=jnp.where(at_open, row.open, price),
    )


def fill_working(
    account: Account, open_marks: Array, row: BarRow, costs: Costs, params: MarketParams
) -> tuple[Account, Leg, Array, Late, Array]:
    """Step 5. Returns account, leg, OrderStatus int32, the late positions, and where something
    was assumed, not known, to come before an order (bool)."""
    working = account.working
    assert working is not None and costs.maker_fee is not None
    route = route_of(working)
    equity = account.cash + total(account.units * open_marks, params)
    wanted = target_units(account, working, worth(route.price, row.rate_open), equity, params)
    hit = trigger(wanted, account, row, params)
    side = jnp.sign(account.units)
    leaves = side * wanted < side * account.units
    bound_to_hold = leaves & (account.held < params.min_hold)
    before, certain = _what_comes_before(account, hit, leaves, row, costs, params)
    stopped = hit.fires & hit.inside & before & ~bound_to_hold
    fires = hit.fires & ~stopped
    rate = None
    if row.rate_open is not None and row.rate_close is not None:
        rate = jnp.where(hit.inside, row.rate_close, row.rate_open)
    reference_worth = worth(hit.reference, rate)
    marks = jnp.where(fires & ~bound_to_hold, reference_worth, open_marks)
    quote = Quote(
        worth=reference_worth,
        marks=marks,
        fee=jnp.where(hit.passive, costs.maker_fee, costs.fee),
        spread=jnp.where(hit.passive, 0.0, costs.spread),
        impact=None if costs.impact is None else jnp.where(hit.passive, 0.0, costs.impact),
    )
    at_marks = account.cash + total(account.units * marks, params)
    plan = plan_orders(account, wanted, fires, quote, row, at_marks, params)
    buys = plan.reduce + plan.add > 0.0
    worst = jnp.where(buys, jnp.inf, 0.0)
    bound = jnp.where(hit.limit, route.price, worst)
    account, leg, opened = trade(account, plan, hit.reference, bound, rate, quote.fee, row, params)
    done = fires & ~plan.waits
    active = working.kind != OrderKind.HOLD
    status = jnp.where(fires, plan.status, OrderStatus.WORKING)
    status = jnp.where(stopped, OrderStatus.STOPPED, status)
    status = jnp.where(active, status, OrderStatus.NONE).astype(jnp.int32)
    late = Late(
        limit=opened.grown & hit.inside & hit.limit,
        stop=opened.grown & hit.inside & ~hit.limit,
        opened=opened.new & hit.inside,
    )
    account = account._replace(working=cancel(working, done | stopped))
    return account, leg, status, late, stopped & ~certain


def _what_comes_before(
    account: Account, hit: Trigger, leaves: Array, row: BarRow, costs: Costs, params: MarketParams
) -> tuple[Array, Array]:
    """bool [N, S]: a stop, a target or a margin call comes before an order that fills inside the
    bar; and where that is certain. ``leaves``: the order would reduce or reverse the position."""
    side = jnp.sign(account.units)
    level = levels(account, params)
    stop, target = (
        gates.is_open(gate) for gate in reached_inside(account, level, None, row, params)
    )
    stopped, _ = stop_fill(account, level, None, row, costs, params)
    called = gates.is_open(margin_call(account, stop, stopped, row, costs, params))
    surely_stopped = stop & (side * (hit.reference - level.stop) <= 0.0)
    surely_left = target & (side * (hit.reference - level.target) >= 0.0)
    assumed = leaves & (stop | called[:, None])
    return assumed | surely_stopped | surely_left, surely_stopped | surely_left


def end_of_bar(account: Account, row: BarRow, status: Array) -> tuple[Account, Array]:
    """Day orders end on the session's last bar, all orders on the symbol's last and by ruin.

    Ruin has emptied ``account.working`` by now; its status is put right here.
    """
    working = account.working
    assert working is not None and row.session_end is not None
    active = working.kind != OrderKind.HOLD
    gone = ~active & (status == OrderStatus.WORKING)
    delisted = active & (row.state >= BarState.LAST)
    late = active & ~delisted & (row.session_end > 0.0) & ~route_of(working).gtc
    account = account._replace(working=cancel(working, delisted | late))
    status = jnp.where(gone | delisted, OrderStatus.CANCELLED, status)
    return account, jnp.where(late, OrderStatus.EXPIRED, status).astype(jnp.int32)
