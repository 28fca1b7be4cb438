"""Names and numbers as people read them."""

import pytest

from truefill.evaluation.gates import plain
from truefill.report.words import gate_number, interval, label, shown, unbroken


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("seed-42", "Seed 42"),
        ("beats_sma_cross", "Beats SMA cross"),
        ("min_rows_train", "Rows in train"),
        ("validation_gates", "Validation gates"),
    ],
)
def test_labels(name, title):
    assert label(name) == title


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(300.0, "5-minute"), (3_600.0, "1-hour"), (86_400.0, "daily"), (45.0, "45-second")],
)
def test_intervals(seconds, words):
    assert interval(seconds) == words


def test_a_figure_or_its_reason():
    assert shown(-0.0312) == {"text": "-3.12 %", "why": "", "sign": "minus"}
    assert shown(0.0)["sign"] == "zero" and shown(0.1)["sign"] == "plus"
    assert shown(-0.001, plain)["text"] == "0.00"
    undefined = shown({"value": None, "reason": "zero variance"})
    assert undefined == {"text": "n/a", "why": "zero variance", "sign": "none"}
    assert shown(0.000012)["text"] == "0.0012 %"


def test_gates_have_their_own_units():
    assert gate_number("max_drawdown", 0.2) == "20.00 %"
    assert gate_number("min_closed_trades", 1234.0) == "1,234"
    assert gate_number("min_sharpe", None) == "n/a"
    assert unbroken("3 %") == "3\u00a0%"
