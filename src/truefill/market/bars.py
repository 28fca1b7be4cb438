"""Bars and their costs as one packed table: N accounts at N different bars need one gather."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from truefill.market.types import SECONDS_PER_YEAR, Array, BarRow, BarState

COLUMNS = (
    "open", "high", "low", "close", "state", "atr", "fee", "half_spread", "slippage", "borrow",
)  # fmt: skip


class MarketBars(NamedTuple):
    """T bars of S symbols with their costs; a ``jit`` argument, never closed over."""

    table: Array
    """float64 [T, 10, S], in the order of ``COLUMNS``."""
    per_bar: Array
    """float64 [T, 2]: interest rate a year, years since the previous bar."""

    @property
    def num_bars(self) -> int:
        return int(self.table.shape[0])

    @property
    def num_symbols(self) -> int:
        return int(self.table.shape[2])

    def row(self, t: Array) -> BarRow:
        """Bar ``t`` (int32 [N]) of each account."""
        table = self.table[t]
        per_bar = self.per_bar[t]
        fields = {name: table[:, i] for i, name in enumerate(COLUMNS)}
        return BarRow(**fields, interest=per_bar[:, 0], years=per_bar[:, 1])


def make_bars(
    *,
    timestamps_s: np.ndarray,
    prices: Mapping[str, np.ndarray],
    costs: Mapping[str, np.ndarray],
    interest: np.ndarray | float,
    state: np.ndarray | None = None,
    atr: np.ndarray | None = None,
) -> MarketBars:
    """Pack bars.

    Args:
        timestamps_s: bar starts, unix seconds, strictly rising, [T].
        prices: open, high, low, close, each [T, S], positive (masked bars carry a last price).
        costs: fee, half_spread, slippage (fractions), borrow (a year); scalar, [S] or [T, S].
        interest: on borrowed cash, fraction a year; scalar or [T].
        state: ``BarState`` [T, S]; all tradable when absent.
        atr: average true range at the close of each bar, price units, [T, S].

    Raises:
        ValueError: shapes disagree, times do not rise, or a price is not positive and finite.
    """
    shape = prices["close"].shape
    stamps = np.asarray(timestamps_s, dtype=np.float64)
    if len(shape) != 2 or stamps.shape != shape[:1]:
        raise ValueError(f"prices are [T, S] and timestamps [T], not {shape} and {stamps.shape}")
    steps = np.diff(stamps)
    if np.any(steps <= 0.0):
        raise ValueError(f"timestamps do not rise at bar {int(np.argmax(steps <= 0.0)) + 1}")
    columns = {
        name: np.asarray(prices[name], dtype=np.float64)
        for name in ("open", "high", "low", "close")
    }
    for name, values in columns.items():
        if values.shape != shape or not np.all(np.isfinite(values) & (values > 0.0)):
            raise ValueError(f"{name} must be [T, S], finite and positive")
    atr = np.zeros(shape) if atr is None else np.asarray(atr, dtype=np.float64)
    columns["atr"] = np.concatenate([atr[:1], atr[:-1]])
    columns["state"] = (
        np.full(shape, float(BarState.TRADABLE)) if state is None else state.astype(np.float64)
    )
    for name in ("fee", "half_spread", "slippage", "borrow"):
        columns[name] = np.broadcast_to(np.asarray(costs[name], dtype=np.float64), shape)
    years = np.concatenate([[0.0], steps]) / SECONDS_PER_YEAR
    rates = np.broadcast_to(np.asarray(interest, dtype=np.float64), stamps.shape)
    return MarketBars(
        table=jnp.asarray(np.stack([columns[name] for name in COLUMNS], axis=1)),
        per_bar=jnp.asarray(np.stack([rates, years], axis=1)),
    )
