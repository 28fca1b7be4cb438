"""Labels and baselines on real bars: what looks like skill there and is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from forecast_cases import asked
from truefill.config.forecast import SkillConfig
from truefill.forecast.compare import Outcomes, compare, forecasts_of
from truefill.forecast.labels import LABELS, LabelBars, fit_label
from truefill.forecast.labels.base import FittedLabel


@pytest.fixture(scope="module")
def btc(shared_data: Path) -> LabelBars:
    table = pl.read_csv(shared_data / "btcusdt_1h_2017_2022.csv").sort("timestamp")
    seconds = table["timestamp"].str.to_datetime(time_zone="UTC").dt.epoch("s").to_numpy()
    prices = {name: table[name].to_numpy() for name in ("open", "high", "low", "close")}
    return LabelBars(seconds, **prices, session=seconds // 86_400)


@pytest.mark.slow
def test_the_smoothed_label_of_hourly_bitcoin_is_given_away_by_its_past(btc: LabelBars) -> None:
    train, test = asked("smoothed", btc, len(btc) // 2, horizon=10)
    found = forecasts_of(("majority", "random_walk", "scaled_walk", "logistic"), train, test)
    outcomes = Outcomes.of(train.label, test)
    config = SkillConfig(draws=200)
    rule = found.pop("scaled_walk")
    told = compare(rule, found, outcomes, kind="class", config=config)
    assert 0.60 < told.skill.scores[""] < 0.70 and told.skill.declared
    assert abs(told.traded[""].value or 0.0) < 0.05
    own = compare(found["logistic"], {"s": rule}, outcomes, kind="class", config=config)
    assert not own.skill.declared


@pytest.mark.slow
@pytest.mark.parametrize("name", [entry.name for entry in LABELS])
def test_labels_of_real_bars_are_where_they_should_be(btc: LabelBars, name: str) -> None:
    """Missing hours are skipped, the last rows are null, and half of train stands still."""
    fitted: FittedLabel = fit_label(name, LABELS.get(name).params(), {"X": btc})
    found = fitted.of("X", btc)
    h = fitted.horizon
    assert not found.known[-h:].any() and found.known[200 : len(btc) - h].all()
    assert (found.end_s - found.timestamps_s).max() > h * 3_600  # over missing hours
    if name == "smoothed":
        assert np.mean(found.value[found.known] == 1) == pytest.approx(0.5, abs=1e-3)
