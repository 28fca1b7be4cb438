"""Who forecasts which rows: folds as literals, and no fold knows what it forecasts."""

from __future__ import annotations

import numpy as np
import pytest

from forecast_cases import HOUR, random_walk
from truefill.config.forecast import LabelConfig, ProtocolConfig
from truefill.core.errors import DataError
from truefill.forecast.baselines.base import History
from truefill.forecast.material import Material
from truefill.forecast.protocol import WHOLE, FoldRows, Question, plan_rows, require_unseen

WINDOW = 3


def material(n: int, *, unusable: tuple[int, ...] = ()) -> Material:
    bars = random_walk(n, 1)
    usable = ~np.isin(np.arange(n), unusable)
    own = History("X", bars, np.zeros((n, 1)), np.arange(WINDOW - 1, n))
    return Material("train", (own,), (np.arange(n),), (usable,), float(HOUR))


def planned(config: ProtocolConfig, n: int = 20, **more: tuple[int, ...]) -> tuple[FoldRows, ...]:
    question = Question.of(LabelConfig(label="future_return", horizons=(1, 2)))
    return plan_rows(material(n, **more), question, config, reach_bars=WINDOW)


def rows(fold: FoldRows) -> tuple[list[int], list[int]]:
    [fitted], [asked] = fold.fitted, fold.asked
    return fitted.tolist(), asked.tolist()


def test_walk_forward_fits_on_the_past_less_what_reaches_into_the_block() -> None:
    """Rows 2 to 18 have a label (of the shorter horizon at least); the longer one reaches 2 bars
    ahead and ends in the block, so 2 rows before it go; the last row has no label, and is asked."""
    whole, first, second, third = planned(ProtocolConfig(folds=3, least_train=0.3))
    assert whole.number == WHOLE
    assert rows(whole) == (list(range(2, 19)), [])
    assert rows(first) == ([2, 3, 4], [7, 8, 9, 10])
    assert rows(second) == ([2, 3, 4, 5, 6, 7, 8], [11, 12, 13, 14])
    assert rows(third) == (list(range(2, 13)), [15, 16, 17, 18, 19])
    for fold in (first, second, third):
        require_unseen(fold, material(20))
        assert fold.known_s < fold.begin_s


def test_rolling_fits_on_as_many_times_as_the_first_fold() -> None:
    folds = planned(ProtocolConfig(folds=3, least_train=0.3, rolling=True))
    assert rows(folds[3])[0] == list(range(10, 13))


def test_k_fold_asks_every_row_and_purges_both_sides() -> None:
    """The block is 8..13. Before it the rows go whose label reaches in (6, 7), behind it those
    whose window of 3 bars begins before its last label has ended, at 15, or in the embargo."""
    folds = planned(ProtocolConfig(kind="k_fold", folds=3))
    assert rows(folds[2]) == ([2, 3, 4, 5, 18], [8, 9, 10, 11, 12, 13])
    embargoed = planned(ProtocolConfig(kind="k_fold", folds=3, embargo_bars=1))
    assert rows(embargoed[2])[0] == [2, 3, 4, 5]
    everything = sorted(row for fold in folds[1:] for row in rows(fold)[1])
    assert everything == list(range(2, 20))


def test_rows_without_a_value_of_every_feature_are_asked_but_not_fitted() -> None:
    folds = planned(ProtocolConfig(folds=3, least_train=0.3), unusable=(4, 12))
    assert 4 not in rows(folds[1])[0]
    assert 12 in rows(folds[1])[1] and 12 not in rows(folds[0])[0]


def test_a_fold_that_knows_its_answers_is_refused() -> None:
    fold = planned(ProtocolConfig(folds=3, least_train=0.3))[1]
    leaky = FoldRows(1, fold.fitted, fold.asked, fold.begin_s, fold.end_s, fold.begin_s)
    with pytest.raises(DataError, match="in_sample"):
        require_unseen(leaky, material(20))


def test_too_many_folds_are_refused() -> None:
    with pytest.raises(DataError, match="too_few_folds"):
        planned(ProtocolConfig(folds=40))


def test_thresholds_come_from_the_fitted_rows_alone() -> None:
    made = material(200)
    question = Question.of(LabelConfig(label="smoothed", horizons=(3,)))
    early = question.fitted(made, [np.arange(10, 60)])[0].thresholds["X"]
    late = question.fitted(made, [np.arange(10, 150)])[0].thresholds["X"]
    bars = made.histories[0].bars
    quantity = question.fitted(made, [np.arange(10, 60)])[0].of("X", bars).quantity
    assert early == np.median(np.abs(quantity[10:60]))
    assert early != late
