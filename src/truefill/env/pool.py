"""Each episode trades one symbol: the symbols' own bars, one after the other on one axis.

A pooled environment is one of a single symbol. Its bars are those on which the symbol is present
(its own calendar, so nothing is masked), and an episode never leaves its symbol's stretch.
"""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

from truefill.core.errors import DataError
from truefill.data.split import SplitArrays
from truefill.env.episodes import EnvArrays, EnvSpec, Pool
from truefill.market.bars import MarketBars
from truefill.market.types import SECONDS_PER_YEAR, Array, MarketParams


def pool_symbols(
    arrays: EnvArrays, spec: EnvSpec, split: SplitArrays, features: np.ndarray
) -> EnvArrays:
    """The arrays of all symbols on one axis -> those of one symbol an episode.

    Args:
        arrays: as for one account over all symbols; ``spec``: of one symbol.
        features: float32 [T, S, F].

    Raises:
        DataError: a symbol has too few bars for a window and the decision lag.
    """
    rows = [np.flatnonzero(split.present[:, s]) for s in range(len(split.symbols))]
    for name, own in zip(split.symbols, rows, strict=True):
        need = spec.first_bar + spec.lag + 1
        if len(own) < need:
            raise DataError(
                "short_split",
                f"{name} has {len(own)} bars in {split.name}; a window of {spec.window} and a "
                f"decision lag of {spec.lag} need at least {need}",
                where=f"data.splits.{split.name}",
                do="widen the split, shorten env.window_bars, or leave the symbol out",
            )
    joined = np.concatenate(rows)
    symbol = np.repeat(np.arange(len(rows)), [len(own) for own in rows])
    longest = int(jnp.max(arrays.episode.max_steps))
    return arrays._replace(
        bars=_pool_bars(arrays.bars, split, rows, symbol),
        features=jnp.asarray(features[joined, symbol], jnp.float32),
        clock=arrays.clock[joined],
        market=_by_symbol(arrays.market, len(rows)),
        pool=_pool(rows, symbol, spec, longest),
        episode=arrays.episode._replace(last_bar=jnp.asarray(len(joined) - 1, jnp.int32)),
    )


def joined_timestamps(split: SplitArrays) -> np.ndarray:
    """Unix seconds of each bar of the joined axis, int64."""
    present = [split.present[:, s] for s in range(len(split.symbols))]
    return np.concatenate([split.timestamps_s[own] for own in present])


def _pool(rows: list[np.ndarray], symbol: np.ndarray, spec: EnvSpec, longest: int) -> Pool:
    ends = np.cumsum([len(own) for own in rows]) - 1
    firsts = ends - np.asarray([len(own) for own in rows]) + 1 + spec.first_bar
    starts = [
        np.arange(first, max(end - longest, first) + 1)
        for first, end in zip(firsts, ends, strict=True)
    ]
    return Pool(
        symbol=jnp.asarray(symbol, jnp.int32),
        last_bar=jnp.asarray(ends[symbol], jnp.int32),
        starts=jnp.asarray(np.concatenate(starts), jnp.int32),
        first=jnp.asarray(firsts, jnp.int32),
    )


def _pool_bars(
    bars: MarketBars, split: SplitArrays, rows: list[np.ndarray], symbol: np.ndarray
) -> MarketBars:
    table, per_bar = np.asarray(bars.table), np.asarray(bars.per_bar)
    joined = np.concatenate(rows)
    seconds = split.timestamps_s.astype(np.float64)
    years = [np.concatenate([[0.0], np.diff(seconds[own])]) / SECONDS_PER_YEAR for own in rows]
    finer = None
    if bars.finer is not None:
        finer = jnp.asarray(np.asarray(bars.finer)[joined, :, symbol][:, :, None])
    return replace(
        bars,
        table=jnp.asarray(table[joined, :, symbol][:, :, None]),
        per_bar=jnp.asarray(np.stack([per_bar[joined, 0], np.concatenate(years)], axis=1)),
        finer=finer,
    )


def _by_symbol(params: MarketParams, symbols: int) -> MarketParams:
    """[1, S] -> [S, 1] where symbols differ (the episode picks its row), else [1, 1]."""

    def turn(leaf: Array) -> Array:
        if leaf.ndim != 2 or leaf.shape[-1] != symbols:
            return leaf
        same = bool(jnp.all(leaf == leaf[:, :1]))
        return leaf[:, :1] if same else leaf.T

    turned: MarketParams = jax.tree.map(turn, params)
    return turned
