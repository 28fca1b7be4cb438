"""The charts of the forecasters: learning curves, confusion, calibration, what came of signals,
skill by horizon and by fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from truefill.report.downsample import rounded
from truefill.report.forecast_words import (
    CLASSES,
    ahead,
    fold_label,
    named,
    scaled,
    score_title,
    unit,
)
from truefill.report.forecasts import ENSEMBLE, WHOLE, Fit, Forecasts
from truefill.report.grid import ACROSS, Grid

Spec = dict[str, Any]
Head = Mapping[str, Any]
ACCENT, OTHER, GREY, GOOD = "#3b82f6", "#f59e0b", "#94a3b8", "#16a34a"
COLOURS = ("#f59e0b", "#14b8a6", "#a855f7", "#ec4899", "#84cc16", "#ef4444", "#0ea5e9", "#64748b")
ZERO = {"zeroline": True, "zerolinecolor": GREY, "zerolinewidth": 1.4}
LEAST_IN_BIN = 10


def forecast_figures(found: Forecasts | None) -> dict[str, Spec]:
    """Every chart of the section by the id of its place; none without forecasts."""
    if found is None:
        return {}
    out: dict[str, Spec] = {}
    for split in found.shown:
        heads = found.splits[split]
        classes = {name: head for name, head in heads.items() if head["kind"] == "class"}
        if classes:
            out[f"forecast-confusion-{split}"] = confusion(classes)
            out[f"forecast-calibration-{split}"] = calibration(classes)
        out[f"forecast-signal-{split}"] = by_signal(heads)
        out[f"forecast-skill-{split}"] = by_horizon(heads)
    train = found.splits.get("train", {})
    if any(own["by_fold"] for head in train.values() for own in head["forecasters"].values()):
        out["forecast-folds"] = by_fold(train, found.plan["folds"])
    if found.fits:
        out["forecast-learning"] = learning(found.fits)
    return out


def _titles(heads: Mapping[str, Head]) -> list[str]:
    return [ahead(name) for name in heads]


def _first(head: Head) -> str:
    """Who is drawn: the ensemble, or the first forecaster of a head without one."""
    return ENSEMBLE if ENSEMBLE in head["forecasters"] else next(iter(head["forecasters"]))


def confusion(heads: Mapping[str, Head]) -> Spec:
    """Share of each outcome's rows that were forecast as each class, the counts written in."""
    titles = [f"{ahead(name)}: {named(_first(head))}" for name, head in heads.items()]
    grid, data = Grid(titles, tall=230), []
    for place, head in enumerate(heads.values()):
        counts = head["forecasters"][_first(head)]["scores"]["confusion"]
        shares = [[n / max(sum(row), 1) for n in row] for row in counts]
        text = [
            [f"{share:.0%}<br>{n:,}" for share, n in zip(*pair, strict=True)]
            for pair in zip(shares, counts, strict=True)
        ]
        axes = grid.axes(
            place,
            {"title": {"text": "forecast"}, "type": "category"},
            {"title": {"text": "came" if place % ACROSS == 0 else ""}, "type": "category",
             "autorange": "reversed"},
        )  # fmt: skip
        data.append(
            {"type": "heatmap", "x": list(CLASSES), "y": list(CLASSES),
             "z": [rounded(row, 4) for row in shares], "text": text, "texttemplate": "%{text}",
             "zmin": 0.0, "zmax": 1.0, "showscale": False, "xgap": 2, "ygap": 2,
             "colorscale": [[0.0, "rgba(59,130,246,0.06)"], [1.0, "rgba(59,130,246,0.85)"]],
             "hovertemplate": "%{y} came, %{x} forecast: %{text}<extra></extra>", **axes}
        )  # fmt: skip
    return {"data": data, "layout": grid.layout | {"showlegend": False}}


