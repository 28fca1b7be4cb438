"""Random cases in which every rule of the market fires."""

from __future__ import annotations

import math

import numpy as np

from market_cases import FOREVER, LONG_AGO, Case, rule_arrays
from market_compare import Chooser
from oracle import HOLD, Ledger, Order
from truefill.market.types import NEVER, BarState, OrderKind


def random_case(seed: int, *, bars: int, accounts: int, symbols: int, lag: int) -> Case:
    """Jumpy bars with masks, no-trade windows and pauses; accounts with all rules in random mixes.
    Rows of masked bars carry absurd prices: nothing may look at them. No orders yet."""
    rng = np.random.default_rng(seed)
    full = (bars, symbols)
    state = rng.choice([0.0, 1.0, 2.0, 2.0], p=[0.05, 0.05, 0.45, 0.45], size=full)
    state[0] = BarState.TRADABLE
    prices, atr = _random_prices(rng, full)
    garbage = np.where(state == BarState.MASKED, 10.0 ** rng.uniform(-6, 6, full), 1.0)
    steps = np.where(rng.random(bars) < 0.05, 3 * 86_400.0, 3_600.0)
    top = {"fee": 1e-3, "half_spread": 4e-4, "slippage": 4e-4, "borrow": 0.5}
    return Case(
        timestamps_s=LONG_AGO + np.cumsum(steps),
        prices={name: values * garbage for name, values in prices.items()},
        state=state,
        atr=atr,
        costs={name: rng.uniform(0.0, limit, full) for name, limit in top.items()},
        interest=rng.uniform(0.0, 0.3, bars),
        rules=rule_arrays(accounts, symbols, _random_rules(rng, accounts, symbols, prices)),
        kind=np.zeros((bars - 1, accounts, symbols), np.int32),
        value=np.zeros((bars - 1, accounts, symbols)),
        lag=lag,
    )


