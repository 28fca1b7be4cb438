"""Proximal policy optimization (Schulman et al. 2017), one compiled update.

An update is: collect a rollout, estimate advantages, then epochs of minibatches. Minibatches are
drawn as shuffled *blocks* of accounts rather than single rows, which keeps memory access
contiguous (see ``docs/decisions/0001-engine.md`` for what that buys). A network with memory learns
from whole sequences instead, each with what was remembered before it.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from truefill.agents.networks import ActorCritic, Carry, log_prob_entropy
from truefill.agents.rollout import Rollout, advantages, collect
from truefill.config.schema import AgentConfig, PPOConfig, Schedule
from truefill.env import episodes
from truefill.env.episodes import EnvArrays, EnvSpec, EnvState, Observation
from truefill.market.types import Array

ADVANTAGE_EPS = 1e-8


class TrainState(NamedTuple):
    """Everything an update reads and writes: a checkpoint holds exactly this."""

    network: ActorCritic
    optimizer: optax.OptState
    env: EnvState
    memory: Carry
    """What the network remembers of each account before its next bar."""
    key: Array
    steps: Array
    """int64, environment steps done."""


class Minibatch(NamedTuple):
    """Rows of a rollout: [..., N] in the minibatch's order; of a network with memory [L, ..., N],
    N sequences of L bars."""

    observation: Observation
    action: Array
    log_prob: Array
    advantage: Array
    target: Array
    start: Array | None = None
    """bool: an episode begins with this bar; None without memory."""
    memory: Carry = ()
    """What was remembered before each sequence."""


class Losses(NamedTuple):
    """Means over a minibatch (or over an update)."""

    policy_loss: Array
    value_loss: Array
    entropy: Array
    approx_kl: Array
    clip_fraction: Array
    grad_norm: Array


class UpdateLog(NamedTuple):
    """One update's row of the training log."""

    losses: Losses
    epochs: Array
    learning_rate: Array
    clip_range: Array
    entropy_coef: Array
    explained_variance: Array
    value_mean: Array
    reward_mean: Array
    terms: Array
    episodes: Array
    illegal: Array


class Hyper(NamedTuple):
    """This update's scheduled values."""

    learning_rate: Array
    clip: Array
    entropy: Array


def scheduled(schedule: Schedule, progress: Array) -> Array:
    """The value at ``progress`` (environment steps / total steps, 0..1), float32."""
    if schedule.end is None:
        return jnp.float32(schedule.start)
    share = progress if schedule.kind == "linear" else 0.5 * (1.0 - jnp.cos(jnp.pi * progress))
    return (schedule.start + (schedule.end - schedule.start) * share).astype(jnp.float32)


def optimizer(config: PPOConfig) -> optax.GradientTransformation:
    """Gradient clipping and Adam; the learning rate is applied per update."""
    return optax.chain(
        optax.clip_by_global_norm(config.max_grad_norm), optax.scale_by_adam(eps=1e-5)
    )


@partial(jax.jit, static_argnames=("spec", "config"))
def init(
    spec: EnvSpec, arrays: EnvArrays, network: ActorCritic, config: AgentConfig, key: Array
) -> TrainState:
    """A fresh training: random episode starts, zeroed optimizer."""
    start_key, key = jax.random.split(key)
    uniform = jax.random.uniform(start_key, (config.ppo.num_envs,), jnp.float32)
    env = episodes.reset(spec, arrays, episodes.draw_starts(spec, arrays, uniform))
    return TrainState(
        network=network,
        optimizer=optimizer(config.ppo).init(eqx.filter(network, eqx.is_array)),
        env=env,
        memory=network.initial(config.ppo.num_envs),
        key=key,
        steps=jnp.zeros((), jnp.int64),
    )


