"""Rollouts: step N accounts for T bars with the current policy, and estimate returns."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from truefill.agents import critic
from truefill.agents.networks import ActorCritic, Carry, forget, log_prob_entropy, sample
from truefill.env import episodes
from truefill.env.episodes import EnvArrays, EnvSpec, EnvState, Observation, Transition
from truefill.market.types import Array

LOTS = 2**30
"""Folded into a key that is split elsewhere: ``split`` hands out what small numbers give."""


class Guess(NamedTuple):
    """What the critic expects of a state, [T, N] or [N]."""

    value: Array
    """The mean return."""
    drawn: Array | None
    """A return drawn from the critic's quantiles; None where it has the mean alone."""


class Rollout(NamedTuple):
    """T bars of N accounts; [T, N] unless noted."""

    observation: Observation
    """values [T, observation_size, N]."""
    action: Array
    """[T, action_size, N]."""
    log_prob: Array
    guess: Guess
    reward: Array
    done: Array
    """bool: the episode ended here, for either reason."""
    final: Guess
    """Of the final observation where the episode was *truncated*, else 0."""
    tail: tuple[Array, Array] | None = None
    """Value at risk and conditional value at risk that the critic expects."""
    acts: Array | None = None
    """float32 0 or 1: an order decided here can fill; None: everywhere."""
    tradable: Array | None = None
    """float32 0 or 1: the bar that such an order meets can be traded; None: everywhere."""
    symbol: Array | None = None
    """int32; None where an account trades all symbols."""
    memory: Carry = ()
    """What the network remembered before each sequence, [sequences, units, N]."""


class RolloutStats(NamedTuple):
    """What a rollout tells the training log, over T bars and N accounts."""

    terms: Array
    """[reward terms], mean per bar."""
    episodes: Array
    illegal: Array


def collect(
    spec: EnvSpec,
    arrays: EnvArrays,
    network: ActorCritic,
    state: EnvState,
    carry: Carry,
    key: Array,
    num_steps: int,
    sequence: int = 1,
    alpha: Array | None = None,
) -> tuple[EnvState, Carry, Guess, Rollout, RolloutStats]:
    """Step ``num_steps`` bars. Returns the state and memory after, what the critic expects there,
    the rollout; its ``memory`` is that before every ``sequence``-th bar, its ``tail`` (with
    ``alpha``) that of the lowest ``alpha`` mass."""
    count = state.t.shape[0]
    shape = (num_steps, spec.action_size, count)
    noise_key, start_key = jax.random.split(key)
    draw = jax.random.uniform if spec.decoder.discrete else jax.random.normal
    noise = draw(noise_key, shape, jnp.float32)
    uniform = jax.random.uniform(start_key, (num_steps, count), jnp.float32)
    starts = episodes.draw_starts(spec, arrays, uniform)
    lots = _lots(network, key, num_steps + 1, count)
    Going = tuple[EnvState, Carry]
    Draws = tuple[Array, Array, Array | None]

    def one_bar(going: Going, xs: Draws) -> tuple[Going, tuple[Rollout, Array, Array, Array]]:
        state, before = going
        noise, start, lot = xs
        observation = episodes.observe(spec, arrays, state)
        carry, out, expected = network.step(before, observation.values, observation.legal)
        action = sample(network, out, noise)
        log_prob, _ = log_prob_entropy(network, out, action)
        after, seen = episodes.step(spec, arrays, state, action.T, start)
        done = seen.terminated | seen.truncated
        acts, tradable = _effective(spec, arrays, state)
        row = Rollout(
            observation=observation,
            action=action,
            log_prob=log_prob,
            guess=_guess(expected, lot),
            reward=seen.reward,
            done=done,
            final=_truncated(spec, arrays, network, carry, seen, lot),
            tail=None if alpha is None else critic.tail(expected, alpha),
            acts=acts,
            tradable=tradable,
            symbol=None if arrays.pool is None else arrays.pool.symbol[state.t],
        )
        kept = (row, seen.terms, jnp.sum(done), jnp.sum(seen.illegal))
        return (after, forget(carry, done)), kept

    def one_sequence(going: Going, xs: Draws) -> tuple[Going, tuple[Carry, Any]]:
        after, rows = jax.lax.scan(one_bar, going, xs)
        return after, (going[1], rows)

    draws = (noise, starts, None if lots is None else lots[:-1])
    if network.memories:
        xs = jax.tree.map(lambda x: x.reshape(-1, sequence, *x.shape[1:]), draws)
        (state, carry), (memory, rows) = jax.lax.scan(one_sequence, (state, carry), xs)
        rows = jax.tree.map(lambda x: x.reshape(num_steps, *x.shape[2:]), rows)
    else:
        (state, carry), rows = jax.lax.scan(one_bar, (state, carry), draws)
        memory = ()
    rollout, terms, ended, illegal = rows
    seen = network.critic(carry, episodes.observe(spec, arrays, state).values)
    last = _guess(seen, None if lots is None else lots[-1])
    stats = RolloutStats(jnp.mean(terms, axis=0), jnp.sum(ended), jnp.sum(illegal))
    return state, carry, last, rollout._replace(memory=memory), stats


