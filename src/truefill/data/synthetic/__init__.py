"""Markets with a known answer: some without any edge, some whose edge is planted and measured.

One file, one class of parameters and one registration each; the best that can be earned on them is
:func:`truefill.data.known_answer.known_answer`.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from truefill.config.data import DataConfig
from truefill.config.synthetic import SyntheticConfig
from truefill.core.fingerprint import fingerprint, sha256_file
from truefill.data.join import Series
from truefill.data.read import InputFile
from truefill.data.synthetic import (
    calendar_effect,
    garch,
    heavy_tails,
    jumps,
    lead_lag,
    mean_reversion,
    momentum,
    planted_signal,
    random_walk,
    regime_switching,
    shuffled_returns,
    sign_flipped_returns,
)
from truefill.data.synthetic.base import FIRST_PRICE, SOURCES, World, to_bars
from truefill.data.table import resolve

__all__ = [
    "FIRST_PRICE",
    "SOURCES",
    "strength_of",
    "synthetic_bars",
    "synthetic_input",
    "synthetic_series",
]

SOURCE_FILES = (
    calendar_effect,
    garch,
    heavy_tails,
    jumps,
    lead_lag,
    mean_reversion,
    momentum,
    planted_signal,
    random_walk,
    regime_switching,
    shuffled_returns,
    sign_flipped_returns,
)
"""Modules that register a market."""
WHERE = "data.synthetic"


def strength_of(config: SyntheticConfig) -> float:
    """Share of a return's variance that can be known in advance; 0 where no edge is planted."""
    planted = SOURCES.get(config.kind, where=f"{WHERE}.kind").facts["predictor"] is not None
    return config.strength if planted else 0.0


def synthetic_bars(config: SyntheticConfig, interval_s: float) -> pl.DataFrame:
    """The canonical table of bars, with the market's further columns; symbols SYN1, SYN2, ...

    Raises:
        ConfigError: an unknown kind or a wrong parameter.
    """
    world = World(config, interval_s)
    params = SOURCES.parse(config.kind, config.params, where=WHERE)
    make = SOURCES.get(config.kind).make
    parts = []
    for k in range(config.symbols):
        rng = np.random.default_rng([config.seed, k])
        parts.append(to_bars(make(params, world, rng), world, f"SYN{k + 1}", rng))
    return pl.concat(parts).sort("symbol", "timestamp")


def synthetic_series(data: DataConfig) -> dict[str, Series]:
    """The slow series that leads the market, by name; none for most of them."""
    if data.synthetic is None:
        return {}
    params = SOURCES.parse(data.synthetic.kind, data.synthetic.params, where=WHERE)
    make = SOURCES.get(data.synthetic.kind).facts["series"]
    if make is None:
        return {}
    series: Series = make(params, World(data.synthetic, data.interval))
    return {series.name: series}


def synthetic_input(config: SyntheticConfig, interval_s: float, rows: int) -> InputFile:
    """What lineage keeps of the market: a hash of its config, and of the file it is made from."""
    source = {**config.model_dump(mode="json"), "interval_s": interval_s}
    file = config.file()
    if file is not None:
        path = resolve(file)
        named = {**source["params"]["file"], "path": path.name}
        source["params"] = {**source["params"], "file": {**named, "sha256": sha256_file(path)}}
    return InputFile(f"synthetic:{config.kind}", fingerprint(source), rows)
