"""Recurrent layers over windows: every sequence begins with an empty memory and is read to its end.

The cells are those of :mod:`truefill.nn.memory`, and so is the gradient by hand, but no step asks
whether an episode begins, and an LSTM's step is one product of [inputs, state] instead of two.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from truefill.market.types import Array
from truefill.nn.memory import (
    CELL_BACK,
    CELL_FORWARD,
    Cell,
    Memory,
    State,
    Weights,
    outer,
    product,
)


def outputs(memory: Memory, x: Array, *, backward: bool = False) -> Array:
    """Outputs [T, units, N] at every bar of windows ``x`` [T, inputs, N]; ``backward``: read from
    the newest bar to the oldest, the output at a bar is that after this bar."""
    return _outputs(memory.cell, backward, memory.weights, x)


def last(memory: Memory, x: Array, *, backward: bool = False) -> Array:
    """The output [units, N] after the last bar that is read: the newest, or ``backward`` the
    oldest."""
    return _last(memory.cell, backward, memory.weights, x)


def _step(cell: Cell, w: Weights, joined: Array, state: State, x: Array) -> tuple[State, Any]:
    if cell == "lstm":
        seen = product(joined, jnp.concatenate([x, state[0]])) + w.bias[:, None]
        return CELL_FORWARD[cell](w, state, seen, 0.0)
    seen = product(w.inputs, x) + w.bias[:, None]
    held = product(w.state, state[0])
    return CELL_FORWARD[cell](w, state, seen, held)


def _read(cell: Cell, backward: bool, w: Weights, x: Array) -> tuple[Array, Any]:
    """The last output [units, N]; the states before each bar and what the cell saved."""
    joined = jnp.concatenate([w.inputs, w.state], axis=1) if cell == "lstm" else w.inputs
    zeros = jnp.zeros((w.state.shape[1], x.shape[2]), x.dtype)

    def one(state: State, x: Array) -> tuple[State, Any]:
        after, saved = _step(cell, w, joined, state, x)
        return after, (state, saved)

    begin: State = (zeros, zeros) if cell == "lstm" else (zeros,)
    state, kept = jax.lax.scan(one, begin, x, reverse=backward)
    return state[0], kept


def _every(backward: bool, end: Array, before: Array) -> Array:
    """Outputs after each bar, from those before it and the last."""
    if backward:
        return jnp.concatenate([end[None], before[:-1]])
    return jnp.concatenate([before[1:], end[None]])


def _back(
    cell: Cell, backward: bool, kept: Any, each: Array | None, end: Array | None
) -> tuple[Weights, Array]:
    """Gradients of weights and inputs, from those of every output or of the last alone."""
    w, x, (before, saved) = kept
    later = _later(w, x)
    # Copies, kept from being folded into the products: those read weights along their rows.
    to_state, to_input = jax.lax.optimization_barrier((w.state.T, w.inputs.T))

    def one(carry: tuple[State, Any], row: Any) -> tuple[tuple[State, Any], Any]:
        (dh, *rest), (sums, bias, inside) = carry
        g, x, before, saved = row
        dh = dh if g is None else dh + g
        seen, held, change, inner = CELL_BACK[cell](before, saved, (dh, *rest))
        dh, *rest = change
        dh = dh + product(to_state, held)
        if not later:
            pairs = _pairs(cell, seen, held, x, before[0])
            sums = [total + outer(*pair) for total, pair in zip(sums, pairs, strict=True)]
        totals = sums, bias + seen.sum(axis=1), inside + inner.sum(axis=1)
        own = None if cell == "lstm" else held
        return ((dh, *rest), totals), (product(to_input, seen), (seen, own) if later else None)

    zeros = jnp.zeros_like(before[0][0])
    state = (zeros if end is None else end, *(zeros for _ in before[1:]))
    sums = [] if later else _zeros(cell, w)
    carry = state, (sums, jnp.zeros_like(w.bias), jnp.zeros_like(w.state_bias))
    rows = each, x, before, saved
    (_, (sums, *biases)), (dx, gates) = jax.lax.scan(one, carry, rows, reverse=not backward)
    if later:
        seen, held = gates
        sums = [_outer_of_all(seen, x), _outer_of_all(seen if held is None else held, before[0])]
    elif cell == "lstm":
        sums = [sums[0][:, : x.shape[1]], sums[0][:, x.shape[1] :]]
    return Weights(*sums, *biases), dx


def _later(w: Weights, x: Array) -> bool:
    """Whether the weights' gradients are products over all bars at the end: they are where the
    weights are larger than the arrays of a step, which a sum inside the scan would go through at
    every bar."""
    gates, units = len(w.bias), w.state.shape[1]
    size = x.shape[1] + units
    return gates * size > x.shape[2] * (gates + size)


def _pairs(cell: Cell, seen: Array, held: Array, x: Array, h: Array) -> list[tuple[Array, Array]]:
    """What a step's gradients of the weights are products of."""
    if cell == "lstm":
        return [(seen, jnp.concatenate([x, h]))]
    return [(seen, x), (held, h)]


def _zeros(cell: Cell, w: Weights) -> list[Array]:
    """Sums of the products of :func:`_pairs` before the first step."""
    if cell == "lstm":
        return [jnp.zeros((len(w.bias), w.inputs.shape[1] + w.state.shape[1]), w.bias.dtype)]
    return [jnp.zeros_like(w.inputs), jnp.zeros_like(w.state)]


def _outer_of_all(a: Array, b: Array) -> Array:
    """[T, m, N] x [T, n, N] -> [m, n], summed over T and N."""
    return jax.lax.dot_general(a, b, (((0, 2), (0, 2)), ((), ())))


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _outputs(cell: Cell, backward: bool, w: Weights, x: Array) -> Array:
    return _outputs_forward(cell, backward, w, x)[0]


def _outputs_forward(cell: Cell, backward: bool, w: Weights, x: Array) -> tuple[Array, Any]:
    end, kept = _read(cell, backward, w, x)
    return _every(backward, end, kept[0][0]), (w, x, kept)


def _outputs_back(cell: Cell, backward: bool, kept: Any, g: Array) -> tuple[Weights, Array]:
    return _back(cell, backward, kept, g, None)


_outputs.defvjp(_outputs_forward, _outputs_back)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _last(cell: Cell, backward: bool, w: Weights, x: Array) -> Array:
    return _read(cell, backward, w, x)[0]


def _last_forward(cell: Cell, backward: bool, w: Weights, x: Array) -> tuple[Array, Any]:
    end, kept = _read(cell, backward, w, x)
    return end, (w, x, kept)


def _last_back(cell: Cell, backward: bool, kept: Any, g: Array) -> tuple[Weights, Array]:
    return _back(cell, backward, kept, None, g)


_last.defvjp(_last_forward, _last_back)
