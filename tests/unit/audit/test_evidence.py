"""What counts as moved: known by the cut, and not the same bytes."""

from __future__ import annotations

import numpy as np
import pytest

from truefill.audit.evidence import Timed, count_known, fact, first_moved, moved, refused

KNOWN = np.array([10, 20, 30, 40])


def timed(*values: float, known: np.ndarray = KNOWN) -> Timed:
    return Timed("x", known[: len(values)], np.array(values))


def test_only_what_was_known_at_the_cut_counts() -> None:
    one, other = timed(1.0, 2.0, 3.0, 4.0), timed(1.0, 2.0, 9.0, 9.0)
    assert first_moved(one, other, 29) is None
    found = first_moved(one, other, 30)
    assert found is not None and (found.known_s, found.before, found.after) == (30, "3.", "9.")


def test_bytes_decide_not_values() -> None:
    nan = float("nan")
    assert first_moved(timed(nan, 0.0), timed(nan, 0.0), 40) is None
    assert first_moved(timed(0.0), timed(-0.0), 40) is not None
    narrow = Timed("x", KNOWN[:1], np.array([1.0], np.float32))
    assert first_moved(timed(1.0), narrow, 40) is not None


@pytest.mark.parametrize("swap", [False, True])
def test_rows_that_come_or_go_have_moved(swap: bool) -> None:
    more, fewer = timed(1.0, 2.0, 3.0), timed(1.0, 2.0)
    one, other = (fewer, more) if swap else (more, fewer)
    assert first_moved(one, other, 20) is None
    found = first_moved(one, other, 30)
    assert found is not None and "no row" in (found.before, found.after) and found.known_s == 30


def test_rows_at_other_moments_have_moved() -> None:
    assert first_moved(timed(1.0, 2.0), timed(1.0, 2.0, known=np.array([10, 15])), 40) is not None


def test_rows_of_several_numbers_and_of_text() -> None:
    wide = Timed("x", KNOWN[:2], np.array([[1.0, 2.0], [3.0, 4.0]]))
    other = Timed("x", KNOWN[:2], np.array([[1.0, 2.0], [3.0, 5.0]]))
    found = first_moved(wide, other, 40)
    assert found is not None and found.after == "[3. 5.]"
    assert first_moved(fact("f", 10, {"a": 1}), fact("f", 10, {"a": 1}), 10) is None
    assert first_moved(fact("f", 10, {"a": 1}), fact("f", 10, {"a": 2}), 10) is not None
    assert first_moved(fact("f", 10, {"a": 1}), fact("f", 10, {"a": 2}), 9) is None


def test_items_that_only_one_side_has_are_found_unless_they_were_refused() -> None:
    lost = list(moved([timed(1.0)], [], 40))
    new = list(moved([], [timed(1.0)], 40))
    assert [m.after for m in lost] == ["no row"] and [m.before for m in new] == ["no row"]
    assert list(moved([timed(1.0)], [refused("x")], 40)) == []


def test_known_rows_are_counted() -> None:
    assert count_known([timed(1.0, 2.0, 3.0), fact("f", 10, 1)], 20) == 3
    with pytest.raises(ValueError, match="2 moments, 1 values"):
        Timed("x", KNOWN[:2], np.zeros(1))