@partial(jax.jit, static_argnames=("spec", "config", "total_steps"), donate_argnames=("state",))
def update(
    state: TrainState, arrays: EnvArrays, *, spec: EnvSpec, config: AgentConfig, total_steps: int
) -> tuple[TrainState, UpdateLog]:
    """One rollout and its epochs."""
    ppo = config.ppo
    key, roll_key, shuffle_key = jax.random.split(state.key, 3)
    progress = jnp.minimum(state.steps / total_steps, 1.0)
    hyper = Hyper(
        learning_rate=scheduled(ppo.learning_rate, progress),
        clip=scheduled(ppo.clip, progress),
        entropy=scheduled(ppo.entropy, progress),
    )
    env, memory, last, rollout, stats = collect(
        spec, arrays, state.network, state.env, state.memory, roll_key, ppo.num_steps,
        config.sequence,
    )  # fmt: skip
    advantage = advantages(rollout, last, ppo.gamma, ppo.gae_lambda)
    batch = Minibatch(
        observation=rollout.observation,
        action=rollout.action,
        log_prob=rollout.log_prob,
        advantage=advantage,
        target=advantage + rollout.value,
    )
    if rollout.memory:
        start = jnp.concatenate([jnp.zeros_like(rollout.done[:1]), rollout.done[:-1]])
        batch = batch._replace(start=start, memory=rollout.memory)
    network, moments, losses, epochs = _learn(
        state.network, state.optimizer, batch, hyper, shuffle_key, config
    )
    log = UpdateLog(
        losses=losses,
        epochs=epochs,
        learning_rate=hyper.learning_rate,
        clip_range=hyper.clip,
        entropy_coef=hyper.entropy,
        explained_variance=explained_variance(rollout, batch.target),
        value_mean=jnp.mean(rollout.value),
        reward_mean=jnp.mean(rollout.reward),
        terms=stats.terms,
        episodes=stats.episodes,
        illegal=stats.illegal,
    )
    steps = state.steps + ppo.num_envs * ppo.num_steps
    return TrainState(network, moments, env, memory, key, steps), log


def explained_variance(rollout: Rollout, target: Array) -> Array:
    """1 - Var(target - value) / Var(target); NaN (undefined) where the target does not vary."""
    variance = jnp.var(target)
    return jnp.where(variance > 0.0, 1.0 - jnp.var(target - rollout.value) / variance, jnp.nan)


