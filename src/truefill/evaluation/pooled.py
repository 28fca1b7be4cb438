"""Backtest of a policy that trades one symbol at a time: an account a symbol, added up.

Each symbol's account starts with an equal share of the balance and trades the symbol's own
calendar; nothing moves between accounts. The sum is the strategy.
"""

from __future__ import annotations

from dataclasses import fields

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import polars as pl

from truefill.data.split import SplitArrays
from truefill.env.episodes import EnvArrays, Pool
from truefill.evaluation.trace import Trace
from truefill.market.types import Array

F64 = npt.NDArray[np.float64]
FLOWS = ("cost", "financing", "dividends")


def spread_accounts(arrays: EnvArrays, pool: Pool, scenarios: int) -> tuple[EnvArrays, Array, int]:
    """Accounts [scenarios x P], symbols fastest: arrays, first bars (int32) and bars to trade."""
    symbols = pool.first.shape[0]

    def repeat(leaf: Array) -> Array:
        many = leaf.ndim == 1 and leaf.shape[0] == scenarios > 1
        return jnp.repeat(leaf, symbols) if many else leaf

    market = jax.tree.map(repeat, arrays.market)
    market = market._replace(initial_balance=market.initial_balance / symbols)
    length = int(jnp.max(pool.last_bar[pool.first] - pool.first))
    return arrays._replace(market=market), jnp.tile(pool.first, scenarios), length


def bars_of(pool: Pool, symbol: int) -> int:
    """Bars that the account of ``symbol`` trades."""
    first = pool.first[symbol]
    return int(pool.last_bar[first] - first)


def add_up(parts: list[Trace], split: SplitArrays, first: int) -> Trace:
    """The traces of all symbols' accounts as one, on the split's time axis from bar ``first``.

    An account stands still on bars that its symbol does not have.
    """
    stamps = split.timestamps_s[first:]
    equity = np.stack([_carried(stamps, part, part.equity) for part in parts], axis=1)
    held = np.stack(
        [_carried(stamps, part, part.weights[:, 0] * part.equity, 0.0) for part in parts], axis=1
    )
    total = equity.sum(axis=1)
    before = np.concatenate([total[:1], total[:-1]])
    traded = sum(_at(stamps, part, part.turnover * _previous(part.equity)) for part in parts)
    flows = {
        name: np.asarray(sum(_at(stamps, part, getattr(part, name)) for part in parts))
        for name in FLOWS
    }
    found = {
        "timestamps_s": stamps,
        "equity": total,
        "weights": held / total[:, None],
        "turnover": np.asarray(traded) / before,
        "close": split.close[first:],
        "trades": pl.concat([part.trades for part in parts]).sort(
            "exit_time", "symbol", maintain_order=True
        ),
        "statuses": _sum_counts([part.statuses for part in parts]),
        "ambiguous": sum(part.ambiguous for part in parts),
        "resolved": sum(part.resolved for part in parts),
        **flows,
    }
    assert set(found) == {field.name for field in fields(Trace)}
    return Trace(**found)


def _previous(values: F64) -> F64:
    return np.concatenate([values[:1], values[:-1]])


def _carried(
    stamps: npt.NDArray[np.int64], part: Trace, values: F64, before: float | None = None
) -> F64:
    """Values of ``part`` at ``stamps``, the last known carried on; its first (or ``before``) until
    it begins."""
    at = np.searchsorted(part.timestamps_s, stamps, side="right") - 1
    early = values[0] if before is None else before
    return np.where(at < 0, early, values[np.maximum(at, 0)])


def _at(stamps: npt.NDArray[np.int64], part: Trace, values: F64) -> F64:
    """Values of ``part`` on its own bars, 0 on the others."""
    out = np.zeros(len(stamps))
    out[np.searchsorted(stamps, part.timestamps_s)] = values
    return out


def _sum_counts(counts: list[dict[int, int]]) -> dict[int, int]:
    keys = sorted({key for count in counts for key in count})
    return {key: sum(count.get(key, 0) for count in counts) for key in keys}
