"""Random bars for the market's fuzz: jumpy prices with masks, pauses, splits, finer bars.

Rows of masked bars carry absurd prices, volumes and rates: nothing may look at them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from truefill.market.types import NEVER, BarState

SPLITS = (2.0, 0.5, 1.5)
FINER_BARS = 3


def random_states(rng: np.random.Generator, full: tuple[int, int]) -> np.ndarray:
    """Mostly tradable; where there are several symbols the first ends early and the last starts
    late; a single symbol ends early in every second case."""
    bars, symbols = full
    state = rng.choice([0.0, 1.0, 2.0], p=[0.05, 0.05, 0.90], size=full)
    state[0] = BarState.TRADABLE
    if symbols > 1:
        state[: bars // 20, -1] = BarState.MASKED
    if symbols > 1 or rng.random() < 0.5:
        last = bars - 2 - int(rng.integers(bars // 10 + 1))
        state[last, 0] = BarState.LAST
        state[last + 1 :, 0] = BarState.MASKED
    return state


def random_prices(
    rng: np.random.Generator, full: tuple[int, int], split: np.ndarray
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Open, high, low and close, and the average true range; all in units of their own day."""

    def jumps(chance: float, size: float) -> np.ndarray:
        return np.where(rng.random(full) < chance, rng.normal(0.0, size, full), 0.0)

    vol = rng.uniform(0.001, 0.008, full) * (rng.random(full) > 0.04)
    gap = rng.normal(0.0, 0.2, full) * vol + jumps(0.04, 0.03) + jumps(0.005, 0.35)
    move = rng.normal(0.0, 1.0, full) * vol + jumps(0.006, 0.15)
    level = np.empty(full)
    last = np.log(rng.uniform(5.0, 500.0, full[1]))
    centre = last.copy()
    for t in range(full[0]):
        level[t] = last + gap[t] - 0.01 * (last - centre)
        last = level[t] + move[t]
    level = level - np.cumsum(np.log(split), axis=0)
    open_, close = np.exp(level), np.exp(level + move)
    wide = np.where(rng.random(full) < 0.03, 0.03, 0.0)  # there and back: stop, target and call
    high = np.maximum(open_, close) * np.exp(np.abs(rng.normal(0.0, 0.5 * vol + wide)))
    low = np.minimum(open_, close) * np.exp(-np.abs(rng.normal(0.0, 0.5 * vol + wide)))
    atr = close * rng.uniform(0.0005, 0.02, full)
    return {"open": open_, "high": high, "low": low, "close": close}, atr


def random_splits(rng: np.random.Generator, full: tuple[int, int]) -> np.ndarray:
    split = np.where(rng.random(full) < 0.01, rng.choice(SPLITS, full), 1.0)
    split[0] = 1.0
    return split


def random_columns(
    rng: np.random.Generator,
    groups: frozenset[str],
    prices: dict[str, np.ndarray],
    state: np.ndarray,
    split: np.ndarray,
) -> dict[str, np.ndarray]:
    """The optional columns of ``groups``."""
    full = state.shape
    masked = state == BarState.MASKED
    found: dict[str, Any] = {}
    if "routes" in groups:
        found["maker_fee"] = rng.uniform(-2e-4, 5e-4, full)
    if groups & {"routes", "caps"}:
        together = np.repeat(rng.random((full[0], 1)) < 0.12, full[1], axis=1)
        found["session_end"] = (together | (rng.random(full) < 0.02)).astype(np.float64)
    if groups & {"impact", "participation"}:
        typical = 2e4 / prices["close"] * 10.0 ** rng.uniform(-1.0, 2.0, full)
        tiny = rng.random(full) < 0.006
        absurd = 10.0 ** rng.uniform(-9, 9, full) * (rng.random(full) < 0.5)
        found["volume"] = np.where(masked, absurd, np.where(tiny, 1e-4 * typical, typical))
    if "funding" in groups:
        found["funding"] = rng.normal(0.0, 3e-4, full) * (rng.random(full) < 0.4)
    if "dividend" in groups:
        paid = rng.uniform(0.0, 0.02, full) * (rng.random(full) < 0.02)
        found["dividend"] = paid * prices["open"]
    if "split" in groups:
        found["split"] = split
    if "rates" in groups:
        multiplier = rng.choice([0.1, 1.0, 10.0], full[1])
        path = np.exp(np.cumsum(rng.normal(0.0, 0.003, full), axis=0)) * multiplier
        found["rate_open"] = path
        off = np.where(masked, 10.0 ** rng.uniform(-3, 3, full), 1.0)
        found["rate_close"] = path * np.exp(rng.normal(0.0, 0.003, full)) * off
    if "finer" in groups:
        found |= random_finer(rng, prices)
    return found


def random_finer(rng: np.random.Generator, prices: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Finer bars within the coarse one; its high and its low are that of one of them each. Any of
    them is missing in places, the last more often."""
    high, low = prices["high"][..., None], prices["low"][..., None]
    shape = (*prices["high"].shape, FINER_BARS)
    some = rng.random((2, *shape))
    top = low + (high - low) * some.max(0)
    bottom = low + (high - low) * some.min(0)
    slots = np.arange(FINER_BARS)
    has_high = slots == rng.integers(FINER_BARS, size=shape[:2])[..., None]
    has_low = slots == rng.integers(FINER_BARS, size=shape[:2])[..., None]
    missing = rng.random(shape) < np.where(slots == FINER_BARS - 1, 0.25, 0.08)
    top, bottom = np.where(has_high, high, top), np.where(has_low, low, bottom)
    return {
        "finer_high": np.where(missing, -NEVER, top),
        "finer_low": np.where(missing, NEVER, bottom),
    }
