"""Writes the forecast files of a fabricated run: skill from the real scoreboard on invented
forecasts of invented outcomes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from truefill.config.forecast import SkillConfig
from truefill.core.files import write_json
from truefill.forecast.baselines import Forecast
from truefill.forecast.compare import Outcomes, with_quantiles
from truefill.forecast.scoreboard import score

FEW = SkillConfig(draws=200)
MEMBERS = ("lstm", "gru", "dlstm", "chronos_tiny")
BASELINES = {
    "class": ("drift", "last_value", "logistic", "majority", "random_walk", "scaled_walk"),
    "real": ("drift", "last_value", "linear", "random_walk"),
    "quantile": ("drift", "last_value", "linear", "random_walk"),
    "position": ("drift", "last_value", "linear", "random_walk"),
}
EDGES = (-0.004, 0.004)


def forecast_of(kind: str, moved: np.ndarray, knows: float, rng: np.random.Generator) -> Forecast:
    """A forecast of returns ``moved`` f64[n] that knows a share of them."""
    seen = knows * moved + (1.0 - knows) * 0.01 * rng.standard_normal(len(moved))
    if kind == "class":
        size = 60.0 * (0.4 + knows)
        logits = np.stack([-size * seen, np.full(len(seen), 0.1), size * seen], axis=1)
        shares = np.exp(logits)
        return Forecast.of(shares / shares.sum(axis=1, keepdims=True))
    if kind == "quantile":
        return with_quantiles(knows * seen, rng.normal(0.0, 0.01, 400), (0.1, 0.5, 0.9))
    return Forecast(np.tanh(100.0 * seen) if kind == "position" else knows * seen)


def head(kind: str, n: int, seed: int, folds: int, lead: float) -> dict[str, Any]:
    """One head; only the ensemble knows something, by ``lead``."""
    rng = np.random.default_rng(seed)
    moved = 0.01 * rng.standard_normal(n)
    label = np.digitize(moved, EDGES).astype(np.float64) if kind == "class" else moved
    outcomes = Outcomes(label, moved, np.arange(n) * 3_600, 1)
    known = {"ensemble": lead} | {name: lead / 4 for name in MEMBERS}
    mine = {name: forecast_of(kind, moved, share, rng) for name, share in known.items()}
    others = {name: forecast_of(kind, moved, 0.0, rng) for name in BASELINES[kind]}
    own = np.repeat(np.arange(1, folds + 1), -(-n // folds))[:n] if folds else np.zeros(n, np.int64)
    return score(mine, others, outcomes, kind, config=FEW, folds=own)  # type: ignore[arg-type]


def strategy(rng: np.random.Generator, few: bool) -> dict[str, Any]:
    net = float(rng.normal(0.0, 0.1))
    none = {"value": None, "reason": "fewer than 20 closed trades"}
    return {
        "net_return": net, "sharpe": none if few else 8.0 * net, "closed_trades": 4 if few else 180,
        "max_drawdown": 0.12, "var_95": 0.011, "cvar_95": 0.017,
    }  # fmt: skip


def history(rng: np.random.Generator, epochs: int) -> list[dict[str, Any]]:
    at = np.arange(1, epochs + 1)
    fitted = 1.08 * np.exp(-0.02 * at) + 0.003 * rng.standard_normal(epochs)
    holdout = 1.02 + 0.1 * np.exp(-0.3 * at) + 0.002 * at + 0.004 * rng.standard_normal(epochs)
    return [
        {"epoch": int(e), "step": int(e) * 50, "learning_rate": 1e-3, "loss": float(one),
         "holdout": {"loss": float(two), "accuracy": 0.5}}
        for e, one, two in zip(at, fitted, holdout, strict=True)
    ]  # fmt: skip


def write_forecasts(
    folder: Path,
    *,
    kind: str = "class",
    horizons: tuple[int, ...] = (1, 2, 3),
    opened: bool = True,
    lead: float = 0.6,
    contaminated: bool = False,
    networks: tuple[str, ...] = MEMBERS[:3],
    rows: int = 240,
) -> Path:
    """Add ``forecast/`` to a run folder and return that."""
    rng, place = np.random.default_rng(3), folder / "forecast"
    splits: dict[str, dict[str, Any]] = {}
    for number, split in enumerate(("train", "validation", "test")):
        heads = {}
        for h in horizons:
            told = head(kind, rows, 10 * number + h, 4 if split == "train" else 0, lead / h)
            everyone = [*told["forecasters"].values(), *told["baselines"].values()]
            for place_of, entry in enumerate(everyone):
                if split != "train":
                    entry["strategy"] = strategy(rng, few=place_of == 1)
            if contaminated:
                entry = told["forecasters"]["chronos_tiny"]
                entry["contaminated"] = "240 of 240 rows lie before its training cutoff 2024-01-01"
                entry["declared"] = True
            heads[f"h{h}"] = told
        splits[split] = heads
    write_json(place / "skill.json", {"splits": {s: splits[s] for s in ("train", "validation")}})
    if opened:
        write_json(place / "test_skill.json", {"splits": {"test": splits["test"]}})
    whole = {"fold": 0, "fitted_rows": 900, "asked_rows": 0, "begin_s": 0, "end_s": 0}
    folds = [
        {"fold": k, "fitted_rows": 180 * k, "asked_rows": 180,
         "begin_s": 1_577_836_800 + 15_000_000 * k, "end_s": 1_592_000_000 + 15_000_000 * k}
        for k in range(1, 5)
    ]  # fmt: skip
    write_json(place / "plan.json", {"folds": [whole, *folds], "units": []})
    for member in networks:
        for fold in range(5):
            own = history(rng, 12)
            best = min(own, key=lambda row: row["holdout"]["loss"])["epoch"]
            where = place / member / "h1-2-3" / f"fold-{fold}" / "seed-1" / "fit.json"
            write_json(where, {"history": own, "best_epoch": best, "rows": {"fitted": 900}})
    return folder
