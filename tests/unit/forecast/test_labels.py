"""Labels written out by hand, their thresholds, and their intervals in the purge."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from env_cases import random_split, split_of
from forecast_cases import HOUR, bars_from, random_walk
from truefill.config.forecast import LabelConfig
from truefill.config.splits import FoldsConfig
from truefill.core.errors import ConfigError, DataError, UsageError
from truefill.data.fold_plan import plan_folds, rows_of
from truefill.data.folds import Rows, purged_k_fold, walk_forward
from truefill.forecast.labels import LABELS, bars_of, fit_label, label_heads
from truefill.forecast.labels.trailing import trailing_mean

NAN = math.nan


def labels_of(name, bars, **params):
    return fit_label(name, LABELS.parse(name, params), {"X": bars}).of("X", bars)


def same(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15)


def test_smoothed_by_hand():
    """k = 2 on 1 2 4 4 2 1: m- 1.5 3 4 3, m+ 4 3 1.5 (of bars 1, 2, 3)."""
    found = labels_of("smoothed", bars_from([1, 2, 4, 4, 2, 1]), horizon=2, threshold=0.5)
    same(found.quantity, [NAN, 4 / 1.5 - 1, 0.0, 1.5 / 4 - 1, NAN, NAN])
    same(found.value, [NAN, 2, 1, 0, NAN, NAN])
    assert (found.start_s // HOUR).tolist() == [0, 0, 1, 2, 4, 5]
    assert (found.end_s // HOUR).tolist() == [0, 3, 4, 5, 4, 5]
    assert found.classes == 3 and found.known.tolist() == [False, True, True, True, False, False]


def test_the_threshold_is_the_median_of_train_rows_alone():
    bars, k = random_walk(60, seed=1), 3
    p = LABELS.parse("smoothed", {"horizon": k})
    train = {"X": np.arange(60) < 30}
    fitted = fit_label("smoothed", p, {"X": bars}, train)
    size = np.abs(fitted.of("X", bars).quantity[:30])
    assert fitted.thresholds["X"] == np.median(size[np.isfinite(size)])
    other = replace(bars, close=np.where(np.arange(60) < 33, bars.close, 2.0 * bars.close))
    assert fit_label("smoothed", p, {"X": other}, train).thresholds == fitted.thresholds
    assert fit_label("smoothed", p, {"X": bars}).thresholds != fitted.thresholds
    share = (fitted.of("X", bars).value[k - 1 : 30] == 1).mean()
    assert share == pytest.approx(0.5, abs=0.04)  # half of the train rows stand still


def test_every_symbol_has_its_own_threshold():
    quiet, loud = random_walk(50, 0, sigma=0.001), random_walk(50, 0, sigma=0.05)
    fitted = fit_label("smoothed", LABELS.parse("smoothed", {}), {"q": quiet, "l": loud})
    assert fitted.thresholds["l"] > 20 * fitted.thresholds["q"]
    with pytest.raises(UsageError, match="no threshold was fitted for 'other'"):
        fitted.of("other", quiet)


def test_no_train_row_with_a_label_is_an_error():
    with pytest.raises(DataError, match="no_label"):
        fit_label("smoothed", LABELS.parse("smoothed", {}), {"X": random_walk(39, 0)})


def test_future_return_by_hand():
    bars = bars_from([1.0, 2.0, 8.0, 4.0])  # opens 1 1 2 8
    close = labels_of("future_return", bars, horizon=2)
    same(close.value, [math.log(8), math.log(2), NAN, NAN])
    assert (close.start_s[:2] // HOUR).tolist() == [0, 1]
    assert (close.end_s // HOUR).tolist() == [2, 3, 2, 3]
    traded = labels_of("future_return", bars, horizon=2, entry="next_open")
    same(traded.value, [math.log(8), NAN, NAN, NAN])
    assert traded.end_s[0] // HOUR == 3 and traded.classes == 0


BARRIERS = {"unit": "fraction", "upper": 0.10, "lower": 0.10, "limit_bars": 2}


@pytest.mark.parametrize(
    ("high", "low", "close", "side", "klass", "quantity", "end"),
    [
        ([100, 110, 100], [100, 100, 100], [100, 105, 100], "long", 2, math.log(1.1), 1),
        ([100, 100, 100], [100, 95, 90], [100, 100, 100], "long", 0, math.log(0.9), 2),
        ([100, 120, 100], [100, 80, 100], [100, 120, 100], "long", 0, math.log(0.9), 1),
        ([100, 120, 100], [100, 80, 100], [100, 120, 100], "short", 2, math.log(1.1), 1),
        ([100, 109, 109], [100, 95, 95], [100, 100, 105], "long", 1, math.log(1.05), 2),
        ([100, 100, 130], [100, 90, 100], [100, 100, 130], "long", 0, math.log(0.9), 1),
    ],
    ids=["above", "below late", "both, long", "both, short", "neither", "the first one counts"],
)
def test_triple_barrier_by_hand(high, low, close, side, klass, quantity, end):
    bars = replace(bars_from(close), high=np.array(high, float), low=np.array(low, float))
    found = labels_of("triple_barrier", bars, side=side, **BARRIERS)
    assert found.value[0] == klass and found.end_s[0] // HOUR == end
    assert found.quantity[0] == pytest.approx(quantity)
    assert np.isnan(found.value[1:]).all()  # their two bars are not there


def test_barriers_in_volatility_follow_the_last_returns():
    """Returns of +-1 %: the root mean square is 1 %, so 2.5 units are 2.5 %."""
    path = np.exp(np.cumsum([0, 0.01, -0.01, 0.01, -0.01, 0.02, 0.02, 0.0, 0.0]))
    found = labels_of(
        "triple_barrier", bars_from(path), volatility_bars=4, limit_bars=3, upper=2.5, lower=2.5
    )
    assert np.isnan(found.value[:4]).all()  # four returns need five bars
    assert found.value[4] == 2 and found.quantity[4] == pytest.approx(0.025)
    assert (found.start_s[4] // HOUR, found.end_s[4] // HOUR) == (0, 6)


def test_a_flat_price_has_no_barriers_in_volatility():
    bars = bars_from(np.full(30, 5.0))
    assert not labels_of("triple_barrier", bars, volatility_bars=4, limit_bars=3).known.any()


@pytest.mark.parametrize("name", ["smoothed", "future_return", "triple_barrier"])
def test_sessions_may_be_kept_apart(name):
    params = {"limit_bars": 2, "unit": "fraction"} if name == "triple_barrier" else {"horizon": 2}
    bars = replace(random_walk(18, 3), session=np.arange(18) // 6)
    crossing = labels_of(name, bars, **params)
    own = labels_of(name, bars, crosses_session=False, **params)
    first, last = crossing.start_s // HOUR // 6, crossing.end_s // HOUR // 6
    assert (own.known == (crossing.known & (first == last))).all()
    assert own.known.any() and own.known.sum() < crossing.known.sum()


def test_a_masked_bar_is_no_bar():
    """Labels on a split's axis: null where the symbol has no bar, and its bars count without."""
    split = random_split(4, bars=40, symbols=2, masked=0.2)
    fitted = fit_label("future_return", LABELS.parse("future_return", {"horizon": 3}), {})
    at, bars = bars_of(split, "S1")
    found, own = fitted.of_split(split, "S1"), fitted.of("S1", bars)
    present = split.present[:, 1]
    assert not present.all() and not found.known[~present].any()
    assert (found.value[at][:-3] == own.value[:-3]).all()
    assert (found.end_s[at] == own.end_s).all()
    assert (found.end_s - found.timestamps_s).max() > 3 * HOUR  # over a masked bar
    with pytest.raises(UsageError, match="no symbol"):
        bars_of(split, "S9")


