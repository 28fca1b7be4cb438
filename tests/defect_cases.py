"""One planted defect for every rule: in a clean file, where it must be found, and how it is named.

A plant changes a clean table (or the bytes of its CSV file) from its row ``K`` on. Rows are numbers
in the file that is written: 1 is the first row of data.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

from truefill.config.data import DataConfig
from truefill.data.defects import PRICES
from truefill.data.table import SAMPLE_FOLDER

K = 1_000
"""Index of the first row that is changed: in the hourly sample a Thursday morning."""
WHEN = pl.int_range(pl.len())
Table = Callable[[pl.DataFrame], pl.DataFrame]
Text = Callable[[bytes], bytes]


@dataclass(frozen=True)
class Planted:
    """``table`` or ``text`` plants it in ``base``; ``row``: where it must be found, a number or a
    function of the table written; ``also``: rules that the same rows break too."""

    base: str = "eurusd_1h"
    table: Table | None = None
    text: Text | None = None
    row: int | Callable[[pl.DataFrame], int] | None = K + 1
    column: str | None = None
    suffix: str = ".parquet"
    symbol: str | None = "X"
    also: tuple[str, ...] = ()
    entry: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)

    def write(
        self, folder: Path, clean: pl.DataFrame | None = None
    ) -> tuple[DataConfig, int | None]:
        """The file, the config that reads it, and the row of the defect."""
        found = sample(self.base) if clean is None else clean
        found = found if self.table is None else self.table(found)
        path = folder / f"bars{self.suffix}"
        if self.suffix == ".parquet":
            found.write_parquet(path)
        else:
            content = found.write_csv(datetime_format="%Y-%m-%dT%H:%M:%SZ").encode()
            path.write_bytes(content if self.text is None else self.text(content))
        row = self.row(found) if callable(self.row) else self.row
        bars = {"path": str(path), "symbol": self.symbol, **self.entry}
        return data_of({"bars": [bars], **self.data}, self.base), row


def data_of(tree: dict[str, Any], base: str = "eurusd_1h", policy: Any = None) -> DataConfig:
    """A config of these files, whose test split begins long after they end."""
    interval = {"eurusd_1h": "1h", "googl_1d": "1d"}.get(base, "5m")
    splits = {"train": {"start": "1990-01-01", "end": "2050-01-01"},
              "validation": {"start": "2050-01-01", "end": "2060-01-01"},
              "test": {"start": "2060-01-01", "end": "2070-01-01"}}  # fmt: skip
    return DataConfig.model_validate(
        {"interval": interval, "splits": splits, "defects": policy or {}, **tree}
    )


@cache
def sample(name: str) -> pl.DataFrame:
    """A sample that ships with truefill, typed."""
    table = pl.read_csv(SAMPLE_FOLDER / f"{name}.csv", try_parse_dates=True)
    return table.with_columns(pl.col("timestamp").cast(pl.Datetime("us", "UTC")),
                              pl.exclude("timestamp").cast(pl.Float64))  # fmt: skip


def at(mask: pl.Expr, **columns: pl.Expr | float) -> Table:
    """New values of columns where ``mask`` holds."""
    return lambda table: table.with_columns(
        pl.when(mask).then(value).otherwise(pl.col(name)).alias(name)
        for name, value in columns.items()
    )


def one(**columns: pl.Expr | float) -> Table:
    """New values in row ``K``."""
    return at(WHEN == K, **columns)


def stamps(expression: pl.Expr) -> Table:
    """Other timestamps."""
    return lambda table: table.with_columns(timestamp=expression)


def _scaled(factor: float, mask: pl.Expr) -> dict[str, pl.Expr]:
    return {name: pl.col(name) * factor for name in PRICES}


def later(hours: float, mask: pl.Expr) -> Table:
    shifted = pl.col("timestamp") + timedelta(hours=hours)
    return stamps(pl.when(mask).then(shifted).otherwise("timestamp"))


def keep(mask: pl.Expr) -> Table:
    """Only these rows."""
    return lambda table: table.filter(mask)


def with_copy(**columns: pl.Expr) -> Table:
    """Row ``K`` a second time, after itself."""
    return lambda table: pl.concat(
        [table.head(K + 1), table.slice(K, 1).with_columns(**columns), table.slice(K + 1)]
    )


def swapped(table: pl.DataFrame) -> pl.DataFrame:
    """Rows ``K`` and ``K`` + 1 in each other's place."""
    return pl.concat([table.head(K), table.slice(K + 1, 1), table.slice(K, 1), table.slice(K + 2)])


TEXT = pl.col("timestamp").dt.strftime("%Y-%m-%dT%H:%M:%SZ")
NAIVE = pl.col("timestamp").dt.strftime("%Y-%m-%dT%H:%M:%S")
SECONDS = pl.col("timestamp").dt.epoch("s")


