"""When bars are: missing, outside the session, an hour off, on another clock."""

from __future__ import annotations

import numpy as np

from truefill.data.defects.symbol import Bools, Hit, Ints, SymbolBars
from truefill.data.sessions import session_time

DAY_S, WEEK_S = 86_400, 604_800
MONDAY_S = 345_600  # 1970-01-05
WEEKS, DAYS = 4, 7
"""Fewest weeks that show at which hours of the week a market is open; days, hours of the day."""
OPEN_SHARE = 0.9
"""Share of weeks with a bar from which an hour of the week counts as open."""
CLOSED_S = 10 * 3_600
"""A hole as long as this, in a market that closes, is a holiday rather than an outage."""
LONGEST_REST_S = 12 * DAY_S
"""No exchange rests longer: ten days of a golden week and the weekends beside it."""
BREAK_S = 3 * 3_600
"""A rest from which on bars after it are another block of trading."""
FEW_BLOCKS, SHIFTED_BLOCKS = 10, 2
DST_DAYS = 5


def gaps(bars: SymbolBars) -> Hit | None:
    """Rule ``gaps``: holes inside a session, or, without one, at hours of the week at which nearly
    every week has bars. Of markets that close, long holes are holidays."""
    step = np.diff(bars.start_s)
    holes = np.flatnonzero(step > 1.5 * bars.interval_s)
    missing = np.round(step[holes] / bars.interval_s).astype(np.int64) - 1
    if not len(holes):
        return None
    if bars.declared:
        missing = _missing_inside(bars, holes, missing)
    else:
        missing = _missing_usual(bars, holes, missing)
    open_ = missing > 0
    if not open_.any():
        return None
    holes, missing = holes[open_], missing[open_]
    longest = int(np.argmax(missing))
    count = (
        f"{len(holes):,} gap{'s' if len(holes) > 1 else ''}, {int(missing.sum()):,} bars missing"
    )
    what = f"{count}; the longest, {missing[longest]:,} bars, after {bars.at(int(holes[longest]))}"
    return Hit(what, int(holes[0]) + 1, "timestamp", len(holes) - 1)


def _missing_inside(bars: SymbolBars, holes: Ints, missing: Ints) -> Ints:
    """Bars missing of the session that both sides of a hole belong to; else 0."""
    same = (bars.day[holes] == bars.day[holes + 1]) & bars.inside[holes] & bars.inside[holes + 1]
    out = np.zeros_like(missing)
    many = missing[same]
    if not len(many):
        return out
    of_hole = np.repeat(np.arange(len(many)), many)
    place = np.arange(len(of_hole)) - np.repeat(np.cumsum(many) - many, many) + 1
    starts = bars.start_s[holes[same]][of_hole] + np.round(place * bars.interval_s).astype(np.int64)
    inside = session_time(bars.session, starts).inside
    out[same] = np.bincount(of_hole[inside], minlength=len(many))
    return out


def _missing_usual(bars: SymbolBars, holes: Ints, missing: Ints) -> Ints:
    """Bars missing in holes that lie wholly at hours of the week that usually have bars."""
    slot_s = max(int(bars.interval_s), 1)
    long = np.where(missing * bars.interval_s > LONGEST_REST_S, missing, 0)
    count, period_s = _periods(bars)
    slots = period_s // slot_s
    if not slots or not count:
        return long
    slot = (bars.start_s - MONDAY_S) // slot_s % slots
    usual = np.bincount(slot, minlength=slots) >= OPEN_SHARE * count
    always = bool(usual.all())
    before = np.concatenate([[0], np.cumsum(np.tile(usual, 2))])
    first, rest = slot[holes] + 1, missing % slots
    found = missing // slots * int(usual.sum()) + before[first + rest] - before[first]
    whole = found == missing
    if not always:
        whole &= (missing * bars.interval_s < CLOSED_S) & (bars.interval_s < DAY_S)
    return np.where(whole, missing, long)


