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
    """What an order's value means, decoded against the account at the moment of the fill."""

    HOLD = 0
    """Change nothing; a working order keeps working."""
    WEIGHT = 1
    """Target weight: signed notional / equity."""
    SIDE = 2
    """Signed weight, but no trade while the position is already on that side."""
    UNITS = 3
    """Target units."""
    NOTIONAL = 4
    """Target signed notional in account currency."""
    CASH = 5
    """Trade this share of the account's cash: buy where positive, sell where negative."""
    POSITION = 6
    """Change the position by this share of itself: -0.25 sells a quarter, -1 closes."""
    REOPEN = 7
    """Close what is held, then open this signed share of the cash. At the open only."""
    REVERSE = 8
    """Close what is held, then open |value| of the cash on the other side. At the open only."""
    CANCEL = 9
    """Cancel the working order; trade nothing."""


class OrderType(IntEnum):
    """When and at which price an order fills."""

    OPEN = 0
    """Market order at the open."""
    CLOSE = 1
    """Market order at the close."""
    LIMIT = 2
    """At its price or better, once the bar trades through it."""
    STOP = 3
    """A market order once the bar touches its price."""


class BarState(IntEnum):
    """What may happen on a bar of a symbol."""

    MASKED = 0
    """No bar: no fills, no stops, marked at the last close."""
    NO_TRADE = 1
    """Orders are cancelled; stops, margin and marks work."""
    TRADABLE = 2
    LAST = 3
    """Tradable, and the symbol's last bar ever: what is held at its close is sold there."""


class OrderStatus(IntEnum):
    """What became of an order."""

    NONE = 0
    FILLED = 1
    NO_CHANGE = 2
    """The account is where the order wants it."""
    MIN_HOLD = 3
    NOT_TRADABLE = 4
    """A no-trade bar."""
    STOPPED = 5
    """A stop, target or holding limit closed the position first."""
    BELOW_MINIMUM = 6
    NO_ROOM = 7
    """No cash or leverage left."""
    MASKED = 8
    """The symbol has no bar."""
    PARTIAL = 9
    """Filled in part: room (beyond costs) or the bar's volume ran out."""
    NO_VOLUME = 10
    WORKING = 11
    """Its price was not reached; it keeps waiting."""
    EXPIRED = 12
    """A day order whose price was not reached until the session's end."""
    CANCELLED = 13


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
    SESSION_CAP = 9
    """Sold at the session's last close down to the cap that holds then."""
    DELISTED = 10


class Route(NamedTuple):
    """How orders reach the market, [N, S]. Without one, all are market orders at the open."""

    type: Array
    """OrderType, int32."""
    price: Array
    """Limit or stop price, quote currency, float64; 1 where the type has none."""
    gtc: Array
    """bool: good till cancelled; else a day order, which ends with the session."""


class Orders(NamedTuple):
    """One order per account and symbol."""

    kind: Array
    """OrderKind, int32 [N, S]."""
    value: Array
    """float64 [N, S]."""
    route: Route | None = None
    """None: market at the open, and no working orders are compiled."""


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
    maker_fee: Array | None = None
    """Fraction of notional where a limit order rests and is filled."""
    volume: Array | None = None
    """Units the bar can take: volume x liquidity multiplier."""
    funding: Array | None = None
    """Paid by longs to shorts at this bar's open, fraction of the last mark's notional."""
    dividend: Array | None = None
    """Cash a unit (quote currency) to who held at the last close, at this bar's open."""
    split: Array | None = None
    """New units for an old one at this bar's open; 1 = none."""
    rate_open: Array | None = None
    """Account currency for one price unit (contract multiplier x exchange rate), at the open."""
    rate_close: Array | None = None
    """The same at the close; also used inside the bar."""
    session_end: Array | None = None
    """1.0 on the symbol's last bar of a session."""
    finer_high: Array | None = None
    """[N, S, K]: highs of K finer bars in time order; where there are fewer -NEVER, lows NEVER."""
    finer_low: Array | None = None


class MarketParams(NamedTuple):
    """Limits and rules; account-level ones broadcast to [N], symbol-level ones to [N, S]."""

    one: Array
    """1.0, traced: dividing by it keeps XLA from fusing (and recomputing) across phases."""
    initial_balance: Array
    """[N], account currency."""
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
    """[N, S], account currency."""
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
    fill_buffer: Array | None = None
    """[N, S], fraction of price by which a bar must trade through a limit."""
    impact: Array | None = None
    """[N, S], slippage (fraction of price) of an order as large as the bar's volume."""
    impact_exponent: Array | None = None
    """[N, S], slippage = impact x participation ** exponent; 0.5 is the square-root law."""
    max_participation: Array | None = None
    """[N, S], largest share of the bar's volume an order may take."""
    leverage_at_close: Array | None = None
    """[N], gross exposure / equity allowed after the session's last close."""
    weight_at_close: Array | None = None
    """[N, S], the same for one symbol."""
    derivative: Array | None = None
    """[N, S], 1.0 where cash does not pay the notional (perpetual, future): no borrowing."""
    temperature: Array | None = None
    """Soft switches, for gradients only (``market.differentiable``); None = the market."""


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
    """[N, S], worth of a unit at the last mark, account currency."""
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
    working: Orders | None = None
    """Limit and stop orders that wait for their price, [N, S]; None where orders have no route."""


class Leg(NamedTuple):
    """One trade of a bar, [N, S]: signed units, fill price (0 where nothing traded), its costs, and
    the closed position's net profit and reason where it ended one."""

    units: Array
    price: Array
    """Quote currency."""
    notional: Array
    """abs(units) x price x rate, account currency, like the costs and the profit."""
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
    """The order: at the open, at its price, or at the close."""
    in_bar: Leg
    """Stop or target inside the bar."""
    at_cap: Leg | None
    """Sales at the session's last close; None where no such cap is set."""
    at_end: Leg
    """Liquidation, delisting or ruin."""
    status: Array
    """OrderStatus, int32 [N, S]."""
    interest: Array
    """[N], account currency."""
    borrow: Array
    """[N], account currency."""
    funding: Array | None
    """[N], paid (negative: received); None where the bars carry none."""
    dividends: Array | None
    """[N], received (negative: paid by shorts)."""
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
    """[N, S] bool: stop and target both lay inside the bar and the worse was taken."""
    resolved: Array | None
    """[N, S] bool: both lay inside and the finer bars said which came first."""

    @property
    def legs(self) -> tuple[Leg, ...]:
        """What the bar traded, in the order in which it happened."""
        legs = (self.at_open, self.order, self.in_bar, self.at_cap, self.at_end)
        return tuple(leg for leg in legs if leg is not None)
