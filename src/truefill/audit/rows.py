"""The market's rows after a bar replaced: every array of a split, whatever it is called."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from truefill.data.split import PRICES, SplitArrays

ROW_MUTATIONS = ("random", "crash", "reversed", "masked", "nan", "inf")
"""random: everything differs; crash: prices a tenth; reversed: the later rows in reverse order;
masked: no bars; nan, inf: features are no numbers (prices that are none the market refuses)."""
NO_NUMBER = {"nan": np.nan, "inf": np.inf}
_WICK = 0.01


def taken(split: SplitArrays, start: int, stop: int) -> SplitArrays:
    """Rows ``start`` to ``stop`` of a split."""
    return _map(split, lambda name, a: a[start:stop])


def changed_after(split: SplitArrays, t: int, how: str) -> SplitArrays:
    """``split`` with all rows after ``t`` replaced, and what is told of it as a whole."""
    rng = np.random.default_rng([ROW_MUTATIONS.index(how), t])

    def change(name: str, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        late = _late(name, array[t + 1 :], how, rng, split.interval_s)
        return np.concatenate([array[: t + 1], late])

    out = _map(split, change)
    if how == "random":
        high, low = out.high.copy(), out.low.copy()
        top, bottom = np.fmax(out.open, out.close), np.fmin(out.open, out.close)
        high[t + 1 :] = top[t + 1 :] * (1.0 + _WICK * rng.random(top[t + 1 :].shape))
        low[t + 1 :] = bottom[t + 1 :] / (1.0 + _WICK * rng.random(top[t + 1 :].shape))
        out = replace(out, high=high, low=low)
    return replace(out, periods_per_year=2.0 * split.periods_per_year)


def rows_differ(one: SplitArrays, other: SplitArrays) -> bool:
    """Whether any array of two splits of one length differs."""
    pairs = [(getattr(one, f.name), getattr(other, f.name)) for f in fields(one)]
    pairs += [(array, other.extra[name]) for name, array in one.extra.items()]
    return any(a.tobytes() != b.tobytes() for a, b in pairs if isinstance(a, np.ndarray))


def _late(
    name: str, rows: npt.NDArray[Any], how: str, rng: np.random.Generator, interval_s: float
) -> npt.NDArray[Any]:
    if name == "timestamps_s":  # later bars may lie further off, never closer
        far = round(interval_s) * (7 if how == "random" else 1) * np.arange(1, len(rows) + 1)
        return rows + far if how in ("random", "crash") else rows
    if rows.dtype == np.bool_:
        if how == "masked":
            return np.zeros_like(rows) if name == "present" else rows
        flips = rng.random(rows.shape) < (0.3 if how == "random" else 0.0)
        return np.where(flips, ~rows, rows)
    if how in NO_NUMBER:
        return np.full_like(rows, NO_NUMBER[how]) if name == "features" else rows
    if how == "reversed":
        return rows[::-1].copy()
    if how == "crash" and name in PRICES:
        return rows * 0.1
    if how == "random":
        noise = rng.standard_normal(rows.shape)
        if name == "features":
            return (rows + noise).astype(rows.dtype)
        return (rows * np.exp(0.1 * noise)).astype(rows.dtype)
    return rows


def _map(split: SplitArrays, change: Any) -> SplitArrays:
    """``change(name, array)`` for every array with a row a bar."""
    count = len(split)
    new: dict[str, Any] = {}
    for field in fields(split):
        value = getattr(split, field.name)
        if isinstance(value, np.ndarray) and len(value) == count:
            new[field.name] = change(field.name, value)
    new["extra"] = {name: change(name, array) for name, array in split.extra.items()}
    return replace(split, **new)
