"""A second ledger: slow, obvious, plain Python floats, written from docs/market-rules.md alone.

It shares with ``truefill.market`` only the names of the enumerations. One account, S symbols, one
bar at a time. Numbers in brackets are the steps of the page.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

from truefill.market.types import BarState, ExitReason, OrderKind, OrderStatus

SECONDS_PER_YEAR = 365.25 * 86_400.0
FLOOR = 1e-6
LOT_TOLERANCE = 1e-9
ROOM_TOLERANCE = 1e-9
Order = tuple[int, float]
HOLD: Order = (int(OrderKind.HOLD), 0.0)


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


@dataclass(frozen=True)
class Bar:
    """One bar of all symbols, the seconds since the last one and the interest rate a year."""

    quotes: tuple[Quote, ...]
    seconds: float
    interest: float


@dataclass
class Position:
    """What the account holds of one symbol. Price levels mean nothing while ``units`` is 0."""

    mark: float
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
    reason: int = int(ExitReason.NONE)
    profit: float = 0.0
    closed_units: float = 0.0


@dataclass
class Report:
    """What one bar did. ``fills`` is keyed by (leg, symbol), legs named as in ``BarResult``."""

    status: list[int]
    fills: dict[tuple[str, int], Fill] = field(default_factory=dict)
    rules: Counter[str] = field(default_factory=Counter)
    interest: float = 0.0
    borrow: float = 0.0
    equity_at_open: float = 0.0
    log_return: float = 0.0
    turnover: float = 0.0
    drawdown: float = 0.0
    liquidated: bool = False
    ruined: bool = False
    written_off: float = 0.0
    ambiguous: set[int] = field(default_factory=set)


class Ledger:
    """One account. ``step`` takes the next bar and the orders decided at the close before it."""

    def __init__(self, rules: AccountRules, marks: list[float]) -> None:
        self.rules = rules
        self.cash = rules.initial_balance
        self.positions = [Position(mark) for mark in marks]
        self.equity = self.peak = rules.initial_balance
        self.age = 0
        self.queue: list[list[Order]] = [[HOLD] * len(marks) for _ in range(rules.lag - 1)]

    def step(self, bar: Bar, orders: list[Order]) -> Report:
        self.bar = bar
        self.report = Report(status=[int(OrderStatus.NONE)] * len(self.positions))
        self._finance()  # [1]
        off_beat = self.age % self.rules.decision_interval != 0
        if off_beat and any(kind != OrderKind.HOLD for kind, _ in orders):
            self.report.rules["decision interval"] += 1
        self.queue.append([HOLD] * len(orders) if off_beat else list(orders))
        due = self.queue.pop(0)  # [2]
        if self.equity <= self.rules.ruin_fraction * self.rules.initial_balance:
            due = [HOLD] * len(orders)
        for s in range(len(self.positions)):
            self._exit_at_open(s, due)  # [3]
        self._execute(due)  # [4]
        for s in range(len(self.positions)):
            self._exit_in_bar(s)  # [5]
        self._margin_and_ruin()  # [6]
        self._mark()  # [7]
        return self.report

    # ---- prices and costs

    def fee(self, s: int) -> float:
        return self.bar.quotes[s].fee * self.rules.cost_multiple

    def slip(self, s: int) -> float:
        """Half spread and slippage, a fraction of price."""
        quote = self.bar.quotes[s]
        own = (quote.half_spread + quote.slippage) * self.rules.cost_multiple
        return own + self.rules.extra_slippage

    def has_bar(self, s: int) -> bool:
        return self.bar.quotes[s].state != BarState.MASKED

    def price(self, s: int, name: str) -> float:
        """The bar's open, high, low or close; the last mark where the symbol has no bar."""
        found: float = getattr(self.bar.quotes[s], name)
        return found if self.has_bar(s) else self.positions[s].mark

    def equity_at(self, name: str) -> float:
        return self.cash + sum(p.units * self.price(s, name) for s, p in enumerate(self.positions))

    def gross_at(self, name: str) -> float:
        return sum(abs(p.units) * self.price(s, name) for s, p in enumerate(self.positions))

    def trade(self, s: int, units: float, reference: float, slip: float, leg: str) -> Fill:
        """Buy or sell ``units``; pay. Bookkeeping of the position is the caller's."""
        price = reference * (1.0 + math.copysign(slip, units))
        fill = Fill(units, price, abs(units) * price * self.fee(s), abs(units) * reference * slip)
        self.cash -= units * price + fill.fee
        self.report.fills[leg, s] = fill
        return fill

    def close(self, s: int, reference: float, slip: float, leg: str, reason: ExitReason) -> None:
        """End the whole position."""
        position = self.positions[s]
        fill = self.trade(s, -position.units, reference, slip, leg)
        fill.reason = int(reason)
        fill.closed_units = position.units
        fill.profit = position.flow - fill.units * fill.price - fill.fee
        self.positions[s] = Position(position.mark)
        self.report.rules[reason.name] += 1

    def cancel_queue(self, s: int) -> None:
        for later in self.queue:
            if later[s][0] != OrderKind.HOLD:
                self.report.rules["queue cancelled"] += 1
            later[s] = HOLD

    # ---- [1]

    def _finance(self) -> None:
        rules, bar = self.rules, self.bar
        years = bar.seconds / SECONDS_PER_YEAR
        interest = max(-self.cash, 0.0) * bar.interest * rules.cost_multiple * years
        longs = sum(max(p.units, 0.0) * p.mark for p in self.positions)
        for p, quote in zip(self.positions, bar.quotes, strict=True):
            notional = max(-p.units, 0.0) * p.mark
            borrow = notional * quote.borrow * rules.cost_multiple * years
            self.cash -= borrow
            self.report.borrow += borrow
            p.flow -= borrow
            if p.units > 0.0:
                p.flow -= interest * p.units * p.mark / longs
        self.cash -= interest
        self.report.interest = interest

    # ---- [3] and [5]

    def levels(self, s: int) -> tuple[float, float, bool]:
        """Stop level, target level, and whether the stop is a trailing one."""
        p, limits = self.positions[s], self.rules.symbols[s]
        stop = fixed = p.entry * (1.0 - p.side * p.stop_distance)
        trailing = [p.best * (1.0 - p.side * limits.trail_distance)]
        profit = p.side * (p.best / p.entry - 1.0)
        if profit >= limits.trail_activation:
            kept = max(limits.trail_floor, limits.trail_keep * profit)
            trailing.append(p.entry * (1.0 + p.side * kept))
        for level in trailing:
            if p.side * (level - stop) > 0.0:
                stop = level
        if stop != fixed:
            form = "keep-profit" if stop == trailing[-1] and len(trailing) == 2 else "distance"
            self.report.rules[f"trailing level: {form}"] += 1
        return stop, p.entry * (1.0 + p.side * p.target_distance), stop != fixed

    def _exit_at_open(self, s: int, due: list[Order]) -> None:
        p, quote, limits = self.positions[s], self.bar.quotes[s], self.rules.symbols[s]
        if p.units == 0.0 or not self.has_bar(s):
            return
        stop, target, _ = self.levels(s)
        if p.side * (quote.open - stop) <= 0.0:
            self.close(s, quote.open, self.slip(s), "at_open", ExitReason.GAP_STOP)
        elif p.side * (quote.open - target) >= 0.0:
            self.report.rules["gapped target"] += 1
            self.close(s, target, 0.0, "at_open", ExitReason.TAKE_PROFIT)
        elif p.held >= limits.max_hold and quote.state == BarState.TRADABLE:
            self.close(s, quote.open, self.slip(s), "at_open", ExitReason.MAX_HOLD)
        else:
            return
        if due[s][0] != OrderKind.HOLD:
            self.report.status[s] = int(OrderStatus.STOPPED)
        due[s] = HOLD
        self.cancel_queue(s)

    def _exit_in_bar(self, s: int) -> None:
        p, quote = self.positions[s], self.bar.quotes[s]
        if p.units == 0.0 or not self.has_bar(s):
            return
        stop, target, trailing = self.levels(s)
        worst, favourable = (quote.low, quote.high) if p.side > 0.0 else (quote.high, quote.low)
        stopped = p.side * (worst - stop) <= 0.0
        reached = p.side * (favourable - target) >= 0.0
        if stopped and reached:
            self.report.ambiguous.add(s)
        if stopped:
            beyond = p.side * (quote.open - stop) <= 0.0
            if beyond:
                self.report.rules["fresh position already beyond its stop"] += 1
            reason = ExitReason.TRAILING_STOP if trailing else ExitReason.STOP_LOSS
            self.close(s, quote.open if beyond else stop, self.slip(s), "in_bar", reason)
        elif reached:
            self.close(s, target, 0.0, "in_bar", ExitReason.TAKE_PROFIT)
        else:
            return
        self.cancel_queue(s)

    # ---- [4]

    def _execute(self, due: list[Order]) -> None:
        equity = self.report.equity_at_open = self.equity_at("open")
        reductions, additions = {}, {}
        for s, order in enumerate(due):
            wanted = self._wanted(s, order, equity)
            if wanted is None:
                continue
            u = self.positions[s].units
            side = self.positions[s].side
            if side * wanted < side * u:
                reductions[s] = self._reduction(s, wanted)
            if u == 0.0 or wanted * side < 0.0:
                additions[s] = wanted
            elif side * wanted > side * u:
                additions[s] = wanted - u
        granted = self._grant(reductions, additions, equity)
        for s in sorted(set(reductions) | set(additions)):
            reduce, add = reductions.get(s, 0.0), granted.get(s, 0.0)
            if reduce != 0.0 or add != 0.0:
                self.report.status[s] = int(OrderStatus.FILLED)
                self._fill(s, reduce, add)
        for status in self.report.status:
            self.report.rules[f"status {OrderStatus(status).name}"] += 1

    def _wanted(self, s: int, order: Order, equity: float) -> float | None:
        """Target units, or None where the order does nothing, with the status that says why."""
        kind, value = order
        p, quote, limits = self.positions[s], self.bar.quotes[s], self.rules.symbols[s]
        if kind == OrderKind.HOLD:
            return None
        if quote.state != BarState.TRADABLE:
            self.report.status[s] = int(OrderStatus.NOT_TRADABLE)
            return None
        if limits.allow_short == 0.0 and value < 0.0:
            self.report.rules["short refused"] += 1
            value = 0.0
        whole = max(equity, 0.0) / quote.open
        wanted = {
            OrderKind.UNITS: value,
            OrderKind.NOTIONAL: value / quote.open,
            OrderKind.WEIGHT: value * whole,
            OrderKind.SIDE: value * whole,
        }[OrderKind(kind)]
        self.report.status[s] = int(OrderStatus.NO_CHANGE)
        if kind == OrderKind.SIDE and p.units * value > 0.0:
            self.report.rules["already on that side"] += 1
            return None
        if abs(wanted) > limits.max_weight * whole:
            self.report.rules["weight cap"] += 1
            wanted = math.copysign(limits.max_weight * whole, wanted)
        if kind == OrderKind.WEIGHT and value != 0.0 and equity > 0.0:
            weight = p.units * quote.open / equity
            capped = max(-limits.max_weight, min(limits.max_weight, value))
            if abs(capped - weight) <= limits.band:
                self.report.rules["band"] += 1
                return None
        if wanted == p.units:
            return None
        if p.held < limits.min_hold and p.side * wanted < p.side * p.units:
            kind_of = "close" if wanted == 0.0 else "reverse" if wanted * p.side < 0 else "reduce"
            self.report.rules[f"min hold: {kind_of}"] += 1
            self.report.status[s] = int(OrderStatus.MIN_HOLD)
            return None
        return wanted

    def _whole_lots(self, s: int, units: float) -> float:
        lot = self.rules.symbols[s].lot
        if lot == 0.0:
            return units
        return math.copysign(math.floor(abs(units) / lot + LOT_TOLERANCE) * lot, units)

    def _reduction(self, s: int, wanted: float) -> float:
        """Signed units of the part that goes toward 0."""
        p, limits = self.positions[s], self.rules.symbols[s]
        if self._flattens(s, wanted):
            return -p.units
        reduce = self._sized(s, wanted - p.units, limits)
        if reduce == 0.0:
            self.report.status[s] = int(OrderStatus.BELOW_MINIMUM)
        return reduce

    def _flattens(self, s: int, wanted: float) -> bool:
        """Whether ``wanted`` is on the other side or 0, to within the lot tolerance."""
        return wanted * self.positions[s].side <= LOT_TOLERANCE * self.rules.symbols[s].lot

    def _sized(self, s: int, units: float, limits: SymbolRules) -> float:
        """Whole lots and the minimum notional, with the status where nothing is left."""
        whole = self._whole_lots(s, units)
        if whole != units:
            self.report.rules["lot"] += 1
        if whole == 0.0:
            self.report.status[s] = int(OrderStatus.NO_ROOM)
        elif abs(whole) * self.bar.quotes[s].open < limits.min_notional:
            self.report.status[s] = int(OrderStatus.BELOW_MINIMUM)
            whole = 0.0
        return whole

    def _grant(
        self, reductions: dict[int, float], additions: dict[int, float], equity: float
    ) -> dict[int, float]:
        """What may be opened or added once leverage, lots and minimum have had their say."""
        leverage = self.rules.max_leverage

        def cost(s: int, units: float) -> float:
            """Spread, slippage and fee per unit of notional at the open."""
            f, k = self.fee(s), self.slip(s)
            return (1 + k) * (1 + f) - 1 if units > 0.0 else 1 - (1 - k) * (1 - f)

        quotes = self.bar.quotes
        left = equity - sum(abs(d) * quotes[s].open * cost(s, d) for s, d in reductions.items())
        gross = sum(
            abs(p.units + reductions.get(s, 0.0)) * self.price(s, "open")
            for s, p in enumerate(self.positions)
        )
        room = max(leverage * left - gross, 0.0)
        if room <= ROOM_TOLERANCE * leverage * left:
            room = 0.0
        need = sum(
            abs(d) * quotes[s].open * (1 + leverage * cost(s, d)) for s, d in additions.items()
        )
        scale = 1.0 if need <= room else room / need
        if scale < 1.0:
            self.report.rules["leverage"] += 1
        return {s: self._sized(s, d * scale, self.rules.symbols[s]) for s, d in additions.items()}

    def _fill(self, s: int, reduce: float, add: float) -> None:
        p, quote, limits = self.positions[s], self.bar.quotes[s], self.rules.symbols[s]
        fill = self.trade(s, reduce + add, quote.open, self.slip(s), "order")
        outflow = fill.price * (1.0 + math.copysign(self.fee(s), fill.units))
        before = p.units
        p.units = before + reduce
        p.flow -= reduce * outflow
        if before != 0.0 and p.units == 0.0:
            fill.reason, fill.profit, fill.closed_units = int(ExitReason.ORDER), p.flow, before
            self.report.rules["ORDER"] += 1
            self.report.rules["reversal"] += add != 0.0
            p = self.positions[s] = Position(p.mark)
        elif reduce != 0.0:
            self.report.rules["partial reduction"] += 1
        if add == 0.0:
            return
        p.flow -= add * outflow
        if p.units == 0.0:
            p.entry = p.best = fill.price
            p.held = 0
            p.stop_distance, p.target_distance = self._distances(limits, quote, fill.price)
        else:
            self.report.rules["add"] += 1
            p.entry = (p.entry * p.units + fill.price * add) / (p.units + add)
        p.units += add

    def _distances(self, limits: SymbolRules, quote: Quote, price: float) -> tuple[float, float]:
        if limits.use_atr == 0.0:
            return limits.stop_loss, limits.take_profit
        self.report.rules["ATR stop"] += 1
        stop, target = limits.atr_stop * quote.atr / price, limits.atr_target * quote.atr / price
        return (
            min(max(stop, limits.atr_stop_min), limits.atr_stop_max),
            min(max(target, limits.atr_target_min), limits.atr_target_max),
        )

    # ---- [6] and [7]

    def _margin_and_ruin(self) -> None:
        rules, report = self.rules, self.report
        adverse = [
            self.price(s, "low" if p.units > 0.0 else "high") for s, p in enumerate(self.positions)
        ]
        at_worst = list(zip(self.positions, adverse, strict=True))
        gross = sum(abs(p.units) * price for p, price in at_worst)
        equity = self.cash + sum(p.units * price for p, price in at_worst)
        if gross > 0.0 and equity < rules.maintenance * gross:
            report.liquidated = True
            self._close_all(adverse, ExitReason.LIQUIDATION)
        elif self.equity_at("close") <= rules.ruin_fraction * rules.initial_balance:
            closes = [self.price(s, "close") for s in range(len(adverse))]
            self._close_all(closes, ExitReason.RUIN)
        after = self.equity_at("close")
        report.ruined = after <= rules.ruin_fraction * rules.initial_balance
        lift = FLOOR * rules.initial_balance - after
        if lift > 0.0:
            report.written_off = lift
            report.rules["written off"] += 1
            self.cash += lift
        report.rules["ruined"] += report.ruined

    def _close_all(self, prices: list[float], reason: ExitReason) -> None:
        for s, price in enumerate(prices):
            if self.positions[s].units != 0.0 and self.has_bar(s):
                self.close(s, price, self.slip(s), "at_end", reason)
                for other in range(len(prices)):
                    self.cancel_queue(other)

    def _mark(self) -> None:
        report, floor = self.report, FLOOR * self.rules.initial_balance
        for s, p in enumerate(self.positions):
            if not self.has_bar(s):
                report.rules["masked with position"] += p.units != 0.0
                continue
            quote = self.bar.quotes[s]
            p.mark = quote.close
            if p.units != 0.0:
                p.held += 1
                p.best = max(p.best, quote.high) if p.units > 0.0 else min(p.best, quote.low)
        before = self.equity
        self.equity = self.cash + sum(p.units * p.mark for p in self.positions)
        self.peak = max(self.peak, self.equity)
        self.age += 1
        traded = sum(abs(fill.units) * fill.price for fill in report.fills.values())
        report.turnover = traded / max(report.equity_at_open, floor)
        report.log_return = math.log(self.equity / before)
        report.drawdown = 1.0 - self.equity / self.peak
        report.rules["interest"] += report.interest > 0.0
        report.rules["borrow"] += report.borrow > 0.0
        report.rules["ambiguous"] += bool(report.ambiguous)
