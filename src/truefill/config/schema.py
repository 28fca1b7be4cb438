"""The whole configuration of a run: one typed, frozen tree.

Every field carries its description, unit and default; ``truefill schema`` prints it as JSON Schema.
Cross-field rules are validated here, so that a wrong config fails before any work starts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import Field, model_validator

from truefill.config.agent import (
    AgentConfig,
    CriticConfig,
    CvarConfig,
    MemoryConfig,
    NetworkConfig,
    PopArtConfig,
    PPOConfig,
    Schedule,
    ScheduleField,
    TrainingConfig,
)
from truefill.config.data import (
    BarsFile,
    DataConfig,
    FeatureConfig,
    SeriesFile,
    SessionConfig,
    SplitPeriod,
    SplitsConfig,
    SyntheticConfig,
)
from truefill.config.environment import (
    ActionConfig,
    EnvConfig,
    RewardConfig,
)
from truefill.config.evaluation import (
    EvaluationConfig,
    GatesConfig,
    MinRows,
    SmaCrossConfig,
)
from truefill.config.fields import FilePath, Section
from truefill.config.forecast import ForecastConfig
from truefill.config.market import MarketConfig
from truefill.config.market_parts import AtrStops, Participation, TrailingStop
from truefill.config.no_trade import (
    FundingWindow,
    IntervalWindow,
    NoTrade,
    VolatilityGuard,
    Window,
)
from truefill.config.symbol_rules import ClassRules, SymbolRules

__all__ = [
    "Config",
    "ActionConfig",
    "AgentConfig",
    "AtrStops",
    "BarsFile",
    "ClassRules",
    "CriticConfig",
    "CvarConfig",
    "DataConfig",
    "EnvConfig",
    "EvaluationConfig",
    "FeatureConfig",
    "ForecastConfig",
    "FundingWindow",
    "GatesConfig",
    "IntervalWindow",
    "MarketConfig",
    "MinRows",
    "MemoryConfig",
    "NetworkConfig",
    "NoTrade",
    "PPOConfig",
    "PopArtConfig",
    "Participation",
    "RewardConfig",
    "Schedule",
    "ScheduleField",
    "SeriesFile",
    "SessionConfig",
    "SmaCrossConfig",
    "SplitPeriod",
    "SplitsConfig",
    "SymbolRules",
    "SyntheticConfig",
    "TrailingStop",
    "TrainingConfig",
    "VolatilityGuard",
    "Window",
]


SMOKE_SUFFIX = "-smoke"
"""Ends the name of a ``--smoke`` run, which says nothing about a strategy."""


RULE_SEEDS = (0,)
"""In place of ``training.seeds`` where nothing is trained."""


class Config(Section):
    """One run of truefill."""

    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9_-]*$",
        max_length=100,
        description="first part of the run folder's name",
    )
    device: Literal["auto", "cpu", "gpu"] = Field(
        "auto", description="auto: a GPU when jax has one, else the CPU; the choice is recorded"
    )
    audit: Literal["optional", "required"] = Field(
        "optional",
        description="required: a run asks for a current leak certificate (`truefill audit`)",
    )
    data: DataConfig
    plugins: tuple[FilePath, ...] = Field(
        (),
        description="Python files of your own that register calculators, encoders or policies "
        "(docs/add-a-calculator, docs/networks)",
    )
    features: tuple[FeatureConfig, ...] = Field(
        min_length=1, description="market features, in order"
    )
    forecast: ForecastConfig | None = Field(
        None, description="forecasters and the forecasts an agent sees (docs/forecasting.md)"
    )
    market: MarketConfig = Field(default_factory=lambda: MarketConfig())
    env: EnvConfig = Field(default_factory=lambda: EnvConfig())
    agent: AgentConfig = Field(default_factory=lambda: AgentConfig())
    training: TrainingConfig = Field(default_factory=lambda: TrainingConfig())
    evaluation: EvaluationConfig = Field(default_factory=lambda: EvaluationConfig())
    gates: GatesConfig = Field(default_factory=lambda: GatesConfig())

    @model_validator(mode="before")
    @classmethod
    def _one_rule(cls, tree: Any) -> Any:
        """A rule is one policy: it has one seed, which stands for none."""
        agent = tree.get("agent") if isinstance(tree, dict) else None
        kind = agent.get("kind") if isinstance(agent, dict) else getattr(agent, "kind", None)
        if kind != "rule":
            return tree
        return {
            **tree,
            "training": _with(tree.get("training"), {"seeds": RULE_SEEDS}),
            "evaluation": _with(tree.get("evaluation"), {"min_positive_seeds": 1}),
        }

    @model_validator(mode="after")
    def _untrained(self) -> Self:
        if self.agent.rule is not None:
            for name in ("ensemble", "warm_start"):
                if getattr(self.training, name) is not None:
                    raise ValueError(
                        f"training.{name} is for policies that are trained; agent.kind rule "
                        "trains nothing"
                    )
        return self

    @model_validator(mode="after")
    def _cross_field(self) -> Self:
        names = [feature.name for feature in self.features]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"features are named twice: {', '.join(twice)}")
        rollout = self.agent.ppo.num_envs * self.agent.ppo.num_steps
        trained = self.agent.rule is None
        if trained and self.training.total_steps < rollout:
            raise ValueError(
                f"training.total_steps {self.training.total_steps} is less than one "
                f"rollout ({rollout})"
            )
        if trained and self.training.eval_every_steps > self.training.total_steps:
            raise ValueError("training.eval_every_steps exceeds training.total_steps")
        needed = len(self.training.seeds)
        if self.evaluation.min_positive_seeds > needed:
            raise ValueError(
                f"evaluation.min_positive_seeds {self.evaluation.min_positive_seeds} exceeds the "
                f"number of training.seeds ({needed})"
            )
        splits = self.data.splits
        for name in ("train", "validation", "test") if isinstance(splits, SplitsConfig) else ():
            period: SplitPeriod = getattr(splits, name)
            bars = (period.end - period.start).total_seconds() / self.data.bar_interval
            if self.env.window_bars + self.market.decision_lag >= bars:
                raise ValueError(
                    f"env.window_bars {self.env.window_bars} does not fit data.splits.{name} "
                    f"(at most {int(bars)} bars)"
                )
        return self

    def files(self) -> dict[str, Path]:
        """Every input file by its key: those of ``data`` (``bars.0``, ...), ``plugins.0``, ...,
        ``training.warm_start`` (the bundle's index) and ``market.no_trade.1``, ..."""
        files = self.data.files() | {f"plugins.{i}": path for i, path in enumerate(self.plugins)}
        if self.training.warm_start is not None:  # it holds the hash of every file of the bundle
            files["training.warm_start"] = self.training.warm_start / "bundle.json"
        for i, window in enumerate(self.market.no_trade):
            if isinstance(window, IntervalWindow) and window.path is not None:
                files[f"market.no_trade.{i}"] = window.path
        return files

    def timezone(self) -> ZoneInfo:
        """Timezone of the session, UTC without one."""
        session = self.data.session
        return ZoneInfo(session.timezone if session else "UTC")


def _with(section: Any, new: dict[str, Any]) -> Any:
    """A section, parsed or not, with other values."""
    if isinstance(section, Section):
        return section.model_copy(update=new)
    return {**section, **new} if isinstance(section, dict) else new if section is None else section
