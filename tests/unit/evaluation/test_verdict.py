"""The verdict's truth table: each check alone turns 'deploy' into what it must."""

import json
from dataclasses import replace

import pytest

from truefill.config.schema import EvaluationConfig, GatesConfig
from truefill.evaluation.figures import Figure
from truefill.evaluation.gates import check_gates
from truefill.evaluation.uncertainty import PairedDifference
from truefill.evaluation.verdict import TestEvidence as Evidence
from truefill.evaluation.verdict import decide
from unit.evaluation.samples import good_metrics

CONFIG = EvaluationConfig()
BETTER = PairedDifference(2e-5, 1e-5, 3e-5, 0.001, 4.0)
BASELINES = ("flat", "buy_and_hold", "constant_exposure", "sma_cross", "random")
SHORT = "fewer than 20 closed trades"


def gates(split="test", **changes):
    rows = {"test": 5_000} if split == "test" else {"train": 9_000, "validation": 5_000}
    return check_gates(replace(good_metrics(), **changes), GatesConfig(), rows=rows)


def good(**changes) -> Evidence:
    evidence = Evidence(
        gates=gates(),
        shortfall=None,
        net_return=0.12,
        closed_trades=120,
        sharpe_per_period=Figure(0.08),
        skewness=Figure(0.1),
        kurtosis=Figure(5.0),
        bars=5_000,
        baseline_returns=dict.fromkeys(BASELINES, 0.01),
        paired=dict.fromkeys(BASELINES, BETTER),
        seed_returns={42: 0.12, 123: 0.1, 456: 0.08, 789: -0.01, 1337: -0.02},
        stressed_return=0.03,
        slippage_returns={0.0: 0.12, 20.0: 0.01},
        looks=5,
        trial_sharpes=(0.08, 0.07, 0.06, 0.0, -0.01),
        openings=1,
        contaminated=False,
    )
    return replace(evidence, **changes)


def ask(**changes):
    return decide(gates("validation"), good(**changes), CONFIG)


def failing(verdict):
    return {r.check for r in verdict.reasons if r.passed is False}


def missing(verdict):
    return {r.check for r in verdict.reasons if r.passed is None}


def test_everything_good_is_deploy():
    verdict = ask()
    assert verdict.verdict == "deploy"
    assert len(verdict.reasons) == 12 and all(r.passed for r in verdict.reasons)
    assert (
        verdict.headline == "Deploy: all 12 checks passed; net return on test 12.00 % after costs."
    )


WORSE = {"paired": dict.fromkeys(BASELINES, BETTER) | {"flat": replace(BETTER, low=-1e-9)}}
RICHER = {"baseline_returns": dict.fromkeys(BASELINES, 0.01) | {"sma_cross": 0.2}}


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        ({"gates": gates(max_drawdown=Figure(0.3))}, "test_gates"),
        (WORSE, "beats_flat"),
        (RICHER, "beats_sma_cross"),
        ({"sharpe_per_period": Figure(0.02)}, "deflated_sharpe"),
        ({"looks": 100_000, "trial_sharpes": (0.1, -0.1)}, "deflated_sharpe"),
        ({"seed_returns": {1: 0.1, 2: 0.1, 3: 0.0, 4: -0.1, 5: -0.1}}, "seeds"),
        ({"stressed_return": 0.0}, "cost_stress"),
        ({"slippage_returns": {0.0: 0.1, 20.0: -0.001}}, "slippage"),
        ({"contaminated": True, "openings": 2}, "contamination"),
    ],
)
def test_each_failure_alone_is_do_not_deploy(changes, check):
    verdict = ask(**changes)
    assert verdict.verdict == "do not deploy"
    assert failing(verdict) == {check} and missing(verdict) == set()
    assert (
        verdict.headline.startswith("Do not deploy: ") and "checks failed" not in verdict.headline
    )


def test_the_headline_counts_what_failed_and_names_the_first():
    headline = ask(stressed_return=-0.01, contaminated=True, openings=2).headline
    assert headline == (
        "Do not deploy: 2 of 12 checks failed; first: at 2 times the costs the net return is "
        "-1.00 %, not a profit."
    )


