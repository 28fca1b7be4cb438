"""Where the config has an ensemble, the auditor plays one: a leak of a single member is found."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import pytest

import planted_pipeline
from audit_cases import chain_of, few, found_by
from truefill.agents.ensemble import Ensemble
from truefill.audit import chain as real
from truefill.config.schema import Config

pytestmark = pytest.mark.slow
SMALL = {"network": {"hidden": [8]}, **planted_pipeline.RECURRENT}


def config() -> Config:
    return few(agent=SMALL, training={"seeds": [1, 2, 3], "ensemble": "vote"})


def test_an_honest_ensemble_passes() -> None:
    asked: list[Any] = []

    def decide(network: Any, *rest: Any) -> Any:
        asked.append(network)
        return real.decide(network, *rest)

    assert found_by(config(), chain_of(decide=decide), ["market", "training"], quick=True) == {}
    assert {type(network) for network in asked} == {Ensemble}


def test_one_member_that_remembers_the_next_bar_is_found() -> None:
    """The ensemble acts honestly on this bar; what its last member carries on is not honest."""

    def decide(network: Any, memory: Any, seen: Any, spec: Any, env: Any, state: Any) -> Any:
        action, honest = real.decide(network, memory, seen, spec, env, state)
        later = jnp.minimum(state.t + 1, env.bars.num_bars - 1)
        ahead = real.observe(spec, env, state._replace(t=later))
        knowing = real.decide(network, memory, ahead, spec, env, state)[1]
        return action, (*honest[:-1], knowing[-1])

    found = found_by(config(), chain_of(decide=decide), ["market"], quick=True)
    assert any("memory" in item for items in found.values() for item in items)


def test_an_ensemble_that_is_validated_on_test_is_found() -> None:
    planted = planted_pipeline.LEAKS["validated_on_test"]
    found = found_by(config(), chain_of(**planted.stages), ["training"], quick=True)
    assert set(found) == {"training/validation results"}
