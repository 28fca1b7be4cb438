"""Closed trades, from what each bar traded."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from truefill.data.split import SplitArrays
from truefill.market.types import ExitReason, Leg

F64 = npt.NDArray[np.float64]
REASONS = {reason.value: reason.name.lower() for reason in ExitReason}
TRADES: dict[str, pl.DataType | type[pl.DataType]] = {
    "symbol": pl.String,
    "side": pl.Int64,
    "entry_time": pl.Datetime("us", "UTC"),
    "exit_time": pl.Datetime("us", "UTC"),
    "entry_price": pl.Float64,
    "exit_price": pl.Float64,
    "units": pl.Float64,
    "bars_held": pl.Int64,
    "net_profit": pl.Float64,
    "return": pl.Float64,
    "reason": pl.String,
}
"""Columns of backtest/trades.parquet, after split and strategy. Prices are in the symbol's quote
currency (the entry price in terms of the units at the exit, where a split came between), profit in
account currency, the return a fraction of what the entry was worth."""


@dataclass
class _Position:
    """The open position of one symbol, as its trades say it was entered."""

    bar: int = 0
    price: float = 0.0
    units: float = 0.0
    """Opened and added, signed; partial sales do not lower it."""
    rate: float = 1.0
    """Account currency for one price unit at the entry."""
    rows: list[dict[str, object]] = field(default_factory=list)

    def split(self, ratio: float) -> None:
        self.units *= ratio
        self.price /= ratio

    def open(self, bar: int, units: float, price: float, rate: float) -> None:
        self.bar, self.units, self.price, self.rate = bar, units, price, rate

    def add(self, units: float, price: float, rate: float) -> None:
        total = self.units + units
        before, own = self.units * self.price, units * price
        self.rate = (before * self.rate + own * rate) / (before + own)
        self.price = (before + own) / total
        self.units = total

    def close(self, bar: int, closed: float, price: float, profit: float, reason: int) -> None:
        self.rows.append(
            {
                "side": 1 if closed > 0.0 else -1,
                "entry_bar": self.bar,
                "exit_bar": bar,
                "entry_price": self.price,
                "exit_price": price,
                "units": abs(closed),
                "bars_held": bar - self.bar,
                "net_profit": profit,
                "return": profit / (abs(self.units) * self.price * self.rate),
                "reason": REASONS[reason],
            }
        )
        self.units = 0.0


def closed_trades(legs: tuple[Leg, ...], split: SplitArrays, first: int) -> pl.DataFrame:
    """Trades from flat to flat (or through a reversal), net of all costs, in order of exit.

    Args:
        legs: what each bar after ``first`` traded, [T - 1 - first, S] each, in order.
        first: bar at whose close the account was opened.
    """
    at = split.timestamps_s[first + 1 :] * 1_000_000
    rows: list[dict[str, object]] = []
    for s, symbol in enumerate(split.symbols):
        ratios = split.extra["split"][first + 1 :, s] if "split" in split.extra else None
        for row in _trades_of(legs, s, ratios):
            entry, leave = at[row.pop("entry_bar")], at[row.pop("exit_bar")]
            rows.append({"symbol": symbol, "entry_time": entry, "exit_time": leave, **row})
    table = pl.DataFrame(rows, schema=TRADES)
    return table.sort("exit_time", "symbol", maintain_order=True)


def _trades_of(legs: tuple[Leg, ...], s: int, ratios: F64 | None) -> list[dict[str, Any]]:
    """Closed trades of symbol ``s``; ``ratios`` [T]: new units for an old one, at the open."""
    happens = sum(np.abs(np.asarray(leg.units[:, s])) for leg in legs) > 0.0
    for leg in legs:
        happens = happens | (np.asarray(leg.reason[:, s]) != 0)
    if ratios is not None:
        happens = happens | (ratios != 1.0)
    held = _Position()
    for t in np.flatnonzero(happens):
        if ratios is not None:
            held.split(float(ratios[t]))
        for leg in legs:
            _book(held, leg, int(t), s)
    return held.rows


def _book(held: _Position, leg: Leg, t: int, s: int) -> None:
    units, price = float(leg.units[t, s]), float(leg.price[t, s])
    reason, closed = int(leg.reason[t, s]), float(leg.closed_units[t, s])
    traded = abs(units) * price
    rate = float(leg.notional[t, s]) / traded if traded > 0.0 else 1.0
    if reason:
        held.close(t, closed, price, float(leg.profit[t, s]), reason)
    opened = units + closed  # what a reversal opens, or what an order opens or adds
    if opened != 0.0 and held.units == 0.0:
        held.open(t, opened, price, rate)
    elif opened * held.units > 0.0:
        held.add(opened, price, rate)
