"""THE market: what one bar does to N accounts. Nothing else in truefill fills, charges or marks.

``step`` takes accounts at the close of bar t - 1, the orders decided there, and bar t, and returns
the accounts at the close of bar t. ``docs/market-rules.md`` has each equation beside its test; the
numbers in brackets are its steps. Rules whose arrays are absent (None) are not compiled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from truefill.market import closing, gates, working
from truefill.market.carry import corporate_actions, finance
from truefill.market.exits import exit_in_bar, exits_at_open
from truefill.market.fills import Costs, cancel, cancel_all, costs_of, cut, merge, no_leg, trade
from truefill.market.fills import worth as worth_of
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


def step(
    account: Account, orders: Orders, row: BarRow, params: MarketParams
) -> tuple[Account, BarResult]:
    """One bar for N accounts over S symbols."""
    before = account
    costs = costs_of(row, params)
    account, orders, row, dividends = corporate_actions(account, orders, row)  # [0]
    account, carry = finance(account, row, params)  # [1]
    account, due, status = _due_orders(account, orders, before, params)  # [2]
    account, due, at_open, early = exits_at_open(account, due, row, costs, params)  # [3]
    present = row.state > BarState.MASKED
    marks = jnp.where(present, worth_of(row.open, row.rate_open), account.mark)
    equity_open = cut(account.cash + jnp.sum(account.units * marks, axis=-1), params)
    opening = due
    if due.route is not None:
        opening = cancel(due, due.route.type != OrderType.OPEN)
    account, order, filled = _market_orders(  # [4]
        account, opening, row.open, row.rate_open, marks, equity_open, row, costs, params
    )
    closed_anew = (early == OrderStatus.FILLED) & (filled == OrderStatus.NO_CHANGE)
    status = _latest(status, early, jnp.where(closed_anew, early, filled))
    late, overtaken = None, None
    if account.working is not None:  # [5]
        account, leg, filled, late, overtaken = working.fill_working(
            account, marks, row, costs, params
        )
        order, status = merge(order, leg), _latest(status, filled)
    account, in_bar, known = exit_in_bar(account, row, late, costs, params)  # [6]
    stopped = in_bar.reason != ExitReason.NONE
    account, liquidation, called = _margin(account, row, costs, params)  # [7]
    stopped = stopped | jnp.any(liquidation.reason != ExitReason.NONE, axis=-1)[:, None]
    if account.working is not None:
        waiting = account.working.kind != OrderKind.HOLD
        status = jnp.where(stopped & waiting, OrderStatus.STOPPED, status)
    account = cancel_all(account, stopped)
    at_cap = None
    if due.route is not None:  # [8]
        last_orders = cancel(due, due.route.type != OrderType.CLOSE)
        overruled = stopped & (last_orders.kind != OrderKind.HOLD)
        status = jnp.where(overruled, OrderStatus.STOPPED, status)
        last_orders = cancel(last_orders, stopped)
        account, leg, filled = _at_close(account, last_orders, row, costs, params)
        order, status = merge(order, leg), _latest(status, filled)
    if closing.has_caps(params):  # [9]
        account, at_cap = closing.sell_excess(account, row, costs, params)
    account, last = _rarely(  # [10]
        params, _anything_ends(account, row, params), closing.last_exit, account, row, costs, params
    )
    shut = jnp.any(last.reason == ExitReason.RUIN, axis=-1)[:, None]
    account = cancel_all(account, jnp.broadcast_to(shut, present.shape))
    account, ruined, written_off = closing.settle(account, row, params)
    account = closing.mark(account, row, late)  # [11]
    if account.working is not None:
        account, status = working.end_of_bar(account, row, status)
    at_end = merge(liquidation, last)
    legs = (at_open, order, in_bar, at_end) if at_cap is None else (
        at_open, order, in_bar, at_cap, at_end)  # fmt: skip
    result = BarResult(
        at_open=at_open,
        order=order,
        in_bar=in_bar,
        at_cap=at_cap,
        at_end=at_end,
        status=status,
        interest=carry.interest,
        borrow=carry.borrow,
        funding=carry.funding,
        dividends=dividends,
        log_return=jnp.log(account.equity / before.equity),
        turnover=_turnover(legs, equity_open, params),
        drawdown=1.0 - account.equity / account.peak,
        liquidated=called,
        ruined=ruined,
        written_off=written_off,
        ambiguous=known.ambiguous if overtaken is None else known.ambiguous | overtaken,
        resolved=known.resolved,
    )
    return account, result


def _latest(*statuses: Array) -> Array:
    """The last status that says something."""
    out = statuses[0]
    for status in statuses[1:]:
        out = jnp.where(status != OrderStatus.NONE, status, out)
    return out


def _due_orders(
    account: Account, orders: Orders, before: Account, params: MarketParams
) -> tuple[Account, Orders, Array]:
    """Step 2: what is due at this bar; today's join the queue when the decision lag is above 1."""
    decides = (account.age % params.decision_interval == 0)[:, None]
    orders = cancel(orders, ~decides)
    account = account._replace(age=account.age + 1)
    if account.queue.kind.shape[0] > 0:
        line = jax.tree.map(lambda q, o: jnp.concatenate([q, o[None]]), account.queue, orders)
        orders = jax.tree.map(lambda x: x[0], line)
        account = account._replace(queue=jax.tree.map(lambda x: x[1:], line))
    dead = (before.equity <= params.ruin_fraction * params.initial_balance)[:, None]
    orders = cancel(orders, dead)
    if account.working is None:
        return account, orders, jnp.zeros(orders.kind.shape, jnp.int32)
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
) -> tuple[Account, Leg, Array]:
    """Steps 4 and 8: market orders at ``price``. Returns account, leg, OrderStatus int32 [N, S]."""
    value = worth_of(price, rate)
    asked = orders.kind != OrderKind.HOLD
    tradable = row.state >= BarState.TRADABLE
    wanted = target_units(account, orders, value, equity, params)
    quote = Quote(value, marks, costs.fee, costs.spread, costs.impact)
    plan = plan_orders(account, wanted, asked & tradable, quote, row, equity, params)
    account, leg, _ = trade(account, plan, price, None, rate, costs.fee, row, params)
    untradable = jnp.where(
        row.state > BarState.MASKED, OrderStatus.NOT_TRADABLE, OrderStatus.MASKED
    )
    status = jnp.where(tradable, plan.status, untradable)
    return account, leg, jnp.where(asked, status, OrderStatus.NONE).astype(jnp.int32)


