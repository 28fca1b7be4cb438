"""What a trial is worth: sums over blocks of validation, from them the objective, and the regret of
having chosen by it.

A seed's *blocks* are contiguous parts of its best policy's backtest on validation (for the regime
score: parts of the regimes' episodes). Each block has cells, ``all`` or one a regime, and each cell
four sums: bars, simple returns, squared downside, log returns. Sums of several blocks add up, so
any set of blocks has its objective.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from truefill.agents.validate import sortino
from truefill.config.search import SearchConfig
from truefill.core.errors import DataError
from truefill.evaluation.metrics import SECONDS_PER_YEAR
from truefill.evaluation.trace import Trace
from truefill.evaluation.uncertainty import interquartile_mean

Cells = Mapping[str, Sequence[float]]
"""Cell -> [bars, sum of simple returns, sum of min(simple return, 0)^2, sum of log returns]."""
Blocks = Sequence[Cells]
WHOLE = "all"
F64 = npt.NDArray[np.float64]


def block_sums(trace: Trace, folds: int) -> tuple[list[dict[str, list[float]]], float]:
    """The blocks of a backtest, and its periods a year.

    Raises:
        DataError: validation has fewer bars than blocks.
    """
    simple, log = trace.equity[1:] / trace.equity[:-1] - 1.0, trace.log_returns
    if len(simple) < folds:
        raise DataError(
            "short_split",
            f"validation has {len(simple)} bars, too few for {folds} blocks",
            where="folds",
            do="lower folds, or widen data.splits.validation",
        )
    years = float(trace.timestamps_s[-1] - trace.timestamps_s[0]) / SECONDS_PER_YEAR
    parts = np.array_split(np.arange(len(simple)), folds)
    return [{WHOLE: sums(simple[part], log[part])} for part in parts], len(simple) / years


def sums(simple: F64, log: F64) -> list[float]:
    """The four sums of a cell."""
    losses = np.minimum(simple, 0.0)
    return [float(len(simple)), math.fsum(simple), math.fsum(losses**2), math.fsum(log)]


def objective(blocks: Blocks, search: SearchConfig, periods_per_year: float) -> float | None:
    """The objective of one seed over ``blocks``; None where it is undefined (a gain without any
    loss has no Sortino ratio)."""
    if search.objective == "net_log_return":
        return _added(blocks, WHOLE)[3]
    if search.objective == "sortino":
        return ratio(_added(blocks, WHOLE), periods_per_year)
    assert search.regimes is not None
    weights = search.regimes.weights.model_dump()
    cells = {name: _added(blocks, name) for name in weights}
    return weighted(cells, weights, periods_per_year)


def weighted(cells: Cells, weights: Mapping[str, float], periods_per_year: float) -> float | None:
    """The weighted Sortino ratios of the regimes; None where one that counts is undefined."""
    found = {n: ratio(cells[n], periods_per_year) for n, weight in weights.items() if weight > 0.0}
    defined = [weights[n] * value for n, value in found.items() if value is not None]
    return math.fsum(defined) if len(defined) == len(found) else None


def ratio(cell: Sequence[float], periods_per_year: float) -> float | None:
    """The Sortino ratio of one cell."""
    bars, simple, downside, _ = cell
    return sortino(simple, downside, int(bars), periods_per_year)


def _added(blocks: Blocks, cell: str) -> list[float]:
    return [math.fsum(block[cell][i] for block in blocks) for i in range(4)]


def trial_value(
    seeds: Sequence[Blocks], search: SearchConfig, periods_per_year: float
) -> float | None:
    """Interquartile mean of the seeds' objectives; None where one is undefined."""
    values = [objective(blocks, search, periods_per_year) for blocks in seeds]
    defined = [value for value in values if value is not None]
    return interquartile_mean(defined) if len(defined) == len(values) else None


def out_of_fold(
    trials: Mapping[int, Sequence[Blocks]], search: SearchConfig, periods_per_year: float
) -> tuple[float | None, list[int]]:
    """What choosing by validation is worth on bars that did not choose.

    For each block the winner is chosen on the other blocks, and its bars of this block are kept;
    the trial value of all kept blocks together is the estimate, whatever trial each is of. Where
    one trial wins every time that is its own value, so that the regret is exactly 0.

    Args:
        trials: the seeds' blocks of every complete trial by number; equally many seeds each.

    Returns:
        The estimate (None where it is undefined), and the winner for each block.
    """
    first = next(iter(trials.values()))
    folds = range(len(first[0]))
    winners = []
    for k in folds:
        others = {
            number: trial_value(
                [[b for j, b in enumerate(blocks) if j != k] for blocks in seeds],
                search,
                periods_per_year,
            )
            for number, seeds in trials.items()
        }
        winners.append(best_of(others))
    if any(winner is None for winner in winners):
        return None, []
    chosen = [winner for winner in winners if winner is not None]
    kept = [[trials[chosen[k]][seed][k] for k in folds] for seed in range(len(first))]
    return trial_value(kept, search, periods_per_year), chosen


def best_of(values: Mapping[int, float | None]) -> int | None:
    """The trial of the highest value; of equals the first; None where none has a value."""
    defined = {number: value for number, value in values.items() if value is not None}
    return max(defined, key=lambda number: (defined[number], -number)) if defined else None
