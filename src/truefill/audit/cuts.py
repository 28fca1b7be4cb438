"""Where to cut: every bar of a short series, and the moments of the real data that are risky."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import polars as pl

from truefill.audit.case import Case, ends_s
from truefill.audit.mutations import AVAILABLE, closes_s
from truefill.data.inputs import Inputs

EACH = 6
"""Targeted cuts of each kind, spread over the data."""
EACH_QUICK = 2
MOST_CUTS = 300
"""More than a canary has bars, unless these are resampled."""
WARMUP_CUTS = 40
"""Cuts inside the warm-up of a canary, where there are more bars than this."""
GAP_BARS = 1.5

Ints = npt.NDArray[np.int64]


def every_cut(
    case: Case, inputs: Inputs, warmup_bars: int, *, few: bool | None = None
) -> list[int]:
    """The close of every bar after the warm-up (of the many that resampled ones are made of,
    ``MOST_CUTS``), and of up to ``WARMUP_CUTS`` bars in it; ``few``: a dozen of them, as in a quick
    audit unless told otherwise."""
    closes = np.unique(closes_s(inputs.bars.table, case.interval_s))
    warming, rest = closes[:warmup_bars], closes[warmup_bars:-1]
    if case.quick if few is None else few:
        return some(closes[:-1], 12)
    return [*some(warming, WARMUP_CUTS), *some(rest, MOST_CUTS)]


def targeted_cuts(case: Case) -> dict[str, list[int]]:
    """Risky moments of the whole data, by kind."""
    count = EACH_QUICK if case.quick else EACH
    table = case.inputs.bars.table
    inside = case.session_starts + round(case.bar_interval_s)
    ends = np.flatnonzero(np.diff(inside) > GAP_BARS * case.bar_interval_s)
    closes = np.unique(closes_s(table, case.interval_s))
    gaps = np.flatnonzero(np.diff(closes) > GAP_BARS * case.interval_s)
    days = np.flatnonzero(np.diff(closes // 86_400) != 0)
    kinds = {
        "before a gap": closes[gaps],
        "after a gap": closes[gaps + 1],
        "last bar of a session": inside[ends],
        "first bar of a session": inside[ends + 1],
        "rows without a number": _without_number(table, case.interval_s),
        "end of a UTC day": closes[days],
        "inside a UTC day": closes[np.minimum(days + 2, len(closes) - 1)],
        "publications": _publications(case.inputs, closes),
        "split borders": np.asarray(
            [end for end in ends_s(case, case.config, case.inputs).values() if end < closes[-1]],
            np.int64,
        ),
    }
    return {kind: some(cuts, count) for kind, cuts in kinds.items() if len(cuts)}


def dataset_cuts(case: Case) -> list[int]:
    """Of the small dataset: inside each split, and one bar before, at and after its end."""
    closes = np.unique(_closes(case, case.small.inputs))
    ends = case.small_ends
    wanted = {cut for end in (ends["train"], ends["validation"]) for cut in near(closes, end)}
    inner = 1 if case.quick else 4
    begins = [int(closes[min(case.warmup_bars, len(closes) - 1)]), *ends.values()]
    for begin, end in pairwise(begins):
        inside = closes[(closes > begin) & (closes < end)]
        wanted.update(some(inside, inner + 2)[1:-1])
    return sorted(wanted)


def near(closes: Ints, moment: int) -> list[int]:
    """The closes right before, at and after ``moment``."""
    at = int(np.searchsorted(closes, moment))
    return [int(c) for c in closes[max(at - 1, 0) : at + 2]]


def _closes(case: Case, inputs: Inputs) -> Ints:
    return closes_s(case.bars(case.config, inputs), case.bar_interval_s)


def _publications(inputs: Inputs, closes: Ints) -> Ints:
    """The last bar close before each publication of a slow series, and the first one after it."""
    found = [getattr(series, AVAILABLE) for series in inputs.series.values()]
    found += [calendar.time_s + round(calendar.actual_lag_s) for calendar in inputs.releases]
    if not found:
        return np.zeros(0, np.int64)
    moments = np.unique(np.concatenate(found))
    at = np.searchsorted(closes, moments)
    at = at[(at > 0) & (at < len(closes) - 1)]
    return np.unique(np.concatenate([closes[at - 1], closes[at]]))


def _without_number(table: pl.DataFrame, interval_s: float) -> Ints:
    """The closes of bars that lack a number: null, NaN or infinite in any column."""
    numbers = [pl.col(name) for name, kind in table.schema.items() if kind.is_float()]
    if not numbers:
        return np.zeros(0, np.int64)
    whole = pl.all_horizontal(column.is_finite().fill_null(value=False) for column in numbers)
    return np.unique(closes_s(table.filter(~whole), interval_s))


def some(moments: Iterable[int], count: int) -> list[int]:
    """At most ``count`` of them, evenly spread, in order."""
    every = [int(m) for m in moments]
    if len(every) <= count:
        return every
    picked = np.unique(np.linspace(0, len(every) - 1, count).round().astype(np.int64))
    return [every[i] for i in picked]
