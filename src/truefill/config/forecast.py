"""Forecasters: what they are asked, what they lower, how their skill is told."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from truefill.config.fields import Count, Fraction, NonNegative, Positive, Section


class LabelConfig(Section):
    """The question that a forecaster is asked of every bar, at one or more horizons."""

    label: str = Field("smoothed", description="smoothed, future_return or triple_barrier")
    params: dict[str, Any] = Field(default_factory=dict, description="the label's parameters")
    horizons: tuple[Count, ...] = Field(
        (),
        description="bars ahead, one head of the forecaster each; `forecast` needs them",
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


class ScheduleConfig(Section):
    """How the learning rate moves: first a linear warm-up, from which the rest counts."""

    kind: Literal["constant", "step", "cosine", "plateau"] = Field(
        "constant", description="how the learning rate moves after the warm-up"
    )
    warmup_epochs: Annotated[float, Field(ge=0.0)] = Field(
        0.0, description="epochs of linear warm-up"
    )
    factor: Annotated[float, Field(gt=0.0, lt=1.0)] = Field(
        0.5, description="step, plateau: the learning rate is multiplied by this"
    )
    every_epochs: Count = Field(10, description="step: after so many epochs each")
    patience_epochs: Count = Field(5, description="plateau: epochs without a better metric")
    end_share: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        0.0, description="cosine: share of the learning rate at the last epoch"
    )


class EarlyStoppingConfig(Section):
    """When a fit ends before its last epoch, and which epoch's weights are the best."""

    metric: str = Field(
        "loss",
        description="on the holdout: loss, any registered loss, or accuracy, f1, correlation "
        "(docs/forecast-networks.md)",
    )
    mode: Literal["min", "max"] = Field("min", description="is less better, or more")
    patience_epochs: Count = Field(5, description="epochs without a better metric")
    min_delta: NonNegative = Field(0.0, description="what counts as better, units of the metric")


class FitConfig(Section):
    """How a network is fitted to its train rows."""

    optimizer: Literal["adam", "adamw", "sgd", "rmsprop"] = Field("adam", description="optimizer")
    learning_rate: Positive = Field(1e-3, description="step size")
    weight_decay: NonNegative = Field(
        0.0, description="adamw: decoupled; the others: added to the gradient (L2)"
    )
    momentum: Fraction = Field(0.0, description="sgd, rmsprop")
    schedule: ScheduleConfig = Field(default_factory=lambda: ScheduleConfig())
    epochs: Count = Field(20, description="passes over the train rows, at most")
    batch_size: Count | Literal["auto"] = Field(
        256,
        description="rows a gradient step; auto: the largest power of two within 64 .. 1024 that "
        "leaves 100 steps an epoch, halved when the memory of a GPU ends",
    )
    max_grad_norm: Positive | None = Field(1.0, description="global gradient norm; null: unclipped")
    holdout: Annotated[float, Field(ge=0.0, lt=0.9)] = Field(
        0.1,
        description="newest share of the train times that judges epochs and is not fitted; rows "
        "whose label reaches into it are left out; 0: no early stopping, the last epoch is taken",
    )
    early_stopping: EarlyStoppingConfig | None = Field(
        default_factory=lambda: EarlyStoppingConfig(),
        description="null: all epochs; the best one on the holdout is still taken",
    )
    mixed_precision: bool = Field(
        False,
        description="bfloat16 matrix products on a GPU; refused on a CPU, where it gains nothing",
    )


