"""Exchange rates as of each bar: never from a bar of the pair that has not closed (or opened) yet.

At the open of a bar that starts at s the rate is the pair's open of its bar that starts at s, else
the close of its last bar that closed by s. At the bar's close it is the close of the pair's last
bar that started by s: both are known then, since the intervals are equal.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from truefill.config.data import DataConfig
from truefill.config.sources import BarsFile, RateFile
from truefill.core.errors import ConfigError, did_you_mean
from truefill.data.defects import refuse
from truefill.data.events import symbol_spans
from truefill.data.read import InputFile, read_bars
from truefill.data.resample import session_bars

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def exchange_rates(
    data: DataConfig,
    bars: pl.DataFrame,
    needed: npt.NDArray[np.bool_],
    counted: npt.NDArray[np.bool_],
) -> tuple[dict[str, Floats], list[InputFile], list[dict[str, Any]]]:
    """``rate_open`` and ``rate_close`` f64[n], 1 for symbols without a rate; nothing at all without
    any rate file.

    Args:
        bars: ``timestamp`` and ``symbol``, sorted by symbol and time, [n].
        needed: [n] bool, the bars that must have a rate; others may hold NaN.
        counted: [n] bool, the bars that the facts may tell of.

    Raises:
        DataError: a needed bar before the first rate, or with one older than ``max_staleness``.
        ConfigError: a rate for a symbol that has no bars.
    """
    if not data.exchange_rates:
        return {}, [], []
    opens, closes = np.ones(bars.height), np.ones(bars.height)
    starts = bars["timestamp"].dt.epoch("us").to_numpy()
    spans = symbol_spans(bars)
    files, facts = [], []
    for i, source in enumerate(data.exchange_rates):
        pair, file = _read_pair(source, data)
        files.append(file)
        carried = 0
        for symbol in source.symbols:
            if symbol not in spans:
                raise ConfigError(
                    f"{symbol!r} has no bars",
                    where=f"data.exchange_rates.{i}.symbols",
                    do=did_you_mean(symbol, spans),
                )
            rows = slice(*spans[symbol])
            at_open, at_close, age_s, own = _as_of(pair, starts[rows], data.bar_interval)
            _require_fresh(source, symbol, starts[rows], age_s, needed[rows], file.name)
            opens[rows], closes[rows] = at_open, at_close
            carried += int((~own & needed[rows] & counted[rows]).sum())
        facts.append({"file": file.name, "symbols": list(source.symbols), "invert": source.invert,
                      "carried_bars": carried})  # fmt: skip
    return {"rate_open": opens, "rate_close": closes}, files, facts


def _read_pair(source: RateFile, data: DataConfig) -> tuple[tuple[Ints, Floats, Floats], InputFile]:
    """Starts (microseconds), opens and closes of the pair, the right way round; resampled as the
    bars are."""
    as_bars = BarsFile(
        path=source.path,
        symbol=source.path.stem,
        columns=source.columns,
        timezone=source.timezone,
        timestamp_unit=source.timestamp_unit,
    )
    table, file = read_bars(as_bars, interval_s=data.interval, needs_volume=False)
    if data.resample is not None:
        table = session_bars(table, data).bars
    opens, closes = table["open"].to_numpy(), table["close"].to_numpy()
    if source.invert:
        opens, closes = 1.0 / opens, 1.0 / closes
    return (table["timestamp"].dt.epoch("us").to_numpy(), opens, closes), file


def _as_of(
    pair: tuple[Ints, Floats, Floats], starts: Ints, interval_s: float
) -> tuple[Floats, Floats, Floats, npt.NDArray[np.bool_]]:
    """Rate at the open and at the close of each bar, the older one's age in seconds (infinite where
    there is none), and whether the pair has a bar with the same start."""
    times, opens, closes = pair
    interval_us = round(interval_s * 1e6)
    started = np.searchsorted(times, starts, side="right") - 1
    closed = np.searchsorted(times + interval_us, starts, side="right") - 1
    own = (started >= 0) & (times[np.maximum(started, 0)] == starts)
    safe_started, safe_closed = np.maximum(started, 0), np.maximum(closed, 0)
    at_open = np.where(own, opens[safe_started], closes[safe_closed])
    at_close = closes[safe_started]
    age_open = np.where(own, 0, starts - times[safe_closed] - interval_us) / 1e6
    age_close = (starts - times[safe_started]) / 1e6
    known = own | (closed >= 0)
    age = np.where(known, np.maximum(age_open, age_close), np.inf)
    return np.where(known, at_open, np.nan), np.where(known, at_close, np.nan), age, own


def _require_fresh(
    source: RateFile,
    symbol: str,
    starts: Ints,
    age_s: Floats,
    needed: npt.NDArray[np.bool_],
    file: str,
) -> None:
    """Rules ``missing_exchange_rate`` and ``stale_exchange_rate``, at the first bar."""
    old = needed & (age_s > source.max_staleness)
    if not old.any():
        return
    at = int(np.argmax(old))
    bar = f"{symbol} {np.datetime64(int(starts[at]), 'us').astype('datetime64[s]')}"
    others = int(old.sum()) - 1
    others_too = f" (and {others:,} more bars)" if others else ""
    if np.isinf(age_s[at]):
        refuse(
            "missing_exchange_rate",
            f"no rate is known at {bar}{others_too}",
            file=file,
            do="give rates from before the first bar of the splits",
        )
    refuse(
        "stale_exchange_rate",
        f"at {bar} the last rate is {age_s[at] / 86_400.0:.1f} days old{others_too}",
        file=file,
        do="give the missing rates, or raise max_staleness",
    )
