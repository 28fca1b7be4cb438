"""How fast are features computed, against the same indicators in pandas, and in how much memory?

    .venv/bin/python benchmarks/bench_features.py [--rows 1000000] [--repeats 3] [--json]

Three measurements, each in a process of its own. Time: thirty features over the same rows, ours
(``features.compute``) on every core and pandas in turn, once both are seen to compute the same.
Symbols: the same number of rows as one symbol, and cut into 20. Memory: the peak of a process that
computes, and (``--dataset``) the time and the peak of one that builds the whole dataset from a
file, of one symbol and of 20.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas_features
import polars as pl

from truefill.config.load import parse_config
from truefill.config.schema import FeatureConfig
from truefill.data.sessions import session_of
from truefill.features import normalize
from truefill.features.compute import RawFeatures, compute

MINUTE_S, START_S = 60, 1_262_304_000  # 2010-01-01
SETTLED = 3_000
"""Bars after which seeds no longer count, from where both are compared."""
SAME = 1e-4
"""Largest difference, in standard deviations of the feature: pandas' running sums drift."""
BUSY_LOAD = 0.5


def bars(rows: int, symbols: int = 1) -> pl.DataFrame:
    """One-minute bars of random walks; ``rows`` of all symbols together. Prices stay between 37 and
    272: after a fall to a hundredth, pandas' running deviations are wrong by percents."""
    each = rows // symbols
    rng = np.random.default_rng(0)
    parts = []
    for number in range(symbols):
        walk = np.cumsum(rng.normal(0.0, 0.001, each))
        close = 100.0 * np.exp(np.abs((walk + 3.0) % 4.0 - 2.0) - 1.0)
        opened = np.concatenate([[100.0], close[:-1]])
        wick = np.abs(rng.normal(0.0, 0.0005, (2, each)))
        stamps = (START_S + MINUTE_S * np.arange(each)) * 1_000_000
        parts.append(
            pl.DataFrame(
                {
                    "timestamp": pl.Series(stamps).cast(pl.Datetime("us", "UTC")),
                    "symbol": pl.repeat(f"S{number:02d}", each, eager=True),
                    "open": opened,
                    "high": np.maximum(opened, close) * (1.0 + wick[0]),
                    "low": np.minimum(opened, close) * (1.0 - wick[1]),
                    "close": close,
                    "volume": 1.0 + rng.random(each),
                }
            )
        )
    return pl.concat(parts, rechunk=True)


def configs() -> list[dict[str, Any]]:
    """The features as a config names them."""
    return [
        {"name": f"f{i}", "calculator": name, "params": params, "normalizer": "none"}
        for i, (name, params) in enumerate(pandas_features.FEATURES)
    ]


def ours(table: pl.DataFrame, threads: int | None = None) -> RawFeatures:
    specs = [normalize.specify(FeatureConfig(**c), MINUTE_S) for c in configs()]
    return compute(
        table, specs, session=session_of(None), interval_s=MINUTE_S, series={}, atr_period=None,
        threads=threads,
    )  # fmt: skip


