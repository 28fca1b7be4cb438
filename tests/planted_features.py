"""Features that know the future, each the way people really do it. None of them may pass an audit.

Each is a function of a context, registered as a calculator for the time of a test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.signal import butter, filtfilt

from truefill.core.registry import Params
from truefill.features.base import CALCULATORS, Context, Floats, calculator

DAY_S = 86_400
LEAKS: dict[str, tuple[str, Callable[[Context], Floats]]] = {}
"""Name -> what it does wrong, and the calculator."""


class NoParams(Params):
    """Parameters of a planted calculator: none."""


def leak(what: str) -> Callable[[Callable[[Context], Floats]], Callable[[Context], Floats]]:
    def decorate(make: Callable[[Context], Floats]) -> Callable[[Context], Floats]:
        LEAKS[make.__name__] = (what, make)
        return make

    return decorate


@contextmanager
def planted(names: Iterable[str]) -> Iterator[None]:
    """These leaks are registered calculators inside."""
    names = list(names)
    for name in names:
        _register(name)
    try:
        yield
    finally:
        for name in names:
            del CALCULATORS._entries[name]


def _register(name: str) -> None:
    make = LEAKS[name][1]

    def calculate(p: Any, bars: Context) -> Floats:
        return make(bars)

    calculator(name, NoParams, unit="none", source="planted", crosses_session=True,
               irregular=True)(calculate)  # fmt: skip


def _returns(bars: Context) -> Floats:
    return np.concatenate([[0.0], np.diff(np.log(bars.close))])


def _holes(bars: Context) -> Floats:
    """Close with every fifth value missing."""
    return np.where(np.arange(len(bars)) % 5 == 3, np.nan, bars.close)


def _days(bars: Context) -> np.ndarray:
    return bars.timestamps_s // DAY_S


def _by_day(bars: Context, of_day: Callable[[np.ndarray], float]) -> Floats:
    out = np.empty(len(bars))
    for day in np.unique(_days(bars)):
        rows = np.flatnonzero(_days(bars) == day)
        out[rows] = of_day(rows)
    return out


@leak("a moving average centred on its bar")
def centred_mean(bars: Context) -> Floats:
    return np.convolve(np.pad(bars.close, 2, mode="edge"), np.ones(5) / 5.0, mode="valid")


@leak("shift(-1): the next bar's return")
def shifted_back(bars: Context) -> Floats:
    return np.concatenate([_returns(bars)[1:], [0.0]])


@leak("a lag of the wrong sign, five bars ahead")
def negative_lag(bars: Context) -> Floats:
    return np.concatenate([bars.close[5:], np.full(min(5, len(bars)), bars.close[-1])])


@leak("missing values filled backward")
def back_filled(bars: Context) -> Floats:
    values = _holes(bars)
    last = len(values) - 1
    following = np.minimum.accumulate(np.where(np.isnan(values), last, np.arange(last + 1))[::-1])
    return values[following[::-1]]


@leak("missing values interpolated between neighbours")
def interpolated(bars: Context) -> Floats:
    values, rows = _holes(bars), np.arange(len(bars))
    known = ~np.isnan(values)
    return np.interp(rows, rows[known], values[known])


@leak("missing values taken from the next one that is there")
def future_filled(bars: Context) -> Floats:
    values = bars.volume.copy()
    gone = np.flatnonzero(values == 0.0)
    values[gone] = values[np.minimum(gone + 1, len(values) - 1)]
    return values


@leak("a z-score over the whole series")
def scaled_whole(bars: Context) -> Floats:
    return (bars.close - bars.close.mean()) / bars.close.std()


@leak("scaled to the whole series' minimum and maximum")
def min_max_whole(bars: Context) -> Floats:
    low, high = bars.close.min(), bars.close.max()
    return (bars.close - low) / (high - low)


@leak("the rank within the whole series")
def ranked_whole(bars: Context) -> Floats:
    return np.argsort(np.argsort(bars.close)).astype(np.float64) / len(bars)


@leak("clipped at quantiles of the whole series")
def clipped_whole(bars: Context) -> Floats:
    returns = _returns(bars)
    return np.clip(returns, np.quantile(returns, 0.2), np.quantile(returns, 0.8))


@leak("one single row looks one bar ahead")
def single_peek(bars: Context) -> Floats:
    out = _returns(bars)
    at = int(np.searchsorted(bars.timestamps_s, PEEK_S))
    if at < len(bars) - 1:
        out[at] = bars.close[at + 1]
    return out


PEEK_S = 1_577_836_800 + 200 * 3_600
"""The bar of the single peek."""


@leak("four-hour bars labelled at their left edge, known before they have closed")
def left_label(bars: Context) -> Floats:
    bucket = bars.timestamps_s // (4 * 3_600)
    last = np.searchsorted(bucket, bucket, side="right") - 1
    return bars.close[last]


@leak("the high of the higher bar that is still open")
def unclosed_high(bars: Context) -> Floats:
    bucket = bars.timestamps_s // (8 * 3_600)
    return np.array([bars.high[bucket == b].max() for b in bucket])


@leak("a daily value on its own day")
def same_day_macro(bars: Context) -> Floats:
    series = bars.series["a"]
    at = np.searchsorted(series.value_date_s // DAY_S, _days(bars), side="right") - 1
    return series.values[np.clip(at, 0, len(series.values) - 1)]


@leak("a slow series joined by value date instead of publication")
def by_value_date(bars: Context) -> Floats:
    series = bars.series["a"]
    at = np.searchsorted(series.value_date_s, bars.closes_s, side="right") - 1
    return series.values[np.clip(at, 0, len(series.values) - 1)]


@leak("a slow series interpolated between its values")
def macro_interpolated(bars: Context) -> Floats:
    series = bars.series["a"]
    return np.interp(bars.closes_s, series.available_at_s, series.values)


@leak("the hour of the day's high, known all day")
def day_argmax(bars: Context) -> Floats:
    return _by_day(bars, lambda rows: float(np.argmax(bars.high[rows])))


@leak("the day's close, known all day")
def day_close(bars: Context) -> Floats:
    return bars.close / _by_day(bars, lambda rows: float(bars.close[rows[-1]])) - 1.0


@leak("the place in the day's final range")
def day_range(bars: Context) -> Floats:
    high = _by_day(bars, lambda rows: float(bars.high[rows].max()))
    low = _by_day(bars, lambda rows: float(bars.low[rows].min()))
    return (bars.close - low) / (high - low)


@leak("the first principal component of all rows")
def whole_pca(bars: Context) -> Floats:
    columns = np.stack([_returns(bars), bars.high / bars.low - 1.0, bars.volume], axis=1)
    centred = columns - columns.mean(axis=0)
    return centred @ np.linalg.svd(centred, full_matrices=False)[2][0]


@leak("a regression fitted on all rows")
def whole_regression(bars: Context) -> Floats:
    x, y = _returns(bars)[:-1], _returns(bars)[1:]
    return _returns(bars) * float(x @ y / (x @ x))


@leak("the mean next return of the hour, over all rows")
def target_encoded(bars: Context) -> Floats:
    hour = bars.timestamps_s // 3_600 % 24
    following = np.concatenate([_returns(bars)[1:], [0.0]])
    return np.array([following[hour == h].mean() for h in hour])


@leak("a line through all rows taken off")
def detrended_whole(bars: Context) -> Floats:
    rows = np.arange(len(bars), dtype=np.float64)
    slope, start = np.polyfit(rows, bars.close, 1)
    return bars.close - (start + slope * rows)


@leak("smoothed by cutting off high frequencies (Fourier)")
def fourier(bars: Context) -> Floats:
    spectrum = np.fft.rfft(bars.close)
    spectrum[len(spectrum) // 4 :] = 0.0
    return np.fft.irfft(spectrum, len(bars))


@leak("smoothed by a wavelet (Haar, pairs of bars)")
def wavelet(bars: Context) -> Floats:
    out = bars.close.copy()
    even = len(out) // 2 * 2
    out[:even] = np.repeat(out[:even].reshape(-1, 2).mean(axis=1), 2)
    return out


@leak("a spline through every fifth bar")
def spline(bars: Context) -> Floats:
    rows = np.arange(len(bars), dtype=np.float64)
    return np.asarray(CubicSpline(rows[::5], bars.close[::5])(rows))


@leak("a zero-phase filter, run forward and backward")
def zero_phase(bars: Context) -> Floats:
    return np.asarray(filtfilt(*butter(2, 0.2), bars.close))


@leak("a total counted from the end")
def from_the_end(bars: Context) -> Floats:
    return np.cumsum(_returns(bars)[::-1])[::-1].copy()


@leak("the next bar's volume")
def next_volume(bars: Context) -> Floats:
    return np.concatenate([bars.volume[1:], bars.volume[-1:]])


@leak("the drawdown that is to come")
def future_drawdown(bars: Context) -> Floats:
    lowest = np.minimum.accumulate(bars.low[::-1])[::-1]
    return lowest / bars.close - 1.0


@leak("another symbol's next bar")
def other_ahead(bars: Context) -> Floats:
    (other,) = bars.others.values()
    at = np.searchsorted(other.timestamps_s, bars.timestamps_s, side="right")
    return other.close[np.minimum(at, len(other) - 1)]


@leak("an event's figure before it is out")
def early_figure(bars: Context) -> Floats:
    events = bars.releases[0]
    at = np.searchsorted(events.time_s, bars.closes_s, side="right")
    return events.actual[np.minimum(at, len(events) - 1)]


@leak("a future value that is only there now and then")
def rare_peek(bars: Context) -> Floats:
    returns = _returns(bars)
    following = np.concatenate([returns[1:], [0.0]])
    return np.where(returns > np.log(1.015), following, returns)
