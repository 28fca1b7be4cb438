"""Steps that several features share: taken once, and no bit of any result moves."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from calculator_cases import params_of, world
from truefill.features.base import PER_BAR, Context
from truefill.features.filters import Ema, Filter, Lag, Mean, Std
from truefill.features.parts import LogReturns
from truefill.features.portions import running
from truefill.features.registry import CALCULATORS
from truefill.features.shared import Steps, sharing

CLOSE = 100.0 + np.random.default_rng(0).standard_normal(90).cumsum()
KINDS: list[Any] = [lambda: Mean(7), lambda: Std(7), lambda: Ema(0.2), lambda: Lag(2), LogReturns]


def count_next(monkeypatch: pytest.MonkeyPatch, kind: type[Filter]) -> list[int]:
    """Lengths of what filters of this kind work on from now on."""
    seen: list[int] = []
    real = kind._next

    def counting(self: Any, x: np.ndarray) -> np.ndarray:
        seen.append(len(x))
        return real(self, x)

    monkeypatch.setattr(kind, "_next", counting)
    return seen


@pytest.mark.parametrize("make", KINDS)
def test_a_step_taken_twice_gives_the_same_bits_and_goes_on_alone(make: Any) -> None:
    one, two, alone = make(), make(), make()
    for start in (0, 30):
        x = CLOSE[start : start + 30]
        with sharing(Steps([x])):
            first, second = one.push(x), two.push(x)
        assert second is first
        assert first.tobytes() == alone.push(CLOSE[start : start + 30].copy()).tobytes()
    rest = CLOSE[60:]  # each has a state of its own
    for step in (two, one):
        assert step.push(rest.copy()).tobytes() == make().push(CLOSE)[60:].tobytes()


def test_only_equal_states_and_the_same_array_are_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = count_next(monkeypatch, Mean)
    x = CLOSE[:40]
    with sharing(Steps([x])):
        Mean(5).push(x)
        assert len(seen) == 1
        Mean(5).push(x)
        assert len(seen) == 1  # taken over
        Mean(6).push(x)
        assert len(seen) == 2  # another window
        later = Mean(5)
        later.push(CLOSE[50:60].copy())
        later.push(x)
        assert len(seen) == 4  # another past
        Mean(5).push(x.copy())
        assert len(seen) == 5  # equal numbers in an array that nobody else can ask for
    Mean(5).push(x)
    assert len(seen) == 6


def test_results_of_shared_steps_are_shared_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = count_next(monkeypatch, Std)
    with sharing(Steps([CLOSE])):
        found = [Std(9).push(LogReturns().push(CLOSE)) for _ in range(3)]
    assert len(seen) == 1 and found[0] is found[1] is found[2]


def test_what_a_filter_gave_cannot_be_written_to() -> None:
    """Another feature may hold it too; with and without sharing alike."""
    with sharing(Steps([CLOSE])), pytest.raises(ValueError, match="read-only"):
        Mean(5).push(CLOSE)[3] = 0.0
    with pytest.raises(ValueError, match="read-only"):
        Mean(5).push(CLOSE)[3] = 0.0


def test_all_calculators_together_give_the_bits_of_each_alone() -> None:
    bars = world()
    entries = list(CALCULATORS)
    alone = [entry.make(entry.params(**params_of(entry.name)), bars) for entry in entries]
    carried = [running(entry, entry.params(**params_of(entry.name))) for entry in entries]
    parts: list[list[np.ndarray]] = [[] for _ in entries]
    for at in range(0, len(bars), 130):
        part = bars.rows(at, at + 130)
        steps = Steps([part, *(getattr(part, name) for name in PER_BAR), *part.extra.values()])

        def push(i: int, part: Context = part, steps: Steps = steps) -> np.ndarray:
            with sharing(steps), np.errstate(all="ignore"):
                return carried[i].push(part)

        with ThreadPoolExecutor(3) as pool:
            for kept, values in zip(parts, pool.map(push, range(len(entries))), strict=True):
                kept.append(values)
        assert sum(len(found) for found in steps.taken.values()) > 20
    for entry, kept, want in zip(entries, parts, alone, strict=True):
        assert np.concatenate(kept).tobytes() == want.tobytes(), entry.name
