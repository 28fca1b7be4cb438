"""Slow series: a value moves nothing before the moment it was published, and something after it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from truefill.audit.case import Case
from truefill.audit.checks.features import calculators
from truefill.audit.cuts import some
from truefill.audit.evidence import Moved, Timed, moment
from truefill.audit.registry import Tally, audit
from truefill.data.join import Series

VALUES = 6
"""Published values of each series that are changed, one at a time."""
AFTER = 40
"""Bars after a publication among which its effect is looked for."""


@audit(
    "features/publication",
    stage="features",
    proves="one published value, changed alone, moves no feature at a close before its "
    "available_at; and no series is published sooner than the config says",
)
def publication(case: Case, tally: Tally) -> None:
    if not case.inputs.series:
        tally.notes.append("there are no slow series")
        return
    for name, series in case.inputs.series.items():
        _sooner_than_promised(case, tally, series)
        used = [_one_value(case, tally, name, i) for i in _in_reach(case, series)]
        if not any(used):
            tally.notes.append(f"{name}: changing values moved no feature; it seems never used")


def _in_reach(case: Case, series: Series) -> list[int]:
    """Indices of values that are published while there are bars with every feature."""
    last = int(case.session_starts[-1 - min(AFTER, len(case.session_starts) - 1)])
    out = (series.available_at_s > case.complete_s) & (series.available_at_s < last)
    return some(np.flatnonzero(out), 2 if case.quick else VALUES)


def _one_value(case: Case, tally: Tally, name: str, index: int) -> bool:
    """Change one value; whether anything moved after its publication."""
    series = case.inputs.series[name]
    at = int(series.available_at_s[index])
    inputs = case.window(at, case.warmup_bars + 20, AFTER)
    values = series.values.copy()
    values[index] = values[index] * 1.5 + 1.0
    other = replace(series, values=values)
    changed = replace(inputs, series={**inputs.series, name: other})
    produce = calculators(case)
    before, after = produce(inputs), produce(changed)
    tally.compare(at - 1, f"one value of {name}", before, after)
    return any(_moved(a, b) for a, b in zip(before, after, strict=True))


def _moved(a: Timed, b: Timed) -> bool:
    return a.values.tobytes() != b.values.tobytes()


def _sooner_than_promised(case: Case, tally: Tally, series: Series) -> None:
    """No value may be available before its value date and the lag that the config gives it."""
    soonest = series.value_date_s + round(_lag_s(case, series.name))
    early = np.flatnonzero(series.available_at_s < soonest)
    tally.compare(int(soonest.max()), "as the config says", [], [])
    tally.values += len(soonest)
    if len(early):
        at = int(early[0])
        found = Moved(
            f"{series.name} available_at", int(series.available_at_s[at]),
            f"not before {moment(int(soonest[at]))}", moment(int(series.available_at_s[at])),
        )  # fmt: skip
        tally.add(int(soonest[at]), "as the config says", found)


def _lag_s(case: Case, name: str) -> float:
    """The configured publication lag; 0 where a release time or a column says it instead."""
    for source in case.config.data.series:
        if name in source.columns.values():
            return source.publication_lag_by_column.get(name, source.publication_lag) or 0.0
    return 0.0
