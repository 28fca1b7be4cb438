"""Values with the moment from which each may be known, and what moved although it was known.

This is all that the auditor compares. A check says of everything a stage makes *when* it may be
known; then, for any cut, whatever may be known by the cut must keep its bytes when later data
change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from truefill.core.fingerprint import canonical_json

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Timed:
    """One item: ``known_s`` i64[n] (unix seconds, ascending) and ``values`` [n, ...].

    Row i may be known from ``known_s[i]`` on. Rows that come and go count as moved too.
    """

    item: str
    known_s: Ints
    values: npt.NDArray[Any]
    refused: bool = False
    """It could not be computed of these data: neither a leak nor a proof."""

    def __post_init__(self) -> None:
        if len(self.known_s) != len(self.values):
            raise ValueError(f"{self.item}: {len(self.known_s)} moments, {len(self.values)} values")
        if bool((np.diff(self.known_s) < 0).any()):
            raise ValueError(f"{self.item}: its moments go back in time")


@dataclass(frozen=True)
class Moved:
    """The first row of an item that moved although it was known at the cut."""

    item: str
    known_s: int
    before: str
    after: str


def fact(item: str, known_s: int, value: Any) -> Timed:
    """One JSON-able value, known from ``known_s`` on."""
    return Timed(item, np.asarray([known_s], np.int64), np.asarray([_text(value)], dtype=object))


def refused(item: str) -> Timed:
    """An item that could not be computed of changed data."""
    return Timed(item, np.zeros(0, np.int64), np.zeros(0), refused=True)


def facts(prefix: str, known_s: int, values: Mapping[str, Any]) -> list[Timed]:
    """One item a key."""
    return [fact(f"{prefix}{name}", known_s, value) for name, value in sorted(values.items())]


def first_moved(before: Timed, after: Timed, cut_s: int) -> Moved | None:
    """The first row known at ``cut_s`` whose bytes, or whose being there, differ."""
    a = int(np.searchsorted(before.known_s, cut_s, side="right"))
    b = int(np.searchsorted(after.known_s, cut_s, side="right"))
    n = min(a, b)
    same_rows = before.known_s[:n] == after.known_s[:n]
    same = same_rows & _same(before.values[:n], after.values[:n])
    if a == b and bool(same.all()):
        return None
    at = n if bool(same.all()) else int(np.argmin(same))
    return Moved(
        before.item,
        int((before if at < a else after).known_s[at]),
        _shown(before.values[at]) if at < a else "no row",
        _shown(after.values[at]) if at < b else "no row",
    )


def moved(before: Sequence[Timed], after: Sequence[Timed], cut_s: int) -> Iterable[Moved]:
    """The first moved row of every item; an item that one side lacks is compared with no rows.

    Raises ``ValueError`` for two items of one name: one would hide the other.
    """
    later = _by_item(after)
    for timed in _by_item(before).values():
        if later.get(timed.item, timed).refused:
            del later[timed.item]
            continue
        found = first_moved(timed, later.pop(timed.item, _nothing(timed)), cut_s)
        if found:
            yield found
    for timed in later.values():
        found = first_moved(_nothing(timed), timed, cut_s)
        if found:
            yield found


def differ(before: Sequence[Timed], after: Sequence[Timed]) -> bool:
    """Whether anything differs at all, whenever it is known."""
    later = _by_item(after)
    for timed in before:
        other = later.get(timed.item, _nothing(timed))
        if len(other.values) != len(timed.values) or not bool(
            ((timed.known_s == other.known_s) & _same(timed.values, other.values)).all()
        ):
            return True
    return len(later) != len(before)


def _by_item(evidence: Sequence[Timed]) -> dict[str, Timed]:
    named = {timed.item: timed for timed in evidence}
    if len(named) != len(evidence):
        raise ValueError("two items of evidence have one name")
    return named


def count_known(evidence: Sequence[Timed], cut_s: int) -> int:
    """Rows that are known at the cut, all items together."""
    return sum(int(np.searchsorted(t.known_s, cut_s, side="right")) for t in evidence)


def moment(seconds: int) -> str:
    """``2020-01-01T00:00:00Z``."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _nothing(timed: Timed) -> Timed:
    return Timed(timed.item, timed.known_s[:0], timed.values[:0])


def _same(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """[n] bool: rows with equal bytes."""
    n = len(a)
    if a.dtype == object or b.dtype == object:
        return np.asarray([x == y for x, y in zip(a, b, strict=True)], np.bool_).reshape(n)
    if a.shape[1:] != b.shape[1:] or a.dtype != b.dtype:
        return np.zeros(n, np.bool_)
    return np.asarray((_bytes(a, n) == _bytes(b, n)).all(axis=1))


def _bytes(a: npt.NDArray[Any], n: int) -> npt.NDArray[np.uint8]:
    """u8[n, bytes of a row]."""
    width = int(np.prod(a.shape[1:], dtype=np.int64)) * a.itemsize
    return np.ascontiguousarray(a).reshape(-1).view(np.uint8).reshape(n, width)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else canonical_json(value)


def _shown(value: Any) -> str:
    """A row for people: numbers in full, long ones cut."""
    text = value if isinstance(value, str) else np.array2string(np.asarray(value), threshold=6)
    return text if len(text) <= 80 else text[:79] + "…"