def test_sessions_of_a_split():
    split = split_of(np.arange(1.0, 51.0))
    _, bars = bars_of(split, "S0")
    assert bars.session.tolist() == [0] * 24 + [1] * 24 + [2] * 2  # UTC days


def test_the_purge_knows_what_labels_look_at():
    """Horizon 2: two rows before a test block, and (it looks back 1) three behind it."""
    found = labels_of("smoothed", random_walk(16, 0), horizon=2)
    at, rows = found.rows()
    assert at.tolist() == list(range(1, 14))
    folds = purged_k_fold(rows, folds=3)
    assert at[folds[1].test].tolist() == [6, 7, 8, 9]
    assert at[folds[1].train].tolist() == [1, 2, 3, 13]
    forward = walk_forward(rows, folds=1, test_bars=4)
    assert at[forward[0].train].tolist() == [1, 2, 3, 4, 5, 6, 7]
    _, wide = found.rows(window_start_s=found.timestamps_s - 3 * HOUR)
    assert at[purged_k_fold(wide, folds=3)[1].train].tolist() == [1, 2, 3]


def test_a_plan_is_purged_by_the_labels_of_all_symbols():
    """Two symbols: the label at 3 of the second waits until 8, so nobody trains at 3 for a test
    that begins by then, though the first symbol's own label has ended."""
    at = np.arange(10)
    stamps = pl.Series(at * 1_000_000).cast(pl.Datetime("us", "UTC"))
    tables = {"train": pl.DataFrame({"timestamp": pl.concat([stamps, stamps])})}
    config = FoldsConfig(kind="walk_forward", folds=2, test_bars=3)
    ends = np.where(at == 3, 8, at)
    plan = plan_folds(config, tables, horizon=0, window=1, label_rows=Rows(at, ends, at))
    assert plan["folds"][0]["train"]["bar_starts_s"] == [[0, 2]]
    assert plan["folds"][1]["train"]["bar_starts_s"] == [[0, 2], [4, 6]]
    assert np.flatnonzero(rows_of(plan, 1, "train", at)).tolist() == [0, 1, 2, 4, 5, 6]
    bare = plan_folds(config, tables, horizon=0, window=1)
    assert bare["folds"][1]["train"]["bar_starts_s"] == [[0, 6]]
    with pytest.raises(UsageError, match="at no bar"):
        plan_folds(config, tables, horizon=0, window=1, label_rows=Rows(at + 1, at + 1, at))


