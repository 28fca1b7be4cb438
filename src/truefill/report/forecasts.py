"""The forecasters of a run in the report: what was declared skilful and over what, in words and
tables. Nothing for a run without forecasts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from truefill.core.files import read_json
from truefill.evaluation.figures import Figure
from truefill.evaluation.gates import count, percent, plain
from truefill.report.forecast_words import (
    KINDS,
    ahead,
    columns_of,
    difference,
    error,
    folds_words,
    named,
    score_title,
    unit,
)
from truefill.report.words import shown

Row = dict[str, Any]
FOLDER = "forecast"
SKILL, TEST_SKILL, PLAN = "skill.json", "test_skill.json", "plan.json"
ENSEMBLE = "ensemble"
WHOLE = 0
"""The fold that was fitted on all of train."""
NOTHING = {"text": "–", "why": "", "sign": "none"}


@dataclass(frozen=True)
class Fit:
    """One fit of a network: ``facts`` is its fit.json."""

    member: str
    heads: str
    fold: int
    seed: str
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Forecasts:
    """``splits``: skill by split and head (docs/forecast-skill.md); ``fits``: of all networks;
    ``plan``: plan.json."""

    splits: Mapping[str, Mapping[str, Mapping[str, Any]]]
    fits: tuple[Fit, ...]
    plan: Mapping[str, Any]

    @property
    def shown(self) -> tuple[str, ...]:
        """The splits that have a place of their own on the page, test first."""
        return tuple(split for split in ("test", "validation") if split in self.splits)


def read_forecasts(folder: Path) -> Forecasts | None:
    """Of a run folder; None where it has no forecasts.

    Raises:
        ArtifactError: a file of them is missing or not readable.
    """
    place = folder / FOLDER
    if not (place / SKILL).is_file():
        return None
    splits = dict(read_json(place / SKILL)["splits"])
    if (place / TEST_SKILL).is_file():
        splits |= read_json(place / TEST_SKILL)["splits"]
    fits = []
    for path in sorted(place.glob("*/h*/fold-*/seed-*/fit.json")):
        member, heads, fold, seed = path.parent.parts[-4:]
        number = int(fold.removeprefix("fold-"))
        fits.append(Fit(member, heads, number, seed.removeprefix("seed-"), read_json(path)))
    fits.sort(key=lambda fit: (fit.member, fit.heads, fit.fold, fit.seed))
    return Forecasts(splits, tuple(fits), read_json(place / PLAN))


def forecasts_page(found: Forecasts | None) -> Row | None:
    """The section's words and tables; None without forecasts."""
    if found is None:
        return None
    return {
        "splits": {split: _split(found.splits[split]) for split in found.shown},
        "train": _split(found.splits["train"]) if "train" in found.splits else None,
        "folds": folds_words(found.plan["folds"]),
        "fits": count(len(found.fits)),
        "networks": bool(found.fits),
        "by_fold": any(entry["by_fold"] for _, _, entry in _entries(found.splits.get("train", {}))),
    }


def _entries(heads: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any], Any]]:
    for head, told in heads.items():
        for entry in told["forecasters"].values():
            yield head, told, entry


