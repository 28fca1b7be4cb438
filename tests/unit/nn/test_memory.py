"""Recurrent cells: against the textbook's equations, bar by bar, and their gradients."""

from __future__ import annotations

from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from truefill.nn import memory as cells
from truefill.nn.memory import Cell, Memory

CELLS = get_args(Cell)
T, N, UNITS, INPUTS = 9, 5, 4, 3


def case(cell: Cell) -> tuple[Memory, Any, Any, Any]:
    """A cell, a state, inputs and episode starts, in float64."""
    keys = jax.random.split(jax.random.PRNGKey(3), 4)
    memory = Memory(keys[0], cell, INPUTS, UNITS)
    memory = jax.tree.map(lambda x: x.astype(jnp.float64) + 0.1, memory)
    x = jax.random.normal(keys[1], (T, INPUTS, N), jnp.float64)
    state = tuple(
        jax.random.normal(k, (UNITS, N), jnp.float64) * 0.5
        for k in jax.random.split(keys[2], len(memory.initial(1)))
    )
    start = jnp.zeros((T, N), bool).at[4, 1].set(True).at[0, 3].set(True).at[8, :].set(True)
    return memory, state, x, start


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-x))


def textbook(memory: Memory, state: Any, x: np.ndarray) -> tuple[np.ndarray, ...]:
    """One bar of one account, as the papers write it."""
    w = jax.tree.map(np.asarray, memory.weights)
    parts = np.split(w.inputs @ x + w.bias, len(w.bias) // UNITS)
    h = state[0]
    if memory.cell == "gru":
        r_h, z_h, n_h = np.split(w.state @ h, 3)
        r, z = sigmoid(parts[0] + r_h), sigmoid(parts[1] + z_h)
        n = np.tanh(parts[2] + r * (n_h + w.state_bias))
        return ((1.0 - z) * n + z * h,)
    if memory.cell == "lstm":
        i, f, o, g = (a + b for a, b in zip(parts, np.split(w.state @ h, 4), strict=True))
        c = sigmoid(f) * state[1] + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(c), c
    z = sigmoid(parts[0])
    return ((1.0 - z) * parts[1] + z * h,)


@pytest.mark.parametrize("cell", CELLS)
def test_a_sequence_is_the_textbook_bar_by_bar_and_forgets_at_starts(cell: Cell) -> None:
    memory, state, x, start = case(cell)
    out = np.asarray(memory.sequence(state, x, start))
    for n in range(N):
        now = tuple(np.asarray(s)[:, n] for s in state)
        for t in range(T):
            if start[t, n]:
                now = tuple(np.zeros(UNITS) for _ in now)
            now = textbook(memory, now, np.asarray(x)[t, :, n])
            np.testing.assert_allclose(out[t, :, n], now[0], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("cell", CELLS)
def test_the_gradient_by_hand_is_that_of_jax(cell: Cell) -> None:
    memory, state, x, start = case(cell)
    weight = jnp.linspace(0.5, 1.5, T * UNITS * N).reshape(T, UNITS, N)

    def loss(of: Any, weights: Any, state: Any, x: Any) -> Any:
        return jnp.sum(jnp.sin(of(cell, weights, state, x, start)) * weight)

    def plain(*args: Any) -> Any:
        return cells._scan(*args)[0]

    got = jax.grad(loss, argnums=(1, 2, 3))(cells._sequence, memory.weights, state, x)
    wanted = jax.grad(loss, argnums=(1, 2, 3))(plain, memory.weights, state, x)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
    assert np.all(np.asarray(got[1][0])[:, 3] == 0.0)  # forgotten at the first bar
    assert np.any(np.asarray(got[1][0])[:, 0] != 0.0)


@pytest.mark.parametrize("cell", CELLS)
def test_the_first_state_is_zero_and_an_lstm_remembers(cell: Cell) -> None:
    memory = Memory(jax.random.PRNGKey(0), cell, INPUTS, UNITS)
    first = memory.initial(2)
    assert all(s.shape == (UNITS, 2) and not np.any(s) for s in first)
    assert len(first) == (2 if cell == "lstm" else 1)
    assert memory.weights.inputs.dtype == jnp.float32
    if cell == "lstm":
        assert memory.weights.bias[UNITS : 2 * UNITS].tolist() == [1.0] * UNITS
