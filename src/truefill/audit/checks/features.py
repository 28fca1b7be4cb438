"""Features: what is known at a bar's close keeps its bytes whatever follows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from truefill.audit.case import Case
from truefill.audit.cuts import every_cut, targeted_cuts
from truefill.audit.evidence import Timed, differ, refused
from truefill.audit.mutations import FINITE, MUTATIONS, closes_s
from truefill.audit.registry import Tally, audit, sweep
from truefill.core.errors import TruefillError
from truefill.core.plugins import run_again
from truefill.data.inputs import Inputs
from truefill.features.base import Context
from truefill.features.blame import user_file
from truefill.features.contract import FeatureSpec
from truefill.features.registry import CALCULATORS

AFTER = 60
"""Bars after a targeted cut that its slice of the real data holds."""
WHOLE_CUTS = 2
"""Split borders at which the whole history is computed again."""
FROM_THE_START = 0
"""A cut (unix seconds) before all bars."""


def calculators(case: Case) -> Callable[[Inputs], list[Timed]]:
    """Each feature of each symbol straight from its calculator, which nothing refuses, and the
    bars that calculators are given."""

    def values(spec: FeatureSpec, bars: Context) -> Timed:
        name = f"{spec.name} ({bars.symbol})"
        try:
            return Timed(name, bars.closes_s, case.chain.calculate(spec, bars))
        except (ValueError, ArithmeticError, TruefillError):  # of numbers that are none
            return refused(name)

    def given(bars: Context) -> list[Timed]:
        names = ("open", "high", "low", "close", "volume")
        columns = {name: getattr(bars, name) for name in names} | dict(bars.extra)
        return [Timed(f"given {n} ({bars.symbol})", bars.closes_s, c) for n, c in columns.items()]

    def produce(inputs: Inputs) -> list[Timed]:
        run_again(case.config.plugins)  # or a value that their code keeps would pass for honest
        with np.errstate(all="ignore"):
            found = case.contexts(inputs)
            features = [values(s, bars) for bars in found for s in case.specs]
        return [*features, *(timed for bars in found for timed in given(bars))]

    return produce


def raw(case: Case) -> Callable[[Inputs], list[Timed]]:
    """Each feature of each symbol as the dataset stage computes it, with the market's own."""

    def produce(inputs: Inputs) -> list[Timed]:
        run_again(case.config.plugins)
        found = case.raw(inputs)
        closes = closes_s(found.table, case.bar_interval_s)
        symbols = found.table["symbol"].to_numpy()
        out = []
        for symbol in np.unique(symbols):
            own = symbols == symbol
            columns = {s.name: found.values[own, i] for i, s in enumerate(case.specs)}
            for name in ("atr", "raw_log_return"):
                columns[f"market's {name}"] = found.table[name].to_numpy()[own]
            columns["market's warming"] = found.warming[own]
            out += [Timed(f"{name} ({symbol})", closes[own], c) for name, c in columns.items()]
        return out

    return produce


@audit(
    "features/canary",
    stage="features",
    proves="on a short series cut at every bar, no feature at or before the cut moves, whatever "
    "becomes of all that follows",
)
def canary(case: Case, tally: Tally) -> None:
    cuts = every_cut(case, case.canary, case.warmup_bars)
    sweep(case, tally, case.canary, calculators(case), cuts, MUTATIONS)
    tally.doubts += deaf(case, case.canary)


def deaf(case: Case, inputs: Inputs) -> list[str]:
    """Users' features that no other bars move, and that are not declared to be of the clock: where
    they have their values from, no cut can tell."""
    users = [
        spec
        for spec in case.specs
        if user_file(entry := CALCULATORS.get(spec.calculator)) and not entry.facts["clock"]
    ]
    if not users:
        return []
    produce = calculators(case)
    before = {timed.item: timed for timed in produce(inputs)}
    after = {timed.item: timed for timed in produce(case.changed(inputs, FROM_THE_START, "random"))}
    names = [f"{s.name} ({bars.symbol})" for s in users for bars in case.contexts(inputs)]
    return [
        f"{name} is the same whatever the bars are: it has its values from elsewhere (a file?); "
        "if it depends on the clock alone, say clock=True where it is registered"
        for name in names
        if not differ([before[name]], [after[name]])
    ]


@audit(
    "features/real data",
    stage="features",
    proves="the same around gaps, ends of days, publications and split borders of the real data",
)
def real(case: Case, tally: Tally) -> None:
    for cuts in targeted_cuts(case).values():
        for cut in cuts:
            inputs = case.window(cut, case.warmup_bars + 20, AFTER)
            sweep(case, tally, inputs, calculators(case), [cut], MUTATIONS)


@audit(
    "features/whole history",
    stage="features",
    proves="the same on the whole history, through the dataset stage's own code, at split borders",
)
def whole(case: Case, tally: Tally) -> None:
    borders = targeted_cuts(case).get("split borders", [])[: 1 if case.quick else WHOLE_CUTS]
    hows = FINITE[:1] if case.quick else ("random", "dropped", "extra")
    sweep(case, tally, case.inputs, raw(case), borders, hows)
