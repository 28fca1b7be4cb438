"""Scores of forecasts by hand, and against their definitions."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from truefill.core.errors import DataError
from truefill.forecast.scores import class_scores, correlation, real_scores, row_scores, signal

TRUTH = np.array([0.0, 0, 0, 1, 1, 2])
SAID = np.array([0.0, 0, 1, 1, 1, 0])
SHARE = np.array(
    [[0.7, 0.2, 0.1], [0.8, 0.1, 0.1], [0.3, 0.6, 0.1],
     [0.2, 0.7, 0.1], [0.1, 0.9, 0.0], [0.5, 0.3, 0.2]]
)  # fmt: skip


def test_classes_by_hand():
    s = class_scores(TRUTH, SAID, SHARE, classes=3, bins=5)
    assert s.confusion == ((2, 1, 0), (0, 2, 0), (1, 0, 0)) and s.rows == 6
    assert s.accuracy == pytest.approx(4 / 6)
    assert [f.value for f in s.precision[:2]] == pytest.approx([2 / 3, 2 / 3])
    assert s.precision[2].value is None and "never forecast" in s.precision[2].reason
    assert [f.value for f in s.recall] == pytest.approx([2 / 3, 1.0, 0.0])
    assert [f.value for f in s.f1] == pytest.approx([2 / 3, 4 / 5, 0.0])
    assert s.macro_f1.value == pytest.approx((2 / 3 + 4 / 5) / 3)
    assert s.macro_precision.value == pytest.approx(2 / 3)  # of the classes that have one
    assert s.log_loss.value == pytest.approx(-np.log([0.7, 0.8, 0.3, 0.7, 0.9, 0.2]).mean())
    onehot = np.eye(3)[TRUTH.astype(int)]
    assert s.brier.value == pytest.approx(((SHARE - onehot) ** 2).sum(axis=1).mean())


def test_calibration_by_hand():
    """Bins of a fifth: 0.5, 0.6 (one right of none: both missed), 0.7 0.7 0.8 (all right), 0.9."""
    s = class_scores(TRUTH, SAID, SHARE, classes=3, bins=5)
    assert [b.count for b in s.calibration] == [0, 0, 2, 3, 1]
    assert s.calibration[0].accuracy.value is None
    assert s.calibration[2].accuracy.value == 0.0
    assert s.calibration[2].confidence.value == pytest.approx(0.55)
    expected = (2 * 0.55 + 3 * (1 - 2.2 / 3) + 0.1) / 6
    assert s.calibration_error.value == pytest.approx(expected)


def test_a_sure_and_wrong_forecast_costs_a_finite_loss():
    sure = np.array([[0.0, 1.0, 0.0]])
    s = class_scores(np.array([0.0]), np.array([1.0]), sure, classes=3)
    assert s.log_loss.value == pytest.approx(-math.log(1e-15)) and s.brier.value == 2.0


def test_perfect_forecasts_and_forecasts_without_probabilities():
    s = class_scores(TRUTH, TRUTH, np.eye(3)[TRUTH.astype(int)], classes=3)
    assert (s.accuracy, s.macro_f1.value, s.log_loss.value, s.brier.value) == (1.0, 1.0, 0.0, 0.0)
    bare = class_scores(TRUTH, TRUTH, None, classes=3)
    assert bare.log_loss.value is None and bare.calibration == () and bare.accuracy == 1.0


def test_quantities_by_hand():
    y, p = np.array([1.0, -1.0, 2.0, 0.0]), np.array([0.5, 0.5, 1.0, 0.0])
    s = real_scores(y, p)
    assert (s.mse, s.mae) == (pytest.approx(3.5 / 4), pytest.approx(3.0 / 4))
    assert s.r2.value == pytest.approx(1 - 3.5 / 5) and s.r2_zero.value == pytest.approx(
        1 - 3.5 / 6
    )
    assert s.correlation.value == pytest.approx(np.corrcoef(y, p)[0, 1])
    assert s.sign.value == pytest.approx(2 / 3)


def test_what_cannot_be_had_is_undefined():
    flat = real_scores(np.full(4, 0.1), np.arange(4.0))
    assert flat.correlation.value is None
    assert correlation(np.array([1.0, 2.0, np.nan]), np.arange(3.0)).value is None
    assert real_scores(np.zeros(3), np.ones(3)).r2_zero.value is None


def test_the_signal_of_classes_is_rise_less_fall():
    assert signal(SAID, SHARE) == pytest.approx([-0.6, -0.7, -0.2, -0.1, -0.1, -0.3])
    assert signal(SAID, None) is SAID


def test_scores_of_rows():
    assert row_scores(TRUTH, SAID, 3).tolist() == [1, 1, 0, 1, 1, 0]
    assert row_scores(np.array([1.0, 2.0]), np.array([0.0, 2.0]), 0).tolist() == [-1.0, 0.0]


def test_scores_are_json():
    told = json.loads(json.dumps(class_scores(TRUTH, SAID, SHARE, classes=3).to_dict()))
    assert told["confusion"][0] == [2, 1, 0]
    assert told["precision"][2] == {"value": None, "reason": "class 2 was never forecast"}
    assert told["calibration"][0]["count"] == 0
    assert "mae" in json.dumps(real_scores(TRUTH, SAID).to_dict())


@pytest.mark.parametrize(
    ("outcome", "forecast", "share", "rule"),
    [
        (TRUTH, SAID[:3], None, "paired"),
        (TRUTH[:0], SAID[:0], None, "no_label"),
        (np.where(TRUTH == 1, np.nan, TRUTH), SAID, None, "null"),
        (TRUTH, SAID, SHARE * 0.9, "probability"),
    ],
)
def test_bad_rows_are_refused(outcome, forecast, share, rule):
    with pytest.raises(DataError) as caught:
        class_scores(outcome, forecast, share, classes=3)
    assert caught.value.rule == rule
