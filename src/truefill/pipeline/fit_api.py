"""Fitting a forecaster from Python, with networks and losses of one's own.

>>> import truefill
>>> found = truefill.fit_forecaster(
...     "examples/quickstart.yaml", network="dlinear", label="future_return", window_bars=24,
... )                                                                        # doctest: +SKIP
>>> found.predict("validation")[["timestamp", "h1_value"]]                   # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import polars as pl
from pydantic import BaseModel, ValidationError

from truefill.config.forecast import FitConfig, LabelConfig, LossConfig
from truefill.config.load import load_config
from truefill.config.schema import Config
from truefill.core.errors import ConfigError, SealedTestError, UsageError, did_you_mean
from truefill.data.split import SplitArrays
from truefill.forecast.columns import to_columns
from truefill.forecast.fit import CustomLoss, FittedNetwork, NetworkTask, fit_network, load_network
from truefill.forecast.fit.fit import Progress
from truefill.forecast.labels import LABELS
from truefill.forecast.losses import LOSSES, PRESETS
from truefill.forecast.material import Material
from truefill.forecast.networks import NETWORKS
from truefill.forecast.networks.base import MakeNetwork
from truefill.forecast.protocol import Question
from truefill.pipeline.api import arrays_of, build_dataset

OPEN = ("train", "validation")
CHECKPOINT = "checkpoint.safetensors"
"""In the folder of a fit that is not done yet."""
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class FittedForecaster:
    """A network that was fitted to the train rows of a dataset. ``splits``: train and validation,
    where it was fitted just now; a loaded one has none."""

    network: FittedNetwork
    splits: Mapping[str, SplitArrays] = field(default_factory=dict, repr=False)

    @property
    def history(self) -> list[dict[str, Any]]:
        """An epoch each: loss, learning rate, gradient norm, metrics of the holdout."""
        return list(self.network.history)

    def predict(self, split: str | SplitArrays = "validation") -> pl.DataFrame:
        """Forecasts of every row with a full window inside the split: timestamp (UTC, the bar's
        start), symbol, and the columns of :mod:`truefill.forecast.columns`.

        Raises:
            UsageError: a name, and no such split is at hand.
            ConfigError: arrays without one of the features that were fitted.
        """
        task = self.network.task
        material = Material.of(self._arrays(split), task.features, task.window_bars)
        columns: dict[str, Any] = {}
        heads = zip(task.labels, self.network.predict(material.histories), strict=True)
        for h, (label, found) in enumerate(heads):
            spread = float(self.network.scale[h])
            columns |= to_columns(label.horizon, found, self.network.kind, spread)
        own = material.histories
        stamps = np.concatenate([one.bars.timestamps_s[one.rows] for one in own])
        symbols = [one.symbol for one in own for _ in one.rows]
        when = pl.Series(stamps * 1_000_000).cast(pl.Datetime("us", "UTC"))
        table = pl.DataFrame({"timestamp": when, "symbol": symbols, **columns})
        return table.sort("timestamp", "symbol")

    def save(self, folder: str | Path) -> list[str]:
        """Write it for :func:`load_forecaster`; returns the names of its files."""
        return self.network.save(Path(folder))

    def _arrays(self, split: str | SplitArrays) -> SplitArrays:
        if isinstance(split, SplitArrays):
            return split
        if split == "test":
            raise SealedTestError("the test split is sealed", do="use train or validation")
        if split not in self.splits:
            have = f"it has {' and '.join(self.splits)}" if self.splits else "a loaded one has none"
            raise UsageError(
                f"this forecaster has no split {split!r}; {have}",
                do="give the arrays of a split: truefill.data.dataset.load_split(folder, name)",
            )
        return self.splits[split]


def fit_forecaster(
    data: Config | str | Path,
    *,
    network: str | MakeNetwork = "lstm",
    params: Mapping[str, Any] | None = None,
    label: LabelConfig | Mapping[str, Any] | str = "smoothed",
    loss: LossConfig | CustomLoss | Mapping[str, Any] | str | None = None,
    fit: FitConfig | Mapping[str, Any] | None = None,
    window_bars: int = 60,
    seed: int = 1,
    features: Sequence[str] = (),
    folder: str | Path | None = None,
    progress: Progress | None = None,
) -> FittedForecaster:
    """Fit a network to the train rows of a dataset; the newest of them judge its epochs. Validation
    is not looked at, test rows are not there.

    Args:
        data: a Config, or the path of one.
        network: a registered name, or a maker of one's own: an ``eqx.Module`` class, or any
            function, of (key, params, inputs) that gives a ``Network`` (see
            ``truefill.forecast.networks.base``).
        params: the network's; of an own maker whatever it takes.
        label: a name, or a ``LabelConfig`` (or its dict) with one head for each of its horizons.
        loss: a registered loss or preset by name, a ``LossConfig`` (or its dict), or a function
            (prediction, target) -> scalar (see ``truefill.forecast.fit.CustomLoss``). None:
            classification for labels of classes, else regression.
        fit: a ``FitConfig`` or its dict.
        window_bars: bars that the network sees.
        seed: of weights and orders; the same one gives the same bits.
        features: names of the dataset's features; none: all.
        folder: where it is saved; a fit that was killed goes on from there.
        progress: called after each epoch with its number, the most there can be, and the metric.

    Raises:
        ConfigError, DataError: naming key, row or column.
        NonFiniteError: the loss became NaN or infinite.
    """
    config = load_config(data) if isinstance(data, str | Path) else data
    if not isinstance(config, Config):
        raise UsageError(
            f"fit_forecaster takes a Config or its path, not {type(config).__name__}",
            do="truefill.load_config(path)",
        )
    asked, section = _label(label), _section(FitConfig, fit or {}, "fit")
    usual = "classification" if LABELS.get(asked.label).facts["classes"] else "regression"
    lowered, question = _loss(usual if loss is None else loss), Question.of(asked)
    if isinstance(network, str):
        NETWORKS.parse(network, params or {})
    built = build_dataset(config)
    splits = {name: arrays_of(built, name) for name in OPEN}
    names = tuple(features) or splits["train"].feature_names
    material = Material.of(splits["train"], names, window_bars)
    rows = [
        own.rows[ok[own.rows]] for own, ok in zip(material.histories, material.usable, strict=True)
    ]
    task = NetworkTask(
        network=network,
        params=params or {},
        window_bars=window_bars,
        loss=lowered,
        fit=section,
        labels=question.fitted(material, rows),
        features=names,
    )
    checkpoint = None if folder is None else Path(folder) / CHECKPOINT
    found = fit_network(task, material.asked(rows), seed, checkpoint=checkpoint, progress=progress)
    if folder is not None and checkpoint is not None:
        found.save(Path(folder))
        checkpoint.unlink(missing_ok=True)
    return FittedForecaster(found, splits)


def load_forecaster(folder: str | Path, *, network: MakeNetwork | None = None) -> FittedForecaster:
    """What :meth:`FittedForecaster.save` wrote; it forecasts the same bits. ``network``: the maker,
    where it was one's own.

    Raises:
        ArtifactError: a file is missing or changed.
        PolicyError: the network's plug-in or maker is not there.
    """
    return FittedForecaster(load_network(Path(folder), network=network))


def _label(given: LabelConfig | Mapping[str, Any] | str) -> LabelConfig:
    return _section(LabelConfig, {"label": given} if isinstance(given, str) else given, "label")


def _loss(
    given: LossConfig | CustomLoss | Mapping[str, Any] | str,
) -> LossConfig | CustomLoss:
    """By name a registered loss comes before a preset."""
    if isinstance(given, str):
        if given not in LOSSES and given not in PRESETS:
            known = [*(entry.name for entry in LOSSES), *PRESETS]
            raise ConfigError(
                f"no loss or preset is called {given!r}", do=did_you_mean(given, known)
            )
        return LossConfig(loss=given) if given in LOSSES else LossConfig(preset=given)
    if isinstance(given, LossConfig | Mapping):
        return _section(LossConfig, given, "loss")
    return given


def _section(section: type[M], given: M | Mapping[str, Any], where: str) -> M:
    if isinstance(given, section):
        return given
    try:
        return section.model_validate(dict(given))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{key}: {first['msg']}" if key else first["msg"], where=where) from error
