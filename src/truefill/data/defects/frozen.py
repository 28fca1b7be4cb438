"""Prices that stand still or repeat: stale quotes, holidays carried forward, copied bars."""

from __future__ import annotations

from math import log

import numpy as np

from truefill.data.defects.symbol import Bools, Hit, Ints, SymbolBars

SESSION_BARS = 3
"""Fewest bars that make a still session, and repeats from which on a repair drops them."""
STILL, USUALLY_STILL = 0.9, 0.5
"""Share of repeats from which a session stands still, unless half of them do in most sessions."""
SHORTEST_RUN, SHORTEST_DAYS = 6, 3
"""Fewest repeats in a row that are told of, of bars within a day and of daily ones."""
COPIES, NO_SMALL_PART = 3, 0.2
"""Fewest bars with another's prices and a volume of their own, and their share of all repeats."""
DAY_S = 86_400.0
RARE = 1e-3
"""Runs of which a file of this length would be expected to hold fewer are called frozen."""


def frozen_sessions(bars: SymbolBars) -> Bools:
    """[sessions] bool: nine in ten of its bars repeat the four prices of the bar before.

    A session of one bar stands still where it is flat at the close before and has no volume, in a
    file that knows volume.
    """
    first = bars.session_first
    count = np.diff(np.append(first, len(bars)))
    inner = _same_prices(bars)
    inner[first] = False
    share = np.add.reduceat(inner, first) / np.maximum(count - 1, 1)
    long = count >= SESSION_BARS
    still = long & (share >= STILL)
    if long.any() and float(np.median(share[long])) >= USUALLY_STILL:
        still[:] = False
    before = np.concatenate([[np.nan], bars.close[:-1]])
    flat = (bars.open == before) & (bars.high == before) & (bars.low == before)
    alone = flat & (bars.close == before) & (bars.volume == 0.0) & bool((bars.volume > 0.0).any())
    found: Bools = still | ((count == 1) & alone[first])
    return found


def frozen_session(bars: SymbolBars) -> Hit | None:
    """Rule ``frozen_session``: holidays carried forward."""
    still = frozen_sessions(bars)
    if not still.any():
        return None
    first = bars.session_first
    rows = int(np.diff(np.append(first, len(bars)))[still].sum())
    at = int(first[int(np.argmax(still))])
    days = f"{int(still.sum()):,} session{'s' if still.sum() > 1 else ''}"
    what = f"the price stands still in {days} of {len(first):,}, the first on {bars.at(at)[:10]}"
    return Hit(what, at, "close", rows - 1)


def moving(bars: SymbolBars) -> Bools:
    """[n] bool: bars to keep. Dropped is a flat bar without volume that repeats the bar before, as
    the ``SESSION_BARS`` - 1 before it did: a choice made of bars up to itself."""
    still = _same_prices(bars) & (bars.high == bars.low) & (bars.volume == 0.0)
    count = np.cumsum(still)
    earlier = np.concatenate([np.zeros(SESSION_BARS, np.int64), count])[: len(bars)]
    keep: Bools = count - earlier < SESSION_BARS
    return keep


def frozen_price(bars: SymbolBars) -> Hit | None:
    """Rule ``frozen_price``: runs of bars equal to the one before, longer than the share of such
    bars explains (expected less than ``RARE`` times in a file of this length)."""
    same = _same_prices(bars)
    holiday = np.repeat(frozen_sessions(bars), np.diff(np.append(bars.session_first, len(bars))))
    same = same & ~holiday
    share = float(same.mean())
    if share == 0.0:
        return None
    least = SHORTEST_RUN if bars.interval_s < DAY_S else SHORTEST_DAYS
    if share < 1.0:
        least = max(least, round(log(RARE / len(bars)) / log(share)))
    first, length = _runs(same)
    long = length >= least
    if not long.any():
        return None
    worst = int(np.argmax(np.where(long, length, 0)))
    count = int(length[long].sum())
    what = (
        f"{count:,} bars repeat the prices of the bar before for {least} bars or longer; the "
        f"longest run, {length[worst]:,} bars, begins {bars.at(int(first[worst]))}"
    )
    return Hit(what, int(first[long][0]), "close", count - 1)


def _same_prices(bars: SymbolBars) -> Bools:
    """[n] bool: the four prices of the bar before."""
    same = np.ones(len(bars) - 1, np.bool_)
    for values in (bars.open, bars.high, bars.low, bars.close):
        same &= values[1:] == values[:-1]
    return np.concatenate([[False], same])


def copied_bar(bars: SymbolBars) -> Hit | None:
    """Rule ``copied_bar``: three or four different prices, or a range beyond a usual move, and a
    volume above 0 (or none in the whole file), all equal to the bar before. With a volume of their
    own such bars count from :data:`COPIES` on, where they are no small part of all repeats.

    Trade does not repeat so; which of the two is the copy, the file does not say.
    """
    same = _same_prices(bars)
    at = np.flatnonzero(same)
    if not len(at):
        return None
    opens, high, low, close = (x[at] for x in (bars.open, bars.high, bars.low, bars.close))
    within = ((opens > low) & (opens < high)) | ((close > low) & (close < high))
    wide = np.log(high / low) > bars.usual_move[at] if bars.positive else np.zeros(len(at), bool)
    traded = (bars.volume[at] > 0.0) | (not bars.volume.any())
    alike = bars.volume[at] == bars.volume[at - 1]
    prices_alone = within & wide & traded & ~alike
    if max(COPIES, NO_SMALL_PART * len(at)) > prices_alone.sum():
        prices_alone[:] = False
    same[at] = ((within | wide) & traded & alike) | prices_alone
    if not same.any():
        return None
    first = int(np.argmax(same))
    and_volume = " and the volume" if bars.volume[first] == bars.volume[first - 1] else ""
    what = f"{bars.at(first)} has the prices{and_volume} of the bar before"
    return Hit(what, first, "close", int(same.sum()) - 1)


def _runs(mask: Bools) -> tuple[Ints, Ints]:
    """First index and length of each run of true values."""
    edge = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return edge[::2], edge[1::2] - edge[::2]
