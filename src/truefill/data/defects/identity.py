"""A symbol that becomes another: trading on a new scale, at a new price, from one day on."""

from __future__ import annotations

from math import log

import numpy as np

from truefill.data.defects.jumps import is_split
from truefill.data.defects.symbol import Bools, Floats, Hit, Ints, SymbolBars

DAYS = 40
"""Sessions before and after whose volumes are compared."""
APART, FAR_APART = 1.55, 2.0
"""Nine in ten volumes on one side exceed this many times nine in ten on the other; from the second
on at any price."""
LEVEL = log(1.5)
ABRUPT = 2.5
"""The first day's volume over the largest of the 20 before it, or a jump of the price by a third.

The four limits are set by real files: a blank-cheque company that became an operating one on the
day it merged is told of; companies that changed their business over weeks, and a year of crypto's
growth, are not."""
JUMP = log(4.0 / 3.0)
LOOK_BACK = 20
LATER = slice(5, 45)
NEWS = 2.0
"""News that move a price by half bring trade that ebbs away within days; another company trades as
it always does."""


def identity_change(bars: SymbolBars) -> Hit | None:
    """Rule ``identity_change``: from one session on, volumes lie apart from those before, at a
    price at least half as high again (or a third lower) or far apart, and it happened at once; or
    the price opens so far off, and stays, without the trade that news bring."""
    first = bars.session_first
    if len(first) < 2 * DAYS or not bars.positive:
        return None
    volume = np.add.reduceat(bars.volume, first)
    close = bars.close[np.append(first[1:], len(bars)) - 1]
    if not (volume > 0.0).all():
        return None
    day = np.arange(DAYS, len(first) - DAYS + 1)
    apart = _apart(volume)
    level = np.abs(np.log(_rolling(close, 0.5)[day] / _rolling(close, 0.5)[day - DAYS]))
    opens = bars.open[first]
    broken = (apart > FAR_APART) | ((apart > APART) & (level > LEVEL))
    broken &= _abrupt(volume, opens, close, day)
    traded = _rolling(volume * close, 0.5)
    # A split changes volume and price at once, and leaves what is traded in money as it was.
    broken &= np.abs(np.log(traded[day] / traded[day - DAYS])) > LEVEL
    if broken.any():
        at = int(day[int(np.argmax(np.where(broken, apart, 0.0)))])
    else:
        at = _other_price(bars, opens, close, volume * close)
    if not at:
        return None
    was, now = float(np.median(volume[at - DAYS : at])), float(np.median(volume[at : at + DAYS]))
    what = (
        f"from {bars.at(int(first[at]))[:10]} on the symbol trades {now / was:.2g} times the "
        f"volume of the {DAYS} sessions before, at {opens[at] / close[at - 1]:.2g} times the price"
    )
    return Hit(what, int(first[at]), "volume")


def _other_price(bars: SymbolBars, opens: Floats, close: Floats, traded: Floats) -> int:
    """First session that opens half as high again as the close before (or a third lower), stays
    there, and is traded no more than later ones; not by a split. 0: none."""
    jump = np.log(opens[DAYS : len(opens) - DAYS] / close[DAYS - 1 : -DAYS - 1])
    for at in (np.flatnonzero(np.abs(jump) > LEVEL) + DAYS).tolist():
        size = float(jump[at - DAYS])
        near = np.median(close[at : at + LOOK_BACK]) / np.median(close[at - LOOK_BACK : at])
        early, late = np.median(traded[at : at + 3]), np.median(traded[at:][LATER])
        stays = abs(log(float(near)) - size) < 0.5 * abs(size)
        if stays and early < NEWS * late and not is_split(bars, int(bars.session_first[at])):
            return at
    return 0


def _rolling(values: Floats, share: float) -> Floats:
    """[n - DAYS + 1]: the quantile of the ``DAYS`` values from each index on."""
    windows = np.lib.stride_tricks.sliding_window_view(values, DAYS)
    found: Floats = np.quantile(windows, share, axis=1)
    return found


def _apart(volume: Floats) -> Floats:
    """By how much nearly all volumes after a day exceed nearly all before it, or the reverse."""
    low, high = _rolling(volume, 0.1), _rolling(volume, 0.9)
    found: Floats = np.maximum(low[DAYS:] / high[:-DAYS], low[:-DAYS] / high[DAYS:])
    return found


def _abrupt(volume: Floats, opens: Floats, close: Floats, day: Ints) -> Bools:
    windows = np.lib.stride_tricks.sliding_window_view(volume, LOOK_BACK)
    most, least = windows.max(axis=1)[day - LOOK_BACK], windows.min(axis=1)[day - LOOK_BACK]
    jumped = np.abs(np.log(opens[day] / close[day - 1])) > JUMP
    found: Bools = jumped | (volume[day] > ABRUPT * most) | (ABRUPT * volume[day] < least)
    return found