def test_an_interval_that_touches_zero_does_not_exclude_it():
    touching = dict.fromkeys(BASELINES, replace(BETTER, low=0.0))
    assert len(failing(ask(paired=touching))) == 5


def few_trades(count=12, **changes):
    reason = Figure.undefined(SHORT)
    weak = gates(closed_trades=count, sharpe=reason)
    return {"gates": weak, "shortfall": SHORT, "closed_trades": count,
            "sharpe_per_period": reason} | changes  # fmt: skip


def test_few_trades_and_nothing_bad_is_not_enough_evidence():
    verdict = ask(**few_trades())
    assert verdict.verdict == "not enough evidence"
    assert failing(verdict) == set()
    assert missing(verdict) == {"test_gates_evidence", "deflated_sharpe"} | {
        f"beats_{name}" for name in BASELINES
    }
    assert "12" in verdict.headline


def test_few_trades_and_a_loss_is_do_not_deploy():
    lost = gates(closed_trades=12, sharpe=Figure.undefined(SHORT), net_return=Figure(-0.1))
    verdict = ask(**few_trades(gates=lost, net_return=-0.1))
    assert verdict.verdict == "do not deploy"
    assert {"test_gates", "beats_flat"} <= failing(verdict)


def test_enough_for_a_sharpe_but_below_the_gate_is_do_not_deploy():
    assert ask(gates=gates(closed_trades=25), closed_trades=25).verdict == "do not deploy"


def test_a_flat_agent_is_not_deployed():
    nothing = few_trades(
        0,
        net_return=0.0,
        baseline_returns=dict.fromkeys(BASELINES, 0.0),
        seed_returns=dict.fromkeys(range(5), 0.0),
        stressed_return=0.0,
        slippage_returns={0.0: 0.0},
    )
    assert ask(**nothing).verdict == "do not deploy"


def test_too_few_test_rows_is_not_enough_evidence():
    few = check_gates(good_metrics(), GatesConfig(), rows={"test": 100})
    assert ask(gates=few).verdict == "not enough evidence"


def test_no_slippage_grid_is_not_enough_evidence():
    assert ask(slippage_returns={}).verdict == "not enough evidence"


def test_a_failed_validation_gate_keeps_test_shut():
    verdict = decide(gates("validation", net_return=Figure(-0.2)), None, CONFIG)
    assert verdict.verdict == "do not deploy"
    assert "-20.00 %" in verdict.headline
    assert "a validation gate failed" in verdict.reasons[-1].text
    undefined = gates("validation", sharpe=Figure.undefined(SHORT))
    assert decide(undefined, None, CONFIG).verdict == "do not deploy"


def test_test_not_opened_yet_is_not_enough_evidence():
    verdict = decide(gates("validation"), None, CONFIG)
    assert verdict.verdict == "not enough evidence" and verdict.openings == 0


@pytest.mark.parametrize(
    "change",
    [
        {"sharpe_per_period": Figure.undefined("zero variance")},
        {"kurtosis": Figure.undefined("zero variance")},
    ],
)
def test_a_deflated_sharpe_that_cannot_be_had_says_why(change):
    verdict = ask(**change)
    assert missing(verdict) == {"deflated_sharpe"}
    assert "zero variance" in verdict.headline


def test_reasons_carry_figures_and_the_whole_is_json():
    data = ask().to_dict()
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    texts = {r["check"]: r["text"] for r in data["reasons"]}
    assert "5 looks" in texts["deflated_sharpe"] and "0.95" in texts["deflated_sharpe"]
    assert "3 of 5 seeds" in texts["seeds"] and "1337: -2.00 %" in texts["seeds"]
    assert "20 bps" in texts["slippage"] and "12.00 % against 1.00 %" in texts["beats_flat"]


def test_limits_come_from_the_config():
    config = EvaluationConfig(min_positive_seeds=4)
    assert decide(gates("validation"), good(), config).verdict == "do not deploy"
    eased = EvaluationConfig(min_deflated_sharpe=0.5)
    weak = good(sharpe_per_period=Figure(0.05))
    assert decide(gates("validation"), weak, CONFIG).verdict == "do not deploy"
    assert decide(gates("validation"), weak, eased).verdict == "deploy"
