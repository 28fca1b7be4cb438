"""Measures against a table computed by hand, and what must hold for any equity curve."""

import json
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from truefill.core.errors import DataError
from truefill.evaluation.figures import Figure
from truefill.evaluation.metrics import (
    Metrics,
    compound_growth,
    deepest_drawdown,
    evidence_shortfall,
    measure,
    tail_losses,
)

DAY = 86_400
YEAR = int(365.25 * DAY)


def trades_of(profits, returns=None, held=None):
    count = len(profits)
    return pl.DataFrame(
        {
            "net_profit": pl.Series(profits, dtype=pl.Float64),
            "return": pl.Series(returns or [0.0] * count, dtype=pl.Float64),
            "bars_held": pl.Series(held or [1] * count, dtype=pl.Int64),
        }
    )


def measured(equity, *, step=DAY, trades=None, weight=None, turnover=None, **options) -> Metrics:
    equity = np.asarray(equity, float)
    weight = np.zeros(len(equity)) if weight is None else np.asarray(weight, float)
    turnover = np.zeros(len(equity)) if turnover is None else np.asarray(turnover, float)
    return measure(
        equity,
        np.arange(len(equity), dtype=np.int64) * step,
        trades_of([]) if trades is None else trades,
        weight=weight,
        gross=np.abs(weight),
        turnover=turnover,
        total_cost=options.pop("total_cost", 0.0),
        total_financing=0.0,
        **options,
    )


def test_hand_computed_table():
    """Four quarters: +10 %, -10 %, +20 %, -5 %; sums done on paper."""
    equity = [100.0, 110.0, 99.0, 118.8, 112.86]
    trades = trades_of(
        [10.0, -11.0, 19.8, -4.0, 0.0], [0.1, -0.1, 0.2, -0.05, 0.0], [1, 2, 3, 4, 5]
    )
    m = measured(
        equity,
        step=YEAR // 4,
        trades=trades,
        weight=[0.0, 1.0, 1.0, -0.5, 0.0],
        turnover=[9.0, 1.0, 0.0, 1.5, 0.5],
        total_cost=3.0,
        rule="exempt",
    )
    expected = {
        "periods_per_year": 4.0,
        "net_return": 0.1286,
        "cagr": 0.1286,
        "sharpe_per_period": 0.0375 / math.sqrt(0.056875 / 3),
        "sharpe": 2 * 0.0375 / math.sqrt(0.056875 / 3),
        "volatility": 2 * math.sqrt(0.056875 / 3),
        "sortino": 2 * 0.0375 / math.sqrt(0.0125 / 4),
        "max_drawdown": 0.1,
        "max_drawdown_bars": 2.0,
        "calmar": 1.286,
        "var_95": 0.1,
        "cvar_95": 0.1,
        "win_rate": 0.4,
        "profit_factor": 29.8 / 15.0,
        "average_trade": 14.8 / 5,
        "average_trade_return": 0.03,
        "average_bars_held": 3.0,
        "turnover_per_bar": 0.75,
        "turnover_per_year": 3.0,
        "exposure_mean": 0.625,
        "time_in_market": 0.75,
        "share_long": 0.5,
        "share_short": 0.25,
        "action_imbalance": 1 / 3,
        "total_cost": 3.0,
        "total_financing": 0.0,
    }
    got = m.to_dict()
    assert m.bars == 4 and m.closed_trades == 5
    for name, value in expected.items():
        assert got[name] == pytest.approx(value, rel=1e-12), name


def test_skewness_and_raw_kurtosis():
    """Returns 0.1, 0, 0, 0: skewness 2/sqrt(3), raw kurtosis 7/3 (an indicator with p = 1/4)."""
    m = measured([1.0, 1.1, 1.1, 1.1, 1.1], rule="exempt")
    assert m.skewness.value == pytest.approx(2 / math.sqrt(3))
    assert m.kurtosis.value == pytest.approx(7 / 3)


def test_deepest_drawdown_lasts_from_its_peak_to_the_recovery():
    assert deepest_drawdown(np.array([100.0, 110, 99, 105, 88, 120, 114])) == (
        pytest.approx(0.2),
        4,
    )
    assert deepest_drawdown(np.array([100.0, 120, 90, 100])) == (pytest.approx(0.25), 2)
    assert deepest_drawdown(np.array([1.0, 1.0, 2.0])) == (0.0, 0)


def test_tail_is_the_worst_floor_rule():
    """n = 41, a = 0.05: floor(40 x 0.05) + 1 = 3 worst; n = 40: floor(1.95) + 1 = 2."""
    losses = np.array([-0.05, -0.03, -0.01] + [0.01] * 38)
    assert tail_losses(losses) == (pytest.approx(0.01), pytest.approx(0.03))
    assert tail_losses(losses[:40]) == (pytest.approx(0.03), pytest.approx(0.04))


