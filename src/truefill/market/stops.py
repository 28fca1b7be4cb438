"""Where the stop and the target of a position lie."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp

from truefill.market.arithmetic import cut
from truefill.market.types import Account, Array, BarRow, MarketParams


class Levels(NamedTuple):
    """Prices, [N, S]; meaningless where flat."""

    stop: Array
    trailing: Array
    """bool: the trailing stop, not the fixed one, sets ``stop``."""
    target: Array


def levels(account: Account, params: MarketParams) -> Levels:
    """Stop and target prices now. The trailing part uses completed bars only (``account.best``)."""
    side = jnp.sign(account.units)
    fixed = account.entry * (1.0 - side * account.stop)
    profit = side * (account.best / account.entry - 1.0)
    kept = jnp.maximum(params.trail_floor, params.trail_keep * profit)
    armed = profit >= params.trail_activation
    keep = jnp.where(armed, account.entry * (1.0 + side * kept), fixed)
    distance = account.best * (1.0 - side * params.trail_distance)
    trail = side * jnp.maximum(side * keep, side * distance)
    nearer = side * trail > side * fixed
    stop = cut(jnp.where(nearer, trail, fixed), params)
    return Levels(
        stop=stop,
        trailing=stop != fixed,
        target=cut(account.entry * (1.0 + side * account.target), params),
    )


def distances(price: Array, row: BarRow, params: MarketParams) -> tuple[Array, Array]:
    """Stop and target distance (fractions) of a position opened at ``price``."""
    atr = row.atr / price
    stop = jnp.clip(params.atr_stop * atr, params.atr_stop_min, params.atr_stop_max)
    target = jnp.clip(params.atr_target * atr, params.atr_target_min, params.atr_target_max)
    use = params.use_atr > 0.0
    return jnp.where(use, stop, params.stop_loss), jnp.where(use, target, params.take_profit)