def _at_close(
    account: Account, orders: Orders, row: BarRow, costs: Costs, params: MarketParams
) -> tuple[Account, Leg, Array]:
    marks = closing.close_marks(account, row)
    equity = account.cash + jnp.sum(account.units * marks, axis=-1)
    return _market_orders(
        account, orders, row.close, row.rate_close, marks, equity, row, costs, params
    )


def _margin(
    account: Account, row: BarRow, costs: Costs, params: MarketParams
) -> tuple[Account, Leg, Array]:
    """Step 7. Returns account, leg, and bool [N]: below maintenance."""
    called, adverse = closing.margin_call(account, row, params)
    hard = gates.is_open(called)
    account, leg = _rarely(
        params, hard, closing.liquidate, account, called, adverse, row, costs, params
    )
    return account, leg, hard


def _anything_ends(account: Account, row: BarRow, params: MarketParams) -> Array:
    """bool: some account is ruined, or holds what trades for the last time."""
    equity = account.cash + jnp.sum(account.units * closing.close_marks(account, row), axis=-1)
    ruined = equity <= params.ruin_fraction * params.initial_balance
    return jnp.any(ruined) | jnp.any(row.state >= BarState.LAST)


def _rarely(
    params: MarketParams,
    when: Array,
    run: Callable[..., tuple[Account, Leg]],
    account: Account,
    *rest: Any,
) -> tuple[Account, Leg]:
    """``run`` where anything calls for it at all: rare events cost nothing on other bars."""
    if params.temperature is not None:
        return run(account, *rest)

    def skip(account: Account, *rest: Any) -> tuple[Account, Leg]:
        return account, no_leg(account.units)

    out: tuple[Account, Leg] = jax.lax.cond(jnp.any(when), run, skip, account, *rest)
    return out


def _turnover(legs: tuple[Leg, ...], equity: Array, params: MarketParams) -> Array:
    traded = sum(leg.notional for leg in legs)
    return jnp.sum(traded, axis=-1) / jnp.maximum(equity, closing.equity_floor(params))


step_jit = jax.jit(step)
"""``step`` compiled, for stepping one bar at a time."""
