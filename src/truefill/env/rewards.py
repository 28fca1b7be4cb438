"""Reward terms. The base is the log equity change; every other term is 0 for an account that never
trades, and is <= 0 or potential-based, so that it cannot make a losing policy look good.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from truefill.core.registry import Params, Registry
from truefill.market.types import Account, Array, BarResult


class Moments(NamedTuple):
    """Moving first and second moment of the log return, [N], of the differential Sharpe term."""

    first: Array
    second: Array


class Step(NamedTuple):
    """One bar as a reward term sees it."""

    before: Account
    result: BarResult
    old: Moments
    new: Moments
    gamma: Array
    ended: Array
    """bool [N]: the episode terminated (a potential is 0 there)."""


RewardTerm = Callable[[Step], Array]
REWARD_TERMS: Registry[RewardTerm] = Registry("reward term")


class NoParams(Params):
    """No parameters."""


def update_moments(old: Moments, result: BarResult, active: Array, eta: Array) -> Moments:
    """Exponential moments of the log return; they stand still while the account is flat."""
    r = result.log_return
    return Moments(
        jnp.where(active, old.first + eta * (r - old.first), old.first),
        jnp.where(active, old.second + eta * (r * r - old.second), old.second),
    )


@REWARD_TERMS.register("log_equity", NoParams, bound="profit")
def log_equity(s: Step) -> Array:
    """log(equity at this close / equity at the last)."""
    return s.result.log_return


@REWARD_TERMS.register("drawdown", NoParams, bound="<= 0")
def drawdown(s: Step) -> Array:
    """-(increase in drawdown from the peak)."""
    before = 1.0 - s.before.equity / s.before.peak
    return -jnp.maximum(s.result.drawdown - before, 0.0)


@REWARD_TERMS.register("turnover", NoParams, bound="<= 0")
def turnover(s: Step) -> Array:
    """-(traded notional / equity)."""
    return -s.result.turnover


@REWARD_TERMS.register("downside", NoParams, bound="<= 0")
def downside(s: Step) -> Array:
    """-max(-log return, 0)."""
    return jnp.minimum(s.result.log_return, 0.0)


def _moving_sharpe(m: Moments) -> Array:
    """Bounded moving Sharpe ratio; 0 where there is no variance yet."""
    variance = m.second - m.first * m.first
    safe = jnp.where(variance > 1e-18, variance, 1.0)
    return jnp.where(variance > 1e-18, jnp.tanh(m.first / jnp.sqrt(safe)), 0.0)


@REWARD_TERMS.register("differential_sharpe", NoParams, bound="potential")
def differential_sharpe(s: Step) -> Array:
    """gamma x potential after - potential before; the potential is the moving Sharpe ratio.

    The idea is Moody & Saffell's differential Sharpe ratio (2001); as a difference of potentials
    (Ng, Harada & Russell 1999) it cannot change which policy is best.
    """
    after = jnp.where(s.ended, 0.0, _moving_sharpe(s.new))
    return s.gamma * after - _moving_sharpe(s.old)
