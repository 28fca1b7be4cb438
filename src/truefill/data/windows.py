"""Windows without trading that a calendar fixes: daily spans, intervals, buffers around funding.

A bar is inside a window when it STARTS there. All of them are known before the bars come.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from truefill.config.data import SessionConfig
from truefill.config.no_trade import FundingWindow, IntervalWindow, Window
from truefill.config.sources import EventsFile
from truefill.core.fingerprint import sha256_file
from truefill.data.defects import ROW, more, refuse
from truefill.data.read import InputFile, read_event_rows
from truefill.data.sessions import Session, session_of, session_time
from truefill.data.table import resolve
from truefill.data.timestamps import to_utc

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

_DAY_S = 86_400
_COLUMNS = ("start", "end")


def in_daily(window: Window, seconds: Ints) -> Bools:
    """[n] bool: bar starts (unix seconds) inside the daily window."""
    span = SessionConfig(
        timezone=window.timezone, days=window.days, start=window.start, end=window.end
    )
    return session_time(session_of(span), seconds).inside


def in_intervals(window: IntervalWindow, seconds: Ints) -> tuple[Bools, list[InputFile]]:
    """[n] bool: bar starts inside one of the intervals; and the file they come from.

    Raises ``DataError``: the file is missing or unreadable, an interval does not end after its
    start.
    """
    if window.path is None:
        assert window.start is not None and window.end is not None
        starts, ends = np.asarray([window.start.timestamp()]), np.asarray([window.end.timestamp()])
        return _inside(starts, ends, seconds), []
    table, file = _read_intervals(window)
    starts, ends = (table[name].dt.epoch("us").to_numpy() / 1e6 for name in _COLUMNS)
    return _inside(np.sort(starts), np.sort(ends), seconds), [file]


def in_funding(window: FundingWindow, seconds: Ints) -> Bools:
    """[n] bool: bar starts less than ``before`` ahead of, or ``after`` behind, a funding moment of
    the clock."""
    length = round(window.before + window.after)
    inside = np.zeros(len(seconds), np.bool_)
    for moment in window.times:
        start = (moment.hour * 3600 + moment.minute * 60 - round(window.before)) % _DAY_S
        span = Session(window.timezone, tuple(range(7)), start, length)
        inside |= session_time(span, seconds).inside
    return inside


def in_funding_of(
    window: FundingWindow, sources: Sequence[EventsFile], symbols: pl.Series, seconds: Ints
) -> Bools:
    """The same around each symbol's own moments in the files of funding.

    Args:
        symbols: of the bars, [n], as ``seconds``.
    """
    tables = [read_event_rows(source)[0] for source in sources if source.kind == "funding"]
    events = pl.concat([table.select("timestamp", "symbol") for table in tables])
    inside = np.zeros(len(seconds), np.bool_)
    for (symbol,), own in events.group_by("symbol", maintain_order=True):
        moments = np.sort(own["timestamp"].dt.epoch("us").to_numpy() / 1e6)
        rows = (symbols == symbol).to_numpy()
        inside[rows] = _inside(moments - window.before, moments + window.after, seconds[rows])
    return inside


def _inside(starts: npt.NDArray[np.float64], ends: npt.NDArray[np.float64], seconds: Ints) -> Bools:
    """Is each second in one of [start, end)? Both lists sorted, each for itself."""
    begun = np.searchsorted(starts, seconds, side="right")
    over = np.searchsorted(ends, seconds, side="right")
    return np.asarray(begun > over)


def _read_intervals(window: IntervalWindow) -> tuple[pl.DataFrame, InputFile]:
    assert window.path is not None
    path = resolve(window.path)
    file = path.name
    try:
        if path.suffix.lower() == ".json":
            table = _json_table(json.loads(path.read_text(encoding="utf-8")), file)
        else:
            table = pl.read_csv(path, infer_schema=False)
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        refuse("unreadable_file", f"{error}".split("\n")[0], file=file)
    missing = [name for name in _COLUMNS if name not in table.columns]
    if missing:
        refuse(
            "missing_columns", f"no column {', '.join(missing)}; it has {', '.join(table.columns)}",
            file=file, do="name the columns start and end",
        )  # fmt: skip
    if not table.height:
        refuse("empty_file", "the file has no rows", file=file)
    table = table.select(_COLUMNS).with_row_index(ROW, offset=1)
    for name in _COLUMNS:
        table = to_utc(table, name, unit="auto", timezone=window.timezone, file=file)
    wrong = table.filter(pl.col("start") >= pl.col("end"))
    if wrong.height:
        refuse(
            "empty_interval",
            f"it ends at {wrong['end'][0]}, not after its start{more(wrong.height)}",
            file=file,
            row=wrong[ROW][0],
            column="end",
            do="the end is exclusive; repair the row",
        )
    return table, InputFile(file, sha256_file(path), table.height)


def _json_table(found: object, file: str) -> pl.DataFrame:
    """A list of ``{"start": ..., "end": ...}`` or of pairs as text columns."""
    rows = found if isinstance(found, list) else []
    pairs = [[row.get(name) for name in _COLUMNS] if isinstance(row, dict) else row for row in rows]
    for number, pair in enumerate(pairs, 1):
        if not (isinstance(pair, list) and len(pair) == 2 and None not in pair):
            refuse("not_an_interval", f"{rows[number - 1]!r} has no start and end", file=file,
                   row=number, do='give [{"start": ..., "end": ...}, ...]')  # fmt: skip
    columns = zip(*pairs, strict=True) if pairs else ((), ())
    texts = {n: [str(v) for v in values] for n, values in zip(_COLUMNS, columns, strict=True)}
    return pl.DataFrame(texts, schema=dict.fromkeys(_COLUMNS, pl.String))
