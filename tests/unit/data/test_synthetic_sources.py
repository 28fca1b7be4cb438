"""Every synthetic market has the properties that its name promises, and no others to earn from."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

import truefill
from config_cases import base_tree
from truefill.config.load import load_config, parse_config, portable
from truefill.config.schema import SyntheticConfig
from truefill.core.errors import ConfigError, DataError
from truefill.data.synthetic import SOURCES, synthetic_bars, synthetic_series
from truefill.data.table import SAMPLE_FOLDER
from truefill.pipeline.catalog import catalog
from truefill.pipeline.folder import input_hashes

KINDS = sorted(entry.name for entry in SOURCES)
NO_EDGE = [entry.name for entry in SOURCES if entry.facts["predictor"] is None]
REAL = ("shuffled_returns", "sign_flipped_returns")
DRAWN = [kind for kind in NO_EDGE if kind not in REAL]
SAMPLE = {"file": {"path": "sample:eurusd_1h", "symbol": "EURUSD"}}
SIGMA = 0.002


def config(kind: str, **options: Any) -> SyntheticConfig:
    params = SAMPLE if kind in REAL else {}
    return SyntheticConfig(kind=kind, **{"params": params, "volatility": SIGMA, **options})


@lru_cache
def bars(kind: str, count: int = 60_000) -> pl.DataFrame:
    return synthetic_bars(config(kind, bars=count), 3_600.0)


def moves(table: pl.DataFrame) -> np.ndarray:
    """Log returns between closes, the first bar's over its open."""
    close = table["close"].to_numpy()
    return np.diff(np.log(np.append(table["open"][0], close)))


def correlation(x: np.ndarray, lag: int) -> float:
    return float(np.corrcoef(x[:-lag], x[lag:])[0, 1])


def kurtosis(x: np.ndarray) -> float:
    z = (x - x.mean()) / x.std()
    return float(np.mean(z**4))


def test_there_are_these_and_the_catalog_shows_their_parameters() -> None:
    assert [item.name for item in catalog("synthetic")] == KINDS
    assert {"garch", "regime_switching", "jumps", "heavy_tails", *REAL} < set(NO_EDGE)
    shown = {item.name: item for item in catalog("synthetic")}
    assert all(item.summary.startswith(("No edge: ", "Planted: ")) for item in shown.values())
    assert "params.degrees" in {p.name for p in shown["heavy_tails"].parameters}


@pytest.mark.parametrize("kind", KINDS)
def test_bars_are_whole_and_repeatable_and_symbols_differ(kind: str) -> None:
    options = {"bars": 400, "symbols": 2, "seed": 4}
    table = synthetic_bars(config(kind, **options), 3_600.0)
    assert table.equals(synthetic_bars(config(kind, **options), 3_600.0))
    assert not table.equals(synthetic_bars(config(kind, **{**options, "seed": 5}), 3_600.0))
    one, two = table.partition_by("symbol")
    assert (one.height, two.height) == (400, 400)
    assert not one["close"].equals(two["close"])
    opens, high, low, close = (table[k].to_numpy() for k in ("open", "high", "low", "close"))
    assert np.isfinite([opens, high, low, close]).all() and (low > 0.0).all()
    assert (high >= np.maximum(opens, close)).all() and (low <= np.minimum(opens, close)).all()
    assert (table["volume"] >= 0.0).all()
    assert one["timestamp"].diff().drop_nulls().unique().dt.total_seconds().to_list() == [3_600]
    if kind != "jumps":
        assert np.array_equal(one["open"].to_numpy()[1:], one["close"].to_numpy()[:-1])


