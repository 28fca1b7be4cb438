"""How far each baseline comes on a label: on a random walk, and on hourly bars of a file.

    python benchmarks/label_baselines.py [BARS.csv]

Prints, for the smoothed label at several horizons, the share of right classes of each baseline, the
share of right directions of the label's own random-walk rule, and its correlation with the return
that can be traded. Train is the first half; the threshold is train's median |l|.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import polars as pl

from truefill.forecast.baselines import History, Train
from truefill.forecast.compare import Outcomes, compare, forecasts_of
from truefill.forecast.labels import LABELS, LabelBars, fit_label
from truefill.forecast.labels.trailing import trailing_mean

HORIZONS = (1, 3, 5, 10, 20)
NAMES = ("majority", "last_value", "random_walk", "scaled_walk", "logistic")
WARMUP = 100


def walk(count: int) -> LabelBars:
    close = 100.0 * np.exp(np.cumsum(0.01 * np.random.default_rng(3).standard_normal(count)))
    at = np.arange(count, dtype=np.int64)
    return LabelBars(3_600 * at, close, close, close, close, np.zeros_like(at))


def bars_of(path: Path) -> LabelBars:
    table = pl.read_csv(path).sort("timestamp")
    price = {name: table[name].to_numpy() for name in ("open", "high", "low", "close")}
    at = np.arange(table.height, dtype=np.int64)
    return LabelBars(3_600 * at, **price, session=np.zeros_like(at))


def features(bars: LabelBars, k: int) -> np.ndarray:
    """Gap to the trailing mean, last return, volatility of a day and of four."""
    step = np.nan_to_num(bars.log_return)
    gap = bars.close / trailing_mean(bars.close, k) - 1.0
    spread = [np.sqrt(trailing_mean(step**2, n)) for n in (24, 96)]
    return np.column_stack([gap, step, *spread])


def report(name: str, bars: LabelBars) -> None:
    print(f"{name}: {len(bars):,} bars")
    print("  k  " + " ".join(f"{n:>11}" for n in NAMES) + "  direction  traded  skill of logistic")
    for k in HORIZONS:
        half = len(bars) // 2
        x = features(bars, k)
        past = History("X", bars, x, np.arange(WARMUP, half - k))
        label = fit_label(
            "smoothed",
            LABELS.parse("smoothed", {"horizon": k}),
            {"X": bars},
            {"X": np.isin(np.arange(len(bars)), past.rows)},
        )
        test = [History("X", bars, x, np.arange(half, len(bars)))]
        found = forecasts_of(NAMES, Train.of(label, [past]), test)
        outcomes = Outcomes.of(label, test)
        mine = found.pop("logistic")
        told = compare(mine, found, outcomes, kind="class")
        right = {n: told.scores[n].accuracy for n in found} | {"logistic": told.scores[""].accuracy}
        rule = found["random_walk"].probability
        moved = np.isin(outcomes.value, (0.0, 2.0))
        aim = np.sign(rule[:, 2] - rule[:, 0])
        direction = (aim == outcomes.value - 1.0)[moved].mean()
        traded = told.traded["random_walk"].value
        s = told.skill
        print(
            f"{k:>3}  " + " ".join(f"{right[n]:>11.3f}" for n in NAMES)
            + f"  {direction:>9.3f}  {'-' if traded is None else format(traded, '.3f'):>6}"
            + f"  {s.difference:+.4f} [{s.low:+.4f}, {s.high:+.4f}] over {s.best}"
            + (", declared" if s.declared else "")
        )  # fmt: skip


if __name__ == "__main__":
    report("random walk", walk(40_000))
    if len(sys.argv) > 1:
        report(Path(sys.argv[1]).name, bars_of(Path(sys.argv[1])))
