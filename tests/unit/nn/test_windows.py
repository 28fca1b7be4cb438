"""Recurrent layers over windows: the sequences of ``Memory`` without episode starts."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from truefill.nn.layers import orthogonal
from truefill.nn.memory import Cell, Memory
from truefill.nn.windows import _later, last, outputs

T, UNITS, INPUTS = 7, 4, 3
REST = [
    ("lstm", False, 2), ("gru", True, 9), ("min_gru", False, 9), ("min_gru", True, 2)
]  # fmt: skip


def case(cell: Cell, count: int) -> tuple[Memory, Any]:
    keys = jax.random.split(jax.random.PRNGKey(5), 2)
    memory = Memory(keys[0], cell, INPUTS, UNITS)
    memory = jax.tree.map(lambda w: w.astype(jnp.float64) + 0.1, memory)
    return memory, jax.random.normal(keys[1], (T, INPUTS, count), jnp.float64)


def sequence(memory: Memory, x: Any) -> Any:
    zeros = tuple(jnp.zeros((UNITS, x.shape[2])) for _ in memory.initial(1))
    return memory.sequence(zeros, x, jnp.zeros((T, x.shape[2]), bool))


@pytest.mark.parametrize(
    ("cell", "backward", "count"),
    [
        ("lstm", True, 9),
        ("gru", False, 9),
        pytest.param("gru", True, 2, marks=pytest.mark.slow),
        *(pytest.param(*one, marks=pytest.mark.slow) for one in REST),
    ],
)
def test_outputs_and_gradients_are_those_of_a_sequence(
    cell: Cell, backward: bool, count: int
) -> None:
    """Value and gradient by weights and inputs, forward in time and (turned round) backward; of
    many windows, and of so few that the weights' gradients are taken at the end."""
    memory, x = case(cell, count)
    assert _later(memory.weights, x) == (count == 2)
    weight = jax.random.normal(jax.random.PRNGKey(6), (T, UNITS, count), jnp.float64)

    def ours(memory: Memory, x: Any) -> Any:
        every = outputs(memory, x, backward=backward)
        return (every * weight).sum() + (last(memory, x, backward=backward) ** 3).sum()

    def plain(memory: Memory, x: Any) -> Any:
        every = sequence(memory, x[::-1] if backward else x)
        end = every[-1]
        every = every[::-1] if backward else every
        return (every * weight).sum() + (end**3).sum()

    got, expected = eqx.filter_jit(
        lambda *at: [jax.value_and_grad(f, argnums=(0, 1))(*at) for f in (ours, plain)]
    )(memory, x)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12)


def test_the_last_output_is_that_of_the_bar_read_last() -> None:
    memory, x = case("gru", 3)
    for way, bar in ((False, -1), (True, 0)):
        np.testing.assert_array_equal(
            last(memory, x, backward=way), outputs(memory, x, backward=way)[bar]
        )


def test_state_weights_are_drawn_without_lapack_where_asked() -> None:
    drawn = Memory(jax.random.PRNGKey(2), "lstm", INPUTS, UNITS, orthogonal=orthogonal)
    for block in np.split(np.asarray(drawn.weights.state), 4):
        np.testing.assert_allclose(block @ block.T, np.eye(UNITS), atol=2e-6)
    plain = Memory(jax.random.PRNGKey(2), "lstm", INPUTS, UNITS)
    assert plain.weights.inputs.tobytes() == drawn.weights.inputs.tobytes()
    assert plain.weights.state.tobytes() != drawn.weights.state.tobytes()
