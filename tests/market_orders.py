"""Random orders for the market's fuzz: of every kind and type, at prices near the market."""

from __future__ import annotations

import math

import numpy as np

from market_cases import Case
from market_compare import Chooser
from oracle import Ledger
from oracle_types import HOLD, Order
from truefill.market.types import OrderKind, OrderType

# Kind of order and how often; the sign of the value is the side wanted.
KINDS = {
    OrderKind.WEIGHT: 0.22, OrderKind.SIDE: 0.12, OrderKind.UNITS: 0.15, OrderKind.NOTIONAL: 0.12,
    OrderKind.REOPEN: 0.06, OrderKind.CASH: 0.12, OrderKind.POSITION: 0.12, OrderKind.REVERSE: 0.04,
    OrderKind.CANCEL: 0.05,
}  # fmt: skip
SIDED = (OrderKind.WEIGHT, OrderKind.SIDE, OrderKind.UNITS, OrderKind.NOTIONAL, OrderKind.REOPEN)
TYPES = {OrderType.OPEN: 0.3, OrderType.CLOSE: 0.14, OrderType.LIMIT: 0.34, OrderType.STOP: 0.22}


def lively_orders(case: Case, seed: int, rate: float | None = None) -> Chooser:
    """Random orders of every kind and type; a poor account is told the future and a rich one its
    opposite, so that accounts stay alive, and within two orders of magnitude, over any number of
    bars. ``rate``: share of bars with an order; some accounts seldom, others often without it."""
    total, accounts, symbols = case.shape
    rng = np.random.default_rng(seed)
    wide = (accounts, total, symbols)
    rates = rng.choice([0.08, 0.3, 0.7], (accounts, 1, 1)) if rate is None else rate
    size = rng.random(wide)
    drawn = {
        "acts": rng.random(wide) < rates,
        "kind": rng.choice([int(k) for k in KINDS], wide, p=list(KINDS.values())),
        "side": np.where(rng.random(wide) < 0.5, 1.0, -1.0),
        "size": np.where((size > 0.3) & (size < 0.4), 0.0, size),
        "type": rng.choice([int(k) for k in TYPES], wide, p=list(TYPES.values())),
        "away": np.exp(rng.normal(0.0, rng.choice([0.006, 0.03], wide, p=[0.8, 0.2]))),
        "gtc": rng.random(wide) < 0.5,
    }
    draws = [
        [list(zip(*(column[n, t].tolist() for column in drawn.values()), strict=True))
         for t in range(total)]
        for n in range(accounts)
    ]  # fmt: skip
    ahead = np.minimum(np.arange(total) + case.lag, total - 1)
    future = np.log(case.prices["close"][ahead] / case.prices["open"][ahead]).tolist()
    close = case.prices["close"].tolist()

    def choose(ledger: Ledger, account: int, t: int) -> list[Order]:
        wealth = ledger.equity / ledger.rules.initial_balance
        poor, rich = wealth < 0.5, wealth > 3.0
        orders = []
        for s, (acts, kind, side, size, type_, away, gtc) in enumerate(draws[account][t]):
            told = future[t][s]
            if not acts or (poor and (abs(told) < 0.003 or kind not in SIDED)):
                orders.append(HOLD)
                continue
            if poor or rich:
                side = math.copysign(1.0, told if poor else -told)
            value = _value(kind, side * size, ledger, s)
            if case.route is None or poor:
                orders.append(Order(kind, value))
            else:
                priced = type_ in (OrderType.LIMIT, OrderType.STOP)
                price = close[t][s] * away if priced else 1.0
                orders.append(Order(kind, value, type_, price, gtc))
        return orders

    return choose


def _value(kind: int, signed_size: float, ledger: Ledger, s: int) -> float:
    """A value of that kind for a size in [-1, 1]; 1 is a little more than leverage allows."""
    weight = signed_size * ledger.rules.max_leverage * 1.3
    if kind == OrderKind.UNITS:
        return weight * ledger.equity / ledger.positions[s].mark
    if kind == OrderKind.NOTIONAL:
        return weight * ledger.equity
    if kind == OrderKind.POSITION:
        return max(-1.0, signed_size * 1.3)
    if kind == OrderKind.CASH:
        return signed_size * 1.2
    return weight


def blind_orders(case: Case, seed: int) -> Case:
    """The case with random orders, drawn without looking at anything: market orders by weight,
    side, units and notional; every kind and type where the case has routes."""
    rng = np.random.default_rng(seed)
    shape = case.kind.shape
    route = None
    if case.route is None:
        kind = rng.choice(5, shape, p=[0.6, 0.1, 0.1, 0.1, 0.1])
    else:
        kind = rng.choice(len(OrderKind), shape, p=[0.55, *[0.05] * 9])
        price = case.prices["close"][:-1, None] * np.exp(rng.normal(0.0, 0.006, shape))
        route = {
            "type": rng.choice(len(OrderType), shape).astype(np.int32),
            "price": price,
            "gtc": (rng.random(shape) < 0.5).astype(np.float64),
        }
    weight = rng.uniform(-3.0, 3.0, shape) * (rng.random(shape) > 0.1)
    notional = weight * case.rules["initial_balance"][:, None]
    value = np.select(
        [kind == OrderKind.UNITS, kind == OrderKind.NOTIONAL],
        [notional / case.prices["close"][0], notional],
        weight,
    )
    return case.with_orders(kind.astype(np.int32), value, route)
