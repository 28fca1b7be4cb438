"""Layers: initial weights, gains, layer normalization."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from truefill.nn.layers import (
    ACTIVATIONS,
    GAINS,
    Dense,
    LayerNorm,
    gain_of,
    orthogonal,
    weights,
)

KEY = jax.random.PRNGKey(3)
KINDS = ("normal", "orthogonal", "glorot_uniform", "he_normal", "lecun_normal")


@pytest.mark.parametrize(
    "shape", [(12, 5), (5, 12), pytest.param((300, 200), marks=pytest.mark.slow)]
)
def test_orthogonal_weights_are_orthonormal(shape: tuple[int, int]) -> None:
    q = np.asarray(orthogonal(KEY, *shape), np.float64)
    assert q.shape == shape
    product = q.T @ q if shape[0] >= shape[1] else q @ q.T
    np.testing.assert_allclose(product, np.eye(min(shape)), atol=2e-6)
    assert orthogonal(KEY, *shape).tobytes() == orthogonal(KEY, *shape).tobytes()


def test_orthogonal_weights_span_what_was_drawn() -> None:
    """Gram-Schmidt: the first rows span those of the normal matrix, with positive coefficients."""
    drawn = np.asarray(jax.random.normal(KEY, (5, 12), jnp.float32), np.float64)
    coefficients = drawn @ np.asarray(orthogonal(KEY, 12, 5), np.float64)
    np.testing.assert_allclose(np.triu(coefficients, 1), 0.0, atol=1e-5)
    assert (np.diag(coefficients) > 0.0).all()


def test_the_default_draws_what_it_always_drew() -> None:
    dense = Dense(KEY, 9, 4, 1.5)
    drawn = (1.5 / math.sqrt(9)) * jax.random.normal(KEY, (9, 4), jnp.float32)
    assert dense.weight.tobytes() == drawn.tobytes() and dense.norm is None


@pytest.mark.parametrize("kind", KINDS)
def test_weights_of_unit_gain_keep_the_mean_square(kind: str) -> None:
    drawn = np.asarray(weights(kind, KEY, 400, 400, 1.0))
    assert np.square(drawn).mean() * 400 == pytest.approx(1.0, rel=0.02)
    doubled = np.asarray(weights(kind, KEY, 400, 400, 2.0))
    np.testing.assert_allclose(doubled, 2.0 * drawn, rtol=1e-6)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_gains_keep_the_mean_square_of_a_normal_input(name: str) -> None:
    z = np.linspace(-9.0, 9.0, 20_001)
    density = np.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)
    out = np.asarray(ACTIVATIONS[name](jnp.asarray(z)))
    mean_square = np.sum(density * out * out) * (z[1] - z[0])
    rel = 0.05 if name == "tanh" else 1e-3
    assert GAINS[name] == pytest.approx(1.0 / math.sqrt(mean_square), rel=rel)
    assert gain_of("orthogonal", name) == GAINS[name] and gain_of("lecun_normal", name) == 1.0


def test_layer_norm_over_the_units_of_each_account() -> None:
    x = 3.0 + 5.0 * np.random.default_rng(0).normal(size=(6, 4)).astype("f4")
    norm = LayerNorm(6)
    gain, shift = np.arange(1.0, 7.0, dtype="f4"), np.linspace(-1.0, 1.0, 6, dtype="f4")
    object.__setattr__(norm, "gain", jnp.asarray(gain))
    object.__setattr__(norm, "shift", jnp.asarray(shift))
    expected = (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-5)
    expected = gain[:, None] * expected + shift[:, None]
    np.testing.assert_allclose(norm(jnp.asarray(x)), expected, rtol=1e-4, atol=1e-5)
    dense = Dense(KEY, 4, 6, 1.0, norm=True)
    np.testing.assert_allclose(np.asarray(dense(x.T[:, :3])).mean(axis=0), 0.0, atol=1e-5)
