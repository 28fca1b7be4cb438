"""Plain values for tests of gates and verdict."""

from dataclasses import fields

from truefill.evaluation.figures import Figure
from truefill.evaluation.metrics import Metrics


def good_metrics() -> Metrics:
    """A policy that passes every default gate."""
    values = dict.fromkeys((f.name for f in fields(Metrics)), Figure(0.0))
    values |= {
        "net_return": Figure(0.12),
        "sharpe": Figure(1.4),
        "max_drawdown": Figure(0.06),
        "win_rate": Figure(0.55),
        "profit_factor": Figure(1.6),
        "action_imbalance": Figure(0.3),
    }
    return Metrics(**(values | {"bars": 5_000, "closed_trades": 120}))
