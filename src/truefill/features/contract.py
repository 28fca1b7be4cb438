"""The feature contract: which features, in which order, made how. A policy acts under one only.

The SHA-256 covers names, calculators, parameters with their defaults, normalizers and clips, the
bars' interval, the session and the publication rules of the series: whatever changes a feature's
meaning. It does not cover fitted statistics (``norm_stats.json``) or file names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from truefill.core.errors import ArtifactError
from truefill.core.fingerprint import fingerprint


@dataclass(frozen=True)
class FeatureSpec:
    """One feature as lineage keeps it. ``warmup_bars``: leading bars without a value;
    ``values_needed``: published values of a slow series before the first one (null: no slow
    series)."""

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
    values_needed: int | None
    unit: str


@dataclass(frozen=True)
class FeatureContract:
    """Ordered features and what they are computed from."""

    features: tuple[FeatureSpec, ...]
    interval_s: float
    session: dict[str, Any]
    series: dict[str, dict[str, float]]

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
        }

    @staticmethod
    def from_dict(value: Mapping[str, Any]) -> FeatureContract:
        return FeatureContract(
            tuple(FeatureSpec(**spec) for spec in value["features"]),
            float(value["interval_s"]),
            dict(value["session"]),
            {name: dict(rule) for name, rule in value["series"].items()},
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