def _random_prices(
    rng: np.random.Generator, full: tuple[int, int]
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    def jumps(chance: float, size: float) -> np.ndarray:
        return np.where(rng.random(full) < chance, rng.normal(0.0, size, full), 0.0)

    vol = rng.uniform(0.001, 0.008, full) * (rng.random(full) > 0.04)
    gap = rng.normal(0.0, 0.2, full) * vol + jumps(0.04, 0.03) + jumps(0.005, 0.35)
    move = rng.normal(0.0, 1.0, full) * vol + jumps(0.006, 0.15)
    level = np.empty(full)
    last = np.log(rng.uniform(5.0, 500.0, full[1]))
    centre = last.copy()
    for t in range(full[0]):
        level[t] = last + gap[t] - 0.01 * (last - centre)
        last = level[t] + move[t]
    open_, close = np.exp(level), np.exp(level + move)
    high = np.maximum(open_, close) * np.exp(np.abs(rng.normal(0.0, 0.5, full)) * vol)
    low = np.minimum(open_, close) * np.exp(-np.abs(rng.normal(0.0, 0.5, full)) * vol)
    atr = close * rng.uniform(0.0005, 0.02, full)
    return {"open": open_, "high": high, "low": low, "close": close}, atr


def _random_rules(
    rng: np.random.Generator, accounts: int, symbols: int, prices: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    one, wide = (accounts,), (accounts, symbols)
    balance = 10.0 ** rng.uniform(3, 5, accounts)
    share = balance[:, None] / prices["close"][0]
    leverage = rng.choice([1.0, 1.5, 3.0, 3.0], one)
    return {
        "initial_balance": balance,
        "cost_multiple": rng.choice([0.5, 1.0, 1.0, 2.0], one),
        "extra_slippage": rng.choice([0.0, 0.0, 3e-4], one),
        "decision_interval": rng.choice([1, 1, 1, 2, 3], one),
        "allow_short": rng.choice([0.0, 1.0, 1.0], wide),
        "max_leverage": leverage,
        "max_weight": rng.choice([0.5, 1.0, 3.0, 3.0], wide) * rng.uniform(0.9, 1.0, wide),
        "lot": share * rng.choice([0.0, 0.0, 1e-3, 0.01], wide),
        "min_notional": balance[:, None] * rng.choice([0.0, 1e-3, 0.01], wide),
        "band": rng.choice([0.0, 0.02, 0.1], wide),
        "min_hold": rng.choice([0, 0, 2, 6], wide),
        "max_hold": rng.choice([FOREVER, 8, 25], wide),
        "stop_loss": rng.choice([NEVER, NEVER, 0.008, 0.02, 0.06], wide),
        "take_profit": rng.choice([NEVER, NEVER, 0.008, 0.02, 0.06], wide),
        "use_atr": rng.choice([0.0, 0.0, 1.0], wide),
        "atr_stop": rng.uniform(1.0, 3.0, wide),
        "atr_target": rng.uniform(1.0, 4.0, wide),
        "atr_stop_min": rng.uniform(0.001, 0.006, wide),
        "atr_stop_max": rng.uniform(0.02, 0.05, wide),
        "atr_target_min": rng.uniform(0.001, 0.006, wide),
        "atr_target_max": rng.uniform(0.02, 0.05, wide),
        "trail_distance": rng.choice([NEVER, NEVER, NEVER, 0.01, 0.03], wide),
        "trail_activation": rng.choice([NEVER, NEVER, 0.004, 0.012], wide),
        "trail_keep": rng.uniform(0.2, 0.8, wide),
        "trail_floor": rng.choice([0.0, 0.002], wide),
        "maintenance": rng.choice([0.0, 0.5, 0.97], one) / leverage,
        "ruin_fraction": rng.choice([0.0, 0.05, 0.2], one),
    }


def lively_orders(case: Case, seed: int) -> Chooser:
    """Random orders of every kind. A poor account is told the future and a rich one its opposite,
    so that accounts stay alive, and within two orders of magnitude, over any number of bars."""
    total, accounts, symbols = case.shape
    rng = np.random.default_rng(seed)
    rate = rng.choice([0.08, 0.3, 0.7], accounts).tolist()
    draws = rng.random((accounts, total, symbols, 4))
    ahead = np.minimum(np.arange(total) + case.lag, total - 1)
    future = np.log(case.prices["close"][ahead] / case.prices["open"][ahead]).tolist()
    close = case.prices["close"].tolist()

    def choose(ledger: Ledger, account: int, t: int) -> list[Order]:
        wealth = ledger.equity / ledger.rules.initial_balance
        orders = []
        for s in range(symbols):
            act, which, sign, size = draws[account, t, s].tolist()
            if act > rate[account]:
                orders.append(HOLD)
                continue
            side = 1.0 if sign < 0.5 else -1.0
            poor = wealth < 0.5
            if poor and abs(future[t][s]) < 0.003:
                orders.append(HOLD)
                continue
            if poor or wealth > 3.0:
                side = math.copysign(1.0, future[t][s] if poor else -future[t][s])
            weight = 0.0 if 0.3 < size < 0.4 else side * size * ledger.rules.max_leverage * 1.3
            units = weight * ledger.equity / close[t][s]
            kinds = (
                (OrderKind.WEIGHT, weight), (OrderKind.WEIGHT, weight), (OrderKind.SIDE, weight),
                (OrderKind.UNITS, units), (OrderKind.NOTIONAL, weight * ledger.equity),
            )  # fmt: skip
            kind, value = kinds[int(which * len(kinds))]
            orders.append((int(kind), value))
        return orders

    return choose


def blind_orders(case: Case, seed: int) -> Case:
    """The case with random orders of every kind, drawn without looking at anything."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(len(OrderKind), case.kind.shape, p=[0.6, 0.1, 0.1, 0.1, 0.1])
    weight = rng.uniform(-3.0, 3.0, case.kind.shape) * (rng.random(case.kind.shape) > 0.1)
    notional = weight * case.rules["initial_balance"][:, None]
    value = np.select(
        [kind == OrderKind.UNITS, kind == OrderKind.NOTIONAL],
        [notional / case.prices["close"][0], notional],
        weight,
    )
    return case.with_orders(kind.astype(np.int32), value)
