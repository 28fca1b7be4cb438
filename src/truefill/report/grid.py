"""Small charts beside each other in one plotly figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Spec = dict[str, Any]
ACROSS = 3
"""Charts in a row, at most."""


class Grid:
    """Small charts in rows of at most three, each with its title; axes are numbered from 1."""

    def __init__(self, titles: Sequence[str], *, tall: int = 250, gap: float = 0.075) -> None:
        across = min(len(titles), ACROSS)
        down = -(-len(titles) // across)
        self.layout: Spec = {"height": 60 + tall * down, "annotations": [], "hovermode": "closest"}
        self.layout["legend"] = {"y": 1.0 + 24.0 / (tall * down)}  # above the first row's titles
        wide = (1.0 - gap * (across - 1)) / across
        space = 70.0 / (60 + tall * down)
        high = (1.0 - space * (down - 1)) / down
        for place, title in enumerate(titles):
            row, column = divmod(place, across)
            x = [column * (wide + gap), column * (wide + gap) + wide]
            top = 1.0 - row * (high + space)
            name = _number(place)
            self.layout[f"xaxis{name}"] = {"domain": x, "anchor": f"y{name}"}
            self.layout[f"yaxis{name}"] = {"domain": [max(top - high, 0.0), top],
                                           "anchor": f"x{name}"}  # fmt: skip
            self.layout["annotations"].append(
                {"text": title, "x": x[0], "y": top, "xref": "paper", "yref": "paper",
                 "xanchor": "left", "yanchor": "bottom", "showarrow": False}
            )  # fmt: skip

    def axes(self, place: int, x: Spec, y: Spec) -> Spec:
        """Set up the axes of a chart; returns what its traces need."""
        name = _number(place)
        self.layout[f"xaxis{name}"] |= x
        self.layout[f"yaxis{name}"] |= y
        return {"xaxis": f"x{name}", "yaxis": f"y{name}"}


def _number(place: int) -> str:
    return str(place + 1) if place else ""
