"""Seconds of processor time a million rows of bars take to read and check, by kind of file.

    python benchmarks/bench_defects.py            # a million 5-minute bars of one symbol
    python benchmarks/bench_defects.py --rows 200000 --symbols 20

The checks' share is the difference to reading alone (polars, no checks). Processor time of all
threads, so that a busy machine does not change it; the least of the repeats.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

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


def seconds(action: Callable[[], object], repeats: int) -> float:
    """Least processor time of the repeats."""
    least = float("inf")
    for _ in range(repeats):
        started = time.process_time()
        action()
        least = min(least, time.process_time() - started)
    return least


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--symbols", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    table = bars(given.rows, given.symbols)
    market = Market(session_of(None))
    with tempfile.TemporaryDirectory() as folder:
        for suffix in ("parquet", "feather", "csv"):
            path = Path(folder) / f"bars.{suffix}"
            if suffix == "csv":
                table.write_csv(path, datetime_format="%Y-%m-%d %H:%M:%S+00:00")
            else:
                (table.write_parquet if suffix == "parquet" else table.write_ipc)(path)
            source = BarsFile(path=path)

            def check(source: BarsFile = source) -> None:
                found = Findings()
                examine_bars(source, found, interval_s=300.0, market=market)
                assert not found.found, found.found[0].text

            reader = {"parquet": pl.read_parquet, "feather": pl.read_ipc, "csv": pl.read_csv}[
                suffix
            ]
            alone = seconds(lambda reader=reader, path=path: reader(path), given.repeats)
            both = seconds(check, given.repeats)
            scale = 1e6 / given.rows
            print(f"{suffix:8} read and checked {both * scale:.2f} s a million rows, "
                  f"read alone {alone * scale:.2f} s")  # fmt: skip


if __name__ == "__main__":
    main()
