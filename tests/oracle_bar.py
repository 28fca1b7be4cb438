"""What happens inside a bar in the independent ledger: what comes before a working order [5], stops
and targets [6], and whether the account is called [7]; numbers are the steps of the page."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from oracle_orders import Request
from oracle_types import Order
from truefill.market.types import ExitReason, OrderType

if TYPE_CHECKING:
    from oracle import Ledger


def _stop_fill(ledger: Ledger, s: int) -> float | None:
    """Where the position's stop fills in this bar, before the spread; None: it is not reached."""
    p, quote = ledger.positions[s], ledger.bar.quotes[s]
    if p.units == 0.0 or not quote.has_bar:
        return None
    stop = ledger.levels(s)[0]
    worst = quote.low if p.side > 0.0 else quote.high
    if p.side * (worst - stop) > 0.0:
        return None
    beyond = s not in ledger.late and p.side * (quote.open - stop) <= 0.0
    return quote.open if beyond else stop


def _target_reached(ledger: Ledger, s: int) -> bool:
    """The extreme reaches the target; a limit's late position knows only the close."""
    p, quote, late = ledger.positions[s], ledger.bar.quotes[s], ledger.late.get(s)
    target_level = ledger.levels(s)[1]
    extreme = quote.high if p.side > 0.0 else quote.low
    reached = p.side * (extreme - target_level) >= 0.0
    if late is None or late.type != OrderType.LIMIT:
        return reached
    ledger.report.rules["late limit: target looks at the close"] += reached
    return p.side * (quote.close - target_level) >= 0.0


def account_called(ledger: Ledger) -> bool:
    """Margin at the adverse extremes of all symbols at once: who was stopped is out at the stop,
    everything else is held, also where the target was reached."""
    equity, gross = ledger.cash, 0.0
    for s, p in enumerate(ledger.positions):
        fill = _stop_fill(ledger, s)
        if fill is None:
            worth = ledger.worth(s, "low" if p.units > 0.0 else "high")
            equity += p.units * worth
            gross += abs(p.units) * worth
        else:
            price = fill * (1.0 - p.side * ledger.slip(s, abs(p.units)))
            notional = abs(p.units) * price * ledger.rate(s, "close")
            equity += math.copysign(notional, p.units) - notional * ledger.fee(s)
    return gross > 0.0 and equity < ledger.rules.maintenance * gross


def came_first(ledger: Ledger, request: Request, *, called: bool) -> bool:
    """Whether the position's stop, its target or a margin call cancels an order that fills inside
    the bar. ``called``: of the account before the working orders."""
    s, fired = request.s, ledger.report.rules
    p = ledger.positions[s]
    if p.units == 0.0:
        return False
    stop, target_level, _ = ledger.levels(s)
    reduces = p.side * request.wanted < p.side * p.units
    stopped = _stop_fill(ledger, s) is not None
    beyond_stop = stopped and p.side * (request.reference - stop) <= 0.0
    beyond_target = p.side * (request.reference - target_level) >= 0.0 and _target_reached(
        ledger, s
    )
    if beyond_stop:
        fired[f"stop surely before an order that {'reduces' if reduces else 'adds'}"] += 1
    fired["order overruled by a target"] += beyond_target
    if beyond_stop or beyond_target:
        return True
    if reduces and (stopped or called):
        fired["stop perhaps before an order that reduces"] += stopped
        fired["order overruled by a margin call"] += called
        ledger.report.ambiguous.add(s)
        return True
    return False


def exit_in_bar(ledger: Ledger, s: int, due: list[Order], *, called: bool) -> None:
    p, quote, report = ledger.positions[s], ledger.bar.quotes[s], ledger.report
    if p.units == 0.0 or not quote.has_bar:
        return
    late, rate = ledger.late.get(s), ledger.rate(s, "close")
    stop, target_level, trailing = ledger.levels(s)
    fill, reached = _stop_fill(ledger, s), _target_reached(ledger, s)
    take = reached and fill is None
    if fill is not None and reached and late is None and quote.finer is not None:
        take = _target_was_first(ledger, s, stop, target_level)
    elif fill is not None and (reached or (late is not None and late.type == OrderType.STOP)):
        report.ambiguous.add(s)
    if take and called:
        take = False
        report.rules["target overruled by a margin call"] += 1
        report.resolved.discard(s)
        report.ambiguous.add(s)
    if take:
        report.rules["late position at its target"] += late is not None
        ledger.close(s, target_level, "in_bar", ExitReason.TAKE_PROFIT, spread=False, rate=rate)
    elif fill is not None:
        report.rules["fresh position already beyond its stop"] += late is None and fill != stop
        report.rules["late position stopped"] += late is not None
        reason = ExitReason.TRAILING_STOP if trailing else ExitReason.STOP_LOSS
        ledger.close(s, fill, "in_bar", reason, spread=True, rate=rate)
    else:
        return
    ledger.cancel_all(s, due)


def _target_was_first(ledger: Ledger, s: int, stop: float, target_level: float) -> bool:
    """Both lie inside the bar: what its finer bars say, if they are complete and say it."""
    side, report = ledger.positions[s].side, ledger.report
    finer = ledger.bar.quotes[s].finer or ()
    sides = [(low, high) if side > 0.0 else (high, low) for high, low in finer]
    missing = [high < low for high, low in finer]
    stops = [side * (w - stop) <= 0.0 and not m for (w, _), m in zip(sides, missing, strict=True)]
    reaches = [
        side * (f - target_level) >= 0.0 and not m for (_, f), m in zip(sides, missing, strict=True)
    ]
    first = next((k for k in range(len(finer)) if stops[k] or reaches[k]), len(finer))
    if not any(stops) or any(missing[:first]):
        said = "finer bars incomplete"
    elif stops[first] and reaches[first]:
        said = "finer bars: both in one"
    else:
        report.resolved.add(s)
        report.rules[f"finer bars: {'target' if reaches[first] else 'stop'} first"] += 1
        return reaches[first]
    report.rules[said] += 1
    report.ambiguous.add(s)
    return False
