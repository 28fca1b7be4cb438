"""The seeded block bootstrap: what it draws from, and what the label makes of its paths."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from forecast_cases import BARS, HOUR, asked, bars_from, history, random_walk
from truefill.core.errors import ConfigError, DataError
from truefill.forecast.baselines import FORECASTERS, Forecast, History, Train
from truefill.forecast.compare import baselines_of
from truefill.forecast.foundation.block_bootstrap import BlockBootstrap
from truefill.forecast.foundation.paths import Asker, Paths
from truefill.forecast.labels import LabelBars

N, CUT = 160, 120
NAME = "block_bootstrap"


def fitted(train: Train, **params: Any) -> BlockBootstrap:
    entry = FORECASTERS.get(NAME)
    given = FORECASTERS.parse(NAME, {"samples": 64, **params})
    model = entry.make(given, train)
    assert isinstance(model, BlockBootstrap)
    return model


def told(found: Forecast) -> dict[str, np.ndarray]:
    share = {} if found.probability is None else {"probability": found.probability}
    return {"value": found.value, **share, **found.extra}


def same(one: Forecast, other: Forecast, rows: slice = slice(None)) -> bool:
    a, b = told(one), told(other)
    return a.keys() == b.keys() and all(a[k][rows].tobytes() == b[k].tobytes() for k in a)


def test_a_block_as_long_as_the_past_repeats_the_past() -> None:
    """One block fits, so every path is the last 30 moves in their order."""
    bars = random_walk(N, 1)
    train, (own,) = asked("future_return", bars, CUT, horizon=4)
    found = fitted(train, block_bars=30, least_bars=30, lookback_bars=30).predict([own])
    steps = bars.log_return
    expected = np.array([steps[t - 29 : t - 25].sum() for t in own.rows])
    for name in ("mean", "q10", "q50", "q90"):
        assert found.extra[name] == pytest.approx(expected, abs=1e-12)
    assert found.value == pytest.approx(expected, abs=1e-12)


def test_single_moves_have_the_mean_and_the_spread_of_the_past() -> None:
    bars = random_walk(N, 2)
    train, (own,) = asked("future_return", bars, CUT, horizon=4)
    found = fitted(train, block_bars=1, lookback_bars=50, samples=4_000).predict([own])
    for i in (0, 17, 39):
        late = bars.log_return[own.rows[i] - 49 : own.rows[i] + 1]
        error = 2.0 * late.std() / np.sqrt(4_000)
        assert abs(found.extra["mean"][i] - 4 * late.mean()) < 4 * error
        assert found.extra["sigma"][i] == pytest.approx(2.0 * late.std(), rel=0.06)


def test_blocks_keep_what_follows_what() -> None:
    """Moves that take each other back: two in a row come to nothing, two single ones do not."""
    steps = np.where(np.arange(N) % 2 == 0, 0.01, -0.01)
    bars = bars_from(100.0 * np.exp(np.cumsum(steps)))
    train, test = asked("future_return", bars, CUT, horizon=2)
    whole = fitted(train, block_bars=2).predict(test)
    single = fitted(train, block_bars=1).predict(test)
    assert np.abs(whole.extra["q90"]).max() < 1e-12
    assert single.extra["sigma"].min() > 0.01


def test_the_label_itself_is_asked_of_every_path() -> None:
    """Against loops over the definition: the mean of the next 3 prices over that of the last 3."""
    bars = random_walk(N, 3)
    train, (own,) = asked("smoothed", bars, CUT, horizon=3)
    model = fitted(train, block_bars=2)
    found = model.predict([own])
    assert found.probability is not None
    threshold = train.label.thresholds["X"]
    steps = bars.log_return
    for i, t in enumerate(own.rows[:5]):
        picked = model._picked(own, own.rows[i : i + 1])[0]
        counts = [0, 0, 0]
        for path in picked:
            assert path.max() <= t and path.min() > 0 and path[1] == path[0] + 1
            ahead = bars.close[t] * np.exp(np.cumsum(steps[path]))
            behind = bars.close[t - 2 : t + 1].mean()
            quantity = (ahead.mean() - behind) / behind
            counts[1 + int(quantity > threshold) - int(quantity < -threshold)] += 1
        assert found.probability[i] == pytest.approx((np.array(counts) + 1) / (64 + 3))


def test_a_longer_horizon_carries_the_same_paths_on() -> None:
    bars = random_walk(N, 3)
    parts = [asked("future_return", bars, CUT, horizon=h) for h in (3, 8)]
    near, far = (fitted(train)._picked(test[0], test[0].rows) for train, test in parts)
    assert near.shape[-1] == 3 and far.shape[-1] == 8
    assert np.array_equal(near, far[..., :3])


def test_highs_and_lows_of_paths_touch_barriers() -> None:
    """Bars that rise 1 % and whose lows reach 4 % down: only the low is seen to touch."""
    close = 100.0 * np.exp(0.01 * np.arange(N))
    bars = bars_from(close)
    low = replace(bars, low=bars.open * 0.96)
    for own_bars, klass in ((bars, 2.0), (low, 0.0)):
        train, test = asked("triple_barrier", own_bars, CUT, limit_bars=5, unit="fraction",
                            upper=0.03, lower=0.03)  # fmt: skip
        found = fitted(train, block_bars=1).predict(test)
        assert set(found.value) == {klass}


@pytest.mark.parametrize("question", ["future_return", "smoothed"])
def test_a_row_depends_on_its_seed_symbol_bar_and_past_alone(question: str) -> None:
    bars = random_walk(N, 4)
    train, (own,) = asked(question, bars, CUT, horizon=3)
    model = fitted(train, lookback_bars=40)
    whole = model.predict([own])
    alone = History("X", bars, own.features, own.rows[7:8])
    assert same(whole, model.predict([alone]), slice(7, 8))
    older = {key: np.where(np.arange(N) < CUT - 41, 2.0, 1.0) * getattr(bars, key) for key in BARS}
    assert same(whole, model.predict([replace(own, bars=replace(bars, **older))]))
    twice = model.predict([own, own])
    assert np.array_equal(twice.value, np.tile(whole.value, 2))
    if question == "future_return":
        shifted = replace(bars, timestamps_s=bars.timestamps_s + 1)
        others = (
            model.predict([replace(own, symbol="Y")]),
            model.predict([replace(own, bars=shifted)]),
            fitted(train, lookback_bars=40, seed=1).predict([own]),
        )
        for other in others:
            assert (other.value != whole.value).all()


def test_where_the_past_is_too_short_for_the_label_train_is_told() -> None:
    bars = random_walk(N, 5)
    train, _ = asked("smoothed", bars, CUT, horizon=30)
    found = fitted(train).predict([history(bars, np.array([25, 28, 29]))])
    assert found.probability is not None
    assert found.probability[:2] == pytest.approx(np.tile(train.frequencies(), (2, 1)))
    assert found.probability[2] != pytest.approx(train.frequencies())


def test_too_few_bars_are_an_error_that_names_the_row() -> None:
    bars = random_walk(N, 5)
    train, _ = asked("future_return", bars, CUT)
    with pytest.raises(DataError, match=r"row 19 of X has as many bars before it, not 20"):
        fitted(train).predict([history(bars, np.array([19, 40]))])
    with pytest.raises(ConfigError, match="block_bars <= least_bars <= lookback_bars"):
        fitted(train, block_bars=30)


def test_it_is_no_baseline_of_others() -> None:
    train, _ = asked("smoothed", random_walk(N, 5), CUT, horizon=3)
    assert "scaled_walk" in baselines_of(train.label)
    assert not {NAME, "chronos_bolt"} & set(baselines_of(train.label, boosting=True))


@pytest.mark.parametrize(
    ("question", "params", "expected"),
    [
        ("smoothed", {"horizon": 4}, (3, 4, set())),
        ("future_return", {"horizon": 2}, (0, 2, set())),
        ("future_return", {"horizon": 2, "entry": "next_open"}, (0, 3, {"open"})),
        ("triple_barrier", {"limit_bars": 5, "volatility_bars": 8}, (8, 5, {"high", "low"})),
    ],
)
def test_how_far_a_label_looks_and_at_what(
    question: str, params: dict[str, Any], expected: tuple[int, int, set[str]]
) -> None:
    train, _ = asked(question, random_walk(N, 6), CUT, **params)
    asker = Asker.of(train)
    assert (asker.back, asker.ahead, set(asker.needs)) == expected


@pytest.mark.parametrize("question", ["smoothed", "future_return", "triple_barrier"])
def test_the_path_that_came_has_the_label_that_came(question: str) -> None:
    """The bars that followed, laid behind the past as a path, are answered as the label was."""
    params = {"limit_bars": 5, "volatility_bars": 8} if question == "triple_barrier" else {}
    if question != "triple_barrier":
        params = {"horizon": 4}
    bars = random_walk(N, 7)
    train, _ = asked(question, bars, CUT, **params)
    asker = Asker.of(train)
    rows = np.arange(CUT, N - asker.steps)
    ahead = rows[:, None] + np.arange(1, asker.steps + 1)

    def laid(name: str) -> np.ndarray:
        found = np.log(getattr(bars, name)[ahead] / bars.close[rows][:, None])
        return np.asarray(found)[:, None, :]

    path = Paths(laid("close"), {name: laid(name) for name in ("open", "high", "low")})
    answers = asker.answers("X", bars, rows, path)
    came = train.label.of("X", bars).value[rows]
    assert answers[:, 0] == pytest.approx(came, abs=1e-12)


@pytest.mark.slow
def test_real_returns_fall_below_its_quantiles_as_often_as_it_says(shared_data: Path) -> None:
    """BTC hourly, second half of 2017-2022."""
    table = pl.read_csv(shared_data / "btcusdt_1h_2017_2022.csv").sort("timestamp")
    price = {name: table[name].to_numpy() for name in BARS}
    at = np.arange(table.height)
    bars = LabelBars(HOUR * at, **price, session=np.zeros_like(at))
    half = table.height // 2
    train, _ = asked("future_return", bars, half, horizon=3)
    rows = np.arange(half, table.height - 4, 4)
    found = fitted(train, samples=1_024).predict([history(bars, rows)])
    came = train.label.of("X", bars).value[rows]
    for name, level in (("q10", 0.1), ("q50", 0.5), ("q90", 0.9)):
        assert np.mean(came < found.extra[name]) == pytest.approx(level, abs=0.02)
