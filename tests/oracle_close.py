"""How a bar ends in the independent ledger: margin [7], caps at the session's end [9], ruin and
delisting [10]; numbers are the steps of docs/market-rules.md."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from oracle_orders import LOT_TOLERANCE
from oracle_types import Order
from truefill.market.types import BarState, ExitReason, OrderStatus

if TYPE_CHECKING:
    from oracle import Ledger

FLOOR = 1e-6
LAST_BITS = 1e-12
"""What a cap's sale would leave of a position, or take of it, below this share is rounding dust."""


def margin(ledger: Ledger, due: list[Order], *, called: bool) -> None:
    """Close at the adverse extremes what the exits inside the bar have left."""
    if not called:
        return
    ledger.report.liquidated = True
    adverse = ["low" if p.units > 0.0 else "high" for p in ledger.positions]
    closed = [close_at(ledger, s, n, ExitReason.LIQUIDATION) for s, n in enumerate(adverse)]
    for s, order in enumerate(due):
        if any(closed):
            active = order.at_close or ledger.working[s] is not None
            ledger.report.rules["liquidation cancels an order"] += active
            ledger.cancel_all(s, due)


def close_at(ledger: Ledger, s: int, name: str, reason: ExitReason) -> bool:
    """Close at the bar's low, high or close, if there is a bar and a position."""
    quote = ledger.bar.quotes[s]
    if ledger.positions[s].units == 0.0 or not quote.has_bar:
        return False
    ledger.close(s, getattr(quote, name), "at_end", reason, spread=True, rate=ledger.rate(s, name))
    return True


def session_caps(ledger: Ledger) -> None:
    most, rules = ledger.rules.leverage_at_close, ledger.rules
    ending = [s for s, q in enumerate(ledger.bar.quotes) if q.session_end and q.tradable]
    caps = {s: rules.symbols[s].weight_at_close for s in ending}
    if not ending or (most is None and all(cap is None for cap in caps.values())):
        return
    worths = ledger.worths("close")
    equity = ledger.equity_at(worths)
    notional = [abs(p.units) * w for p, w in zip(ledger.positions, worths, strict=True)]
    q = {s: _cost_of_closing(ledger, s) for s in ending}
    sold = dict.fromkeys(ending, 0.0)
    fired = ledger.report.rules
    for s, cap in caps.items():
        if cap is not None and 1.0 - cap * q[s] <= 0.0:
            fired["weight cap where a sale frees nothing"] += notional[s] > cap * equity
        if cap is not None and 1.0 - cap * q[s] > 0.0:
            wish = (notional[s] - cap * equity) / (1.0 - cap * q[s])
            sold[s] = max(0.0, min(notional[s], wish))
            fired["weight cap at the close"] += sold[s] > 0.0
    if most is not None:
        left = {s: notional[s] - sold[s] for s in ending}
        gross = sum(notional) - sum(sold.values())
        equity -= sum(sold[s] * q[s] for s in ending)
        over = gross - most * equity
        frees = sum(left.values()) - most * sum(left[s] * q[s] for s in ending)
        share = max(0.0, min(1.0, over / frees)) if frees > 0.0 else 0.0
        fired["leverage cap where a sale frees nothing"] += (
            frees <= 0.0 < min(over, sum(left.values()))
        )
        fired["leverage cap at the close"] += share > 0.0
        for s in ending:
            sold[s] += share * left[s]
    for s in ending:
        if sold[s] > 0.0:
            _sell_to_cap(ledger, s, sold[s] / worths[s])


def _cost_of_closing(ledger: Ledger, s: int) -> float:
    p = ledger.positions[s]
    k, f = ledger.slip(s, abs(p.units)), ledger.fee(s)
    return 1.0 - (1.0 - k) * (1.0 - f) if p.units > 0.0 else (1.0 + k) * (1.0 + f) - 1.0


def _sell_to_cap(ledger: Ledger, s: int, units: float) -> None:
    """Give up ``units`` (unsigned, rounded up to whole lots) of the position at the close."""
    p, quote, lot = ledger.positions[s], ledger.bar.quotes[s], ledger.rules.symbols[s].lot
    if lot != 0.0:
        units = math.ceil(units / lot - LOT_TOLERANCE) * lot
    if units <= abs(p.units) * LAST_BITS:
        return
    rate = ledger.rate(s, "close")
    if units >= abs(p.units) * (1.0 - LAST_BITS) - LOT_TOLERANCE * lot:
        ledger.close(s, quote.close, "at_cap", ExitReason.SESSION_CAP, spread=True, rate=rate)
        return
    ledger.report.rules["session cap: part"] += 1
    slip = ledger.slip(s, abs(p.units))
    fill = ledger.trade(
        s, -p.side * units, quote.close, slip, "at_cap", rate=rate, fee=ledger.fee(s)
    )
    p.units += fill.units
    p.flow -= math.copysign(fill.notional, fill.units) + fill.fee


def ruin_and_delisting(ledger: Ledger) -> None:
    rules, report = ledger.rules, ledger.report
    symbols, limit = range(len(ledger.positions)), rules.ruin_fraction * rules.initial_balance
    if ledger.equity_at(ledger.worths("close")) <= limit:
        closed = [close_at(ledger, s, "close", ExitReason.RUIN) for s in symbols]
        for s in symbols:
            if any(closed):
                report.rules["ruin cancels an order"] += ledger.working[s] is not None
                ledger.cancel_queue(s)
                waits = report.status[s] == OrderStatus.WORKING
                keeps = OrderStatus.CANCELLED if waits else OrderStatus(report.status[s])
                ledger.cancel_working(s, keeps)
    for s in symbols:
        if ledger.bar.quotes[s].state == BarState.LAST:
            close_at(ledger, s, "close", ExitReason.DELISTED)
            report.rules["delisting cancels an order"] += ledger.working[s] is not None
            ledger.cancel_working(s, OrderStatus.CANCELLED)
    after = ledger.equity_at(ledger.worths("close"))
    report.ruined = after <= limit
    lift = FLOOR * rules.initial_balance - after
    if lift > 0.0:
        report.written_off = lift
        report.rules["written off"] += 1
        ledger.cash += lift
    report.rules["ruined"] += report.ruined
