"""Score a policy on validation while it trains: the same episodes every time, for every seed."""

from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from truefill.agents.networks import ActorCritic, Carry, best_action
from truefill.env import episodes
from truefill.env.episodes import EnvArrays, EnvSpec, EnvState
from truefill.market.types import Array, ExitReason


class Score(NamedTuple):
    """Results per episode, [N]."""

    log_return: Array
    """log(final equity / starting balance), net of all costs."""
    closed_trades: Array
    drawdown: Array
    turnover: Array
    simple_return: Array
    """Sum of the bars' simple returns."""
    squared_downside: Array
    """Sum of min(simple return, 0)^2 over the bars."""


FLAT = 1e-13
"""Downside deviations below this are rounding of the equity."""


def sortino(
    simple_return: float, squared_downside: float, bars: int, periods_per_year: float
) -> float | None:
    """Annualized Sortino ratio of ``bars`` returns from their sum and that of their squared
    downside, target 0: mean / sqrt(mean(min(r, 0)^2)) x sqrt(periods a year).

    Without any loss it is 0 where nothing was gained either, and undefined (None) otherwise.

    >>> sortino(0.02, 0.0004, 4, 100.0)
    5.0
    """
    mean, downside = simple_return / bars, math.sqrt(squared_downside / bars)
    if downside <= FLAT:
        return 0.0 if abs(mean) <= FLAT else None
    return mean / downside * math.sqrt(periods_per_year)


def episode_starts(
    spec: EnvSpec, arrays: EnvArrays, count: int, length: int, seed: int
) -> tuple[Array, int]:
    """Fixed starts of ``count`` episodes and their length, which the data may shorten."""
    uniform = jax.random.uniform(jax.random.PRNGKey(seed), (count,))
    if arrays.pool is not None:  # symbols in turn
        firsts = arrays.pool.first
        rooms = arrays.pool.last_bar[firsts] - firsts
        length = min(length, int(jnp.min(rooms)))
        symbol = jnp.arange(count) % firsts.shape[0]
        within = jnp.floor(uniform * (rooms[symbol] - length + 1)).astype(jnp.int32)
        return firsts[symbol] + within, length
    room = int(arrays.episode.last_bar) - spec.first_bar
    length = min(length, room)
    starts = spec.first_bar + jnp.floor(uniform * (room - length + 1)).astype(jnp.int32)
    return starts, length


@partial(jax.jit, static_argnames=("spec", "length"))
def score(
    network: ActorCritic, arrays: EnvArrays, starts: Array, *, spec: EnvSpec, length: int
) -> Score:
    """Trade ``length`` bars from each start with the most likely action."""
    state = episodes.reset(spec, arrays, starts)
    zeros = jnp.zeros(starts.shape[0])

    Going = tuple[EnvState, Carry, Score]

    def one_bar(going: Going, _: None) -> tuple[Going, None]:
        state, carry, total = going
        seen = episodes.observe(spec, arrays, state)
        carry, out, _value = network.step(carry, seen.values, seen.legal)
        state, done = episodes.advance(spec, arrays, state, best_action(network, out).T)
        closed = sum(jnp.sum(leg.reason != ExitReason.NONE, axis=-1) for leg in done.result.legs)
        simple = jnp.expm1(done.result.log_return)
        total = Score(
            log_return=total.log_return + done.result.log_return,
            closed_trades=total.closed_trades + closed,
            drawdown=jnp.maximum(total.drawdown, done.result.drawdown),
            turnover=total.turnover + done.result.turnover,
            simple_return=total.simple_return + simple,
            squared_downside=total.squared_downside + jnp.minimum(simple, 0.0) ** 2,
        )
        return (state, carry, total), None

    start = Score(*[zeros] * len(Score._fields))
    going = (state, network.initial(starts.shape[0]), start)
    (_, _, total), _ = jax.lax.scan(one_bar, going, None, length=length)
    return total
