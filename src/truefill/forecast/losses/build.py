"""A configured loss: one that is registered, a weighted sum of such, or a preset by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import jax.numpy as jnp

from truefill.config.forecast import LossConfig, LossTerm
from truefill.core.errors import ConfigError, did_you_mean
from truefill.core.registry import Entry, Params
from truefill.forecast.losses.base import LOSSES, Batch, LossFunction, TargetFacts, TargetKind
from truefill.market.types import Array


def _sum(*terms: tuple[float, str]) -> LossConfig:
    return LossConfig(sum=tuple(LossTerm(loss=name, weight=weight) for weight, name in terms))


PRESETS: Mapping[str, LossConfig] = {
    "regression": LossConfig(loss="mse"),
    "robust": LossConfig(loss="huber"),
    "financial": _sum((0.5, "mse"), (0.5, "sharpe")),
    "directional": LossConfig(loss="directional", params={"margin": 0.6}),
    "volatility_aware": LossConfig(loss="return_volatility", params={"aversion": 0.3}),
    "classification": LossConfig(loss="cross_entropy", params={"weights": "balanced"}),
}
"""Losses by name. System 003 names the first five; its share of the Sharpe loss in ``financial`` is
not on record."""


@dataclass(frozen=True)
class Loss:
    """A loss that is ready to be lowered.

    ``target``: "real" or "class"; ``outputs``: values that a head predicts; ``position``: turns a
    prediction into a position in -1 .. 1, where the loss is of positions, else None.
    """

    target: TargetKind
    outputs: int
    position: Callable[[Array], Array] | None
    facts: TargetFacts
    terms: tuple[tuple[float, Entry[LossFunction], Params], ...]

    def __call__(self, prediction: Array, target: Array) -> Array:
        """The loss, a scalar.

        Args:
            prediction: the target's shape; with several outputs one axis more.
            target: [rows, ...]; NaN where null.
        """
        unit = self.facts.scale if self.target == "real" else 1.0
        return self.in_units(prediction / unit, target / unit, self.facts)

    def in_units(self, prediction: Array, target: Array, facts: TargetFacts) -> Array:
        """The loss where real predictions and targets are counted in the targets' spread already;
        the rest as in a call."""
        known = jnp.isfinite(target)
        batch = Batch(
            prediction=prediction,
            target=jnp.where(known, target, 0.0),
            known=known.astype(prediction.dtype),
            facts=facts,
        )
        parts = [weight * entry.make(params, batch) for weight, entry, params in self.terms]
        return sum(parts[1:], start=parts[0])


def build_loss(config: LossConfig, facts: TargetFacts | None = None, *, where: str = "") -> Loss:
    """The loss of a config. Weights of a sum are divided by their sum.

    Raises:
        ConfigError: an unknown loss, preset or parameter; terms that ask for different targets or
            different numbers of outputs.
    """
    if config.preset is not None:
        if config.preset not in PRESETS:
            raise ConfigError(
                f"no preset of losses is called {config.preset!r}",
                where=where,
                do=did_you_mean(config.preset, PRESETS),
            )
        return build_loss(PRESETS[config.preset], facts, where=where)
    given = config.sum or (LossTerm(loss=config.loss or "", params=config.params),)
    total = sum(term.weight for term in given)
    terms = tuple(
        (
            term.weight / total,
            LOSSES.get(term.loss, where=where),
            LOSSES.parse(term.loss, term.params, where=where),
        )
        for term in given
    )
    shapes = {(entry.facts["target"], entry.facts["outputs"](p)) for _, entry, p in terms}
    if len(shapes) > 1:
        told = ", ".join(f"{entry.name} {entry.facts['target']} x {entry.facts['outputs'](p)}"
                         for _, entry, p in terms)  # fmt: skip
        raise ConfigError(f"the terms of a sum ask for different predictions: {told}")
    target, outputs = shapes.pop()
    facts = facts or TargetFacts()
    return Loss(target, outputs, _position(terms, facts), facts, terms)


def _position(
    terms: tuple[tuple[float, Entry[LossFunction], Params], ...], facts: TargetFacts
) -> Callable[[Array], Array] | None:
    """The first term's that has one."""
    for _, entry, p in terms:
        found = entry.facts["position"]
        if found is not None:
            return lambda prediction: found(p, prediction / facts.scale)
    return None
