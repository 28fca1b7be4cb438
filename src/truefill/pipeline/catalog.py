"""What is registered, kind by kind, with parameters and defaults (``truefill list``)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from truefill.config.agent import RuleConfig
from truefill.config.schema import (
    AgentConfig,
    CriticConfig,
    CvarConfig,
    FeatureConfig,
    GatesConfig,
    MemoryConfig,
    NetworkConfig,
    PopArtConfig,
    PPOConfig,
    SmaCrossConfig,
    SyntheticConfig,
)
from truefill.core.errors import UsageError, did_you_mean
from truefill.core.registry import Registry


@dataclass(frozen=True)
class Parameter:
    """One parameter and its default, both as text."""

    name: str
    default: str
    description: str


@dataclass(frozen=True)
class Item:
    """One thing a config can name."""

    name: str
    summary: str
    parameters: tuple[Parameter, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    """What else is known of it, e.g. unit, warm-up and source of a calculator."""

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "facts": dict(self.facts)}


def catalog(kind: str) -> list[Item]:
    """Everything of one kind.

    Raises:
        UsageError: no such kind; the message names the nearest.
    """
    if kind not in KINDS:
        raise UsageError(f"there is no kind {kind!r} to list", do=did_you_mean(kind, KINDS))
    return list(KINDS[kind]())


def parameters(model: type[BaseModel]) -> tuple[Parameter, ...]:
    """The fields of a parameter class."""
    return tuple(
        Parameter(name, _default(field), field.description or "")
        for name, field in model.model_fields.items()
    )


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "(required)"
    value = field.get_default(call_default_factory=True, validated_data={})
    return repr(value.model_dump()) if isinstance(value, BaseModel) else repr(value)


def _first_line(text: str | None) -> str:
    return (text or "").strip().split("\n")[0]


def _registered(registry: Registry[Any]) -> list[Item]:
    """Registry entries; what the function says of itself, else what its parameter class says."""
    return [
        Item(
            entry.name,
            _first_line(entry.make.__doc__) or entry.summary,
            parameters(entry.params),
        )
        for entry in registry
    ]


def _calculators() -> list[Item]:
    from truefill.features.document import facts_of
    from truefill.features.registry import CALCULATORS

    return [
        Item(entry.name, entry.summary, parameters(entry.params), tuple(facts_of(entry).items()))
        for entry in CALCULATORS
    ]


def _decoders() -> list[Item]:
    from truefill.env.decoders import DECODERS

    return _registered(DECODERS)


def _rewards() -> list[Item]:
    from truefill.env.rewards import REWARD_TERMS

    return _registered(REWARD_TERMS)


def _state_features() -> list[Item]:
    from truefill.env.state_features import STATE_FEATURES

    return _registered(STATE_FEATURES)


def _agents() -> list[Item]:
    both = parameters(PPOConfig) + parameters(NetworkConfig)
    memory = _under("memory.", parameters(MemoryConfig))
    critic = tuple(p for p in parameters(CriticConfig) if p.name not in ("cvar", "popart"))
    critic += _under("cvar.", parameters(CvarConfig)) + _under("popart.", parameters(PopArtConfig))
    critic = _under("critic.", critic)
    known = {
        "ppo": (_first_line(PPOConfig.__doc__), both),
        "recurrent_ppo": (
            "The same with a recurrent layer, which remembers bars gone by.", both + memory
        ),
        "quantile_ppo": (
            "PPO whose critic knows the distribution of returns; the worst can weigh more.",
            both + critic,
        ),
        "recurrent_quantile_ppo": ("Both: memory, and a critic of quantiles.",
                                   both + memory + critic),
        "rule": (_first_line(RuleConfig.__doc__), _under("rule.", parameters(RuleConfig))),
    }  # fmt: skip
    return [Item(name, *known[name]) for name in _choices(AgentConfig, "kind")]


def _encoders() -> list[Item]:
    from truefill.agents.encoders import ENCODERS

    return [Item(entry.name, entry.summary, parameters(entry.params)) for entry in ENCODERS]


def _policies() -> list[Item]:
    from truefill.env.policies import POLICIES

    return [Item(entry.name, entry.summary, parameters(entry.params)) for entry in POLICIES]


def _labels() -> list[Item]:
    from truefill.forecast.labels import LABELS

    return [Item(entry.name, entry.summary, parameters(entry.params)) for entry in LABELS]


def _losses() -> list[Item]:
    from truefill.forecast.losses import LOSSES

    return [Item(entry.name, entry.summary, parameters(entry.params)) for entry in LOSSES]


def _networks() -> list[Item]:
    from truefill.forecast.networks import NETWORKS

    return [Item(entry.name, entry.summary, parameters(entry.params)) for entry in NETWORKS]


def _forecasters() -> list[Item]:
    import truefill.forecast.foundation  # noqa: F401  # registers
    from truefill.forecast.baselines import FORECASTERS

    return [Item(entry.name, entry.summary, parameters(entry.params)) for entry in FORECASTERS]


def _baselines() -> list[Item]:
    return [
        Item("flat", "Never trades."),
        Item("buy_and_hold", "Buys once, at the first open, and holds."),
        Item("constant_exposure", "Holds the agent's mean exposure all the time."),
        Item("sma_cross", _first_line(SmaCrossConfig.__doc__), parameters(SmaCrossConfig)),
        Item("random", "Random sides with the agent's own trade frequency; the median draw."),
    ]


def _behaviours() -> list[Item]:
    from truefill.agents.behaviour import NAMES

    return [Item(name, summary) for name, summary in NAMES.items()]


def _ensembles() -> list[Item]:
    from truefill.agents.ensemble import RULES

    return [Item(name, summary) for name, summary in RULES.items()]


def _gates() -> list[Item]:
    return [Item(p.name, f"{p.description}; default {p.default}") for p in parameters(GatesConfig)]


def _normalizers() -> list[Item]:
    summaries = {
        "none": "The calculator's value as it is (clips still apply).",
        "zscore": "(x - mean) / standard deviation, both of train rows only.",
        "minmax": "low..high to 0..1, both given in the config.",
    }
    return [Item(name, summaries[name]) for name in _choices(FeatureConfig, "normalizer")]


def _synthetic() -> list[Item]:
    from truefill.data.synthetic import SOURCES

    common = tuple(p for p in parameters(SyntheticConfig) if p.name not in ("kind", "params"))
    return [
        Item(item.name, item.summary, (*common, *_under("params.", item.parameters)))
        for item in _registered(SOURCES)
    ]


def _under(prefix: str, items: Iterable[Parameter]) -> tuple[Parameter, ...]:
    return tuple(Parameter(prefix + p.name, p.default, p.description) for p in items)


def _samples() -> list[Item]:
    from truefill.data.table import SAMPLE_FOLDER

    names = sorted(file.stem for file in SAMPLE_FOLDER.glob("*.csv"))
    return [Item(f"sample:{name}", "real bars that ship with truefill") for name in names]


def _sources() -> list[Item]:
    from truefill.fetch.registry import SOURCES

    return [Item(entry.name, entry.summary, parameters(entry.params)) for entry in SOURCES]


def _choices(model: type[BaseModel], field: str) -> tuple[str, ...]:
    return get_args(model.model_fields[field].annotation)


KINDS: dict[str, Callable[[], Iterable[Item]]] = {
    "agents": _agents,
    "baselines": _baselines,
    "behaviours": _behaviours,
    "calculators": _calculators,
    "decoders": _decoders,
    "encoders": _encoders,
    "ensembles": _ensembles,
    "forecasters": _forecasters,
    "gates": _gates,
    "labels": _labels,
    "losses": _losses,
    "networks": _networks,
    "normalizers": _normalizers,
    "policies": _policies,
    "rewards": _rewards,
    "samples": _samples,
    "sources": _sources,
    "state_features": _state_features,
    "synthetic": _synthetic,
}
