"""What counts as a proof: a change that was one, was computed, and reached the stage."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from audit_cases import CLEAN, chain_of, config_of, world
from truefill.audit import chain as real
from truefill.audit.case import Case
from truefill.audit.checks import AUDITS
from truefill.audit.checks.market import other_actions
from truefill.audit.evidence import Timed, refused
from truefill.audit.mutations import differs
from truefill.audit.registry import Tally, sweep
from truefill.core.errors import DataError
from truefill.features.base import Context, Floats

CUT = 20
KNOWN = np.array([10, 20, 30])
ONE, OTHER = np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 9.0])


def item(values: Floats, name: str = "x") -> Timed:
    return Timed(name, KNOWN, values)


def tallied() -> Tally:
    return Tally("a/b", "a")


def test_a_change_that_reaches_the_stage_and_moves_nothing_known_is_a_pass() -> None:
    tally = tallied()
    tally.compare(CUT, "random", [item(ONE)], [item(OTHER)])
    assert (tally.result, tally.reacted, tally.values) == ("passed", 1, 2)
    tally.compare(30, "random", [item(ONE)], [item(OTHER)])
    assert tally.result == "leak"


def test_a_change_that_moves_nothing_anywhere_proves_nothing() -> None:
    tally = tallied()
    tally.compare(CUT, "random", [item(ONE)], [item(ONE.copy())])
    assert tally.result == "inconclusive"
    assert "none reached this stage" in tally.as_dict("")["notes"][0]


def test_without_a_value_known_at_a_cut_nothing_was_compared() -> None:
    tally = tallied()
    assert tally.result == "inconclusive"
    tally.compare(5, "random", [item(ONE)], [item(OTHER)])
    assert tally.shortcomings() == ["nothing was compared"]


def test_refusals_are_no_proof() -> None:
    tally, error = tallied(), DataError("rule", "what")
    tally.compare(CUT, "random", [item(ONE)], [item(OTHER)])
    tally.refuse(CUT, "dropped", error)
    tally.refuse(CUT, "nan", error)
    assert tally.result == "passed"
    tally.refuse(CUT, "ended", error)
    assert tally.shortcomings() == ["2 of 3 changes were refused"]


def test_every_cut_needs_a_change_that_was_not_refused() -> None:
    tally = tallied()
    tally.compare(CUT, "random", [item(ONE)], [item(OTHER)])
    tally.refuse(25, "random", DataError("rule", "what"))
    assert tally.result == "inconclusive"
    assert "at 1 cuts, 1970-01-01T00:00:25Z first" in tally.shortcomings()[0]


def test_an_item_that_is_mostly_refused_is_named() -> None:
    tally = tallied()
    before = [item(ONE), item(ONE, "y")]
    tally.compare(CUT, "random", before, [item(OTHER), refused("y")])
    assert tally.shortcomings() == ["refused more often than compared: y"]
    assert tally.values == 2
    tally.compare(CUT, "reversed", before, [item(OTHER), item(OTHER, "y")])
    assert tally.result == "passed"


def test_a_check_with_a_doubt_of_its_own_is_inconclusive() -> None:
    tally = tallied()
    tally.compare(CUT, "random", [item(ONE)], [item(OTHER)])
    tally.doubts.append("the network never traded")
    assert tally.result == "inconclusive"


def test_nothing_to_check_is_told_apart_from_nothing_found() -> None:
    tally = tallied()
    tally.absent = "there are no slow series"
    assert tally.result == "not applicable"
    assert tally.as_dict("")["notes"] == ["there are no slow series"]
    tally.refuse(CUT, "random", DataError("rule", "what"))
    assert tally.result == "inconclusive"


def test_a_mutation_that_changes_nothing_is_not_compared(tmp_path: Path) -> None:
    tally, inputs = tallied(), world()
    case = Case(config_of({"ret": CLEAN["ret"]}), chain_of(), tmp_path)
    end = int(inputs.bars.table["timestamp"].max().timestamp()) + 10**7  # type: ignore[union-attr]
    sweep(case, tally, inputs, lambda _: [item(ONE)], [end], ("random", "reversed"))
    assert (tally.comparisons, tally.unchanged) == (0, {"random": 1, "reversed": 1})
    assert tally.result == "inconclusive"


def test_inputs_differ_in_a_single_value() -> None:
    one, other = world(), world()
    assert not differs(one, other)
    other.series["a"].values[-1] += 1e-9
    assert differs(one, other)


class Guarded:
    """A leaky feature that refuses whatever is not the series it has seen first."""

    def __init__(self, error: Exception) -> None:
        self.error, self.seen = error, dict[tuple[str, int], bytes]()

    def __call__(self, spec: Any, bars: Context) -> Floats:
        values = real.calculate(spec, bars)
        if spec.name != "rsi":
            return values
        key = (bars.symbol, int(bars.timestamps_s[0]))
        if self.seen.setdefault(key, bars.close.tobytes()) != bars.close.tobytes():
            raise self.error
        return np.roll(values, -1)


@pytest.mark.parametrize("error", [ValueError("no"), DataError("rule", "no")])
def test_a_leak_cannot_hide_behind_errors(error: Exception, tmp_path: Path) -> None:
    config = config_of({name: CLEAN[name] for name in ("ret", "rsi")})
    case = Case(config, chain_of(calculate=Guarded(error)), tmp_path, quick=True)
    tally = AUDITS["features/canary"](case)
    assert tally.result == "inconclusive"
    assert any("refused more often than compared: rsi" in s for s in tally.shortcomings())


def test_a_stage_that_does_not_look_at_its_inputs_is_not_proven(tmp_path: Path) -> None:
    config = config_of({"ret": CLEAN["ret"]})
    fixed = real.contexts(config, world())
    case = Case(config, chain_of(contexts=lambda c, inputs: fixed), tmp_path, quick=True)
    assert AUDITS["features/canary"](case).result == "inconclusive"


@pytest.mark.parametrize(
    ("actions", "decoder"),
    [
        (np.array([[0], [1], [2], [2]], np.int32), {"discrete": True, "num_actions": 3}),
        (np.linspace(-1, 1, 9, dtype=np.float32)[:, None], {"low": -1.0, "high": 1.0}),
        (np.linspace(0, 1, 9, dtype=np.float32)[:, None], {"low": 0.0, "high": 1.0}),
    ],
)
def test_other_actions_differ_on_every_bar(actions: Any, decoder: dict[str, Any]) -> None:
    spec = SimpleNamespace(decoder=SimpleNamespace(**{"discrete": False, **decoder}))
    other = other_actions(actions, SimpleNamespace(spec=spec))  # type: ignore[arg-type]
    assert (np.abs(other - actions) > 0.05).all() and other.dtype == actions.dtype
    if decoder.get("discrete"):
        assert set(np.unique(other)) <= {0, 1, 2}
    else:
        assert (other >= decoder["low"]).all() and (other <= decoder["high"]).all()


def test_evidence_whose_moments_go_back_or_whose_names_clash_is_a_fault() -> None:
    with pytest.raises(ValueError, match="go back in time"):
        Timed("x", KNOWN[::-1].copy(), ONE)
    with pytest.raises(ValueError, match="one name"):
        tallied().compare(CUT, "random", [item(ONE), item(ONE)], [item(ONE)])
