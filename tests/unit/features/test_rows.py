"""Stale bars stay, closed to trading, with the features of the last complete bar."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from data_cases import (
    FEATURES,
    JUMPS,
    RETURN,
    ROW_ENDS,
    config_of,
    extra_bars,
    parquet_bars,
    series_entry,
    walk,
)
from truefill.core.errors import DataError
from truefill.features.build import build_dataset


def test_stale_bars_stay_without_trading_and_carry_the_last_good_features(tmp_path: Path) -> None:
    days = [d for d in range(40) if not 13 <= d <= 15]  # day 10 is 1 January
    data = {**extra_bars(tmp_path), "series": [series_entry(tmp_path, days)]}
    change = {"name": "m_change", "calculator": "macro_pct_change", "params": {"series": "m"}}
    built = build_dataset(config_of(data, [*FEATURES, change]))
    rows = built.lineage["rows"]
    # Day 12's value is published at the start of day 13 and counts until the start of day 15;
    # day 16's is published at the start of day 17. Bars that close strictly between have none.
    stale = (17 - 15) * 24 - 1
    assert (rows["no_trade_stale"], rows["dropped_warmup"]) == (stale, 38)
    assert "dropped_stale" not in rows
    assert rows["read"] == sum(rows[k] for k in ROW_ENDS)
    assert built.lineage["stale_or_unjoined"] == {"m_change": stale}
    train = built.tables["train"]
    assert (np.diff(train["timestamp"].dt.epoch("s").to_numpy()) == 3_600).all()
    closed = np.flatnonzero(train["no_trade"].to_numpy())
    # Day 15 began 5 x 24 bars after 1 January, and 38 rows of warm-up are gone.
    first = (15 - 10) * 24 - 38
    np.testing.assert_array_equal(closed, first + np.arange(stale))
    names = list(built.contract.names)
    good = train.select(names).row(first - 1)
    assert all(row == good for row in train[closed].select(names).iter_rows())
    assert train.select(names).row(first - 2) != good != train.select(names).row(first + stale)
    raw = train["raw_log_return"].to_numpy()  # prices and what is measured on them go on
    assert len(set(raw[closed])) == stale


def test_stale_bars_move_no_normalizer_and_no_dead_feature(tmp_path: Path) -> None:
    """The statistics are those of the rows that have all their features."""
    days = [d for d in range(40) if not 13 <= d <= 15]
    data = {**extra_bars(tmp_path), "series": [series_entry(tmp_path, days)]}
    change = {"name": "m_change", "calculator": "macro_pct_change", "params": {"series": "m"}}
    built = build_dataset(config_of(data, [RETURN[0], change]))
    fresh = built.tables["train"].filter(~pl.col("no_trade"))
    assert fresh.height < built.tables["train"].height
    raw = fresh["raw_log_return"].to_numpy()  # of which RETURN[0] is the clipped z-score
    assert built.norm_stats["ret"]["mean"] == pytest.approx(raw.mean(), abs=1e-15)
    assert built.norm_stats["ret"]["std"] == pytest.approx(raw.std())
    assert built.descriptive["train"]["columns"]["m_change"]["count"] == fresh.height
    assert built.descriptive["train"]["symbols"]["X"]["no_trade_bars"] == 47


def test_what_a_stale_bar_carries_comes_from_before_it_even_across_a_split(tmp_path: Path) -> None:
    """Validation begins in the gap: its first bars carry train's last features, come what may."""
    days = [d for d in range(40) if not 17 <= d <= 20]  # validation begins with day 20
    series = series_entry(tmp_path, days)
    features = [
        {**RETURN[0], "normalizer": "none"},
        {"name": "m_change", "calculator": "macro_pct_change", "params": {"series": "m"},
         "normalizer": "none"},
    ]  # fmt: skip
    data = {**extra_bars(tmp_path), "series": [series]}
    one = build_dataset(config_of(data, features))
    names = list(one.contract.names)
    train, validation = one.tables["train"], one.tables["validation"]
    good = train.filter(~pl.col("no_trade"))[-1]
    # Day 16's value counts until the start of day 19; day 21's from the start of day 22 on.
    assert train["no_trade"].sum() == 24 and good["timestamp"][0].day == 9
    gap = validation.filter("no_trade")
    assert gap.height == 2 * 24 - 1 and gap["timestamp"][0] == validation["timestamp"][0]
    assert all(row == good.select(names).row(0) for row in gap.select(names).iter_rows())

    table = pl.read_parquet(tmp_path / "s.parquet")
    later = pl.col("timestamp") >= walk(1)["timestamp"][0] + timedelta(days=21 - 10)
    table.with_columns(v=pl.when(later).then(pl.col("v") * 3 + 1).otherwise("v")).write_parquet(
        tmp_path / "s.parquet"
    )
    after = pl.int_range(pl.len()) >= 240 + 2 * 24 - 1
    prices = ("open", "high", "low", "close")
    moved = walk(480).with_columns(
        pl.when(after).then(pl.col(k) * 1.5).otherwise(k).alias(k) for k in prices
    )
    data |= {"bars": [parquet_bars(tmp_path, moved)], "defects": JUMPS}
    other = build_dataset(config_of(data, features))
    assert other.tables["train"].equals(train)
    assert other.tables["validation"][: gap.height].equals(validation[: gap.height])
    assert not other.tables["validation"].equals(validation)


def test_a_symbol_starts_with_its_first_complete_bar(tmp_path: Path) -> None:
    """Every feature has had a value, but never all at once: there is nothing to carry yet."""
    days = [d for d in range(40) if not 9 <= d <= 12]
    data = {**extra_bars(tmp_path), "series": [series_entry(tmp_path, days)]}
    change = {"name": "m_change", "calculator": "macro_pct_change", "params": {"series": "m"}}
    slow = {"name": "slow", "calculator": "log_return", "params": {"periods": 50}}
    built = build_dataset(config_of(data, [slow, change]))
    # Day 8's value counts until the start of day 11; day 13's from the start of day 14 on, and a
    # bar may use it that closes then.
    first = (14 - 10) * 24 - 1
    assert built.lineage["rows"]["dropped_warmup"] == first
    assert built.lineage["rows"]["no_trade_stale"] == 0
    assert not built.tables["train"]["no_trade"].any()


def test_a_split_without_one_complete_bar_is_refused(tmp_path: Path) -> None:
    """Two series that take turns: each is there on half of the validation bars, never both."""
    hours = [h for h in range(480) if h < 210 or h >= 360 or h % 24 == 0]  # validation: 240..359
    start = walk(1)["timestamp"][0]
    values = np.random.default_rng(4).standard_normal(len(hours)).cumsum() + 50.0
    entries = []
    for name, lag in (("m", 0), ("k", 12)):
        stamps = [start + timedelta(hours=h) for h in hours]
        table = pl.DataFrame({"timestamp": stamps, "v": values + (name == "k") * values**2})
        table.write_parquet(tmp_path / f"{name}.parquet")
        entries.append({"path": str(tmp_path / f"{name}.parquet"), "columns": {"v": name},
                        "publication_lag": lag * 3_600, "max_staleness": "11h"})  # fmt: skip
    features = [
        {"name": n, "calculator": "macro_pct_change", "params": {"series": n}} for n in "mk"
    ]
    with pytest.raises(DataError, match="on none of 120 bars all features") as caught:
        build_dataset(config_of({**extra_bars(tmp_path), "series": entries}, features))
    assert (caught.value.rule, caught.value.where) == ("empty_split", "data.splits.validation")
