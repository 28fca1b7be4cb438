"""What preflight asks of forecasters, before anything is fitted."""

from __future__ import annotations

from functools import partial

from truefill.config.forecast import ForecastConfig
from truefill.config.schema import Config
from truefill.core.errors import ConfigError, did_you_mean
from truefill.core.extras import need_extra
from truefill.core.plugins import require_named
from truefill.features.build import BuiltDataset
from truefill.forecast.baselines.base import FORECASTERS
from truefill.forecast.bench import Bench, lookbacks
from truefill.forecast.fit.fit import check_fit
from truefill.forecast.fit.task import LossKey
from truefill.forecast.labels import LABELS, label_heads
from truefill.forecast.losses import LOSSES
from truefill.forecast.networks import NETWORKS
from truefill.forecast.protocol import WHOLE
from truefill.forecast.units import (
    BASELINES,
    columns_of,
    kind_of,
    loss_of,
    member_of,
    require_members,
    units_of,
)
from truefill.pipeline.api import arrays_of

STACKED = ("class", "real")
EXTRAS = {"boosting": "lightgbm", "foundation": "chronos"}
"""Extra -> the module that it brings."""


def forecasters(config: Config, forecast: ForecastConfig) -> str:
    """What will be fitted, in words.

    Raises:
        ConfigError: a member, parameter, loss or feature that there is not; it names the key.
        UsageError: an extra is not installed.
    """
    label_heads(forecast.label)
    require_members(forecast)
    require_named(config.plugins, LABELS, forecast.label.label, "forecast.label.label")
    for i, member in enumerate(forecast.members):
        where = f"forecast.members.{i}"
        if member.network is not None:
            require_named(config.plugins, NETWORKS, member.network, where)
            _fit(config, forecast, i)
        elif member.name in (*forecast.used, *forecast.compare):
            require_named(config.plugins, FORECASTERS, str(member.forecaster), where)
            extra = FORECASTERS.get(str(member.forecaster)).facts["extra"]
            if extra is not None:
                need_extra(EXTRAS[extra], extra, where=where)
    if forecast.boosting_baseline:
        need_extra(EXTRAS["boosting"], "boosting", where="forecast.boosting_baseline")
    kind = kind_of(forecast, member_of(forecast, forecast.used[0]))
    if forecast.ensemble.rule == "stacked" and kind not in STACKED:
        raise ConfigError(
            f"forecasts of the kind {kind} cannot be stacked",
            where="forecast.ensemble.rule",
            do="choose mean or weighted",
        )
    known = [feature.name for feature in config.features]
    for name in forecast.features:
        if name not in known:
            raise ConfigError(
                f"no feature is called {name!r}",
                where="forecast.features",
                do=did_you_mean(name, known),
            )
    columns = columns_of(forecast)
    taken = sorted(set(columns) & set(known))
    if taken:
        raise ConfigError(
            f"{taken[0]!r} is the name of a forecast",
            where=f"features.{taken[0]}",
            do="give the feature another name",
        )
    fits = sum(unit.member != BASELINES for unit in units_of(forecast))
    return f"{', '.join(forecast.used)}: {fits} fits, {len(columns)} columns"


def _fit(config: Config, forecast: ForecastConfig, index: int) -> None:
    """Refuse a loss, a metric or a setting of a network's fit that there is not."""
    member = forecast.members[index]
    loss, fit = loss_of(forecast, member), member.fit or forecast.fit
    where = "forecast.fit" if member.fit is None else f"forecast.members.{index}.fit"
    for name in (loss.loss, *(term.loss for term in loss.sum)):
        if name is not None:
            own = "forecast.loss" if member.loss is None else f"forecast.members.{index}.loss"
            require_named(config.plugins, LOSSES, name, own)
    classes = int(LABELS.get(forecast.label.label).facts["classes"])
    try:
        check_fit(fit, LossKey.of(loss, classes))
    except ConfigError as error:
        below = error.where.removeprefix("fit")
        raise ConfigError(error.what, where=f"{where}{below}", do=error.do) from error


def plan_check(config: Config, built: BuiltDataset) -> str:
    """The folds of a dataset, and that later splits have windows, in words.

    Raises:
        DataError: the folds or windows do not fit; it says what to do.
    """
    assert config.forecast is not None
    bench = Bench(config.forecast, partial(arrays_of, built), lookbacks(built.lineage))
    folds = [fold for fold in bench.folds if fold.number != WHOLE]
    bench.material("validation")
    fitted = [sum(map(len, fold.fitted)) for fold in folds]
    asked = sum(len(rows) for fold in folds for rows in fold.asked)
    least, most = min(fitted), max(fitted)
    return f"{len(folds)} folds of {least:,} to {most:,} train rows forecast {asked:,} rows"