def calibration(heads: Mapping[str, Head]) -> Spec:
    """Share of forecasts that came true by the probability that was given; a dot's area is the
    count. On the diagonal probabilities mean what they say."""
    grid, data = Grid(_titles(heads)), []
    for place, head in enumerate(heads.values()):
        axes = grid.axes(
            place,
            {"range": [0.3, 1.02], "tickformat": ".0%", "title": {"text": "probability given"}},
            {"range": [0.0, 1.05], "tickformat": ".0%",
             "title": {"text": "came true" if place % ACROSS == 0 else ""}},
        )  # fmt: skip
        data.append(
            {"type": "scatter", "mode": "lines", "x": [0.3, 1.0], "y": [0.3, 1.0], **axes,
             "line": {"color": GREY, "dash": "dot", "width": 1}, "showlegend": False,
             "hoverinfo": "skip"}
        )  # fmt: skip
        for name, colour in _coloured(head):
            bins = [
                own
                for own in head["forecasters"][name]["scores"]["calibration"]
                if own["count"] >= LEAST_IN_BIN
            ]
            if not bins:
                continue
            most = max(own["count"] for own in bins)
            own = name == _first(head)
            data.append(
                {"type": "scatter", "mode": "lines+markers", "name": named(name),
                 "legendgroup": name, "showlegend": place == 0, **axes,
                 "x": rounded((b["confidence"] for b in bins), 4),
                 "y": rounded((b["accuracy"] for b in bins), 4),
                 "text": [f"{b['count']:,} forecasts" for b in bins],
                 "hovertemplate": "given %{x:.1%}, came true %{y:.1%}, %{text}",
                 "opacity": 1.0 if own else 0.65,
                 "line": {"color": colour, "width": 2.4 if own else 1.2},
                 "marker": {"size": [4.0 + 12.0 * (b["count"] / most) ** 0.5 for b in bins]
                            if own else 5}}
            )  # fmt: skip
    return {"data": data, "layout": grid.layout}


def by_signal(heads: Mapping[str, Head]) -> Spec:
    """Mean return that could be traded, by tenths of the signal, with its interval: a forecast
    that is worth trading rises from left to right."""
    titles = [f"{ahead(name)}: {named(_first(head))}" for name, head in heads.items()]
    grid, data = Grid(titles), []
    for place, head in enumerate(heads.values()):
        bins = head["forecasters"][_first(head)]["by_signal"]
        axes = grid.axes(
            place,
            {"title": {"text": "mean signal of the tenth"}, **ZERO},
            {"title": {"text": "tradable return, bps" if place % ACROSS == 0 else ""},
             **ZERO},
        )  # fmt: skip
        known = [own for own in bins if not isinstance(own["traded_low"], Mapping)]
        y = [own["traded"] * 1e4 for own in known]
        data.append(
            {"type": "scatter", "mode": "markers+lines", "x": rounded(b["signal"] for b in known),
             "y": rounded(y, 4),
             "error_y": {"type": "data", "symmetric": False, "thickness": 1.4, "width": 3,
                         "array": rounded((b["traded_high"] * 1e4 - v
                                           for b, v in zip(known, y, strict=True)), 4),
                         "arrayminus": rounded((v - b["traded_low"] * 1e4
                                                for b, v in zip(known, y, strict=True)), 4)},
             "text": [f"{b['rows']:,} rows" for b in known],
             "hovertemplate": "signal %{x:.3g}: %{y:.2f} bps, %{text}<extra></extra>",
             "line": {"color": ACCENT, "width": 1}, "marker": {"color": ACCENT, "size": 7}, **axes}
        )  # fmt: skip
    return {"data": data, "layout": grid.layout | {"showlegend": False}}


def by_horizon(heads: Mapping[str, Head]) -> Spec:
    """Skill of every forecaster with its interval, a small chart a head."""
    most = max(len(head["forecasters"]) for head in heads.values())
    grid, data = Grid(_titles(heads), tall=max(240, 70 + 24 * most)), []
    for place, head in enumerate(heads.values()):
        kind = head["kind"]
        title = f"{score_title(kind).split(',')[0].lower()} gained, {unit(kind)}"
        x = {"title": {"text": title}, **ZERO}
        y = {"type": "category", "autorange": "reversed", "showticklabels": place % ACROSS == 0}
        axes = grid.axes(place, x, y)
        for name, colour in _coloured(head):
            entry = head["forecasters"][name]
            own = scaled(kind, entry["skill"], entry["skill"])
            data.append(_bar(own, named(name), colour, place == 0, name)
                        | {"x": [own[0]], "y": [named(name)], **axes})  # fmt: skip
            data[-1]["error_x"] = data[-1].pop("error")
    return {"data": data, "layout": grid.layout | {"showlegend": False}}


