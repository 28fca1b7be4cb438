"""One split as arrays: the form in which market, environment and agents take it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import polars as pl

from truefill.core.errors import DataError, UsageError, did_you_mean
from truefill.data.arrays import Bools, Floats, last_known, market_arrays, on_bars
from truefill.data.describe import periods_per_year
from truefill.data.sessions import Session, clock_columns, session_ends, session_of

NEVER_TRADED = 1.0
"""Price of a symbol that has no bar in the whole split; it is masked throughout."""
PRICES = ("open", "high", "low", "close")


def _unset() -> Bools:
    return np.zeros((0, 0), np.bool_)


@dataclass(frozen=True)
class SplitArrays:
    """T bars on the union time axis, S symbols, F features.

    timestamps_s i64[T]: bar starts, unix seconds. open, high, low, close, volume, atr f64[T, S].
    present bool[T, S]: False = masked, the symbol has no bar; its prices there are the last known
    close (before its first bar: its first open), its volume 0, its features and ATR the last known
    (before: 0). atr: Wilder's, as of the bar's close; zeros where ``market.atr_stops`` is off.
    features f32[T, S, F]: normalized. clock f32[T, 4]: hour_sin, hour_cos, dow_sin, dow_cos.
    periods_per_year: bars / elapsed years, from the timestamps.

    Bars without these have none of them; only ``session_end`` then follows UTC days:
    no_trade bool[T, S]: a bar on which some feature has no value (a slow series was stale); it
    carries the features of the symbol's last good bar, and nothing may be traded on it.
    session_end bool[T, S]: the symbol's last bar of a session day in this split.
    last bool[T, S]: the symbol's last bar ever (declared delisted).
    closed bool[T, S]: closed to trading by ``market.no_trade``; ``closed_by`` names those rules
    (:func:`truefill.data.no_trade.rules_id`), and the market refuses bars of other rules than its
    own.
    extra: by the names of the market's optional columns, f64[T, S]: ``funding`` (fraction),
    ``dividend`` (cash a unit), ``split`` (new units for an old one), ``rate_open`` and
    ``rate_close`` (account currency for one unit of quote currency, no contract multiplier),
    ``spread_multiplier``, ``liquidity_multiplier``; f64[T, S, K]: ``finer_high``, ``finer_low``
    (missing: -1e18 and 1e18). On masked bars nothing happens: no event, multiplier 1, the last
    known rate (before the first bar: its first), no finer bars.
    """

    name: str
    symbols: tuple[str, ...]
    timestamps_s: npt.NDArray[np.int64]
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    present: Bools
    atr: Floats
    features: npt.NDArray[np.float32]
    feature_names: tuple[str, ...]
    clock: npt.NDArray[np.float32]
    interval_s: float
    periods_per_year: float
    no_trade: Bools = field(default_factory=_unset)
    session_end: Bools = field(default_factory=_unset)
    last: Bools = field(default_factory=_unset)
    closed: Bools = field(default_factory=_unset)
    closed_by: str = ""
    extra: Mapping[str, Floats] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("no_trade", "last", "closed"):
            if not getattr(self, name).size:
                object.__setattr__(self, name, np.zeros(self.present.shape, np.bool_))
        if not self.session_end.size:
            ends = session_ends(session_of(None), self.timestamps_s, self.present)
            object.__setattr__(self, "session_end", ends)

    def __len__(self) -> int:
        return len(self.timestamps_s)

    def only(self, symbol: str) -> SplitArrays:
        """``symbol`` alone on its own calendar: only its present bars.

        Raises:
            UsageError: no such symbol.
            DataError: it has no bar in this split.
        """
        if symbol not in self.symbols:
            raise UsageError(f"no symbol {symbol!r}", do=did_you_mean(symbol, self.symbols))
        s = self.symbols.index(symbol)
        at = np.flatnonzero(self.present[:, s])
        if not len(at):
            raise DataError(
                "empty_split",
                f"{symbol} has no bars in {self.name}",
                where=f"data.splits.{self.name}",
                do="leave the symbol out, or move the split's dates",
            )
        own = np.ix_(at, np.array([s]))
        seconds = self.timestamps_s[at]
        per_symbol = (*PRICES, "volume", "atr", "present", "features", "no_trade", "session_end",
                      "last", "closed")  # fmt: skip
        return replace(
            self,
            symbols=(symbol,),
            timestamps_s=seconds,
            clock=self.clock[at],
            periods_per_year=periods_per_year(_axis(seconds), self.interval_s),
            extra={name: values[own] for name, values in self.extra.items()},
            **{name: getattr(self, name)[own] for name in per_symbol},
        )

    def since(self, first: int) -> SplitArrays:
        """The split from bar ``first`` on."""
        if first == 0:
            return self
        seconds = self.timestamps_s[first:]
        cut = (*PRICES, "volume", "atr", "present", "features", "clock", "no_trade", "session_end",
               "last", "closed")  # fmt: skip
        return replace(
            self,
            timestamps_s=seconds,
            periods_per_year=periods_per_year(_axis(seconds), self.interval_s),
            extra={name: values[first:] for name, values in self.extra.items()},
            **{name: getattr(self, name)[first:] for name in cut},
        )


def to_arrays(
    name: str,
    table: pl.DataFrame,
    *,
    symbols: Sequence[str],
    feature_names: Sequence[str],
    session: Session,
    interval_s: float,
    market_columns: Sequence[str],
    closed_by: str = "",
) -> SplitArrays:
    """The long table of a split (as ``BuiltDataset.tables`` holds it) as arrays; ``closed_by``:
    ``lineage["no_trade"]["rules_sha256"]``, without which the market takes no bars under windows.
    """
    axis = table["timestamp"].unique().sort()
    seconds = axis.dt.epoch("s").to_numpy().astype(np.int64)
    T, S = len(seconds), len(symbols)
    present = np.zeros((T, S), np.bool_)
    prices = {key: np.full((T, S), NEVER_TRADED) for key in PRICES}
    others = {key: np.zeros((T, S)) for key in ("volume", "atr")}
    features = np.zeros((T, S, len(feature_names)), np.float32)
    for s, symbol in enumerate(symbols):
        part = table.filter(pl.col("symbol") == symbol)
        if not part.height:
            continue
        at = np.searchsorted(seconds, part["timestamp"].dt.epoch("s").to_numpy())
        present[at, s] = True
        known, before = last_known(present[:, s])
        masked = ~present[:, s]
        close = part["close"].to_numpy()[known]
        for key, values in prices.items():
            own = part[key].to_numpy()[known]
            values[:, s] = np.where(masked, np.where(before, part["open"][0], close), own)
        others["volume"][:, s] = np.where(masked, 0.0, part["volume"].to_numpy()[known])
        others["atr"][:, s] = np.where(before, 0.0, part["atr"].to_numpy()[known])
        own_features = part.select(feature_names).to_numpy().astype(np.float32)
        features[:, s] = np.where(before[:, None], np.float32(0.0), own_features[known])
    return SplitArrays(
        name=name,
        symbols=tuple(symbols),
        timestamps_s=seconds,
        **prices,
        **others,
        present=present,
        features=features,
        feature_names=tuple(feature_names),
        clock=clock_columns(session, seconds),
        interval_s=interval_s,
        periods_per_year=periods_per_year(axis, interval_s),
        no_trade=on_bars(table["no_trade"], table, symbols, present, False),
        session_end=session_ends(session, seconds, present),
        last=on_bars(table["last"], table, symbols, present, False),
        closed=on_bars(table["closed"], table, symbols, present, False),
        closed_by=closed_by,
        extra=market_arrays(table, market_columns, symbols, present),
    )


def _axis(seconds: npt.NDArray[np.int64]) -> pl.Series:
    return pl.Series(seconds * 1_000_000).cast(pl.Datetime("us", "UTC"))
