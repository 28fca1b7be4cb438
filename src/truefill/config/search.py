"""What `truefill tune` searches, and how: the space file ``STEM.search.yaml`` beside a config.

Which keys may be searched, and which are fixed because the config sets them, is decided in
:mod:`truefill.config.space`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from truefill.config.fields import Count, NonNegative, Positive, Section
from truefill.config.load import read_yaml
from truefill.core.errors import ConfigError

SUFFIX = ".search.yaml"
REGIMES = ("normal", "choppy", "trending")


class Dimension(Section):
    """What one key may be: a range, or a list of choices."""

    low: int | float | None = Field(None, description="lowest value; whole low and high: whole")
    high: int | float | None = Field(None, description="highest value, included")
    log: bool = Field(False, description="drawn evenly on a logarithmic scale")
    step: int | float | None = Field(None, gt=0, description="only low, low + step, ...")
    choices: tuple[Any, ...] | None = Field(None, min_length=1, description="one of these values")

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if self.choices is not None:
            if (self.low, self.high, self.log, self.step) != (None, None, False, None):
                raise ValueError("give choices, or low and high, not both")
            return self
        if self.low is None or self.high is None:
            raise ValueError("give low and high, or choices")
        if not self.low < self.high:
            raise ValueError(f"low {self.low} is not below high {self.high}; for one value --set")
        if self.log and self.low <= 0:
            raise ValueError(f"log needs a low above 0, not {self.low}")
        if self.log and self.step is not None:
            raise ValueError("give log or step, not both")
        if self.whole and isinstance(self.step, float):
            raise ValueError(f"step {self.step} between whole numbers; write low and high as 1.0")
        return self

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are drawn."""
        return isinstance(self.low, int) and isinstance(self.high, int)


class RegimeWeights(Section):
    """Weights of the regimes' Sortino ratios; they add up to 1."""

    normal: NonNegative = Field(0.5, description="windows between the two quantiles")
    choppy: NonNegative = Field(0.3, description="windows of low efficiency ratio")
    trending: NonNegative = Field(0.2, description="windows of high efficiency ratio")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        total = self.normal + self.choppy + self.trending
        if abs(total - 1.0) > 1e-9:
            raise ValueError(f"the weights add up to {total:g}, not to 1")
        return self


class RegimesConfig(Section):
    """Validation windows told apart by how straight the price ran (docs/tuning.md)."""

    bars: Count = Field(500, description="length of a window and of its episode, bars")
    episodes: Count = Field(5, description="episodes per regime, the same for every policy")
    every_steps: Count = Field(
        100_000, description="training steps between two scores; counted at evaluations"
    )
    quantiles: tuple[float, float] = Field(
        (1 / 3, 2 / 3), description="of the train windows' ratio: choppy below, trending above"
    )
    weights: RegimeWeights = Field(default_factory=lambda: RegimeWeights())

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        low, high = self.quantiles
        if not 0.0 < low < high < 1.0:
            raise ValueError(f"quantiles [{low:g}, {high:g}] must ascend between 0 and 1")
        if self.bars < 2:
            raise ValueError("a window of one bar has no efficiency ratio; give 2 or more")
        return self


class PruneConfig(Section):
    """When a trial is stopped early; only finished trials of earlier generations count."""

    startup_trials: int = Field(5, ge=0, description="complete trials before anything is pruned")
    percentile: Positive = Field(
        50.0, le=100.0, description="the best this many per cent at the same step are kept"
    )
    from_step: int = Field(
        0, ge=0, description="nothing is pruned before; training steps of a trial, over its seeds"
    )
    sortino: bool = Field(True, description="prune by the Sortino ratio of each evaluation")
    regimes: RegimesConfig | None = Field(None, description="prune by a score over regimes too")

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.sortino and self.regimes is None:
            raise ValueError("nothing is left to prune by; set prune: null to prune nothing")
        return self


class SearchConfig(Section):
    """A hyper-parameter search."""

    trials: Count = Field(20, description="trials in all; more later go on with the same study")
    seeds: Count | None = Field(
        None,
        description="replicates: each trial trains the first this many of training.seeds; null = "
        "all of them, at most 3",
    )
    generation: Count = Field(4, description="trials proposed together; earlier ones teach them")
    sampler: Literal["tpe", "random"] = Field("tpe", description="Optuna's sampler")
    objective: Literal["sortino", "net_log_return", "regime_score"] = Field(
        "sortino", description="of each seed's best policy on validation; the trial has their IQM"
    )
    folds: int = Field(5, ge=2, description="blocks of validation for the selection regret")
    prune: PruneConfig | None = Field(
        default_factory=lambda: PruneConfig(), description="early stopping; null = off"
    )
    space: dict[str, Dimension] = Field(
        default_factory=dict, description="config key: range or choices; empty = the learner's own"
    )

    @model_validator(mode="after")
    def _regimes(self) -> Self:
        if self.objective == "regime_score" and self.regimes is None:
            raise ValueError("objective regime_score needs prune.regimes")
        return self

    @property
    def regimes(self) -> RegimesConfig | None:
        """The regimes that trials are scored on, if any."""
        return None if self.prune is None else self.prune.regimes


def parse_search(tree: Any, *, where: str = "search") -> SearchConfig:
    """Validate a mapping; all errors come in one ``ConfigError``."""
    try:
        return SearchConfig.model_validate(tree)
    except ValidationError as error:
        lines = [_explain(dict(details)) for details in error.errors()]
        what = lines[0] if len(lines) == 1 else "\n  ".join([f"{len(lines)} errors", *lines])
        raise ConfigError(what, where=where, do="see docs/tuning.md") from error


def _explain(details: dict[str, Any]) -> str:
    key = ".".join(str(part) for part in details["loc"])
    if details["type"] == "extra_forbidden":
        return f"unknown key {key!r}"
    message = str(details["msg"]).removeprefix("Value error, ")
    return f"{key}: {message}" if key else message


def load_search(path: str | Path) -> SearchConfig:
    """Read a space file.

    Raises:
        ConfigError: with the file and the key.
    """
    path = Path(path)
    return parse_search(read_yaml(path), where=str(path))


def space_file(config: Path) -> Path:
    """Where the space of ``config`` lies unless told otherwise: ``STEM.search.yaml``."""
    return config.with_name(config.stem + SUFFIX)
