"""Names and numbers as people read them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from truefill.evaluation.figures import Figure
from truefill.evaluation.gates import count, percent, plain

LABELS = {
    "buy_and_hold": "Buy and hold",
    "constant_exposure": "Constant exposure",
    "sma_cross": "SMA cross",
    "random": "Random (median draw)",
    "flat": "Flat",
    "min_return": "Net return",
    "min_sharpe": "Sharpe ratio",
    "max_drawdown": "Largest drawdown",
    "min_closed_trades": "Closed trades",
    "min_win_rate": "Win rate",
    "min_profit_factor": "Profit factor",
    "max_action_imbalance": "Action imbalance",
    "test_gates_evidence": "Test gates (evidence)",
    "deflated_sharpe": "Deflated Sharpe ratio",
    "cost_stress": "Higher costs",
    "slippage": "Worst slippage",
    "seeds": "Seeds",
    "contamination": "Clean test split",
}
STATUSES = {
    1: "filled",
    9: "filled in part: room or volume ran out",
    2: "nothing to change",
    3: "held back by the minimum holding time",
    4: "cancelled on a no-trade bar",
    8: "cancelled, the symbol had no bar",
    5: "overtaken by a stop, target or margin call",
    6: "below lot or minimum",
    7: "no room within leverage",
    10: "no volume left",
    11: "bars waited for the price",
    12: "expired with the session",
    13: "cancelled",
}
"""What became of orders, by ``OrderStatus`` (not imported: a report needs no market); 0 is none."""
MARKS: dict[bool | None, str] = {True: "pass", False: "fail", None: "unknown"}
FRACTION_GATES = {"min_return", "max_drawdown", "min_win_rate"}


def label(name: str) -> str:
    """A name from an artifact as a title: ``seed-42`` -> ``Seed 42``."""
    if name in LABELS:
        return LABELS[name]
    if name.startswith("min_rows_"):
        return "Rows in " + name.removeprefix("min_rows_")
    if name.startswith("beats_"):
        return "Beats " + name.removeprefix("beats_").replace("_", " ").replace("sma", "SMA")
    return name.replace("_", " ").replace("-", " ").capitalize()


def shown(value: Any, form: Callable[[float], str] = percent) -> dict[str, str]:
    """A figure of an artifact for a table cell: text, sign, and the reason where there is none."""
    figure = Figure.from_json(value)
    if figure.value is None:
        return {"text": "n/a", "why": str(figure.reason), "sign": "none"}
    sign = "minus" if figure.value < 0.0 else "plus" if figure.value > 0.0 else "zero"
    return {"text": form(figure.value), "why": "", "sign": sign}


def gate_number(name: str, value: float | None) -> str:
    """A gate's figure or limit in its own unit."""
    if value is None:
        return "n/a"
    if name in FRACTION_GATES:
        return percent(value)
    return (
        count(value) if name.startswith("min_rows") or name == "min_closed_trades" else plain(value)
    )


def money(value: float) -> str:
    return f"{value:,.2f}"


def unbroken(text: str) -> str:
    """Numbers stay on one line with their percent sign."""
    return text.replace(" %", "\u00a0%")


def bps(value: float) -> str:
    """A difference of log returns per bar in basis points."""
    return f"{value * 1e4:+.3f}"


def interval(seconds: float) -> str:
    """Bar interval: 300.0 -> ``5-minute``."""
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size and seconds % size == 0:
            number = int(seconds // size)
            return "daily" if unit == "day" and number == 1 else f"{number}-{unit}"
    return f"{seconds:g}-second"
