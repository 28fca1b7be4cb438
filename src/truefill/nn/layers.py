"""What networks are made of: affine layers and layer normalization over [units, batch], float32,
their initial weights, activations and the gains that go with them."""

from __future__ import annotations

import math

import equinox as eqx
import jax
import jax.numpy as jnp

from truefill.config.schema import NetworkConfig
from truefill.market.types import Array

LEAK = 0.01
"""Slope of leaky_relu below 0."""
ACTIVATIONS = {
    "relu": jax.nn.relu,
    "tanh": jnp.tanh,
    "gelu": jax.nn.gelu,
    "silu": jax.nn.silu,
    "elu": jax.nn.elu,
    "leaky_relu": lambda x: jax.nn.leaky_relu(x, LEAK),
}
GAINS = {
    "relu": math.sqrt(2.0),
    "tanh": 5.0 / 3.0,
    "gelu": 1.5335,
    "silu": 1.6765,
    "elu": 1.2452,
    "leaky_relu": math.sqrt(2.0 / (1.0 + LEAK**2)),
}
"""1 / sqrt(E f(z)^2) for a normal z, which keeps the mean square from layer to layer (He et al.
2015); for tanh the usual 5/3, somewhat more."""
NORM_EPS = 1e-5
"""Added to the variance in layer normalization."""


@jax.custom_vjp
def affine(weight: Array, bias: Array, x: Array) -> Array:
    """weight.T @ x + bias for weight [in, out], x [in, batch]; the gradient is written out so that
    each product has the operand order that runs fastest."""
    return _product(weight, x, 0, 0) + bias[:, None]


def _product(a: Array, b: Array, contract_a: int, contract_b: int) -> Array:
    return jax.lax.dot_general(a, b, (((contract_a,), (contract_b,)), ((), ())))


def _affine_forward(weight: Array, bias: Array, x: Array) -> tuple[Array, tuple[Array, Array]]:
    return affine(weight, bias, x), (weight, x)


def _affine_backward(saved: tuple[Array, Array], g: Array) -> tuple[Array, Array, Array]:
    weight, x = saved
    return _product(x, g, 1, 1), g @ jnp.ones(g.shape[1], g.dtype), weight @ g


affine.defvjp(_affine_forward, _affine_backward)


class LayerNorm(eqx.Module):
    """Layer normalization over the units of [units, batch] (Ba et al. 2016)."""

    gain: Array
    shift: Array

    def __init__(self, units: int) -> None:
        self.gain = jnp.ones(units, jnp.float32)
        self.shift = jnp.zeros(units, jnp.float32)

    def __call__(self, x: Array) -> Array:
        centred = x - jnp.mean(x, axis=0)
        scale = jax.lax.rsqrt(jnp.mean(centred * centred, axis=0) + NORM_EPS)
        return self.gain[:, None] * (centred * scale) + self.shift[:, None]


class Dense(eqx.Module):
    """weight.T @ x + bias over x [in, batch], then layer normalization where there is one."""

    weight: Array
    """[in, out]."""
    bias: Array
    norm: LayerNorm | None

    def __init__(
        self,
        key: Array,
        size_in: int,
        size_out: int,
        gain: float,
        kind: str = "normal",
        *,
        norm: bool = False,
    ) -> None:
        self.weight = weights(kind, key, size_in, size_out, gain)
        self.bias = jnp.zeros(size_out, jnp.float32)
        self.norm = LayerNorm(size_out) if norm else None

    def __call__(self, x: Array) -> Array:
        out = affine(self.weight, self.bias, x)
        return out if self.norm is None else self.norm(out)


def hidden(key: Array, size_in: int, size_out: int, network: NetworkConfig) -> Dense:
    """A layer before an activation, as the config wants it."""
    kind = network.initialization
    return Dense(
        key, size_in, size_out, gain_of(kind, network.activation), kind, norm=network.layer_norm
    )


def activate(network: NetworkConfig, x: Array) -> Array:
    """The config's activation."""
    return ACTIVATIONS[network.activation](x)


def gain_of(kind: str, activation: str) -> float:
    """What initial weights before an activation are scaled by: those of He et al. and of Glorot &
    Bengio come with their own factor."""
    if kind in ("normal", "orthogonal"):
        return GAINS[activation]
    return math.sqrt(2.0) if kind == "he_normal" else 1.0


def weights(kind: str, key: Array, size_in: int, size_out: int, gain: float) -> Array:
    """Initial weights [in, out] times ``gain``; with a gain of 1 they keep the mean square of
    independent inputs (glorot_uniform: on the way forth and back on average)."""
    shape = (size_in, size_out)
    if kind == "normal":
        return (gain / math.sqrt(size_in)) * jax.random.normal(key, shape, jnp.float32)
    if kind == "orthogonal":
        return gain * orthogonal(key, size_in, size_out)
    if kind == "glorot_uniform":
        return gain * jax.nn.initializers.glorot_uniform()(key, shape, jnp.float32)
    return gain * jax.nn.initializers.lecun_normal()(key, shape, jnp.float32)


def orthogonal(key: Array, size_in: int, size_out: int) -> Array:
    """Uniformly drawn [in, out] with orthonormal columns, or rows where there are fewer (Saxe et
    al. 2014): Gram-Schmidt of a normal matrix, each row twice, which leaves float32 rounding
    ("twice is enough", Giraud et al. 2005). It needs no LAPACK."""
    long, short = max(size_in, size_out), min(size_in, size_out)
    drawn = jax.random.normal(key, (short, long), jnp.float32)
    basis = _gram_schmidt(drawn)
    return basis.T if size_in >= size_out else basis


@jax.jit
def _gram_schmidt(rows: Array) -> Array:
    """Orthonormal rows that span those of [n, m], n <= m, in their order."""

    def one(i: Array, basis: Array) -> Array:
        row = rows[i]
        for _ in range(2):
            row = row - (basis @ row) @ basis  # rows not reached yet are 0
        return basis.at[i].set(row / jnp.sqrt(jnp.sum(row * row)))

    out: Array = jax.lax.fori_loop(0, rows.shape[0], one, jnp.zeros_like(rows))
    return out
