"""A stream of one symbol: the dataset's bits, states on disk, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from data_cases import FEATURES, HOUR, config_of, parquet_bars, walk
from truefill.core.errors import DataError, UsageError
from truefill.data.sessions import session_of
from truefill.features.base import Context
from truefill.features.build import build_dataset, specify_all
from truefill.features.compute import context_of
from truefill.features.normalize import NormStats
from truefill.features.stream import FeatureStream

ROUND_THE_CLOCK = session_of(None)
MORE: list[dict[str, Any]] = [
    *FEATURES,
    {"name": "reach", "calculator": "atr", "params": {"period": 4, "relative": True}},
    {"name": "slow", "calculator": "higher",
     "params": {"timeframe": "4h", "calculator": "sma_distance", "params": {"window": 3}}},
    {"name": "spread", "calculator": "cross_zscore", "params": {"other": "B", "window": 8},
     "normalizer": "none"},
]  # fmt: skip


@pytest.fixture(name="built", scope="module")
def _built(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("stream")
    entries = [
        parquet_bars(folder, walk(480, seed=i, symbol=name), f"{name}.parquet")
        for i, name in enumerate("AB")
    ]
    return build_dataset(config_of({"bars": entries}, MORE))


def stream_of(built: Any, *, stats: bool = True) -> FeatureStream:
    known = {name: NormStats(**values) for name, values in built.norm_stats.items()}
    return FeatureStream(built.contract, ROUND_THE_CLOCK, HOUR, known if stats else None)


def other(bars: pl.DataFrame) -> dict[str, Context]:
    return {"B": context_of(bars, ROUND_THE_CLOCK, HOUR)}


def test_a_stream_gives_the_rows_of_the_dataset(built: Any, tmp_path: Path) -> None:
    """In portions, saved to disk and restored between them: the bits of every split's table."""
    own, beside = walk(480, seed=0, symbol="A"), walk(480, seed=1, symbol="B")
    stream, rows, at = stream_of(built), [], 0
    for step in (1, 70, 3, 200, 1, 205):
        part = slice(at, at + step)
        pushed = stream.push(own[part], others=other(beside[part]))
        assert pushed.normalized is not None
        rows.append(pushed.normalized)
        at += step
        packed, arrays = stream.save()
        np.savez(tmp_path / "state.npz", **arrays)
        (tmp_path / "state.json").write_text(json.dumps(packed))
        stream = stream_of(built)
        with np.load(tmp_path / "state.npz") as saved:
            stream.restore(json.loads((tmp_path / "state.json").read_text()), saved)
    streamed = np.concatenate(rows)
    assert at == 480
    for table in built.tables.values():
        mine = table.filter(pl.col("symbol") == "A")
        where = np.isin(own["timestamp"].to_numpy(), mine["timestamp"].to_numpy())
        for i, name in enumerate(built.contract.names):
            assert streamed[where, i].tobytes() == mine[name].to_numpy().tobytes(), name


def test_without_statistics_only_raw_values_come(built: Any) -> None:
    pushed = stream_of(built, stats=False).push(
        walk(40, symbol="A"), others=other(walk(40, seed=1, symbol="B"))
    )
    assert pushed.normalized is None and pushed.raw.shape == (40, len(MORE))
    assert np.isnan(pushed.raw[0, 0]) and np.isfinite(pushed.raw[1, 0])


def simple() -> FeatureStream:
    specs = specify_all(config_of({"bars": [{"path": "none.csv"}]}))
    return FeatureStream(specs, ROUND_THE_CLOCK, HOUR)


def test_bars_come_once_and_in_order() -> None:
    bars = walk(50)
    stream = simple()
    stream.push(bars[:30])
    with pytest.raises(DataError, match="2020-01-02T05:00:00 does not come after") as caught:
        stream.push(bars[29:40])
    assert (caught.value.rule, caught.value.where) == ("disorder", "bars row 0")
    with pytest.raises(DataError, match="the stream is of X, the bars are of Y"):
        stream.push(walk(50, symbol="Y")[40:])


def test_a_missing_value_is_refused_with_its_place_in_the_whole_history() -> None:
    broken = pl.when(pl.int_range(400) == 300).then(0.0).otherwise("close")
    bars = walk(400).with_columns(close=broken)
    stream = simple()
    stream.push(bars[:250])
    message = r"ret is -inf at X .* bar 301 of its history"
    with pytest.raises(DataError, match=message):
        stream.push(bars[250:])


def test_a_state_of_other_features_and_a_contract_of_other_bars_are_refused(built: Any) -> None:
    packed, arrays = stream_of(built).save()
    with pytest.raises(UsageError, match="of other features"):
        simple().restore(packed, arrays)
    with pytest.raises(UsageError, match="another session or bar interval"):
        FeatureStream(built.contract, ROUND_THE_CLOCK, 300.0)
