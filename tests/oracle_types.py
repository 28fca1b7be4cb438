"""What the independent ledger (``oracle.py``) reads and writes: limits, bars, orders, reports.

Names are those of docs/market-rules.md and of ``truefill.market.types``; None = rule not set.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from truefill.market.types import BarState, ExitReason, OrderKind, OrderStatus, OrderType


@dataclass(frozen=True)
class SymbolRules:
    """Limits of one symbol; the names are those of ``MarketParams``."""

    allow_short: float
    max_weight: float
    lot: float
    min_notional: float
    band: float
    min_hold: int
    max_hold: int
    stop_loss: float
    take_profit: float
    use_atr: float
    atr_stop: float
    atr_target: float
    atr_stop_min: float
    atr_stop_max: float
    atr_target_min: float
    atr_target_max: float
    trail_distance: float
    trail_activation: float
    trail_keep: float
    trail_floor: float
    fill_buffer: float | None = None
    impact: float | None = None
    impact_exponent: float | None = None
    max_participation: float | None = None
    weight_at_close: float | None = None
    derivative: float | None = None


@dataclass(frozen=True)
class AccountRules:
    """Limits of one account."""

    initial_balance: float
    cost_multiple: float
    extra_slippage: float
    decision_interval: int
    max_leverage: float
    maintenance: float
    ruin_fraction: float
    lag: int
    symbols: tuple[SymbolRules, ...]
    leverage_at_close: float | None = None


@dataclass(frozen=True)
class Quote:
    """One bar of one symbol. ``atr`` is that of the previous bar; costs are fractions."""

    open: float
    high: float
    low: float
    close: float
    state: int
    atr: float
    fee: float
    half_spread: float
    slippage: float
    borrow: float
    maker_fee: float | None = None
    volume: float | None = None
    funding: float | None = None
    dividend: float | None = None
    split: float | None = None
    rate_open: float | None = None
    rate_close: float | None = None
    session_end: float | None = None
    finer: tuple[tuple[float, float], ...] | None = None
    """(high, low) of the finer bars in time order."""

    @property
    def has_bar(self) -> bool:
        return self.state != BarState.MASKED

    @property
    def tradable(self) -> bool:
        return self.state in (BarState.TRADABLE, BarState.LAST)


@dataclass(frozen=True)
class Bar:
    """One bar of all symbols, the seconds since the last one and the interest rate a year."""

    quotes: tuple[Quote, ...]
    seconds: float
    interest: float


class Order(NamedTuple):
    """One order of one symbol; without a type a market order at the open."""

    kind: int
    value: float
    type: int = int(OrderType.OPEN)
    price: float = 1.0
    gtc: bool = False

    @property
    def reopens(self) -> bool:
        """Whether it first closes what is held; it fills at the open whatever its type."""
        return self.kind in (OrderKind.REOPEN, OrderKind.REVERSE)

    @property
    def form(self) -> str:
        """How it is counted: by its type, or what goes before the type."""
        if self.kind == OrderKind.CANCEL:
            return "CANCEL"
        return "REOPEN" if self.reopens else OrderType(self.type).name

    @property
    def rests(self) -> bool:
        """Whether it waits for its price."""
        waits = self.type in (OrderType.LIMIT, OrderType.STOP)
        return waits and not self.reopens and self.kind not in (OrderKind.HOLD, OrderKind.CANCEL)

    @property
    def at_open(self) -> bool:
        return self.type == OrderType.OPEN and self.kind not in (OrderKind.HOLD, OrderKind.CANCEL)

    @property
    def at_close(self) -> bool:
        other = self.kind in (OrderKind.HOLD, OrderKind.CANCEL)
        return self.type == OrderType.CLOSE and not self.reopens and not other


HOLD = Order(int(OrderKind.HOLD), 0.0)


@dataclass
class Position:
    """What the account holds of one symbol. Price levels mean nothing while ``units`` is 0."""

    mark: float
    """Worth of a unit in account currency."""
    units: float = 0.0
    entry: float = 1.0
    stop_distance: float = 0.0
    target_distance: float = 0.0
    best: float = 1.0
    held: int = 0
    flow: float = 0.0

    @property
    def side(self) -> float:
        return 0.0 if self.units == 0.0 else math.copysign(1.0, self.units)


@dataclass
class Fill:
    """One trade. ``profit`` and ``closed_units`` are set where it ended a position."""

    units: float
    price: float
    fee: float
    spread: float
    notional: float
    """Account currency, at the fill price."""
    reason: int = int(ExitReason.NONE)
    profit: float = 0.0
    closed_units: float = 0.0


@dataclass
class Report:
    """What one bar did. ``fills`` is keyed by (leg, symbol), legs named as in ``BarResult``."""

    status: list[int]
    fills: dict[tuple[str, int], Fill] = field(default_factory=dict)
    rules: Counter[str] = field(default_factory=Counter)
    """How often each rule fired, by name."""
    interest: float = 0.0
    borrow: float = 0.0
    funding: float = 0.0
    dividends: float = 0.0
    equity_at_open: float = 0.0
    log_return: float = 0.0
    turnover: float = 0.0
    drawdown: float = 0.0
    liquidated: bool = False
    ruined: bool = False
    written_off: float = 0.0
    ambiguous: set[int] = field(default_factory=set)
    resolved: set[int] = field(default_factory=set)

    @classmethod
    def empty(cls, symbols: int) -> Report:
        return cls([int(OrderStatus.NONE)] * symbols)
