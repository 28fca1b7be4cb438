"""Everything the report shows, read from one run folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from truefill.config.evaluation import FORECAST_ONLY
from truefill.config.load import load_config
from truefill.config.schema import Config
from truefill.core.errors import ArtifactError
from truefill.core.files import read_json, read_parquet
from truefill.report.forecasts import Forecasts, read_forecasts
from truefill.report.leaks import CERTIFICATE

SPLITS = ("test", "validation")
BASELINES = ("flat", "buy_and_hold", "constant_exposure", "sma_cross", "random")


@dataclass(frozen=True)
class SeedTraining:
    """One seed's training: ``training.json`` and ``updates.parquet``."""

    seed: str
    training: dict[str, Any]
    updates: pl.DataFrame


@dataclass(frozen=True)
class Run:
    """One run as the report sees it."""

    name: str
    """The run folder's name."""
    config: Config
    config_text: str
    verdict: dict[str, Any]
    metrics: dict[str, Any]
    gates: dict[str, list[dict[str, Any]]]
    summary: dict[str, Any]
    seeds: tuple[SeedTraining, ...]
    lineage: dict[str, Any]
    equity: pl.DataFrame
    trades: pl.DataFrame
    certificate: dict[str, Any] | None = None
    """The leak certificate; None where the run was not audited."""
    forecasts: Forecasts | None = None
    """None where the run has no forecasters."""

    @property
    def splits(self) -> tuple[str, ...]:
        """Splits with results, test first; test is absent where it was not opened."""
        return tuple(split for split in SPLITS if split in self.metrics)

    @property
    def chosen(self) -> str:
        """The chosen policy, e.g. ``seed-42``."""
        return str(self.metrics["chosen"])

    def strategies(self, split: str) -> tuple[str, ...]:
        """The chosen policy, the other seeds, the user's own policies, then the baselines."""
        seeds = [f"seed-{seed.seed}" for seed in self.seeds]
        others = [name for name in seeds if name != self.chosen]
        return (self.chosen, *others, *self.compared(split))

    def compared(self, split: str) -> tuple[str, ...]:
        """The user's own policies, what trades the first forecast alone, then the baselines."""
        own = (policy.name for policy in self.config.evaluation.policies)
        names = (*own, FORECAST_ONLY, *BASELINES)
        return tuple(name for name in names if name in self.metrics[split])

    def curve(self, split: str, strategy: str) -> pl.DataFrame:
        """Rows of ``equity.parquet`` of one strategy, in time."""
        rows = self.equity.filter((pl.col("split") == split) & (pl.col("strategy") == strategy))
        if rows.is_empty():
            raise ArtifactError(f"no equity of {strategy!r} on {split}", where="equity.parquet")
        return rows.sort("timestamp")


def gather(folder: Path) -> Run:
    """Read a run folder that has a verdict.

    Raises:
        ArtifactError: a file is missing or not readable.
    """
    config = load_config(folder / "config.yaml")
    summary = read_json(folder / "train" / "summary.json")
    backtest, certificate = folder / "backtest", folder / CERTIFICATE
    return Run(
        name=folder.name,
        config=config,
        config_text=(folder / "config.yaml").read_text(encoding="utf-8"),
        verdict=read_json(folder / "verdict.json"),
        metrics=read_json(backtest / "metrics.json"),
        gates=read_json(backtest / "gates.json"),
        summary=summary,
        seeds=tuple(_seed(folder, seed) for seed in sorted(summary["seeds"], key=int)),
        lineage=read_json(folder / "dataset" / "lineage.json"),
        equity=read_parquet(backtest / "equity.parquet"),
        trades=read_parquet(backtest / "trades.parquet"),
        certificate=read_json(certificate) if certificate.is_file() else None,
        forecasts=read_forecasts(folder),
    )


def _seed(folder: Path, seed: str) -> SeedTraining:
    place = folder / "train" / f"seed-{seed}"
    return SeedTraining(
        seed, read_json(place / "training.json"), read_parquet(place / "updates.parquet")
    )