def test_a_trailing_mean_does_not_depend_on_what_lies_outside():
    x = np.random.default_rng(0).standard_normal(50) * 1e6
    alone = trailing_mean(x[20:27], 7)[-1]
    assert trailing_mean(x, 7)[26] == alone and np.isnan(trailing_mean(x[:3], 7)).all()


def test_a_random_walk_is_told_from_the_past_but_not_traded():
    """The smoothed label follows p_t - m- alone on a pure random walk (definitions: 85-90 % of
    directions), and that says nothing of the move that can be traded."""
    bars = random_walk(20_000, seed=7)
    label = labels_of("smoothed", bars, horizon=10)
    ahead = labels_of("future_return", bars, horizon=10, entry="next_open").value
    gap = bars.close / trailing_mean(bars.close, 10) - 1.0
    moved = np.isin(label.value, (0, 2))
    right = (np.sign(gap) == label.value - 1)[moved].mean()
    assert 0.83 < right < 0.92
    both = np.isfinite(gap) & np.isfinite(ahead)
    assert abs(np.corrcoef(gap[both], ahead[both])[0, 1]) < 0.05


def test_one_head_a_horizon():
    heads = label_heads(LabelConfig(params={"threshold": 0.1}, horizons=(1, 2, 3)))
    assert [(p.horizon, p.threshold) for p in heads] == [(1, 0.1), (2, 0.1), (3, 0.1)]
    barriers = label_heads(LabelConfig(label="triple_barrier", horizons=(5, 9)))
    assert [p.limit_bars for p in barriers] == [5, 9]
    assert label_heads(LabelConfig())[0].horizon == 20
    with pytest.raises(ConfigError, match="given by horizons and by params"):
        label_heads(LabelConfig(params={"horizon": 2}, horizons=(1,)))
    with pytest.raises(ValueError, match="ascend"):
        LabelConfig(horizons=(2, 1))
