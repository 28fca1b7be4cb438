"""Markets with a known answer: one without any edge, one whose edge is planted and measured.

The log return of bar t+1 is

    volatility (sqrt(strength) signal[t] + sqrt(1 - strength) noise[t+1]) - volatility^2 / 2

with independent standard normal ``signal`` and ``noise``; ``signal[t]`` is known at the close of
bar t and ``strength`` is the share of variance it explains. ``random_walk`` is strength 0: its
``signal`` column is there and worth nothing. Without the signal the price is a martingale in both.

open[t+1] = close[t] exactly, so that an order decided at a close fills there and the edge can be
earned. High and low are drawn from the extremes of the Brownian bridge between open and close:
stops and targets inside the bar have no edge of their own, which made-up wicks would give them.
"""

from __future__ import annotations

from math import sqrt

import numpy as np
import polars as pl

from truefill.config.schema import SyntheticConfig

FIRST_PRICE = 100.0


def strength_of(config: SyntheticConfig) -> float:
    """Share of a return's variance that the signal explains; 0 on a random walk."""
    return config.strength if config.kind == "planted_signal" else 0.0


def synthetic_bars(config: SyntheticConfig, interval_s: float) -> pl.DataFrame:
    """The canonical table of bars with the further column ``signal``; symbols SYN1, SYN2, ..."""
    parts = [_one_symbol(config, interval_s, k) for k in range(config.symbols)]
    return pl.concat(parts).sort("symbol", "timestamp")


def _one_symbol(config: SyntheticConfig, interval_s: float, k: int) -> pl.DataFrame:
    T = config.bars
    rng = np.random.default_rng([config.seed, k])
    signal = rng.standard_normal(T + 1)  # signal[0] was known before the first bar
    noise = rng.standard_normal(T)
    uniform = 1.0 - rng.random((2, T))  # (0, 1]
    volume = 1_000.0 * np.exp(0.3 * rng.standard_normal(T))
    strength, sigma = strength_of(config), config.volatility
    moves = sigma * (sqrt(strength) * signal[:-1] + sqrt(1.0 - strength) * noise) - sigma**2 / 2.0
    path = np.concatenate([[0.0], np.cumsum(moves)])
    price = FIRST_PRICE * np.exp(path)
    opens, closes = price[:-1], price[1:]
    start, end = path[:-1], path[1:]
    spread = -2.0 * (1.0 - strength) * sigma**2 * np.log(uniform)
    reach = np.sqrt((end - start) ** 2 + spread)
    top = FIRST_PRICE * np.exp((start + end + reach[0]) / 2.0)
    bottom = FIRST_PRICE * np.exp((start + end - reach[1]) / 2.0)
    micros = int(config.start.timestamp() * 1e6) + np.arange(T) * round(interval_s * 1e6)
    return pl.DataFrame(
        {
            "timestamp": pl.Series(micros).cast(pl.Datetime("us", "UTC")),
            "symbol": [f"SYN{k + 1}"] * T,
            "open": opens,
            "high": np.maximum(top, np.maximum(opens, closes)),
            "low": np.minimum(bottom, np.minimum(opens, closes)),
            "close": closes,
            "volume": volume,
            "signal": signal[1:],
        }
    )
