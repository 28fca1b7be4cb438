"""Forecasts as columns, and back."""

from __future__ import annotations

import numpy as np
import pytest

from truefill.forecast.baselines.base import Forecast
from truefill.forecast.columns import from_columns, names, to_columns
from truefill.forecast.scores import Kind

SHARE = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.25, 0.5, 0.25]])
CASES: dict[Kind, Forecast] = {
    "class": Forecast(np.array([0.0, 2.0, 1.0]), SHARE),
    "real": Forecast(np.array([0.02, -0.01, 0.0]), None, {"sigma": np.array([0.1, 0.2, 0.3])}),
    "quantile": Forecast(np.array([0.0, 0.01, 0.02]), None, {"q10": np.array([-1.0, -2.0, 0.0])}),
    "position": Forecast(np.array([-1.0, 0.5, 0.0])),
}


def test_classes_by_hand() -> None:
    columns = to_columns(3, CASES["class"], "class", 1.0)
    found = {name: values.tolist() for name, values in columns.items()}
    assert found["h3_class"] == [0.0, 1.0, 0.5]
    assert found["h3_confidence"] == [0.7, 0.6, 0.5]
    assert found["h3_p_still"] == [0.2, 0.3, 0.5]
    assert found["h3_signal"] == pytest.approx([-0.6, 0.5, 0.0])


def test_quantities_count_in_the_spread() -> None:
    found = to_columns(1, CASES["real"], "real", 0.01)
    assert found["h1_value"].tolist() == found["h1_signal"].tolist() == [2.0, -1.0, 0.0]
    assert found["h1_sigma"] == pytest.approx([10.0, 20.0, 30.0])


@pytest.mark.parametrize("kind", CASES)
def test_there_and_back(kind: Kind) -> None:
    forecast = CASES[kind]
    again = from_columns(2, to_columns(2, forecast, kind, 0.5), kind, 0.5)
    np.testing.assert_allclose(again.value, forecast.value, rtol=1e-15)
    assert (again.probability is None) == (forecast.probability is None)
    for name, values in forecast.extra.items():
        np.testing.assert_allclose(again.extra[name], values, rtol=1e-15)


def test_names_are_known_before_anything_is_forecast() -> None:
    assert names((1,), "quantile", (0.1, 0.5)) == ("h1_value", "h1_signal", "h1_q10", "h1_q50")
    assert len(names((1, 2, 3), "class")) == 18


def test_a_fact_of_the_distribution_does_not_take_the_place_of_a_class() -> None:
    facts = {"p_rise": np.array([0.9, 0.9, 0.9]), "skew": np.zeros(3)}
    columns = to_columns(1, Forecast(CASES["class"].value, SHARE, facts), "class", 1.0)
    assert columns["h1_p_rise"].tolist() == [0.1, 0.6, 0.25]
    assert columns["h1_return_p_rise"].tolist() == [0.9, 0.9, 0.9]
    again = from_columns(1, columns, "class", 1.0)
    assert again.probability is not None and again.probability.tolist() == SHARE.tolist()
    assert set(again.extra) == {"return_p_rise", "skew"}
