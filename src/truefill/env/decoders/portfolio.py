"""Portfolio weights: one action sets the weights of the whole account, cash included."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from pydantic import Field, model_validator

from truefill.core.registry import Params
from truefill.env.decoders.base import DECODERS, Decoder, Wish
from truefill.market.types import Array, OrderKind, Orders

LOGIT = 8.0
"""Logits are clipped to +-8: one symbol can weigh e**16, nine million times, as much as another."""
GRID = 2.0**-26
"""Logits are rounded to multiples of this; it changes a weight by less than one part in 10**8."""
POWERS = tuple(tuple(math.exp(i * 256**k * GRID) for i in range(256)) for k in range(4))


class PortfolioWeights(Params):
    """Softmax weights over all symbols and cash, optionally with shorts and with leverage."""

    weight_cap: float = Field(
        0.3, gt=0.0, description="largest |weight| of a symbol, fraction of equity; the rest: cash"
    )
    gross: float = Field(
        1.0, gt=0.0, description="what symbols and cash share; without a head, fraction of equity"
    )
    gross_cap: float | None = Field(
        None,
        description="leverage head: the agent sets gross between `gross` and this; null = none",
    )
    long_short: bool = Field(False, description="a second logit a symbol, for its short side")

    @model_validator(mode="after")
    def _ordered(self) -> PortfolioWeights:
        if self.gross_cap is not None and self.gross_cap <= self.gross:
            raise ValueError("gross_cap must exceed gross, or leave no room for the leverage head")
        return self


@DECODERS.register("portfolio_weights", PortfolioWeights)
def portfolio_weights(p: PortfolioWeights) -> Decoder:
    """Logits of all symbols and cash -> weights, by softmax. Needs a no-trade band.

    Action: S logits (long), S more with ``long_short`` (short), one of cash, and with ``gross_cap``
    one of leverage, a; all within +-8, computed in float64.

    - shares = softmax of all logits but the leverage head's: they are >= 0 and sum to 1;
    - gross = ``gross``, or ``gross`` + sigmoid(a) x (``gross_cap`` - ``gross``);
    - weight = gross x (long share - short share), cut to +-``weight_cap``.

    So the sum of |weights| never exceeds gross. What the cap cuts stays in cash; it is not
    redistributed.
    """
    sides = 2 if p.long_short else 1
    head = 0 if p.gross_cap is None else 1

    def orders(action: Array) -> Orders:
        powers = _exp(action)
        symbols = (action.shape[-1] - 1 - head) // sides
        share = powers[..., :symbols]
        if p.long_short:
            share = share - powers[..., symbols : 2 * symbols]
        share = share / _sum(powers[..., : sides * symbols + 1])[..., None]
        gross = jnp.asarray(p.gross)
        if p.gross_cap is not None:
            lever = powers[..., -1:]
            gross = gross + (p.gross_cap - p.gross) * lever / (lever + math.exp(LOGIT))
        value = jnp.clip(gross * share, -p.weight_cap, p.weight_cap)
        return Orders(jnp.full(value.shape, OrderKind.WEIGHT, jnp.int32), value)

    def toward(wish: Wish) -> Array:
        """Shares as wanted, all of them where they sum to more than 1; the rest is cash. Without
        leverage, and without shorts unless there is a logit for them."""
        wanted = wish.desired
        longs, shorts = jnp.maximum(wanted, 0.0), jnp.maximum(-wanted, 0.0)
        both = jnp.concatenate([longs, shorts], axis=-1) if p.long_short else longs
        cash = jnp.maximum(1.0 - _sum(both), 0.0)[..., None]
        shares = jnp.concatenate([both, cash], axis=-1)
        logits = LOGIT + jnp.log(jnp.maximum(shares, math.exp(-2.0 * LOGIT)))
        none = jnp.full((*wanted.shape[:-1], head), -LOGIT)
        return jnp.concatenate([logits, none], axis=-1)

    largest = p.gross if p.gross_cap is None else p.gross_cap
    return Decoder(
        0,
        orders,
        needs_band=True,
        needs_short=p.long_short,
        action_size=lambda symbols: sides * symbols + 1 + head,
        low=-LOGIT,
        high=LOGIT,
        max_weight=min(p.weight_cap, largest),
        max_gross=largest,
        toward=toward,
    )


def _exp(logits: Array) -> Array:
    """e**(logits + 8), from table values and products alone.

    XLA's own exponential and its sums over the last axis round differently in other batch sizes;
    equal actions must give equal weights, to the last bit. Rounding the product by one bit keeps it
    from being fused with the sum that follows.
    """
    shifted = jnp.clip(logits.astype(jnp.float64), -LOGIT, LOGIT) + LOGIT
    steps = jnp.round(shifted / GRID).astype(jnp.int32)
    value = jnp.asarray(POWERS[0])[steps % 256]
    for k, powers in enumerate(POWERS[1:], start=1):
        value = value * jnp.asarray(powers)[(steps >> (8 * k)) % 256]
    return jax.lax.reduce_precision(value, exponent_bits=11, mantissa_bits=51)


def _sum(x: Array) -> Array:
    """Sum of the last axis, in its order."""
    total = x[..., 0]
    for i in range(1, x.shape[-1]):
        total = total + x[..., i]
    return total