class MemberConfig(Section):
    """One forecaster: a network that is fitted here, or a registered forecaster."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=40, description="its name")
    network: str | None = Field(None, description="a registered network (`truefill list networks`)")
    forecaster: str | None = Field(
        None, description="instead of network: see `truefill list forecasters`"
    )
    params: dict[str, Any] = Field(default_factory=dict, description="of network or forecaster")
    loss: LossConfig | None = Field(None, description="networks; null: forecast.loss")
    fit: FitConfig | None = Field(None, description="networks; null: forecast.fit")

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.network is None) == (self.forecaster is None):
            raise ValueError("give one of network and forecaster")
        if self.forecaster is not None and (self.loss is not None or self.fit is not None):
            raise ValueError("loss and fit belong to networks")
        return self


class ProtocolConfig(Section):
    """How the forecasts of train rows are made: always by a model that never saw their answers."""

    kind: Literal["walk_forward", "k_fold"] = Field(
        "walk_forward",
        description="walk_forward: every fold is fitted on the past alone, and the oldest rows "
        "have no forecast; k_fold: purged, looks both ways (causal: false), every row has one",
    )
    folds: Count = Field(4, description="number of folds; more than fit are an error")
    least_train: Annotated[float, Field(gt=0.0, lt=1.0)] = Field(
        0.2, description="walk_forward: share of the train times before the first fold"
    )
    rolling: bool = Field(
        False, description="walk_forward: fit on as many times as the first fold has, not on all"
    )
    embargo_bars: Annotated[int, Field(ge=0)] = Field(
        0, description="k_fold: bars behind each block that train nothing"
    )

    @model_validator(mode="after")
    def _two_blocks(self) -> Self:
        if self.kind == "k_fold" and self.folds < 2:
            raise ValueError("k_fold needs at least 2 folds")
        return self


class ForecastEnsembleConfig(Section):
    """How members become the one forecast that the agent sees."""

    members: tuple[str, ...] = Field((), description="names; empty: all members")
    rule: Literal["mean", "weighted", "stacked"] = Field(
        "mean",
        description="mean; weighted by the score of out-of-fold forecasts; stacked: a linear or "
        "logistic model of them, itself fitted out-of-fold",
    )


class ForecastConfig(Section):
    """Forecasters, the forecasts an agent sees, and what they are judged by."""

    label: LabelConfig = Field(default_factory=lambda: LabelConfig())
    heads: Literal["joint", "separate"] = Field(
        "joint", description="joint: one network for all horizons, a head each; separate: one each"
    )
    features: tuple[str, ...] = Field(
        (), description="features that forecasters see; empty: all of `features`"
    )
    window_bars: Count = Field(60, description="bars that a network looks at")
    loss: LossConfig | None = Field(
        None, description="null: cross_entropy for labels of classes, else mse"
    )
    fit: FitConfig = Field(default_factory=lambda: FitConfig())
    members: tuple[MemberConfig, ...] = Field(min_length=1, description="forecasters, by name")
    seeds: tuple[int, ...] = Field((1,), min_length=1, description="of networks; averaged")
    out_of_fold: ProtocolConfig = Field(default_factory=lambda: ProtocolConfig())
    ensemble: ForecastEnsembleConfig = Field(default_factory=lambda: ForecastEnsembleConfig())
    compare: tuple[str, ...] = Field(
        (),
        description="members outside the ensemble that are fitted on train and scored on "
        "validation; the others are not fitted at all",
    )
    boosting_baseline: bool = Field(
        False, description="gradient boosting among the baselines (extra `boosting`)"
    )
    skill: SkillConfig = Field(default_factory=lambda: SkillConfig())

    @model_validator(mode="after")
    def _names(self) -> Self:
        if not self.label.horizons:
            raise ValueError("give label.horizons, the bars ahead that are forecast")
        names = [member.name for member in self.members]
        for what, given in (("members", names), ("compare", self.compare), ("seeds", self.seeds),
                            ("features", self.features),
                            ("ensemble.members", self.ensemble.members)):  # fmt: skip
            twice = sorted({str(one) for one in given if list(given).count(one) > 1})
            if twice:
                raise ValueError(f"{what} names {', '.join(twice)} twice")
        for what, given in (("compare", self.compare), ("ensemble.members", self.ensemble.members)):
            unknown = sorted(set(given) - set(names))
            if unknown:
                raise ValueError(f"{what} names {', '.join(unknown)}, which is no member")
        both = sorted(set(self.compare) & set(self.used))
        if both:
            raise ValueError(f"{', '.join(both)} is in the ensemble and in compare")
        return self

    @property
    def used(self) -> tuple[str, ...]:
        """Members of the ensemble, in the order of ``members``."""
        chosen = self.ensemble.members
        return tuple(m.name for m in self.members if not chosen or m.name in chosen)
