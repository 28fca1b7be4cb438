"""Gates: limits that a policy must keep on validation before test is opened, and again on test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from truefill.config.schema import GatesConfig
from truefill.evaluation.figures import Figure
from truefill.evaluation.metrics import Metrics

Direction = Literal["at least", "at most"]


@dataclass(frozen=True)
class GateResult:
    """One gate: the figure, its limit, whether it held, and why in words."""

    name: str
    value: float | None
    limit: float
    passed: bool
    reason: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def percent(value: float) -> str:
    """A fraction as people read it: 0.0312 -> ``3.12 %``; enough digits not to read as 0."""
    digits = 2 if abs(value) >= 0.0001 or value == 0.0 else 4
    return f"{value * 100:.{digits}f} %"


def plain(value: float) -> str:
    """A ratio: 1.2345 -> ``1.23``; never ``-0.00``."""
    return f"{value:z.2f}"


def count(value: float) -> str:
    """A count with separators: 12345.0 -> ``12,345``."""
    return f"{value:,.0f}"


_FORMATS = {
    "min_return": percent,
    "min_sharpe": plain,
    "max_drawdown": percent,
    "min_closed_trades": count,
    "min_win_rate": percent,
    "min_profit_factor": plain,
    "max_action_imbalance": plain,
}
_WORDS: dict[str, tuple[str, Direction]] = {
    "min_return": ("net return", "at least"),
    "min_sharpe": ("Sharpe ratio", "at least"),
    "max_drawdown": ("largest drawdown", "at most"),
    "min_closed_trades": ("closed trades", "at least"),
    "min_win_rate": ("win rate", "at least"),
    "min_profit_factor": ("profit factor", "at least"),
    "max_action_imbalance": ("action imbalance", "at most"),
}


def check_gates(
    metrics: Metrics, config: GatesConfig, *, rows: Mapping[str, int]
) -> tuple[GateResult, ...]:
    """Every gate that is switched on, in a fixed order.

    Args:
        metrics: of the chosen policy on the split in question.
        rows: split -> number of rows, for the splits whose size belongs to this decision (train and
            validation before test is opened; test on test).

    An undefined figure fails its gate with the figure's own reason.
    """
    figures = {
        "min_return": metrics.net_return,
        "min_sharpe": metrics.sharpe,
        "max_drawdown": metrics.max_drawdown,
        "min_closed_trades": Figure(float(metrics.closed_trades)),
        "min_win_rate": metrics.win_rate,
        "min_profit_factor": metrics.profit_factor,
        "max_action_imbalance": metrics.action_imbalance,
    }
    results = []
    for name, figure in figures.items():
        limit = getattr(config, name)
        if limit is not None:
            results.append(_gate(name, figure, float(limit)))
    for split, number in rows.items():
        results.append(_rows_gate(split, number, getattr(config.min_rows, split)))
    return tuple(results)


def failed(gates: Sequence[GateResult]) -> tuple[GateResult, ...]:
    """The gates that did not hold."""
    return tuple(gate for gate in gates if not gate.passed)


def _gate(name: str, figure: Figure, limit: float) -> GateResult:
    what, direction = _WORDS[name]
    show = _FORMATS[name]
    if figure.value is None:
        reason = f"{what} cannot be had: {figure.reason} (needed {direction} {show(limit)})"
        return GateResult(name, None, limit, False, reason)
    passed = figure.value >= limit if direction == "at least" else figure.value <= limit
    verb = "is" if passed else "is not"
    reason = f"{what} {show(figure.value)} {verb} {direction} {show(limit)}"
    return GateResult(name, figure.value, limit, passed, reason)


def _rows_gate(split: str, number: int, limit: int) -> GateResult:
    verb = "is" if number >= limit else "is not"
    reason = f"{count(number)} rows in {split} {verb} at least {count(limit)}"
    return GateResult(f"min_rows_{split}", float(number), float(limit), number >= limit, reason)
