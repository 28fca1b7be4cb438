"""Dates with the day or the month first -> ISO text, where the policy says which comes first."""

from __future__ import annotations

import polars as pl

from truefill.data.defects import ROW, Findings, refuse

_SLASHED = r"^(\d{1,2})[/.-](\d{1,2})[/.-](\d{4})"


def in_order(table: pl.DataFrame, column: str, stamps: pl.Series, found: Findings) -> pl.Series:
    """``stamps`` as ISO text; those that are not written with slashes stay as they are.

    Rules ``day_first_dates`` and ``month_first_dates``: a number above 12 tells the two apart;
    where none is, it may be either, and it is the first.
    """
    slashed = stamps.str.contains(_SLASHED)
    if not slashed.any():
        return stamps
    first = stamps.str.extract(_SLASHED, 1).cast(pl.Int64)
    second = stamps.str.extract(_SLASHED, 2).cast(pl.Int64)
    month_first = bool((second > 12).any()) and not bool((first > 12).any())
    for rule in ("day_first_dates", "month_first_dates"):
        if found.severity(rule) == "repair":
            month_first = rule == "month_first_dates"
    rule = "month_first_dates" if month_first else "day_first_dates"
    rows = table.filter(slashed)[ROW]
    what = f"{stamps.filter(slashed)[0]!r} is written with the {rule.split('_')[0]} first"
    if not bool(((first > 12) | (second > 12)).any()):
        what += " (or the month: no number is above 12)"
    if found.severity(rule) == "error":
        refuse(rule, what, file=found.file, row=rows[0], column=column, others=len(rows) - 1)
    found.add(rule, what, row=rows[0], column=column, others=len(rows) - 1)
    month, day = ("${1}", "${2}") if month_first else ("${2}", "${1}")
    padded = stamps.str.replace(r"^(\d)([/.-])", "0${1}${2}").str.replace(
        r"^(\d{2}[/.-])(\d)([/.-])", "${1}0${2}${3}"
    )
    return padded.str.replace(_SLASHED, "${3}-" + month + "-" + day)
