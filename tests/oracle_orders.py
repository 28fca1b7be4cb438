"""How the independent ledger carries out orders: targets, volume, room, lots, fills (step 4).

Steps 4, 5 and 8 of docs/market-rules.md come here with their own reference prices.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from oracle_types import Order, Position
from truefill.market.types import ExitReason, OrderKind, OrderStatus, OrderType

if TYPE_CHECKING:
    from oracle import Ledger

LOT_TOLERANCE = 1e-9
ROOM_TOLERANCE = 1e-9
CASH_TOLERANCE = 1e-9


@dataclass
class Request:
    """An order that fills now, if limits let it."""

    s: int
    order: Order
    wanted: float
    """Target units, already decoded."""
    reference: float
    """Quote currency; times ``rate`` it is the worth at which limits are taken."""
    rate: float
    fee: float
    spread_free: bool = False
    """A limit order filled at its price."""
    no_worse: float | None = None
    """A limit order filled at the open: the price it never exceeds."""
    at_open: bool = False
    """A working order filled at the open."""
    reduce: float = 0.0
    add: float = 0.0
    slip: float = 0.0
    cut: bool = False
    """The bar's volume cut it."""
    granted: float = 0.0
    below_minimum: bool = False

    @property
    def worth(self) -> float:
        return self.reference * self.rate

    @property
    def direction(self) -> float:
        return math.copysign(1.0, self.reduce + self.add)

    @property
    def cost(self) -> float:
        """q: the cost of the fill as a fraction of its notional."""
        k, f = self.slip, self.fee
        return (1 + k) * (1 + f) - 1 if self.direction > 0.0 else 1 - (1 - k) * (1 - f)


def target(ledger: Ledger, s: int, order: Order, equity: float, worth: float) -> float | None:
    """Target units; None where the order asks for no trade. ``worth`` is p of the page."""
    p, limits, fired = ledger.positions[s], ledger.rules.symbols[s], ledger.report.rules
    kind, value, u = order.kind, order.value, p.units
    own_sign = (
        OrderKind.WEIGHT, OrderKind.SIDE, OrderKind.UNITS, OrderKind.NOTIONAL, OrderKind.REOPEN,
    )  # fmt: skip
    if limits.allow_short == 0.0 and value < 0.0 and kind in own_sign:
        fired["short refused"] += 1
        value = 0.0
    wealth = max(equity, 0.0)
    cash = ledger.cash if ledger.cash > CASH_TOLERANCE * wealth else 0.0
    if kind == OrderKind.SIDE and u * value > 0.0:
        fired["already on that side"] += 1
        return None
    if kind in (OrderKind.WEIGHT, OrderKind.SIDE):
        wanted = value * wealth / worth
    elif kind == OrderKind.UNITS:
        wanted = value
    elif kind == OrderKind.NOTIONAL:
        wanted = value / worth
    elif kind == OrderKind.CASH:
        wanted = u + value * cash / worth
    elif kind == OrderKind.POSITION:
        wanted = u * (1.0 + value)
    elif kind == OrderKind.REOPEN:
        wanted = value * cash / worth
    else:
        raise AssertionError(f"{OrderKind(kind).name} has no target")
    if limits.allow_short == 0.0 and wanted < 0.0:
        fired["short refused: target"] += 1
        wanted = 0.0
    most = limits.max_weight * wealth / worth
    if abs(wanted) > most:
        fired["weight cap"] += 1
        wanted = math.copysign(most, wanted)
    if kind == OrderKind.WEIGHT and value != 0.0 and equity > 0.0:
        capped = max(-limits.max_weight, min(limits.max_weight, value))
        if abs(capped - u * worth / equity) <= limits.band:
            fired["band"] += 1
            return None
    return None if wanted == u else wanted


def min_hold_binds(ledger: Ledger, s: int, wanted: float) -> bool:
    """Whether the position is too young to be reduced, closed or reversed."""
    p = ledger.positions[s]
    binds = p.held < ledger.rules.symbols[s].min_hold and p.side * wanted < p.side * p.units
    if binds:
        form = "close" if wanted == 0.0 else "reverse" if wanted * p.side < 0 else "reduce"
        ledger.report.rules[f"min hold: {form}"] += 1
    return binds


def execute(ledger: Ledger, requests: list[Request], worths: list[float]) -> None:
    """Carry out the orders of one moment; they share the room by one factor.

    ``worths`` values the positions of symbols without a request.
    """
    worths, left_units = list(worths), [p.units for p in ledger.positions]
    for r in requests:
        _divide(ledger, r)
        worths[r.s] = r.worth
        left_units[r.s] += r.reduce
    equity = ledger.equity_at(worths)
    gross = sum(abs(units) * worth for units, worth in zip(left_units, worths, strict=True))
    leverage = ledger.rules.max_leverage
    wish = sum(abs(r.add) * r.worth for r in requests)
    full_room = max(leverage * equity - gross, 0.0)
    share = 1.0 if wish <= full_room else full_room / wish
    for r in requests:
        asked = abs(r.reduce) + abs(r.add) * share
        r.slip = 0.0 if r.spread_free else ledger.slip(r.s, asked)
    left = equity - sum(abs(r.reduce) * r.worth * r.cost for r in requests)
    room = max(leverage * left - gross, 0.0)
    if room <= ROOM_TOLERANCE * leverage * left:
        room = 0.0
    need = sum(abs(r.add) * r.worth * (1 + leverage * r.cost) for r in requests)
    scale = 1.0 if need <= room else room / need
    if scale < 1.0:
        ledger.report.rules["leverage"] += 1
    short_of_room = wish > full_room * (1 + 1e-9)
    for r in requests:
        if r.add != 0.0:
            r.granted = _sized(ledger, r, r.add * scale)
        _conclude(ledger, r, short_of_room)


