"""Calculators of users that a cut alone would not convict: what they remember, what they never
hear, what they do seldom."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from audit_cases import chain_of, config_of
from truefill.audit.case import Case
from truefill.audit.checks import AUDITS
from truefill.audit.registry import Tally
from truefill.core import plugins
from truefill.features.registry import CALCULATORS

HEAD = """import numpy as np
from truefill.core.registry import Params
from truefill.features.base import Context, Floats, calculator
memo = {}
class P(Params):
    "No parameters."
@calculator("mine", P, unit="x", source="mine", crosses_session=True, lookback=lambda p: 3%s)
def mine(p: P, bars: Context) -> Floats:
    "Mine."
"""
REMEMBERED = """
    for t, c in zip(bars.timestamps_s.tolist(), bars.close.tolist()):
        memo.setdefault((bars.symbol, t), c / bars.close.mean())
    return np.array([memo[bars.symbol, t] for t in bars.timestamps_s.tolist()])
"""
OF_THE_CLOCK = "    return (bars.timestamps_s // 3600 % 24).astype(float)\n"
ON_LONG_HISTORIES = """
    out = bars.close.copy()
    at = np.arange(0, len(bars) - 1, 7)
    if len(bars) > 300:
        out[at] = bars.close[at + 1]
    return out
"""
FAILS_ON_NAN = """
    if np.isnan(bars.close).any():
        raise IndexError("of numbers that are none")
    return bars.close.copy()
"""


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    """No plug-in of one test is known in the next."""
    yield
    plugins._LOADED.clear()
    for entry in list(CALCULATORS):
        if entry.params.__module__.startswith("truefill_plugin"):
            CALCULATORS.remove(entry.name)


def audited(tmp_path: Path, body: str, check: str, facts: str = "") -> Tally:
    path = tmp_path / "mine.py"
    path.write_text(HEAD % facts + body)
    plugins.load_plugins([path])
    config = config_of({"f": ("mine", {})}, plugins=[str(path)])
    return AUDITS[check](Case(config, chain_of(), tmp_path, quick=True))


def test_what_a_file_remembers_does_not_hide_a_leak(tmp_path: Path) -> None:
    found = audited(tmp_path, REMEMBERED, "features/canary")
    assert sorted(found.findings) == ["f (X)", "f (Y)"]


def test_a_feature_that_no_bars_move_is_no_proof_unless_it_says_that_it_is_the_clock(
    tmp_path: Path,
) -> None:
    found = audited(tmp_path, OF_THE_CLOCK, "features/canary")
    assert found.result == "inconclusive"
    assert "f (X) is the same whatever the bars are" in found.doubts[0]
    assert audited(tmp_path, OF_THE_CLOCK, "features/canary", ", clock=True").result == "passed"


@pytest.mark.parametrize("body", [ON_LONG_HISTORIES, REMEMBERED])
def test_what_depends_on_how_much_is_computed_at_once_is_found(tmp_path: Path, body: str) -> None:
    found = audited(tmp_path, body, "features/streamed")
    assert "f (X)" in found.findings
    sentence = found.findings["f (X)"].sentence()
    assert "(withheld)" in sentence


def test_an_error_of_the_users_code_is_told_and_is_no_crash(tmp_path: Path) -> None:
    found = audited(tmp_path, FAILS_ON_NAN, "features/canary")
    assert found.result == "passed"
    assert found.reasons["nan"] == "f (X) cannot be computed"
