"""What preflight asks of forecasters, before anything is fitted."""

from __future__ import annotations

from truefill.config.forecast import ForecastConfig
from truefill.config.schema import Config
from truefill.core.errors import ConfigError, did_you_mean
from truefill.core.extras import need_extra
from truefill.core.plugins import require_named
from truefill.forecast.baselines.base import FORECASTERS
from truefill.forecast.networks import NETWORKS
from truefill.forecast.units import BASELINES, columns_of, require_members, units_of

EXTRAS = {"boosting": "lightgbm", "foundation": "chronos"}
"""Extra -> the module that it brings."""


def forecasters(config: Config, forecast: ForecastConfig) -> str:
    """What will be fitted, in words.

    Raises:
        ConfigError: a member, parameter, loss or feature that there is not; it names the key.
        UsageError: an extra is not installed.
    """
    require_members(forecast)
    for i, member in enumerate(forecast.members):
        where = f"forecast.members.{i}"
        if member.network is not None:
            require_named(config.plugins, NETWORKS, member.network, where)
        elif member.name in (*forecast.used, *forecast.compare):
            extra = FORECASTERS.get(str(member.forecaster)).facts["extra"]
            if extra is not None:
                need_extra(EXTRAS[extra], extra, where=where)
    if forecast.boosting_baseline:
        need_extra(EXTRAS["boosting"], "boosting", where="forecast.boosting_baseline")
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
