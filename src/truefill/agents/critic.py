"""What a critic says of N accounts: V outputs [V, N] in units of the return.

One output is the mean. More are quantiles of the return: output i learns the tau_i = (i + 0.5) / V
quantile (Dabney et al. 2018, "Distributional reinforcement learning with quantile regression"), and
all that is derived of them goes by index, also where two of them still cross.
"""

from __future__ import annotations

import jax.numpy as jnp

from truefill.market.types import Array


def mean(critic: Array) -> Array:
    """The value, [N]."""
    return critic[0] if critic.shape[0] == 1 else jnp.mean(critic, axis=0)


def drawn(critic: Array, uniform: Array) -> Array:
    """A random return of each account, [N], by ``uniform`` in [0, 1), [N]."""
    index = jnp.minimum(jnp.floor(uniform * critic.shape[0]).astype(jnp.int32), critic.shape[0] - 1)
    return jnp.take_along_axis(critic, index[None], axis=0)[0]


def tail_weights(count: int, alpha: Array) -> Array:
    """Weights [count] of the quantiles in the mean of the lowest ``alpha`` mass; the quantile that
    the mass ends in counts in part.

    >>> tail_weights(4, jnp.float32(0.375)).round(4).tolist()  # a whole quarter and half the next
    [0.6667000293731689, 0.33329999446868896, 0.0, 0.0]
    """
    mass = alpha * count
    return (jnp.clip(mass - jnp.arange(count), 0.0, 1.0) / mass).astype(jnp.float32)


def tail(critic: Array, alpha: Array) -> tuple[Array, Array]:
    """Value at risk and conditional value at risk of the return at ``alpha``, each [N]: the
    quantile that the lowest ``alpha`` mass ends in, and the mean of that mass."""
    count = critic.shape[0]
    last = jnp.clip(jnp.ceil(alpha * count).astype(jnp.int32) - 1, 0, count - 1)
    return critic[last], tail_weights(count, alpha) @ critic


def tail_advantage(returns: Array, at_risk: Array, conditional: Array, alpha: Array) -> Array:
    """What a return adds to the conditional value at risk of its state.

    CVaR = E[VaR + min(Z - VaR, 0) / alpha] (Rockafellar & Uryasev 2000), so its mean over returns
    is 0 where the critic is right, as an advantage's is. Any shape.
    """
    return at_risk + jnp.minimum(returns - at_risk, 0.0) / alpha - conditional


def quantile_huber(critic: Array, target: Array, kappa: Array) -> Array:
    """Quantile Huber loss of each account, the mean over its outputs, [N].

    With u = target - output the weight is |tau - 1{u < 0}|, on Huber(u) / kappa. (With u the other
    way round output i would learn the 1 - tau_i quantile.)

    Args:
        critic: [V, N].
        target: one return of each account, [N].
        kappa: Huber's threshold, in units of the return.
    """
    count = critic.shape[0]
    tau = ((jnp.arange(count) + 0.5) / count).astype(jnp.float32)[:, None]
    u = target - critic
    size = jnp.abs(u)
    inside = jnp.minimum(size, kappa)
    weight = jnp.where(u < 0.0, 1.0 - tau, tau)
    return jnp.mean(weight * (inside * (size - 0.5 * inside) / kappa), axis=0)
