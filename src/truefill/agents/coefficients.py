"""The numbers of a learner, apart from what shapes its program.

A compiled update serves every learning rate, discount and weight: :func:`split` gives the config
without them, which the program is compiled for, and the numbers, which it is called with.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import jax
import jax.numpy as jnp

from truefill.config.schema import AgentConfig, Schedule
from truefill.market.types import Array


class Ends(NamedTuple):
    """A schedule's value at the start and at the end."""

    start: Array
    end: Array


class Coefficients(NamedTuple):
    """Float32 scalars, in the config's words."""

    learning_rate: Ends
    entropy: Ends
    clip: Ends
    gamma: Array
    gae_lambda: Array
    value_coef: Array
    max_grad_norm: Array
    target_kl: Array
    kappa: Array
    alpha: Array
    weight: Array
    ramp_updates: Array
    cap: Array
    limit: Array
    dual_learning_rate: Array
    total_steps: Array


NUMBERS = ("gamma", "gae_lambda", "value_coef", "max_grad_norm")
SCHEDULES = ("learning_rate", "entropy", "clip")


@lru_cache(maxsize=16)
def split(config: AgentConfig, total_steps: int) -> tuple[AgentConfig, Coefficients]:
    """The config with every such number at a fixed value, and the numbers."""
    with jax.ensure_compile_time_eval():  # also inside a traced function, they are kept
        return _split(config, total_steps)


def _split(config: AgentConfig, total_steps: int) -> tuple[AgentConfig, Coefficients]:
    ppo, critic = config.ppo, config.critic
    cvar = critic.cvar
    blank = {name: _blank(getattr(ppo, name)) for name in SCHEDULES}
    shape = config.model_copy(
        update={
            "ppo": ppo.model_copy(
                update={
                    **dict.fromkeys(NUMBERS, 0.0),
                    **blank,
                    "target_kl": None if ppo.target_kl is None else 0.0,
                }
            ),
            "critic": critic.model_copy(
                update={
                    "kappa": 0.0,
                    "cvar": cvar.model_copy(
                        update={
                            "alpha": 0.0,
                            "weight": 1.0 if cvar.weight > 0.0 else 0.0,
                            "ramp_updates": 0,
                            "cap": None if cvar.cap is None else 0.0,
                            "limit": None if cvar.limit is None else 0.0,
                            "dual_learning_rate": 0.0,
                        }
                    ),
                }
            ),
        }
    )
    numbers = Coefficients(
        learning_rate=_ends(ppo.learning_rate),
        entropy=_ends(ppo.entropy),
        clip=_ends(ppo.clip),
        gamma=_scalar(ppo.gamma),
        gae_lambda=_scalar(ppo.gae_lambda),
        value_coef=_scalar(ppo.value_coef),
        max_grad_norm=_scalar(ppo.max_grad_norm),
        target_kl=_scalar(ppo.target_kl or 0.0),
        kappa=_scalar(critic.kappa),
        alpha=_scalar(cvar.alpha),
        weight=_scalar(cvar.weight),
        ramp_updates=_scalar(cvar.ramp_updates),
        cap=_scalar(cvar.cap or 0.0),
        limit=_scalar(cvar.limit or 0.0),
        dual_learning_rate=_scalar(cvar.dual_learning_rate),
        total_steps=jnp.asarray(total_steps, jnp.float64),
    )
    return shape, numbers


def _scalar(value: float) -> Array:
    return jnp.asarray(value, jnp.float32)


def _ends(schedule: Schedule) -> Ends:
    end = schedule.start if schedule.end is None else schedule.end
    return Ends(_scalar(schedule.start), _scalar(end))


def _blank(schedule: Schedule) -> Schedule:
    end = None if schedule.end is None else 0.0
    return schedule.model_copy(update={"start": 0.0, "end": end})


def scheduled(schedule: Schedule, ends: Ends, progress: Array) -> Array:
    """The value at ``progress`` (environment steps / total steps, 0..1), float32; ``schedule`` says
    how it moves."""
    if schedule.end is None:
        return ends.start
    share = progress if schedule.kind == "linear" else 0.5 * (1.0 - jnp.cos(jnp.pi * progress))
    return (ends.start + (ends.end - ends.start) * share).astype(jnp.float32)
