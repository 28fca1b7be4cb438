"""What agents see of a split: the features that ``env.features`` names, and the forecasts.

Train rows have out-of-fold forecasts, later rows those of models fitted on train. Times before the
first forecast are left out; where a symbol alone has none, nothing may be traded (``no_trade``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from truefill.config.schema import Config
from truefill.core.errors import ArtifactError, ConfigError, DataError, did_you_mean
from truefill.core.files import read_json, read_parquet
from truefill.core.fingerprint import fingerprint
from truefill.data.dataset import load_lineage
from truefill.data.split import SplitArrays
from truefill.features.contract import FeatureSpec
from truefill.forecast.units import columns_of, has_further_facts

CONTRACT = "forecast/contract.json"
"""What the forecasts of a run are made by."""
KEYS = ("timestamp", "symbol", "as_of", "fold")


def is_plain(config: Config) -> bool:
    """Do agents see the features of the dataset, all of them and nothing else?"""
    return config.forecast is None and not config.env.features


def agent_split(config: Config, split: SplitArrays, forecasts: pl.DataFrame | None) -> SplitArrays:
    """``split`` as agents see it; ``forecasts``: forecast/SPLIT.parquet, where there are any.

    Raises:
        ConfigError: ``env.features`` names what there is not.
        DataError: ``no_forecast``: no row of the split has one.
    """
    if forecasts is not None:
        split = with_forecasts(split, forecasts)
    names = config.env.features or split.feature_names
    columns = [_index(split.feature_names, name) for name in names]
    return replace(split, features=split.features[..., columns], feature_names=tuple(names))


def with_forecasts(split: SplitArrays, forecasts: pl.DataFrame) -> SplitArrays:
    """``split`` from its first forecast on, with the columns of ``forecasts`` behind its features.

    Raises:
        ConfigError: a column has the name of a feature. DataError: ``no_forecast``.
    """
    columns = [name for name in forecasts.columns if name not in KEYS]
    taken = sorted(set(columns) & set(split.feature_names))
    if taken:
        raise ConfigError(
            f"{taken[0]!r} is the name of a forecast", where=f"features.{taken[0]}",
            do="give the feature another name",
        )  # fmt: skip
    T, S = split.present.shape
    values = np.zeros((T, S, len(columns)), np.float32)
    there = np.zeros((T, S), np.bool_)
    for s, symbol in enumerate(split.symbols):
        own = forecasts.filter(pl.col("symbol") == symbol)
        at = np.searchsorted(split.timestamps_s, own["timestamp"].dt.epoch("s").to_numpy())
        there[at, s] = True
        values[at, s] = own.select(columns).to_numpy().astype(np.float32)
        known = np.maximum.accumulate(np.where(there[:, s], np.arange(T), -1))
        values[:, s] = np.where((known >= 0)[:, None], values[np.maximum(known, 0), s], 0.0)
    if not there.any():
        raise DataError("no_forecast", f"no row of {split.name} has a forecast")
    first = int(np.argmax(there.any(axis=1)))
    whole = replace(
        split,
        features=np.concatenate([split.features, values], axis=2),
        feature_names=(*split.feature_names, *columns),
        no_trade=split.no_trade | (split.present & ~there),
    )
    return whole.since(first)


def column_of(split: SplitArrays, forecasts: pl.DataFrame, name: str) -> npt.NDArray[np.float64]:
    """A column of forecast/SPLIT.parquet on the bars of ``split``, f64[T, S], as agents see it (in
    float32); NaN where there is no forecast.

    Raises:
        ArtifactError: the forecasts have no such column.
    """
    if name not in forecasts.columns:
        raise ArtifactError(f"the forecasts of {split.name} have no column {name!r}")
    out = np.full(split.present.shape, np.nan)
    for s, symbol in enumerate(split.symbols):
        own = forecasts.filter(pl.col("symbol") == symbol)
        seconds = own["timestamp"].dt.epoch("s").to_numpy()
        at = np.searchsorted(split.timestamps_s, seconds)
        here = np.isin(seconds, split.timestamps_s)
        out[at[here], s] = own[name].to_numpy()[here].astype(np.float32)
    return out


def forecasts_of(config: Config, folder: Path, split: str) -> pl.DataFrame | None:
    """forecast/SPLIT.parquet of a run folder; None where the config has no forecasters.

    Raises:
        ArtifactError: it has forecasters, and the file is missing.
    """
    if config.forecast is None:
        return None
    path = folder / "forecast" / f"{split}.parquet"
    if not path.is_file():
        raise ArtifactError(
            f"no forecasts of {split} are there", where=str(path), do="run the stage forecast first"
        )
    return read_parquet(path)


def agent_lineage(config: Config, dataset: Path) -> dict[str, Any]:
    """lineage.json of a run's dataset folder, with the features and contract that agents have."""
    lineage = load_lineage(dataset)
    if is_plain(config):
        return lineage
    contract = read_json(dataset.parent / CONTRACT) if config.forecast is not None else None
    return seen_lineage(config, lineage, contract)


def seen_lineage(
    config: Config, lineage: dict[str, Any], contract: dict[str, Any] | None
) -> dict[str, Any]:
    """``lineage`` with what agents see; ``contract``: of the forecasts."""
    features = list(lineage["features"])
    if contract is not None:
        features += [
            asdict(column_spec(name, contract["window_bars"])) for name in contract["columns"]
        ]
    known = [feature["name"] for feature in features]
    if config.env.features:
        features = [features[_index(known, name)] for name in config.env.features]
    made = {
        "features": features,
        "dataset": lineage["contract_sha256"],
        "forecast": None if contract is None else fingerprint(contract),
    }
    return {**lineage, "features": features, "contract_sha256": fingerprint(made)}


def column_spec(name: str, window_bars: int) -> FeatureSpec:
    """A forecast's column as lineage keeps it."""
    return FeatureSpec(
        name=name,
        calculator="forecast",
        params={},
        normalizer="none",
        low=0.0,
        high=1.0,
        pre_clip=None,
        clip=None,
        clip_low=None,
        warmup_bars=0,
        lookback_bars=window_bars,
        values_needed=None,
        unit="forecast",
        level=False,
    )


def _index(names: Any, name: str) -> int:
    known = list(names)
    if name not in known:
        raise ConfigError(
            f"the agent is to see {name!r}, which is no feature and no forecast",
            where="env.features",
            do=did_you_mean(name, known),
        )
    return known.index(name)


def seen_specs(config: Config, specs: Sequence[FeatureSpec]) -> tuple[FeatureSpec, ...]:
    """What an agent of ``config`` sees of the market, before anything is forecast; ``specs``: of
    all features.

    Raises:
        ConfigError: ``env.features`` names what there is not.
    """
    known = {spec.name: spec for spec in specs}
    if config.forecast is not None:
        window = config.forecast.window_bars
        known |= {name: column_spec(name, window) for name in columns_of(config.forecast)}
        if has_further_facts(config.forecast):
            heads = tuple(f"h{horizon}_" for horizon in config.forecast.label.horizons)
            told = [name for name in config.env.features if name.startswith(heads)]
            known |= {name: column_spec(name, window) for name in told}
    names = config.env.features or tuple(known)
    return tuple(known[list(known)[_index(known, name)]] for name in names)
