"""Forecasters as they are audited: each member, label and rule of the config, fitted in seconds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import polars as pl

from truefill.config.forecast import FitConfig, ForecastConfig, MemberConfig
from truefill.config.schema import Config
from truefill.features.build import BuiltDataset
from truefill.forecast.baselines import FORECASTERS

FOLDS = 2
BATCH = 64
KEPT = 64
"""Datasets whose forecasts are kept."""


def small_fit(config: ForecastConfig) -> ForecastConfig:
    """The same networks, label and rules; of epochs, folds and seeds as few as there can be.

    Epochs are not judged on a holdout, and nothing that is only compared is fitted. The weights of
    a k-fold ensemble are left out: they come from models that saw every block.
    """
    protocol = config.out_of_fold
    folds = min(FOLDS, protocol.folds)
    rule = "mean" if protocol.kind == "k_fold" else config.ensemble.rule
    return config.model_copy(
        update={
            "fit": _small(config.fit),
            "seeds": config.seeds[:1],
            "members": tuple(_member(one) for one in config.members),
            "out_of_fold": protocol.model_copy(update={"folds": folds}),
            "ensemble": config.ensemble.model_copy(update={"rule": rule}),
            "compare": (),
            "boosting_baseline": False,
        }
    )


def told(config: ForecastConfig) -> str:
    """What was audited of these forecasters, for the certificate."""
    small = small_fit(config)
    names = ", ".join(small.used)
    fold = f"{small.out_of_fold.folds} of {config.out_of_fold.folds} folds"
    seed = f"{len(small.seeds)} of {len(config.seeds)} seeds"
    rule = "" if small.ensemble.rule == config.ensemble.rule else "; their mean, not their weights"
    return f"fitted small: {names}; 1 epoch without a holdout, {fold}, {seed}{rule}"


def _small(fit: FitConfig) -> FitConfig:
    batch = BATCH if fit.batch_size == "auto" else min(BATCH, fit.batch_size)
    kind = "constant" if fit.schedule.kind == "plateau" else fit.schedule.kind
    schedule = fit.schedule.model_copy(update={"kind": kind, "warmup_epochs": 0.0})
    return fit.model_copy(
        update={
            "epochs": 1,
            "batch_size": batch,
            "schedule": schedule,
            "holdout": 0.0,
            "early_stopping": None,
        }
    )


def _member(member: MemberConfig) -> MemberConfig:
    """``overlap``: whether a pretrained model saw the small dataset is not what is audited."""
    if member.fit is not None:
        return member.model_copy(update={"fit": _small(member.fit)})
    if member.forecaster is None:
        return member
    if "overlap" not in FORECASTERS.get(member.forecaster).params.model_fields:
        return member
    return member.model_copy(update={"params": {**member.params, "overlap": "mark"}})


Forecasts = Mapping[str, pl.DataFrame]
Make = Callable[[Config, BuiltDataset, Any], Forecasts | None]


class Remembered:
    """A chain's ``forecast`` that is asked once of each dataset (the last ``KEPT`` of them)."""

    def __init__(self, make: Make) -> None:
        self._make = make
        self._kept: list[tuple[BuiltDataset, ForecastConfig, Forecasts | None]] = []

    def __call__(self, config: Config, built: BuiltDataset, chain: Any) -> Forecasts | None:
        if config.forecast is None:
            return None
        for known, asked, tables in self._kept:
            if known is built and asked == config.forecast:
                return tables
        made = self._make(config, built, chain)
        self._kept = [*self._kept[1 - KEPT :], (built, config.forecast, made)]
        return made
