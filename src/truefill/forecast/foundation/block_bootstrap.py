"""Seeded block bootstrap: the next bars are blocks of past ones, put together anew.

Moving blocks (Künsch 1989) of the row's last ``lookback_bars`` bars, each bar a move from the close
before it to its open, high, low and close. No model, no fit: what a distribution forecaster must
beat. The draws of a row depend on the seed, the symbol and the row's bar alone (Philox, a
counter-based generator: Salmon et al. 2011), so its forecast is the same whichever rows are asked
beside it; a longer horizon carries the same paths on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from pydantic import Field, model_validator

from truefill.core.registry import Params
from truefill.forecast.baselines.base import Forecast, History, Train, forecaster
from truefill.forecast.foundation.distribution import Levels, of_samples
from truefill.forecast.foundation.paths import PRICES, Asker, Paths, need_bars
from truefill.forecast.labels.base import Floats, Ints


class BlockBootstrapParams(Params):
    """Resampled blocks of the last bars, with the facts of their distribution."""

    samples: int = Field(2048, ge=2, description="paths a row")
    block_bars: int = Field(6, ge=1, description="bars of the past that stay together")
    lookback_bars: int = Field(192, ge=1, description="bars that blocks are taken from, at most")
    least_bars: int = Field(20, ge=1, description="bars that must be there; fewer are an error")
    seed: int = Field(0, ge=0, description="of the draws")
    quantiles: Levels = Field((0.1, 0.5, 0.9), description="levels that are told")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.block_bars <= self.least_bars <= self.lookback_bars:
            raise ValueError("block_bars <= least_bars <= lookback_bars")
        return self


@dataclass(frozen=True)
class BlockBootstrap:
    params: BlockBootstrapParams
    asker: Asker

    def predict(self, histories: Sequence[History]) -> Forecast:
        """Forecasts of all rows.

        Raises:
            DataError: ``short_history``: a row has fewer than ``least_bars`` moves behind it.
        """
        said: list[Floats] = []
        facts: list[dict[str, Floats]] = []
        portion = self.asker.rows_at_once(self.params.samples)
        for own in histories:
            need_bars(own, self.params.least_bars, where="forecaster block_bootstrap")
            moves = moves_of(own)
            for at in range(0, len(own.rows), portion):
                rows = own.rows[at : at + portion]
                paths = self._paths(own, moves, rows)
                ahead = paths.close[:, :, self.asker.label.horizon - 1]
                facts.append(of_samples(ahead, self.params.quantiles))
                said.append(self._said(own, rows, paths))
        extra = {name: np.concatenate([part[name] for part in facts]) for name in facts[0]}
        return self.asker.forecast(np.concatenate(said), extra)

    def _said(self, own: History, rows: Ints, paths: Paths) -> Floats:
        """What the label says of the paths; the usual where its past is not there."""
        there = rows >= self.asker.back
        out = np.tile(self.asker.usual, (len(rows), 1))
        if there.any():
            others = {name: path[there] for name, path in paths.others.items()}
            kept = Paths(paths.close[there], others)
            answers = self.asker.answers(own.symbol, own.bars, rows[there], kept)
            out[there] = self.asker.said(answers)
        return out

    def _paths(self, own: History, moves: dict[str, Floats], rows: Ints) -> Paths:
        """Paths of the rows: closes add up; the other prices stand on the close before."""
        picked = self._picked(own, rows)
        close = np.cumsum(moves["close"][picked], axis=2)
        before = np.concatenate([np.zeros((*close.shape[:2], 1)), close[..., :-1]], axis=2)
        others = {name: before + moves[name][picked] for name in sorted(self.asker.needs)}
        return Paths(close, others)

    def _picked(self, own: History, rows: Ints) -> Ints:
        """i64[n, samples, steps]: the bars whose moves are put together."""
        p, steps = self.params, self.asker.steps
        blocks = -(-steps // p.block_bars)
        first = own_key(p.seed, own.symbol)
        starts = np.empty((len(rows), blocks, p.samples), np.int64)
        for i, t in enumerate(rows):
            window = min(p.lookback_bars, int(t))
            key = np.array([first, own.bars.timestamps_s[t]], np.int64).view(np.uint64)
            raw = np.random.Philox(key=key).random_raw(blocks * p.samples)
            choices = np.uint64(window - p.block_bars + 1)
            drawn = ((raw >> np.uint64(32)) * choices) >> np.uint64(32)
            starts[i] = drawn.astype(np.int64).reshape(blocks, p.samples) + (int(t) - window + 1)
        picked = starts.transpose(0, 2, 1)[..., None] + np.arange(p.block_bars)
        return picked.reshape(len(rows), p.samples, -1)[..., :steps]


@forecaster("block_bootstrap", BlockBootstrapParams, family="zero_shot")
def block_bootstrap(p: BlockBootstrapParams, train: Train) -> BlockBootstrap:
    """Nothing is fitted but how far the label looks."""
    return BlockBootstrap(p, Asker.of(train))


def moves_of(own: History) -> dict[str, Floats]:
    """f64[T] each: log of open, high, low, close over the close before; NaN on the first bar."""
    before = np.concatenate([[np.nan], own.bars.close[:-1]])
    return {name: np.log(getattr(own.bars, name) / before) for name in PRICES}


def own_key(seed: int, symbol: str) -> int:
    """63 bits of a symbol's own under a seed."""
    digest = hashlib.sha256(f"{seed}:{symbol}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
