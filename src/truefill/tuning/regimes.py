"""Validation windows told apart by how straight the price ran, and a policy's score on each kind.

The efficiency ratio of a window (Kaufman 1995) is |net move| / sum of |moves| of its closes: near 1
in a straight run, near 0 where the price goes to and fro. Its quantiles over the windows of TRAIN
say which validation windows are choppy, normal and trending.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from truefill.agents import validate
from truefill.agents.networks import ActorCritic
from truefill.config.search import REGIMES, RegimesConfig
from truefill.core.errors import DataError
from truefill.env.setup import Environment
from truefill.market.types import Array
from truefill.tuning.scores import Cells, weighted

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
WHERE = "prune.regimes"


@dataclass(frozen=True)
class Episodes:
    """Fixed episodes of each regime: ``starts`` int32 [3 x episodes] in the order of ``REGIMES``;
    ``thresholds`` of the efficiency ratio; ``windows`` of validation by regime."""

    config: RegimesConfig
    starts: Array
    thresholds: tuple[float, float]
    windows: dict[str, int]


def efficiency(closes: F64, bars: int) -> F64:
    """Efficiency ratio of the windows that start at each close and end ``bars`` later.

    Args:
        closes: [T, S]; several symbols count alike.

    Returns:
        [T - bars], NaN where no price moved.
    """
    net = np.abs(closes[bars:] - closes[:-bars])
    steps = np.abs(np.diff(closes, axis=0))
    total = np.concatenate([np.zeros((1, closes.shape[1])), np.cumsum(steps, axis=0)])
    path = total[bars:] - total[:-bars]
    moved = path > 1e-12 * total[-1]
    ratio = np.where(moved, net / np.where(moved, path, 1.0), 0.0)
    counted = moved.sum(axis=1)
    known = np.where(counted > 0, ratio.sum(axis=1) / np.maximum(counted, 1), np.nan)
    return np.asarray(np.minimum(known, 1.0))


def windows(env: Environment, bars: int) -> tuple[I64, F64]:
    """First bars of every window inside ``env``, and their efficiency ratios.

    Where each episode trades one of several symbols, a window lies in one symbol's bars.
    """
    closes = np.asarray(env.arrays.bars.column("close"))
    pool = env.arrays.pool
    if pool is None:
        stretches = [(env.spec.first_bar, len(closes) - 1)]
    else:
        firsts = np.asarray(pool.first).tolist()
        stretches = [(first, int(pool.last_bar[first])) for first in firsts]
    starts, ratios = [np.zeros(0, np.int64)], [np.zeros(0)]
    for first, last in stretches:
        if last - first >= bars:
            starts.append(np.arange(first, last - bars + 1))
            ratios.append(efficiency(closes[first : last + 1], bars))
    start, ratio = np.concatenate(starts), np.concatenate(ratios)
    known = np.isfinite(ratio)
    return start[known], ratio[known]


def draw(train: Environment, held_out: Environment, config: RegimesConfig, seed: int) -> Episodes:
    """The regimes' episodes on validation, the same for every policy of a study.

    Raises:
        DataError: train is shorter than a window, or validation does not hold enough windows of a
            regime.
    """
    _, seen = windows(train, config.bars)
    if not len(seen):
        raise DataError(
            "empty_regime",
            f"train holds no window of {config.bars:,} bars in which a price moved",
            where=f"{WHERE}.bars",
            do="shorten it, or widen data.splits.train",
        )
    low, high = (float(np.quantile(seen, q)) for q in config.quantiles)
    start, ratio = windows(held_out, config.bars)
    of = {
        "normal": (ratio >= low) & (ratio <= high),
        "choppy": ratio < low,
        "trending": ratio > high,
    }
    # A number a bar of the axis: which windows are drawn does not change with those beside them.
    order = np.random.default_rng(seed).random(held_out.arrays.bars.num_bars)
    drawn = []
    for name in REGIMES:
        found = start[of[name]]
        if len(found) < config.episodes:
            raise DataError(
                "empty_regime",
                f"validation holds {len(found)} {name} windows of {config.bars:,} bars; "
                f"{config.episodes} episodes need as many",
                where=WHERE,
                do="shorten bars, move quantiles, ask for fewer episodes, or widen "
                "data.splits.validation",
            )
        drawn.append(np.sort(found[np.argsort(order[found])[: config.episodes]]))
    return Episodes(
        config=config,
        starts=jnp.asarray(np.concatenate(drawn), jnp.int32),
        thresholds=(low, high),
        windows={name: int(of[name].sum()) for name in REGIMES},
    )


def cells(
    network: ActorCritic, held_out: Environment, episodes: Episodes, folds: int = 1
) -> list[dict[str, list[float]]]:
    """The sums of each regime, its episodes dealt to ``folds`` blocks in turn.

    Raises:
        DataError: there are fewer episodes than blocks.
    """
    bars, count = episodes.config.bars, episodes.config.episodes
    if count < folds:
        raise DataError(
            "empty_regime", f"{count} episodes a regime are too few for {folds} blocks",
            where=f"{WHERE}.episodes", do="ask for more, or lower folds",
        )  # fmt: skip
    found = validate.score(
        network, held_out.arrays, episodes.starts, spec=held_out.spec, length=bars
    )
    columns = (found.simple_return, found.squared_downside, found.log_return)
    values = [np.asarray(column).reshape(len(REGIMES), count) for column in columns]
    blocks = []
    for k in range(folds):
        own = [value[:, k::folds] for value in values]
        blocks.append(
            {
                name: [float(bars * own[0].shape[1]), *(float(v[i].sum()) for v in own)]
                for i, name in enumerate(REGIMES)
            }
        )
    return blocks


def score(
    network: ActorCritic, held_out: Environment, episodes: Episodes, periods_per_year: float
) -> float | None:
    """Weighted Sortino ratios of the regimes; None where one that counts is undefined."""
    [found] = cells(network, held_out, episodes)
    seen: Cells = found
    return weighted(seen, episodes.config.weights.model_dump(), periods_per_year)
