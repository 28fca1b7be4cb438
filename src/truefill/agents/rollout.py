"""Rollouts: step N accounts for T bars with the current policy, and estimate advantages."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from truefill.agents.networks import ActorCritic, Carry, forget, log_prob_entropy, sample
from truefill.env import episodes
from truefill.env.episodes import EnvArrays, EnvSpec, EnvState, Observation, Transition
from truefill.market.types import Array


class Rollout(NamedTuple):
    """T bars of N accounts; [T, N] unless noted."""

    observation: Observation
    """values [T, observation_size, N]."""
    action: Array
    """[T, action_size, N]."""
    log_prob: Array
    value: Array
    reward: Array
    done: Array
    """bool: the episode ended here, for either reason."""
    final_value: Array
    """Value of the final observation where the episode was *truncated*, else 0."""
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
) -> tuple[EnvState, Carry, Array, Rollout, RolloutStats]:
    """Step ``num_steps`` bars. Returns the state and memory after, the bootstrap value [N], the
    rollout; its ``memory`` is that before every ``sequence``-th bar."""
    count = state.t.shape[0]
    shape = (num_steps, spec.action_size, count)
    noise_key, start_key = jax.random.split(key)
    draw = jax.random.uniform if spec.decoder.discrete else jax.random.normal
    noise = draw(noise_key, shape, jnp.float32)
    uniform = jax.random.uniform(start_key, (num_steps, count), jnp.float32)
    starts = episodes.draw_starts(spec, arrays, uniform)
    Going = tuple[EnvState, Carry]

    def one_bar(
        going: Going, xs: tuple[Array, Array]
    ) -> tuple[Going, tuple[Rollout, Array, Array, Array]]:
        state, before = going
        noise, start = xs
        observation = episodes.observe(spec, arrays, state)
        carry, out, value = network.step(before, observation.values, observation.legal)
        action = sample(network, out, noise)
        log_prob, _ = log_prob_entropy(network, out, action)
        after, seen = episodes.step(spec, arrays, state, action.T, start)
        done = seen.terminated | seen.truncated
        row = Rollout(
            observation=observation,
            action=action,
            log_prob=log_prob,
            value=value,
            reward=seen.reward,
            done=done,
            final_value=_truncated_value(spec, arrays, network, carry, seen),
        )
        kept = (row, seen.terms, jnp.sum(done), jnp.sum(seen.illegal))
        return (after, forget(carry, done)), kept

    def one_sequence(going: Going, xs: tuple[Array, Array]) -> tuple[Going, tuple[Carry, Any]]:
        after, rows = jax.lax.scan(one_bar, going, xs)
        return after, (going[1], rows)

    if network.memories:
        xs = jax.tree.map(lambda x: x.reshape(-1, sequence, *x.shape[1:]), (noise, starts))
        (state, carry), (memory, rows) = jax.lax.scan(one_sequence, (state, carry), xs)
        rows = jax.tree.map(lambda x: x.reshape(num_steps, *x.shape[2:]), rows)
    else:
        (state, carry), rows = jax.lax.scan(one_bar, (state, carry), (noise, starts))
        memory = ()
    rollout, terms, ended, illegal = rows
    last = network.value(carry, episodes.observe(spec, arrays, state).values)
    stats = RolloutStats(jnp.mean(terms, axis=0), jnp.sum(ended), jnp.sum(illegal))
    return state, carry, last, rollout._replace(memory=memory), stats


def _truncated_value(
    spec: EnvSpec, arrays: EnvArrays, network: ActorCritic, carry: Carry, seen: Transition
) -> Array:
    """Value of the final observation of truncated episodes; computed only when there is one."""

    def value(final: EnvState) -> Array:
        return network.value(carry, episodes.observe(spec, arrays, final).values)

    def none(final: EnvState) -> Array:
        return jnp.zeros(final.t.shape[0], jnp.float32)

    values = jax.lax.cond(jnp.any(seen.truncated), value, none, seen.final)
    return jnp.where(seen.truncated, values, 0.0)


def advantages(rollout: Rollout, last_value: Array, gamma: float, lam: float) -> Array:
    """Generalized advantage estimates, [T, N] (Schulman et al. 2016).

    Termination cuts; truncation bootstraps with the value of the final observation.

    >>> import jax.numpy as jnp
    >>> one = jnp.ones((1, 1), jnp.float32)
    >>> r = Rollout(None, None, None, 2 * one, one, one > 0, 10 * one)  # truncated at value 10
    >>> float(advantages(r, 99 * one[0], 0.5, 0.9)[0, 0])  # 1 + 0.5 * 10 - 2
    4.0
    """
    going = 1.0 - rollout.done.astype(jnp.float32)
    next_value = jnp.concatenate([rollout.value[1:], last_value[None]])
    bootstrap = going * next_value + rollout.final_value
    delta = rollout.reward + gamma * bootstrap - rollout.value

    def back(carry: Array, xs: tuple[Array, Array]) -> tuple[Array, Array]:
        delta, going = xs
        carry = delta + gamma * lam * going * carry
        return carry, carry

    _, out = jax.lax.scan(back, jnp.zeros_like(last_value), (delta, going), reverse=True)
    return out
