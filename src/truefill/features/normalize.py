"""Normalizers: fitted on train rows only, applied to every split alike.

A feature goes: raw value -> pre-clip -> normalizer -> clip. Statistics are those of the train rows
of all symbols together, after the pre-clip. A feature that is already normalized is refused by any
normalizer but ``none``: normalizing twice hides a mistake.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import ceil
from typing import Any

import numpy as np
import numpy.typing as npt

from truefill.config.schema import FeatureConfig
from truefill.core.errors import ConfigError
from truefill.core.registry import Entry
from truefill.data.sums import mean_and_std
from truefill.features.base import CALCULATORS, WHOLE_HISTORY, Calculator, Floats, fact
from truefill.features.contract import FeatureSpec

_BLOCK = 1 << 16
ALREADY_NORMAL = 1e-6
"""A source whose train mean and std are this close to 0 and 1 was z-scored before."""


@dataclass(frozen=True)
class NormStats:
    """Of the train rows after the pre-clip; ``std`` has ddof 0."""

    mean: float
    std: float
    min: float
    max: float

    def as_dict(self) -> dict[str, float]:
        return asdict(self)


def specify(config: FeatureConfig, interval_s: float) -> FeatureSpec:
    """A configured feature on bars of ``interval_s``, with all parameters resolved; ``ConfigError``
    names what is wrong."""
    where = f"features.{config.name}"
    entry = CALCULATORS.get(config.calculator, where=where)
    params = CALCULATORS.parse(config.calculator, config.params, where=where)
    unit = fact(entry, "unit", params)
    if fact(entry, "normalized", params) and config.normalizer != "none":
        raise ConfigError(
            f"{config.calculator} is already normalized ({unit}), "
            f"but its normalizer is {config.normalizer}",
            where=where,
            do="set normalizer: none",
        )
    needed = entry.facts["values_needed"]
    scale = _bars_in_one(entry, params, interval_s)
    return FeatureSpec(
        name=config.name,
        calculator=config.calculator,
        params=params.model_dump(mode="json"),
        normalizer=config.normalizer,
        low=config.low,
        high=config.high,
        pre_clip=config.pre_clip,
        clip=config.clip,
        clip_low=config.clip_low,
        warmup_bars=entry.facts["warmup"](params) * scale,
        lookback_bars=min(entry.facts["lookback"](params) * scale, WHOLE_HISTORY),
        values_needed=needed(params) if needed else None,
        unit=unit,
        level=fact(entry, "level", params),
    )


def _bars_in_one(entry: Entry[Calculator], params: Any, interval_s: float) -> int:
    """Most bars of the dataset in one of those that the calculator counts."""
    timeframe = entry.facts["timeframe"]
    return 1 if timeframe is None else max(1, ceil(timeframe(params) / interval_s))


def _pre_clipped(spec: FeatureSpec, values: Floats) -> Floats:
    return values if spec.pre_clip is None else np.clip(values, -spec.pre_clip, spec.pre_clip)


def fit(spec: FeatureSpec, train: Floats) -> NormStats:
    """Statistics of ``train`` f64[n] (no NaN), summed in a fixed order."""
    values = _pre_clipped(spec, train)
    mean, std = mean_and_std(values)
    stats = NormStats(mean, std, float(values.min()), float(values.max()))
    z_scored = abs(mean) < ALREADY_NORMAL and abs(std - 1.0) < ALREADY_NORMAL
    if spec.normalizer == "zscore" and z_scored:
        raise ConfigError(
            f"its source has mean {mean:.2g} and std {std:.7g} on train: it is z-scored already",
            where=f"features.{spec.name}",
            do="give the raw column, or set normalizer: none",
        )
    return stats


def is_constant(stats: NormStats) -> bool:
    """No spread on train: such a feature is dead, and a z-score of it undefined."""
    return stats.min == stats.max or stats.std <= 1e-12 * max(abs(stats.mean), 1e-300)


def apply(spec: FeatureSpec, stats: NormStats, values: Floats) -> npt.NDArray[np.float32]:
    """Normalized f32[n]; computed in float64, NaN stays NaN."""
    out = np.empty(len(values), np.float32)
    for at in range(0, len(values), _BLOCK):  # temporaries stay small
        out[at : at + _BLOCK] = _normal(spec, stats, values[at : at + _BLOCK])
    return out


def _normal(spec: FeatureSpec, stats: NormStats, values: Floats) -> Floats:
    out = _pre_clipped(spec, values)
    if spec.normalizer == "zscore":
        out = (out - stats.mean) / stats.std
    elif spec.normalizer == "minmax":
        out = (out - spec.low) / (spec.high - spec.low)
    if spec.clip is not None:
        low = -spec.clip if spec.clip_low is None else spec.clip_low
        out = np.clip(out, low, spec.clip)
    return out
