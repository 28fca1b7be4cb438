"""Multipliers by hour of the week: fitted on train, read from a file, put on the bars."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from data_cases import FEATURES, HOUR, RETURN, config_of, parquet_bars, split_arrays, walk
from truefill.config.seasonality import SeasonalityConfig
from truefill.core.errors import ConfigError, DataError
from truefill.core.files import read_json
from truefill.data.dataset import write_dataset
from truefill.data.seasonality import Seasonality, hour_of_week, seasonality
from truefill.data.seasonality_file import HOURS, hour_name
from truefill.features.build import build_dataset

WEEKS = 3
T = WEEKS * HOURS
OPENING = 48
"""Hour of the week of the first bar: 2020-01-01 is a Wednesday."""


def bars_of(volume: Any, symbol: str = "A") -> pl.DataFrame:
    """Three weeks of hours with this volume."""
    return walk(T, symbol=symbol).with_columns(volume=pl.Series(np.asarray(volume, np.float64)))


def busy_at(hour: int, factor: float, T: int = T) -> np.ndarray:
    """Volume 10, ``factor`` times that in one hour of the week."""
    hours = (np.arange(T) + OPENING) % HOURS
    return np.where(hours == hour, 10.0 * factor, 10.0)


def fit(bars: pl.DataFrame, train: Any = True, **keys: Any) -> Seasonality:
    config = SeasonalityConfig(**{"fit": ("liquidity",), "min_samples": 1, **keys})
    return seasonality(config, bars, np.broadcast_to(train, bars.height))


def given(folder: Path, content: Any, **keys: Any) -> SeasonalityConfig:
    """A file of this content, and the config that reads it."""
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / "seasons.json").write_text(text)
    found = {"sha256": sha256(text.encode()).hexdigest(), **keys}
    return SeasonalityConfig(path=folder / "seasons.json", **found)


def read(folder: Path, content: Any, bars: pl.DataFrame | None = None, **keys: Any) -> Seasonality:
    bars = walk(T, symbol="A") if bars is None else bars
    return seasonality(given(folder, content, **keys), bars, np.zeros(bars.height, bool))


def flat(**changes: float) -> list[Any]:
    values: list[Any] = [1.0] * HOURS
    for key, value in changes.items():
        values[int(key[1:])] = value
    return values


def test_hour_0_is_monday_midnight_utc() -> None:
    monday = 1_578_268_800  # 2020-01-06
    seconds = monday + HOUR * np.array([-1, 0, 1, 25, 167, 168])
    assert hour_of_week(seconds).tolist() == [167, 0, 1, 25, 167, 0]
    assert hour_of_week(np.array([monday + HOUR - 1])).tolist() == [0]
    assert (hour_name(0), hour_name(49)) == ("Monday 00:00 UTC", "Wednesday 01:00 UTC")


def test_a_multiplier_is_the_hours_average_over_the_average_of_all() -> None:
    found = fit(bars_of(busy_at(50, 4.0)))
    assert found.content is not None
    [values] = found.content["liquidity"].values()
    average = (167 + 4) / 168
    assert values[50] == pytest.approx(4 / average)
    assert values[49] == pytest.approx(1 / average)
    at = np.flatnonzero(found.columns["liquidity"] > 2.0)
    assert at.tolist() == [2, 2 + 168, 2 + 336]
    assert found.facts is not None
    assert found.facts["from"] == {"liquidity": "volume"}
    assert found.facts["least_samples"] == WEEKS and found.facts["train_bars"] == T


def test_multipliers_are_drawn_into_a_tenth_to_ten() -> None:
    volume = np.where(np.arange(T) % HOURS == 5, 1e6, 10.0)
    found = fit(bars_of(volume))
    assert found.columns["liquidity"].max() == 10.0 and found.columns["liquidity"].min() == 0.1
    assert found.facts is not None and found.facts["clamped"] == HOURS


def test_a_spread_is_the_asks_or_the_range() -> None:
    close = pl.col("close")
    wide = np.where(np.arange(T) % HOURS == 7, 3e-4, 1e-4)
    bars = walk(T, symbol="A").with_columns(ask=close * (1.0 + pl.Series(wide)))
    found = fit(bars, fit=("spread",), ask="ask")
    assert found.columns["spread"][7] == pytest.approx(3 / (170 / 168))
    assert found.facts is not None and found.facts["from"] == {"spread": "ask - close"}
    bars = bars.with_columns(high=close * (1.0 + pl.Series(2.0 * wide)), low=close)
    found = fit(bars, fit=("spread",))
    assert found.columns["spread"][7] == pytest.approx(3 / (170 / 168))
    assert found.facts is not None and found.facts["from"] == {"spread": "range of the bars"}
    with pytest.raises(DataError, match="no column 'ask_open'"):
        fit(bars, fit=("spread",), ask="ask_open")


def test_symbols_are_fitted_apart_or_pooled_by_their_own_averages() -> None:
    a, b = bars_of(busy_at(50, 4.0)), bars_of(1000.0 * busy_at(60, 2.0), "B")
    apart = fit(pl.concat([a, b]))
    assert apart.content is not None and set(apart.content["liquidity"]) == {"A", "B"}
    assert apart.columns["liquidity"][2] == pytest.approx(fit(a).columns["liquidity"][2])
    pooled = fit(pl.concat([a, b]), pooled=True)
    assert pooled.content is not None
    alone = [fit(bars).columns["liquidity"][:HOURS] for bars in (a, b)]
    values = np.roll(pooled.content["liquidity"], -OPENING)
    np.testing.assert_allclose(values, (alone[0] + alone[1]) / 2, rtol=1e-12)


def test_a_symbol_without_train_bars_has_a_pooled_list_only() -> None:
    bars = pl.concat([bars_of(busy_at(50, 4.0)), bars_of(busy_at(60, 2.0), "B")])
    train = (bars["symbol"] == "A").to_numpy()
    alone = fit(bars.filter(pl.Series(train)), pooled=True)
    assert fit(bars, train, pooled=True).content == alone.content
    with pytest.raises(DataError, match=r"nothing_to_fit.*of B is 0 on average over 0 train bars"):
        fit(bars, train)
    with pytest.raises(DataError, match="nothing_to_fit"):
        fit(bars, np.zeros(2 * T, bool), pooled=True)


def test_only_train_bars_are_averaged() -> None:
    train = np.arange(T) < 2 * HOURS
    volume = np.where(train, busy_at(50, 4.0), 1e9)
    assert fit(bars_of(volume), train).content == fit(bars_of(busy_at(50, 4.0)), train).content


def test_an_hour_with_few_train_bars_is_named() -> None:
    train = np.arange(T) >= 3  # Wednesday 00:00 to 02:00 has one bar less
    with pytest.raises(DataError, match=r"few_samples\] 2 train bars of A on Wednesday 00:00 UTC, "
                       r"fewer than 3 \(and 2 more hours\)"):  # fmt: skip
        fit(bars_of(busy_at(50, 2.0)), train, min_samples=3)


def test_a_bar_in_an_hour_that_train_never_had_is_refused() -> None:
    hours = (np.arange(T) + OPENING) % HOURS
    train = hours != 100
    with pytest.raises(DataError, match="unseen_hour") as caught:
        fit(bars_of(np.full(T, 10.0)), train)
    assert "A has a bar at 2020-01-03T04:00:00+00:00" in str(caught.value)
    assert "Friday 04:00 UTC" in str(caught.value)
    kept = bars_of(np.full(T, 10.0)).filter(pl.Series(train))
    found = fit(kept)
    assert found.content is not None and found.content["liquidity"]["A"][100] is None
    assert found.facts is not None and found.facts["multipliers"]["liquidity"]["hours"] == 167


def test_nothing_to_fit_is_refused() -> None:
    with pytest.raises(DataError, match=r"nothing_to_fit.*the volume of A is 0 on average"):
        fit(bars_of(np.zeros(T)))


@pytest.mark.parametrize(
    "content",
    [
        {"spread": flat(h50=3.0)},
        {"spread": {"A": flat(h50=3.0), "Z": flat()}},
        {"spread": flat(h50=1.5), "overrides": {"spread": flat(h50=2.0)}},
        {"spread": {"A": flat(h50=1.5)}, "overrides": {"spread": {"A": flat(h50=2.0)}}},
        {"spread": {"A": flat(h50=1.5)}, "overrides": {"spread": flat(h50=2.0)}},
        {"spread": flat(h50=3.0), "latency": flat(h1=2.0)},
    ],
    ids=["flat", "by symbol", "override", "override by symbol", "one override", "latency"],
)
def test_a_file_gives_one_list_or_one_a_symbol(tmp_path: Path, content: Any) -> None:
    found = read(tmp_path, content)
    assert np.flatnonzero(found.columns["spread"] == 3.0).tolist() == [2, 170, 338]
    assert (np.delete(found.columns["spread"], [2, 170, 338]) == 1.0).all()
    assert found.facts is not None and found.content is None
    assert found.facts["unused"] == (["latency"] if "latency" in content else [])
    assert found.inputs[0].name == "seasons.json"


WRONG: list[tuple[Any, dict[str, Any], str, str]] = [
    ({"spread": flat()}, {"sha256": "0" * 64}, "wrong_hash", "the config's is 0000"),
    ("{", {}, "not_seasonality", "not valid JSON"),
    ([1.0] * HOURS, {}, "not_seasonality", "the file is no object of kinds"),
    ({"spraed": flat()}, {}, "not_seasonality", "the file holds 'spraed'"),
    ({"latency": flat()}, {}, "not_seasonality", "it holds none of liquidity, spread"),
    ({"spread": flat()[1:]}, {}, "not_168", "spread is 167 numbers, not 168"),
    ({"spread": {"A": 1.0}}, {}, "not_168", "spread.A is 1.0, not 168 numbers"),
    ({"spread": flat(h25=0.0)}, {}, "not_positive", "spread is 0.0 at Tuesday 01:00 UTC"),
    ({"spread": flat(h25=-1.0)}, {}, "not_positive", "spread is -1.0 at Tuesday 01:00 UTC"),
    ({"spread": ["x", *flat()[1:]]}, {}, "not_positive", "spread is 'x' at Monday 00:00 UTC"),
    ({"spread": [True, *flat()[1:]]}, {}, "not_positive", "spread is True"),
    ({"spread": flat(h3=float("inf"))}, {}, "not_positive", "spread is inf"),
    ({"latency": flat(h3=0.0), "spread": flat()}, {}, "not_positive", "latency is 0.0"),
    ({"spread": flat(), "overrides": {"liquidity": flat()}}, {}, "not_seasonality",
     "overrides holds 'liquidity'"),
    ({"spread": flat(), "overrides": {"spread": {"A": flat()}}}, {}, "not_seasonality",
     "spread is one list, its override one a symbol"),
    ({"spread": {"A": flat()}, "overrides": {"spread": {"B": flat()}}}, {}, "not_seasonality",
     "overrides.spread names 'B'"),
    ({"spread": {"B": flat()}}, {}, "missing_symbol", "spread has no list for A"),
    ({"spread": [None, *flat()[1:]]}, {}, "unseen_hour", "Monday 00:00 UTC"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "keys", "rule", "what"), WRONG, ids=[w[3] for w in WRONG])
def test_a_wrong_file_is_refused_by_name(
    tmp_path: Path, content: Any, keys: dict[str, Any], rule: str, what: str
) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path, content, **keys)
    assert caught.value.rule == rule and what in str(caught.value)


def test_an_absent_file_is_refused(tmp_path: Path) -> None:
    config = SeasonalityConfig(path=tmp_path / "no.json", sha256="0" * 64)
    with pytest.raises(DataError, match="missing_file"):
        seasonality(config, walk(T), np.ones(T, bool))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({}, "give either fit or path"),
        ({"fit": ["spread"], "path": "a.json", "sha256": "0" * 64}, "give either fit or path"),
        ({"fit": ["spread", "spread"]}, "fit names a kind twice"),
        ({"path": "a.json"}, "path and sha256 come together"),
        ({"fit": ["liquidity"], "ask": "ask"}, "ask is for fitting spread"),
        ({"path": "a.json", "sha256": "abc"}, "sha256"),
        ({"fit": ["latency"]}, "'liquidity' or 'spread'"),
    ],
)
def test_a_seasonality_that_cannot_be_is_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config_of({"synthetic": {"kind": "random_walk"}, "seasonality": keys})


def hourly(folder: Path, volume: Any = 10.0, **data: Any) -> dict[str, Any]:
    """480 hours whose ranges are three times as wide at 14:00 UTC."""
    wide = pl.when(pl.col("timestamp").dt.hour() == 14).then(0.03).otherwise(0.01)
    bars = walk(480).with_columns(
        open=pl.col("close"), high=pl.col("close") * (1.0 + wide), low=pl.col("close"),
        volume=pl.lit(volume).cast(pl.Float64),
    )  # fmt: skip
    return {"bars": [parquet_bars(folder, bars)], **data}


SPREAD = {"fit": ["spread"], "min_samples": 1}


def test_the_fitted_spread_reaches_the_market_and_comes_back_from_its_file(tmp_path: Path) -> None:
    data = hourly(tmp_path, seasonality=SPREAD)
    built = build_dataset(config_of(data, RETURN))
    names = write_dataset(built, tmp_path / "d")
    assert "seasonality.json" in names
    facts = built.lineage["seasonality"]
    path = tmp_path / "d" / "seasonality.json"
    assert facts["sha256"] == sha256(path.read_bytes()).hexdigest()
    assert set(read_json(path)) == {"spread"}
    train = built.tables["train"]
    dear = train.filter(pl.col("timestamp").dt.hour() == 14)["spread_multiplier"]
    cheap = train.filter(pl.col("timestamp").dt.hour() == 3)["spread_multiplier"]
    assert dear.min() > 1.5 > 1.0 > cheap.max()  # type: ignore[operator]
    again = {"path": str(path), "sha256": facts["sha256"]}
    second = build_dataset(config_of(hourly(tmp_path, seasonality=again), RETURN))
    assert second.tables["test"].equals(built.tables["test"])
    assert second.seasonality is None
    assert second.lineage["inputs"][-1]["file"] == "seasonality.json"


def test_the_liquidity_of_the_hour_is_for_bars_without_a_volume_of_their_own(
    tmp_path: Path,
) -> None:
    content = {"liquidity": [0.5 if h % 24 == 14 else 1.0 for h in range(HOURS)]}
    config = given(tmp_path, content).model_dump(mode="json")
    rows = np.where(np.arange(480) % 48 < 24, 10.0, 0.0)  # every other day has none
    data = hourly(tmp_path, pl.Series(rows), seasonality=config)
    built = build_dataset(config_of(data, RETURN, market={"declared_volume": 5}))
    found = built.tables["train"].filter(pl.col("timestamp").dt.hour() == 14)
    halves = found["liquidity_multiplier"].to_list()
    assert halves == [0.5 if v == 0.0 else 1.0 for v in found["volume"]]
    assert 0.5 in halves and 1.0 in halves
    assert not any("moves no cost" in text for text in built.lineage["warnings"])
    data = hourly(tmp_path, seasonality=config)
    warnings = build_dataset(config_of(data, RETURN)).lineage["warnings"]
    assert any("liquidity moves no cost" in text for text in warnings)


SEASON = [{**FEATURES[0]}, {"name": "hourly", "calculator": "column", "normalizer": "none",
                            "params": {"column": "spread_season"}}]  # fmt: skip


def test_multipliers_are_features_only_from_a_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="spread_season is a feature of multipliers from a file"):
        build_dataset(config_of(hourly(tmp_path, seasonality=SPREAD), SEASON))
    content = {"spread": [3.0 if h % 24 == 14 else 1.0 for h in range(HOURS)]}
    config = given(tmp_path, content).model_dump(mode="json")
    built = build_dataset(config_of(hourly(tmp_path, seasonality=config), SEASON))
    train = built.tables["train"]
    assert train["hourly"].to_list() == [
        3.0 if stamp.hour == 14 else 1.0 for stamp in train["timestamp"]
    ]


def test_without_seasonality_there_is_none(tmp_path: Path) -> None:
    built = build_dataset(config_of(hourly(tmp_path), RETURN))
    assert built.seasonality is None and built.lineage["seasonality"] is None
    assert "seasonality.json" not in write_dataset(built, tmp_path / "d")
    assert split_arrays(tmp_path, hourly(tmp_path)).extra == {}
