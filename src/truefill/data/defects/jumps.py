"""Prices that jump: spikes, ticks far out, breaks of scale, splits that nothing explains."""

from __future__ import annotations

from collections.abc import Mapping
from math import log

import numpy as np

from truefill.data.defects.symbol import Bools, Floats, Hit, SymbolBars

SPIKE = {0.0: 70.0, 300.0: 35.0, 86_400.0: 15.0}
OUTLIER = {0.0: 40.0, 300.0: 30.0, 86_400.0: 12.0}
"""Times the usual move around it, by the seconds from which an interval counts: the shorter, the
heavier the tails. In the real files of the tests a close leaves and comes back by at most 65 times
(1 minute, a late print after hours), 22 (5 minutes, 1 hour) and 8 (daily); highs and lows reach 22
and 10, and more than 90 on old exchange prints."""
LEAST, LARGE, LARGE_SPIKE = 0.005, log(1.5), 10.0
"""Log moves: smaller ones are never told of; from ``LARGE`` on 10 times the usual is enough."""
RATIOS = (1.5, 2, 3, 4, 5, 6, 7, 8, 10, 15, 20, 25, 30, 40, 50)
SMALLEST_WITHOUT_VOLUME = 2.0
BESIDE = 20
"""Bars before and after a jump whose median price (and turnover of daily bars) are compared."""
DAYS_BEFORE = 5
USUAL_TURNOVER = 3.0
"""News that move a price by a third multiply what is traded; a split leaves it as it was."""
SCALE_SLACK = 0.3
DAY_S = 86_400.0


def price_spike(bars: SymbolBars) -> Hit | None:
    """Rule ``price_spike``: a close far off both its neighbours, which agree with each other."""
    if not bars.positive or len(bars) < 3:
        return None
    size = _there_and_back(bars)
    return _told(bars, size, _far(bars, size, SPIKE), "close", "leaves and comes back")


def _there_and_back(bars: SymbolBars) -> Floats:
    """[n]: log move by which a close leaves its neighbours, which lie near each other; else 0."""
    into, out = bars.move[1:-1], bars.move[2:]
    size = np.where(into * out < 0.0, np.minimum(np.abs(into), np.abs(out)), 0.0)
    size[np.abs(into + out) > 0.5 * size] = 0.0
    return np.concatenate([[0.0], size, [0.0]])


def outlier_tick(bars: SymbolBars) -> Hit | None:
    """Rule ``outlier_tick``: a high or low far beyond open and close, or a close that leaves and
    comes back, though not so far that it is a spike."""
    if not bars.positive or len(bars) < 3:
        return None
    up = np.log(bars.high / np.maximum(bars.open, bars.close))
    down = np.log(np.minimum(bars.open, bars.close) / bars.low)
    wick, close = np.maximum(up, down), _there_and_back(bars)
    column = "high" if up.max() >= down.max() else "low"
    if not _far(bars, wick, OUTLIER).any():
        column = "close"
    size = np.maximum(wick, close)
    far = _far(bars, size, OUTLIER) & ~_far(bars, close, SPIKE)
    return _told(bars, size, far, column, "reaches away")


def _far(bars: SymbolBars, size: Floats, limits: Mapping[float, float]) -> Bools:
    least = limits[max(start for start in limits if start <= bars.interval_s)]
    times = size / bars.usual_move
    found: Bools = (size >= LEAST) & ((times > least) | ((size >= LARGE) & (times > LARGE_SPIKE)))
    return found


def _told(bars: SymbolBars, size: Floats, broken: Bools, column: str, words: str) -> Hit | None:
    times = size / bars.usual_move
    if not broken.any():
        return None
    at = int(np.argmax(broken))
    worst = int(np.argmax(np.where(broken, times, 0.0)))
    what = f"{bars.at(at)} {words} by {np.expm1(size[at]):.1%}, {times[at]:.0f} times a usual move"
    if worst != at:
        what += f" (the worst, {bars.at(worst)}: {np.expm1(size[worst]):.1%})"
    return Hit(what, at, column, int(broken.sum()) - 1)


