"""Forecasters: what they are asked, what they lower, how their skill is told."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from truefill.config.fields import Count, Positive, Section


class LabelConfig(Section):
    """The question that a forecaster is asked of every bar, at one or more horizons."""

    label: str = Field("smoothed", description="smoothed, future_return or triple_barrier")
    params: dict[str, Any] = Field(default_factory=dict, description="the label's parameters")
    horizons: tuple[Count, ...] = Field(
        (),
        description="bars ahead, one head of the forecaster each; empty: the one of the parameters",
    )

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if list(self.horizons) != sorted(set(self.horizons)):
            raise ValueError("horizons must ascend")
        return self


class LossTerm(Section):
    """One term of a weighted sum of losses."""

    loss: str = Field(description="a registered loss")
    params: dict[str, Any] = Field(default_factory=dict, description="the loss's parameters")
    weight: Positive = Field(1.0, description="share of the term; shares are divided by their sum")


class LossConfig(Section):
    """What training lowers: a registered loss, a weighted sum, or a preset."""

    loss: str | None = Field(None, description="a registered loss")
    params: dict[str, Any] = Field(default_factory=dict, description="the loss's parameters")
    sum: tuple[LossTerm, ...] = Field((), description="instead of loss: terms of a weighted sum")
    preset: str | None = Field(
        None,
        description="instead of loss: regression, robust, financial, directional, "
        "volatility_aware or classification",
    )

    @model_validator(mode="after")
    def _one_of_three(self) -> Self:
        if (self.loss is not None) + bool(self.sum) + (self.preset is not None) != 1:
            raise ValueError("give one of loss, sum and preset")
        if self.params and self.loss is None:
            raise ValueError("params belong to loss")
        return self


class SkillConfig(Section):
    """How the skill of a forecaster over the best baseline is told."""

    confidence: Annotated[float, Field(gt=0.5, lt=1.0)] = Field(
        0.95, description="of the intervals; skill is declared if its interval lies above 0"
    )
    draws: Annotated[int, Field(ge=100)] = Field(
        2_000, description="resamples of the stationary block bootstrap"
    )
    calibration_bins: Annotated[int, Field(ge=2)] = Field(
        10, description="equally wide bins of the forecast probability"
    )
