"""Play a case by hand: the engine and the independent ledger together, then read one bar of it."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from market_cases import Case, by_hand
from market_compare import ALL_LEGS, assert_same, engine_record, ledger_case
from truefill.market.types import OrderKind, OrderType


def hold() -> tuple[int, float]:
    return int(OrderKind.HOLD), 0.0


def weight(value: float) -> tuple[int, float]:
    return int(OrderKind.WEIGHT), value


def side(value: float) -> tuple[int, float]:
    return int(OrderKind.SIDE), value


def units(value: float) -> tuple[int, float]:
    return int(OrderKind.UNITS), value


def notional(value: float) -> tuple[int, float]:
    return int(OrderKind.NOTIONAL), value


def cash(share: float) -> tuple[int, float]:
    return int(OrderKind.CASH), share


def position(share: float) -> tuple[int, float]:
    return int(OrderKind.POSITION), share


def reopen(share: float) -> tuple[int, float]:
    return int(OrderKind.REOPEN), share


def reverse(share: float) -> tuple[int, float]:
    return int(OrderKind.REVERSE), share


def cancel() -> tuple[int, float]:
    return int(OrderKind.CANCEL), 0.0


Routed = tuple[int, float, int, float, bool]


def limit(order: tuple[int, float], price: float, *, gtc: bool = True) -> Routed:
    """``order`` at ``price`` or better, e.g. ``limit(units(10.0), 99.0)``."""
    return (*order, int(OrderType.LIMIT), price, gtc)


def stop(order: tuple[int, float], price: float, *, gtc: bool = True) -> Routed:
    """``order`` at market once ``price`` is touched."""
    return (*order, int(OrderType.STOP), price, gtc)


def at_close(order: tuple[int, float]) -> Routed:
    """``order`` at the close of the bar on which it is due."""
    return (*order, int(OrderType.CLOSE), 1.0, False)


def flat(price: float) -> tuple[float, float, float, float]:
    """A bar on which nothing moves."""
    return price, price, price, price


@dataclass(frozen=True)
class Played:
    """What the engine did with one account; the ledger has agreed."""

    case: Case
    record: dict[str, np.ndarray]

    def bar(self, t: int, symbol: int = 0) -> Any:
        """Bar ``t`` >= 1: account, result, working order and legs as plain numbers."""
        found: dict[str, Any] = {part: SimpleNamespace() for part in (*ALL_LEGS, "working")}
        for name, values in self.record.items():
            row = values[t - 1, 0]
            number = float(row if row.ndim == 0 else row[symbol])
            part, _, inner = name.partition(".")
            if inner:
                setattr(found[part], inner, number)
            else:
                found[name] = number
        return SimpleNamespace(**found)


def play(bars: Any, orders: Any, **rules: Any) -> Played:
    """``market_cases.by_hand``, traded by both; fails where they differ."""
    case = by_hand(bars, orders, **rules)
    record = engine_record(case)
    assert_same(record, ledger_case(case)[0])
    return Played(case, record)
