"""The report's charts as plain plotly specifications: ``{"data": [...], "layout": {...}}``.

Colours of text, grid and background come from the page, so that light and dark both work.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from truefill.report.downsample import POINTS, keep_extremes, rounded, stamps
from truefill.report.forecast_figures import forecast_figures
from truefill.report.gather import Run
from truefill.report.words import label

Spec = dict[str, Any]

ACCENT = "#3b82f6"
GOOD = "#16a34a"
BAD = "#ef4444"
OWN = "#ec4899"
COLOURS = {
    "buy_and_hold": "#f59e0b",
    "constant_exposure": "#14b8a6",
    "sma_cross": "#a855f7",
    "random": "#94a3b8",
    "flat": "#94a3b8",
}
SEED_COLOURS = ("#3b82f6", "#f59e0b", "#14b8a6", "#a855f7", "#ec4899", "#84cc16", "#64748b")
MAX_TRADES = 1_500


def figures_of(run: Run) -> dict[str, Spec]:
    """Every chart of the report by the id of its place on the page."""
    out: dict[str, Spec] = {}
    for split in run.splits:
        out[f"equity-{split}"] = equity(run, split)
        out[f"trades-{split}"] = trades(run, split)
        out[f"random-{split}"] = random_draws(run, split)
        out[f"cost-path-{split}"] = cost_path(run, split)
        out[f"cost-stress-{split}"] = cost_stress(run, split)
    if run.seeds:  # a rule was not trained
        out["learning"] = learning(run)
        out["updates"] = updates(run)
    return out | forecast_figures(run.forecasts)


def _line(rows: pl.DataFrame, values: Any, name: str, points: int = POINTS, **style: Any) -> Spec:
    values = np.asarray(values, float)
    keep = keep_extremes(values, points)
    times = stamps(rows["timestamp"].gather(keep))
    trace = {"type": "scatter", "mode": "lines", "name": name}
    return trace | {"x": times, "y": rounded(values[keep])} | style


def _two_rows(top: str, bottom: str) -> Spec:
    """Two charts over one time axis, the upper one larger."""
    return {
        "xaxis": {"anchor": "y2", "type": "date"},
        "yaxis": {"domain": [0.36, 1.0], "title": {"text": top}},
        "yaxis2": {"domain": [0.0, 0.28], "title": {"text": bottom}},
        "hovermode": "x unified",
        "height": 520,
    }


def equity(run: Run, split: str) -> Spec:
    """Equity of every seed and baseline, rebased to 1, over the drawdown of the chosen policy."""
    data = []
    for name in reversed(run.strategies(split)):
        rows = run.curve(split, name)
        values = rows["equity"].to_numpy() / rows["equity"][0]
        colour = COLOURS.get(name, OWN if name in run.compared(split) else ACCENT)
        style: Spec = {"line": {"color": colour, "width": 1.3}}
        if name == run.chosen:
            style["line"]["width"] = 2.6
        elif colour == ACCENT:
            style["opacity"] = 0.5
        elif name in {"flat", "random"}:
            style["line"]["dash"] = "dot" if name == "flat" else "dash"
        mark = f"{label(name)} (chosen)" if name == run.chosen else label(name)
        data.append(_line(rows, values, mark, POINTS if name == run.chosen else 600, **style))
    held: Spec = {"line": {"color": COLOURS["buy_and_hold"], "width": 1}}
    own: Spec = {"line": {"color": BAD, "width": 1.2}, "fill": "tozeroy"}
    for name, style in (("buy_and_hold", held), (run.chosen, own)):
        if name in run.metrics[split]:
            rows = run.curve(split, name)
            style |= {"yaxis": "y2", "showlegend": False}
            drawdown = -rows["drawdown"].to_numpy()
            data.append(_line(rows, drawdown, f"Drawdown, {label(name)}", **style))
    layout = _two_rows("equity, start = 1", "drawdown")
    layout["yaxis2"]["tickformat"] = ".0%"
    return {"data": data, "layout": layout | {"legend": {"traceorder": "reversed"}}}


def trades(run: Run, split: str) -> Spec:
    """The chosen policy's trades on the first symbol's price, over its position."""
    rows = run.curve(split, run.chosen)
    grey = {"color": "#94a3b8", "width": 1.2}
    data = [_line(rows, rows["close"].to_numpy(), "Close", 2 * POINTS, line=grey)]
    closed = largest_trades(run, split)
    for side, name, symbol in (
        (1, "Long entry", "triangle-up"),
        (-1, "Short entry", "triangle-down"),
    ):
        part = closed.filter(pl.col("side") == side)
        data.append(_markers(part, "entry", name, symbol, ACCENT if side == 1 else "#a855f7"))
    for won, name, colour in ((True, "Exit with profit", GOOD), (False, "Exit with loss", BAD)):
        part = closed.filter((pl.col("net_profit") > 0.0) == won)
        data.append(_markers(part, "exit", name, "circle-open", colour))
    step = {"color": ACCENT, "width": 1, "shape": "hv"}
    weight = _line(rows, rows["weight"].to_numpy(), "Position", 2 * POINTS, line=step)
    data.append(weight | {"yaxis": "y2", "fill": "tozeroy", "showlegend": False})
    layout = _two_rows("price", "position, x equity") | {"hovermode": "closest"}
    return {"data": data, "layout": layout}


def largest_trades(run: Run, split: str) -> pl.DataFrame:
    """At most ``MAX_TRADES`` trades of the chosen policy in the first symbol, by size of profit."""
    here = run.trades.filter(
        (pl.col("split") == split)
        & (pl.col("strategy") == run.chosen)
        & (pl.col("symbol") == run.lineage["symbols"][0])
    )
    largest = here.sort(pl.col("net_profit").abs(), descending=True, maintain_order=True)
    return largest.head(MAX_TRADES).sort("entry_time", maintain_order=True)


def _markers(part: pl.DataFrame, end: str, name: str, symbol: str, colour: str) -> Spec:
    text = [
        f"{row['return']:+.2%} in {row['bars_held']} bars, {row['reason'].replace('_', ' ')}"
        for row in part.iter_rows(named=True)
    ]
    width = 1.4 if symbol.endswith("open") else 0.0
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": stamps(part[f"{end}_time"]),
        "y": rounded(part[f"{end}_price"]),
        "text": text,
        "hovertemplate": "%{x}<br>%{y}<br>%{text}",
        "marker": {"symbol": symbol, "size": 8, "color": colour, "line": {"width": width}},
    }


def random_draws(run: Run, split: str) -> Spec:
    """Net returns of the random agents, the chosen policy marked."""
    values = run.metrics["random_draws"][split]["net_return"]
    own = run.metrics[split][run.chosen]["net_return"]
    bars = {
        "type": "histogram",
        "x": rounded(values),
        "nbinsx": 40,
        "marker": {"color": "#94a3b8"},
        "name": "random agents",
        "hovertemplate": "%{y} random agents at %{x}<extra></extra>",
    }
    if min(values) == max(values):  # one bin of plotly's own choice would span everything
        bars["xbins"] = {"start": values[0] - 5e-4, "end": values[0] + 5e-4, "size": 1e-3}
    line = {"type": "line", "x0": own, "x1": own, "yref": "paper", "y0": 0, "y1": 1}
    note = {
        "x": own, "y": 1, "yref": "paper", "yanchor": "bottom", "showarrow": False,
        "text": f"{label(run.chosen)} {own:+.2%}", "font": {"color": ACCENT},
    }  # fmt: skip
    layout = {
        "xaxis": {"tickformat": ".1%", "title": {"text": "net return"}},
        "yaxis": {"title": {"text": "random agents"}},
        "shapes": [line | {"line": {"color": ACCENT, "width": 2.5}}],
        "annotations": [note],
        "showlegend": False,
        "bargap": 0.05,
        "height": 300,
    }
    return {"data": [bars], "layout": layout}


def cost_path(run: Run, split: str) -> Spec:
    """Costs and financing paid so far, as fractions of the starting equity."""
    rows = run.curve(split, run.chosen)
    start = rows["equity"][0]
    data = [
        _line(rows, rows[column].to_numpy() / start, name, 400, line={"color": colour, "width": 2})
        for column, name, colour in (
            ("cost", "Fees, spread, slippage", "#f59e0b"),
            ("financing", "Financing", "#a855f7"),
        )
    ]
    title = "share of starting equity"
    layout = {"yaxis": {"tickformat": ".2~%", "title": {"text": title}}, "height": 300}
    return {"data": data, "layout": layout}


def cost_stress(run: Run, split: str) -> Spec:
    """Net return at multiples of all costs and at added slippage."""
    base = run.metrics[split][run.chosen]["net_return"]
    multiples = run.metrics["cost_stress"][split]
    grid = run.metrics["slippage_grid"][split]
    stress: list[tuple[str, float]] = [("costs<br>x1", base)]
    stress += [(f"costs<br>x{float(m[1:]):g}", value) for m, value in multiples.items()]
    stress += [(f"slippage<br>+{float(bps):g} bps", grid[bps]) for bps in sorted(grid, key=float)]
    values = [value for _, value in stress]
    bars = {
        "type": "bar",
        "x": [name for name, _ in stress],
        "y": rounded(values),
        "marker": {"color": [GOOD if value > 0.0 else BAD for value in values]},
        "text": [f"{value:+.1%}" for value in values],
        "textposition": "outside",
        "cliponaxis": False,
        "hovertemplate": "%{x}: %{y:.2%}<extra></extra>",
    }
    layout = {
        "xaxis": {"type": "category", "tickmode": "linear", "dtick": 1, "tickangle": 0},
        "yaxis": {"tickformat": ".0%", "title": {"text": "net return"}},
        "showlegend": False,
        "height": 300,
    }
    return {"data": [bars], "layout": layout}


def learning(run: Run) -> Spec:
    """Validation score of every seed over training, its best evaluation marked."""
    data: list[Spec] = []
    for seed, colour in _coloured(run):
        points = [p for p in seed.training["evaluations"] if p["score"] is not None]
        name = f"Seed {seed.seed}"
        own = {"type": "scatter", "name": name, "legendgroup": name}
        wide = 2.6 if run.chosen == f"seed-{seed.seed}" else 1.4
        steps, scores = [p["step"] for p in points], rounded(p["score"] for p in points)
        data.append(own | {"mode": "lines", "x": steps, "y": scores,
                           "line": {"color": colour, "width": wide}})  # fmt: skip
        best = seed.training["best_score"]
        if best is not None:
            data.append(own | {"mode": "markers", "x": [seed.training["best_step"]],
                               "y": rounded([best]), "marker": {"color": colour, "size": 10},
                               "showlegend": False})  # fmt: skip
    layout = {
        "xaxis": {"title": {"text": "environment steps"}},
        "yaxis": {"title": {"text": "validation score"}},
        "height": 340,
    }
    return {"data": data, "layout": layout}


UPDATE_COLUMNS = (
    ("reward_mean", "mean reward"),
    ("entropy", "entropy"),
    ("approx_kl", "approximate KL"),
    ("explained_variance", "explained variance"),
    ("value_loss", "value loss"),
    ("clip_fraction", "clip fraction"),
)


def updates(run: Run) -> Spec:
    """Six figures of every PPO update, small multiples over environment steps."""
    data: list[Spec] = []
    layout: Spec = {"height": 460, "showlegend": False, "annotations": [], "hovermode": "closest"}
    for place, (column, title) in enumerate(UPDATE_COLUMNS):
        axis, row, across = str(place + 1) if place else "", place // 3, place % 3
        x = [across * 0.35, across * 0.35 + 0.29]
        y = [0.58, 0.93] if row == 0 else [0.04, 0.39]
        layout[f"xaxis{axis}"] = {"domain": x, "anchor": f"y{axis}", "nticks": 4}
        layout[f"yaxis{axis}"] = {"domain": y, "anchor": f"x{axis}", "nticks": 4}
        layout["annotations"].append(
            {"text": title, "x": x[0], "y": y[1] + 0.02, "xref": "paper", "yref": "paper",
             "xanchor": "left", "yanchor": "bottom", "showarrow": False}
        )  # fmt: skip
        for seed, colour in _coloured(run):
            known = seed.updates.select("step", pl.col(column).cast(pl.Float64))
            rows = known.filter(pl.col(column).is_finite())
            part = rows[keep_extremes(rows[column].to_numpy(), 200).tolist()]
            data.append(
                {"type": "scatter", "mode": "lines", "name": f"Seed {seed.seed}",
                 "x": part["step"].to_list(), "y": rounded(part[column], 4),
                 "xaxis": f"x{axis}", "yaxis": f"y{axis}", "line": {"color": colour, "width": 1.2}}
            )  # fmt: skip
    return {"data": data, "layout": layout}


def _coloured(run: Run) -> Sequence[tuple[Any, str]]:
    return [(s, SEED_COLOURS[i % len(SEED_COLOURS)]) for i, s in enumerate(run.seeds)]
