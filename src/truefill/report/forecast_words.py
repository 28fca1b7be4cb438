"""Names, units and columns of forecasts as people read them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from truefill.evaluation.gates import percent

CLASSES = ("fall", "still", "rise")
KINDS = {
    "class": "Three classes: fall, still, rise.",
    "real": "A quantity, in its own unit.",
    "quantile": "Quantiles of a quantity, in its own unit.",
    "position": "Positions from -1 to 1, held over the horizon; gains before costs.",
}
SCORES = {
    "class": "Accuracy",
    "real": "Mean squared error",
    "quantile": "Mean pinball loss",
    "position": "Mean gain, bps",
}
Column = tuple[str, Callable[[Mapping[str, Any]], Any], Callable[[float], str]]


def named(name: str) -> str:
    """A forecaster as its config calls it."""
    return name.replace("_", " ")


def ahead(head: str) -> str:
    """``h3`` -> ``3 bars ahead``; ``h3 quantile`` -> ``3 bars ahead, quantile``."""
    horizon, _, kind = head.partition(" ")
    bars = horizon.removeprefix("h")
    return f"{bars} bar{'' if bars == '1' else 's'} ahead" + (f", {kind}" if kind else "")


def score_title(kind: str) -> str:
    """What the column of scores holds."""
    return SCORES[kind]


def error(kind: str, score: float) -> str:
    """A mean score as people tell it: accuracy, an error (less is better), or a gain."""
    if kind == "class":
        return percent(score)
    if kind == "position":
        return f"{score * 1e4:+.2f}"
    return f"{-score:.4g}"


def unit(kind: str) -> str:
    """The unit in which skill is told."""
    return {"class": "points", "position": "bps"}.get(kind, "%")


def scaled(
    kind: str, told: Mapping[str, Any], skill: Mapping[str, Any]
) -> tuple[float, float, float]:
    """A difference of scores and its interval: percentage points of accuracy, basis points of
    gain, or per cent of the best baseline's error (by ``skill``); above 0 is better."""
    size = abs(skill["scores"][skill["best"]])
    scale = {"class": 100.0, "position": 1e4}.get(kind, 100.0 / size if size else 0.0)
    own, low, high = (float(told[key]) * scale for key in ("difference", "low", "high"))
    return own, low, high


def difference(kind: str, skill: Mapping[str, Any]) -> tuple[str, str]:
    """Skill and its interval in words, without the unit; see :func:`scaled`."""
    own, low, high = scaled(kind, skill, skill)
    return f"{own:+.2f}", f"{low:.2f} to {high:.2f}"


def folds_words(folds: Sequence[Mapping[str, Any]]) -> list[str]:
    """The stretches of train that folds forecast, and what each was fitted on."""
    return [
        f"Fold {own['fold']}: {_day(own['begin_s'])} to {_day(own['end_s'])}, "
        f"{own['asked_rows']:,} rows, fitted on {own['fitted_rows']:,}"
        for own in folds
        if own["fold"]
    ]


def fold_label(folds: Sequence[Mapping[str, Any]], fold: str) -> str:
    """A fold on an axis: its number, and when it begins."""
    begins = {str(own["fold"]): _day(own["begin_s"])[:7] for own in folds}
    return f"{fold}<br>{begins[fold]}" if fold in begins else fold


def columns_of(kind: str, scores: Mapping[str, Any]) -> list[Column]:
    """The columns of the details of a kind: title, where the figure is, how it is written."""
    if kind == "class":
        each: list[Column] = [
            (f"{name} {measure}", _at(measure, number), percent)
            for measure in ("precision", "recall", "f1")
            for number, name in enumerate(CLASSES)
        ]
        return [
            *each,
            ("mean f1", _at("macro_f1"), percent),
            ("log loss", _at("log_loss"), _four),
            ("Brier", _at("brier"), _four),
            ("calibration error", _at("calibration_error"), percent),
        ]
    if kind == "quantile":
        levels = list(scores["pinball"])
        columns: list[Column] = [(f"pinball {q}", _at("pinball", q), _digits) for q in levels]
        if scores["interval"] is not None:
            wide = f"{levels[0]} to {levels[-1]}"
            columns += [
                (f"within {wide}", _at("interval", "coverage"), percent),
                ("should be", _at("interval", "nominal"), percent),
                ("width", _at("interval", "width"), _digits),
            ]
        return [*columns, ("right sign of median", _at("median", "sign"), percent)]
    if kind == "position":
        return [
            ("gain / its deviation, a row", _at("sharpe"), _four),
            ("mean position", _at("mean_position"), _four),
            ("mean size", _at("mean_size"), _four),
            ("rows long", _at("share_long"), percent),
            ("rows short", _at("share_short"), percent),
        ]
    return [
        ("mean absolute error", _at("mae"), _digits),
        ("R2", _at("r2"), _four),
        ("R2 against 0", _at("r2_zero"), _four),
        ("correlation", _at("correlation"), _four),
        ("right sign", _at("sign"), percent),
    ]


def _at(*keys: Any) -> Callable[[Mapping[str, Any]], Any]:
    def pick(scores: Mapping[str, Any]) -> Any:
        found: Any = scores
        for key in keys:
            found = found[key]
        return found

    return pick


def _four(value: float) -> str:
    return f"{value:.4f}"


def _digits(value: float) -> str:
    return f"{value:.4g}"


def _day(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d}"
