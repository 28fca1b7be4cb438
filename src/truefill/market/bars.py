"""Bars and their costs as one packed table: N accounts at N different bars need one gather."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from truefill.market.types import SECONDS_PER_YEAR, Array, BarRow, BarState

COLUMNS = (
    "open", "high", "low", "close", "state", "atr", "fee", "half_spread", "slippage", "borrow",
)  # fmt: skip
OPTIONAL = (
    "maker_fee", "volume", "funding", "dividend", "split", "rate_open", "rate_close", "session_end",
)  # fmt: skip
FINER = ("finer_high", "finer_low")


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["table", "per_bar", "finer"],
    meta_fields=["columns"],
)
@dataclass(frozen=True)
class MarketBars:
    """T bars of S symbols with their costs; a ``jit`` argument, never closed over.

    Attributes:
        table: float64 [T, C, S], in the order of ``columns``.
        per_bar: float64 [T, 2]: interest rate a year, years since the previous bar.
        finer: float64 [T, 2, S, K]: highs and lows of K finer bars; None where there are none.
        columns: ``COLUMNS``, then those of ``OPTIONAL`` that are given. Absent ones compile no
            rule.
    """

    table: Array
    per_bar: Array
    finer: Array | None = None
    columns: tuple[str, ...] = COLUMNS

    @property
    def num_bars(self) -> int:
        return int(self.table.shape[0])

    @property
    def num_symbols(self) -> int:
        return int(self.table.shape[2])

    def column(self, name: str) -> Array:
        """One column, [T, S]."""
        return self.table[:, self.columns.index(name)]

    def at(self, t: int) -> MarketBars:
        """Bar ``t`` alone."""
        finer = None if self.finer is None else self.finer[t : t + 1]
        return MarketBars(
            self.table[t : t + 1], self.per_bar[t : t + 1], finer, columns=self.columns
        )

    def mark(self, t: Array) -> Array:
        """Worth of a unit at the close of bar ``t`` (int32 [N]), account currency, [N, S]."""
        close = self.table[t, self.columns.index("close")]
        if "rate_close" not in self.columns:
            return close
        return close * self.table[t, self.columns.index("rate_close")]

    def price(self, t: Array, mark: Array) -> Array:
        """Last close at bar ``t`` in quote currency, [N, S]; ``mark``: what a unit is worth then,
        which is the same where there are no rates."""
        if "rate_close" not in self.columns:
            return mark
        return self.table[t, self.columns.index("close")]

    def row(self, t: Array) -> BarRow:
        """Bar ``t`` (int32 [N]) of each account."""
        finer = None if self.finer is None else self.finer[t]
        return self._as_row(self.table[t], self.per_bar[t], finer)

    def for_all(self, age: Array) -> BarRow:
        """The one bar of a slice of bars (``table`` [C, S], as ``scan`` hands it out) for accounts
        of ``age`` >= 0 (int32 [N]).

        Twice as fast as gathering it for each. A row that XLA could see to be the same for all
        would be folded into the arithmetic and change its last bits, so a zero that depends on the
        account is added.
        """
        zero = jnp.where(age < 0, 1.0, 0.0)
        finer = None if self.finer is None else self.finer[None]
        row = self._as_row(self.table[None], self.per_bar[None], finer)

        def for_each(x: Array) -> Array:
            return x + zero.reshape(-1, *[1] * (x.ndim - 1))

        spread: BarRow = jax.tree.map(for_each, row)
        return spread

    def _as_row(self, table: Array, per_bar: Array, finer: Array | None) -> BarRow:
        fields = {name: table[:, i] for i, name in enumerate(self.columns)}
        if finer is not None:
            fields |= {name: finer[:, i] for i, name in enumerate(FINER)}
        return BarRow(**fields, interest=per_bar[:, 0], years=per_bar[:, 1])


def make_bars(
    *,
    timestamps_s: np.ndarray,
    prices: Mapping[str, np.ndarray],
    costs: Mapping[str, np.ndarray],
    interest: np.ndarray | float,
    state: np.ndarray | None = None,
    atr: np.ndarray | None = None,
    extra: Mapping[str, np.ndarray] | None = None,
    previous_s: float | None = None,
    previous_atr: np.ndarray | None = None,
) -> MarketBars:
    """Pack bars.

    Args:
        timestamps_s: bar starts, unix seconds, strictly rising, [T].
        prices: open, high, low, close, each [T, S], positive (masked bars carry a last price).
        costs: fee, half_spread, slippage (fractions), borrow (a year); scalar, [S] or [T, S].
        interest: on borrowed cash, fraction a year; scalar or [T].
        state: ``BarState`` [T, S]; all tradable when absent.
        atr: average true range at the close of each bar, price units, [T, S].
        extra: optional columns by their name in ``BarRow``, scalar, [S] or [T, S]; finer_high and
            finer_low [T, S, K]. A rule whose column is absent is not compiled.
        previous_s: start of the bar before the first, where bars arrive one by one; financing
            of the first bar then counts from there.
        previous_atr: average true range at the close of that bar, [S].

    Raises:
        ValueError: shapes disagree, times do not rise, a price is not positive and finite, a
            column is unknown or impossible, or a bar that can trade has no volume.
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
    before = atr[0] if previous_atr is None else np.asarray(previous_atr, dtype=np.float64)
    columns["atr"] = np.concatenate([before[None], atr[:-1]])
    columns["state"] = (
        np.full(shape, float(BarState.TRADABLE)) if state is None else state.astype(np.float64)
    )
    for name in ("fee", "half_spread", "slippage", "borrow"):
        columns[name] = np.broadcast_to(np.asarray(costs[name], dtype=np.float64), shape)
    rates = np.broadcast_to(np.asarray(interest, dtype=np.float64), stamps.shape)
    for name, values in (*columns.items(), ("interest", rates)):
        if not np.all(np.isfinite(values)):
            raise ValueError(f"{name} must be finite")
    extra = dict(extra or {})
    finer = _finer(extra, shape)
    columns |= _optional(extra, shape, columns["state"])
    first = 0.0 if previous_s is None else float(stamps[0]) - previous_s
    if previous_s is not None and first <= 0.0:
        raise ValueError("previous_s must lie before the first bar")
    years = np.concatenate([[first], steps]) / SECONDS_PER_YEAR
    names = (*COLUMNS, *(name for name in OPTIONAL if name in columns))
    return MarketBars(
        table=jnp.asarray(np.stack([columns[name] for name in names], axis=1)),
        per_bar=jnp.asarray(np.stack([rates, years], axis=1)),
        finer=finer,
        columns=names,
    )


