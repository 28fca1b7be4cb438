"""A market with a known answer instead of files."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import Field

from truefill.config.fields import Count, Fraction, Moment, Positive, Section


class SyntheticConfig(Section):
    """A market with a known answer instead of files."""

    kind: str = Field(
        description="a registered market, e.g. random_walk; see `truefill list synthetic`"
    )
    bars: Count = Field(12_000, description="bars per symbol")
    symbols: Count = Field(1, description="number of symbols")
    seed: int = Field(0, ge=0, lt=2**63, description="random seed of the market")
    volatility: Positive = Field(0.002, description="standard deviation of a bar's log return")
    strength: Fraction = Field(
        0.7,
        description="planted kinds: share of the return's variance that can be known in advance",
    )
    start: Moment = Field(datetime(2020, 1, 1, tzinfo=UTC), description="first bar")
    params: dict[str, Any] = Field(default_factory=dict, description="the kind's own parameters")

    def file(self) -> Path | None:
        """The file of real bars that the market is made from, if it is."""
        entry = self.params.get("file")
        path = entry.get("path") if isinstance(entry, dict) else None
        return Path(path) if isinstance(path, str) else None
