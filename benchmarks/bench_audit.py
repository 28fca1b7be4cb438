"""How long does a whole leak audit take on a large dataset?

    .venv/bin/python benchmarks/bench_audit.py [--rows 1000000] [--symbols 1] [--workers 2] [--json]

One-minute bars of random walks in a Parquet file, twenty features, every check with every cut.
Time is told twice: by the wall clock, and of all processors together, which a busy
machine hardly changes.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from bench_features import MINUTE_S, START_S, bars

from truefill.config.load import parse_config
from truefill.config.schema import Config
from truefill.pipeline.audit import audit
from truefill.pipeline.events import Event

FEATURES: dict[str, tuple[str, dict[str, Any]]] = {
    "ret_1": ("log_return", {"periods": 1}),
    "ret_15": ("log_return", {"periods": 15}),
    "ret_60": ("log_return", {"periods": 60}),
    "sma": ("sma_distance", {"window": 60}),
    "ema": ("ema_distance", {"period": 30}),
    "macd": ("macd_histogram", {}),
    "rsi": ("rsi", {"period": 14}),
    "stochastic": ("stochastic_k", {"window": 14}),
    "cci": ("cci", {"window": 20}),
    "atr_14": ("atr", {"period": 14}),
    "bollinger": ("bollinger_position", {"window": 20}),
    "obv": ("obv_change", {"window": 60}),
    "mfi": ("mfi", {"window": 14}),
    "adx": ("adx", {"period": 14}),
    "parkinson": ("parkinson", {"window": 60}),
    "yang_zhang": ("yang_zhang", {"window": 60}),
    "volume_rel": ("volume_ratio", {"window": 60}),
    "drawdown": ("drawdown", {"window": 240}),
    "skew": ("realized_skew", {"window": 60}),
    "vol": ("volatility_pct", {"window": 60}),
}
SHARES = (0, 70, 85, 100)
"""Where splits begin and end, in percent of the bars of a symbol."""


def config_of(path: Path, rows: int, symbols: int) -> Config:
    """Twenty features of the bars in ``path``, and a small trader."""
    each = rows // symbols
    edges = [START_S + MINUTE_S * (each * share // 100) for share in SHARES]
    stamps = [f"{np.datetime64(edge, 's')}Z" for edge in edges]
    names = ("train", "validation", "test")
    splits = {n: {"start": stamps[i], "end": stamps[i + 1]} for i, n in enumerate(names)}
    return parse_config(
        {
            "name": "bench_audit",
            "data": {"bars": [{"path": str(path)}], "interval": "1m", "splits": splits},
            "features": [
                {"name": name, "calculator": calculator, "params": params}
                for name, (calculator, params) in FEATURES.items()
            ],
            "market": {"allow_short": True, "stop_loss": 0.01, "fee_bps": 1},
            "env": {"action": {"kind": "short_flat_long"}, "episode_bars": 480},
        }
    )


def processor_s() -> float:
    """Seconds of processor time of this process and of those that it has ended."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(u.ru_utime + u.ru_stime for u in map(resource.getrusage, kinds))


def measure(rows: int, symbols: int, workers: int, folder: Path) -> dict[str, Any]:
    path = folder / "bars.parquet"
    bars(rows, symbols).write_parquet(path)
    said: list[tuple[float, str]] = []
    began, cpu = time.perf_counter(), processor_s()

    def report(event: Event) -> None:
        if event.kind == "line":
            said.append((time.perf_counter() - began, event.text))

    result = audit(config_of(path, rows, symbols), runs=folder, workers=workers, report=report)
    made = result.certificate
    return {
        "rows": rows,
        "symbols": symbols,
        "features": len(FEATURES),
        "passed": made["passed"],
        "cuts": made["cuts"],
        "comparisons": made["comparisons"],
        "values_compared": made["values_compared"],
        "wall_s": time.perf_counter() - began,
        "cpu_s": processor_s() - cpu,
        "peak_worker_gb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6,
        "said": said,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--symbols", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(options.rows, options.symbols, options.workers, Path(folder))
    found |= {
        "python": sys.version.split()[0],
        "cores": len(os.sched_getaffinity(0)),
        "load_at_start": os.getloadavg()[0],
    }
    if options.json:
        print(json.dumps(found))
        return
    for second, text in found.pop("said"):
        print(f"{second:8.1f} s  {text}")
    for name, value in found.items():
        print(f"{name:<16} {value:,.1f}" if isinstance(value, float) else f"{name:<16} {value}")


if __name__ == "__main__":
    main()