@pytest.mark.parametrize("kind", DRAWN)
def test_no_edge_means_no_drift_and_no_memory_of_direction(kind: str) -> None:
    r = moves(bars(kind))
    simple = np.expm1(r)
    assert abs(simple.mean()) < 4.0 * simple.std() / np.sqrt(len(r))
    signs = np.sign(r)
    for lag in (1, 2, 3, 24, 168):
        assert abs(correlation(signs, lag)) < 4.0 / np.sqrt(len(r)), lag
        product = r[:-lag] * r[lag:]
        assert abs(product.mean()) < 4.0 * product.std() / np.sqrt(len(product)), lag
    ahead, known = simple[1:], np.abs(r[:-1]) > np.quantile(np.abs(r), 0.9)
    wild = ahead[known]
    assert abs(wild.mean()) < 4.0 * wild.std() / np.sqrt(len(wild))  # size tells no direction
    assert r.std() == pytest.approx(SIGMA, rel=0.15 if kind == "heavy_tails" else 0.06)


@pytest.mark.parametrize("kind", DRAWN)
def test_targets_and_stops_inside_the_bar_have_no_edge(kind: str) -> None:
    """E[close | level touched] = level. A jump is over before its bar opens."""
    table = bars(kind)
    opens, high, low, close = (table[k].to_numpy() for k in ("open", "high", "low", "close"))
    for touched, level in (
        (high >= opens * 1.002, opens * 1.002),
        (low <= opens * 0.998, opens * 0.998),
    ):
        missed = (close / level - 1.0)[touched]
        assert len(missed) > 2_000
        assert abs(missed.mean()) < 4.0 * missed.std() / np.sqrt(len(missed))


def test_garch_clusters() -> None:
    r = moves(bars("garch"))
    assert correlation(r**2, 1) > 0.1 and correlation(r**2, 20) > 0.05
    assert 3.2 < kurtosis(r) < 8.0


def test_regimes_have_two_volatilities_that_last() -> None:
    """Calm 80 % and wild 20 % of the time, three times as volatile, 400 and 100 bars long."""
    r = moves(bars("regime_switching"))
    blocks = np.abs(r[:59_980].reshape(-1, 20)).mean(axis=1)
    calm = SIGMA / np.sqrt(0.8 + 0.2 * 9.0) * np.sqrt(2.0 / np.pi)
    wild = float(np.mean(blocks > 1.9 * calm))
    assert 0.12 < wild < 0.28
    assert np.median(blocks) == pytest.approx(calm, rel=0.1)
    assert correlation(np.abs(r), 50) > 0.1 > abs(correlation(np.abs(r), 5_000))


def test_jumps_are_as_many_and_as_large_as_asked_for() -> None:
    table = bars("jumps")
    gaps = np.log(table["open"].to_numpy()[1:] / table["close"].to_numpy()[:-1])
    count = np.count_nonzero(np.abs(gaps) > 1e-12)
    expected = 0.005 * 60_000
    assert abs(count - expected) < 4.0 * np.sqrt(expected)
    share = np.sum(gaps**2) / np.sum(moves(table) ** 2)
    assert share == pytest.approx(0.4, abs=0.08)
    assert kurtosis(moves(table)) > 20.0


def test_heavy_tails_are_heavy_and_do_not_cluster() -> None:
    r = moves(bars("heavy_tails"))
    beyond = np.mean(np.abs(r) > 5.0 * r.std())
    assert beyond > 1e-3  # of a normal 6e-7
    size = np.minimum(np.abs(r), 3.0 * SIGMA)
    assert abs(correlation(size, 1)) < 4.0 / np.sqrt(len(r))