def _divide(ledger: Ledger, r: Request) -> None:
    """Into what reduces and what opens or adds, both signed; then the bar's volume cuts them."""
    p, limits, fired = ledger.positions[r.s], ledger.rules.symbols[r.s], ledger.report.rules
    u, side = p.units, p.side
    if side * r.wanted < side * u:
        if r.wanted * side <= LOT_TOLERANCE * limits.lot:
            r.reduce = -u
        else:
            r.reduce = _sized(ledger, r, r.wanted - u)
    if u == 0.0 or r.wanted * side < 0.0:
        r.add = r.wanted
    elif side * r.wanted > side * u:
        r.add = r.wanted - u
    if limits.max_participation is None:
        return
    most = limits.max_participation * ledger.volume(r.s)
    if abs(r.reduce) > most:
        fired["volume cut: reduction"] += 1
        r.cut, r.add = True, 0.0
        r.reduce = _sized(ledger, r, math.copysign(most, r.reduce))
    elif abs(r.add) > most - abs(r.reduce):
        fired["volume cut: opening"] += 1
        r.cut = True
        r.add = math.copysign(most - abs(r.reduce), r.add)


def _sized(ledger: Ledger, r: Request, units: float) -> float:
    """Whole lots toward 0, then the minimum notional."""
    limits = ledger.rules.symbols[r.s]
    whole = units
    if limits.lot != 0.0:
        lots = math.floor(abs(units) / limits.lot + LOT_TOLERANCE)
        whole = math.copysign(lots * limits.lot, units)
        if whole != units:
            ledger.report.rules["lot"] += 1
    r.below_minimum = whole != 0.0 and abs(whole) * r.worth < limits.min_notional
    return 0.0 if r.below_minimum else whole


def _paid_slip(ledger: Ledger, r: Request) -> float:
    """The spread really paid: a limit order at the open never pays more than its price."""
    if r.no_worse is None:
        return r.slip
    edge = r.direction * (r.no_worse / r.reference - 1.0)
    if edge < r.slip:
        ledger.report.rules["limit at the open pays at most its price"] += 1
    return min(edge, r.slip)


def _conclude(ledger: Ledger, r: Request, short_of_room: bool) -> None:
    """Fill what was granted, or say why nothing was."""
    if r.reduce != 0.0 or r.granted != 0.0:
        partial = r.cut or (r.add != 0.0 and short_of_room)
        status = OrderStatus.PARTIAL if partial else OrderStatus.FILLED
        ledger.report.rules[f"kind {OrderKind(r.order.kind).name}"] += 1
    elif r.cut:
        status = OrderStatus.NO_VOLUME
    elif r.add != 0.0 and not r.below_minimum:
        status = OrderStatus.NO_ROOM
    else:
        status = OrderStatus.BELOW_MINIMUM
    ledger.say(r.s, status, r.order)
    if r.reduce != 0.0 or r.granted != 0.0:
        _fill(ledger, r)


def _fill(ledger: Ledger, r: Request) -> None:
    p, fired = ledger.positions[r.s], ledger.report.rules
    slip = _paid_slip(ledger, r)
    fill = ledger.trade(
        r.s, r.reduce + r.granted, r.reference, slip, "order", rate=r.rate, fee=r.fee
    )
    if r.slip > 0.0 and ledger.rules.symbols[r.s].impact:
        fired["impact"] += 1
    outflow = fill.price * r.rate * (1.0 + r.direction * r.fee)  # a maker's fee may be negative
    before = p.units
    p.units = before + r.reduce
    p.flow -= r.reduce * outflow
    if before != 0.0 and p.units == 0.0:
        fill.reason, fill.profit, fill.closed_units = int(ExitReason.ORDER), p.flow, before
        fired["ORDER"] += 1
        fired["reversal"] += r.granted != 0.0
        p = ledger.positions[r.s] = Position(p.mark)
    elif r.reduce != 0.0:
        fired["partial reduction"] += 1
    if r.granted == 0.0:
        return
    p.flow -= r.granted * outflow
    if p.units == 0.0:
        p.entry = p.best = fill.price
        p.held = 0
        p.stop_distance, p.target_distance = _distances(ledger, r.s, fill.price)
        if r.order.type == OrderType.CLOSE and not r.order.reopens:
            ledger.from_close.add(r.s)
    else:
        fired["add"] += 1
        p.entry = (p.entry * p.units + fill.price * r.granted) / (p.units + r.granted)
    p.units += r.granted


def _distances(ledger: Ledger, s: int, price: float) -> tuple[float, float]:
    """Stop and target distances of a new position, fractions of its entry."""
    limits = ledger.rules.symbols[s]
    if limits.use_atr == 0.0:
        return limits.stop_loss, limits.take_profit
    ledger.report.rules["ATR stop"] += 1
    atr = ledger.atr(s)
    return (
        min(max(limits.atr_stop * atr / price, limits.atr_stop_min), limits.atr_stop_max),
        min(max(limits.atr_target * atr / price, limits.atr_target_min), limits.atr_target_max),
    )
