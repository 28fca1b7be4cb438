"""What a position costs and brings while it is held: splits, dividends, interest, fees, funding."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp

from truefill.market.arithmetic import total
from truefill.market.fills import worth
from truefill.market.types import Account, Array, BarRow, MarketParams, OrderKind, Orders


class Carry(NamedTuple):
    """What was paid (dividends: received) since the last mark, [N]."""

    interest: Array
    borrow: Array
    funding: Array | None
    dividends: Array | None


def corporate_actions(
    account: Account, orders: Orders, row: BarRow, params: MarketParams
) -> tuple[Account, Orders, BarRow, Array | None]:
    """Dividends on the units held at the last close, then splits: of units, levels and orders."""
    received = None
    if row.dividend is not None:
        paid = account.units * worth(row.dividend, row.rate_open)
        received = total(paid, params)
        account = account._replace(cash=account.cash + received, flow=account.flow + paid)
    if row.split is not None:
        ratio = row.split
        working = account.working
        account = account._replace(
            units=account.units * ratio,
            entry=jnp.where(account.units != 0.0, account.entry / ratio, account.entry),
            best=jnp.where(account.units != 0.0, account.best / ratio, account.best),
            mark=account.mark / ratio,
            queue=_split_orders(account.queue, ratio[None]),
            working=None if working is None else _split_orders(working, ratio),
        )
        orders = _split_orders(orders, ratio)
        row = row._replace(atr=row.atr / ratio)
    return account, orders, row, received


def _split_orders(orders: Orders, ratio: Array) -> Orders:
    value = jnp.where(orders.kind == OrderKind.UNITS, orders.value * ratio, orders.value)
    route = orders.route
    if route is not None:
        route = route._replace(price=route.price / ratio)
    return Orders(orders.kind, value, route)


def finance(account: Account, row: BarRow, params: MarketParams) -> tuple[Account, Carry]:
    """Interest on borrowed cash, the fee on shorts, and funding, since the last mark."""
    years, multiple = row.years, params.cost_multiple
    held = account.units * account.mark
    cash, paid_in_cash = account.cash, held
    if params.derivative is not None:
        cash = cash + total(held * params.derivative, params)
        paid_in_cash = held * (1.0 - params.derivative)
    long, short = jnp.maximum(paid_in_cash, 0.0), jnp.maximum(-paid_in_cash, 0.0)
    interest = jnp.maximum(-cash, 0.0) * row.interest * multiple * years
    borrow = short * row.borrow * multiple[:, None] * years[:, None]
    total_long = total(long, params)
    share = long / jnp.where(total_long > 0.0, total_long, 1.0)[:, None]
    borrowed = total(borrow, params)
    left = account.cash - interest - borrowed
    flow = account.flow - borrow - share * interest[:, None]
    funding = None
    if row.funding is not None:
        own = held * row.funding
        funding = total(own, params)
        left, flow = left - funding, flow - own
    return account._replace(cash=left, flow=flow), Carry(interest, borrowed, funding, None)