def scale_break(bars: SymbolBars) -> Hit | None:
    """Rule ``scale_break``: from one close to the next open the price is 100, 1,000, ... times what
    it was, and stays there for more than one bar."""
    if not bars.positive or len(bars) < 3:
        return None
    jump = np.log(bars.open[1:] / bars.close[:-1])
    power = np.round(jump / log(10.0))
    broken = (np.abs(power) >= 2.0) & (np.abs(jump - power * log(10.0)) < SCALE_SLACK)
    stays = np.abs(np.log(bars.close[2:] / bars.close[:-2]) - jump[:-1]) < SCALE_SLACK
    broken[:-1] &= stays
    if not broken.any():
        return None
    at = int(np.argmax(broken)) + 1
    back = np.flatnonzero(broken)
    end = int(back[1]) + 1 if len(back) > 1 else len(bars)
    factor = 10.0 ** float(power[at - 1])
    return Hit(f"from {bars.at(at)} on prices are times {factor:g}", at, "close", end - at - 1)


def unadjusted_split(bars: SymbolBars) -> Hit | None:
    """Rule ``unadjusted_split``: an open at the close before divided by the ratio of a split (or a
    reverse split), which lasts, at usual turnover, and which no split event explains."""
    if not bars.positive or len(bars) < 2 * BESIDE:
        return None
    jump = np.log(bars.open[1:] / bars.close[:-1])
    slack = _slack(bars, jump)
    found = []
    for at in (np.flatnonzero(np.abs(jump) > log(RATIOS[0]) - slack) + 1).tolist():
        ratio = _ratio(bars, at, slack)
        if ratio and not _declared(bars, at):
            found.append((at, ratio))
    if not found:
        return None
    at, ratio = found[0]
    kind = "split" if jump[at - 1] < 0.0 else "reverse split"
    words = f"{bars.at(at)} opens at {np.exp(jump[at - 1]):.4g} times the close before"
    return Hit(f"{words}, as after a {kind} of {ratio:g}", at, "open", len(found) - 1)


def is_split(bars: SymbolBars, at: int) -> bool:
    """A split explains the open of bar ``at``, declared or not."""
    slack = _slack(bars, np.log(bars.open[1:] / bars.close[:-1]))
    return _declared(bars, at) or _ratio(bars, at, slack) > 0.0


def _slack(bars: SymbolBars, jump: Floats) -> float:
    """How far off its ratio a split may open: six usual jumps from one session to the next."""
    between = jump[bars.session_first[1:] - 1]
    usual = float(np.median(np.abs(between))) if len(between) else 0.0
    return min(max(6.0 * usual, 0.01), 0.06)


def _declared(bars: SymbolBars, at: int) -> bool:
    """A split event lies between bar ``at`` and the one before it."""
    return bool(
        ((bars.splits_s > bars.start_s[at - 1]) & (bars.splits_s <= bars.start_s[at])).any()
    )


def _ratio(bars: SymbolBars, at: int, slack: float) -> float:
    """The ratio of a split by which bar ``at`` opens off the close before, for good, at usual
    turnover; 0: none."""
    jump = abs(log(bars.open[at] / bars.close[at - 1]))
    ratio = min(RATIOS, key=lambda r: abs(jump - log(r)))
    before, after = slice(max(at - BESIDE, 0), at), slice(at, at + BESIDE)
    moved = abs(log(float(np.median(bars.close[after]) / np.median(bars.close[before]))))
    if abs(jump - log(ratio)) > slack or abs(moved - log(ratio)) > 0.35 * log(ratio):
        return 0.0
    # Volumes adjusted beside prices that are not: shares, not turnover, stay as they were.
    risen = [_risen(bars, traded, at) for traded in (bars.volume * bars.close, bars.volume)]
    known = [times for times in risen if times is not None]
    usual = min(known) < USUAL_TURNOVER if known else ratio >= SMALLEST_WITHOUT_VOLUME
    return float(ratio) if usual else 0.0


def _risen(bars: SymbolBars, traded: Floats, at: int) -> float | None:
    """How many times the usual is traded from bar ``at`` on; nothing where no volume is known.

    Daily bars: the median of 3 against that of 20 before. Shorter ones: a day against the busiest
    stretch as long of the five days before, as hours of a day differ.
    """
    if bars.interval_s >= DAY_S:
        usual = float(np.median(traded[max(at - BESIDE, 0) : at]))
        return float(np.median(traded[at : at + 3])) / usual if usual > 0.0 else None
    day, moment = round(DAY_S), bars.start_s[at]
    end = int(np.searchsorted(bars.start_s, moment + day))
    first = int(np.searchsorted(bars.start_s, moment - DAYS_BEFORE * day))
    total = np.concatenate([[0.0], np.cumsum(traded[first:at])])
    length = min(end - at, at - first)
    busiest = float((total[length:] - total[:-length]).max())
    return float(traded[at : at + length].sum()) / busiest if busiest > 0.0 else None
