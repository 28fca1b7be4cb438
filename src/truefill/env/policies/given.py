"""What a policy that is written as a rule is made from: where every feature and every column of
account state lies in an observation, and how features were normalized."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from truefill.core.errors import ConfigError, did_you_mean
from truefill.env.episodes import EnvSpec
from truefill.features.contract import FeatureSpec


@dataclass(frozen=True, eq=False)
class Given:
    """What a policy is made from.

    Attributes:
        spec: shape of observation and actions, with the decoder.
        features: the market features of a bar, in order.
        norm_stats: statistics of train that they are normalized with, by name.
        contract_sha256: hash of the feature contract.
    """

    spec: EnvSpec
    features: tuple[FeatureSpec, ...]
    norm_stats: Mapping[str, Mapping[str, float]]
    contract_sha256: str

    @classmethod
    def of(
        cls,
        spec: EnvSpec,
        contract: Mapping[str, Any],
        norm_stats: Mapping[str, Mapping[str, float]],
    ) -> Given:
        """From a bundle's or a dataset's contract."""
        features = tuple(FeatureSpec(**feature) for feature in contract["features"])
        return cls(spec, features, norm_stats, str(contract["contract_sha256"]))

    def rows(self, feature: str, back: int = 0) -> Any:
        """Where a feature lies in an observation, ``back`` bars before the last: a slice with one
        row for each symbol that the account trades.

        Raises:
            ConfigError: no such feature, or the window does not reach that far.
        """
        if not 0 <= back < self.spec.window:
            raise ConfigError(
                f"{back} bars back is not in the window of {self.spec.window}",
                do="widen env.window_bars",
            )
        first = (self.spec.window - 1 - back) * self.spec.num_features
        step = len(self.features)
        return slice(first + self._index(feature), first + self.spec.num_features, step)

    def state_rows(self, name: str) -> slice:
        """Where a column of account state lies in an observation (``env.state_features``)."""
        names = self.spec.state_features
        if name not in names:
            raise ConfigError(
                f"the account state has no {name!r}",
                do=did_you_mean(name, names) or "name it in env.state_features",
            )
        at = names.index(name)
        first = self.spec.window * self.spec.num_features
        first += sum(self.spec.width(before) for before in names[:at])
        return slice(first, first + self.spec.width(name))

    def raw(self, feature: str, normalized: Any) -> Any:
        """Normalized values of a feature in its own unit again (where it was not clipped)."""
        shift, scale = self._affine(feature)
        return normalized * scale + shift

    def normalized(self, feature: str, raw: Any) -> Any:
        """A value in the feature's own unit as observations hold it, before any clip."""
        shift, scale = self._affine(feature)
        return (raw - shift) / scale

    def _affine(self, feature: str) -> tuple[float, float]:
        spec = self.features[self._index(feature)]
        if spec.normalizer == "zscore":
            stats = self.norm_stats[feature]
            return stats["mean"], stats["std"]
        if spec.normalizer == "minmax":
            return spec.low, spec.high - spec.low
        return 0.0, 1.0

    def _index(self, feature: str) -> int:
        names = [spec.name for spec in self.features]
        if feature not in names:
            raise ConfigError(f"no feature is called {feature!r}", do=did_you_mean(feature, names))
        return names.index(feature)
