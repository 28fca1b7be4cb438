"""Warm start: a training that begins with the weights of a policy bundle.

The bundle must be of the same shape of learner, and of the same features and symbols. And it must
not have seen what shall judge it: neither it nor any policy it began with may have been trained or
selected on a period that overlaps this run's validation or test.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jax

from truefill.agents.bundle import load_bundle
from truefill.agents.bundle_files import Facts, read_files
from truefill.agents.checkpoint import flatten
from truefill.agents.networks import ActorCritic, make_network
from truefill.config.load import portable
from truefill.config.schema import SMOKE_SUFFIX, Config, SplitPeriod
from truefill.core.errors import ConfigError
from truefill.data.splits import period_of
from truefill.env.episodes import EnvSpec

WHERE = "training.warm_start"
FITTED = "zscore"
"""The normalizer whose statistics are those of the train rows."""
LEARNING_ONLY = {"initialization", "log_std_init", "sequence"}
"""Settings of network and memory that only a fresh network or the learning knows."""


@dataclass(frozen=True)
class WarmStart:
    """What a training begins with."""

    network: ActorCritic
    sha256: str
    """Of the bundle."""


def warm_start(config: Config, spec: EnvSpec) -> WarmStart | None:
    """The network to begin with; None where training begins afresh.

    Raises:
        ArtifactError: the bundle is damaged.
        ConfigError: see :func:`require_alike`.
    """
    path = config.training.warm_start
    if path is None:
        return None
    require_alike(config, spec)
    bundle = load_bundle(path)
    assert isinstance(bundle.network, ActorCritic)
    mine = make_network(jax.random.PRNGKey(0), spec, config.agent)
    differ = list(_shapes(flatten(mine), flatten(bundle.network)))
    if differ:
        raise _other_learner(differ)
    return WarmStart(bundle.network, bundle.sha256)


def require_alike(config: Config, spec: EnvSpec) -> Facts:
    """What the configured bundle is made for: the learner, decoder and observation of ``config``.

    Raises:
        ArtifactError: the bundle is damaged.
        ConfigError: it is an ensemble's, or of another learner, decoder or observation.
    """
    assert config.training.warm_start is not None
    files = read_files(config.training.warm_start)
    if files.rule is not None:
        raise ConfigError(
            "the bundle is an ensemble's, which has no weights of its own",
            where=WHERE,
            do="name the bundle of one member, e.g. its members/seed-42",
        )
    differ = list(_differences(files.facts, config, spec))
    if differ:
        raise _other_learner(differ)
    return files.facts


def _other_learner(differ: list[str]) -> ConfigError:
    return ConfigError(
        "the bundle is of another learner: " + "; ".join(differ),
        where=WHERE,
        do="configure the same learner, decoder and observation, or start afresh",
    )


def require_unseen(bundle: Facts, config: Config, lineage: Mapping[str, Any]) -> None:
    """Refuse a bundle of other features or symbols, and one that has seen what shall judge it.

    Args:
        lineage: of this run's dataset.

    Raises:
        ConfigError: naming what differs, or which periods overlap.
    """
    if bundle.contract["symbols"] != lineage["symbols"]:
        raise ConfigError(
            f"the bundle trades {', '.join(bundle.contract['symbols'])}, "
            f"this run {', '.join(lineage['symbols'])}",
            where=WHERE,
        )
    if bundle.contract_sha256 != lineage["contract_sha256"]:
        raise ConfigError(
            "the bundle has another feature contract: "
            + _features(bundle.contract["features"], lineage["features"]),
            where=WHERE,
            do="use the features of the bundle's config.json, or start afresh",
        )
    if config.name.endswith(SMOKE_SUFFIX):  # its three splits all lie in train
        return
    for seen in ancestors(bundle):
        for name, other in (
            (n, o) for n in ("train", "validation") for o in ("validation", "test")
        ):
            mine = period_of(config.data.splits, other)
            period = SplitPeriod.model_validate(seen[name])
            shared = set(seen["symbols"]) & set(lineage["symbols"])
            same_market = seen["synthetic"] == _synthetic(config)
            if shared and same_market and period.start < mine.end and mine.start < period.end:
                who = "the bundle" if seen["sha256"] == bundle.sha256 else "a policy it began with"
                verb = "trained" if name == "train" else "selected"
                raise ConfigError(
                    f"{who} was {verb} on {_days(period)}, which overlaps this run's {other}, "
                    f"{_days(mine)}: it has seen what shall judge it",
                    where=WHERE,
                    do="start from a bundle of an earlier period, or move data.splits",
                )


def other_statistics(bundle: Facts, norm_stats: Mapping[str, Any]) -> list[str]:
    """Features that the bundle knew normalized by other statistics (of another train period)."""
    fitted = [f["name"] for f in bundle.contract["features"] if f["normalizer"] == FITTED]
    return [name for name in fitted if norm_stats.get(name) != bundle.norm_stats.get(name)]


def ancestors(bundle: Facts) -> list[dict[str, Any]]:
    """What the bundle has seen, after what those had seen that it began with: symbols, and the
    periods of its training and selection."""
    splits = bundle.config.data.splits
    own = {
        "sha256": bundle.sha256,
        "symbols": bundle.contract["symbols"],
        "synthetic": _synthetic(bundle.config),
        **{n: period_of(splits, n).model_dump(mode="json") for n in ("train", "validation")},
    }
    return [*bundle.contract.get("ancestors", []), own]


def _synthetic(config: Config) -> dict[str, Any] | None:
    """What makes a synthetic market; a longer one goes on with the same bars."""
    made: dict[str, Any] | None = portable(config)["data"]["synthetic"]
    return None if made is None else {key: made[key] for key in made if key != "bars"}


def _days(period: SplitPeriod) -> str:
    return f"{period.start.date()} to {period.end.date()}"


def _differences(bundle: Facts, config: Config, spec: EnvSpec) -> Iterator[str]:
    """What differs between the bundle's learner and this run's, in words."""
    theirs, mine = bundle.config, config
    pairs: list[tuple[str, Any, Any]] = [("agent.kind", theirs.agent.kind, mine.agent.kind)]
    for name in ("network", "memory"):
        old = getattr(theirs.agent, name).model_dump(mode="json")
        new = getattr(mine.agent, name).model_dump(mode="json")
        keys = [key for key in new if key not in LEARNING_ONLY]
        pairs += [(f"agent.{name}.{key}", old.get(key), new[key]) for key in keys]
    for key in ("kind", "params"):
        pairs.append(
            (f"env.action.{key}", getattr(theirs.env.action, key), getattr(mine.env.action, key))
        )
    pairs += [
        ("agent.critic.quantiles", theirs.agent.quantiles, mine.agent.quantiles),
        ("agent.critic.popart", bool(theirs.agent.popart), bool(mine.agent.popart)),
        ("env.window_bars", bundle.spec.window, spec.window),
        ("env.episode_symbols", theirs.env.episode_symbols, mine.env.episode_symbols),
        ("state features", list(bundle.spec.state_features), list(spec.state_features)),
        ("market.decision_lag", bundle.spec.lag, spec.lag),
    ]
    for name, old, new in pairs:
        if old != new:
            yield f"{name} is {_text(new)}, the bundle's {_text(old)}"


def _text(value: Any) -> str:
    return "[" + ", ".join(map(str, value)) + "]" if isinstance(value, list) else str(value)


def _shapes(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[str]:
    """Tensors that only one of the two has, or has in another shape."""
    for name in [*mine, *(n for n in theirs if n not in mine)]:
        a, b = (list(x[name].shape) if name in x else None for x in (mine, theirs))
        if a != b:
            yield f"tensor {name} is {a or 'absent'}, the bundle's {b or 'absent'}"


def _features(theirs: list[dict[str, Any]], mine: list[dict[str, Any]]) -> str:
    """The first difference between two lists of features, in words."""
    for i in range(max(len(theirs), len(mine))):
        old, new = (x[i] if i < len(x) else None for x in (theirs, mine))
        if old != new:
            names = [x["name"] if x else "none" for x in (new, old)]
            if old and new and names[0] == names[1]:
                keys = ", ".join(key for key in new if new[key] != old.get(key))
                return f"feature {i} ({names[0]}) differs in {keys}"
            return f"feature {i} is {names[0]}, the bundle's {names[1]}"
    return "its hash differs"
