"""The parts that forecasting is made of: one fit each, kept as an artifact of its own.

A unit is a member (or the baselines of a horizon), a set of heads, a fold and a seed. Networks may
answer all horizons at once (``heads: joint``); everything else answers one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import truefill.forecast.foundation  # noqa: F401 - registers its forecasters
from truefill.config.forecast import ForecastConfig, LossConfig, MemberConfig
from truefill.core.errors import ConfigError
from truefill.core.plugins import sha256_of
from truefill.core.registry import Params
from truefill.forecast.baselines.base import FORECASTERS
from truefill.forecast.columns import names
from truefill.forecast.labels.base import LABELS
from truefill.forecast.losses import build_loss
from truefill.forecast.networks import NETWORKS
from truefill.forecast.protocol import WHOLE
from truefill.forecast.scores import Kind

BASELINES = "baselines"
"""The unit of all baselines of a horizon; no member may be called so."""
ENSEMBLE = "ensemble"


@dataclass(frozen=True)
class Unit:
    """``heads``: indices of the horizons that it answers."""

    member: str
    heads: tuple[int, ...]
    fold: int
    seed: int

    def path(self, horizons: Sequence[int]) -> str:
        """Its folder inside ``forecast/``: lstm/h1-2-3/fold-1/seed-1."""
        told = "-".join(str(horizons[i]) for i in self.heads)
        return f"{self.member}/h{told}/fold-{self.fold}/seed-{self.seed}"


def units_of(config: ForecastConfig) -> tuple[Unit, ...]:
    """Every unit that is needed, and no other: members of the ensemble in all folds, compared ones
    in fold 0, the baselines in all; the largest fits first."""
    heads = tuple(range(len(config.label.horizons)))
    everywhere = range(config.out_of_fold.folds + 1)
    out = []
    for member in config.members:
        if member.name not in (*config.used, *config.compare):
            continue
        folds = everywhere if member.name in config.used else [WHOLE]
        joint = config.heads == "joint" and member.network is not None
        sets = [heads] if joint else [(i,) for i in heads]
        seeds = config.seeds if member.network is not None else config.seeds[:1]
        out += [Unit(member.name, s, fold, seed) for fold in folds for s in sets for seed in seeds]
    out += [Unit(BASELINES, (i,), fold, config.seeds[0]) for fold in everywhere for i in heads]
    order = {WHOLE: -config.out_of_fold.folds - 1}
    return tuple(sorted(out, key=lambda u: (u.member == BASELINES, order.get(u.fold, -u.fold))))


def member_of(config: ForecastConfig, name: str) -> MemberConfig:
    """The member called ``name``."""
    return next(member for member in config.members if member.name == name)


def loss_of(config: ForecastConfig, member: MemberConfig) -> LossConfig:
    """The member's loss, that of all, or the usual one of the label."""
    given = member.loss or config.loss
    if given is not None:
        return given
    classes = int(LABELS.get(config.label.label).facts["classes"])
    return LossConfig(loss="cross_entropy" if classes else "mse")


def kind_of(config: ForecastConfig, member: MemberConfig) -> Kind:
    """What a member's forecasts are."""
    classes = int(LABELS.get(config.label.label).facts["classes"])
    if member.network is None:
        return "class" if classes else "real"
    loss = build_loss(loss_of(config, member))
    if loss.target == "class":
        return "class"
    if loss.position is not None:
        return "position"
    return "quantile" if loss.outputs > 1 else "real"


def kinds_of(config: ForecastConfig) -> tuple[Kind, ...]:
    """What the members that are fitted forecast, each once."""
    names = (*config.used, *config.compare)
    return tuple(dict.fromkeys(kind_of(config, member_of(config, name)) for name in names))


def levels_of(config: ForecastConfig) -> tuple[float, ...]:
    """Levels of all quantiles that members forecast, ascending."""
    found: set[float] = set()
    for name in (*config.used, *config.compare):
        member = member_of(config, name)
        if kind_of(config, member) == "quantile":
            for _, _, params in build_loss(loss_of(config, member)).terms:
                found.update(params.quantiles)  # type: ignore[attr-defined]
    return tuple(sorted(found))


def parse_member(config: ForecastConfig, index: int) -> Params:
    """A member's parameters, checked.

    Raises:
        ConfigError: naming the key: no such network or forecaster, a wrong parameter, or a loss or
            forecaster that does not suit the label.
    """
    member = config.members[index]
    where = f"forecast.members.{index}"
    if member.name in (BASELINES, ENSEMBLE):
        raise ConfigError(f"no member may be called {member.name}", where=f"{where}.name")
    label = LABELS.get(config.label.label, where="forecast.label.label")
    asked = "class" if label.facts["classes"] else "real"
    if member.network is not None:
        own = "forecast.loss" if member.loss is None else f"{where}.loss"
        loss = build_loss(loss_of(config, member), where=own)
        if loss.target != asked:
            raise ConfigError(
                f"the loss of {member.name} is for {loss.target} targets, "
                f"the label {config.label.label} is {asked}",
                where=f"{where}.loss",
                do="choose a loss for the label (docs/forecast-skill.md)",
            )
        parsed: Any = NETWORKS.parse(member.network, member.params, where=where)
        return parsed
    assert member.forecaster is not None
    entry = FORECASTERS.get(member.forecaster, where=f"{where}.forecaster")
    if asked not in entry.facts["targets"]:
        raise ConfigError(
            f"{member.forecaster} cannot be asked the label {config.label.label}",
            where=f"{where}.forecaster",
        )
    parsed = FORECASTERS.parse(member.forecaster, member.params, where=where)
    return parsed


def require_members(config: ForecastConfig) -> None:
    """Refuse members that cannot be fitted, or cannot be combined.

    Raises:
        ConfigError: naming the key.
    """
    for index in range(len(config.members)):
        parse_member(config, index)
    kinds = {name: kind_of(config, member_of(config, name)) for name in config.used}
    if len(set(kinds.values())) > 1:
        told = ", ".join(f"{name}: {kind}" for name, kind in kinds.items())
        raise ConfigError(
            f"members of one ensemble must forecast one kind of thing ({told})",
            where="forecast.ensemble.members",
            do="put the others under forecast.compare",
        )


def columns_of(config: ForecastConfig) -> tuple[str, ...]:
    """Columns of the ensemble's forecasts, as far as the config tells them (members that are no
    networks may add further facts)."""
    kind = kind_of(config, member_of(config, config.used[0]))
    return names(config.label.horizons, kind, levels_of(config))


def has_further_facts(config: ForecastConfig) -> bool:
    """May the ensemble tell more than :func:`columns_of`? Only what all its members tell."""
    members = [member_of(config, name) for name in config.used]
    return all(
        member.forecaster is not None and tells_more(member.forecaster) for member in members
    )


def tells_more(forecaster: str) -> bool:
    """Is it one that gives a distribution, or one of the user's own?"""
    entry = FORECASTERS.get(forecaster)
    return entry.facts["family"] == "zero_shot" or bool(sha256_of(FORECASTERS, forecaster))
