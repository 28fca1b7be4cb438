"""The market's vocabulary: bars, parameters, account, orders, and what one bar did.

Shapes: N accounts, S symbols, T bars, L = decision lag. Money and prices are float64. Every
parameter is a traced array that broadcasts against [N] (accounts) or [N, S] (accounts x symbols),
so that one compiled step serves every scenario, each account with its own, with equal bits.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import jax

Array = jax.Array

NEVER = 1e18
"""A distance no price moves: switches a stop or limit off while staying finite."""

SECONDS_PER_YEAR = 365.25 * 86_400.0
EQUITY_FLOOR = 1e-6
"""Equity never falls below this share of the starting balance; the rest is written off."""


class OrderKind(IntEnum):
    """What an order's value means. All orders are market orders at the next permitted open."""

    HOLD = 0
    """Change nothing."""
    WEIGHT = 1
    """Target weight: signed notional / equity."""
    SIDE = 2
    """Signed weight, but no trade while the position is already on that side."""
    UNITS = 3
    """Target units."""
    NOTIONAL = 4
    """Target signed notional in quote currency."""


class BarState(IntEnum):
    """What may happen on a bar of a symbol."""

    MASKED = 0
    """No bar: no fills, no stops, marked at the last close."""
    NO_TRADE = 1
    """Orders are cancelled; stops, margin and marks work."""
    TRADABLE = 2


class OrderStatus(IntEnum):
    """What became of an order."""

    NONE = 0
    FILLED = 1
    NO_CHANGE = 2
    MIN_HOLD = 3
    NOT_TRADABLE = 4
    STOPPED = 5
    BELOW_MINIMUM = 6
    NO_ROOM = 7


class ExitReason(IntEnum):
    """Why a position ended."""

    NONE = 0
    ORDER = 1
    GAP_STOP = 2
    TAKE_PROFIT = 3
    MAX_HOLD = 4
    STOP_LOSS = 5
    TRAILING_STOP = 6
    LIQUIDATION = 7
    RUIN = 8


class Orders(NamedTuple):
    """One order per account and symbol."""

    kind: Array
    """OrderKind, int32 [N, S]."""
    value: Array
    """float64 [N, S]."""


class BarRow(NamedTuple):
    """The bar that each account sees now; [N, S] unless noted."""

    open: Array
    high: Array
    low: Array
    close: Array
    state: Array
    """BarState as float64."""
    atr: Array
    """Average true range as of the PREVIOUS bar, price units."""
    fee: Array
    """Fraction of traded notional."""
    half_spread: Array
    """Fraction of price."""
    slippage: Array
    """Fraction of price."""
    borrow: Array
    """Fee on shorts, fraction a year."""
    interest: Array
    """Interest on borrowed cash, fraction a year, [N]."""
    years: Array
    """Time since the previous bar in years, [N]."""


class MarketParams(NamedTuple):
    """Limits and rules; account-level ones broadcast to [N], symbol-level ones to [N, S]."""

    one: Array
    """1.0, traced: dividing by it keeps XLA from fusing (and recomputing) across phases."""
    initial_balance: Array
    """[N], quote currency."""
    cost_multiple: Array
    """[N], multiplies fee, spread, slippage, borrow and interest."""
    extra_slippage: Array
    """[N], fraction of price, added after the multiple (slippage grid)."""
    decision_interval: Array
    """[N] int32, bars."""
    allow_short: Array
    """[N, S], 1.0 or 0.0."""
    max_leverage: Array
    """[N], gross exposure / equity."""
    max_weight: Array
    """[N, S]."""
    lot: Array
    """[N, S], units; 0 = any fraction."""
    min_notional: Array
    """[N, S], quote currency."""
    band: Array
    """[N, S], weight."""
    min_hold: Array
    """[N, S] int32, bars."""
    max_hold: Array
    """[N, S] int32, bars."""
    stop_loss: Array
    """[N, S], fraction of entry; NEVER = off."""
    take_profit: Array
    """[N, S], fraction of entry; NEVER = off."""
    use_atr: Array
    """[N, S], 1.0 = the next six replace stop_loss and take_profit."""
    atr_stop: Array
    atr_target: Array
    atr_stop_min: Array
    atr_stop_max: Array
    atr_target_min: Array
    atr_target_max: Array
    trail_distance: Array
    """[N, S], fraction of the best price; NEVER = off."""
    trail_activation: Array
    """[N, S], best profit that arms the keep-profit stop; NEVER = off."""
    trail_keep: Array
    trail_floor: Array
    maintenance: Array
    """[N], equity / gross exposure."""
    ruin_fraction: Array
    """[N], share of initial_balance."""


class Account(NamedTuple):
    """All there is to know about N accounts after a close."""

    cash: Array
    """[N]."""
    units: Array
    """[N, S], signed."""
    entry: Array
    """[N, S], average fill price of the open position; 1 when flat."""
    stop: Array
    """[N, S], stop distance, fraction of entry."""
    target: Array
    """[N, S], target distance, fraction of entry."""
    best: Array
    """[N, S], best price since entry from completed bars."""
    flow: Array
    """[N, S], net cash flow of the open trade so far, all its costs included."""
    mark: Array
    """[N, S], last mark."""
    held: Array
    """[N, S] int32, bars since the position was opened."""
    equity: Array
    """[N], at the last mark."""
    peak: Array
    """[N], highest equity at a close."""
    age: Array
    """[N] int32, bars since the account was opened."""
    queue: Orders
    """Orders decided but not yet due, [L - 1, N, S]; the first is due next."""


class Leg(NamedTuple):
    """One trade of a bar, [N, S]: signed units, fill price (0 where nothing traded), its costs, and
    the closed position's net profit and reason where it ended one."""

    units: Array
    price: Array
    fee: Array
    spread: Array
    """Spread and slippage paid against the reference price."""
    reason: Array
    """ExitReason, int32; NONE where no position ended."""
    profit: Array
    closed_units: Array
    """Signed units of the position that ended."""


class BarResult(NamedTuple):
    """What one bar did, in the order it happened."""

    at_open: Leg
    """Gap stop, gapped target or maximum holding time."""
    order: Leg
    """The order."""
    in_bar: Leg
    """Stop or target inside the bar."""
    at_end: Leg
    """Liquidation or ruin."""
    status: Array
    """OrderStatus, int32 [N, S]."""
    interest: Array
    """[N], quote currency."""
    borrow: Array
    """[N], quote currency."""
    log_return: Array
    """[N], log of equity at this close / at the last."""
    turnover: Array
    """[N], traded notional / equity at the open."""
    drawdown: Array
    """[N], 1 - equity / peak."""
    liquidated: Array
    """[N] bool."""
    ruined: Array
    """[N] bool."""
    written_off: Array
    """[N], negative equity the account did not have to pay."""
    ambiguous: Array
    """[N, S] bool: stop and target both lay inside the bar; the worse was taken."""
