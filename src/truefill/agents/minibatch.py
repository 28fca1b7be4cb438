"""The rows of a rollout that a gradient step sees, and how a rollout is cut into them.

A feed-forward network learns from shuffled *blocks* of neighbouring accounts rather than single
rows, which keeps memory access contiguous (``docs/decisions/0001-engine.md``). A network with
memory learns from whole sequences instead, each with what was remembered before it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from truefill.agents.networks import ActorCritic, Carry
from truefill.env.episodes import Observation
from truefill.market.types import Array


class Minibatch(NamedTuple):
    """Rows of a rollout: [..., N] in the minibatch's order; of a network with memory [L, ..., N],
    N sequences of L bars."""

    observation: Observation
    action: Array
    log_prob: Array
    advantage: Array
    target: Array
    """What the critic learns: the lambda return, or a return drawn (``rollout.drawn_returns``)."""
    tail: Array | None = None
    """Advantage of the conditional value at risk."""
    acts: Array | None = None
    tradable: Array | None = None
    start: Array | None = None
    """bool: an episode begins with this bar; None without memory."""
    memory: Carry = ()
    """What was remembered before each sequence."""


Join = Callable[[Array], Array]


def cut(batch: Minibatch, block: int, sequence: int) -> tuple[Minibatch, Join, int]:
    """The units that are shuffled, how some of them become a minibatch, and the rows in a unit.

    Args:
        batch: a whole rollout, [T, ..., N].
        block: accounts in a unit of a network without memory.
        sequence: bars in a unit of one with memory.
    """
    if batch.start is None:
        return _blocks(batch, block), _join, block
    return _sequences(batch, sequence), _side_by_side, sequence


def again(network: ActorCritic, rows: Minibatch) -> tuple[Array, Array, Minibatch]:
    """The network's outputs and critic for ``rows``, and these flattened to [..., N]."""
    values, legal = rows.observation
    if rows.start is None:
        legal = None if legal is None else jnp.moveaxis(legal, -1, 0)
        return *network(values, legal), rows
    flat = jax.tree.map(
        lambda x: jnp.moveaxis(x, 0, -2).reshape(*x.shape[1:-1], -1), rows._replace(memory=())
    )
    if legal is not None:
        legal = jnp.moveaxis(flat.observation.legal, -1, 0)
    return *network.sequence(rows.memory, values, rows.start, legal), flat


def _blocks(batch: Minibatch, size: int) -> Minibatch:
    """Every array as [blocks, ..., size]: neighbouring accounts of one bar stay together."""

    def split(x: Array) -> Array:
        cut = x.reshape(*x.shape[:-1], -1, size)
        return jnp.moveaxis(cut, -2, 1).reshape(-1, *x.shape[1:-1], size)

    return jax.tree.map(split, _accounts_last(batch))


def _join(x: Array) -> Array:
    """[blocks, ..., size] -> [..., blocks * size]."""
    return jnp.moveaxis(x, 0, -2).reshape(*x.shape[1:-1], -1)


def _sequences(batch: Minibatch, bars: int) -> Minibatch:
    """Every array as [sequences, bars, ...], one of one account; ``memory`` as [sequences, ...]."""

    def split(x: Array) -> Array:
        cut = jnp.moveaxis(x.reshape(-1, bars, *x.shape[1:]), -1, 1)
        return cut.reshape(-1, *cut.shape[2:])

    memory = jax.tree.map(lambda x: jnp.moveaxis(x, -1, 1).reshape(-1, x.shape[1]), batch.memory)
    rows = jax.tree.map(split, _accounts_last(batch)._replace(memory=()))
    return rows._replace(memory=memory)


def _side_by_side(x: Array) -> Array:
    """[sequences, ...] -> [..., sequences]."""
    return jnp.moveaxis(x, 0, -1)


def _accounts_last(batch: Minibatch) -> Minibatch:
    legal = batch.observation.legal
    if legal is not None:
        legal = jnp.moveaxis(legal, 1, -1)
    return batch._replace(observation=batch.observation._replace(legal=legal))
