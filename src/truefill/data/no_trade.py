"""Bars closed to trading by ``market.no_trade``: one mask over the whole history, and its figures.

The market cancels orders on a closed bar; stops and margin work. A closed bar keeps its features:
it is seen, described and fitted on like any other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from truefill.config.no_trade import (
    FundingWindow,
    IntervalWindow,
    NoTrade,
    VolatilityGuard,
    Window,
)
from truefill.config.sources import EventsFile
from truefill.core.errors import ConfigError, DataError
from truefill.core.fingerprint import fingerprint
from truefill.data.events import symbol_spans
from truefill.data.guard import guard
from truefill.data.read import InputFile
from truefill.data.windows import in_daily, in_funding, in_funding_of, in_intervals

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ClosedTimes:
    """``closed`` [n] bool; ``inputs``: files of intervals; ``facts`` for lineage: of each entry of
    ``market.no_trade``, and of all together, the bars it closes in each split before test;
    ``warnings``: windows that close none of those."""

    closed: Bools
    inputs: list[InputFile]
    facts: dict[str, Any]
    warnings: list[str]


def rules_id(rules: Sequence[NoTrade]) -> str:
    """Names these rules wherever their files lie; empty where there are none."""
    trees = [rule.model_dump(mode="json") for rule in rules]
    for tree in trees:
        if tree.get("path") is not None:
            tree["path"] = Path(tree["path"]).name
    return fingerprint(trees) if trees else ""


def guard_columns(rules: Sequence[NoTrade]) -> list[str]:
    """Further columns of the bars that the rules read."""
    asks = {rule.ask for rule in rules if isinstance(rule, VolatilityGuard) and rule.ask}
    return sorted(asks)


def closed_times(
    rules: Sequence[NoTrade],
    events: Sequence[EventsFile],
    bars: pl.DataFrame,
    splits: Mapping[str, Bools],
) -> ClosedTimes:
    """Which bars are closed.

    Args:
        events: ``data.events``, for buffers around their funding.
        bars: sorted by symbol and time, [n].
        splits: the rows of ``train``, which alone may be fitted on, and of every other split that
            may be told of, [n] bool each.

    Raises:
        ConfigError: funding of files is asked for, and there are none.
        DataError: a file or a column is not what a rule needs.
    """
    seconds = bars["timestamp"].dt.epoch("s").to_numpy().astype(np.int64)
    closed, inputs, facts, warnings = np.zeros(bars.height, np.bool_), [], [], []
    for i, rule in enumerate(rules):
        own, files, more = _apply(rule, i, events, bars, seconds, splits["train"])
        closed |= own
        inputs += files
        told = {"kind": rule.kind, **_figures(own, splits, bars), **more}
        if isinstance(rule, VolatilityGuard):
            told |= _runs(own, splits, bars)
        elif not any(told["bars"].values()):
            warnings.append(
                f"market.no_trade.{i} ({rule.kind}) closes no bar of {' and '.join(splits)}: "
                "a bar is inside a window when it starts there"
            )
        facts.append(told)
    total = _figures(closed, splits, bars)
    known = {"rules_sha256": rules_id(rules), "windows": facts, "together": total}
    return ClosedTimes(closed, inputs, known, warnings)


def _apply(
    rule: NoTrade,
    number: int,
    events: Sequence[EventsFile],
    bars: pl.DataFrame,
    seconds: Ints,
    train: Bools,
) -> tuple[Bools, list[InputFile], dict[str, Any]]:
    """Bars that one rule closes, its files, and what else lineage tells of it."""
    if isinstance(rule, Window):
        return in_daily(rule, seconds), [], {}
    if isinstance(rule, IntervalWindow):
        return *in_intervals(rule, seconds), {}
    if isinstance(rule, FundingWindow):
        if not rule.events:
            return in_funding(rule, seconds), [], {}
        if not any(source.kind == "funding" for source in events):
            raise ConfigError(
                "events: true, but data.events has no file of kind funding",
                where=f"market.no_trade.{number}",
                do="give one, or give times instead",
            )
        return in_funding_of(rule, events, bars["symbol"], seconds), [], {}
    closed, thresholds = np.zeros(bars.height, np.bool_), {}
    close = bars["close"].to_numpy().astype(np.float64)
    ask = _ask(rule, number, bars)
    for symbol, (first, end) in symbol_spans(bars).items():
        rows = slice(first, end)
        found = guard(rule, symbol, close[rows], None if ask is None else ask[rows], train[rows])
        closed[rows], thresholds[symbol] = found.closed, found.thresholds
    return closed, [], {"thresholds": thresholds}


def _ask(rule: VolatilityGuard, number: int, bars: pl.DataFrame) -> npt.NDArray[np.float64] | None:
    if rule.ask is None:
        return None
    if rule.ask not in bars.columns:
        raise DataError(
            "missing_columns",
            f"the bars have no column {rule.ask!r}",
            where=f"market.no_trade.{number}.ask",
            do="map it under columns: of data.bars, or remove spread_bps",
        )
    return bars[rule.ask].cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _figures(closed: Bools, splits: Mapping[str, Bools], bars: pl.DataFrame) -> dict[str, Any]:
    """Bars (of all symbols) that are closed, by split: how many, which share, the first and the
    last."""
    counts = {name: int((closed & rows).sum()) for name, rows in splits.items()}
    told = closed & np.logical_or.reduce(list(splits.values()))
    stamps = bars["timestamp"].filter(pl.Series(told)).sort()
    first, last = (stamps[0].isoformat(), stamps[-1].isoformat()) if len(stamps) else (None, None)
    sizes = {name: int(rows.sum()) for name, rows in splits.items()}
    return {
        "bars": counts,
        "share": {name: n / sizes[name] if sizes[name] else 0.0 for name, n in counts.items()},
        "first": first,
        "last": last,
    }


def _runs(closed: Bools, splits: Mapping[str, Bools], bars: pl.DataFrame) -> dict[str, Any]:
    """How often a guard closed each symbol in these splits, and for how long at most."""
    told = np.logical_or.reduce(list(splits.values()))
    activations, longest = {}, {}
    for symbol, (first, end) in symbol_spans(bars).items():
        own = closed[first:end][told[first:end]]
        lengths = list(_lengths(own))
        activations[symbol], longest[symbol] = len(lengths), max(lengths, default=0)
    return {"activations": activations, "longest_bars": longest}


def _lengths(closed: Bools) -> Iterator[int]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], closed, [False]]).astype(np.int8)))
    yield from (int(n) for n in edges[1::2] - edges[::2])