def real_bars(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    table = pl.read_csv(SAMPLE_FOLDER / "eurusd_1h.csv").head(count + 1)
    close, high, low = (table[k].to_numpy() for k in ("close", "high", "low"))
    before = close[:-1]
    return (
        np.log(close[1:] / before),
        np.log(np.maximum(high[1:], before) / before),
        np.log(np.minimum(low[1:], before) / before),
    )


def test_shuffled_bars_are_the_real_ones_without_order_and_drift() -> None:
    count = 3_000
    table = bars("shuffled_returns", count)
    r, (real, high, _) = moves(table), real_bars(count)
    assert np.mean(np.expm1(r)) == pytest.approx(0.0, abs=1e-12)
    drift = np.log(np.mean(np.exp(real)))
    assert np.sort(r) == pytest.approx(np.sort(real - drift), abs=1e-12)
    top = np.log(table["high"].to_numpy() / table["open"].to_numpy())
    assert np.sort(top) == pytest.approx(np.sort(high), abs=2.0 * abs(drift) + 1e-12)
    for lag in (1, 2, 24):
        assert abs(correlation(np.abs(r), lag)) < 4.0 / np.sqrt(count)
    assert correlation(np.abs(real), 24) > 4.0 / np.sqrt(count)  # the file's own rhythm


def test_flipped_bars_keep_their_sizes_and_lose_their_direction() -> None:
    count = 3_000
    table = bars("sign_flipped_returns", count)
    r, (real, high, low) = moves(table), real_bars(count)
    assert np.abs(r + np.log(np.cosh(real))) == pytest.approx(np.abs(real), abs=1e-12)
    up = np.isclose(r, real - np.log(np.cosh(real)), atol=1e-12) & (real != 0.0)
    same = np.mean(up[real != 0.0])
    assert abs(same - 0.5) < 4.0 * 0.5 / np.sqrt(count)
    top = np.log(table["high"].to_numpy() / table["open"].to_numpy())
    down = ~up & (real != 0.0)
    assert top[down] == pytest.approx(-low[down], abs=1e-12)
    assert top[up] == pytest.approx(high[up], abs=1e-12)
    assert abs(correlation(np.sign(r), 1)) < 4.0 / np.sqrt(count)
    assert correlation(np.abs(r), 24) > 4.0 / np.sqrt(count)


@pytest.mark.parametrize(("kind", "sign"), [("momentum", 1.0), ("mean_reversion", -1.0)])
def test_the_last_return_explains_the_strength(kind: str, sign: float) -> None:
    r = moves(synthetic_bars(config(kind, bars=60_000, strength=0.2), 3_600.0))
    assert correlation(r, 1) == pytest.approx(sign * np.sqrt(0.2), abs=0.015)
    assert r.std() == pytest.approx(SIGMA, rel=0.02)
    with pytest.raises(ConfigError, match=r"strength of 0\.99 at most"):
        synthetic_bars(config(kind, bars=10, strength=1.0), 3_600.0)


def test_the_hour_of_the_week_explains_the_strength() -> None:
    table = synthetic_bars(config("calendar_effect", bars=168 * 400, strength=0.2), 3_600.0)
    r = moves(table).reshape(400, 168)
    by_hour = r.mean(axis=0)
    noise = 0.8 * SIGMA**2 / 400
    assert (by_hour.var() - noise) / r.var() == pytest.approx(0.2, abs=0.02)
    other = synthetic_bars(config("calendar_effect", bars=168, seed=1), 3_600.0)
    assert not np.allclose(moves(other), moves(table)[:168])


@pytest.mark.parametrize(
    ("interval_s", "params", "message"),
    [(1_001.0, {}, "divides the week"), (7 * 86_400.0, {}, "divides the week"),
     (86_400.0, {"weekly_share": 0.0}, "nothing of a daily wave")],
)  # fmt: skip
def test_a_calendar_that_bars_cannot_see_is_refused(
    interval_s: float, params: dict[str, float], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        synthetic_bars(config("calendar_effect", bars=9, params=params), interval_s)
    table = synthetic_bars(config("calendar_effect", bars=70), 86_400.0)
    assert table.height == 70


def leading(**more: Any) -> dict[str, Any]:
    tree = base_tree()
    tree["data"]["synthetic"] = {"kind": "lead_lag", "strength": 0.3, "bars": 11_000}
    tree["features"] = [
        {"name": "led", "calculator": "macro_pct_change", "params": {"series": "leader"}}
    ]
    return {**tree, **more}


def test_the_leader_is_a_series_that_features_can_use() -> None:
    """Its last change explains 30 % of the next bar, as of its publication and not a bar before."""
    built = truefill.build_dataset(parse_config(leading()))
    table = built.tables["train"]
    r = moves(table)
    led = table["led"].to_numpy()
    assert np.corrcoef(led[:-1], r[1:])[0, 1] ** 2 == pytest.approx(0.3, abs=0.05)
    assert table["no_trade"].sum() == 0
    changed = np.flatnonzero(np.diff(led)) + 1
    closes = table["timestamp"].dt.epoch("s").to_numpy()[changed] + 3_600
    assert (closes % 86_400 == 0).all()  # published at midnight, the close that ends the day
    assert "leader" in built.lineage["series"]


def test_the_leader_on_its_value_date_would_be_a_leak() -> None:
    data = parse_config(leading()).data
    series = synthetic_series(data)["leader"]
    assert (series.available_at_s - series.value_date_s == 86_400).all()
    first = int(data.synthetic.start.timestamp()) if data.synthetic else 0
    assert series.available_at_s[:2].tolist() == [first - 86_400, first]


def test_a_series_of_the_same_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("timestamp,v\n2019-12-01,1\n2019-12-02,2\n")
    tree = leading()
    tree["data"]["series"] = [
        {"path": str(tmp_path / "m.csv"), "columns": {"v": "leader"}, "publication_lag": "1d"}
    ]
    with pytest.raises(ConfigError, match="brings a series 'leader' of its own"):
        truefill.build_dataset(parse_config(tree))


def test_the_real_file_counts_from_the_config_and_leaves_no_path_behind(tmp_path: Path) -> None:
    (tmp_path / "bars.csv").write_text((SAMPLE_FOLDER / "eurusd_1h.csv").read_text())
    tree = base_tree()
    file = {"path": "bars.csv", "symbol": "EURUSD"}
    tree["data"]["synthetic"] = {"kind": "shuffled_returns", "bars": 3_000,
                                 "params": {"file": file}}  # fmt: skip
    tree["data"]["splits"] = {"kind": "fractions"}
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(tree))
    loaded = load_config(tmp_path / "a.yaml")
    assert list(loaded.files().values()) == [tmp_path / "bars.csv"]
    assert len(input_hashes(loaded)) == 1
    assert str(tmp_path) not in str(portable(loaded))
    built = truefill.build_dataset(loaded)
    assert str(tmp_path) not in str(built.lineage)
    before = built.lineage["inputs"][0]["sha256"]
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "bars.csv").write_text((SAMPLE_FOLDER / "eurusd_1h.csv").read_text())
    tree["data"]["synthetic"]["params"]["file"]["path"] = "elsewhere/bars.csv"
    (tmp_path / "b.yaml").write_text(yaml.safe_dump(tree))
    moved = truefill.build_dataset(load_config(tmp_path / "b.yaml"))
    assert moved.lineage["inputs"][0]["sha256"] == before


@pytest.mark.parametrize(
    ("kind", "params", "message"),
    [
        ("randomwalk", {}, "Did you mean 'random_walk'"),
        ("garch", {"alhpa": 0.1}, "Did you mean 'alpha'"),
        ("garch", {"alpha": 0.5, "beta": 0.5}, "would not be stationary"),
        ("heavy_tails", {"degrees": 2.0}, "greater than 2"),
        ("shuffled_returns", {}, "parameter 'file'"),
    ],
)
def test_wrong_kinds_and_parameters_are_refused(
    kind: str, params: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        synthetic_bars(SyntheticConfig(kind=kind, params=params), 3_600.0)


def test_more_bars_than_the_file_has_are_refused() -> None:
    with pytest.raises(DataError) as caught:
        synthetic_bars(config("shuffled_returns", bars=1_000_000), 3_600.0)
    assert caught.value.rule == "too_few_bars"
