"""A second ledger: slow, obvious, plain Python floats, written from docs/market-rules.md alone.

It shares with ``truefill.market`` only the names of the enumerations. One account, S symbols, one
bar at a time. Numbers in brackets are the steps of the page; what orders go through is in
``oracle_orders.py``, what happens inside a bar in ``oracle_bar.py``, how it ends in
``oracle_close.py``, the records in ``oracle_types.py``.
"""

from __future__ import annotations

import math

from oracle_bar import account_called, came_first, exit_in_bar
from oracle_close import FLOOR, margin, ruin_and_delisting, session_caps
from oracle_orders import Request, execute, min_hold_binds, target
from oracle_types import HOLD, AccountRules, Bar, Fill, Order, Position, Report
from truefill.market.types import BarState, ExitReason, OrderKind, OrderStatus, OrderType

SECONDS_PER_YEAR = 365.25 * 86_400.0
MOST_SPREAD = 0.9


class Ledger:
    """One account. ``step`` takes the next bar and the orders decided at the close before it."""

    def __init__(self, rules: AccountRules, marks: list[float]) -> None:
        self.rules = rules
        self.cash = rules.initial_balance
        self.positions = [Position(mark) for mark in marks]
        self.equity = self.peak = rules.initial_balance
        self.age = 0
        self.queue: list[list[Order]] = [[HOLD] * len(marks) for _ in range(rules.lag - 1)]
        self.working: list[Order | None] = [None] * len(marks)

    def step(self, bar: Bar, orders: list[Order]) -> Report:
        self.bar = bar
        self.report = Report.empty(len(self.positions))
        self.said: dict[int, Order] = {}
        self.late: dict[int, Order] = {}
        self.from_close: set[int] = set()
        symbols = range(len(self.positions))
        arriving = list(orders)
        for s in symbols:
            self._corporate_actions(s, arriving)  # [0]
        self._finance()  # [1]
        due = self._due(arriving)  # [2]
        for s in symbols:
            self._exit_at_open(s, due)  # [3]
        self._market_orders(due)  # [4]
        self._working_orders()  # [5]
        called = account_called(self)  # with the account before the exits
        for s in symbols:
            exit_in_bar(self, s, due, called=called)  # [6]
        margin(self, due, called=called)  # [7]
        self._close_orders(due)  # [8]
        session_caps(self)  # [9]
        ruin_and_delisting(self)  # [10]
        self._mark()  # [11]
        for s, order in self.said.items():
            status = OrderStatus(self.report.status[s])
            self.report.rules[f"{order.form} {status.name}"] += 1
            self.report.rules[f"status {status.name}"] += 1
        return self.report

    # ---- prices and costs

    def fee(self, s: int) -> float:
        return self.bar.quotes[s].fee * self.rules.cost_multiple

    def maker_fee(self, s: int) -> float:
        maker = self.bar.quotes[s].maker_fee
        return self.fee(s) if maker is None else maker * self.rules.cost_multiple

    def volume(self, s: int) -> float:
        volume = self.bar.quotes[s].volume
        assert volume is not None, "a limit on the share of the volume needs a volume"
        return volume

    def slip(self, s: int, asked: float) -> float:
        """k: half spread, slippage and impact of ``asked`` units, a fraction of price."""
        quote, limits = self.bar.quotes[s], self.rules.symbols[s]
        own = (quote.half_spread + quote.slippage) * self.rules.cost_multiple
        own += self.rules.extra_slippage
        if limits.impact is not None:
            assert limits.impact_exponent is not None
            share = asked / self.volume(s)
            own += limits.impact * self.rules.cost_multiple * share**limits.impact_exponent
            if own > MOST_SPREAD:
                self.report.rules["spread at its limit"] += 1
            own = min(own, MOST_SPREAD)
        return own

    def atr(self, s: int) -> float:
        """That of the previous bar, in units of today."""
        quote = self.bar.quotes[s]
        return quote.atr / (1.0 if quote.split is None else quote.split)

    def rate(self, s: int, name: str) -> float:
        """Account currency for one price unit, where the price is the bar's open, high, ..."""
        quote = self.bar.quotes[s]
        found = quote.rate_open if name == "open" else quote.rate_close
        return 1.0 if found is None else found

    def worth(self, s: int, name: str) -> float:
        """A unit at the bar's open, high, low or close; at the last mark where there is no bar."""
        quote = self.bar.quotes[s]
        if not quote.has_bar:
            return self.positions[s].mark
        price: float = getattr(quote, name)
        return price * self.rate(s, name)

    def equity_at(self, worths: list[float]) -> float:
        return self.cash + sum(p.units * w for p, w in zip(self.positions, worths, strict=True))

    def worths(self, name: str) -> list[float]:
        return [self.worth(s, name) for s in range(len(self.positions))]

    # ---- trades, orders, words

    def trade(
        self, s: int, units: float, reference: float, slip: float, leg: str, *, rate: float,
        fee: float,
    ) -> Fill:  # fmt: skip
        """Buy or sell ``units``; pay. Bookkeeping of the position is the caller's."""
        assert (leg, s) not in self.report.fills, f"two trades in leg {leg}"
        price = reference * (1.0 + math.copysign(slip, units))
        notional = abs(units) * price * rate
        fill = Fill(units, price, notional * fee, abs(units) * reference * slip * rate, notional)
        self.cash -= math.copysign(notional, units) + fill.fee
        self.report.fills[leg, s] = fill
        return fill

    def close(
        self, s: int, reference: float, leg: str, reason: ExitReason, *, spread: bool, rate: float
    ) -> None:
        """End the whole position."""
        position = self.positions[s]
        slip = self.slip(s, abs(position.units)) if spread else 0.0
        fill = self.trade(s, -position.units, reference, slip, leg, rate=rate, fee=self.fee(s))
        fill.reason = int(reason)
        fill.closed_units = position.units
        fill.profit = position.flow - math.copysign(fill.notional, fill.units) - fill.fee
        self.positions[s] = Position(position.mark)
        self.late.pop(s, None)
        self.from_close.discard(s)
        self.report.rules[reason.name] += 1

    def say(self, s: int, status: OrderStatus, order: Order) -> None:
        """The order's status; the last word counts."""
        self.report.status[s] = int(status)
        self.said[s] = order

    def cancel_queue(self, s: int) -> None:
        for later in self.queue:
            if later[s].kind != OrderKind.HOLD:
                self.report.rules["queue cancelled"] += 1
            later[s] = HOLD

    def cancel_working(self, s: int, status: OrderStatus) -> None:
        order = self.working[s]
        if order is not None:
            self.say(s, status, order)
            self.working[s] = None

    def cancel_all(self, s: int, due: list[Order]) -> None:
        """What is queued, working and due at the close; an exit inside the bar came first."""
        self.cancel_queue(s)
        self.cancel_working(s, OrderStatus.STOPPED)
        if due[s].at_close:
            self.say(s, OrderStatus.STOPPED, due[s])
            due[s] = HOLD

    # ---- [0], [1] and [2]

    def _corporate_actions(self, s: int, arriving: list[Order]) -> None:
        p, quote, fired = self.positions[s], self.bar.quotes[s], self.report.rules
        if quote.dividend is not None and quote.dividend != 0.0 and p.units != 0.0:
            paid = p.units * quote.dividend * self.rate(s, "open")
            self.cash += paid
            p.flow += paid
            self.report.dividends += paid
            fired["dividend: long" if paid > 0.0 else "dividend: short"] += 1
        r = quote.split
        if r is None or r == 1.0:
            return
        if p.units != 0.0:
            fired["split with a position"] += 1
            p.units *= r
            p.entry /= r
            p.best /= r
        p.mark /= r
        if (order := self.working[s]) is not None:
            fired["split with a working order"] += 1
            self.working[s] = _after_split(order, r)
        for row in (*self.queue, arriving):
            fired["split with an order on its way"] += row[s].kind != OrderKind.HOLD
            row[s] = _after_split(row[s], r)

    def _finance(self) -> None:
        rules, bar, fired = self.rules, self.bar, self.report.rules
        years = bar.seconds / SECONDS_PER_YEAR
        own, longs = self.cash, 0.0
        for p, limits in zip(self.positions, rules.symbols, strict=True):
            if limits.derivative:
                own += p.units * p.mark
            else:
                longs += max(p.units, 0.0) * p.mark
        interest = max(-own, 0.0) * bar.interest * rules.cost_multiple * years
        for p, quote, limits in zip(self.positions, bar.quotes, rules.symbols, strict=True):
            borrow = funding = 0.0
            if not limits.derivative:
                borrow = max(-p.units, 0.0) * p.mark * quote.borrow * rules.cost_multiple * years
            elif p.units != 0.0:
                fired["derivative held"] += 1
            if quote.funding is not None:
                funding = p.units * p.mark * quote.funding
                if funding != 0.0:
                    fired["funding: paid" if funding > 0.0 else "funding: received"] += 1
            self.cash -= borrow + funding
            self.report.borrow += borrow
            self.report.funding += funding
            p.flow -= borrow + funding
            if p.units > 0.0 and not limits.derivative:
                p.flow -= interest * p.units * p.mark / longs
        self.cash -= interest
        self.report.interest = interest

    def _due(self, arriving: list[Order]) -> list[Order]:
        fired = self.report.rules
        off_beat = self.age % self.rules.decision_interval != 0
        if off_beat and any(order.kind != OrderKind.HOLD for order in arriving):
            fired["decision interval"] += 1
        self.queue.append([HOLD] * len(arriving) if off_beat else arriving)
        due = self.queue.pop(0)
        if self.equity <= self.rules.ruin_fraction * self.rules.initial_balance:
            for s in range(len(due)):
                fired["ruin is final: order"] += due[s].kind != OrderKind.HOLD
                fired["ruin is final: working order"] += self.working[s] is not None
                due[s] = HOLD
                self.cancel_working(s, OrderStatus.CANCELLED)
        for s, order in enumerate(due):
            if order.kind == OrderKind.HOLD:
                continue
            replaced = self.working[s] is not None
            fired["working order replaced"] += replaced
            self.working[s] = order if order.rests else None
            if order.kind == OrderKind.CANCEL:
                self.say(s, OrderStatus.CANCELLED if replaced else OrderStatus.NO_CHANGE, order)
                due[s] = HOLD
        return due

    # ---- [3]

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
        if p.units == 0.0 or not quote.has_bar:
            return
        rate = self.rate(s, "open")
        stop, target_level, _ = self.levels(s)
        if p.side * (quote.open - stop) <= 0.0:
            self.close(s, quote.open, "at_open", ExitReason.GAP_STOP, spread=True, rate=rate)
        elif p.side * (quote.open - target_level) >= 0.0:
            self.report.rules["gapped target"] += 1
            self.close(s, target_level, "at_open", ExitReason.TAKE_PROFIT, spread=False, rate=rate)
        elif p.held >= limits.max_hold and quote.tradable:
            self.close(s, quote.open, "at_open", ExitReason.MAX_HOLD, spread=True, rate=rate)
        else:
            self._close_to_reopen(s, due)
            return
        self.cancel_queue(s)
        self.cancel_working(s, OrderStatus.STOPPED)
        if due[s].kind != OrderKind.HOLD:
            self.say(s, OrderStatus.STOPPED, due[s])
            due[s] = HOLD

    def _close_to_reopen(self, s: int, due: list[Order]) -> None:
        p, quote, order = self.positions[s], self.bar.quotes[s], due[s]
        if not order.reopens or not quote.tradable:
            return
        if p.held < self.rules.symbols[s].min_hold:
            self.report.rules["min hold: reopen"] += 1
            self.say(s, OrderStatus.MIN_HOLD, order)
            due[s] = HOLD
            return
        if order.kind == OrderKind.REVERSE:
            self.report.rules["reverse"] += 1
            due[s] = order._replace(kind=int(OrderKind.REOPEN), value=-p.side * abs(order.value))
        rate = self.rate(s, "open")
        self.report.rules["reopen"] += 1
        self.close(s, quote.open, "at_open", ExitReason.ORDER, spread=True, rate=rate)

    # ---- [4], [5] and [8]

    def _market_orders(self, due: list[Order]) -> None:
        worths = self.worths("open")
        self.report.equity_at_open = self.equity_at(worths)
        chosen = {
            s: order for s, order in enumerate(due)
            if order.reopens or order.at_open
        }  # fmt: skip
        self._market(chosen, "open", worths)

    def _close_orders(self, due: list[Order]) -> None:
        chosen = {s: order for s, order in enumerate(due) if order.at_close}
        if chosen:
            self._market(chosen, "close", self.worths("close"))

    def _market(self, chosen: dict[int, Order], name: str, worths: list[float]) -> None:
        """Market orders at the open or at the close."""
        equity = self.equity_at(worths)
        requests = []
        for s, order in chosen.items():
            quote = self.bar.quotes[s]
            if not quote.tradable:
                masked = quote.state == BarState.MASKED
                self.say(s, OrderStatus.MASKED if masked else OrderStatus.NOT_TRADABLE, order)
                continue
            reopened = ("at_open", s) in self.report.fills
            self.say(s, OrderStatus.FILLED if reopened else OrderStatus.NO_CHANGE, order)
            if order.kind == OrderKind.REVERSE:
                continue  # while flat
            wanted = target(self, s, order, equity, worths[s])
            if wanted is None:
                continue
            if min_hold_binds(self, s, wanted):
                self.say(s, OrderStatus.MIN_HOLD, order)
                continue
            price: float = getattr(quote, name)
            rate = self.rate(s, name)
            requests.append(Request(s, order, wanted, price, rate, fee=self.fee(s)))
        if requests:
            execute(self, requests, worths)

    def _working_orders(self) -> None:
        if not any(self.working):
            return
        worths, called = self.worths("open"), account_called(self)
        equity = self.equity_at(worths)
        requests = []
        for s, order in enumerate(self.working):
            if order is None:
                continue
            self.say(s, OrderStatus.WORKING, order)
            if not self.bar.quotes[s].tradable:
                continue
            wanted = target(self, s, order, equity, order.price * self.rate(s, "open"))
            request = None if wanted is None else self._triggered(s, order, wanted)
            if request is None:
                continue
            if min_hold_binds(self, s, request.wanted):
                self.say(s, OrderStatus.MIN_HOLD, order)
            elif not request.at_open and came_first(self, request, called=called):
                self.cancel_working(s, OrderStatus.STOPPED)
            else:
                requests.append(request)
        execute(self, requests, worths)
        for r in requests:
            self.working[r.s] = None
            if r.granted != 0.0 and not r.at_open:
                self.late[r.s] = r.order

    def _triggered(self, s: int, order: Order, wanted: float) -> Request | None:
        """The fill of a working order whose price this bar reaches, before limits."""
        quote, price = self.bar.quotes[s], order.price
        buys = wanted > self.positions[s].units
        name = OrderType(order.type).name
        request = Request(s, order, wanted, price, self.rate(s, "high"), fee=self.fee(s))
        if order.type == OrderType.STOP:
            if not (quote.high >= price if buys else quote.low <= price):
                return None
            request.reference = max(quote.open, price) if buys else min(quote.open, price)
            request.at_open = request.reference == quote.open
        else:
            buffer = self.rules.symbols[s].fill_buffer or 0.0
            reach = price * (1.0 - buffer) if buys else price * (1.0 + buffer)
            if quote.open <= reach if buys else quote.open >= reach:
                request.reference, request.no_worse, request.at_open = quote.open, price, True
            elif quote.low <= reach if buys else quote.high >= reach:
                request.spread_free, request.fee = True, self.maker_fee(s)
            else:
                touched = quote.low <= price if buys else quote.high >= price
                self.report.rules["limit touched but not traded through"] += touched
                return None
        if request.at_open:
            request.rate = self.rate(s, "open")
        form = "at the open" if request.at_open else "at its price"
        self.report.rules[f"{name} {form}"] += 1
        return request

    # ---- [11]

    def _mark(self) -> None:
        report = self.report
        for s, (p, quote) in enumerate(zip(self.positions, self.bar.quotes, strict=True)):
            order = self.working[s]
            if order is not None and not order.gtc and quote.session_end:
                report.rules["day order expired without a bar"] += not quote.has_bar
                self.cancel_working(s, OrderStatus.EXPIRED)
            if not quote.has_bar:
                report.rules["masked with position"] += p.units != 0.0
                continue
            p.mark = self.worth(s, "close")
            if p.units != 0.0:
                p.held += 1
                late_entry = s in self.from_close or (s in self.late and p.held == 1)
                report.rules["best from the close only"] += late_entry
                high, low = (quote.close,) * 2 if late_entry else (quote.high, quote.low)
                p.best = max(p.best, high) if p.units > 0.0 else min(p.best, low)
        before = self.equity
        self.equity = self.equity_at([p.mark for p in self.positions])
        self.peak = max(self.peak, self.equity)
        self.age += 1
        traded = sum(fill.notional for fill in report.fills.values())
        floor = FLOOR * self.rules.initial_balance
        report.turnover = traded / max(report.equity_at_open, floor)
        report.log_return = math.log(self.equity / before)
        report.drawdown = 1.0 - self.equity / self.peak
        report.rules["interest"] += report.interest > 0.0
        report.rules["borrow"] += report.borrow > 0.0
        report.rules["ambiguous"] += bool(report.ambiguous)


def _after_split(order: Order, new_for_one: float) -> Order:
    value = order.value * new_for_one if order.kind == OrderKind.UNITS else order.value
    return order._replace(value=value, price=order.price / new_for_one)