def _learn(
    network: ActorCritic,
    moments: optax.OptState,
    batch: Minibatch,
    hyper: Hyper,
    key: Array,
    agent: AgentConfig,
) -> tuple[ActorCritic, optax.OptState, Losses, Array]:
    """Epochs over the rollout; with ``target_kl``, none after an epoch whose mean KL exceeds it."""
    config = agent.ppo
    if batch.start is None:
        units, size, join = _blocks(batch, config.block), config.block, _join
    else:
        units, size, join = _sequences(batch, agent.sequence), agent.sequence, _side_by_side
    num_units = config.num_envs * config.num_steps // size
    keys = jax.random.split(key, config.epochs)
    orders = jax.vmap(lambda k: jax.random.permutation(k, num_units))(keys)
    orders = orders.reshape(config.epochs, -1, config.minibatch // size)

    def one_minibatch(
        carry: tuple[ActorCritic, optax.OptState], index: Array
    ) -> tuple[tuple[ActorCritic, optax.OptState], Losses]:
        rows = jax.tree.map(lambda x: join(x[index]), units)
        return _descend(*carry, rows, hyper, config)

    def one_epoch(
        carry: tuple[ActorCritic, optax.OptState, Array], order: Array
    ) -> tuple[tuple[ActorCritic, optax.OptState, Array], tuple[Losses, Array]]:
        network, moments, stop = carry

        def run(pair: tuple[ActorCritic, optax.OptState]):  # type: ignore[no-untyped-def]
            pair, losses = jax.lax.scan(one_minibatch, pair, order)
            return pair, jax.tree.map(jnp.mean, losses)

        def skip(pair: tuple[ActorCritic, optax.OptState]):  # type: ignore[no-untyped-def]
            return pair, Losses(*(jnp.float32(0.0) for _ in Losses._fields))

        if config.target_kl is None:
            (network, moments), losses = run((network, moments))
            return (network, moments, stop), (losses, jnp.float32(1.0))
        (network, moments), losses = jax.lax.cond(stop, skip, run, (network, moments))
        ran = jnp.where(stop, jnp.float32(0.0), jnp.float32(1.0))
        return (network, moments, stop | (losses.approx_kl > config.target_kl)), (losses, ran)

    carry = (network, moments, jnp.asarray(False))
    (network, moments, _), (losses, ran) = jax.lax.scan(one_epoch, carry, orders)
    epochs = jnp.sum(ran)
    return network, moments, jax.tree.map(lambda x: jnp.sum(x) / epochs, losses), epochs


def _blocks(batch: Minibatch, size: int) -> Minibatch:
    """Every array as [blocks, ..., size]: neighbouring accounts of one bar stay together."""

    def split(x: Array) -> Array:
        cut = x.reshape(*x.shape[:-1], -1, size)
        return jnp.moveaxis(cut, -2, 1).reshape(-1, *x.shape[1:-1], size)

    return jax.tree.map(split, _accounts_last(batch))


def _join(x: Array) -> Array:
    """[blocks, ..., size] -> [..., blocks * size]."""
    return jnp.moveaxis(x, 0, -2).reshape(*x.shape[1:-1], -1)


def _sequences(batch: Minibatch, bars: int) -> Minibatch:
    """Every array as [sequences, bars, ...], one of one account; ``memory`` as [sequences, ...]."""

    def split(x: Array) -> Array:
        cut = jnp.moveaxis(x.reshape(-1, bars, *x.shape[1:]), -1, 1)
        return cut.reshape(-1, *cut.shape[2:])

    memory = jax.tree.map(lambda x: jnp.moveaxis(x, -1, 1).reshape(-1, x.shape[1]), batch.memory)
    rows = jax.tree.map(split, _accounts_last(batch)._replace(memory=()))
    return rows._replace(memory=memory)


def _side_by_side(x: Array) -> Array:
    """[sequences, ...] -> [..., sequences]."""
    return jnp.moveaxis(x, 0, -1)


def _accounts_last(batch: Minibatch) -> Minibatch:
    legal = batch.observation.legal
    if legal is not None:
        legal = jnp.moveaxis(legal, 1, -1)
    return batch._replace(observation=batch.observation._replace(legal=legal))


def _descend(
    network: ActorCritic,
    moments: optax.OptState,
    rows: Minibatch,
    hyper: Hyper,
    config: PPOConfig,
) -> tuple[tuple[ActorCritic, optax.OptState], Losses]:
    """One gradient step on one minibatch."""
    gradient, losses = jax.grad(_loss, has_aux=True)(network, rows, hyper, config)
    change, moments = optimizer(config).update(gradient, moments)
    network = jax.tree.map(lambda w, d: w - hyper.learning_rate * d, network, change)
    return (network, moments), losses._replace(grad_norm=optax.tree.norm(gradient))


def _again(network: ActorCritic, rows: Minibatch) -> tuple[Array, Array, Minibatch]:
    """The network's outputs and values for ``rows``, and these flattened to [..., N]."""
    values, legal = rows.observation
    if rows.start is None:
        legal = None if legal is None else jnp.moveaxis(legal, -1, 0)
        return *network(values, legal), rows
    flat = jax.tree.map(
        lambda x: jnp.moveaxis(x, 0, -2).reshape(*x.shape[1:-1], -1), rows._replace(memory=())
    )
    if legal is not None:
        legal = jnp.moveaxis(flat.observation.legal, -1, 0)
    return *network.sequence(rows.memory, values, rows.start, legal), flat


def _loss(
    network: ActorCritic, rows: Minibatch, hyper: Hyper, config: PPOConfig
) -> tuple[Array, Losses]:
    out, value, rows = _again(network, rows)
    log_prob, entropy = log_prob_entropy(network, out, rows.action)
    log_ratio = log_prob - rows.log_prob
    ratio = jnp.exp(log_ratio)
    advantage = (rows.advantage - rows.advantage.mean()) / (rows.advantage.std() + ADVANTAGE_EPS)
    clipped = jnp.clip(ratio, 1.0 - hyper.clip, 1.0 + hyper.clip)
    policy_loss = -jnp.mean(jnp.minimum(ratio * advantage, clipped * advantage))
    value_loss = 0.5 * jnp.mean(jnp.square(value - rows.target))
    bonus = jnp.mean(entropy)
    total = policy_loss + config.value_coef * 2.0 * value_loss - hyper.entropy * bonus
    losses = Losses(
        policy_loss=policy_loss,
        value_loss=value_loss,
        entropy=bonus,
        approx_kl=jnp.mean(ratio - 1.0 - log_ratio),
        clip_fraction=jnp.mean(jnp.abs(ratio - 1.0) > hyper.clip),
        grad_norm=jnp.float32(0.0),
    )
    return total, losses
