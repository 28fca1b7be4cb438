"""Multipliers of liquidity and spread by hour of the week: fitted on train, or read from a file."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from truefill.config.fields import Count, FilePath, Section

SeasonKind = Literal["liquidity", "spread"]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class SeasonalityConfig(Section):
    """168 multipliers a kind, Monday 00:00 UTC first: average of the hour / average of all."""

    fit: tuple[SeasonKind, ...] = Field(
        (), description="kinds to fit on train rows: liquidity (volume), spread"
    )
    ask: str | None = Field(
        None,
        description="column of the bars with the ask at the close (close is then the bid), for "
        "spread; null = the bars' ranges stand in",
    )
    pooled: bool = Field(
        False, description="one list for all symbols, of values relative to each one's own average"
    )
    min_samples: Count = Field(
        10, description="train bars that every hour with bars must have, each symbol alone"
    )
    path: FilePath | None = Field(None, description="instead of fit: a JSON file of multipliers")
    sha256: Sha256 | None = Field(None, description="SHA-256 of that file; another is refused")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if bool(self.fit) == (self.path is not None):
            raise ValueError("give either fit or path")
        if len(set(self.fit)) < len(self.fit):
            raise ValueError("fit names a kind twice")
        if (self.path is None) != (self.sha256 is None):
            raise ValueError("path and sha256 come together")
        if self.ask is not None and "spread" not in self.fit:
            raise ValueError("ask is for fitting spread")
        return self
