"""Which keys a search may draw: known ones, of the learner, that the config does not set itself."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from truefill.config.fields import kinds_of
from truefill.config.load import parse_config
from truefill.config.schema import Config
from truefill.config.search import Dimension
from truefill.core.errors import ConfigError, did_you_mean

RULES = (
    "stop_loss", "take_profit", "trailing_stop", "min_hold_bars", "max_hold_bars",
    "decision_interval_bars",
)  # fmt: skip
"""Keys of ``market`` that are a strategy's choice; the others are facts of the market."""
TRAINING = ("training.total_steps", "training.patience")
YARDSTICK = ("eval_every_steps", "eval_episodes", "eval_seed")
MECHANICS = ("checkpoint_every_steps", "tensorboard", "worker_timeout_s", "ensemble", "warm_start")
"""Keys of ``training`` that are no hyper-parameter of a seed's training."""
REFUSED = {
    "data": "trials are compared on the same data",
    "features": "trials are compared on the same observations of the market",
    "forecast": "trials are compared on the same forecasts",
    "plugins": "trials are compared on the same data",
    "evaluation": "it is the yardstick",
    "gates": "it is the yardstick",
    "name": "it says nothing about a policy",
    "device": "it says nothing about a policy",
    "audit": "it says nothing about a policy",
}


@dataclass(frozen=True)
class Space:
    """``free``: what is drawn, by key. ``fixed``: keys of the space that the config sets itself,
    with their values; they are never drawn."""

    free: dict[str, Dimension]
    fixed: dict[str, Any]


def make_space(config: Config, wanted: Mapping[str, Dimension], *, where: str) -> Space:
    """The keys of ``wanted`` that may be drawn for ``config`` (as it was read: not resolved).

    Raises:
        ConfigError: a key that does not exist or must not be searched, keys of which one holds
            the other, or nothing left to search.
    """
    names = sorted(wanted)
    for key in names:
        _require_allowed(key, where)
        _require_known(key, where)
        inside = [other for other in names if other.startswith(f"{key}.")]
        if inside:
            raise ConfigError(f"{inside[0]!r} lies inside {key!r}; search one", where=where)
    fixed = {key: _value(config, key) for key in names if is_set(config, key)}
    free = {key: wanted[key] for key in names if key not in fixed}
    if not free:
        raise ConfigError(
            "nothing is left to search: the config sets every key of the space itself"
            if names
            else "the space is empty",
            where=where,
            do="take a key out of the config (or its --set), or put more keys into the space",
        )
    return Space(free, fixed)


def is_set(config: Config, key: str) -> bool:
    """Does the config (its file, what it extends, or --set) set ``key``, a part of it, or a whole
    of which it is a part? Defaults are not set."""
    node: Any = config
    for part in key.split("."):
        if isinstance(node, BaseModel):
            if part not in node.model_fields_set:
                return False
            node = getattr(node, part)
        elif isinstance(node, Mapping):
            if part not in node:
                return False
            node = node[part]
        else:  # the whole is a plain value, or null
            return True
    return True


def with_values(config: Config, values: Mapping[str, Any]) -> Config:
    """``config`` with ``values`` by dotted key, parsed as any config is.

    Raises:
        ConfigError: the config refuses them.
    """
    tree = put(config.model_dump(mode="json"), values)
    return parse_config(tree, where=", ".join(f"{k}={v}" for k, v in values.items()))


def put(tree: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of ``tree`` with ``values`` at their dotted keys; sections are made where missing."""
    out = deepcopy(dict(tree))
    for key, value in values.items():
        node = out
        *parents, last = key.split(".")
        for part in parents:
            if not isinstance(node.get(part), dict):
                node[part] = {}
            node = node[part]
        node[last] = value
    return out


def _require_allowed(key: str, where: str) -> None:
    top, _, rest = key.partition(".")
    reason = None
    if top in REFUSED:
        reason = REFUSED[top]
    elif top == "market" and rest.split(".")[0] not in RULES:
        reason = "costs and limits are facts of the market, not a choice"
    elif top == "training" and rest == "seeds":
        reason = "seeds are replicates; `seeds` of the space file says how many"
    elif top == "training" and rest in YARDSTICK:
        reason = "trials are compared at the same evaluations"
    elif top == "training" and rest.split(".")[0] in MECHANICS:
        reason = "it is no hyper-parameter of a training"
    if reason is not None:
        allowed = ", ".join(["agent.*", "env.*", *TRAINING, *(f"market.{r}" for r in RULES)])
        raise ConfigError(
            f"{key!r} cannot be searched: {reason}", where=where, do=f"searchable: {allowed}"
        )


def _require_known(key: str, where: str) -> None:
    """Every part of ``key`` must be a field of its section; what lies in a free mapping may be
    anything."""
    annotation: Any = Config
    done: list[str] = []
    for part in key.split("."):
        sections = _sections(annotation)
        if not sections and _is_mapping(annotation):
            return
        known = {name: field for model in sections for name, field in model.model_fields.items()}
        if part not in known:
            hint = did_you_mean(part, known) if known else f"{'.'.join(done)!r} has no keys"
            raise ConfigError(f"unknown key {key!r}", where=where, do=hint)
        annotation = known[part].annotation
        done.append(part)


def _sections(annotation: Any) -> list[type[BaseModel]]:
    """The section classes that ``annotation`` allows; those of a list cannot be named by a key."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (tuple, list, dict):
        return []
    kinds = kinds_of(annotation)
    if kinds:
        return list(dict.fromkeys(kinds.values()))
    return [model for inner in get_args(annotation) for model in _sections(inner)]


def _is_mapping(annotation: Any) -> bool:
    return get_origin(annotation) is dict or any(_is_mapping(a) for a in get_args(annotation))


def _value(config: Config, key: str) -> Any:
    """What the config has at ``key``, JSON-able: what is set of a section; of a schedule without an
    end its number."""
    node: Any = config
    for part in key.split("."):
        if isinstance(node, BaseModel):
            node = getattr(node, part)
        elif isinstance(node, Mapping):
            node = node[part]
        else:
            return to_jsonable_python(node)
    if isinstance(node, BaseModel):
        found = node.model_dump(mode="json", exclude_unset=True)
        return found["start"] if set(found) == {"start"} else found
    return to_jsonable_python(node)