def by_fold(heads: Mapping[str, Head], folds: Sequence[Mapping[str, Any]]) -> Spec:
    """The same fold by fold, of out-of-fold forecasts on train."""
    grid, data = Grid(_titles(heads)), []
    for place, head in enumerate(heads.values()):
        kind = head["kind"]
        title = f"gained, {unit(kind)}" if place % ACROSS == 0 else ""
        axes = grid.axes(place, {"type": "category"}, {"title": {"text": title}, **ZERO})
        for name, colour in _coloured(head):
            entry = head["forecasters"][name]
            told = {fold: own for fold, own in entry["by_fold"].items() if "difference" in own}
            values = [scaled(kind, own, entry["skill"]) for own in told.values()]
            trace: Spec = {
                "type": "scatter", "mode": "markers", "name": named(name), "legendgroup": name,
                "showlegend": place == 0, "x": [fold_label(folds, fold) for fold in told],
                "y": [v[0] for v in values], "marker": {"color": colour, "size": 7}, **axes,
            }  # fmt: skip
            if name == _first(head):
                trace["error_y"] = {
                    "type": "data", "symmetric": False, "thickness": 1.4, "width": 4,
                    "array": [v[2] - v[0] for v in values],
                    "arrayminus": [v[0] - v[1] for v in values],
                }  # fmt: skip
            else:
                trace["opacity"] = 0.65
            data.append(trace)
    return {"data": data, "layout": grid.layout}


def _bar(own: tuple[float, float, float], name: str, colour: str, legend: bool, group: str) -> Spec:
    return {
        "type": "scatter", "mode": "markers", "name": name, "legendgroup": group,
        "showlegend": legend, "marker": {"color": colour, "size": 8},
        "hovertemplate": f"%{{x}} ({own[1]:g} to {own[2]:g})<extra>{name}</extra>",
        "error": {"type": "data", "symmetric": False, "thickness": 1.6, "width": 4,
                  "array": [own[2] - own[0]], "arrayminus": [own[0] - own[1]]},
    }  # fmt: skip


def learning(fits: Sequence[Fit]) -> Spec:
    """Loss by epoch, on fitted rows and on the holdout: folds are thin, the fit on all of train
    is thick; a dot marks the epoch whose weights were kept."""
    members = list(dict.fromkeys((fit.member, fit.heads) for fit in fits))
    joint = len({member for member, _ in members}) == len(members)
    titles = [named(m) if joint else f"{named(m)}, {ahead(heads)}" for m, heads in members]
    grid, data, seen = Grid(titles, tall=200), [], set[str]()
    for place, member in enumerate(members):
        axes = grid.axes(
            place,
            {"title": {"text": "epoch"}, "rangemode": "tozero"},
            {"title": {"text": "loss" if place % ACROSS == 0 else ""}},
        )
        for fit in (own for own in fits if (own.member, own.heads) == member):
            data += [trace | axes for trace in _curves(fit, seen)]
    return {"data": data, "layout": grid.layout}


def _curves(fit: Fit, seen: set[str]) -> list[Spec]:
    history, whole = fit.facts["history"], fit.fold == WHOLE
    judged = [row for row in history if row.get("holdout", {}).get("loss") is not None]
    out: list[Spec] = []
    for name, colour, rows, losses in (
        ("fitted rows", ACCENT, history, [row["loss"] for row in history]),
        ("holdout", OTHER, judged, [row["holdout"]["loss"] for row in judged]),
    ):
        out.append(
            {"type": "scatter", "mode": "lines", "name": name, "legendgroup": name,
             "showlegend": name not in seen, "x": [row["epoch"] for row in rows],
             "y": rounded(losses), "opacity": 1.0 if whole else 0.45,
             "hovertemplate": f"%{{y:.4g}}, fold {fit.fold}, seed {fit.seed}",
             "line": {"color": colour, "width": 2.4 if whole else 1.0}}
        )  # fmt: skip
        seen.add(name)
    best = [row for row in judged if row["epoch"] == fit.facts["best_epoch"]]
    if whole and best:
        out.append(
            {"type": "scatter", "mode": "markers", "name": "kept", "legendgroup": "kept",
             "showlegend": "kept" not in seen, "x": [best[0]["epoch"]],
             "y": rounded([best[0]["holdout"]["loss"]]), "hovertemplate": "kept: %{y:.4g}",
             "marker": {"color": OTHER, "size": 9}}
        )  # fmt: skip
        seen.add("kept")
    return out


def _coloured(head: Head) -> list[tuple[str, str]]:
    """Forecasters, the one in front last so that it lies on top, each with its colour."""
    others = [name for name in head["forecasters"] if name != _first(head)]
    pairs = [(name, COLOURS[i % len(COLOURS)]) for i, name in enumerate(others)]
    return [(_first(head), ACCENT), *pairs]
