"""Encoders and policies of the user's own go through the audit like anything else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import pytest

from audit_cases import chain_of, few
from planted_pipeline import next_bar_observed
from truefill.audit.case import Case
from truefill.audit.checks import AUDITS
from truefill.config.schema import Config
from truefill.core.registry import Params
from truefill.evaluation.policies import POLICIES, Given, OwnPolicy, Seen, policy

OWN = "market/own policies"
ENV: dict[str, Any] = {
    "action": {"kind": "short_flat_long"}, "episode_bars": 40, "window_bars": 4
}  # fmt: skip


@pytest.fixture
def own() -> Iterator[Config]:
    """A config with a policy that follows the last two returns and remembers its last side."""

    @policy("follows", Params)
    class Follows(OwnPolicy):
        def __init__(self, params: Params, given: Given) -> None:
            assert given.spec.window == 4

        def initial(self, count: int) -> Any:
            return jnp.ones((2, count), jnp.int32)

        def decide(self, memory: Any, seen: Seen) -> Any:
            sign = jnp.sign(seen.raw("ret") + seen.raw("ret", back=1)).astype(jnp.int32)
            side = jnp.where(sign == 0, memory, 1 + sign)
            return side, side

    yield few(env=ENV, evaluation={"policies": [{"policy": "follows"}]})
    POLICIES.remove("follows")


@pytest.mark.slow
def test_a_network_with_an_encoder_is_audited(tmp_path: Path) -> None:
    encoder = {"kind": "attention", "params": {"width": 4}}
    network = {"hidden": [8], "encoder": encoder}
    case = Case(few(env=ENV, agent={"network": network}), chain_of(), tmp_path, quick=True)
    for name in ("market/actions", "market/backtest", "training/weights", OWN):
        found = AUDITS[name](case)
        assert found.result == ("not applicable" if name == OWN else "passed"), found.reasons


@pytest.mark.slow
def test_a_policy_of_ones_own_is_audited(own: Config, tmp_path: Path) -> None:
    found = AUDITS[OWN](Case(own, chain_of(), tmp_path, quick=True))
    assert found.result == "passed" and found.notes == []
    leaky = AUDITS[OWN](Case(own, chain_of(environment=next_bar_observed), tmp_path, quick=True))
    assert leaky.result == "leak"
    assert {"follows: action", "follows: memory"} & set(leaky.findings)
