"""What a study came to: its table, the winner, the selection regret, which keys mattered."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import optuna
import polars as pl
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from truefill.config.search import Dimension, SearchConfig
from truefill.core.files import json_text
from truefill.tuning.scores import Blocks, objective, out_of_fold, trial_value
from truefill.tuning.search import values_of

MIN_FOR_IMPORTANCE = 10
"""Complete trials below which no importance is said: PED-ANOVA compares the best with the rest."""
STATES: dict[TrialState, Literal["complete", "pruned", "failed", "running"]] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
}


def outcome(
    found: Mapping[str, Any], search: SearchConfig
) -> tuple[TrialState, float | None, dict[str, Any]]:
    """State, value and user attributes of a trial from what its worker answered."""
    seeds, reason = found["seeds"], found["reason"]
    state, value = TrialState.PRUNED, None
    attributes: dict[str, Any] = {"reason": reason, "seeds": seeds, "regimes": found["regimes"]}
    if reason is None:
        per_year = seeds[0]["periods_per_year"]
        values = [objective(seed["blocks"], search, per_year) for seed in seeds]
        value = trial_value([seed["blocks"] for seed in seeds], search, per_year)
        attributes["seed_values"] = values
        if value is None:
            attributes["reason"] = f"{search.objective} is undefined: a seed gained without a loss"
        else:
            state = TrialState.COMPLETE
    return state, value, attributes


def table(trials: Sequence[FrozenTrial], space: Mapping[str, Dimension]) -> list[dict[str, Any]]:
    """One row a trial, no times: number, state, value, the seeds' values, steps, reason, drawn
    values."""
    rows = []
    for trial in trials:
        seeds = trial.user_attrs.get("seeds", [])
        rows.append(
            {
                "trial": trial.number,
                "state": STATES[trial.state],
                "value": trial.value,
                "seed_values": trial.user_attrs.get("seed_values", []),
                "steps": sum(seed["steps"] or 0 for seed in seeds),
                "reason": trial.user_attrs.get("reason"),
                "values": values_of(trial.params, space),
            }
        )
    return rows


def frame(rows: Sequence[Mapping[str, Any]], trials: Sequence[FrozenTrial]) -> pl.DataFrame:
    """The table as a file: a column a key, lists as JSON text, judged values beside."""
    out = []
    for row, trial in zip(rows, trials, strict=True):
        values = {
            key: json_text(value).strip() if isinstance(value, list | dict) else value
            for key, value in row["values"].items()
        }
        sortino = {str(step): value for step, value in sorted(trial.intermediate_values.items())}
        out.append(
            {
                **{key: row[key] for key in ("trial", "state", "value", "seed_values", "steps")},
                "reason": row["reason"],
                **values,
                "validation_sortino": _line(sortino),
                "regime_score": _line(trial.user_attrs.get("regimes", {})),
            }
        )
    types: dict[str, Any] = {
        "value": pl.Float64,
        "reason": pl.String,
        "seed_values": pl.List(pl.Float64),
    }
    return pl.DataFrame(out, schema_overrides=types, infer_schema_length=None)


def _line(series: Mapping[str, float]) -> str:
    return ", ".join(f"{step}: {value!r}" for step, value in series.items())


def best(trials: Sequence[FrozenTrial], space: Mapping[str, Dimension]) -> dict[str, Any] | None:
    """The complete trial of the highest value, of equals the first; None where none is complete."""
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    if not complete:
        return None
    winner = max(complete, key=lambda trial: (_value(trial), -trial.number))
    return {
        "trial": winner.number,
        "value": _value(winner),
        "seed_values": winner.user_attrs["seed_values"],
        "values": values_of(winner.params, space),
    }


def _value(trial: FrozenTrial) -> float:
    assert trial.value is not None
    return trial.value


def regret(trials: Sequence[FrozenTrial], search: SearchConfig) -> dict[str, Any]:
    """The winner's value on validation less its out-of-fold estimate
    (:func:`truefill.tuning.scores.out_of_fold`)."""
    complete = {t.number: t for t in trials if t.state == TrialState.COMPLETE}
    if not complete:
        return {"value": None, "reason": "no trial is complete"}
    blocks: dict[int, list[Blocks]] = {
        number: [seed["blocks"] for seed in trial.user_attrs["seeds"]]
        for number, trial in complete.items()
    }
    per_year = next(iter(complete.values())).user_attrs["seeds"][0]["periods_per_year"]
    estimate, winners = out_of_fold(blocks, search, per_year)
    if estimate is None:
        return {"value": None, "reason": "a block's winner gained without a loss"}
    top = max(_value(trial) for trial in complete.values())
    return {
        "value": top - estimate,
        "winner_on_validation": top,
        "out_of_fold": estimate,
        "winner_by_block": winners,
    }


def importance(trials: Sequence[FrozenTrial], space: Mapping[str, Dimension]) -> dict[str, Any]:
    """Share of each key in what told the best tenth of the complete trials from the rest
    (PED-ANOVA, Watanabe et al. 2023)."""
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    if len(complete) < MIN_FOR_IMPORTANCE:
        count = len(complete)
        return {"value": None, "reason": f"{count} complete trials of {MIN_FOR_IMPORTANCE}"}
    study = optuna.create_study(direction="maximize")
    study.add_trials(complete)
    shares = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    if not all(math.isfinite(share) for share in shares.values()):
        return {"value": None, "reason": "the best trials differ from the rest in no key"}
    return {"value": {key: shares[key] for key in sorted(shares)}}
