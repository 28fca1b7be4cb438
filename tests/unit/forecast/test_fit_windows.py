"""Windows, their statistics, and which rows are fitted or judge."""

from __future__ import annotations

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from fit_cases import WINDOW, planted, returns
from forecast_cases import bars_from
from truefill.core.errors import DataError
from truefill.forecast.baselines import History
from truefill.forecast.fit.holdout import Answers, choose
from truefill.forecast.fit.windows import Standard, Table, rounded, take


def test_a_window_ends_at_its_row_oldest_bar_first():
    table = np.arange(24, dtype=np.float32).reshape(8, 3)
    found = np.asarray(take(jnp.asarray(table), jnp.asarray([7, 3], jnp.int32), 4))
    assert found.shape == (4, 3, 2)
    assert (found[:, :, 0] == table[4:8]).all() and (found[:, :, 1] == table[0:4]).all()


def test_windows_of_two_symbols_share_no_bar():
    x, y = planted(20), planted(12, symbol="Y")
    table = Table.of((x, y), WINDOW)
    assert table.at.tolist() == [*range(3, 20), *range(23, 32)]
    first = np.asarray(take(jnp.asarray(table.features), jnp.asarray(table.at[17:18]), WINDOW))
    assert (first[:, :, 0] == y.features[:4].astype(first.dtype)).all()


def test_statistics_are_of_the_windows_of_the_fitted_rows_alone():
    own = replace(planted(30), rows=np.array([5, 12, 29]))
    table = Table.of((own,), WINDOW)
    seen = table.seen(np.array([0, 1]), WINDOW)
    assert (seen == own.features[[2, 3, 4, 5, 9, 10, 11, 12]]).all()
    standard = Standard.of(np.array([[1.0, 7.0], [3.0, 7.0], [8.0, 7.0]]))
    assert standard.mean == pytest.approx([4.0, 7.0])
    assert standard.std == pytest.approx([np.sqrt(26 / 3), 1.0])
    assert (standard.apply(np.array([[4.0, 7.0]])) == 0.0).all()


def test_an_asked_row_needs_its_whole_window():
    own = replace(planted(30), rows=np.array([WINDOW - 2, 9]))
    with pytest.raises(DataError, match=r"short_window.*row 2 of X has 3 bars, a window has 4"):
        Table.of((own,), WINDOW)


def test_a_feature_that_is_not_finite_is_told_unless_no_window_holds_it():
    own = planted(30)
    own.features[10, 1] = np.nan
    with pytest.raises(DataError, match=r"feature_value.*noise of X is nan on row 10"):
        Table.of((own,), WINDOW, ("lead", "noise"))
    kept = Table.of((replace(own, rows=np.array([9, 14])),), WINDOW)
    assert np.isfinite(kept.features).all()


def test_rounded_sizes_are_few_and_at_most_an_eighth_too_large():
    found = [rounded(n) for n in range(1, 5000)]
    assert all(n <= r <= n + n // 8 + 1 for n, r in enumerate(found, 1))
    assert len(set(found)) < 90


def test_the_holdout_is_the_newest_times_and_labels_that_reach_into_it_are_left_out():
    """20 bars, horizon 3: rows 0..16 have a label; a quarter of 17 is 4 times: 13..16 judge; rows
    10..12 look at bar 13 and later."""
    bars = bars_from(np.exp(np.sin(np.arange(20.0))))
    own = History("X", bars, np.zeros((20, 1)), np.arange(20))
    found = choose(Answers.of((own,), returns(3)), 0.25)
    assert found.holdout.tolist() == [13, 14, 15, 16]
    assert found.fitted.tolist() == list(range(10))
    assert found.counts() == {"fitted": 10, "holdout": 4, "purged": 3, "null": 3}


def test_the_purge_takes_the_widest_label_and_times_of_all_symbols():
    """Y has every second bar: its label of 2 bars ends 4 hours later."""
    x = bars_from(np.exp(np.sin(np.arange(20.0))))
    y = replace(bars_from(np.exp(np.cos(np.arange(10.0)))), timestamps_s=np.arange(10) * 7_200)
    both = tuple(
        History(name, bars, np.zeros((len(bars), 1)), np.arange(len(bars)))
        for name, bars in (("X", x), ("Y", y))
    )
    answers = Answers.of(both, returns(1, 2))
    found = choose(answers, 0.2)
    first = answers.at_s[found.holdout].min()
    assert first == 15 * 3_600  # of the 19 times with any label, the newest 4
    assert (answers.end_s[found.fitted] < first).all()
    late = answers.at_s[found.fitted]
    assert late[found.fitted < 20].max() == 12 * 3_600
    assert late[found.fitted >= 20].max() == 10 * 3_600
    assert not np.intersect1d(found.fitted, found.holdout).size


def test_rows_of_a_loss_of_ones_own_have_every_label():
    own = planted(20)
    answers = Answers.of((own,), returns(1, 5))
    assert choose(answers, 0.0).null == 1 and choose(answers, 0.0, whole=True).null == 5


def test_a_holdout_that_leaves_nothing_is_refused():
    own = replace(planted(40), rows=np.arange(10, 16))
    with pytest.raises(DataError, match=r"empty_fold.*a holdout of 1 rows and 5 purged"):
        choose(Answers.of((own,), returns(6)), 0.1)
