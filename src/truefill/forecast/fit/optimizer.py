"""Optimizers and learning rates as pure functions whose numbers are arguments: fits that differ in
rate, decay or momentum share one compiled program."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from truefill.config.forecast import FitConfig
from truefill.market.types import Array


class Hyper(NamedTuple):
    """Numbers of a fit, float32 scalars. ``max_norm``: infinite where nothing is clipped;
    ``*_steps`` count gradient steps; ``plateau``: what the plateau schedule has made of the rate so
    far."""

    rate: Any
    weight_decay: Any
    momentum: Any
    max_norm: Any
    warmup_steps: Any
    every_steps: Any
    total_steps: Any
    factor: Any
    end_share: Any
    plateau: Any

    @staticmethod
    def of(fit: FitConfig, steps_per_epoch: int) -> Hyper:
        """The numbers of a config."""
        schedule = fit.schedule
        return Hyper(*(np.float32(x) for x in (
            fit.learning_rate, fit.weight_decay, fit.momentum,
            math.inf if fit.max_grad_norm is None else fit.max_grad_norm,
            schedule.warmup_epochs * steps_per_epoch,
            schedule.every_epochs * steps_per_epoch,
            fit.epochs * steps_per_epoch,
            schedule.factor, schedule.end_share, 1.0,
        )))  # fmt: skip


def learning_rate(kind: str, hyper: Hyper, step: Array) -> Array:
    """Learning rate of gradient step ``step`` (0, 1, ...), float32.

    Warm-up: step / warmup_steps of the rate, the first step counting as 1. From then on, with t
    steps since the warm-up: ``step`` factor^floor(t / every_steps); ``cosine`` from 1 to end_share
    at the last step, end_share + (1 - end_share) (1 + cos(pi t / t_last)) / 2 (Loshchilov & Hutter
    2017); ``plateau`` what the epochs made of it.
    """
    at = step.astype(jnp.float32)
    since = jnp.maximum(at - hyper.warmup_steps, 0.0)
    share = jnp.ones((), jnp.float32)
    if kind == "step":
        share = hyper.factor ** jnp.floor(since / hyper.every_steps)
    elif kind == "cosine":
        last = jnp.maximum(hyper.total_steps - 1.0 - hyper.warmup_steps, 1.0)
        wave = 0.5 * (1.0 + jnp.cos(jnp.pi * jnp.minimum(since / last, 1.0)))
        share = hyper.end_share + (1.0 - hyper.end_share) * wave
    elif kind == "plateau":
        share = hyper.plateau
    warm = jnp.minimum((at + 1.0) / jnp.maximum(hyper.warmup_steps, 1.0), 1.0)
    return jnp.asarray(hyper.rate * warm * share, jnp.float32)


def _direction(kind: str, hyper: Hyper) -> optax.GradientTransformation:
    """From clipped gradients to the direction that the rate multiplies."""
    decay = optax.add_decayed_weights(hyper.weight_decay)
    if kind == "adam":
        return optax.chain(decay, optax.scale_by_adam())
    if kind == "adamw":
        return optax.chain(optax.scale_by_adam(), decay)
    trace = optax.trace(hyper.momentum)
    if kind == "sgd":
        return optax.chain(decay, trace)
    return optax.chain(decay, optax.scale_by_rms(decay=0.99), trace)


def begin(kind: str, learned: Any) -> Any:
    """The optimizer's state before the first step."""
    return _direction(kind, Hyper(*(jnp.float32(0.0) for _ in Hyper._fields))).init(learned)


def update(
    kind: str, gradient: Any, state: Any, learned: Any, hyper: Hyper, rate: Array
) -> tuple[Any, Any, Array]:
    """One step: clipping by the global norm, then adam (Kingma & Ba 2015), adamw (Loshchilov &
    Hutter 2019), rmsprop (Tieleman & Hinton 2012, decay 0.99) or sgd. Weight decay is on all
    arrays. Returns what is learned, the state, and the norm before clipping."""
    norm = optax.tree.norm(gradient)
    share = jnp.where(norm > hyper.max_norm, hyper.max_norm / norm, 1.0).astype(jnp.float32)
    gradient = jax.tree.map(lambda g: share * g, gradient)
    direction, state = _direction(kind, hyper).update(gradient, state, learned)
    return jax.tree.map(lambda w, d: w - rate * d, learned, direction), state, norm
