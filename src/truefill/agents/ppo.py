"""Proximal policy optimization (Schulman et al. 2017), one compiled update.

An update is: collect a rollout, estimate advantages and returns, move the critic's unit, then
epochs of minibatches. What differs between learners is in the network (memory, critic of quantiles)
and in what the critic is taught; the update is the same for all.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from truefill.agents import critic, popart, risk
from truefill.agents.coefficients import Coefficients, scheduled, split
from truefill.agents.loss import Hyper, Losses, average, loss
from truefill.agents.minibatch import Minibatch, again, cut
from truefill.agents.networks import ActorCritic, Carry
from truefill.agents.popart import PopArtState
from truefill.agents.rollout import LOTS, Guess, Rollout, advantages, collect, drawn_returns
from truefill.agents.update_log import PopArtLog, RiskLog, UpdateLog, critic_log
from truefill.agents.value_metrics import fit
from truefill.config.schema import AgentConfig
from truefill.env import episodes
from truefill.env.episodes import DECISION_PHASE, EnvArrays, EnvSpec, EnvState
from truefill.market.types import Array

SMALLEST_KAPPA = 1e-6


class TrainState(NamedTuple):
    """Everything an update reads and writes: a checkpoint holds exactly this."""

    network: ActorCritic
    optimizer: optax.OptState
    env: EnvState
    """The learning accounts, then the held-out ones (PopArt)."""
    memory: Carry
    """What the network remembers of each account before its next bar."""
    key: Array
    steps: Array
    """int64, environment steps done by the learning accounts."""
    popart: PopArtState | None
    dual: Array | None
    """Weight that the tail got on top of the config's, where CVaR counts."""


def optimizer(max_grad_norm: Array | float) -> optax.GradientTransformation:
    """Gradient clipping and Adam; the learning rate is applied per update."""
    return optax.chain(optax.clip_by_global_norm(max_grad_norm), optax.scale_by_adam(eps=1e-5))


def init(
    spec: EnvSpec, arrays: EnvArrays, network: ActorCritic, config: AgentConfig, key: Array
) -> TrainState:
    """A fresh training: random episode starts, zeroed optimizer."""
    shape, _ = split(config, 1)
    return _init(spec, arrays, network, shape, key)


def update(
    state: TrainState, arrays: EnvArrays, *, spec: EnvSpec, config: AgentConfig, total_steps: int
) -> tuple[TrainState, UpdateLog]:
    """One rollout and its epochs. ``state`` is used up. Configs that differ in numbers only share
    one compiled program."""
    shape, numbers = split(config, total_steps)
    return _update(state, arrays, numbers, spec=spec, config=shape)


@partial(jax.jit, static_argnames=("spec", "config"))
def _init(
    spec: EnvSpec, arrays: EnvArrays, network: ActorCritic, config: AgentConfig, key: Array
) -> TrainState:
    start_key, key = jax.random.split(key)
    count = config.ppo.num_envs + (config.popart.holdout_envs if config.popart else 0)
    uniform = jax.random.uniform(start_key, (count,), jnp.float32)
    env = episodes.reset(spec, arrays, episodes.draw_starts(spec, arrays, uniform))
    if DECISION_PHASE in spec.state_features:
        env = _out_of_step(env, arrays, key)
    return TrainState(
        network=network,
        optimizer=optimizer(1.0).init(eqx.filter(network, eqx.is_array)),
        env=env,
        memory=network.initial(count),
        key=key,
        steps=jnp.zeros((), jnp.int64),
        popart=popart.init() if config.popart else None,
        dual=jnp.zeros((), jnp.float32) if config.cvar else None,
    )


def _out_of_step(env: EnvState, arrays: EnvArrays, key: Array) -> EnvState:
    """Accounts somewhere inside their first episode. In step, all would decide on the same bars of
    every rollout, and on the others nobody would."""
    drawn = jax.random.uniform(jax.random.fold_in(key, LOTS), env.steps.shape, jnp.float32)
    steps = jnp.floor(drawn * arrays.episode.max_steps).astype(jnp.int32)
    return env._replace(steps=steps, account=env.account._replace(age=steps))


