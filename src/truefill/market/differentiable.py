"""Gradients of equity with respect to orders: the market's own rules with soft switches.

The functions are those of ``market.rules``; ``market.gates`` blends instead of choosing. A result
is a :class:`SoftEquity`, which no backtest, report or verdict takes: soft fills look ahead inside
the bar and pay less than the market charges. Report what ``market.replay`` says.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp

from truefill.market.bars import MarketBars
from truefill.market.replay import equity_only, scan_orders
from truefill.market.types import Array, MarketParams, OrderKind, Orders


class SoftEquity(NamedTuple):
    """Equity under soft switches: for gradients, never for reports."""

    soft: Array
    """float64 [T - 1, N], at the close of bars 1 .. T - 1."""


def soft_replay(
    bars: MarketBars, params: MarketParams, orders: Orders, *, lag: int, temperature: Array | float
) -> SoftEquity:
    """Trade ``orders`` ([T - 1, N, S], as ``market.replay``) with soft switches.

    Args:
        temperature: width of a switch as a fraction of what it compares (price, weight, lots,
            equity); towards 0 the result becomes the market's. Differentiable in
            ``orders.value``.

    Raises:
        ValueError: the temperature is a number that is not positive.
    """
    if isinstance(temperature, float | int) and not temperature > 0.0:
        raise ValueError(f"temperature must be positive, not {temperature}")
    soft = params._replace(temperature=jnp.asarray(temperature, jnp.float64))
    return SoftEquity(scan_orders(bars, soft, orders, lag=lag, record=equity_only))


def soft_weights(
    bars: MarketBars, params: MarketParams, weights: Array, *, lag: int, temperature: Array | float
) -> SoftEquity:
    """The same for target weights [T - 1, N, S], float64.

    >>> import jax, jax.numpy as jnp, numpy as np
    >>> from truefill.market.examples import two_bars
    >>> bars, params = two_bars(open=100.0, close=110.0)
    >>> def wealth(w):
    ...     return soft_weights(bars, params, w, lag=1, temperature=1e-3).soft[-1, 0]
    >>> round(float(jax.grad(wealth)(jnp.full((1, 1, 1), 0.5))[0, 0, 0]), 3)  # 10 % of 1,000
    100.0
    """
    kind = jnp.full(weights.shape, OrderKind.WEIGHT, jnp.int32)
    return soft_replay(bars, params, Orders(kind, weights), lag=lag, temperature=temperature)
