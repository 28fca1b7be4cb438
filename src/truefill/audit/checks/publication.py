"""Slow series and calendars: a value moves nothing before the moment it was published."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from truefill.audit.case import Case
from truefill.audit.checks.features import calculators
from truefill.audit.cuts import some
from truefill.audit.evidence import Moved, differ, moment
from truefill.audit.registry import Tally, audit
from truefill.data.join import Series
from truefill.data.releases import FIGURES

VALUES = 6
"""Published values of each series (figures of each calendar) that are changed, one at a time."""
AFTER = 40
"""Bars after a publication among which its effect is looked for."""
Change = tuple[int, dict[str, Any]]
"""When what is changed comes out (unix seconds), and the fields of the inputs that differ."""


@audit(
    "features/publication",
    stage="features",
    proves="one published value, or one figure of an economic calendar, changed alone, moves no "
    "feature at a close before it is out; and no series is published sooner than the config says",
)
def publication(case: Case, tally: Tally) -> None:
    if not case.inputs.series and not case.inputs.releases:
        tally.absent = "there are no slow series and no economic calendars"
        return
    tries: list[tuple[str, list[Change]]] = []
    for name, series in case.inputs.series.items():
        _sooner_than_promised(case, tally, series)
        at = _in_reach(case, series.available_at_s)
        tries.append((name, [_other_value(case, name, i) for i in at]))
    for number, calendar in enumerate(case.inputs.releases):
        out = calendar.time_s + round(calendar.actual_lag_s)
        tries.append(
            (calendar.file, [_other_figure(case, number, i) for i in _in_reach(case, out)])
        )
    tally.plan(sum(len(changes) for _, changes in tries))
    for name, changes in tries:
        used = [_moves(case, tally, name, *change) for change in changes]
        if not used:
            tally.notes.append(f"{name}: nothing of it comes out among the bars")
        elif not any(used):
            tally.notes.append(f"{name}: no feature moved with its values")


def _other_value(case: Case, name: str, index: int) -> Change:
    """One value of a series changed."""
    series = case.inputs.series[name]
    values = series.values.copy()
    values[index] = values[index] * 1.5 + 1.0
    other = {**case.inputs.series, name: replace(series, values=values)}
    return int(series.available_at_s[index]), {"series": other}


def _other_figure(case: Case, number: int, index: int) -> Change:
    """The figures of one event changed."""
    calendars = list(case.inputs.releases)
    calendar = calendars[number]
    figures = {}
    for name in FIGURES:
        figures[name] = getattr(calendar, name).copy()
        figures[name][index] = np.nan_to_num(figures[name][index]) * 1.5 + 1.0
    calendars[number] = replace(calendar, **figures)
    at = int(calendar.time_s[index] + round(calendar.actual_lag_s))
    return at, {"releases": tuple(calendars)}


def _moves(case: Case, tally: Tally, name: str, at: int, other: dict[str, Any]) -> bool:
    """Make the change; whether anything moved after its publication."""
    inputs = case.window(at, case.warmup_bars + 20, AFTER)
    produce = calculators(case)
    before, after = produce(inputs), produce(replace(inputs, **other))
    tally.compare(at - 1, f"one value of {name}", before, after, reacted=True)
    return differ(before, after)


def _in_reach(case: Case, published_s: npt.NDArray[np.int64]) -> list[int]:
    """Indices of values that are published while there are bars with every feature."""
    last = int(case.session_starts[-1 - min(AFTER, len(case.session_starts) - 1)])
    out = (published_s > case.complete_s) & (published_s < last)
    return some(np.flatnonzero(out), 2 if case.quick else VALUES)


def _sooner_than_promised(case: Case, tally: Tally, series: Series) -> None:
    """No value may be available before its value date and the lag that the config gives it."""
    soonest = series.value_date_s + round(_lag_s(case, series.name))
    early = np.flatnonzero(series.available_at_s < soonest)
    tally.compare(int(soonest.max()), "as the config says", [], [], reacted=True)
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
