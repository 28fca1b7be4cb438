"""The bookkeeping of a trade: what a fill does to cash, position, entry and the open trade."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp

from truefill.market import gates
from truefill.market.arithmetic import cut, cut_gate, total
from truefill.market.orders import Plan, with_impact
from truefill.market.stops import distances
from truefill.market.types import (
    Account,
    Array,
    BarRow,
    ExitReason,
    Leg,
    MarketParams,
    Orders,
)
from truefill.market.types import OrderKind as Kind


class Costs(NamedTuple):
    """Costs of this bar after the scenario's multiples, fractions, [N, S]."""

    fee: Array
    spread: Array
    """Half spread + slippage, fraction of price."""
    maker_fee: Array | None
    impact: Array | None
    """Slippage of an order as large as the bar's volume."""


class Opened(NamedTuple):
    """What an order opened on this bar, bool [N, S]."""

    new: Array
    """A position was opened."""
    grown: Array
    """A position was opened or added to."""


def costs_of(row: BarRow, params: MarketParams) -> Costs:
    """The bar's costs in this scenario."""
    multiple = params.cost_multiple[:, None]
    spread = (row.half_spread + row.slippage) * multiple
    maker = row.maker_fee
    return Costs(
        fee=cut(row.fee * multiple, params),
        spread=cut(spread + params.extra_slippage[:, None], params),
        maker_fee=None if maker is None else cut(maker * multiple, params),
        impact=None if params.impact is None else cut(params.impact * multiple, params),
    )


def worth(price: Array, rate: Array | None) -> Array:
    """Account currency for a unit at ``price``; without a rate they are the same."""
    return price if rate is None else price * rate


def cancel(orders: Orders, where: Array) -> Orders:
    """The orders, HOLD where ``where``."""
    return orders._replace(kind=jnp.where(where, Kind.HOLD, orders.kind))


def cancel_all(account: Account, where: Array) -> Account:
    """Cancel what is queued and working of symbols ``where``, bool [N, S]."""
    working = account.working
    return account._replace(
        queue=cancel(account.queue, where[None]),
        working=None if working is None else cancel(working, where),
    )


def exit_spread(units: Array, row: BarRow, costs: Costs, params: MarketParams) -> Array:
    """Half spread + slippage + the impact of selling the whole position, fraction of price."""
    if costs.impact is None:
        return costs.spread
    return with_impact(costs.spread, jnp.abs(units), costs.impact, row, params)


def close(
    account: Account,
    out: Array,
    reason: Array,
    price: Array,
    paid: Array,
    rate: Array | None,
    costs: Costs,
    params: MarketParams,
) -> tuple[Account, Leg]:
    """Close positions where the gate ``out`` is open, at ``price``; ``paid`` = spread per unit."""
    soft = out.dtype != jnp.bool_
    out = cut_gate(out, params)
    units = gates.pick(out, account.units, 0.0)
    price = cut(price if soft else jnp.where(out, price, 0.0), params)
    notional = cut(jnp.abs(units) * worth(price, rate), params)
    fee = notional * costs.fee
    flow = jnp.sign(units) * notional - fee
    after = account.units - units
    per_unit = jnp.where(account.mark > 0.0, account.mark, 1.0)
    dust = gates.sweep(
        account.units - units, account.equity[:, None] / per_unit, params.temperature
    )
    after = cut(dust, params)
    gone = (after == 0.0) if soft else out
    leg = Leg(
        units=-units,
        price=price,
        notional=notional,
        fee=fee,
        spread=jnp.where(out, jnp.abs(units) * worth(paid, rate), 0.0),
        reason=jnp.where(gates.is_open(out), reason, ExitReason.NONE).astype(jnp.int32),
        profit=jnp.where(gone, account.flow + flow, 0.0),
        closed_units=units,
    )
    account = account._replace(
        cash=cut(account.cash + total(flow, params), params),
        units=after,
        entry=jnp.where(gone, 1.0, account.entry),
        best=jnp.where(gone, 1.0, account.best),
        flow=jnp.where(gone, 0.0, account.flow + (flow if soft else 0.0)),
        held=jnp.where(gone, 0, account.held),
    )
    return account, leg


def trade(
    account: Account,
    plan: Plan,
    reference: Array,
    bound: Array | None,
    rate: Array | None,
    fee: Array,
    row: BarRow,
    params: MarketParams,
    reason: ExitReason = ExitReason.ORDER,
) -> tuple[Account, Leg, Opened]:
    """Fill the planned change: first what reduces, then what opens or adds.

    ``reference`` is the price before spread; ``bound`` the worst price of a limit order, if any.
    """
    reduce, add = cut(plan.reduce, params), cut(plan.add, params)
    delta = reduce + add
    fills = delta != 0.0
    temperature = params.temperature
    scale = jnp.abs(account.equity)[:, None] / worth(reference, rate)
    direction = gates.sign(delta, scale, temperature)
    price = reference * (1.0 + direction * plan.spread)
    if bound is not None:
        price = jnp.where(delta > 0.0, jnp.minimum(price, bound), jnp.maximum(price, bound))
    price = cut(jnp.where(fills, price, 1.0), params)
    value = worth(price, rate)
    fee_reduce = gates.magnitude(reduce, scale, temperature) * value * fee
    fee_add = gates.magnitude(add, scale, temperature) * value * fee
    flow_reduce = -reduce * value - fee_reduce
    flow_add = -add * value - fee_add
    kept = cut(account.units + reduce, params)
    ended = (account.units != 0.0) & (kept == 0.0)
    opened = (add != 0.0) & (ended | (account.units == 0.0))
    size = jnp.abs(kept) + jnp.abs(add)
    average = (jnp.abs(kept) * account.entry + jnp.abs(add) * price) / jnp.where(
        size > 0.0, size, 1.0
    )
    entry = jnp.where(opened, price, jnp.where(add != 0.0, average, account.entry))
    stop, target = distances(price, row, params)
    leg = Leg(
        units=delta,
        price=jnp.where(fills, price, 0.0),
        notional=cut(jnp.abs(delta) * value, params),
        fee=fee_reduce + fee_add,
        spread=jnp.abs(delta) * worth(jnp.where(fills, jnp.abs(price - reference), 0.0), rate),
        reason=jnp.where(ended, reason, ExitReason.NONE).astype(jnp.int32),
        profit=jnp.where(ended, account.flow + flow_reduce, 0.0),
        closed_units=jnp.where(ended, account.units, 0.0),
    )
    account = account._replace(
        cash=cut(account.cash + total(flow_reduce + flow_add, params), params),
        units=cut(gates.sweep(kept + add, scale, temperature), params),
        entry=cut(jnp.where(ended & ~opened, 1.0, entry), params),
        stop=cut(jnp.where(opened, stop, account.stop), params),
        target=cut(jnp.where(opened, target, account.target), params),
        best=jnp.where(opened, price, jnp.where(ended, 1.0, account.best)),
        flow=jnp.where(ended, 0.0, account.flow + flow_reduce) + flow_add,
        held=jnp.where(opened | ended, 0, account.held),
    )
    return account, leg, Opened(opened, add != 0.0)


def merge(a: Leg, b: Leg) -> Leg:
    """Two legs of which at most one traded each symbol."""
    return Leg(*(x + y for x, y in zip(a, b, strict=True)))


def no_leg(units: Array) -> Leg:
    """A leg on which nothing traded; ``units`` gives the shape."""
    zero, none = jnp.zeros(units.shape), jnp.zeros(units.shape, jnp.int32)
    return Leg(zero, zero, zero, zero, zero, none, zero, zero)
