"""What a strategy did on one split, bar by bar."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Trace:
    """What one account did on one split. Row 0 is the close before the first decision fills.

    ``weights`` f64[T, S] are signed (units x mark / equity); ``cost`` and ``financing`` f64[T] are
    what each bar paid in fees, spread and slippage, and in interest, borrow fees and funding;
    ``dividends`` f64[T] what it received. ``statuses`` counts orders by ``OrderStatus``;
    ``ambiguous`` bars and symbols had stop and target inside one bar and took the worse,
    ``resolved`` ones were decided by finer bars.
    """

    timestamps_s: npt.NDArray[np.int64]
    equity: F64
    weights: F64
    turnover: F64
    cost: F64
    financing: F64
    dividends: F64
    close: F64
    trades: pl.DataFrame
    statuses: dict[int, int]
    ambiguous: int
    resolved: int

    @property
    def weight(self) -> F64:
        return np.asarray(self.weights.sum(axis=1))

    @property
    def gross(self) -> F64:
        return np.asarray(np.abs(self.weights).sum(axis=1))

    @property
    def net_return(self) -> float:
        return float(self.equity[-1] / self.equity[0] - 1.0)

    @property
    def log_returns(self) -> F64:
        return np.diff(np.log(self.equity))

    def curve(self, split: str, strategy: str) -> pl.DataFrame:
        """Rows of backtest/equity.parquet."""
        peak = np.maximum.accumulate(self.equity)
        return pl.DataFrame(
            {
                "split": [split] * len(self.equity),
                "timestamp": _stamps(self.timestamps_s),
                "strategy": [strategy] * len(self.equity),
                "equity": self.equity,
                "weight": self.weight,
                "gross": self.gross,
                "drawdown": 1.0 - self.equity / peak,
                "close": self.close[:, 0],
                "cost": np.cumsum(self.cost),
                "financing": np.cumsum(self.financing),
            }
        )


def _stamps(seconds: npt.NDArray[np.int64]) -> pl.Series:
    stamps = pl.Series((seconds * 1_000_000).astype(np.int64))
    return stamps.cast(pl.Datetime("us", "UTC"))
