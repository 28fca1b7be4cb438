"""What agents see of a split: chosen features, and forecasts from the first one on."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from truefill.core.errors import ConfigError, DataError
from truefill.data.split import SplitArrays
from truefill.env.seen import agent_split, with_forecasts

HOUR = 3_600


def split_of(bars: int = 6) -> SplitArrays:
    price = np.full((bars, 2), 10.0)
    return SplitArrays(
        name="train", symbols=("A", "B"), timestamps_s=np.arange(bars) * HOUR,
        open=price, high=price, low=price, close=price, volume=price,
        present=np.ones((bars, 2), bool), atr=price,
        features=np.arange(bars * 4, dtype=np.float32).reshape(bars, 2, 2),
        feature_names=("one", "two"), clock=np.zeros((bars, 4), np.float32),
        interval_s=HOUR, periods_per_year=8_766.0,
    )  # fmt: skip


def table(rows: list[tuple[int, str, float]]) -> pl.DataFrame:
    stamps = pl.Series([at * HOUR * 1_000_000 for at, _, _ in rows])
    return pl.DataFrame(
        {
            "timestamp": stamps.cast(pl.Datetime("us", "UTC")),
            "symbol": [symbol for _, symbol, _ in rows],
            "as_of": stamps.cast(pl.Datetime("us", "UTC")),
            "fold": [1 for _ in rows],
            "h1_signal": [value for _, _, value in rows],
        }
    )


def test_the_split_begins_with_its_first_forecast() -> None:
    rows = [(at, symbol, at / 10) for at in range(2, 6) for symbol in "AB"]
    seen = with_forecasts(split_of(), table(rows))
    assert seen.timestamps_s.tolist() == [at * HOUR for at in range(2, 6)]
    assert seen.feature_names == ("one", "two", "h1_signal")
    assert seen.features[:, 0, 2].tolist() == pytest.approx([0.2, 0.3, 0.4, 0.5])
    assert seen.features[0, 0, :2].tolist() == [8.0, 9.0]
    assert not seen.no_trade.any()


def test_a_symbol_without_a_forecast_may_not_be_traded() -> None:
    """B has none at 2 and 4; at 4 it carries its last one."""
    rows = [
        (2, "A", 0.2),
        (3, "A", 0.3),
        (3, "B", 0.7),
        (4, "A", 0.4),
        (5, "A", 0.5),
        (5, "B", 0.1),
    ]
    seen = with_forecasts(split_of(), table(rows))
    assert seen.no_trade[:, 1].tolist() == [True, False, True, False]
    assert not seen.no_trade[:, 0].any()
    assert seen.features[:, 1, 2].tolist() == pytest.approx([0.0, 0.7, 0.7, 0.1])


def test_no_forecast_at_all_and_a_taken_name_are_refused() -> None:
    with pytest.raises(DataError, match="no_forecast"):
        with_forecasts(split_of(), table([]))
    with pytest.raises(ConfigError, match="one"):
        with_forecasts(split_of(), table([(2, "A", 1.0)]).rename({"h1_signal": "one"}))


def test_the_agent_sees_what_the_config_names_in_that_order() -> None:
    from small_run import TREE
    from truefill.config.load import parse_config

    config = parse_config({**TREE, "env": {**TREE["env"], "features": ["two", "one"]}})
    seen = agent_split(config, split_of(), None)
    assert seen.feature_names == ("two", "one")
    assert seen.features[0, 0].tolist() == [1.0, 0.0]
    wrong = parse_config({**TREE, "env": {**TREE["env"], "features": ["tow"]}})
    with pytest.raises(ConfigError, match="tow"):
        agent_split(wrong, split_of(), None)
