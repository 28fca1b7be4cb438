"""PPO's loss on one minibatch: the clipped policy loss, the critic's loss, the entropy bonus."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from truefill.agents import critic
from truefill.agents.minibatch import Minibatch, again
from truefill.agents.networks import ActorCritic, log_prob_entropy
from truefill.config.schema import AgentConfig
from truefill.market.types import Array

ADVANTAGE_EPS = 1e-8


class Losses(NamedTuple):
    """Means over a minibatch (or over an update)."""

    policy_loss: Array
    value_loss: Array
    entropy: Array
    approx_kl: Array
    clip_fraction: Array
    grad_norm: Array


OF_POLICY = ("policy_loss", "entropy", "approx_kl", "clip_fraction")
"""Losses that are means over the rows that act."""


class Hyper(NamedTuple):
    """This update's numbers, float32 scalars."""

    learning_rate: Array
    clip: Array
    entropy: Array
    value_coef: Array
    max_grad_norm: Array
    target_kl: Array
    kappa: Array
    """Huber's threshold, in units of the return."""
    unit: Array
    """The critic's unit: its loss is counted in it."""
    tail_weight: Array
    cap: Array


def loss(
    network: ActorCritic, rows: Minibatch, hyper: Hyper, config: AgentConfig
) -> tuple[Array, Losses]:
    """The loss that a gradient step lowers, and its parts. Rows whose orders could not fill teach
    the policy nothing; rows that cannot be traded at teach the critic nothing."""
    out, expected, rows = again(network, rows)
    log_prob, entropy = log_prob_entropy(network, out, rows.action)
    log_ratio = log_prob - rows.log_prob
    ratio = jnp.exp(log_ratio)

    def clipped_loss(advantage: Array) -> Array:
        clipped = jnp.clip(ratio, 1.0 - hyper.clip, 1.0 + hyper.clip)
        return -mean(jnp.minimum(ratio * advantage, clipped * advantage), rows.acts)

    policy_loss = _policy_loss(clipped_loss, rows, hyper, config)
    value_loss = _value_loss(expected, rows, hyper)
    bonus = mean(entropy, rows.acts)
    total = policy_loss + hyper.value_coef * 2.0 * value_loss - hyper.entropy * bonus
    losses = Losses(
        policy_loss=policy_loss,
        value_loss=value_loss,
        entropy=bonus,
        approx_kl=mean(ratio - 1.0 - log_ratio, rows.acts),
        clip_fraction=mean(jnp.abs(ratio - 1.0) > hyper.clip, rows.acts),
        grad_norm=jnp.float32(0.0),
    )
    return total, losses


def mean(x: Array, weight: Array | None) -> Array:
    """Mean of rows, weighted; 0 where all weights are 0."""
    if weight is None:
        return jnp.mean(x)
    return jnp.sum(weight * x) / jnp.maximum(jnp.sum(weight), 1.0)


def average(losses: Losses, acting: Array | None) -> Losses:
    """Means over minibatches [M]; the policy's figures count by the rows that acted in each, or one
    without any would pull them to 0."""
    means: Losses = jax.tree.map(jnp.mean, losses)
    if acting is None:
        return means
    return means._replace(**{name: mean(getattr(losses, name), acting) for name in OF_POLICY})


def _spread(x: Array, weight: Array | None) -> tuple[Array, Array]:
    """Mean and standard deviation of rows, weighted."""
    if weight is None:
        return x.mean(), x.std()
    centre = mean(x, weight)
    return centre, jnp.sqrt(mean(jnp.square(x - centre), weight))


def _policy_loss(clipped_loss, rows: Minibatch, hyper: Hyper, config: AgentConfig) -> Array:  # type: ignore[no-untyped-def]
    """The advantage is standardized. The tail's joins it in the same units, or has a clipped loss
    of its own in its own units; either way it is cut at the cap."""
    centre, std = _spread(rows.advantage, rows.acts)
    advantage = (rows.advantage - centre) / (std + ADVANTAGE_EPS)
    if rows.tail is None:
        return clipped_loss(advantage)
    tail_centre, tail_std = _spread(rows.tail, rows.acts)
    inside = config.critic.cvar.enters == "advantage"
    unit = std if inside else tail_std
    tail = (rows.tail - tail_centre) / (unit + ADVANTAGE_EPS)
    if config.critic.cvar.cap is not None:
        tail = jnp.clip(tail, -hyper.cap, hyper.cap)
    if inside:
        return clipped_loss(advantage + hyper.tail_weight * tail)
    return clipped_loss(advantage) + hyper.tail_weight * clipped_loss(tail)


def _value_loss(expected: Array, rows: Minibatch, hyper: Hyper) -> Array:
    """Half the mean squared error, or the quantile Huber loss, in the critic's unit."""
    if expected.shape[0] == 1:
        return 0.5 * mean(jnp.square(expected[0] - rows.target), rows.tradable)
    missed = critic.quantile_huber(expected, rows.target, hyper.kappa) / hyper.unit
    return mean(missed, rows.tradable)
