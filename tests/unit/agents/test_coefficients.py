"""A learner's numbers: configs that differ in them alone share a program, and none is lost."""

from __future__ import annotations

from typing import Any

import jax
import pytest

from truefill.agents.coefficients import split
from truefill.config.schema import AgentConfig

BASE: dict[str, Any] = {
    "kind": "quantile_ppo",
    "ppo": {"target_kl": 0.1},
    "critic": {"cvar": {"weight": 0.1, "cap": 5.0, "limit": -1.0}},
}
NUMBERS: dict[str, Any] = {
    "ppo.learning_rate": 0.07, "ppo.entropy": 0.07, "ppo.clip": 0.07, "ppo.gamma": 0.5,
    "ppo.gae_lambda": 0.5, "ppo.value_coef": 0.07, "ppo.max_grad_norm": 0.07,
    "ppo.target_kl": 0.07, "critic.kappa": 0.07, "critic.cvar.alpha": 0.07,
    "critic.cvar.weight": 0.07, "critic.cvar.ramp_updates": 3, "critic.cvar.cap": 0.07,
    "critic.cvar.limit": -0.07, "critic.cvar.dual_learning_rate": 0.07,
}  # fmt: skip
SHAPES: dict[str, Any] = {
    "ppo.num_envs": 1_024, "ppo.num_steps": 128, "ppo.minibatch": 1_024, "ppo.block": 32,
    "ppo.epochs": 2, "ppo.mask_idle": False, "ppo.learning_rate": {"start": 0.1, "end": 0.0},
    "ppo.clip": {"start": 0.1, "end": 0.0, "kind": "cosine"}, "ppo.target_kl": None,
    "critic.quantiles": 8, "critic.cvar.weight": 0.0, "critic.cvar.cap": None,
    "critic.cvar.limit": None, "critic.cvar.enters": "loss", "critic.popart.decay": 0.5,
    "critic.popart.enabled": False, "network.hidden": [8],
}  # fmt: skip


def agent(key: str | None = None, value: Any = None) -> AgentConfig:
    tree = AgentConfig(**BASE).model_dump()
    if key is not None:
        *path, last = key.split(".")
        node = tree
        for part in path:
            node = node[part]
        node[last] = value
    return AgentConfig(**tree)


def values(config: AgentConfig) -> list[float]:
    return [float(x) for x in jax.tree.leaves(split(config, 100)[1])]


@pytest.mark.parametrize("key", NUMBERS)
def test_a_number_does_not_compile_anew_and_is_handed_in(key: str) -> None:
    one, other = agent(), agent(key, NUMBERS[key])
    assert one != other
    assert split(one, 100)[0] == split(other, 100)[0]
    assert values(one) != values(other)


@pytest.mark.parametrize("key", SHAPES)
def test_what_shapes_the_program_compiles_anew(key: str) -> None:
    assert split(agent(), 100)[0] != split(agent(key, SHAPES[key]), 100)[0]


def test_every_number_of_the_config_is_one_or_the_other() -> None:
    tree = AgentConfig(**BASE).model_dump()
    found = {f"ppo.{name}" for name in tree["ppo"]}
    found |= {f"critic.{name}" for name in tree["critic"] if name not in ("cvar", "popart")}
    found |= {f"critic.cvar.{name}" for name in tree["critic"]["cvar"]}
    assert found <= set(NUMBERS) | set(SHAPES)


def test_the_budget_is_a_number() -> None:
    assert split(agent(), 100)[0] == split(agent(), 200)[0]
    assert split(agent(), 200)[1].total_steps == 200.0


def test_numbers_that_are_first_asked_for_inside_a_traced_function_serve_outside_it() -> None:
    config = agent("ppo.gamma", 0.625)
    inside = jax.jit(lambda x: x * split(config, 77)[1].gamma)(2.0)
    assert float(inside) == 2.0 * float(split(config, 77)[1].gamma) == 1.25