def text_at(expression: pl.Expr | str, mask: pl.Expr, other: pl.Expr = TEXT) -> Table:
    value = pl.lit(expression) if isinstance(expression, str) else expression
    return stamps(pl.when(mask).then(value).otherwise(other))


BEFORE_K = pl.col("close").get(K - 1)
DAY = pl.col("timestamp").dt.date() == pl.date(2017, 3, 1)
"""A Wednesday inside the hourly sample."""
FROM = WHEN >= K


VOLUME = pl.col("volume")


def still(mask: pl.Expr, volume: pl.Expr | float = VOLUME) -> Table:
    """Flat at the close before the first row of ``mask``."""
    first = pl.col("close").shift(1).filter(mask).first()
    return at(mask, **{name: first for name in PRICES}, volume=volume)


def first_of(mask: pl.Expr) -> Callable[[pl.DataFrame], int]:
    """Number of the first row where ``mask`` holds."""
    return lambda table: int(table.select(mask.arg_max()).item()) + 1


def new_york_day(table: pl.DataFrame) -> pl.DataFrame:
    """09:00 to 16:00 of New York only, one hour late from May to August."""
    local = pl.col("timestamp").dt.convert_time_zone("America/New_York")
    inside = local.dt.hour().is_between(9, 15) & (local.dt.weekday() <= 5)
    return later(1, _SUMMER)(table.filter(inside))


_SUMMER = pl.col("timestamp").dt.month().is_between(5, 8)
NEW_YORK = {"timezone": "America/New_York", "start": "09:00", "end": "16:00"}