def best(works: dict[str, Callable[[], object]], repeats: int) -> dict[str, tuple[float, float]]:
    """Shortest wall time and processor time of each work; they take turns, so that whatever else
    the machine does meets all of them."""
    found = {name: (float("inf"), float("inf")) for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            wall, cpu = time.perf_counter(), time.process_time()
            work()
            took = (time.perf_counter() - wall, time.process_time() - cpu)
            found[name] = (min(found[name][0], took[0]), min(found[name][1], took[1]))
    return found


def largest_difference(mine: RawFeatures, theirs: list[Any]) -> float:
    """Over all features and rows beyond the seeds, in standard deviations of the feature; infinite
    where one of the two has no value."""
    worst = 0.0
    for column, same in zip(mine.values.T, theirs, strict=True):
        values = np.asarray(same)[SETTLED:]
        apart = np.abs(column[SETTLED:] - values).max() / values.std()
        worst = max(worst, float(apart) if np.isfinite(apart) else float("inf"))
    return worst


def measure_time(rows: int, repeats: int) -> dict[str, Any]:
    """Both over the same rows, one after the other."""
    table = bars(rows)
    names = ("open", "high", "low", "close", "volume")
    frame = pandas_features.frame({name: table[name].to_numpy() for name in names})
    worst = largest_difference(ours(table), pandas_features.indicators(frame))
    if not worst < SAME:
        raise SystemExit(f"the two do not compute the same: {worst:g} standard deviations apart")
    works = {
        "ours": lambda: ours(table),
        "one": lambda: ours(table, 1),
        "pandas": lambda: pandas_features.indicators(frame),
    }
    took = best(works, repeats)
    return {
        "rows": rows,
        "features": len(pandas_features.FEATURES),
        "ours_s": took["ours"][0],
        "ours_cpu_s": took["ours"][1],
        "ours_one_thread_s": took["one"][0],
        "ours_one_thread_cpu_s": took["one"][1],
        "pandas_s": took["pandas"][0],
        "pandas_cpu_s": took["pandas"][1],
        "ratio": took["pandas"][0] / took["ours"][0],
        "ratio_one_thread_cpu": took["pandas"][1] / took["one"][1],
        "largest_difference_in_std": worst,
    }


def measure_symbols(rows: int, repeats: int) -> dict[str, Any]:
    """20 symbols of ``rows`` / 20 bars against one such symbol. At most 100,000 bars each: beyond
    some hundred megabytes it is the kernel's handing out of memory that is measured."""
    rows = min(rows, 2_000_000)
    pooled, single = bars(rows, 20), bars(rows // 20)
    took = best({"20": lambda: ours(pooled), "1": lambda: ours(single)}, repeats)
    return {
        "symbols_20_s": took["20"][0],
        "symbols_1_s": took["1"][0],
        "ratio": took["20"][0] / took["1"][0],
        "ratio_cpu": took["20"][1] / took["1"][1],
    }


def peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def measure_memory(rows: int, repeats: int) -> dict[str, Any]:
    """The peak of a process that computes the features once; the rows themselves included."""
    ours(bars(rows))
    return {"rows": rows, "peak_gb": peak_gb()}


def measure_dataset_20(rows: int, repeats: int) -> dict[str, Any]:
    """As :func:`measure_dataset`, of 20 symbols with ``rows`` / 20 bars each."""
    return measure_dataset(rows, repeats, 20)


def measure_dataset(rows: int, repeats: int, symbols: int = 1) -> dict[str, Any]:
    """Time and peak of building the dataset from a Parquet file that another process wrote."""
    from truefill.features.build import build_dataset

    days = rows // symbols * MINUTE_S // 86_400
    stamps = [np.datetime64(START_S + 86_400 * (days * part // 10), "s") for part in (0, 7, 8, 11)]
    dates = [str(stamp)[:10] for stamp in stamps]
    names = ("train", "validation", "test")
    splits = {n: {"start": dates[i], "end": dates[i + 1]} for i, n in enumerate(names)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bars.parquet"
        write = (
            f"import bench_features as b; b.bars({rows}, {symbols}).write_parquet({str(path)!r})"
        )
        subprocess.run([sys.executable, "-c", write], check=True, cwd=Path(__file__).parent)
        data = {"bars": [{"path": str(path)}], "interval": "1m", "splits": splits}
        features = [{**c, "normalizer": "zscore"} for c in configs()]
        for feature in features:
            if feature["calculator"] == "trend_z":
                feature["normalizer"] = "none"
        config = parse_config({"name": "bench", "data": data, "features": features})
        began = time.perf_counter()
        build_dataset(config)
        return {"rows": rows, "seconds": time.perf_counter() - began, "peak_gb": peak_gb()}


MEASURES = {
    "time": measure_time,
    "symbols": measure_symbols,
    "memory": measure_memory,
    "dataset": measure_dataset,
    "dataset_20": measure_dataset_20,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--dataset", action="store_true", help="build a whole dataset too")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", choices=MEASURES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(MEASURES[options.child](options.rows, options.repeats)))
        return
    packages = ("numpy", "scipy", "pandas", "polars")
    found: dict[str, Any] = {
        "python": sys.version.split()[0],
        "versions": {name: version(name) for name in packages},
        "cores": len(os.sched_getaffinity(0)),
        "load_at_start": os.getloadavg()[0],
    }
    for name in [n for n in MEASURES if options.dataset or not n.startswith("dataset")]:
        size = ["--rows", str(options.rows), "--repeats", str(options.repeats)]
        call = [sys.executable, __file__, "--child", name, *size]
        done = subprocess.run(call, check=True, stdout=subprocess.PIPE, text=True)
        found[name] = json.loads(done.stdout.splitlines()[-1])
    if options.json:
        print(json.dumps(found, indent=2))
        return
    for name, value in found.items():
        print(f"{name}: {json.dumps(value)}")
    if found["load_at_start"] > BUSY_LOAD:
        print(f"the machine was busy (load {found['load_at_start']:.1f}): compare ratios only")


if __name__ == "__main__":
    main()
