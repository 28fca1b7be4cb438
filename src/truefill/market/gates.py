"""The market's choices, hard or soft: the one place where the two differ.

With ``temperature`` None a gate is a bool and a choice is ``where``: the market. With a temperature
a gate is a share in [0, 1] and a choice the blend, so that gradients see how near a switch is
(``market.differentiable``). Soft results are never reported.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from truefill.market.types import Array, MarketParams

Temperature = Array | None
Value = Array | float
DUST = 1e-12
"""Shares nearer to 0 or 1 than this are soft switches that are off or on."""
LOT_TOLERANCE = 1e-9
"""Lots this close to the next whole one count as whole: last-bit noise never flips a lot."""


def refuse_soft(params: MarketParams) -> None:
    """Raise ``ValueError`` for soft parameters: nothing soft is ever reported."""
    if params.temperature is not None:
        raise ValueError(
            "these market parameters have a temperature: soft fills are for gradients only "
            "(market.differentiable); replay with the hard market to report"
        )


def at_least(x: Value, y: Value, scale: Value, temperature: Temperature) -> Array:
    """x >= y; soft: sigmoid((x - y) / (scale x temperature))."""
    if temperature is None:
        return jnp.greater_equal(x, y)
    return _settled(jax.nn.sigmoid((x - y) / (scale * temperature)))


def both(*gates: Array) -> Array:
    """All of them; soft: the product."""
    out = gates[0]
    for gate in gates[1:]:
        out = out & gate if out.dtype == gate.dtype == jnp.bool_ else _share(out) * _share(gate)
    return out


def no(gate: Array) -> Array:
    """Its opposite."""
    return ~gate if gate.dtype == jnp.bool_ else 1.0 - gate


def either(a: Array, b: Array) -> Array:
    """At least one of two."""
    return a | b if a.dtype == b.dtype == jnp.bool_ else no(both(no(a), no(b)))


def pick(gate: Array, a: Value, b: Value) -> Array:
    """``a`` where the gate is open, else ``b``; soft: the blend."""
    if gate.dtype == jnp.bool_:
        return jnp.where(gate, a, b)
    blend: Array = gate * a + (1.0 - gate) * b
    return blend


def share_of(gate: Array, out: Array) -> Array:
    """Of what leaves through ``out``, the part that leaves through ``gate``; hard: the gate."""
    if gate.dtype == out.dtype == jnp.bool_:
        return gate
    leaves = _share(out)
    return jnp.where(leaves > 0.0, _share(gate) / jnp.where(leaves > 0.0, leaves, 1.0), 0.0)


def sweep(units: Array, scale: Array, temperature: Temperature) -> Array:
    """Soft switches leave dust behind, and gradients of dust overflow: below ``DUST`` x scale it is
    nothing. Hard: the units as they are."""
    if temperature is None:
        return units
    return jnp.where(jnp.abs(units) < DUST * scale, 0.0, units)


def is_open(gate: Array) -> Array:
    """bool: the hard reading of a gate."""
    return gate if gate.dtype == jnp.bool_ else gate > 0.5


def sign(x: Array, scale: Array, temperature: Temperature) -> Array:
    """Sign of x; soft: the slope for which x times it is ``magnitude``."""
    if temperature is None:
        return jnp.sign(x)
    width = scale * temperature
    return x / (jnp.sqrt(x * x + width * width) + width)


def magnitude(x: Array, scale: Array, temperature: Temperature) -> Array:
    """abs(x); soft: sqrt(x^2 + e^2) - e, exactly 0 at 0."""
    if temperature is None:
        return jnp.abs(x)
    width = scale * temperature
    return jnp.sqrt(x * x + width * width) - width


def floor(x: Array, temperature: Temperature) -> Array:
    """Whole lots in ``x`` >= 0, with the tolerance; soft: a staircase with rounded steps."""
    if temperature is None:
        return jnp.floor(x + LOT_TOLERANCE)
    edge = jnp.round(x)
    return jnp.maximum(edge - 1.0 + _settled(jax.nn.sigmoid((x - edge) / temperature)), 0.0)


def _settled(share: Array) -> Array:
    """A soft switch is exactly off or on where it nearly is."""
    return jnp.where(share < DUST, 0.0, jnp.where(share > 1.0 - DUST, 1.0, share))


def _share(gate: Array) -> Array:
    return gate.astype(jnp.float64)
