"""The feature contract: which features, in which order, made how. A policy acts under one only.

The SHA-256 covers names, calculators, parameters with their defaults, normalizers and clips, the
bars' interval, the session, the publication rules of series and calendars, and the files of
plug-ins: whatever changes a feature's meaning. It does not cover fitted statistics
(``norm_stats.json``) or the names of data files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from truefill.core.errors import ArtifactError
from truefill.core.fingerprint import fingerprint


@dataclass(frozen=True)
class FeatureSpec:
    """One feature as lineage keeps it. ``warmup_bars``: leading bars without a value;
    ``lookback_bars``: bars a value depends on, its own included (a recursive one: until older ones
    weigh less than 1e-6); ``values_needed``: published values of a slow series before the first
    one (null: no slow series); ``level``: not stationary."""

    name: str
    calculator: str
    params: dict[str, Any]
    normalizer: str
    low: float
    high: float
    pre_clip: float | None
    clip: float | None
    clip_low: float | None
    warmup_bars: int
    lookback_bars: int
    values_needed: int | None
    unit: str
    level: bool


@dataclass(frozen=True)
class FeatureContract:
    """Ordered features and what they are computed from."""

    features: tuple[FeatureSpec, ...]
    interval_s: float
    session: dict[str, Any]
    series: dict[str, dict[str, Any]]
    plugins: dict[str, str] = field(default_factory=dict)
    """SHA-256 of each file that registers calculators, by file name."""
    releases: list[dict[str, float]] = field(default_factory=list)
    """When what is known of each economic calendar's events."""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(spec.name for spec in self.features)

    @property
    def sha256(self) -> str:
        return fingerprint(self.as_dict())

    def as_dict(self) -> dict[str, Any]:
        """JSON-able; :meth:`from_dict` is its inverse."""
        return {
            "features": [asdict(spec) for spec in self.features],
            "interval_s": self.interval_s,
            "session": self.session,
            "series": self.series,
            "plugins": self.plugins,
            "releases": self.releases,
        }

    @staticmethod
    def from_dict(value: Mapping[str, Any]) -> FeatureContract:
        return FeatureContract(
            tuple(FeatureSpec(**spec) for spec in value["features"]),
            float(value["interval_s"]),
            dict(value["session"]),
            {name: dict(rule) for name, rule in value["series"].items()},
            dict(value["plugins"]),
            [dict(rule) for rule in value["releases"]],
        )

    @staticmethod
    def from_lineage(lineage: Mapping[str, Any]) -> FeatureContract:
        """The contract of a dataset; ``ArtifactError`` when its hash does not match."""
        contract = FeatureContract.from_dict(lineage)
        if contract.sha256 != lineage["contract_sha256"]:
            raise ArtifactError(
                "the feature contract does not match its SHA-256", where="lineage.json"
            )
        return contract


def level_warnings(specs: Iterable[FeatureSpec]) -> list[str]:
    """A warning for each feature that is not stationary."""
    return [
        f"level_feature: {spec.name} ({spec.calculator}, {spec.unit}) is not stationary: later "
        "values may lie far from those of train, by whose statistics they are normalized"
        for spec in specs
        if spec.level
    ]
