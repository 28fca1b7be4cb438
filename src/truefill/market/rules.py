"""THE market: what one bar does to N accounts. Nothing else in truefill fills, charges or marks.

``step`` takes accounts at the close of bar t - 1, the orders decided there, and bar t, and returns
the accounts at the close of bar t. ``docs/market-rules.md`` has each equation beside its test.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from truefill.market.orders import Plan, plan_orders
from truefill.market.stops import distances, levels
from truefill.market.types import (
    EQUITY_FLOOR,
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
)


class Costs(NamedTuple):
    """Costs of this bar after the scenario's multiples, fractions, [N, S]."""

    fee: Array
    spread: Array
    """Half spread + slippage, fraction of price."""


def open_account(
    params: MarketParams, num_accounts: int, num_symbols: int, lag: int, mark: Array
) -> Account:
    """Fresh accounts: the starting balance in cash, no position, nothing queued.

    ``mark`` is the last close, [N, S]; ``lag`` the decision lag in bars.
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
        queue=Orders(
            kind=jnp.zeros((lag - 1, *shape), jnp.int32), value=jnp.zeros((lag - 1, *shape))
        ),
    )


def step(
    account: Account, orders: Orders, row: BarRow, params: MarketParams
) -> tuple[Account, BarResult]:
    """One bar for N accounts over S symbols."""
    before = account
    spread = (row.half_spread + row.slippage) * params.cost_multiple[:, None]
    costs = Costs(
        fee=_cut(row.fee * params.cost_multiple[:, None], params),
        spread=_cut(spread + params.extra_slippage[:, None], params),
    )
    present = row.state > BarState.MASKED
    account, interest, borrow = _finance(account, row, params)
    account, due = _due_orders(account, orders, params)
    account, at_open = _exit_at_open(account, row, costs, params)
    exited = at_open.reason != ExitReason.NONE
    broke = before.equity <= params.ruin_fraction * params.initial_balance
    due = _cancel(due, broke[:, None])
    overtaken = exited & (due.kind != OrderKind.HOLD)
    due = _cancel(due, exited)
    account = account._replace(queue=_cancel(account.queue, exited[None]))
    price = jnp.where(present, row.open, account.mark)
    equity_open = _cut(account.cash + jnp.sum(account.units * price, axis=-1), params)
    plan = plan_orders(account, due, row, costs.fee, costs.spread, equity_open, params)
    account, order = _trade(account, plan, row, costs, params)
    account, in_bar, ambiguous = _exit_in_bar(account, row, costs, params)
    stopped = in_bar.reason != ExitReason.NONE
    account = account._replace(queue=_cancel(account.queue, stopped[None]))
    account, at_end, liquidated, ruined, written_off = _margin(account, row, costs, params)
    shut = jnp.any(at_end.reason != ExitReason.NONE, axis=-1)
    account = account._replace(queue=_cancel(account.queue, shut[None, :, None]))
    account = _mark(account, row)
    status = jnp.where(overtaken, OrderStatus.STOPPED, plan.status)
    traded = sum(jnp.abs(leg.units) * leg.price for leg in (at_open, order, in_bar, at_end))
    result = BarResult(
        at_open=at_open,
        order=order,
        in_bar=in_bar,
        at_end=at_end,
        status=status,
        interest=interest,
        borrow=borrow,
        log_return=jnp.log(account.equity / before.equity),
        turnover=jnp.sum(traded, axis=-1) / jnp.maximum(equity_open, _floor(params)),
        drawdown=1.0 - account.equity / account.peak,
        liquidated=liquidated,
        ruined=ruined,
        written_off=written_off,
        ambiguous=ambiguous,
    )
    return account, result


def _cut(x: Array, params: MarketParams) -> Array:
    """Phase boundary: x / 1.0 is exact, and XLA computes a division once instead of once in every
    fusion that needs it (``docs/decisions/0001-engine.md``)."""
    return (x / params.one).astype(x.dtype)


def _floor(params: MarketParams) -> Array:
    return EQUITY_FLOOR * params.initial_balance


def _finance(account: Account, row: BarRow, params: MarketParams) -> tuple[Account, Array, Array]:
    """Interest on borrowed cash and the fee on shorts, for the time since the last bar."""
    years = row.years
    long = jnp.maximum(account.units, 0.0) * account.mark
    short = jnp.maximum(-account.units, 0.0) * account.mark
    interest = jnp.maximum(-account.cash, 0.0) * row.interest * params.cost_multiple * years
    borrow = short * row.borrow * params.cost_multiple[:, None] * years[:, None]
    total_long = jnp.sum(long, axis=-1)
    share = long / jnp.where(total_long > 0.0, total_long, 1.0)[:, None]
    borrowed = jnp.sum(borrow, axis=-1)
    account = account._replace(
        cash=account.cash - interest - borrowed,
        flow=account.flow - borrow - share * interest[:, None],
    )
    return account, interest, borrowed


def _due_orders(account: Account, orders: Orders, params: MarketParams) -> tuple[Account, Orders]:
    """The orders due at this open; today's join the queue when the decision lag is above 1."""
    decides = (account.age % params.decision_interval == 0)[:, None]
    orders = Orders(kind=jnp.where(decides, orders.kind, OrderKind.HOLD), value=orders.value)
    account = account._replace(age=account.age + 1)
    if account.queue.kind.shape[0] == 0:
        return account, orders
    kinds = jnp.concatenate([account.queue.kind, orders.kind[None]])
    values = jnp.concatenate([account.queue.value, orders.value[None]])
    account = account._replace(queue=Orders(kinds[1:], values[1:]))
    return account, Orders(kinds[0], values[0])


