"""Slow series joined as of the moment each value became available.

``available_at`` = value date + publication lag. A bar may use a value only when ``available_at`` is
not after the bar's CLOSE, since decisions are made at the close. A backward join on the value date
alone would show a day's close to that day's own bars: a leak.

Empty values of the source are skipped, not carried as empty. Rolling statistics run over a series'
own values, before the join: a window of 252 is 252 published values, whatever the bars' interval,
and a value is not counted again on days without one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from truefill.config.schema import SeriesFile
from truefill.core.errors import ConfigError, did_you_mean
from truefill.data.read import InputFile, read_series_columns

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Series:
    """``value_date_s``, ``available_at_s`` i64[N], ``values`` f64[N] (finite), both ascending."""

    name: str
    value_date_s: Ints
    available_at_s: Ints
    values: Floats
    max_staleness_s: float
    publication_lag_s: float = 0.0

    @property
    def rule(self) -> dict[str, float]:
        """When a value is known, and for how long it counts: part of the feature contract."""
        return {
            "publication_lag_s": self.publication_lag_s,
            "max_staleness_s": self.max_staleness_s,
        }

    def as_of(self, derived: Floats, at_s: Ints) -> Floats:
        """f64[T]: the ``derived`` value (f64[N], one a value date) last available at ``at_s``.

        NaN before the first one, and where it is older than ``max_staleness_s``.
        """
        index = np.searchsorted(self.available_at_s, at_s, side="right") - 1
        if not len(derived):
            return np.full(len(at_s), np.nan)
        safe = np.maximum(index, 0)
        age = at_s - self.available_at_s[safe]
        usable = (index >= 0) & (age <= self.max_staleness_s)
        return np.where(usable, derived[safe], np.nan)


def pair(a: Series, b: Series) -> tuple[Series, Floats, Floats]:
    """Both series on the value dates they share, available once both are.

    Returns a series that carries the dates (its values are a - b), and the two values f64[M].
    """
    dates, at_a, at_b = np.intersect1d(a.value_date_s, b.value_date_s, return_indices=True)
    first, second = a.values[at_a], b.values[at_b]
    available = np.maximum(a.available_at_s[at_a], b.available_at_s[at_b])
    staleness = min(a.max_staleness_s, b.max_staleness_s)
    joint = Series(f"{a.name} - {b.name}", dates, available, first - second, staleness)
    return joint, first, second


def read_series(sources: Iterable[SeriesFile]) -> tuple[dict[str, Series], list[InputFile]]:
    """Every configured slow series by name, and the files they came from."""
    series: dict[str, Series] = {}
    files: list[InputFile] = []
    for source in sources:
        names = list(source.columns.values())
        for name in source.publication_lag_by_column:
            if name not in names:
                raise ConfigError(
                    f"publication_lag_by_column names {name!r}, which is no series of this file",
                    where=source.path.name,
                    do=did_you_mean(name, names),
                )
        table, file = read_series_columns(source)
        files.append(file)
        for name in names:
            kept = table.select("timestamp", name).drop_nulls()
            dates = kept["timestamp"].dt.epoch("s").to_numpy().astype(np.int64)
            lag = source.publication_lag_by_column.get(name, source.publication_lag)
            available = dates + round(lag)
            values = kept[name].to_numpy().astype(np.float64)
            series[name] = Series(name, dates, available, values, source.max_staleness, lag)
    return series, files


def find_series(series: Mapping[str, Series], name: str, *, where: str) -> Series:
    """The series called ``name``; ``ConfigError`` with the nearest name when there is none."""
    if name not in series:
        raise ConfigError(
            f"no series is called {name!r} (data.series)",
            where=where,
            do=did_you_mean(name, series),
        )
    return series[name]
