"""What the market needs to know of each bar beyond its prices, beside the table of bars."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from truefill.config.data import DataConfig
from truefill.data.bars import last_ever, silent_ends
from truefill.data.events import NOTHING, book_events
from truefill.data.finer import MISSING_HIGH, MISSING_LOW, finer_bars
from truefill.data.rates import exchange_rates
from truefill.data.read import MULTIPLIERS, InputFile
from truefill.data.sessions import Session
from truefill.data.splits import SPLITS, before_test, inside, period_of

WHERE_MASKED = {
    **{str(kind): value for kind, value in NOTHING.items()},
    **dict.fromkeys((*MULTIPLIERS, "rate_open", "rate_close"), 1.0),
    "finer_high": MISSING_HIGH,
    "finer_low": MISSING_LOW,
}
"""Value of a column where a symbol has no bar; rates are then carried from its last one."""


@dataclass(frozen=True)
class MarketColumns:
    """``table`` [n rows, as the bars]: ``last`` (bool) and the columns ``names``; ``facts`` and
    ``warnings`` for lineage tell of what lies before the test split only: it is sealed."""

    table: pl.DataFrame
    names: tuple[str, ...]
    inputs: list[InputFile]
    facts: dict[str, Any]
    warnings: list[str]


def market_columns(
    data: DataConfig,
    bars: pl.DataFrame,
    delisted: Iterable[str],
    session: Session,
    seasons: Mapping[str, npt.NDArray[np.float64]],
) -> MarketColumns:
    """Events, exchange rates, multipliers and finer bars on ``bars`` (sorted by symbol and time).

    Only what the config gives becomes a column. ``seasons``: multipliers of spread and liquidity by
    the hour, f64[n] by kind. Raises ``DataError`` and ``ConfigError``.
    """
    delisted = sorted(delisted)
    open_bars = before_test(data.splits)
    known = bars.select(open_bars).to_series().to_numpy().astype(np.bool_)
    events = book_events(data.events, bars, open_bars)
    rates, rate_files, rate_facts = exchange_rates(data, bars, _in_splits(data, bars), known)
    finer, finer_files, finer_facts = finer_bars(data, bars)
    columns = {**events.columns, **rates, **_multipliers(data, bars, seasons), **finer}
    last = last_ever(bars, delisted)
    ends = bars.filter(pl.Series(last & known)).select("symbol", "timestamp").iter_rows()
    return MarketColumns(
        table=pl.DataFrame({"last": last, **columns}),
        names=tuple(columns),
        inputs=events.inputs + rate_files + finer_files,
        facts={
            "events": events.facts,
            "exchange_rates": rate_facts,
            "finer_bars": finer_facts,
            "delisted": {symbol: moment.isoformat() for symbol, moment in ends},
        },
        warnings=[
            *silent_ends(bars.filter(open_bars), delisted, session),
            *events.warnings,
            *_idle(seasons, bars.filter(open_bars)),
        ],
    )


def _in_splits(data: DataConfig, bars: pl.DataFrame) -> npt.NDArray[np.bool_]:
    """[n] bool: bars that lie in a split."""
    any_split = pl.any_horizontal(inside(period_of(data.splits, name)) for name in SPLITS)
    return bars.select(any_split).to_series().to_numpy().astype(np.bool_)


def _multipliers(
    data: DataConfig, bars: pl.DataFrame, seasons: Mapping[str, npt.NDArray[np.float64]]
) -> dict[str, npt.NDArray[np.float64]]:
    """The multipliers that some file maps (1 for symbols of the other files) times those of the
    hour. A volume of its own follows the hour already: liquidity is for the declared one."""
    mapped = {name for file in data.bars for name in file.columns.values()}
    out = {}
    for name in MULTIPLIERS:
        hourly = seasons.get(name.removesuffix("_multiplier"))
        if name not in mapped and hourly is None:
            continue
        values = np.ones(bars.height)
        if name in mapped:
            values = bars[name].fill_null(1.0).to_numpy().astype(np.float64)
        if hourly is not None:
            own = name == "liquidity_multiplier" and bars["volume"].to_numpy() > 0.0
            values = values * np.where(own, 1.0, hourly)
        out[name] = values
    return out


def _idle(seasons: Mapping[str, npt.NDArray[np.float64]], bars: pl.DataFrame) -> list[str]:
    """A warning where the liquidity of the hour changes nothing on ``bars``."""
    if "liquidity" not in seasons or bool((bars["volume"] <= 0.0).any()):
        return []
    return [
        "data.seasonality: liquidity moves no cost before the test split, since every bar has a "
        "volume of its own, which follows the hour already; it counts on declared_volume"
    ]
