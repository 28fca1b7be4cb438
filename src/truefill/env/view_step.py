"""The compiled bar behind the views for outside learners, and where their episodes start.

Shapes: N accounts, S symbols, A discrete actions per symbol. The single, the vector and the
Stable-Baselines3 view call the same :func:`advance`, so they differ in N and in nothing else.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from truefill.core.errors import UsageError
from truefill.env import episodes
from truefill.env.episodes import EnvArrays, EnvSpec, EnvState
from truefill.market.types import Array, ExitReason


class Running(NamedTuple):
    """N episodes under way, and what each has done since it began."""

    state: EnvState
    closed_trades: Array
    """int32 [N]."""
    turnover: Array
    """float64 [N], traded notional / equity, summed over bars."""


class Close(NamedTuple):
    """What N accounts see at a close."""

    values: Array
    """float32 [N, observation_size]."""
    legal: Array | None
    """bool [N, S, A] where the decoder forbids actions and the config masks them."""
    equity: Array
    """float64 [N]."""


class Paid(NamedTuple):
    """What a bar gave N accounts, before any reset."""

    reward: Array
    """float32 [N]."""
    terminated: Array
    truncated: Array
    illegal: Array
    """bool [N, S]: the action was illegal and became a hold."""


def _close(spec: EnvSpec, arrays: EnvArrays, state: EnvState) -> Close:
    seen = episodes.observe(spec, arrays, state)
    return Close(seen.values.T, seen.legal, state.account.equity)


@partial(jax.jit, static_argnames="spec")
def begin(arrays: EnvArrays, start: Array, *, spec: EnvSpec) -> tuple[Running, Close]:
    """Fresh accounts at the close of bar ``start`` (int32 [N])."""
    state = episodes.reset(spec, arrays, start)
    count = start.shape[0]
    return (
        Running(state, jnp.zeros(count, jnp.int32), jnp.zeros(count)),
        _close(spec, arrays, state),
    )


@partial(jax.jit, static_argnames="spec")
def advance(
    arrays: EnvArrays, running: Running, action: Array, *, spec: EnvSpec
) -> tuple[Running, Close, Paid]:
    """One bar for N accounts, without a reset. ``action`` is [N, action size]."""
    state, done = episodes.advance(spec, arrays, running.state, action)
    closed = sum(jnp.sum(leg.reason != ExitReason.NONE, axis=-1) for leg in done.result.legs)
    after = Running(
        state,
        running.closed_trades + jnp.asarray(closed, jnp.int32),
        running.turnover + done.result.turnover,
    )
    paid = Paid(done.reward, done.terminated, done.truncated, done.illegal)
    return after, _close(spec, arrays, state), paid


@partial(jax.jit, static_argnames="spec")
def restart(
    arrays: EnvArrays, running: Running, ended: Array, start: Array, *, spec: EnvSpec
) -> tuple[Running, Close]:
    """Fresh accounts at bar ``start`` where ``ended``; the others stay as they are."""
    fresh = episodes.reset(spec, arrays, start)
    state = episodes.choose(ended, fresh, running.state)
    after = Running(
        state,
        jnp.where(ended, 0, running.closed_trades),
        jnp.where(ended, 0.0, running.turnover),
    )
    return after, _close(spec, arrays, state)


_draw = partial(jax.jit, static_argnames="spec")(
    lambda arrays, uniform, *, spec: episodes.draw_starts(spec, arrays, uniform)
)


def draw(spec: EnvSpec, arrays: EnvArrays, uniform: npt.ArrayLike) -> npt.NDArray[np.int32]:
    """Random start bars from one number in [0, 1) an account."""
    return np.asarray(_draw(arrays, jnp.asarray(uniform, jnp.float64), spec=spec))


def given_starts(
    spec: EnvSpec, arrays: EnvArrays, options: dict[str, Any] | None, count: int
) -> npt.NDArray[np.int32] | None:
    """``options["start"]`` as int32 [count], or None where the options say nothing.

    Raises:
        UsageError: an unknown option, or a start without a full window before it and a bar after.
    """
    if not options:
        return None
    if unknown := sorted(set(options) - {"start"}):
        raise UsageError(
            f"unknown option {unknown[0]!r}", where="reset", do="there is only 'start'"
        )
    starts = np.asarray(options["start"])
    if starts.dtype.kind not in "iu" or starts.shape not in ((), (count,)):
        raise UsageError(
            f"start is {options['start']!r}",
            where="reset",
            do=f"give a bar index, or {count} of them",
        )
    first, last = spec.first_bar, int(arrays.episode.last_bar) - 1
    possible = (starts >= first) & (starts <= last)
    which = ""
    if arrays.pool is not None:
        bars = np.clip(starts, first, last)
        symbol, ends = np.asarray(arrays.pool.symbol)[bars], np.asarray(arrays.pool.last_bar)[bars]
        possible &= (np.asarray(arrays.pool.first)[symbol] <= starts) & (starts < ends)
        which = " of the joined axis, a whole window into its symbol's bars and before their last"
    if not np.all(possible):
        raise UsageError(
            f"start {options['start']!r} is out of range",
            where="reset",
            do=f"an episode can begin at bar {first} to {last}{which}",
        )
    return np.broadcast_to(starts, (count,)).astype(np.int32)
