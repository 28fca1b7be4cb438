"""Normalizers: fitted on train, in the stated order, and never on what is normalized already."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from data_cases import FEATURES, HOUR, JUMPS, START_S, config_of, parquet_bars, walk
from truefill.config.schema import FeatureConfig
from truefill.core.errors import ArtifactError, ConfigError
from truefill.features.build import build_dataset
from truefill.features.contract import FeatureContract
from truefill.features.normalize import apply, fit, specify


def spec_of(**options: Any) -> Any:
    return specify(FeatureConfig(name="f", calculator="log_return", **options), HOUR)


def test_pre_clip_then_zscore_then_clip() -> None:
    spec = spec_of(pre_clip=2.0, clip=1.5, clip_low=-1.0)
    train = np.array([-5.0, -1.0, 1.0, 5.0])  # -2, -1, 1, 2 after the pre-clip
    stats = fit(spec, train)
    assert (stats.mean, stats.std, stats.min, stats.max) == (0.0, 2.5**0.5, -2.0, 2.0)
    out = apply(spec, stats, np.array([-9.0, 1.0, 9.0, np.nan]))
    np.testing.assert_allclose(out, [-1.0, 1.0 / 2.5**0.5, 2.0 / 2.5**0.5, np.nan], rtol=1e-6)
    assert out.dtype == np.float32


def test_minmax_maps_the_stated_range_whatever_train_holds() -> None:
    spec = spec_of(normalizer="minmax", low=0.0, high=100.0)
    out = apply(spec, fit(spec, np.array([40.0, 60.0])), np.array([0.0, 50.0, 100.0]))
    assert out.tolist() == [0.0, 0.5, 1.0]


@pytest.mark.parametrize("calculator", ["session_sin", "trend_z"])
@pytest.mark.parametrize("normalizer", ["zscore", "minmax"])
def test_a_normalized_feature_takes_no_normalizer(calculator: str, normalizer: str) -> None:
    with pytest.raises(ConfigError, match="already normalized"):
        specify(FeatureConfig(name="f", calculator=calculator, normalizer=normalizer), HOUR)


def test_a_column_that_was_zscored_before_is_refused(tmp_path: Path) -> None:
    table = walk(480)
    raw = np.random.default_rng(5).standard_normal(480)
    train = np.arange(480) < 240
    z = (raw - raw[train][1:].mean()) / raw[train][1:].std()
    bars = parquet_bars(tmp_path, table.with_columns(mine=z))
    feature = {"name": "f", "calculator": "column", "params": {"column": "mine"}}
    with pytest.raises(ConfigError, match="z-scored already"):
        build_dataset(config_of({"bars": [bars]}, [feature]))
    built = build_dataset(config_of({"bars": [bars]}, [{**feature, "normalizer": "none"}]))
    assert built.norm_stats["f"]["std"] == pytest.approx(1.0)


def test_statistics_are_those_of_train_rows_of_all_symbols(tmp_path: Path) -> None:
    both = pl.concat([walk(480, symbol="A"), walk(480, seed=1, symbol="B")])
    built = build_dataset(config_of({"bars": [parquet_bars(tmp_path, both)]}))
    train = built.tables["train"]
    raw = train["raw_log_return"].to_numpy()
    assert built.norm_stats["ret"]["mean"] == pytest.approx(raw.mean(), abs=1e-15)
    assert built.norm_stats["ret"]["std"] == pytest.approx(raw.std(), rel=1e-12)
    assert train["ret"].to_numpy().mean() == pytest.approx(0.0, abs=1e-6)
    assert abs(built.tables["test"]["ret"].to_numpy().mean()) > 1e-3


def test_later_rows_never_move_the_statistics(tmp_path: Path) -> None:
    table = walk(480)
    later = pl.col("timestamp").dt.epoch("s") >= START_S + 10 * 86_400
    prices = ("open", "high", "low", "close")
    wild = table.with_columns(
        pl.when(later).then(pl.col(p) ** 2).otherwise(p).alias(p) for p in prices
    )
    a, b = parquet_bars(tmp_path, table, "a.parquet"), parquet_bars(tmp_path, wild, "b.parquet")
    one, two = (build_dataset(config_of({"bars": [bars], "defects": JUMPS})) for bars in (a, b))
    assert one.norm_stats == two.norm_stats
    assert one.tables["train"].equals(two.tables["train"])
    assert not one.tables["validation"].equals(two.tables["validation"])


def test_the_contract_hash_follows_everything_that_changes_a_features_meaning(
    tmp_path: Path,
) -> None:
    bars = {"bars": [parquet_bars(tmp_path, walk(480))]}
    base = build_dataset(config_of(bars))
    variants = [
        config_of(bars, FEATURES[::-1]),
        config_of(bars, [{**FEATURES[0], "clip": 4}, *FEATURES[1:]]),
        config_of(bars, [{**FEATURES[0], "name": "other"}, *FEATURES[1:]]),
        config_of(bars, [FEATURES[0], {**FEATURES[1], "params": {"periods": 7}}, *FEATURES[2:]]),
        config_of({**bars, "session": {"start": "00:00", "end": "23:00"}}),
    ]
    hashes = {base.contract.sha256, *(build_dataset(v).contract.sha256 for v in variants)}
    assert len(hashes) == 6 and all(len(h) == 64 for h in hashes)
    written_out = [{**f, "normalizer": f.get("normalizer", "zscore")} for f in FEATURES]
    assert build_dataset(config_of(bars, written_out)).contract == base.contract


def test_the_contract_comes_back_from_lineage_and_notices_a_change(tmp_path: Path) -> None:
    lineage = build_dataset(config_of({"bars": [parquet_bars(tmp_path, walk(480))]})).lineage
    assert FeatureContract.from_lineage(lineage).sha256 == lineage["contract_sha256"]
    with pytest.raises(ArtifactError):
        FeatureContract.from_lineage({**lineage, "interval_s": 60.0})
