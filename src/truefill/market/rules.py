"""THE market: what one bar does to N accounts. Nothing else in truefill fills, charges or marks.

``step`` takes accounts at the close of bar t - 1, the orders decided there, and bar t, and returns
the accounts at the close of bar t. ``docs/market-rules.md`` has each equation beside its test; the
numbers in brackets are its steps. Rules whose arrays are absent (None) are not compiled.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from truefill.market import closing, gates, working
from truefill.market.arithmetic import cut, total
from truefill.market.carry import Carry, corporate_actions, finance
from truefill.market.exits import Late, exit_at_open, exit_in_bar
from truefill.market.fills import Costs, cancel, cancel_all, costs_of, merge, trade, worth
from truefill.market.orders import Quote, plan_orders, target_units
from truefill.market.types import (
    Account,
    Array,
    BarResult,
    BarRow,
    BarState,
    ExitReason,
    Leg,
    MarketParams,
    OrderKind,
    Orders,
    OrderStatus,
    OrderType,
    Route,
)


def open_account(
    params: MarketParams,
    num_accounts: int,
    num_symbols: int,
    lag: int,
    mark: Array,
    *,
    routes: bool = False,
) -> Account:
    """Fresh accounts: the starting balance in cash, no position, nothing queued.

    ``mark`` is the worth of a unit at the last close, [N, S]; ``lag`` the decision lag in bars;
    ``routes``: orders come with types and prices, so that some may wait.
    """
    shape = (num_accounts, num_symbols)
    zeros = jnp.zeros(shape)
    balance = jnp.broadcast_to(params.initial_balance, (num_accounts,))
    return Account(
        cash=balance,
        units=zeros,
        entry=jnp.ones(shape),
        stop=zeros,
        target=zeros,
        best=jnp.ones(shape),
        flow=zeros,
        mark=mark,
        held=jnp.zeros(shape, jnp.int32),
        equity=balance,
        peak=balance,
        age=jnp.zeros(num_accounts, jnp.int32),
        queue=_no_orders((lag - 1, *shape), routes),
        working=_no_orders(shape, True) if routes else None,
    )


def _no_orders(shape: tuple[int, ...], routes: bool) -> Orders:
    none = jnp.zeros(shape, jnp.int32)
    route = Route(none, jnp.ones(shape), jnp.zeros(shape, bool)) if routes else None
    return Orders(none, jnp.zeros(shape), route)


class Open(NamedTuple):
    """The bar after its open (steps 0 to 4)."""

    due: Orders
    at_open: Leg
    order: Leg
    status: Array
    marks: Array
    """Worth of a unit at the open, [N, S]."""
    equity: Array
    """Before the orders, [N]."""
    carry: Carry


class Inside(NamedTuple):
    """The bar before its close (steps 5 to 7)."""

    order: Leg
    in_bar: Leg
    liquidation: Leg | None
    """None where margin is settled with ruin, at the end."""
    called: Array
    """Gate [N]: below maintenance at the adverse extremes."""
    status: Array
    stopped: Array
    """bool [N, S]: what was due at the close is cancelled."""
    late: Late | None
    ambiguous: Array
    resolved: Array | None


def step(
    account: Account, orders: Orders, row: BarRow, params: MarketParams
) -> tuple[Account, BarResult]:
    """One bar for N accounts over S symbols."""
    before = account
    costs = costs_of(row, params)
    account, row, start = _at_open(account, orders, row, costs, params)
    account, inside = _inside(account, start, row, costs, params)
    account, order, at_cap, last, status, late = _at_close(
        account, start, inside, row, costs, params
    )
    account, ruined, written_off = closing.settle(account, row, params)
    account = closing.mark(account, row, late)  # [11]
    if account.working is not None:
        account, status = working.end_of_bar(account, row, status)
    at_end = last if inside.liquidation is None else merge(inside.liquidation, last)
    traded = start.at_open.notional + order.notional + inside.in_bar.notional + at_end.notional
    traded = traded if at_cap is None else traded + at_cap.notional
    wealth = jnp.maximum(start.equity, closing.equity_floor(params))
    result = BarResult(
        at_open=start.at_open,
        order=order,
        in_bar=inside.in_bar,
        at_cap=at_cap,
        at_end=at_end,
        status=status,
        interest=start.carry.interest,
        borrow=start.carry.borrow,
        funding=start.carry.funding,
        dividends=start.carry.dividends,
        log_return=jnp.log(account.equity / before.equity),
        turnover=total(traded, params) / wealth,
        drawdown=1.0 - account.equity / account.peak,
        liquidated=gates.is_open(inside.called),
        ruined=ruined,
        written_off=written_off,
        ambiguous=inside.ambiguous,
        resolved=inside.resolved,
    )
    return account, result


def _at_open(
    account: Account, orders: Orders, row: BarRow, costs: Costs, params: MarketParams
) -> tuple[Account, BarRow, Open]:
    """Steps 0 to 4. The row comes back in the prices of after a split."""
    dead = (account.equity <= params.ruin_fraction * params.initial_balance)[:, None]
    account, orders, row, dividends = corporate_actions(account, orders, row, params)  # [0]
    account, carry = finance(account, row, params)  # [1]
    account, due, status = _due_orders(account, orders, dead, params)  # [2]
    waiting = due.kind != OrderKind.HOLD
    if account.working is not None:
        waiting = waiting | (account.working.kind != OrderKind.HOLD)
    account, due, early = exit_at_open(account, due, row, costs, params)  # [3]
    status = jnp.where(early.exited & waiting, OrderStatus.STOPPED, status)
    account = cancel_all(account, early.exited)
    marks = jnp.where(row.state > BarState.MASKED, worth(row.open, row.rate_open), account.mark)
    equity = cut(account.cash + total(account.units * marks, params), params)
    opening = due
    if due.route is not None:
        opening = cancel(due, due.route.type != OrderType.OPEN)
    account, order, filled, _ = _market_orders(  # [4]
        account, opening, row.open, row.rate_open, marks, equity, row, costs, params
    )
    closed_anew = (early.status == OrderStatus.FILLED) & (filled == OrderStatus.NO_CHANGE)
    status = _latest(status, early.status, jnp.where(closed_anew, early.status, filled))
    carry = carry._replace(dividends=dividends)
    return account, row, Open(due, early.leg, order, status, marks, equity, carry)


def _inside(
    account: Account, start: Open, row: BarRow, costs: Costs, params: MarketParams
) -> tuple[Account, Inside]:
    """Steps 5 to 7."""
    order, status, late, overtaken = start.order, start.status, None, None
    if account.working is not None:  # [5]
        account, leg, filled, late, overtaken = working.fill_working(
            account, start.marks, row, costs, params
        )
        order, status = merge(order, leg), _latest(status, filled)
    account, in_bar, known = exit_in_bar(account, row, late, costs, params)  # [6]
    stopped = in_bar.reason != ExitReason.NONE
    liquidation = None
    if start.due.route is not None or closing.has_caps(params):  # [7]
        account, liquidation = closing.forced_exit(
            account, known.called, row, costs, params, at_close=False
        )
        stopped = stopped | _anywhere(liquidation.reason != ExitReason.NONE)
    if account.working is not None:
        waiting = account.working.kind != OrderKind.HOLD
        status = jnp.where(stopped & waiting, OrderStatus.STOPPED, status)
    account = cancel_all(account, stopped)
    ambiguous = known.ambiguous if overtaken is None else known.ambiguous | overtaken
    return account, Inside(
        order, in_bar, liquidation, known.called, status, stopped, late, ambiguous,
        known.resolved,
    )  # fmt: skip


def _at_close(
    account: Account, start: Open, inside: Inside, row: BarRow, costs: Costs, params: MarketParams
) -> tuple[Account, Leg, Leg | None, Leg, Array, Late | None]:
    """Steps 8 to 10."""
    order, status, late, at_cap = inside.order, inside.status, inside.late, None
    route = start.due.route
    if route is not None and late is not None:  # [8]
        asked = cancel(start.due, route.type != OrderType.CLOSE)
        overruled = inside.stopped & (asked.kind != OrderKind.HOLD)
        status = jnp.where(overruled, OrderStatus.STOPPED, status)
        marks = closing.close_marks(account, row)
        equity = account.cash + total(account.units * marks, params)
        account, leg, filled, opened = _market_orders(
            account, cancel(asked, inside.stopped), row.close, row.rate_close, marks, equity,
            row, costs, params,
        )  # fmt: skip
        order, status = merge(order, leg), _latest(status, filled)
        late = late._replace(opened=late.opened | opened)
    if closing.has_caps(params):  # [9]
        account, at_cap = closing.sell_excess(account, row, costs, params)
    called = inside.called if inside.liquidation is None else None
    account, last = closing.forced_exit(  # [10]
        account, called, row, costs, params, at_close=True
    )
    shut = (last.reason == ExitReason.RUIN) | (last.reason == ExitReason.LIQUIDATION)
    return cancel_all(account, _anywhere(shut)), order, at_cap, last, status, late


def _anywhere(where: Array) -> Array:
    """bool [N, S]: true for all symbols of an account where it is for any."""
    return jnp.broadcast_to(jnp.any(where, axis=-1)[:, None], where.shape)


def _latest(*statuses: Array) -> Array:
    """The last status that says something."""
    out = statuses[0]
    for status in statuses[1:]:
        out = jnp.where(status != OrderStatus.NONE, status, out)
    return out.astype(jnp.int32)


def _due_orders(
    account: Account, orders: Orders, dead: Array, params: MarketParams
) -> tuple[Account, Orders, Array]:
    """Step 2: what is due at this bar; today's join the queue when the decision lag is above 1."""
    # In floating point: exact here, and an integer remainder is the slowest thing a bar could do.
    age, interval = account.age.astype(jnp.float64), params.decision_interval.astype(jnp.float64)
    decides = age == interval * jnp.floor(age / interval)
    orders = cancel(orders, ~decides[:, None])
    account = account._replace(age=account.age + 1)
    if account.queue.kind.shape[0] > 0:
        line = jax.tree.map(lambda q, o: jnp.concatenate([q, o[None]]), account.queue, orders)
        orders = jax.tree.map(lambda x: x[0], line)
        account = account._replace(queue=jax.tree.map(lambda x: x[1:], line))
    orders = cancel(orders, dead)
    orders = orders._replace(kind=cut(orders.kind, params), value=cut(orders.value, params))
    if account.working is None:
        nothing = orders.kind == OrderKind.CANCEL
        status = jnp.where(nothing, OrderStatus.NO_CHANGE, OrderStatus.NONE).astype(jnp.int32)
        return account, cancel(orders, nothing), status
    return working.take_due(account, orders, dead)