def _optional(
    extra: Mapping[str, np.ndarray], shape: tuple[int, ...], state: np.ndarray
) -> dict[str, np.ndarray]:
    unknown = sorted(set(extra) - set(OPTIONAL))
    if unknown:
        raise ValueError(f"unknown column {unknown[0]!r}; known: {', '.join(OPTIONAL + FINER)}")
    if ("rate_open" in extra) != ("rate_close" in extra):
        raise ValueError("rate_open and rate_close come together")
    found = {
        name: np.broadcast_to(np.asarray(values, dtype=np.float64), shape)
        for name, values in extra.items()
    }
    for name, values in found.items():
        if not np.all(np.isfinite(values)):
            raise ValueError(f"{name} must be finite")
        if name in ("split", "rate_open", "rate_close") and np.any(values <= 0.0):
            raise ValueError(f"{name} must be positive")
    if "volume" in found:
        bare = (found["volume"] <= 0.0) & (state > BarState.MASKED)
        if np.any(bare):
            t, s = np.argwhere(bare)[0]
            raise ValueError(
                f"volume is {found['volume'][t, s]} on bar {t} of symbol {s}, which can trade: "
                "slippage by participation needs a volume; declare one"
            )
    return found


def _finer(extra: dict[str, np.ndarray], shape: tuple[int, ...]) -> Array | None:
    """Take the finer bars out of ``extra``, [T, 2, S, K]."""
    if not set(FINER) & set(extra):
        return None
    if not set(FINER) <= set(extra):
        raise ValueError("finer_high and finer_low come together")
    parts = [np.asarray(extra.pop(name), dtype=np.float64) for name in FINER]
    if parts[0].shape[:2] != shape or parts[0].shape != parts[1].shape:
        raise ValueError(f"finer_high and finer_low must both be [T, S, K] with [T, S] {shape}")
    return jnp.asarray(np.stack(parts, axis=1))
