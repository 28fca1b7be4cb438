"""One epoch, compiled as a whole; and the outputs of a network in chunks of one size."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from truefill.forecast.fit.optimizer import Hyper, learning_rate, update
from truefill.forecast.fit.task import LossKey
from truefill.forecast.fit.windows import F32, I32, padded, take, windows
from truefill.market.types import Array

CHUNK = 256
"""Rows that a network is asked at once outside of a fit, always as many: what it says of a row then
has the same bits whichever rows are asked beside it."""


class Learned(NamedTuple):
    """What an epoch changes. ``weights``: the network's arrays; ``step``: i32, steps done."""

    weights: Any
    moments: Any
    step: Array


class Data(NamedTuple):
    """What an epoch reads. table f32[T, F]; at i32[C]: the rows' places in it, the first ``count``
    of them real; target f32[C, heads], NaN where null; scale f32[heads]; balanced f32[heads,
    classes] or None."""

    table: Any
    at: Any
    target: Any
    count: Any
    scale: Any
    balanced: Any


class Told(NamedTuple):
    """What an epoch tells: mean loss over rows, mean gradient norm over steps, the last step's
    learning rate, and the first step of it whose loss, gradient or weights were not finite (-1:
    none)."""

    loss: Array
    grad_norm: Array
    rate: Array
    bad: Array


@dataclass(frozen=True)
class Shape:
    """What an epoch is compiled for."""

    optimizer: str
    schedule: str
    window: int
    batch: int
    loss: LossKey
    mixed: bool

    def precision(self) -> AbstractContextManager[Any]:
        """bfloat16 products that are summed in float32, where ``mixed``."""
        return jax.default_matmul_precision("BF16_BF16_F32") if self.mixed else nullcontext()


def run_epoch(
    learned: Learned, rest: Any, data: Data, hyper: Hyper, seeds: Sequence[int], shape: Shape
) -> tuple[Learned, Told]:
    """Every row once, in an order drawn from ``seeds``, a gradient step a batch. ``learned`` is
    given away. The last batch is filled up with rows without targets; a loss of the user's own
    gets whole batches only."""
    drawn = draw(seeds, int(data.count), data.at.shape[0], shape.batch)
    with shape.precision():
        return _epoch(learned, data, hyper, drawn, rest=rest, shape=shape)


def draw(seeds: Sequence[int], count: int, size: int, batch: int) -> tuple[Array, Array]:
    """i32[size]: 0 .. count - 1 in random order, then the rest; and a key of dropout for every
    step. By numpy: XLA would take longer to compile this than many an epoch takes."""
    random = np.random.Generator(np.random.PCG64([seed % 2**64 for seed in seeds]))
    order = np.arange(size, dtype=np.int32)
    order[:count] = random.permutation(count)
    keys = random.integers(0, 2**32, (size // batch, 2), np.uint32)
    return jnp.asarray(order), jnp.asarray(keys)


@partial(jax.jit, static_argnames=("rest", "shape"), donate_argnames=("learned",))
def _epoch(
    learned: Learned,
    data: Data,
    hyper: Hyper,
    drawn: tuple[Array, Array],
    *,
    rest: Any,
    shape: Shape,
) -> tuple[Learned, Told]:
    order, keys = drawn
    whole = data.count // shape.batch
    steps = whole if shape.loss.custom else -(-data.count // shape.batch)

    def lower(weights: Any, at: Array, target: Array, key: Array) -> Array:
        network = eqx.combine(weights, rest)
        output = network(take(data.table, at, shape.window), key)
        loss = shape.loss(output, target, data.scale, data.balanced)
        return jnp.asarray(loss, jnp.float32)

    def one(i: Array, carry: tuple[Learned, Array, Array, Array]) -> Any:
        now, total, norms, bad = carry
        places = i * shape.batch + jnp.arange(shape.batch, dtype=jnp.int32)
        rows = lax.dynamic_slice(order, (i * shape.batch,), (shape.batch,))
        real = places < data.count
        target = jnp.where(real[:, None], data.target[rows], jnp.nan)
        loss, gradient = jax.value_and_grad(lower)(now.weights, data.at[rows], target, keys[i])
        rate = learning_rate(shape.schedule, hyper, now.step)
        weights, moments, norm = update(
            shape.optimizer, gradient, now.moments, now.weights, hyper, rate
        )
        fine = jnp.isfinite(loss) & jnp.isfinite(norm)
        bad = jnp.where((bad < 0) & ~fine, i, bad)
        total += loss * jnp.sum(real, dtype=jnp.float32)
        return Learned(weights, moments, now.step + 1), total, norms + norm, bad

    zero = jnp.zeros((), jnp.float32)
    begin = (learned, zero, zero, jnp.full((), -1, jnp.int32))
    learned, total, norms, bad = lax.fori_loop(jnp.int32(0), steps, one, begin)
    sound = jnp.stack([jnp.all(jnp.isfinite(w)) for w in jax.tree.leaves(learned.weights)])
    bad = jnp.where((bad < 0) & ~jnp.all(sound), steps - 1, bad)
    rows = jnp.minimum(steps * shape.batch, data.count).astype(jnp.float32)
    rate = learning_rate(shape.schedule, hyper, learned.step - 1)
    return learned, Told(total / rows, norms / steps.astype(jnp.float32), rate, bad)


@partial(jax.jit, static_argnames="rest")
def _forward(weights: Any, x: Array, *, rest: Any) -> Array:
    return eqx.combine(weights, rest)(x, None)


def outputs(weights: Any, rest: Any, table: Array, at: I32, window: int) -> F32:
    """Raw outputs f32[n, heads, outputs] of rows ``at`` i32[n] of a table on the device."""
    found = []
    for begin in range(0, len(at), CHUNK):
        part = padded(at[begin : begin + CHUNK], CHUNK)
        part[len(at) - begin :] = part[0]
        x = windows(table, jnp.asarray(part), window)
        found.append(np.asarray(_forward(weights, x, rest=rest))[: len(at) - begin])
    return np.concatenate(found)


@partial(jax.jit, static_argnames="loss")
def _positions(output: Array, *, loss: LossKey) -> Array:
    return loss.position(output)


def positions(output: F32, loss: LossKey) -> F32:
    """Positions in -1 .. 1 of raw outputs f32[n, ...], in chunks too."""
    found = []
    for begin in range(0, len(output), CHUNK):
        part = padded(output[begin : begin + CHUNK], CHUNK)
        found.append(np.asarray(_positions(part, loss=loss))[: len(output) - begin])
    return np.concatenate(found)


@partial(jax.jit, static_argnames="loss")
def loss_of(
    output: Array, target: Array, scale: Array, balanced: Array | None, *, loss: LossKey
) -> Array:
    """The loss of all rows as one batch; targets NaN where null."""
    return loss(output, target, scale, balanced)
