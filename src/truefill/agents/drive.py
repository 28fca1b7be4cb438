"""Which reward term drove a training: what each term paid a bar at its beginning and at its end."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

PART = 0.1
"""Of the updates that are the first and the last part of a training, at least one each."""


def drive(
    updates: Sequence[Mapping[str, float | None]], terms: Sequence[str], *, escaped: bool
) -> dict[str, Any] | None:
    """The term that gained most, and every term's mean a bar in the first and last part.

    Args:
        updates: rows of the training log with ``reward_<term>``
            (weighted, scaled, per bar).
        terms: of the reward.
        escaped: the policy came to trade nothing: then only a term that cost something at first,
            and never became a gain, can have driven it, and is the one whose cost it escaped.

    Returns None where there is nothing to compare: fewer than two updates.
    """
    if len(updates) < 2:
        return None
    part = max(1, int(PART * len(updates)))
    found = {name: _ends(updates, name, part) for name in terms}
    open_to = {n: e for n, e in found.items() if not escaped or e["first"] < 0.0 >= e["last"]}
    term = max(open_to, key=lambda n: open_to[n]["gain"], default=None)
    if term is not None and open_to[term]["gain"] <= 0.0:
        term = None
    return {
        "term": term,
        "updates": part,
        "terms": found,
        "text": _text(term, found, escaped),
    }


def _ends(updates: Sequence[Mapping[str, float | None]], name: str, part: int) -> dict[str, float]:
    values = [row[f"reward_{name}"] or 0.0 for row in updates]
    first, last = math.fsum(values[:part]) / part, math.fsum(values[-part:]) / part
    return {"first": first, "last": last, "gain": last - first}


def _text(term: str | None, found: Mapping[str, Mapping[str, float]], escaped: bool) -> str:
    if term is None:
        return "no reward term gained in training"
    ends = found[term]
    verb = "it escaped" if escaped else "driven by"
    return f"{verb} {term} ({ends['first']:+.3g} a bar at first, {ends['last']:+.3g} at last)"
