"""Seconds a million rows of bars take to read and check with every rule, by kind of file.

    python benchmarks/bench_defects.py            # a million 5-minute bars of one symbol
    python benchmarks/bench_defects.py --rows 200000 --symbols 20

The checks' share is the difference to reading alone (polars, no checks). Processor time of all
threads, which a busy machine does not change, and wall time; the least of the repeats each.
``local CSV`` has naive stamps of New York and a declared session; ``broken`` is the Parquet file
with 13 defects, so that what is found is also told.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from truefill.config.data import SessionConfig
from truefill.config.sources import BarsFile
from truefill.data.defects import Findings
from truefill.data.defects.whole import Market
from truefill.data.read import examine_bars
from truefill.data.sessions import session_of


def bars(rows: int, symbols: int) -> pl.DataFrame:
    """A random walk a symbol, one after the other."""
    rng = np.random.default_rng(1)
    tables = []
    for i in range(symbols):
        close = 100.0 * np.exp(np.cumsum(0.001 * rng.standard_normal(rows // symbols)))
        opens = np.concatenate([[100.0], close[:-1]])
        start = pl.Series(1_577_836_800_000_000 + 300_000_000 * np.arange(len(close)))
        wick = np.abs(rng.standard_normal((2, len(close)))) * 0.0005
        tables.append(
            pl.DataFrame(
                {
                    "timestamp": start.cast(pl.Datetime("us", "UTC")),
                    "symbol": [f"S{i}"] * len(close),
                    "open": opens,
                    "high": np.maximum(opens, close) * (1.0 + wick[0]),
                    "low": np.minimum(opens, close) * (1.0 - wick[1]),
                    "close": close,
                    "volume": rng.random(len(close)),
                }
            )
        )
    return pl.concat(tables)


def broken(table: pl.DataFrame) -> pl.DataFrame:
    """``table`` with defects of a row, of a part and of all of it from a row on."""
    row, n = pl.int_range(pl.len()), table.height
    prices = ("open", "high", "low", "close")
    still = (row >= n // 4) & (row < n // 4 + 30)
    changes = {
        "close": pl.when(row == 10).then(float("nan")).when(row == 20).then(pl.col("close") * 2.0),
        "high": pl.when(row == 30).then(pl.col("low") * 0.9),
        "low": pl.when(row == 40).then(0.0),
        "volume": pl.when(row == 50).then(-1.0).when(row == 60).then(0.0),
    }
    table = table.with_columns(
        change.otherwise(pl.col(name)).alias(name) for name, change in changes.items()
    )
    scale = pl.when(row >= 3 * n // 4).then(100.0).otherwise(1.0)
    table = table.with_columns(
        (pl.when(still).then(pl.lit(table["close"][n // 4])).otherwise(pl.col(name)) * scale).alias(
            name
        )
        for name in prices
    )
    table = table.with_columns(other=pl.lit(1.0))
    return pl.concat([table, table.tail(1), table.head(1)]).filter(pl.int_range(pl.len()) != 70)


def seconds(action: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Least processor time and least wall time of the repeats."""
    times = []
    for _ in range(repeats):
        started = time.process_time(), time.perf_counter()
        action()
        times.append((time.process_time() - started[0], time.perf_counter() - started[1]))
    return min(cpu for cpu, _ in times), min(wall for _, wall in times)


NEW_YORK = SessionConfig(timezone="America/New_York", start="00:00", end="23:59")


def kinds(table: pl.DataFrame, folder: Path) -> Iterator[tuple[str, BarsFile, Market]]:
    """Files of each kind, as a config names them, and what their symbols are judged by."""
    always = Market(session_of(None))
    for suffix in ("parquet", "feather", "csv"):
        path = folder / f"bars.{suffix}"
        if suffix == "csv":
            table.write_csv(path, datetime_format="%Y-%m-%d %H:%M:%S+00:00")
        else:
            (table.write_parquet if suffix == "parquet" else table.write_ipc)(path)
        yield suffix, BarsFile(path=path), always
    path = folder / "local.csv"
    local = pl.col("timestamp").dt.convert_time_zone("America/New_York").dt.replace_time_zone(None)
    twice = local.is_duplicated() | (local.diff().dt.total_minutes() != 5)
    naive = table.filter(~twice.over("symbol")).with_columns(timestamp=local)
    naive.write_csv(path, datetime_format="%Y-%m-%d %H:%M:%S")
    yield (
        "local CSV",
        BarsFile(path=path, timezone="America/New_York"),
        Market(session_of(NEW_YORK), declared=True),
    )
    path = folder / "broken.parquet"
    broken(table).write_parquet(path)
    yield "broken", BarsFile(path=path), always


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--symbols", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    table = bars(given.rows, given.symbols)
    with tempfile.TemporaryDirectory() as folder:
        for name, source, market in kinds(table, Path(folder)):
            findings = Findings()

            def check(
                source: BarsFile = source, market: Market = market, findings: Findings = findings
            ) -> None:
                findings.found.clear()
                with findings.noting():
                    examine_bars(source, findings, interval_s=300.0, market=market)

            cpu, wall = seconds(check, given.repeats)
            reader = {".parquet": pl.read_parquet, ".feather": pl.read_ipc, ".csv": pl.read_csv}
            read = partial(reader[source.path.suffix], source.path)
            alone, _ = seconds(read, given.repeats)
            scale = 1e6 / given.rows
            rules = ", ".join(dict.fromkeys(f.rule for f in findings.found)) or "nothing"
            print(f"{name:10} a million rows: {cpu * scale:.2f} s of processor time, "
                  f"{wall * scale:.2f} s on the clock; reading alone {alone * scale:.2f} s; "
                  f"found: {rules}")  # fmt: skip


if __name__ == "__main__":
    main()