def _cancel(orders: Orders, where: Array) -> Orders:
    return orders._replace(kind=jnp.where(where, OrderKind.HOLD, orders.kind))


def _exit_at_open(
    account: Account, row: BarRow, costs: Costs, params: MarketParams
) -> tuple[Account, Leg]:
    """A stop that the gap jumped over fills at the open, a target at its level; then the maximum
    holding time, which needs a tradable bar."""
    side = jnp.sign(account.units)
    level = levels(account, params)
    live = (row.state > BarState.MASKED) & (side != 0.0)
    gap_stop = live & (side * (row.open - level.stop) <= 0.0)
    target = live & ~gap_stop & (side * (row.open - level.target) >= 0.0)
    aged = (row.state >= BarState.TRADABLE) & (side != 0.0) & (account.held >= params.max_hold)
    reason = jnp.where(
        gap_stop,
        ExitReason.GAP_STOP,
        jnp.where(target, ExitReason.TAKE_PROFIT, jnp.where(aged, ExitReason.MAX_HOLD, 0)),
    )
    worse = row.open * (1.0 - side * costs.spread)
    price = jnp.where(target, level.target, worse)
    paid = jnp.where(target, 0.0, jnp.abs(row.open - worse))
    return _close(account, reason, price, paid, costs, params)


def _exit_in_bar(
    account: Account, row: BarRow, costs: Costs, params: MarketParams
) -> tuple[Account, Leg, Array]:
    """Stop or target from the bar's high and low; if both could have been hit, the stop was."""
    side = jnp.sign(account.units)
    level = levels(account, params)
    live = (row.state > BarState.MASKED) & (side != 0.0)
    worst = jnp.where(side > 0.0, row.low, row.high)
    best = jnp.where(side > 0.0, row.high, row.low)
    hit_stop = live & (side * (worst - level.stop) <= 0.0)
    hit_target = live & (side * (best - level.target) >= 0.0)
    # A position opened at this open may have its stop beyond the open already: never fill better.
    reference = side * jnp.minimum(side * level.stop, side * row.open)
    stopped = reference * (1.0 - side * costs.spread)
    reason = jnp.where(
        hit_stop,
        jnp.where(level.trailing, ExitReason.TRAILING_STOP, ExitReason.STOP_LOSS),
        jnp.where(hit_target, ExitReason.TAKE_PROFIT, 0),
    )
    price = jnp.where(hit_stop, stopped, level.target)
    paid = jnp.where(hit_stop, jnp.abs(reference - stopped), 0.0)
    account, leg = _close(account, reason, price, paid, costs, params)
    return account, leg, hit_stop & hit_target


def _close(
    account: Account, reason: Array, price: Array, paid: Array, costs: Costs, params: MarketParams
) -> tuple[Account, Leg]:
    """Close positions where ``reason`` is not NONE, at ``price``; ``paid`` = spread per unit."""
    reason = _cut(reason.astype(jnp.float64), params)
    out = reason != ExitReason.NONE
    units = jnp.where(out, account.units, 0.0)
    price = _cut(jnp.where(out, price, 0.0), params)
    fee = jnp.abs(units) * price * costs.fee
    flow = units * price - fee
    leg = Leg(
        units=-units,
        price=price,
        fee=fee,
        spread=jnp.where(out, jnp.abs(units) * paid, 0.0),
        reason=reason.astype(jnp.int32),
        profit=jnp.where(out, account.flow + flow, 0.0),
        closed_units=units,
    )
    account = account._replace(
        cash=_cut(account.cash + jnp.sum(flow, axis=-1), params),
        units=_cut(account.units - units, params),
        entry=jnp.where(out, 1.0, account.entry),
        best=jnp.where(out, 1.0, account.best),
        flow=jnp.where(out, 0.0, account.flow),
        held=jnp.where(out, 0, account.held),
    )
    return account, leg


