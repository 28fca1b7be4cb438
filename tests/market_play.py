"""Play a case by hand: the engine and the independent ledger together, then read one bar of it."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from market_cases import Case, by_hand
from market_compare import LEG_FIELDS, LEGS, assert_same, engine_record, ledger_case
from truefill.market.types import OrderKind


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


def flat(price: float) -> tuple[float, float, float, float]:
    """A bar on which nothing moves."""
    return price, price, price, price


@dataclass(frozen=True)
class Played:
    """What the engine did with one account; the ledger has agreed."""

    case: Case
    record: dict[str, np.ndarray]

    def bar(self, t: int, symbol: int = 0) -> Any:
        """Bar ``t`` >= 1: account, result and the four legs as plain numbers."""
        found: dict[str, Any] = {leg: SimpleNamespace() for leg in LEGS}
        for name, values in self.record.items():
            row = values[t - 1, 0]
            number = float(row if row.ndim == 0 else row[symbol])
            leg, _, inner = name.partition(".")
            if inner in LEG_FIELDS:
                setattr(found[leg], inner, number)
            else:
                found[name] = number
        return SimpleNamespace(**found)


def play(bars: Any, orders: Any, **rules: Any) -> Played:
    """``market_cases.by_hand``, traded by both; fails where they differ."""
    case = by_hand(bars, orders, **rules)
    record = engine_record(case)
    assert_same(record, ledger_case(case)[0])
    return Played(case, record)
