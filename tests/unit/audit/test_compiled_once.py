"""Mutants have the shapes of what they are mutants of: nothing is compiled for them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import jax
import pytest
from jax import monitoring

from audit_cases import chain_of, few
from truefill.audit.case import Case
from truefill.audit.checks import AUDITS
from truefill.audit.checks.market import replayed, row_cuts, stage_of

EVENT = "/jax/core/compile/backend_compile_duration"


@pytest.fixture
def compiled() -> Iterator[list[str]]:
    """The event of every compilation while the test runs."""
    events: list[str] = []

    def heard(event: str, seconds: float, **facts: object) -> None:
        if event == EVENT:
            events.append(str(facts))

    monitoring.register_event_duration_secs_listener(heard)
    yield events
    monitoring.unregister_event_duration_listener(heard)


@pytest.mark.slow
def test_changed_data_compile_nothing(tmp_path: Path, compiled: list[str]) -> None:
    jax.clear_caches()  # other tests of this process may have compiled the same
    case = Case(few(), chain_of(), tmp_path)
    checks = ["training/weights", "training/selection", "training/validation results"]
    AUDITS[checks[0]](Case(few(), chain_of(), tmp_path, quick=True))  # one mutant of each split
    AUDITS[checks[2]](Case(few(), chain_of(), tmp_path, quick=True))
    assert compiled
    del compiled[:]
    for name in checks:
        assert AUDITS[name](case).result == "passed"
    assert compiled == []
    stage = stage_of(case)
    del compiled[:]
    for t in row_cuts(case, stage):
        replayed(case, t, "random")
    assert compiled == []
