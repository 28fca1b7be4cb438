"""Where train, validation and test lie: given as dates, or as a rule that the bars' dates fill in.

Every kind but ``dates`` is resolved into ``dates`` before anything else happens
(:func:`truefill.data.resolve.resolve`); below it only dates exist.
"""

from __future__ import annotations

from math import isclose
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from truefill.config.fields import Count, Duration, Moment, Section
from truefill.core.errors import ConfigError

PurgeBars = Annotated[int, Field(ge=0)] | Literal["auto"]
PURGE = (
    "bars left out before validation and before test, counted on the bars there are: a label "
    "there would reach into the next split; auto = the label horizon (agents have none: 0)"
)
Share = Annotated[float, Field(gt=0.0, lt=1.0, allow_inf_nan=False)]
Size = Annotated[Duration, Field(gt=0.0)]
"""A length of time (``90d``, ``13w``; seconds), or, below 1, a fraction of all bar starts."""
SIZE = "a duration (90d, 13w), or a fraction of all bar starts (0.15)"


class SplitPeriod(Section):
    """Half-open period [start, end)."""

    start: Moment = Field(description="first bar start, inclusive (date or ISO timestamp)")
    end: Moment = Field(description="end, exclusive")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.start >= self.end:
            raise ValueError(f"start {self.start.date()} is not before end {self.end.date()}")
        return self


class SplitsConfig(Section):
    """Fixed-date splits in order; they may not overlap."""

    kind: Literal["dates"] = Field("dates", description="fixed dates (may be left out)")
    train: SplitPeriod
    validation: SplitPeriod
    test: SplitPeriod
    purge_bars: PurgeBars = Field("auto", description=PURGE)
    resolved_from: str | None = Field(
        None, description="written by truefill: the rule that these dates come from"
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.train.end > self.validation.start:
            raise ValueError("train must end before validation starts")
        if self.validation.end > self.test.start:
            raise ValueError("validation must end before test starts")
        return self


class FractionSplits(Section):
    """Shares of the distinct bar starts inside the session, oldest first."""

    kind: Literal["fractions"] = Field(description="shares of the bars")
    train: Share = Field(0.7, description="share of the bar starts")
    validation: Share = Field(0.15, description="share of the bar starts")
    test: Share = Field(0.15, description="share of the bar starts; the three make 1")
    purge_bars: PurgeBars = Field("auto", description=PURGE)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        total = self.train + self.validation + self.test
        if not isclose(total, 1.0, abs_tol=1e-9):
            raise ValueError(f"train, validation and test make {total:g}, not 1")
        return self


class WalkForwardSplits(Section):
    """One fold of a walk through the data; each fold is a run of its own.

    The tests of all folds follow one another without overlap, and the last one ends with the data.
    Validation lies right before test, train before validation.
    """

    kind: Literal["walk_forward"] = Field(description="one fold of a walk through the data")
    mode: Literal["expanding", "rolling"] = Field(
        "expanding", description="train from the first bar on, or a window that moves along"
    )
    folds: Count = Field(5, description="number of folds; more than fit are an error")
    fold: Count = Field(description="the one that this run takes, 1 = the oldest")
    train: Size | None = Field(
        None, description=f"rolling: length of train; expanding: its least length; {SIZE}"
    )
    validation: Size = Field(description=f"length of validation: {SIZE}")
    test: Size = Field(description=f"length of each test: {SIZE}")
    purge_bars: PurgeBars = Field("auto", description=PURGE)

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if self.fold > self.folds:
            raise ValueError(f"fold {self.fold} is not one of {self.folds} folds")
        if self.mode == "rolling" and self.train is None:
            raise ValueError("rolling needs the length of train")
        return self


class ColumnSplits(Section):
    """Roles in a column of the bars: train, validation, test, or empty for none of them."""

    kind: Literal["column"] = Field(description="roles that come with the bars")
    column: str = Field(description="column of the bars, as it is called in the file")
    purge_bars: PurgeBars = Field("auto", description=PURGE)


def _kind(value: Any) -> Any:
    """The tag of the section; without one it holds dates."""
    return value.get("kind", "dates") if isinstance(value, dict) else getattr(value, "kind", None)


Splits = Annotated[
    Annotated[SplitsConfig, Tag("dates")]
    | Annotated[FractionSplits, Tag("fractions")]
    | Annotated[WalkForwardSplits, Tag("walk_forward")]
    | Annotated[ColumnSplits, Tag("column")],
    Discriminator(_kind),
]
"""``data.splits``."""


def dated(splits: Splits) -> SplitsConfig:
    """``splits``, which must hold dates by now.

    Raises:
        ConfigError: they are a rule that :func:`truefill.data.resolve.resolve` has not filled in.
    """
    if not isinstance(splits, SplitsConfig):
        raise ConfigError(
            f"splits of kind {splits.kind} have no dates yet",
            where="data.splits",
            do="config = truefill.data.resolve.resolve(config)",
        )
    return splits


class FoldsConfig(Section):
    """Folds inside train (and validation) for stages that tune or cross-validate; never of test."""

    kind: Literal["walk_forward", "purged_k_fold", "combinatorial_purged"] = Field(
        description="walk_forward: train is older than test; purged_k_fold: each block is tested "
        "once, the others train; combinatorial_purged: every choice of test_groups blocks"
    )
    folds: int = Field(
        5, ge=2, description="number of folds; combinatorial_purged: of groups to choose from"
    )
    test_groups: Count = Field(2, description="combinatorial_purged: groups tested at a time")
    mode: Literal["expanding", "rolling"] = Field(
        "expanding", description="walk_forward: train from the first bar on, or a moving window"
    )
    test_bars: Count | None = Field(
        None, description="walk_forward: bars a test; null = bars / (folds + 1)"
    )
    train_bars: Count | None = Field(
        None, description="walk_forward, rolling: bars of train; expanding: the least"
    )
    within: Literal["train", "train_validation"] = Field(
        "train", description="bars that the folds are made of"
    )
    label_horizon_bars: Annotated[int, Field(ge=0)] | Literal["auto"] = Field(
        "auto", description="bars that a label looks ahead; auto = of the labels (agents: 0)"
    )
    embargo_bars: int = Field(
        0, ge=0, description="further bars left out of train after each test, beside the purge"
    )

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if self.kind == "combinatorial_purged" and self.test_groups >= self.folds:
            raise ValueError(f"test_groups {self.test_groups} leaves no group of {self.folds}")
        if self.kind == "walk_forward" and self.mode == "rolling" and self.train_bars is None:
            raise ValueError("rolling needs train_bars")
        if self.kind == "walk_forward" and self.embargo_bars:
            raise ValueError("a walk forward trains on nothing behind a test: no embargo_bars")
        return self
