"""Every defect of input files by name: what it is, how it is treated by default, and its mend.

The rules are facts, not code: ``data/defects`` finds what they name. ``error`` refuses the file,
``warn`` reports it and goes on, ``repair`` mends it and records that. A rule offers only what makes
sense: a result built on unreadable stamps would be worth nothing, whatever a config says.
"""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

from pydantic import AfterValidator

from truefill.core.errors import did_you_mean

Severity = Literal["error", "warn", "repair"]
Scope = Literal[
    "file", "columns", "timestamps", "prices", "symbol", "several files", "series", "side table"
]


class Rule(NamedTuple):
    """``modes``: what a config may choose, the default first; ``repair``: what a repair does."""

    scope: Scope
    modes: tuple[Severity, ...]
    finds: str
    mend: str
    repair: str = ""


_REFUSED: tuple[Severity, ...] = ("error",)
_EITHER: tuple[Severity, ...] = ("error", "warn")
_WARNED: tuple[Severity, ...] = ("warn", "error")
_MENDED: tuple[Severity, ...] = ("error", "repair")
_ANY: tuple[Severity, ...] = ("error", "warn", "repair")
_DROP = "drops the row"
_SOURCE = "repair or drop the row in the source"

RULES: dict[str, Rule] = {
    "missing_file": Rule(
        "file", _REFUSED, "the file does not exist", "check the path"
    ),
    "unknown_file_type": Rule(
        "file", _REFUSED, "neither CSV, Parquet nor Feather", "convert the file"
    ),
    "unreadable_file": Rule(
        "file", _REFUSED, "the file cannot be parsed", "write the file again"
    ),
    "empty_file": Rule("file", _REFUSED, "no rows", "give a file with rows"),
    "wrong_encoding": Rule(
        "file", _REFUSED, "text that is not in the encoding declared (UTF-8 by default)",
        "set encoding: (e.g. utf-16, latin-1) on this file, or save it as UTF-8",
    ),
    "byte_order_mark": Rule(
        "file", _WARNED, "a UTF-8 byte order mark before the header (it is skipped)",
        "save the file without it",
    ),
    "wrong_separator": Rule(
        "file", _REFUSED, "a header of one cell that holds semicolons or tabs",
        'set separator: ";" (or "\\t") on this file',
    ),
    "junk_first_line": Rule(
        "file", _MENDED, "lines before the header", "delete the lines before the header",
        "skips the lines before the header",
    ),
    "truncated_file": Rule(
        "file", _MENDED, "a last line that breaks off, or a Parquet or Feather file without its "
        "end (no repair)", "fetch the file again", "drops the last line",
    ),
    "no_final_newline": Rule(
        "file", _WARNED, "a last line that does not end: its last number may be cut short",
        "compare the last line with its source",
    ),
    "missing_columns": Rule(
        "columns", _REFUSED, "a needed column is absent",
        "map the file's own names to ours under columns:",
    ),
    "duplicate_columns": Rule(
        "columns", _REFUSED, "two columns of one name", "delete or rename one of them"
    ),
    "extra_columns": Rule(
        "columns", _WARNED, "columns that nothing reads",
        "drop them, or read them with a feature of calculator column",
    ),
    "missing_symbol": Rule("columns", _REFUSED, "an empty symbol", "fill in the symbol"),
    "symbol_conflict": Rule(
        "columns", _REFUSED, "the config names one symbol, the file holds several",
        "leave symbol: out of this entry",
    ),
    "thousands_separator": Rule(
        "columns", _MENDED, "numbers like 1,234.5",
        "write plain numbers, or set data.defects thousands_separator: repair",
        "reads 1,234.5 as 1234.5",
    ),
    "decimal_comma": Rule(
        "columns", _MENDED, "numbers like 1,5 all through a column",
        "write plain numbers, or set data.defects decimal_comma: repair",
        "reads 1.234,5 as 1234.5",
    ),
    "not_a_number": Rule(
        "columns", _MENDED, "text, an empty cell, NaN or an infinity where a number must be",
        "repair or drop the row in the source; nothing is filled in here", _DROP,
    ),
    "non_positive_multiplier": Rule(
        "columns", _REFUSED, "a spread or liquidity multiplier of 0 or less", "1 changes nothing"
    ),
    "unreadable_timestamp": Rule(
        "timestamps", _REFUSED, "no ISO timestamp and no epoch number",
        "write e.g. 2020-01-02T13:00:00Z, or epoch seconds or milliseconds",
    ),
    "day_first_dates": Rule(
        "timestamps", _MENDED, "dates like 31/12/2020 or 31.12.2020",
        "write ISO dates, or set data.defects day_first_dates: repair if the day comes first",
        "reads the first number as the day",
    ),
    "month_first_dates": Rule(
        "timestamps", _MENDED, "dates like 12/31/2020",
        "write ISO dates, or set data.defects month_first_dates: repair if the month comes first",
        "reads the first number as the month",
    ),
    "mixed_time_units": Rule(
        "timestamps", _REFUSED, "seconds, milliseconds, micro- or nanoseconds in one column",
        "write all stamps in one unit",
    ),
    "wrong_time_unit": Rule(
        "timestamps", _REFUSED, "stamps that only make sense in another unit (seconds read as "
        "milliseconds)", "correct timestamp_unit, or the unit of the column",
    ),
    "mixed_timezones": Rule(
        "timestamps", _REFUSED, "stamps with and without an offset in one column",
        "write all timestamps with their offset, or none",
    ),
    "nonexistent_time": Rule(
        "timestamps", _REFUSED, "a local time that a clock change leaves out",
        "write timestamps in UTC or with their offset",
    ),
    "ambiguous_time": Rule(
        "timestamps", _REFUSED, "a local time that a clock change repeats",
        "write timestamps in UTC or with their offset",
    ),
    "newest_first": Rule(
        "timestamps", _MENDED, "every row is earlier than the one before it",
        "turn the file round", "sorts the rows",
    ),
    "two_clocks": Rule(
        "timestamps", _EITHER, "part of the rows lie whole hours off the rest",
        "give all rows in one timezone, or with their offset",
    ),
    "unsorted": Rule(
        "timestamps", _MENDED, "a row earlier than the one before it, within a symbol",
        "sort the file by timestamp (within each symbol)", "sorts the rows",
    ),
    "duplicate_row": Rule(
        "timestamps", _MENDED, "a row that stands in the file already",
        "keep one of the two rows", "keeps the first",
    ),
    "duplicate_timestamp": Rule(
        "timestamps", _REFUSED, "two different rows of one symbol and moment",
        "keep one of the two rows",
    ),
    "interval_mismatch": Rule(
        "timestamps", _REFUSED, "the closest two bars are not one data.interval apart",
        "set data.interval to the bars' own interval",
    ),
    "mixed_frequency": Rule(
        "timestamps", _EITHER, "part of the file at another interval",
        "give each interval a file of its own",
    ),
    "off_grid": Rule(
        "timestamps", _WARNED, "bars that start between the starts of the others",
        "align the stamps with the start of each bar",
    ),
    "non_positive_price": Rule(
        "prices", _MENDED, "a price of 0 or less (legal with non_positive_prices: true)",
        _SOURCE + "; where it is true, set non_positive_prices: true on this file", _DROP,
    ),
    "high_below_low": Rule("prices", _ANY, "a high below the low", _SOURCE, _DROP),
    "open_outside_range": Rule(
        "prices", _ANY, "an open above the high or below the low", _SOURCE, _DROP
    ),
    "close_outside_range": Rule(
        "prices", _ANY, "a close above the high or below the low", _SOURCE, _DROP
    ),
    "negative_volume": Rule("prices", _ANY, "a volume below 0", _SOURCE, _DROP),
    "bid_above_ask": Rule(
        "prices", _ANY, "a bid above its ask (columns bid and ask, or ask_open, ask_close)",
        _SOURCE, _DROP,
    ),
    "zero_volume": Rule(
        "prices", _WARNED, "bars without volume",
        "none where the market was still or volume is unknown; use no feature of volume",
    ),
    "gaps": Rule(
        "symbol", _WARNED, "bars missing inside a session", "fetch the missing bars"
    ),
    "outside_session": Rule(
        "symbol", _WARNED, "bars outside data.session (they are dropped)",
        "none where that is meant; else correct data.session",
    ),
    "dst_shift": Rule(
        "symbol", _EITHER, "sessions that lie one hour off data.session for part of the year",
        "give stamps in UTC, or the timezone of the exchange",
    ),
    "frozen_price": Rule(
        "symbol", _WARNED, "bars that repeat the one before for longer than chance allows",
        "drop them, or close them to trading",
    ),
    "frozen_session": Rule(
        "symbol", ("warn", "error", "repair"),
        "whole sessions in which the price stands still: holidays carried forward",
        "set data.defects frozen_session: repair, or drop these sessions",
        "drops flat bars without volume from the third repeat in a row on",
    ),
    "copied_bar": Rule(
        "symbol", _EITHER, "a bar with the very prices and volume of its neighbour",
        "drop the copy: a copy of the next bar shows the future",
    ),
    "price_spike": Rule(
        "symbol", _EITHER, "a close far from both its neighbours", _SOURCE
    ),
    "outlier_tick": Rule(
        "symbol", _WARNED, "a high or low far beyond what the bars around it reach",
        "compare with another source: stops and targets would fill there",
    ),
    "scale_break": Rule(
        "symbol", _EITHER, "prices times or divided by 100, 1,000, ... from one bar to the next",
        "give all rows in one unit of price",
    ),
    "unadjusted_split": Rule(
        "symbol", _EITHER, "a jump by the ratio of a split, at usual turnover, that no split event "
        "explains", "declare it in data.events (kind: split), or give adjusted bars",
    ),
    "identity_change": Rule(
        "symbol", _WARNED, "from one day on another level of price and volume: perhaps another "
        "company under the same symbol", "begin the splits after it, or drop what lies before",
    ),
    "symbol_overlap": Rule(
        "several files", _REFUSED, "one symbol in two files",
        "give each file its own symbols (symbol: in data.bars)",
    ),
    "ragged_start": Rule(
        "several files", _WARNED, "symbols that begin later than others",
        "begin the splits where all symbols have begun, or expect fewer of them before",
    ),
    "misaligned_calendar": Rule(
        "several files", _WARNED, "a symbol without a bar on days on which the others trade",
        "none where markets have their own holidays; else fetch the missing days",
    ),
    "copies_next_value": Rule(
        "series", _ANY, "a value equal to the next one, on a day on which most other series of "
        "the file have none: it shows the future",
        "drop the value, or set data.defects copies_next_value: repair",
        "drops values on days on which most series of the file that have begun have none",
    ),
    "frozen_row": Rule(
        "series", _WARNED, "rows in which every series of the file repeats the row before",
        "compare with the source: values carried forward hide how old they are",
    ),
    "reference_stamps": Rule(
        "series", _EITHER, "monthly values stamped with the first of their month, known before "
        "that month has ended", "give a release rule, or a publication_lag of more than a month",
    ),
    "available_before_value_date": Rule(
        "series", _REFUSED, "a value that would be known before its own date",
        "correct the publication rule of this entry of data.series",
    ),
    "unknown_impact": Rule(
        "series", _REFUSED, "an event of a calendar whose impact is no known word",
        "correct the column, or set impact: null",
    ),
    "received_before_sent": Rule(
        "side table", _EITHER, "rows received before they were sent: the local clock is behind",
        "shift the local clock by the delay found, or use exchange time only",
    ),
}  # fmt: skip
"""Every rule by name, in the order in which they are looked for."""

WHO_READS_COMMAS = ("thousands_separator", "decimal_comma")
WHO_COMES_FIRST = ("day_first_dates", "month_first_dates")


def _known(policy: dict[str, Severity]) -> dict[str, Severity]:
    for name, severity in policy.items():
        if name not in RULES:
            raise ValueError(f"no defect is called {name!r}. {did_you_mean(name, RULES)}")
        modes = RULES[name].modes
        if severity not in modes:
            kind = "has no repair" if severity == "repair" else f"cannot be {severity!r}"
            raise ValueError(f"{name} {kind}; it may be {' or '.join(modes)}")
    for pair in (WHO_READS_COMMAS, WHO_COMES_FIRST):
        if all(policy.get(name) == "repair" for name in pair):
            raise ValueError(f"{pair[0]} and {pair[1]} cannot both be repaired: choose one reading")
    return policy


Policy = Annotated[dict[str, Severity], AfterValidator(_known)]
"""Rule -> how it is treated; rules that are absent are treated by default."""


def severity_of(policy: dict[str, Severity], rule: str) -> Severity:
    """How ``rule`` is treated."""
    return policy.get(rule, RULES[rule].modes[0])