@partial(jax.jit, static_argnames=("spec", "config"), donate_argnames=("state",))
def _update(
    state: TrainState,
    arrays: EnvArrays,
    numbers: Coefficients,
    *,
    spec: EnvSpec,
    config: AgentConfig,
) -> tuple[TrainState, UpdateLog]:
    ppo = config.ppo
    key, roll_key, shuffle_key = jax.random.split(state.key, 3)
    env, memory, last, rollout, stats = collect(
        spec, arrays, state.network, state.env, state.memory, roll_key, ppo.num_steps,
        config.sequence, numbers.alpha if config.cvar else None,
    )  # fmt: skip
    if not ppo.mask_idle:
        rollout = rollout._replace(acts=None, tradable=None)
    batch, returns = _batch(rollout, last, numbers, shuffle_key)
    network, watched, seen = _take_unit(state, rollout, batch, returns, config)
    hyper, tail_log = _hyper(state, rollout, batch, network, numbers, config)
    network, moments, losses, epochs = _learn(
        network, state.optimizer, _accounts(batch, 0, ppo.num_envs), hyper, shuffle_key, config
    )
    popart_log = None
    if watched is not None and seen is not None and config.popart is not None:
        held = _accounts(batch._replace(target=returns), ppo.num_envs, None)
        after = _explained(network, held, config)
        watched = popart.judge(watched, seen, after, config.popart)
        unit = network.unit
        assert unit is not None
        popart_log = PopArtLog(unit.mean, unit.std, watched.live, seen, after)
    log = UpdateLog(
        losses=losses,
        epochs=epochs,
        learning_rate=hyper.learning_rate,
        clip_range=hyper.clip,
        entropy_coef=hyper.entropy,
        critic=critic_log(rollout, returns, arrays),
        value_mean=jnp.mean(rollout.guess.value),
        reward_mean=jnp.mean(rollout.reward),
        terms=stats.terms,
        episodes=stats.episodes,
        illegal=stats.illegal,
        popart=popart_log,
        risk=tail_log,
    )
    dual = state.dual
    if dual is not None and tail_log is not None:
        dual = risk.next_dual(dual, tail_log.cvar_reward, numbers, config.critic.cvar)
    steps = state.steps + ppo.num_envs * ppo.num_steps
    return TrainState(network, moments, env, memory, key, steps, watched, dual), log


def _batch(
    rollout: Rollout, last: Guess, numbers: Coefficients, key: Array
) -> tuple[Minibatch, Array]:
    """The rollout as the epochs take it, and its lambda returns, [T, N]."""
    advantage = advantages(rollout, last, numbers.gamma, numbers.gae_lambda)
    returns = advantage + rollout.guess.value
    batch = Minibatch(
        observation=rollout.observation,
        action=rollout.action,
        log_prob=rollout.log_prob,
        advantage=advantage,
        target=returns,
        acts=rollout.acts,
        tradable=rollout.tradable,
    )
    if last.drawn is not None:
        uniform = jax.random.uniform(jax.random.fold_in(key, LOTS), returns.shape, jnp.float32)
        drawn = drawn_returns(rollout, last, numbers.gamma, numbers.gae_lambda, uniform)
        batch = batch._replace(target=drawn)
        if rollout.tail is not None:
            tail = critic.tail_advantage(drawn, *rollout.tail, numbers.alpha)
            batch = batch._replace(tail=tail)
    if rollout.memory:
        start = jnp.concatenate([jnp.zeros_like(rollout.done[:1]), rollout.done[:-1]])
        batch = batch._replace(start=start, memory=rollout.memory)
    return batch, returns


def _accounts(batch: Minibatch, first: int, end: int | None) -> Minibatch:
    """Some of the accounts of a rollout."""
    legal = batch.observation.legal
    some = jax.tree.map(
        lambda x: x[..., first:end],
        batch._replace(observation=batch.observation._replace(legal=None)),
    )
    legal = None if legal is None else legal[:, first:end]
    return some._replace(observation=some.observation._replace(legal=legal))


def _take_unit(
    state: TrainState, rollout: Rollout, batch: Minibatch, returns: Array, config: AgentConfig
) -> tuple[ActorCritic, PopArtState | None, Array | None]:
    """PopArt before the epochs: the network in its next unit, what was watched, and the explained
    variance of the held-out bars."""
    if config.popart is None or state.popart is None:
        return state.network, None, None
    count = config.ppo.num_envs
    learned = None if rollout.tradable is None else rollout.tradable[:, :count]
    held = None if rollout.tradable is None else rollout.tradable[:, count:]
    explained = fit(rollout.guess.value[:, count:], returns[:, count:], held).explained_variance
    watched = popart.watch(state.popart, batch.target[:, :count], learned, config.popart)
    assert state.network.unit is not None
    watched, unit = popart.next_unit(watched, state.network.unit, explained, config.popart)
    return state.network.with_unit(unit), watched, explained