def _in_order(told: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The forecasters of a head, the ensemble first."""
    return sorted(told["forecasters"].items(), key=lambda pair: pair[0] != ENSEMBLE)


def _split(heads: Mapping[str, Mapping[str, Any]]) -> Row:
    return {
        "headline": headline(heads),
        "notes": _contaminated(heads),
        "heads": [_head(name, told) for name, told in heads.items()],
        "classes": any(told["kind"] == "class" for told in heads.values()),
    }


def headline(heads: Mapping[str, Mapping[str, Any]]) -> str:
    """Was anything declared skilful, over what, and how many were tried?"""
    tested = sum(told["tested"] for told in heads.values())
    level = next(iter(heads.values()))["confidence"]
    won = [
        f"{named(name)} {ahead(head)} over {named(entry['skill']['best'])} "
        f"({difference(told['kind'], entry['skill'])[0]}\u00a0{unit(told['kind'])})"
        for head, told in heads.items()
        for name, entry in _in_order(told)
        if entry["declared"] and not entry.get("contaminated")
    ]
    times = "test" if tested == 1 else "tests"
    luck = f"{tested * (1.0 - level) / 2.0:.2g}"
    if not won:
        return (
            f"No forecaster was declared skilful over the best baseline: {count(tested)} {times}, "
            f"each at {level * 100:g} %."
        )
    return (
        f"Declared skilful over the best baseline: {'; '.join(won)}. That is {count(len(won))} of "
        f"{count(tested)} {times}, each at {level * 100:g} %; luck alone would declare about "
        f"{luck}."
    )


def _contaminated(heads: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Once a forecaster: it may have seen these bars when it was trained."""
    found = {
        name: str(entry["contaminated"])
        for told in heads.values()
        for name, entry in told["forecasters"].items()
        if entry.get("contaminated")
    }
    return [
        f"{named(name)} is contaminated and counts as no skill here: {why}."
        for name, why in found.items()
    ]


def _head(name: str, told: Mapping[str, Any]) -> Row:
    kind = told["kind"]
    everyone = {**told["forecasters"], **told["baselines"]}
    order = [own for own, _ in _in_order(told)]
    return {
        "title": ahead(name)[:1].upper() + ahead(name)[1:],
        "note": f"{count(told['rows'])} rows at {count(told['times'])} times. {KINDS[kind]}",
        "score": score_title(kind),
        "unit": unit(kind),
        "likely": kind == "class",
        "traded": any("strategy" in own for own in everyone.values()),
        "rows": [_forecaster(own, told["forecasters"][own], kind) for own in order]
        + [_baseline(own, entry, kind) for own, entry in told["baselines"].items()],
        "details": _details(kind, everyone, order),
    }


def _forecaster(name: str, entry: Mapping[str, Any], kind: str) -> Row:
    text, ends = difference(kind, entry["skill"])
    likely, contaminated = entry["log_loss_skill"], str(entry.get("contaminated") or "")
    return {
        "name": named(name),
        "own": name == ENSEMBLE,
        "contaminated": contaminated,
        "score": error(kind, entry["mean_score"]["estimate"]),
        "best": named(entry["skill"]["best"]),
        "difference": text,
        "interval": ends,
        "mark": "unknown" if contaminated else "pass" if entry["declared"] else "",
        "declared": "contaminated" if contaminated else "yes" if entry["declared"] else "no",
        "likely": NOTHING if likely is None else _likely(likely),
        "traded": shown(entry["traded"], lambda x: f"{x:+.3f}"),
        "cells": _strategy(entry),
    }


def _baseline(name: str, entry: Mapping[str, Any], kind: str) -> Row:
    return {
        "name": named(name),
        "own": False,
        "contaminated": "",
        "score": error(kind, entry["mean_score"]["estimate"]),
        "best": "",
        "traded": shown(entry["traded"], lambda x: f"{x:+.3f}"),
        "likely": NOTHING,
        "cells": _strategy(entry),
    }


def _likely(skill: Mapping[str, Any]) -> Row:
    """The difference of log losses: below 0 is better, so that it is told as a gain."""
    why = f"{skill['low']:+.4f} to {skill['high']:+.4f} over {named(skill['best'])}"
    sign = "plus" if skill["low"] > 0.0 else "minus" if skill["high"] < 0.0 else "zero"
    return {"text": f"{skill['difference']:+.4f}", "why": why, "sign": sign}


def _strategy(entry: Mapping[str, Any]) -> list[Row]:
    """Net return, Sharpe ratio, trades, drawdown, VaR and CVaR of the threshold strategy."""
    told = entry.get("strategy")
    if told is None:
        return [NOTHING] * 5
    cells = [
        shown(told[key], form)
        for key, form in (
            ("net_return", percent),
            ("sharpe", plain),
            ("closed_trades", count),
            ("max_drawdown", percent),
        )
    ]
    cells[0]["sign"] += " signed"
    risks = [Figure.from_json(told[key]) for key in ("var_95", "cvar_95")]
    texts = ["n/a" if own.value is None else f"{own.value * 100:.2f}" for own in risks]
    why = next((str(own.reason) for own in risks if own.value is None), "")
    return [*cells, {"text": " / ".join(texts), "why": why, "sign": ""}]


def _details(kind: str, everyone: Mapping[str, Any], order: list[str]) -> Row:
    """What else is known of each forecaster, by kind."""
    names = [*order, *(name for name in everyone if name not in order)]
    columns = columns_of(kind, everyone[names[0]]["scores"])
    return {
        "columns": [title for title, _, _ in columns],
        "rows": [
            {
                "name": named(name),
                "cells": [shown(pick(everyone[name]["scores"]), form) for _, pick, form in columns],
            }
            for name in names
        ],
    }
