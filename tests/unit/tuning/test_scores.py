"""What a trial is worth, and the regret of having chosen by it: by hand."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from truefill.config.search import SearchConfig, parse_search
from truefill.core.errors import DataError
from truefill.evaluation.metrics import measure
from truefill.evaluation.trace import Trace
from truefill.evaluation.uncertainty import interquartile_mean
from truefill.tuning.scores import block_sums, objective, out_of_fold, trial_value

SORTINO = SearchConfig()
RETURN = SearchConfig(objective="net_log_return")
REGIMES = parse_search(
    {"objective": "regime_score", "prune": {"regimes": {"weights": {
        "normal": 0.5, "choppy": 0.5, "trending": 0.0}}}}
)  # fmt: skip


def trace_of(equity: np.ndarray) -> Trace:
    zeros, bars = np.zeros(len(equity)), np.arange(len(equity))
    return Trace(
        timestamps_s=1_577_836_800 + 3_600 * bars, equity=equity, weights=zeros[:, None],
        turnover=zeros, cost=zeros, financing=zeros, dividends=zeros, close=zeros[:, None],
        trades=pl.DataFrame(), statuses={}, ambiguous=0, resolved=0,
    )  # fmt: skip


def gains(*logs: float) -> list[dict[str, list[float]]]:
    """Blocks of one bar with these log returns."""
    return [{"all": [1.0, log, min(log, 0.0) ** 2, log]} for log in logs]


def test_the_sortino_ratio_is_the_scoreboards() -> None:
    rng = np.random.default_rng(0)
    equity = 10_000.0 * np.exp(np.cumsum(rng.normal(1e-4, 0.01, 501)))
    trace = trace_of(equity)
    blocks, per_year = block_sums(trace, 7)
    trades = pl.DataFrame({"net_profit": [1.0], "return": [0.1], "bars_held": [1]})
    flat = np.zeros(501)
    shown = measure(
        equity, trace.timestamps_s, trades, weight=flat, gross=flat, turnover=flat,
        total_cost=0.0, total_financing=0.0,
    )  # fmt: skip
    assert objective(blocks, SORTINO, per_year) == pytest.approx(shown.sortino.value, rel=1e-12)
    assert objective(blocks, RETURN, per_year) == pytest.approx(np.log(equity[-1] / equity[0]))
    assert [block["all"][0] for block in blocks] == [72.0] * 3 + [71.0] * 4


def test_without_any_loss_it_is_0_or_undefined() -> None:
    assert objective(gains(0.0, 0.0), SORTINO, 100.0) == 0.0
    assert objective(gains(0.1, 0.0), SORTINO, 100.0) is None
    assert objective(gains(0.3, -0.1), SORTINO, 2.0) == pytest.approx(0.1 / (0.1 / 2**0.5) * 2**0.5)


def test_the_regime_score_is_weighted_and_a_weight_of_0_asks_for_nothing() -> None:
    block = {"normal": [2.0, 0.02, 0.0002, 0.0], "choppy": [2.0, -0.02, 0.0002, 0.0],
             "trending": [2.0, 0.5, 0.0, 0.0]}  # fmt: skip
    assert objective([block], REGIMES, 4.0) == pytest.approx(0.5 * 2.0 - 0.5 * 2.0)
    better = {**block, "choppy": [2.0, 0.0, 0.0, 0.0]}
    assert objective([better], REGIMES, 4.0) == pytest.approx(0.5 * 2.0)
    undefined = {**block, "choppy": [2.0, 0.1, 0.0, 0.0]}
    assert objective([undefined], REGIMES, 4.0) is None


@pytest.mark.parametrize(
    ("values", "mean"),
    [([5.0], 5.0), ([1.0, 3.0], 2.0), ([9.0, 1.0, 2.0], 3.0), ([1.0, 2.0, 3.0, 100.0], 2.5),
     ([0.0, 1.0, 2.0, 3.0, 1e9], (0.75 * 1 + 2 + 0.75 * 3) / 2.5)],
)  # fmt: skip
def test_the_interquartile_mean(values: list[float], mean: float) -> None:
    assert interquartile_mean(values) == pytest.approx(mean, rel=1e-12)


def test_a_trial_is_the_middle_of_its_seeds_not_the_best() -> None:
    seeds = [gains(0.9), gains(0.1), gains(0.2)]
    assert trial_value(seeds, RETURN, 1.0) == pytest.approx((0.1 / 4 + 0.2 + 0.9 / 4) / 1.5)
    assert trial_value([*seeds, gains(0.4, 0.0)], SORTINO, 1.0) is None  # one seed is undefined


def test_the_regret_by_hand() -> None:
    """Three blocks. Trial 0 shines in block 0 only, trial 1 is steady, trial 2 is bad.

    Chosen on blocks 1+2: 0 has 0.0, 1 has 0.4 -> 1, which makes 0.2 of block 0;
    on 0+2: 0 has 0.9, 1 has 0.4 -> 0, which makes 0.1 of block 1;
    on 0+1: 0 has 1.0, 1 has 0.4 -> 0, which makes -0.1 of block 2.
    """
    trials = {
        0: [gains(0.9, 0.1, -0.1)],
        1: [gains(0.2, 0.2, 0.2)],
        2: [gains(-0.5, -0.5, -0.5)],
    }
    estimate, winners = out_of_fold(trials, RETURN, 1.0)
    assert winners == [1, 0, 0]
    assert estimate == pytest.approx(0.2 + 0.1 - 0.1)
    best = trial_value(trials[0], RETURN, 1.0)
    assert best == pytest.approx(0.9)
    assert best is not None and estimate is not None
    assert best - estimate == pytest.approx(0.7)


def test_one_trial_has_no_regret_whatever_the_objective() -> None:
    seeds = [gains(0.3, -0.1, 0.2, -0.2), gains(0.1, 0.2, -0.1, -0.1)]
    for search in (SORTINO, RETURN):
        estimate, winners = out_of_fold({7: seeds}, search, 8_766.0)
        assert estimate == trial_value(seeds, search, 8_766.0)
        assert winners == [7] * 4


def test_a_split_shorter_than_its_blocks_is_refused() -> None:
    with pytest.raises(DataError, match="4 bars, too few for 5 blocks"):
        block_sums(trace_of(np.full(5, 100.0)), 5)