def _lots(network: ActorCritic, key: Array, bars: int, count: int) -> Array | None:
    """Uniform numbers that draw from a critic of quantiles, [bars, N]."""
    if network.num_values == 1:
        return None
    return jax.random.uniform(jax.random.fold_in(key, LOTS), (bars, count), jnp.float32)


def _guess(expected: Array, lot: Array | None) -> Guess:
    return Guess(critic.mean(expected), None if lot is None else critic.drawn(expected, lot))


def _effective(
    spec: EnvSpec, arrays: EnvArrays, state: EnvState
) -> tuple[Array | None, Array | None]:
    """``Rollout.acts`` and ``Rollout.tradable`` of this bar."""
    market = episodes.rules_at(arrays, state.t)
    decides = episodes.decides(spec, state, market)
    if arrays.idle is None:
        return (None if decides is None else decides.astype(jnp.float32)), None
    tradable = ~arrays.idle[state.t]
    acts = tradable if decides is None else decides & tradable
    return acts.astype(jnp.float32), tradable.astype(jnp.float32)


def _truncated(
    spec: EnvSpec,
    arrays: EnvArrays,
    network: ActorCritic,
    carry: Carry,
    seen: Transition,
    lot: Array | None,
) -> Guess:
    """Of the final observation of truncated episodes; computed only when there is one."""

    def guess(final: EnvState) -> Guess:
        return _guess(network.critic(carry, episodes.observe(spec, arrays, final).values), lot)

    def none(final: EnvState) -> Guess:
        zeros = jnp.zeros(final.t.shape[0], jnp.float32)
        return Guess(zeros, None if lot is None else zeros)

    found = jax.lax.cond(jnp.any(seen.truncated), guess, none, seen.final)
    return jax.tree.map(lambda x: jnp.where(seen.truncated, x, 0.0), found)


def advantages(rollout: Rollout, last: Guess, gamma: Array, lam: Array) -> Array:
    """Generalized advantage estimates, [T, N] (Schulman et al. 2016).

    Termination cuts; truncation bootstraps with the value of the final observation. A state at
    which nothing can be traded is no place to bootstrap from, since its value is not learned: the
    sum goes on to the next one, as if lambda were 1 there.

    >>> import jax.numpy as jnp
    >>> one = jnp.ones((1, 1), jnp.float32)
    >>> truncated_at_10 = Guess(10 * one, None)
    >>> r = Rollout(None, None, None, Guess(2 * one, None), one, one > 0, truncated_at_10)
    >>> float(advantages(r, Guess(99 * one[0], None), 0.5, 0.9)[0, 0])  # 1 + 0.5 * 10 - 2
    4.0
    """
    going = 1.0 - rollout.done.astype(jnp.float32)
    value = rollout.guess.value
    next_value = jnp.concatenate([value[1:], last.value[None]])
    bootstrap = going * next_value + rollout.final.value
    delta = rollout.reward + gamma * bootstrap - value
    share = jnp.broadcast_to(_passing(rollout, lam), going.shape)

    def back(carry: Array, xs: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        delta, going, share = xs
        carry = delta + gamma * share * going * carry
        return carry, carry

    _, out = jax.lax.scan(back, jnp.zeros_like(last.value), (delta, going, share), reverse=True)
    return out


def drawn_returns(rollout: Rollout, last: Guess, gamma: Array, lam: Array, uniform: Array) -> Array:
    """One return of each state, [T, N], drawn from its distribution as the critic of the states
    that follow has it.

    With probability ``lam`` (by ``uniform`` [T, N]) the return goes on through the next state,
    else it ends in a return drawn there. So it is a mixture of n-step backups of the whole
    distribution, whose mean is the lambda return; a return that ended in the *mean* of a later
    state would have lost what that state may still bring, and with it the tail.
    """
    assert last.drawn is not None and rollout.guess.drawn is not None
    assert rollout.final.drawn is not None
    going = 1.0 - rollout.done.astype(jnp.float32)
    expected = jnp.concatenate([rollout.guess.drawn[1:], last.drawn[None]])
    on = uniform < _passing(rollout, lam)
    xs = (rollout.reward, going, rollout.final.drawn, expected, on)

    def back(carry: Array, xs: tuple[Array, ...]) -> tuple[Array, Array]:
        reward, going, final, expected, on = xs
        carry = reward + gamma * (going * jnp.where(on, carry, expected) + final)
        return carry, carry

    _, out = jax.lax.scan(back, last.drawn, xs, reverse=True)
    return out


def _passing(rollout: Rollout, lam: Array) -> Array:
    """lambda, and 1 where the next state cannot be traded at; a scalar or [T, N]."""
    if rollout.tradable is None:
        return jnp.asarray(lam, jnp.float32)
    after = jnp.concatenate([rollout.tradable[1:], jnp.ones_like(rollout.tradable[:1])])
    return jnp.where(after > 0.0, lam, 1.0)
