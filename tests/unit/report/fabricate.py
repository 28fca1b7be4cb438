"""Writes a small run folder in the real format, with consistent invented results."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from truefill.config.load import dump_config, parse_config
from truefill.config.schema import Config
from truefill.core.files import write_json, write_parquet, write_text
from truefill.evaluation.figures import Figure
from truefill.evaluation.gates import check_gates, failed
from truefill.evaluation.metrics import Metrics, measure
from truefill.evaluation.uncertainty import paired_difference, seed_spread
from truefill.evaluation.verdict import TestEvidence as Evidence
from truefill.evaluation.verdict import decide

SEEDS = (42, 123, 456, 789, 1337)
SKILL = {42: 0.16, 123: 0.13, 456: 0.1, 789: 0.0, 1337: 0.06}
START = {
    "validation": datetime(2023, 1, 2, 13, tzinfo=UTC),
    "test": datetime(2023, 7, 3, 13, tzinfo=UTC),
}
SPLIT_DATES = {
    "train": ("2020-01-01", "2023-01-01"),
    "validation": ("2023-01-01", "2023-07-01"),
    "test": ("2023-07-01", "2024-01-01"),
}
CASH = 10_000.0
COST = 0.00015


def config_of() -> Config:
    splits = {n: {"start": s, "end": e} for n, (s, e) in SPLIT_DATES.items()}
    return parse_config(
        {
            "name": "sample",
            "data": {
                "synthetic": {"kind": "planted_signal"},
                "interval": "5m",
                "splits": splits,
            },
            "features": [{"name": "log_ret_5m", "calculator": "log_return"}],
            "market": {"fee_bps": 1.0, "half_spread_bps": 0.3, "slippage_bps": 0.2},
            "evaluation": {"bootstrap_draws": 300},
        }
    )


def _account(close: np.ndarray, weight: np.ndarray) -> dict[str, np.ndarray]:
    """Equity of holding ``weight`` [T+1] of equity from each close to the next."""
    moves = np.diff(close, prepend=close[0]) / np.concatenate([close[:1], close[:-1]])
    before = np.concatenate([[0.0], weight[:-1]])
    turnover = np.abs(np.diff(weight, prepend=0.0))
    equity = CASH * np.cumprod(1.0 + before * moves - turnover * COST)
    return {
        "equity": equity,
        "weight": weight,
        "gross": np.abs(weight),
        "turnover": turnover,
        "drawdown": 1.0 - equity / np.maximum.accumulate(equity),
        "close": close,
        "cost": np.cumsum(turnover * COST * equity),
        "financing": np.cumsum(np.full(len(close), 0.002)),
    }


def _trades(
    strategy: str, split: str, times: list[datetime], book: dict[str, np.ndarray]
) -> pl.DataFrame:
    side = np.sign(book["weight"])
    changes = np.flatnonzero(np.diff(side, prepend=0.0))
    rows = []
    for start, end in pairwise(changes):
        if side[start] != 0.0:
            entry, out = book["close"][start], book["close"][end]
            units = float(side[start] * book["equity"][start] / entry)
            profit = float(units * (out - entry) - abs(units) * (entry + out) * COST)
            rows.append(
                (split, strategy, "USDCOP", int(side[start]), times[start], times[end],
                 float(entry), float(out), units, int(end - start), profit,
                 profit / abs(units * entry),
                 "order" if (end - start) % 7 else "stop_loss")
            )  # fmt: skip
    schema = {
        "split": pl.String, "strategy": pl.String, "symbol": pl.String, "side": pl.Int64,
        "entry_time": pl.Datetime("us", "UTC"), "exit_time": pl.Datetime("us", "UTC"),
        "entry_price": pl.Float64, "exit_price": pl.Float64, "units": pl.Float64,
        "bars_held": pl.Int64, "net_profit": pl.Float64, "return": pl.Float64, "reason": pl.String,
    }  # fmt: skip
    return pl.DataFrame(rows, schema=schema, orient="row")


def _weights(close: np.ndarray, generator: np.random.Generator) -> dict[str, np.ndarray]:
    """Positions of seeds that see a little of the next 20 bars, and of the baselines."""
    n = len(close)
    future = np.sign(np.concatenate([close[20:], np.full(20, close[-1])]) - close)
    out = {}
    for seed in SEEDS:
        own = np.random.default_rng([seed, n])
        blocks = own.random(n // 20 + 1)
        guess = np.where(blocks < 0.5 + SKILL[seed] / 2, 1.0, -1.0).repeat(20)[:n]
        idle = (own.random(n // 20 + 1) < 0.3).repeat(20)[:n]
        held = future[(np.arange(n) // 20) * 20]
        out[f"seed-{seed}"] = np.where(idle, 0.0, guess * held)
    out["flat"] = np.zeros(n)
    out["buy_and_hold"] = np.ones(n)
    out["constant_exposure"] = np.full(n, 0.12)
    average = np.convolve(close, np.ones(50) / 50)[:n]
    out["sma_cross"] = np.where(np.arange(n) < 50, 0.0, np.sign(close - average))
    out["random"] = generator.integers(-1, 2, n // 20 + 1).repeat(20)[:n].astype(float)
    return out


def _split(name: str, bars: int, few_trades: bool) -> dict[str, Any]:
    generator = np.random.default_rng(11 if name == "test" else 5)
    close = 4_300.0 * np.exp(np.cumsum(0.0008 * generator.standard_normal(bars + 1)))
    day = np.arange(bars + 1) // 60
    seconds = START[name].timestamp() + day * 86_400.0 + np.arange(bars + 1) % 60 * 300.0
    times = [datetime.fromtimestamp(s, UTC) for s in seconds]
    equity, trades, metrics, returns = [], [], {}, {}
    for strategy, weight in _weights(close, generator).items():
        if few_trades and strategy.startswith("seed"):
            weight = np.where(np.arange(bars + 1) < 300, weight, 0.0)
        book = _account(close, weight)
        closed = _trades(strategy, name, times, book)
        metrics[strategy] = measure(
            book["equity"],
            seconds.astype(np.int64),
            closed,
            weight=book["weight"],
            gross=book["gross"],
            turnover=book["turnover"],
            total_cost=float(book["cost"][-1]),
            total_financing=float(book["financing"][-1]),
            rule="closed_trades" if strategy.startswith("seed") else "exempt",
        )
        returns[strategy] = np.diff(np.log(book["equity"]))
        columns = ("equity", "weight", "gross", "drawdown", "close", "cost", "financing")
        table = pl.DataFrame({c: book[c] for c in columns})
        keys = [pl.lit(name).alias("split"), pl.lit(strategy).alias("strategy"),
                pl.Series("timestamp", times, dtype=pl.Datetime("us", "UTC"))]  # fmt: skip
        equity.append(table.with_columns(keys))
        trades.append(closed)
    draws = generator.normal(-0.02, 0.04, 200)
    return {"equity": equity, "trades": trades, "metrics": metrics, "returns": returns,
            "draws": [float(d) for d in draws]}  # fmt: skip


def _training(folder: Path, seed: int) -> dict[str, Any]:
    generator = np.random.default_rng(seed)
    steps = [250_000 * (i + 1) for i in range(8)]
    scores = [
        float(SKILL[seed] * (1 - math.exp(-i / 2)) + 0.01 * generator.standard_normal())
        for i in range(8)
    ]
    best = int(np.argmax(scores))
    training = {
        "seed": seed, "steps": steps[-1], "updates": 61, "best_step": steps[best],
        "best_score": scores[best], "stopped": "budget", "policy_sha256": f"{seed:064x}",
        "evaluations": [
            {"step": s, "score": v, "net_return": v, "closed_trades": 40}
            for s, v in zip(steps, scores, strict=True)
        ],
    }  # fmt: skip
    write_json(folder / f"seed-{seed}" / "training.json", training)
    n = 61
    ramp = np.arange(n) / n
    noise = generator.standard_normal((6, n))
    updates = {
        "update": np.arange(n),
        "step": (np.arange(n) + 1) * 32_768,
        "reward_mean": 0.02 * ramp + 0.004 * noise[0],
        "entropy": 1.09 - 0.6 * ramp + 0.02 * noise[1],
        "approx_kl": 0.01 + 0.002 * np.abs(noise[2]),
        "explained_variance": np.where(np.arange(n) == 0, np.nan, 0.7 * ramp + 0.05 * noise[3]),
        "value_loss": np.exp(-3 * ramp) + 0.02 * np.abs(noise[4]),
        "clip_fraction": 0.12 + 0.02 * noise[5],
    }
    write_parquet(folder / f"seed-{seed}" / "updates.parquet", pl.DataFrame(updates))
    return {key: training[key] for key in ("best_score", "best_step", "steps", "stopped")}


def _lineage(bars: int, opened: bool) -> dict[str, Any]:
    return {
        "features": [
            {"name": f"feature_{i}", "calculator": "log_return", "params": {"periods": i + 1},
             "normalizer": "zscore", "pre_clip": 0.1, "clip": 5.0, "clip_low": None,
             "warmup_bars": i + 1, "unit": "fraction"}
            for i in range(18)
        ],
        "contract_sha256": "c" * 64,
        "test_sha256": "7" * 64,
        "inputs": [{"file": "usdcop_5m.parquet", "sha256": "a1" * 32, "rows": 60_123},
                   {"file": "macro_daily.parquet", "sha256": "b2" * 32, "rows": 1_304}],
        "rows": {"read": 60_123, "outside_session": 1_204, "outside_splits": 0,
                 "dropped_warmup": 288, "no_trade_stale": 12, "train": 45_000,
                 "validation": bars + 1, "test": bars + 1},
        "close_only_bars": {"train": 450, "validation": 30, "test": bars // 5 if opened else 0},
        "periods_per_year": {"train": 15_120.0, "validation": 15_120.0, "test": 15_120.0},
        "splits": {n: {"start": f"{s}T00:00:00+00:00", "end": f"{e}T00:00:00+00:00"}
                   for n, (s, e) in SPLIT_DATES.items()},
        "symbols": ["USDCOP"],
        "no_trade": {"rules_sha256": "", "windows": [], "together": {
            "bars": {"train": 0, "validation": 0}, "share": {"train": 0.0, "validation": 0.0},
            "first": None, "last": None}},
        "seasonality": None,
        "joined": {"series": [], "releases": []},
        "interval_s": 300.0,
        "dead_features": [],
        "warnings": [],
    }  # fmt: skip


def _evidence(
    test: dict[str, Any], gates: Any, metrics: dict[str, Metrics], paired: Any
) -> Evidence:
    own = metrics["seed-42"]
    seeds = {s: metrics[f"seed-{s}"] for s in SEEDS}
    few = own.sharpe.reason if own.closed_trades < 20 else None
    return Evidence(
        gates=gates,
        shortfall=few,
        net_return=own.net_return.value or 0.0,
        closed_trades=own.closed_trades,
        sharpe_per_period=own.sharpe_per_period,
        skewness=own.skewness,
        kurtosis=own.kurtosis,
        bars=own.bars,
        baseline_returns={n: metrics[n].net_return.value or 0.0 for n in paired},
        paired=paired,
        seed_returns={s: m.net_return.value or 0.0 for s, m in seeds.items()},
        stressed_return=0.031,
        slippage_returns={0.0: 0.1, 5.0: 0.06, 20.0: -0.02},
        looks=5,
        trial_sharpes=[
            m.sharpe_per_period.value for m in seeds.values() if m.sharpe_per_period.value
        ],
        openings=1,
        contaminated=False,
    )


def fabricate(
    folder: Path, *, opened: bool = True, bars: int = 2_400, few_trades: bool = False
) -> Path:
    """Write a run folder and return it.

    Args:
        opened: False leaves a failed validation gate and no test results.
        few_trades: the policies stop trading early, so that figures are undefined.
    """
    config = config_of()
    splits = {"validation": _split("validation", bars, few_trades)}
    if opened:
        splits["test"] = _split("test", bars, few_trades)
    metrics: dict[str, Any] = {
        "chosen": "seed-42",
        "chosen_by": "the best validation score over seeds (mean net log return of 10 episodes)",
        "random_draws": {}, "paired": {}, "cost_stress": {}, "slippage_grid": {},
        "orders": {}, "looks": {"validation": 40, "test": 5}, "periods_per_year": {},
    }  # fmt: skip
    gates, paired = {}, {}
    for name, part in splits.items():
        own = part["metrics"]["seed-42"]
        baselines = [n for n in part["metrics"] if not n.startswith("seed")]
        paired[name] = {
            n: paired_difference(part["returns"]["seed-42"], part["returns"][n], draws=300)
            for n in baselines
        }
        rows = {"test": bars} if name == "test" else {"train": 45_000, "validation": bars}
        gates[name] = check_gates(own, config.gates, rows=rows)
        metrics[name] = {n: m.to_dict() for n, m in part["metrics"].items()}
        metrics["random_draws"][name] = {"net_return": part["draws"]}
        metrics["paired"][name] = {n: p.to_dict() for n, p in paired[name].items()}
        metrics["orders"][name] = {
            "statuses": {"0": 900, "1": 60, "2": 30}, "ambiguous": 1, "resolved": 0,
            "dividends": 0.0,
        }  # fmt: skip
        metrics["cost_stress"][name] = {"x2.0": 0.031}
        grid = {"0.0": own.net_return.value, "5.0": 0.03, "20.0": -0.02}
        metrics["slippage_grid"][name] = grid
        metrics["periods_per_year"][name] = own.periods_per_year.value
    evidence = None
    if opened:
        evidence = _evidence(
            splits["test"], gates["test"], splits["test"]["metrics"], paired["test"]
        )
    else:
        own = replace(splits["validation"]["metrics"]["seed-42"], max_drawdown=Figure(0.31))
        bad = check_gates(own, config.gates, rows={"train": 45_000, "validation": bars})
        gates["validation"] = bad
        assert failed(bad)
    verdict = decide(gates["validation"], evidence, config.evaluation)
    seeds = {str(s): _training(folder / "train", s) for s in SEEDS}
    spread = seed_spread([s["best_score"] for s in seeds.values()])
    write_json(folder / "train" / "summary.json", {
        "seeds": seeds, "spread": spread.to_dict(), "chosen_seed": 42,
        "chosen_by": metrics["chosen_by"]})  # fmt: skip
    write_text(folder / "config.yaml", dump_config(config))
    write_json(folder / "dataset" / "lineage.json", _lineage(bars, opened))
    backtest = folder / "backtest"
    write_json(backtest / "metrics.json", metrics)
    write_json(backtest / "gates.json", {n: [g.to_dict() for g in v] for n, v in gates.items()})
    frames = list(splits.values())
    write_parquet(backtest / "equity.parquet", pl.concat([e for f in frames for e in f["equity"]]))
    write_parquet(backtest / "trades.parquet", pl.concat([t for f in frames for t in f["trades"]]))
    write_json(folder / "verdict.json", verdict.to_dict())
    return folder