def _periods(bars: SymbolBars) -> tuple[int, int]:
    """Of how many weeks, or days with bars in a file of fewer weeks, and their seconds; 0: of too
    few to tell when the market is open."""
    weeks = int(bars.start_s[-1] - bars.start_s[0]) // WEEK_S
    if weeks >= WEEKS:
        return weeks, WEEK_S
    days = len(np.unique(bars.start_s // DAY_S))
    return (days - 2 if days >= DAYS else 0), DAY_S  # the first and the last may be parts


def outside_session(bars: SymbolBars) -> Hit | None:
    """Rule ``outside_session``: bars that the session leaves out."""
    outside = np.flatnonzero(~bars.inside)
    if not bars.declared or not len(outside):
        return None
    what = f"{len(outside):,} of {len(bars):,} bars ({len(outside) / len(bars):.1%}) are dropped"
    return Hit(what, int(outside[0]), "timestamp", len(outside) - 1)


def dst_shift(bars: SymbolBars) -> Hit | None:
    """Rule ``dst_shift``: by the clock of the session's timezone, whole sessions begin and end one
    hour before or after the usual, for a week or longer. An exchange's calendar has hours of its
    own for each session and is not looked at."""
    if not bars.declared or bars.interval_s >= DAY_S or bars.session.calendar is not None:
        return None
    second = np.round(bars.when.fraction * bars.session.length_s).astype(np.int64)
    first = bars.session_first
    last = np.append(first[1:], len(bars)) - 1
    shifted = _shifted(second[first], second[last], 3_600, 3_600)
    runs = shifted & _in_runs(shifted, DST_DAYS)
    days = int(runs.sum())
    if not days:
        return None
    at = first[int(np.argmax(runs))]
    rows = int((last - first + 1)[runs].sum())
    what = f"{days:,} sessions lie one hour off the others in {bars.session.timezone}"
    return Hit(what, int(at), "timestamp", rows - 1)


def two_clocks(bars: SymbolBars) -> Hit | None:
    """Rule ``two_clocks``: blocks of trading that begin and end the same hours off the usual."""
    if bars.interval_s >= DAY_S:
        return None
    first = np.flatnonzero(np.concatenate([[True], np.diff(bars.start_s) >= BREAK_S]))
    if len(first) < FEW_BLOCKS:
        return None
    last = np.append(first[1:], len(bars)) - 1
    begins, ends = bars.start_s[first] % DAY_S, bars.start_s[last] % DAY_S
    shifted = _shifted(begins, ends, 2 * 3_600, DAY_S // 2)
    if int(shifted.sum()) < SHIFTED_BLOCKS:
        return None
    rows = int((last - first + 1)[shifted].sum())
    at = int(np.argmax(shifted))
    hours = _turn(begins[at] - _mode(begins)) / 3_600
    blocks = f"{int(shifted.sum()):,} of {len(first):,} sessions"
    what = f"{blocks} begin and end {hours:+g} h off the usual"
    return Hit(what, int(first[at]), "timestamp", rows - 1)


def _shifted(begins: Ints, ends: Ints, least_s: int, most_s: int) -> Bools:
    """Blocks whose begin and end lie equally far off the most usual ones."""
    by_begin, by_end = _turn(begins - _mode(begins)), _turn(ends - _mode(ends))
    size = np.abs(by_begin)
    return (by_begin == by_end) & (size >= least_s) & (size <= most_s) & (by_begin % 1_800 == 0)


def _mode(values: Ints) -> int:
    found, counts = np.unique(values, return_counts=True)
    return int(found[np.argmax(counts)])


def _turn(seconds: Ints) -> Ints:
    """Differences of times of day, in [-12 h, 12 h)."""
    return (seconds + DAY_S // 2) % DAY_S - DAY_S // 2


def _in_runs(mask: Bools, least: int) -> Bools:
    """Members of runs of at least ``least``."""
    first = np.flatnonzero(np.concatenate([[True], mask[1:] != mask[:-1]]))
    length = np.diff(np.append(first, len(mask)))
    return np.repeat(length >= least, length)
