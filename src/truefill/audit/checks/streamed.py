"""Features: bar by bar, with nothing of the future at hand, they come out in the same bits.

A cut finds what looks ahead where it cuts. Here every bar of the real history can be the last one
there is: the history comes in random portions, and a calculator has seen no further than each. So
is found what looks ahead on few bars only, and what depends on how much is computed at once.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from truefill.audit.case import Case
from truefill.audit.evidence import Timed, first_moved, refused
from truefill.audit.registry import Tally, audit
from truefill.core.errors import TruefillError
from truefill.core.plugins import run_again
from truefill.features.base import Context
from truefill.features.blame import blamed
from truefill.features.contract import FeatureSpec
from truefill.features.portions import running
from truefill.features.registry import CALCULATORS

BORDERS, QUICK_BORDERS = 2_000, 200
"""Portions of each symbol's history."""
LONG = 1 << 16
"""Of a calculator that looks back further, each portion costs as much as a history."""
LONG_BORDERS = 20
WITHHELD = "withheld"


@audit(
    "features/streamed",
    stage="features",
    proves="each feature of the real history comes out in the same bits when bars come in random "
    "portions, and what follows a portion is not there yet",
)
def streamed(case: Case, tally: Tally) -> None:
    contexts = case.contexts(case.inputs)
    tally.plan(len(contexts) * len(case.specs))
    for bars in contexts:
        for spec in case.specs:
            whole = _timed(spec, bars, case.chain.calculate(spec, bars))
            run_again(case.config.plugins)  # or what their code remembers would come again
            at = int(whole.known_s[-1])
            try:
                parts = _timed(spec, bars, in_portions(spec, bars, quick=case.quick))
                moved = first_moved(whole, parts, at)
            except (ValueError, ArithmeticError, TruefillError):  # of too few bars
                parts, moved = refused(whole.item), None
            at = at if moved is None else moved.known_s
            tally.compare(at, WITHHELD, [whole], [parts], reacted=True)


def in_portions(
    spec: FeatureSpec, bars: Context, *, quick: bool = False
) -> npt.NDArray[np.float64]:
    """f64[T]: the feature from a calculator that carries its state from portion to portion."""
    entry = CALCULATORS.get(spec.calculator)
    params = entry.params(**spec.params)
    most = QUICK_BORDERS if quick else BORDERS
    if entry.facts["lookback"](params) > LONG:
        most = LONG_BORDERS
    count = len(bars)
    borders = np.random.default_rng(count).choice(count, min(most, count), replace=False)
    edges = sorted({0, count, *borders.tolist()})
    carried = running(entry, params)
    out = np.empty(count)
    with np.errstate(all="ignore"), blamed(entry, spec.name):
        for start, end in pairwise(edges):
            out[start:end] = carried.push(bars.rows(start, end))
    return out


def _timed(spec: FeatureSpec, bars: Context, values: npt.NDArray[np.float64]) -> Timed:
    return Timed(f"{spec.name} ({bars.symbol})", bars.closes_s, values)