def test_flat_has_every_figure_or_a_reason():
    m = measured([10_000.0] * 50)
    assert m.net_return.value == 0.0 and m.max_drawdown.value == 0.0
    assert m.sharpe.reason == "zero variance"
    assert m.calmar.reason == "no drawdown to divide by"
    assert m.win_rate.reason == "no closed trades"
    assert m.action_imbalance.reason == "no position was ever held"
    assert m.var_95.value == 0.0 and math.copysign(1.0, m.var_95.value) == 1.0


def test_constant_growth_is_zero_variance_not_1e16():
    m = measured(100.0 * 1.001 ** np.arange(300), rule="exempt")
    assert m.sharpe.reason == "zero variance"
    assert m.sortino.reason == "zero variance"


@pytest.mark.parametrize(("count", "has_sharpe"), [(19, False), (20, True)])
def test_closed_trades_decide_whether_there_is_a_sharpe(count, has_sharpe):
    equity = 100.0 + np.arange(60) % 7
    trades = trades_of([1.0] * count)
    m = measured(equity, trades=trades)
    assert (m.sharpe.value is not None) is has_sharpe
    if not has_sharpe:
        assert m.sharpe.reason == "fewer than 20 closed trades"
        assert m.sharpe_per_period.reason == m.sharpe.reason
    assert measured(equity, trades=trades, rule="exempt").sharpe.value is not None


@pytest.mark.parametrize(("each", "short"), [(0.39, True), (0.41, False)])
def test_weight_agents_need_one_way_turnover(each, short):
    """Mean gross 1; sum |dw| over 100 bars is 100 x each; half of it must reach 20."""
    shortfall = evidence_shortfall("turnover", 0, np.full(100, each), np.ones(100))
    assert (shortfall is not None) is short


def test_a_weight_agent_that_never_held_anything_has_no_evidence():
    assert evidence_shortfall("turnover", 0, np.zeros(9), np.zeros(9)) is not None


def test_no_losing_trade_leaves_the_profit_factor_undefined():
    m = measured([1.0, 2.0, 1.5], trades=trades_of([1.0, 2.0]))
    assert m.profit_factor.reason == "no losing trade" and m.win_rate.value == 1.0


def test_growth_over_a_moment_is_undefined_not_infinite():
    assert compound_growth(10.0, 1e-5).value is None
    assert compound_growth(0.5, 1e-5).value == pytest.approx(-1.0)


@pytest.mark.parametrize(
    ("equity", "word"),
    [([1.0], "2 marks"), ([1.0, float("nan")], "finite"), ([1.0, 0.0], "above 0")],
)
def test_bad_equity_is_refused(equity, word):
    with pytest.raises(DataError, match=word):
        measured(equity)


def test_times_must_ascend():
    series = np.ones(3)
    with pytest.raises(DataError, match="ascend"):
        measure(
            series,
            np.array([0, 2, 2]),
            trades_of([]),
            weight=series,
            gross=series,
            turnover=series,
            total_cost=0.0,
            total_financing=0.0,
        )


RATIOS = {"sharpe", "sharpe_per_period", "sortino", "calmar", "skewness", "kurtosis"} | {
    "max_drawdown_bars"  # of two equally deep drawdowns rounding picks one
}
returns_lists = st.lists(st.floats(-0.5, 0.5), min_size=1, max_size=60)


@settings(max_examples=150, deadline=None)
@given(returns=returns_lists, level=st.sampled_from([0.01, 1.0, 7.0, 1e6]))
def test_always_finite_or_with_a_reason_and_free_of_scale(returns, level):
    equity = np.cumprod([1.0, *(1.0 + r for r in returns)])
    one = measured(equity, rule="exempt").to_dict()
    json.dumps(one, allow_nan=False)
    other = measured(equity * level, rule="exempt").to_dict()
    for name, value in one.items():
        if isinstance(value, dict):
            assert value["value"] is None and value["reason"]
        elif name not in RATIOS:
            assert other[name] == pytest.approx(value, rel=1e-9, abs=1e-12), name
    assert Metrics.from_dict(one).to_dict() == one


def test_ratios_are_free_of_scale():
    generator = np.random.default_rng(3)
    equity = np.cumprod(1.0 + 0.01 * generator.standard_normal(400))
    one = measured(equity, rule="exempt").to_dict()
    other = measured(equity * 12_345.678, rule="exempt").to_dict()
    numbers = {name: value for name, value in one.items() if not isinstance(value, dict)}
    assert numbers == pytest.approx({name: other[name] for name in numbers}, rel=1e-9)


def test_a_figure_is_never_infinite_or_without_reason():
    with pytest.raises(ValueError, match="finite"):
        Figure(float("inf"))
    with pytest.raises(ValueError, match="reason"):
        Figure(None)
    with pytest.raises(ValueError, match="not a figure"):
        Figure.from_json("1.0")
