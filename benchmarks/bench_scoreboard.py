"""How long skill.json takes: processor seconds of one head of ROWS rows, with 6 forecasters, 6
baselines, 4 folds and 2,000 draws.

    python benchmarks/bench_scoreboard.py [ROWS]
"""

from __future__ import annotations

import sys
import time

import numpy as np

from truefill.forecast.baselines import Forecast
from truefill.forecast.compare import Outcomes
from truefill.forecast.scoreboard import score


def guesses(rng: np.random.Generator, count: int) -> Forecast:
    powers = np.exp(rng.standard_normal((count, 3)))
    return Forecast.of(powers / powers.sum(axis=1, keepdims=True))


def main(count: int) -> None:
    rng = np.random.default_rng(0)
    outcomes = Outcomes(
        rng.integers(0, 3, count).astype(np.float64),
        0.01 * rng.standard_normal(count),
        3_600 * np.arange(count),
        3,
    )
    members = {f"member {i}": guesses(rng, count) for i in range(6)}
    baselines = {f"baseline {i}": guesses(rng, count) for i in range(6)}
    folds = 1 + np.arange(count) * 4 // count
    began = time.process_time()
    found = score(members, baselines, outcomes, "class", folds=folds)
    spent = time.process_time() - began
    declared = sum(own["declared"] for own in found["forecasters"].values())
    print(f"{count:,} rows: {spent:.1f} s, {declared} of {found['tested']} declared")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 40_000)
