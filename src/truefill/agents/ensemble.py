"""Several networks that act as one policy: by vote, or by the mean of what they would do.

An ensemble stands where a network stands: it is a pytree of its members, each with a memory of its
own, and decides from the same observation. Members are asked one after the other, each with the
arithmetic it has alone; votes and sums are taken in float64, in the order of the members.
"""

from __future__ import annotations

from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp

from truefill.agents.networks import ActorCritic, Carry, best_action
from truefill.env.policies import Played
from truefill.market.types import Array

NAME = "ensemble"
"""The strategy's name in every result, and its folder's under ``train/``."""
SEED = -1
"""In the ledger, where seeds are 0 or more."""
Rule = Literal["vote", "mean"]
RULES: dict[Rule, str] = {
    "vote": "The action that most members hold most likely; of continuous values the median.",
    "mean": "The action with the largest mean probability; of continuous values the mean.",
}


class Ensemble(eqx.Module):
    """Members of equal shape of observation and action, and the rule by which they decide."""

    members: tuple[ActorCritic, ...]
    rule: Rule = eqx.field(static=True)
    low: float = eqx.field(static=True)
    """Continuous values are cut to low..high before they are counted: beyond it the decoder would
    cut them, and one member that shouts would outweigh the others."""
    high: float = eqx.field(static=True)

    def initial(self, count: int) -> tuple[Carry, ...]:
        """What each member remembers of ``count`` accounts at an episode's start."""
        return tuple(member.initial(count) for member in self.members)

    def decide(
        self, carry: tuple[Carry, ...], values: Array, legal: Array | None
    ) -> tuple[Array, tuple[Carry, ...]]:
        """Actions [H, N], int32 or float32, for observations [observation_size, N], and what is
        remembered after them; ``legal`` is bool [N, H, A] or None."""
        outs, after = self._ask(carry, values, legal)
        if self.members[0].num_actions == 0:
            return self._value(jnp.stack(outs)), after
        return self._choice(jnp.stack(outs), legal), after

    def each(
        self, carry: tuple[Carry, ...], values: Array, legal: Array | None
    ) -> tuple[Array, tuple[Carry, ...]]:
        """What each member would do alone, [members, H, N], and what is remembered after it."""
        outs, after = self._ask(carry, values, legal)
        pairs = zip(self.members, outs, strict=True)
        return jnp.stack([best_action(member, out) for member, out in pairs]), after

    def _ask(
        self, carry: tuple[Carry, ...], values: Array, legal: Array | None
    ) -> tuple[list[Array], tuple[Carry, ...]]:
        outs, after = [], []
        for member, before in zip(self.members, carry, strict=True):
            remembered, out, _ = member.step(before, values, legal)
            outs.append(out)
            after.append(remembered)
        return outs, tuple(after)

    def _value(self, means: Array) -> Array:
        """Means [members, H, N] -> [H, N]."""
        cut = jnp.clip(means.astype(jnp.float64), self.low, self.high)
        value = jnp.median(cut, axis=0) if self.rule == "vote" else _sum(cut) / cut.shape[0]
        return value.astype(jnp.float32)

    def _choice(self, logits: Array, legal: Array | None) -> Array:
        """Logits [members, H, A, N] -> [H, N]. Of equal votes the action with the larger summed
        probability wins, of equal sums the smaller index; an illegal action never does."""
        logits = logits.astype(jnp.float64)
        count = _sum(jax.nn.softmax(logits, axis=2))
        if legal is not None:
            count = jnp.where(jnp.transpose(legal, (1, 2, 0)), count, -1.0)
        if self.rule == "vote":
            actions = jnp.arange(logits.shape[2])[None, None, :, None]
            votes = jnp.sum(jnp.argmax(logits, axis=2)[:, :, None] == actions, axis=0)
            count = jnp.where(votes == jnp.max(votes, axis=1, keepdims=True), count, -2.0)
        return jnp.argmax(count, axis=1).astype(jnp.int32)


Actor = ActorCritic | Ensemble | Played
"""Whatever decides in a bundle: a network, several, or a rule that nobody trained."""


def most_likely(
    network: Actor, carry: Any, values: Array, legal: Array | None
) -> tuple[Array, Any]:
    """The most likely actions of a network or an ensemble, those of a rule, [H, N], and what it
    remembers then."""
    if isinstance(network, Ensemble | Played):
        return network.decide(carry, values, legal)
    carry, out, _ = network.step(carry, values, legal)
    return best_action(network, out), carry


def _sum(x: Array) -> Array:
    """Over the members, in their order."""
    total = x[0]
    for one in x[1:]:
        total = total + one
    return total
