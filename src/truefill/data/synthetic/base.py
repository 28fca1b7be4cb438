"""What a synthetic market is: log returns with what moves inside a bar -> bars.

A source draws the log return of every bar of one symbol and says how much of it is Brownian inside
the bar. Here that becomes bars: high and low are drawn from the extremes of the Brownian bridge
between open and close, so that stops and targets inside the bar have no edge of their own, which
made-up wicks would give them. open[t+1] = close[t] exactly (but for jumps, which fall between two
bars), so that an order decided at a close fills there and a planted edge can be earned.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from truefill.config.synthetic import SyntheticConfig
from truefill.core.registry import Params, Registry
from truefill.data.join import Series
from truefill.data.synthetic.chain import Chain

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
FIRST_PRICE = 100.0


class NoParams(Params):
    """No parameters of its own."""


@dataclass(frozen=True)
class World:
    """What a source is asked for: the config, and the bars' grid of time."""

    config: SyntheticConfig
    interval_s: float

    @property
    def bars(self) -> int:
        return self.config.bars

    @property
    def volatility(self) -> float:
        """Standard deviation of a bar's log return."""
        return self.config.volatility

    @property
    def strength(self) -> float:
        """Share of a return's variance that can be known in advance."""
        return self.config.strength

    @property
    def starts_us(self) -> Ints:
        """i64[bars]: bar starts, microseconds since 1970."""
        first = int(self.config.start.timestamp() * 1e6)
        return first + np.arange(self.bars) * round(self.interval_s * 1e6)


@dataclass(frozen=True)
class Walk:
    """One symbol. All arrays are f64[bars].

    ``moves``: log return between closes. ``inner``: variance of the Brownian part inside each bar.
    ``gaps``: the part of ``moves`` that falls between the last close and the open. ``shape``:
    instead of a bridge, log(high / last close) and log(low / last close). ``columns``: further
    columns of the bars. ``volume``: units; None = drawn.
    """

    moves: Floats
    inner: Floats | float
    gaps: Floats | float = 0.0
    shape: tuple[Floats, Floats] | None = None
    columns: Mapping[str, Floats] = field(default_factory=dict)
    volume: Floats | None = None


Source = Callable[[Any, World, np.random.Generator], Walk]
SOURCES: Registry[Source] = Registry("synthetic market")
Predictor = Callable[[Any, World], Chain]
MakesSeries = Callable[[Any, World], Series]


def source(
    name: str,
    params: type[Params] = NoParams,
    *,
    predictor: Predictor | None = None,
    series: MakesSeries | None = None,
) -> Callable[[Source], Source]:
    """Decorator: register a market.

    Args:
        name: its name in ``data.synthetic.kind``.
        params: its ``data.synthetic.params``.
        predictor: of a planted market, what can be known of the next bar; None: no edge exists.
        series: the slow series that leads it.
    """
    return SOURCES.register(name, params, predictor=predictor, series=series)


def to_bars(walk: Walk, world: World, symbol: str, rng: np.random.Generator) -> pl.DataFrame:
    """The canonical table of one symbol, with the further columns of its market."""
    uniform = 1.0 - rng.random((2, world.bars))  # (0, 1]
    volume = 1_000.0 * np.exp(0.3 * rng.standard_normal(world.bars))
    path = np.concatenate([[0.0], np.cumsum(walk.moves)])
    before, end = path[:-1], path[1:]
    start = before + walk.gaps
    if walk.shape is None:
        spread = -2.0 * walk.inner * np.log(uniform)
        reach = np.sqrt((end - start) ** 2 + spread)
        top = (start + end + reach[0]) / 2.0
        bottom = (start + end - reach[1]) / 2.0
    else:
        top, bottom = before + walk.shape[0], before + walk.shape[1]
    opens, closes = FIRST_PRICE * np.exp(start), FIRST_PRICE * np.exp(end)
    high, low = FIRST_PRICE * np.exp(top), FIRST_PRICE * np.exp(bottom)
    return pl.DataFrame(
        {
            "timestamp": pl.Series(world.starts_us).cast(pl.Datetime("us", "UTC")),
            "symbol": [symbol] * world.bars,
            "open": opens,
            "high": np.maximum(high, np.maximum(opens, closes)),
            "low": np.minimum(low, np.minimum(opens, closes)),
            "close": closes,
            "volume": volume if walk.volume is None else walk.volume,
            **walk.columns,
        }
    )