def _trade(
    account: Account, plan: Plan, row: BarRow, costs: Costs, params: MarketParams
) -> tuple[Account, Leg]:
    """Fill the planned change at the open: first what reduces, then what opens or adds."""
    plan = plan._replace(reduce=_cut(plan.reduce, params), add=_cut(plan.add, params))
    delta = plan.reduce + plan.add
    fills = delta != 0.0
    price = jnp.where(fills, row.open * (1.0 + jnp.sign(delta) * costs.spread), 1.0)
    price = _cut(price, params)
    fee_reduce = jnp.abs(plan.reduce) * price * costs.fee
    fee_add = jnp.abs(plan.add) * price * costs.fee
    flow_reduce = -plan.reduce * price - fee_reduce
    flow_add = -plan.add * price - fee_add
    kept = account.units + plan.reduce
    ended = (account.units != 0.0) & (kept == 0.0)
    opened = (plan.add != 0.0) & (ended | (account.units == 0.0))
    size = jnp.abs(kept) + jnp.abs(plan.add)
    average = (jnp.abs(kept) * account.entry + jnp.abs(plan.add) * price) / jnp.where(
        size > 0.0, size, 1.0
    )
    entry = jnp.where(opened, price, jnp.where(plan.add != 0.0, average, account.entry))
    stop, target = distances(price, row, params)
    leg = Leg(
        units=delta,
        price=jnp.where(fills, price, 0.0),
        fee=fee_reduce + fee_add,
        spread=jnp.abs(delta) * jnp.where(fills, jnp.abs(price - row.open), 0.0),
        reason=jnp.where(ended, ExitReason.ORDER, 0).astype(jnp.int32),
        profit=jnp.where(ended, account.flow + flow_reduce, 0.0),
        closed_units=jnp.where(ended, account.units, 0.0),
    )
    flow = jnp.where(ended, 0.0, account.flow + flow_reduce) + flow_add
    account = account._replace(
        cash=_cut(account.cash + jnp.sum(flow_reduce + flow_add, axis=-1), params),
        units=_cut(kept + plan.add, params),
        entry=_cut(jnp.where(ended & ~opened, 1.0, entry), params),
        stop=_cut(jnp.where(opened, stop, account.stop), params),
        target=_cut(jnp.where(opened, target, account.target), params),
        best=jnp.where(opened, price, jnp.where(ended, 1.0, account.best)),
        flow=flow,
        held=jnp.where(opened | ended, 0, account.held),
    )
    return account, leg


def _margin(
    account: Account, row: BarRow, costs: Costs, params: MarketParams
) -> tuple[Account, Leg, Array, Array, Array]:
    """Liquidation at the bar's adverse extreme, ruin at the close, and the equity floor."""
    side = jnp.sign(account.units)
    present = row.state > BarState.MASKED
    adverse = jnp.where(side > 0.0, row.low, row.high)
    adverse = jnp.where(present, adverse, account.mark)
    close = jnp.where(present, row.close, account.mark)
    gross = jnp.sum(jnp.abs(account.units) * adverse, axis=-1)
    worst = account.cash + jnp.sum(account.units * adverse, axis=-1)
    liquidated = (gross > 0.0) & (worst < params.maintenance * gross)
    equity = account.cash + jnp.sum(account.units * close, axis=-1)
    low = equity <= params.ruin_fraction * params.initial_balance
    reason = jnp.where(
        liquidated[:, None], ExitReason.LIQUIDATION, jnp.where(low[:, None], ExitReason.RUIN, 0)
    )
    reason = jnp.where(present & (side != 0.0), reason, ExitReason.NONE)
    reference = jnp.where(liquidated[:, None], adverse, close)
    price = reference * (1.0 - side * costs.spread)
    paid = jnp.abs(reference - price)
    account, leg = _close(account, reason, price, paid, costs, params)
    equity = account.cash + jnp.sum(account.units * close, axis=-1)
    ruined = equity <= params.ruin_fraction * params.initial_balance
    written_off = jnp.maximum(_floor(params) - equity, 0.0)
    account = account._replace(cash=account.cash + written_off, equity=equity + written_off)
    return account, leg, liquidated, ruined, written_off


def _mark(account: Account, row: BarRow) -> Account:
    """Mark at the close; best price and holding time move on completed bars of the symbol only."""
    present = row.state > BarState.MASKED
    side = jnp.sign(account.units)
    seen = jnp.where(
        side > 0.0, jnp.maximum(account.best, row.high), jnp.minimum(account.best, row.low)
    )
    in_market = present & (side != 0.0)
    return account._replace(
        mark=jnp.where(present, row.close, account.mark),
        best=jnp.where(in_market, seen, account.best),
        held=account.held + in_market.astype(jnp.int32),
        peak=jnp.maximum(account.peak, account.equity),
    )


step_jit = jax.jit(step)
"""``step`` compiled, for stepping one bar at a time."""