def _explained(network: ActorCritic, held: Minibatch, config: AgentConfig) -> Array:
    """Explained variance of the held-out bars, as the network sees them now."""
    units, join, _ = cut(held, held.target.shape[-1], config.sequence)
    _, expected, rows = again(network, jax.tree.map(join, units))
    return fit(critic.mean(expected), rows.target, rows.tradable).explained_variance


def _hyper(
    state: TrainState,
    rollout: Rollout,
    batch: Minibatch,
    network: ActorCritic,
    numbers: Coefficients,
    config: AgentConfig,
) -> tuple[Hyper, RiskLog | None]:
    """The numbers of this update's epochs."""
    ppo = config.ppo
    progress = jnp.minimum(state.steps / numbers.total_steps, 1.0)
    updates = state.steps / (ppo.num_envs * ppo.num_steps)
    tail_weight, log = jnp.float32(0.0), None
    if config.cvar is not None and state.dual is not None and rollout.tail is not None:
        tail_weight = risk.weight(numbers, state.dual, updates)
        found = risk.empirical_cvar(rollout.reward[:, : ppo.num_envs], numbers.alpha)
        log = RiskLog(jnp.mean(rollout.tail[1]), found, tail_weight)
    several = network.num_values > 1
    spread = jnp.std(batch.target[:, : ppo.num_envs]) if several else jnp.float32(1.0)
    unit = jnp.float32(1.0) if network.unit is None else network.unit.std
    return Hyper(
        learning_rate=scheduled(ppo.learning_rate, numbers.learning_rate, progress),
        clip=scheduled(ppo.clip, numbers.clip, progress),
        entropy=scheduled(ppo.entropy, numbers.entropy, progress),
        value_coef=numbers.value_coef,
        max_grad_norm=numbers.max_grad_norm,
        target_kl=numbers.target_kl,
        kappa=jnp.maximum(numbers.kappa * spread, SMALLEST_KAPPA),
        unit=unit,
        tail_weight=tail_weight,
        cap=numbers.cap,
    ), log


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
    units, join, size = cut(batch, config.block, agent.sequence)
    num_units = config.num_envs * config.num_steps // size
    keys = jax.random.split(key, config.epochs)
    orders = jax.vmap(lambda k: jax.random.permutation(k, num_units))(keys)
    orders = orders.reshape(config.epochs, -1, config.minibatch // size)
    Learning = tuple[ActorCritic, optax.OptState]

    def one_minibatch(carry: Learning, index: Array) -> tuple[Learning, Any]:
        rows = jax.tree.map(lambda x: join(x[index]), units)
        carry, losses = _descend(*carry, rows, hyper, agent)
        return carry, (losses, None if rows.acts is None else jnp.sum(rows.acts))

    def one_epoch(
        carry: tuple[ActorCritic, optax.OptState, Array], order: Array
    ) -> tuple[tuple[ActorCritic, optax.OptState, Array], tuple[Losses, Array]]:
        network, moments, stop = carry

        def run(pair: Learning):  # type: ignore[no-untyped-def]
            pair, found = jax.lax.scan(one_minibatch, pair, order)
            return pair, average(*found)

        def skip(pair: Learning):  # type: ignore[no-untyped-def]
            return pair, Losses(*(jnp.float32(0.0) for _ in Losses._fields))

        if config.target_kl is None:
            (network, moments), losses = run((network, moments))
            return (network, moments, stop), (losses, jnp.float32(1.0))
        (network, moments), losses = jax.lax.cond(stop, skip, run, (network, moments))
        ran = jnp.where(stop, jnp.float32(0.0), jnp.float32(1.0))
        return (network, moments, stop | (losses.approx_kl > hyper.target_kl)), (losses, ran)

    carry = (network, moments, jnp.asarray(False))
    (network, moments, _), (losses, ran) = jax.lax.scan(one_epoch, carry, orders)
    epochs = jnp.sum(ran)
    return network, moments, jax.tree.map(lambda x: jnp.sum(x) / epochs, losses), epochs


def _descend(
    network: ActorCritic,
    moments: optax.OptState,
    rows: Minibatch,
    hyper: Hyper,
    config: AgentConfig,
) -> tuple[tuple[ActorCritic, optax.OptState], Losses]:
    """One gradient step on one minibatch."""
    gradient, losses = jax.grad(loss, has_aux=True)(network, rows, hyper, config)
    change, moments = optimizer(hyper.max_grad_norm).update(gradient, moments)
    network = jax.tree.map(lambda w, d: w - hyper.learning_rate * d, network, change)
    return (network, moments), losses._replace(grad_norm=optax.tree.norm(gradient))
