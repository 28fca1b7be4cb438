"""A small world for the tests of the auditor: two symbols, columns, a slow series, an economic
calendar, some bars without volume; and audits of it in the test's own process."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from data_cases import HOUR, START_S, walk
from release_cases import release_table
from truefill.audit.case import Case
from truefill.audit.chain import Chain
from truefill.audit.checks import AUDITS
from truefill.config.load import parse_config
from truefill.config.schema import Config
from truefill.data.bars import AllBars
from truefill.data.inputs import Inputs
from truefill.data.join import Series
from truefill.features.contract import FeatureSpec

T = 700
DAYS = 70
SILENT = 13
"""Every so many bars X trades no volume: a defect that somebody may want to mend."""

CLEAN: dict[str, tuple[str, dict[str, Any]]] = {
    "ret": ("log_return", {"periods": 1}),
    "ema": ("ema_distance", {"period": 10}),
    "rsi": ("rsi", {"period": 5}),
    "atr": ("atr", {"period": 5}),
    "macd": ("macd", {"fast": 4, "slow": 9}),
    "vol": ("volatility_pct", {"window": 12}),
    "trend": ("trend_z", {"window": 12}),
    "volume": ("volume_ratio", {"window": 12}),
    "vwap": ("vwap_distance", {"window": 12}),
    "drop": ("drawdown", {"window": 12}),
    "macro": ("macro_zscore", {"series": "a", "window": 8}),
    "macro_change": ("macro_pct_change", {"series": "a", "periods": 1}),
    "hour": ("session_sin", {}),
    "long_rsi": ("higher", {"timeframe": "4h", "calculator": "rsi", "params": {"period": 3}}),
    "other": ("cross_return", {"other": "Y", "periods": 2}),
    "spread": ("cross_zscore", {"other": "Y", "window": 8}),
    "news": ("hours_to_event", {"currencies": ["USD"], "cap": 40}),
    "mine": ("column", {"column": "mine"}),
}
"""Honest features: recursive ones, a higher timeframe, slow series, a calendar, another symbol."""
NORMALIZED = ("vol", "trend", "macro", "hour", "spread")
FEW = ("ret", "rsi", "vol", "macro")


def world() -> Inputs:
    """T hourly bars of X and Y, a daily series known a day later, a calendar of events."""
    rng = np.random.default_rng(5)
    one = walk(T).with_columns(mine=pl.Series(rng.standard_normal(T)))
    one = one.with_columns(
        volume=pl.when(pl.int_range(T) % SILENT == 5).then(0.0).otherwise(pl.col("volume"))
    )
    other = walk(T, seed=41, symbol="Y").with_columns(mine=pl.Series(rng.standard_normal(T)))
    table = pl.concat([one, other])
    dates = START_S + 24 * HOUR * (np.arange(DAYS) - 30)
    values = 50.0 + np.random.default_rng(10).standard_normal(DAYS).cumsum()
    series = Series("a", dates, dates + 24 * HOUR, values, 120.0 * HOUR, 24.0 * HOUR)
    return Inputs(AllBars(table, [], frozenset()), {"a": series}, (release_table(400),))


def config_of(features: dict[str, tuple[str, dict[str, Any]]], **more: Any) -> Config:
    """A config with these features; its splits are replaced by the auditor's small ones."""
    tree = {
        "name": "audited",
        "data": {
            "synthetic": {"kind": "random_walk", "bars": T},
            "interval": "1h",
            "series": [{"path": "a.csv", "columns": {"v": "a"}, "publication_lag": "1d"}],
            "splits": {
                "train": {"start": "2020-01-01", "end": "2020-01-16"},
                "validation": {"start": "2020-01-16", "end": "2020-01-23"},
                "test": {"start": "2020-01-23", "end": "2020-01-30"},
            },
        },
        "features": [
            {"name": name, "calculator": calculator, "params": params, **_normalizer(calculator)}
            for name, (calculator, params) in features.items()
        ],
        "market": {"allow_short": True, "stop_loss": 0.01, "fee_bps": 1, **more.pop("market", {})},
        "env": {"action": {"kind": "short_flat_long"}, "episode_bars": 40},
        **more,
    }
    return parse_config(tree)


def _normalizer(calculator: str) -> dict[str, str]:
    from truefill.features.registry import CALCULATORS

    return {"normalizer": "none"} if CALCULATORS.get(calculator).facts["normalized"] else {}


def few(**more: Any) -> Config:
    """A config with four honest features, for leaks further down the chain."""
    return config_of({name: CLEAN[name] for name in FEW}, **more)


def chain_of(**stages: Any) -> Chain:
    """The real chain on :func:`world`, with these stages replaced."""

    def read(config: Config, specs: tuple[FeatureSpec, ...]) -> Inputs:
        return world()

    return replace(Chain(read=read), **stages)


def found_by(
    config: Config, chain: Chain, groups: Iterable[str], *, quick: bool = False
) -> dict[str, list[str]]:
    """Check -> items that it found leaking; checks that found none are left out."""
    with tempfile.TemporaryDirectory() as scratch:
        case = Case(config, chain, Path(scratch), quick=quick)
        tallies = [
            audit(case) for name, audit in AUDITS.items() if name.split("/")[0] in tuple(groups)
        ]
    for tally in tallies:
        assert tally.result != "inconclusive", (tally.check, tally.reasons)
    return {
        tally.check: sorted({finding.item for finding in tally.findings.values()})
        for tally in tallies
        if tally.findings
    }
