"""Every gate bites just past its limit, holds at it, and can be switched off."""

from dataclasses import replace

import pytest

from truefill.config.schema import GatesConfig, MinRows
from truefill.evaluation.figures import Figure
from truefill.evaluation.gates import check_gates, failed
from unit.evaluation.samples import good_metrics

ALL = GatesConfig(min_profit_factor=1.05)
ROWS = {"train": 1_000, "validation": 200}
CASES = [
    ("min_return", "net_return", 0.0, -1e-9),
    ("min_sharpe", "sharpe", 0.0, -1e-9),
    ("max_drawdown", "max_drawdown", 0.20, 0.2000001),
    ("min_closed_trades", "closed_trades", 30, 29),
    ("min_win_rate", "win_rate", 0.35, 0.3499999),
    ("min_profit_factor", "profit_factor", 1.05, 1.0499),
    ("max_action_imbalance", "action_imbalance", 0.85, 0.850001),
]


def with_value(field, value):
    shown = value if field == "closed_trades" else Figure(float(value))
    return replace(good_metrics(), **{field: shown})


def test_a_good_policy_passes_all_nine():
    gates = check_gates(good_metrics(), ALL, rows=ROWS)
    assert [g.name for g in gates] == [c[0] for c in CASES] + [
        "min_rows_train",
        "min_rows_validation",
    ]
    assert failed(gates) == ()


@pytest.mark.parametrize(("name", "field", "at_limit", "past"), CASES)
def test_each_gate_holds_at_its_limit_and_bites_past_it(name, field, at_limit, past):
    assert failed(check_gates(with_value(field, at_limit), ALL, rows=ROWS)) == ()
    (bitten,) = failed(check_gates(with_value(field, past), ALL, rows=ROWS))
    assert bitten.name == name and bitten.value == past and "is not" in bitten.reason


@pytest.mark.parametrize(("name", "field", "at_limit", "past"), CASES)
def test_null_switches_a_gate_off(name, field, at_limit, past):
    config = ALL.model_copy(update={name: None})
    gates = check_gates(with_value(field, past), config, rows=ROWS)
    assert name not in {g.name for g in gates} and failed(gates) == ()


def test_an_undefined_figure_fails_with_its_reason():
    metrics = replace(good_metrics(), sharpe=Figure.undefined("fewer than 20 closed trades"))
    (gate,) = failed(check_gates(metrics, ALL, rows=ROWS))
    assert gate.value is None and "fewer than 20 closed trades" in gate.reason


def test_too_few_rows_fail_their_own_split():
    config = GatesConfig(min_rows=MinRows(train=500, validation=500, test=10))
    (gate,) = failed(check_gates(good_metrics(), config, rows={"train": 500, "validation": 499}))
    assert gate.name == "min_rows_validation" and "499" in gate.reason
    assert failed(check_gates(good_metrics(), config, rows={"test": 10})) == ()
