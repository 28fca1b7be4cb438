"""Account state in the observation, float32: one column per symbol or one per account.

Each feature declares the range it stays in, and its value while there is no position and no order
(None where that depends on the past or on the clock).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from truefill.core.registry import Params, Registry
from truefill.market.stops import levels
from truefill.market.types import NEVER, Account, Array, MarketParams, OrderKind

HELD_SCALE_BARS = 864.0
"""``bars_held`` is scaled by the maximum holding time, or by this many bars where there is none."""


class Context(NamedTuple):
    """What a state feature may look at: the account at its last close and that bar's clock."""

    account: Account
    params: MarketParams
    clock: Array
    """float32 [N, 4]: sine and cosine of the session fraction, sine and cosine of the weekday."""
    price: Array
    """Last close, quote currency, [N, S]; ``account.mark`` is what a unit is worth at it."""


StateFeature = Callable[[Context], Array]
STATE_FEATURES: Registry[StateFeature] = Registry("state feature")


class NoParams(Params):
    """No parameters."""


def _register(
    name: str, *, per_symbol: bool, low: float, high: float, flat: float | None
) -> Callable[[StateFeature], StateFeature]:
    return STATE_FEATURES.register(
        name, NoParams, per_symbol=per_symbol, low=low, high=high, flat=flat
    )


def _unrealized(c: Context) -> Array:
    return jnp.where(
        c.account.units != 0.0, jnp.sign(c.account.units) * (c.price / c.account.entry - 1.0), 0.0
    )


@_register("position", per_symbol=True, low=-4.0, high=4.0, flat=0.0)
def position(c: Context) -> Array:
    """Signed weight: units x mark / equity, clipped to +-4."""
    return jnp.clip(c.account.units * c.account.mark / c.account.equity[:, None], -4.0, 4.0)


@_register("unrealized_pnl", per_symbol=True, low=-1.0, high=1.0, flat=0.0)
def unrealized_pnl(c: Context) -> Array:
    """Unrealized return of the position on its entry price, clipped to +-1; 0 when flat."""
    return jnp.clip(_unrealized(c), -1.0, 1.0)


@_register("stop_proximity", per_symbol=True, low=0.0, high=1.0, flat=1.0)
def stop_proximity(c: Context) -> Array:
    """1 at no stop or a far one, 0 at the stop: distance to the stop level / 2 stop distances.

    Where only a trailing stop is set, its distance (or activation) is the stop distance.
    """
    a = c.account
    side = jnp.sign(a.units)
    gap = side * (c.price - levels(a, c.params).stop) / a.entry
    trail = jnp.minimum(c.params.trail_distance, c.params.trail_activation)
    stop = jnp.where(a.stop < NEVER, a.stop, trail)
    stopped = (side != 0.0) & (stop < NEVER)
    share = gap / jnp.where(stopped & (stop > 0.0), stop, 1.0)
    return jnp.where(stopped, jnp.clip(share, 0.0, 2.0) / 2.0, 1.0)


@_register("target_proximity", per_symbol=True, low=0.0, high=1.0, flat=0.0)
def target_proximity(c: Context) -> Array:
    """Share of the way from entry to target, 0..1; 0 when flat."""
    target = jnp.where(c.account.target > 0.0, c.account.target, 1.0)
    return jnp.clip(_unrealized(c) / target, 0.0, 1.0)


@_register("bars_held", per_symbol=True, low=0.0, high=1.0, flat=0.0)
def bars_held(c: Context) -> Array:
    """Bars in the position / maximum holding time (864 bars where there is none), at most 1."""
    limit = c.params.max_hold.astype(jnp.float64)
    scale = jnp.where(limit < HELD_SCALE_BARS * 1000.0, limit, HELD_SCALE_BARS)
    return jnp.minimum(c.account.held / scale, 1.0)


@_register("drawdown", per_symbol=False, low=0.0, high=1.0, flat=None)
def drawdown(c: Context) -> Array:
    """1 - equity / peak equity."""
    return (1.0 - c.account.equity / c.account.peak)[:, None]


@_register("cash_share", per_symbol=False, low=-4.0, high=4.0, flat=1.0)
def cash_share(c: Context) -> Array:
    """Cash / equity, clipped to +-4."""
    return jnp.clip(c.account.cash / c.account.equity, -4.0, 4.0)[:, None]


@_register("hour_sin", per_symbol=False, low=-1.0, high=1.0, flat=None)
def hour_sin(c: Context) -> Array:
    """Sine of the time within the session."""
    return c.clock[:, 0:1]


@_register("hour_cos", per_symbol=False, low=-1.0, high=1.0, flat=None)
def hour_cos(c: Context) -> Array:
    """Cosine of the time within the session."""
    return c.clock[:, 1:2]


@_register("dow_sin", per_symbol=False, low=-1.0, high=1.0, flat=None)
def dow_sin(c: Context) -> Array:
    """Sine of the weekday."""
    return c.clock[:, 2:3]


@_register("dow_cos", per_symbol=False, low=-1.0, high=1.0, flat=None)
def dow_cos(c: Context) -> Array:
    """Cosine of the weekday."""
    return c.clock[:, 3:4]


@_register("decision_phase", per_symbol=False, low=0.0, high=1.0, flat=None)
def decision_phase(c: Context) -> Array:
    """Bars since the last bar that decides / decision interval; 0 where this bar decides.

    Part of every observation where ``decision_interval_bars`` >= 2, asked for or not.
    """
    interval = c.params.decision_interval
    return ((c.account.age % interval) / interval)[:, None]


@_register("pending", per_symbol=True, low=-4.0, high=4.0, flat=0.0)
def pending(c: Context) -> Array:
    """Values of the queued orders, one column per symbol and bar of lag above 1; clipped to +-4.

    Part of every observation where ``decision_lag`` >= 2, asked for or not.
    """
    queue = c.account.queue
    values = jnp.where(queue.kind == 0, 0.0, jnp.clip(queue.value, -4.0, 4.0))
    lag, count, symbols = values.shape
    return jnp.transpose(values, (1, 0, 2)).reshape(count, lag * symbols)


@_register("pending_kind", per_symbol=True, low=0.0, high=1.0, flat=0.0)
def pending_kind(c: Context) -> Array:
    """Kind of the queued order / the largest kind, 0 for HOLD; travels with ``pending``."""
    queue = c.account.queue
    kind = queue.kind / float(max(OrderKind))
    lag, count, symbols = kind.shape
    return jnp.transpose(kind, (1, 0, 2)).reshape(count, lag * symbols)
