"""What one bar can break by itself: order of its prices, signs, bid and ask."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import polars as pl

from truefill.data.defects.columns import PRICES
from truefill.data.defects.finding import ROW, Findings, first_row, more, refuse

Check = tuple[str, str, pl.Expr]
"""Rule, column, and the rows that break it."""
QUOTES = (("bid", "ask"), *((name, f"ask_{name}") for name in PRICES))


def check_prices(table: pl.DataFrame, found: Findings, *, any_sign: bool = False) -> pl.DataFrame:
    """The rows that keep every rule, or whose rule is only warned of; each broken rule is noted.

    In order: prices above 0 (not with ``any_sign``), high >= low, open and close inside the range,
    volume >= 0, and bid <= ask where ``table`` has columns of the ask.
    """
    checks = [*_signs(any_sign), *_ranges(), *_quotes(table.columns)]
    any_broken = pl.any_horizontal(broken for _, _, broken in checks)
    if not table.select(any_broken.any()).item():
        return table
    drop = pl.lit(value=False)
    for rule, column, broken in checks:
        if not table.select(broken.any()).item():
            continue
        bar, count = first_row(found.rows(rule, table), broken)
        if count:
            found.add(rule, _words(rule, column, bar), row=int(str(bar[ROW])), column=column,
                      others=count - 1)  # fmt: skip
        if found.severity(rule) != "warn":
            drop = drop | broken
    return table.filter(~drop)


def _signs(any_sign: bool) -> Iterable[Check]:
    if not any_sign:
        yield from (("non_positive_price", name, pl.col(name) <= 0.0) for name in PRICES)


def _ranges() -> Iterable[Check]:
    low, high = pl.col("low"), pl.col("high")
    yield "high_below_low", "high", high < low
    for name in ("open", "close"):
        outside = (pl.col(name) > high) | (pl.col(name) < low)
        yield f"{name}_outside_range", name, outside
    yield "negative_volume", "volume", pl.col("volume") < 0.0


def _quotes(columns: Iterable[str]) -> Iterable[Check]:
    have = set(columns)
    for bid, ask in QUOTES:
        if bid in have and ask in have:
            yield "bid_above_ask", ask, (pl.col(bid) > pl.col(ask)).fill_null(value=False)


def _words(rule: str, column: str, bar: dict[str, Any]) -> str:
    if rule == "high_below_low":
        return f"high {bar['high']} is below low {bar['low']}"
    if rule in ("non_positive_price", "negative_volume"):
        return f"{column} is {bar[column]}"
    if rule == "bid_above_ask":
        bid = next(bid for bid, ask in QUOTES if ask == column)
        return f"{bid} {bar[bid]} (bid) is above {column} {bar[column]}"
    return f"{column} {bar[column]} is outside low {bar['low']} .. high {bar['high']}"


def check_positive(table: pl.DataFrame, columns: Iterable[str], file: str) -> None:
    """Rule ``non_positive_multiplier``: a multiplier is above 0, 1 changes nothing."""
    for name in columns:
        bar, count = first_row(table, pl.col(name) <= 0.0)
        if count:
            refuse("non_positive_multiplier", f"{name} is {bar[name]}", others=count - 1, file=file,
                   row=int(str(bar[ROW])), column=name)  # fmt: skip


def check_tradable(bars: pl.DataFrame, in_splits: pl.Expr) -> None:
    """Rule ``non_positive_price`` for bars of the splits: no order can be filled, no return
    computed at a price of 0 or less."""
    broken = pl.any_horizontal(pl.col(name) <= 0.0 for name in PRICES) & in_splits
    bar, count = first_row(bars, broken)
    if count:
        refuse(
            "non_positive_price",
            f"{bar['symbol']} {bar['timestamp']} has a price of 0 or less inside the splits"
            + more(count),
            file="data.bars",
            do="end data.splits before it, or leave the symbol out: such a file may be read, "
            "but not traded",
        )


def check_volume(table: pl.DataFrame, found: Findings) -> None:
    """Rule ``zero_volume``."""
    seen = found.rows("zero_volume", table)
    bar, count = first_row(seen, pl.col("volume") == 0.0)
    if count == seen.height and count:
        found.add("zero_volume", "volume is 0 in every bar: it is not known", column="volume")
    elif count:
        share = f"{count:,} of {seen.height:,} bars ({count / seen.height:.2%}) have no volume"
        found.add("zero_volume", share, row=int(str(bar[ROW])), column="volume", others=count - 1)


def close_only() -> pl.Expr:
    """Bars that cannot trigger intrabar stops: open = high = low = close."""
    same = pl.col("open") == pl.col("close")
    return same & (pl.col("high") == pl.col("low")) & (pl.col("high") == pl.col("close"))