def _market_orders(
    account: Account,
    orders: Orders,
    price: Array,
    rate: Array | None,
    marks: Array,
    equity: Array,
    row: BarRow,
    costs: Costs,
    params: MarketParams,
) -> tuple[Account, Leg, Array, Array]:
    """Steps 4 and 8: market orders at ``price``.

    Returns account, leg, OrderStatus int32 [N, S], and where a position was opened, bool.
    """
    value = worth(price, rate)
    asked = orders.kind != OrderKind.HOLD
    tradable = row.state >= BarState.TRADABLE
    wanted = target_units(account, orders, value, equity, params)
    quote = Quote(value, marks, costs.fee, costs.spread, costs.impact)
    plan = plan_orders(account, wanted, asked & tradable, quote, row, equity, params)
    account, leg, opened = trade(account, plan, price, None, rate, costs.fee, row, params)
    untradable = jnp.where(
        row.state > BarState.MASKED, OrderStatus.NOT_TRADABLE, OrderStatus.MASKED
    )
    status = jnp.where(tradable, plan.status, untradable)
    status = jnp.where(asked, status, OrderStatus.NONE).astype(jnp.int32)
    return account, leg, status, opened.new


step_jit = jax.jit(step)
"""``step`` compiled, for stepping one bar at a time."""
