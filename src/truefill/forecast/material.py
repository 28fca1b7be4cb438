"""A split as forecasters take it: every symbol's own bars, the features they may see, the rows that
have a full window; and a hash of all that."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from truefill.core.errors import ConfigError, DataError, did_you_mean
from truefill.data.split import SplitArrays
from truefill.forecast.baselines.base import History
from truefill.forecast.labels.base import Bools, Ints, bars_of


@dataclass(frozen=True)
class Material:
    """One split.

    histories: one a symbol; ``rows``: all with a full window. positions: by symbol, i64[T_s]:
    where its bars lie on the split's time axis. usable: by symbol, bool[T_s]: bars that may be
    fitted on, which have a value of every feature.
    """

    split: str
    histories: tuple[History, ...]
    positions: tuple[Ints, ...]
    usable: tuple[Bools, ...]
    interval_s: float

    @staticmethod
    def of(split: SplitArrays, features: Sequence[str], window: int) -> Material:
        """Of a split, with these features (none: all), for windows of ``window`` bars.

        Raises:
            ConfigError: no such feature.
            DataError: ``too_few_rows``: no row has a full window, or in train none of a symbol (in
                later splits such a symbol has no forecast).
        """
        names = list(features) or list(split.feature_names)
        for name in names:
            if name not in split.feature_names:
                raise ConfigError(
                    f"no feature is called {name!r}",
                    where="forecast.features",
                    do=did_you_mean(name, split.feature_names),
                )
        columns = [split.feature_names.index(name) for name in names]
        histories, positions, usable = [], [], []
        for s, symbol in enumerate(split.symbols):
            at, bars = bars_of(split, symbol)
            if len(at) < window and split.name == "train":
                raise DataError(
                    "too_few_rows",
                    f"{symbol} has {len(at):,} bars in {split.name}, a window has {window}",
                    where="forecast.window_bars",
                    do="shorten the window, widen the split, or leave the symbol out",
                )
            own = split.features[at, s][:, columns].astype(np.float64)
            histories.append(History(symbol, bars, own, np.arange(window - 1, len(at))))
            positions.append(at)
            usable.append(~split.no_trade[at, s])
        if not sum(len(own.rows) for own in histories):
            raise DataError(
                "too_few_rows",
                f"no symbol has the {window} bars of a window in {split.name}",
                where="forecast.window_bars",
                do=f"shorten the window, or widen data.splits.{split.name}",
            )
        return Material(
            split.name, tuple(histories), tuple(positions), tuple(usable), split.interval_s
        )

    @property
    def sha256(self) -> str:
        """Of every bar, feature and row."""
        digest = hashlib.sha256()
        for own, usable in zip(self.histories, self.usable, strict=True):
            bars = own.bars
            digest.update(own.symbol.encode())
            parts = (bars.timestamps_s, bars.open, bars.high, bars.low, bars.close, bars.session)
            for array in (*parts, own.features, own.rows, usable):
                digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def asked(self, rows: Sequence[Ints]) -> tuple[History, ...]:
        """The histories with these rows, a symbol each; symbols without any are left out."""
        return tuple(
            History(own.symbol, own.bars, own.features, chosen)
            for own, chosen in zip(self.histories, rows, strict=True)
            if len(chosen)
        )


def closes_s(histories: Sequence[History], interval_s: float) -> Ints:
    """i64[n]: when each row's bar closes, history after history; its forecast is as of then."""
    starts = [own.bars.timestamps_s[own.rows] for own in histories]
    return np.concatenate(starts) + round(interval_s)