PLANTED: dict[str, Planted] = {
    "wrong_encoding": Planted(
        suffix=".csv", text=lambda b: b.decode().encode("utf-16"), row=None
    ),
    "byte_order_mark": Planted(suffix=".csv", text=lambda b: b"\xef\xbb\xbf" + b, row=None),
    "wrong_separator": Planted(suffix=".csv", text=lambda b: b.replace(b",", b";"), row=None),
    "junk_first_line": Planted(
        suffix=".csv", text=lambda b: b"downloaded from somewhere\n" + b, row=None
    ),
    "truncated_file": Planted(
        suffix=".csv", text=lambda b: b[: b.rindex(b",") - 4], row=lambda t: t.height
    ),
    "no_final_newline": Planted(
        suffix=".csv", text=lambda b: b.rstrip(b"\n")[:-1], row=lambda t: t.height
    ),
    "empty_file": Planted(suffix=".csv", text=lambda b: b[: b.index(b"\n") + 1], row=None),
    "unreadable_file": Planted(
        suffix=".csv", text=lambda b: b.replace(b"\n2017-02-", b",1,2\n2017-02-", 1), row=None
    ),
    "unknown_file_type": Planted(suffix=".txt", text=lambda b: b, row=None),
    "missing_columns": Planted(table=lambda t: t.drop("close"), row=None),
    "duplicate_columns": Planted(
        suffix=".csv", text=lambda b: b.replace(b"volume", b"close", 1), row=None, column="close"
    ),
    "extra_columns": Planted(
        table=lambda t: t.with_columns(adjusted=pl.col("close")), row=None, column="adjusted"
    ),
    "missing_symbol": Planted(
        table=lambda t: t.with_columns(
            symbol=pl.when(WHEN == K).then(pl.lit("")).otherwise(pl.lit("A"))
        ),
        symbol=None, column="symbol",
    ),
    "symbol_conflict": Planted(
        table=lambda t: t.with_columns(
            symbol=pl.when(FROM).then(pl.lit("B")).otherwise(pl.lit("A"))
        ),
        row=None, column="symbol",
    ),
    "thousands_separator": Planted(
        "googl_1d", suffix=".csv", row=1, column="volume",
        table=lambda t: t.with_columns(volume=pl.col("volume").cast(pl.Int64).cast(pl.String)
                                       .str.replace(r"^(\d+)(\d{3})(\d{3})$", "$1,$2,$3")
                                       .str.replace(r"^(\d+)(\d{3})$", "$1,$2")),
    ),
    "decimal_comma": Planted(
        suffix=".csv", row=1, column="close",
        table=lambda t: t.with_columns(
            pl.col("close").cast(pl.String).str.replace(".", ",", literal=True)
        ),
    ),
    "not_a_number": Planted(table=one(close=float("nan")), column="close"),
    "non_positive_multiplier": Planted(
        table=lambda t: one(spread_multiplier=0.0)(t.with_columns(spread_multiplier=1.0)),
        column="spread_multiplier",
        entry={"columns": {"spread_multiplier": "spread_multiplier"}},
    ),
    "unreadable_timestamp": Planted(
        table=text_at("yesterday", WHEN == K), suffix=".csv", column="timestamp"
    ),
    "day_first_dates": Planted(
        table=stamps(pl.col("timestamp").dt.strftime("%d/%m/%Y %H:%M:%S")), suffix=".csv",
        row=1, column="timestamp",
    ),
    "month_first_dates": Planted(
        table=stamps(pl.col("timestamp").dt.strftime("%m/%d/%Y %H:%M:%S")), suffix=".csv",
        row=1, column="timestamp",
    ),
    "mixed_time_units": Planted(
        table=stamps(pl.when(FROM).then(SECONDS * 1_000).otherwise(SECONDS)), column="timestamp"
    ),
    "wrong_time_unit": Planted(
        table=stamps(SECONDS), column="timestamp", row=1, entry={"timestamp_unit": "ms"}
    ),
    "mixed_timezones": Planted(table=text_at(NAIVE, FROM), suffix=".csv", column="timestamp"),
    "nonexistent_time": Planted(
        table=text_at("2017-03-12T02:30:00", WHEN == K, NAIVE), suffix=".csv",
        column="timestamp", entry={"timezone": "America/New_York"},
    ),
    "ambiguous_time": Planted(
        table=text_at("2017-11-05T01:30:00", WHEN == K, NAIVE), suffix=".csv",
        column="timestamp", entry={"timezone": "America/New_York"},
    ),
    "newest_first": Planted(table=lambda t: t.reverse(), row=2, column="timestamp"),
    "two_clocks": Planted(
        table=later(5, (WHEN >= K) & (WHEN < K + 24)), column="timestamp"
    ),
    "unsorted": Planted(table=swapped, row=K + 2, column="timestamp"),
    "duplicate_row": Planted(table=with_copy(), row=K + 2, column="timestamp"),
    "duplicate_timestamp": Planted(
        table=with_copy(close=pl.col("open")), row=K + 2, column="timestamp"
    ),
    "interval_mismatch": Planted(
        row=None, column="timestamp", data={"interval": "30m"}
    ),
    "mixed_frequency": Planted(
        table=keep((WHEN < 1_027) | (WHEN % 2 == 0)), column="timestamp",
        row=lambda t: (t["timestamp"].diff() == timedelta(hours=2)).arg_max() + 1,
    ),
    "off_grid": Planted(
        table=later(0.1, WHEN >= 6_000), row=6_001, column="timestamp"
    ),
    "non_positive_price": Planted(table=one(low=0.0), column="low"),
    "high_below_low": Planted(
        table=one(high=pl.col("low") * 0.999), column="high",
        also=("open_outside_range", "close_outside_range"),
    ),
    "open_outside_range": Planted(table=one(open=pl.col("high") * 1.001), column="open"),
    "close_outside_range": Planted(table=one(close=pl.col("low") * 0.999), column="close"),
    "negative_volume": Planted(table=one(volume=-1.0), column="volume"),
    "bid_above_ask": Planted(
        table=lambda t: one(ask_close=pl.col("close") - 0.0001)(
            t.with_columns(ask_close=pl.col("close") + 0.0001)
        ),
        column="ask_close", also=("extra_columns",),
    ),
    "zero_volume": Planted(table=one(volume=0.0), column="volume"),
    "gaps": Planted(
        table=keep(~(DAY & pl.col("timestamp").dt.hour().is_between(9, 11))), column="timestamp",
        row=first_of(DAY & (pl.col("timestamp").dt.hour() == 12)),
    ),
    "outside_session": Planted(
        table=lambda t: new_york_day(t).filter(~_SUMMER), row=1, column="timestamp",
        data={"session": NEW_YORK | {"start": "10:00"}},
    ),
    "dst_shift": Planted(
        table=new_york_day, row=first_of(_SUMMER), column="timestamp",
        data={"session": NEW_YORK}, also=("outside_session",),
    ),
    "frozen_price": Planted(
        table=still((WHEN >= K) & (WHEN < K + 12)), row=K + 2, column="close"
    ),
    "frozen_session": Planted(
        table=still(DAY, 0.0), row=first_of(DAY), column="close", also=("zero_volume",)
    ),
    "copied_bar": Planted(
        table=at(WHEN == K + 1, **{n: pl.col(n).shift(1) for n in (*PRICES, "volume")}),
        row=K + 2, column="close",
    ),
    "price_spike": Planted(
        table=one(close=pl.col("close") * 1.1, high=pl.col("close") * 1.1), column="close"
    ),
    "outlier_tick": Planted(table=one(high=pl.col("high") * 1.08), column="high"),
    "scale_break": Planted(table=at(FROM, **_scaled(100.0, FROM)), column="close"),
    "unadjusted_split": Planted(
        "googl_1d", at(FROM, **_scaled(0.25, FROM), volume=pl.col("volume") * 4.0), column="open"
    ),
    "identity_change": Planted(
        "googl_1d", at(FROM, **_scaled(3.4, FROM), volume=pl.col("volume") * 12.0), column="volume"
    ),
}  # fmt: skip
"""A plant for every rule that one file of bars can break."""
