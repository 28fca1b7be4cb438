"""The verdict: deploy, do not deploy, or not enough evidence, with every reason in figures.

A pure function of plain data. ``deploy`` needs every check to pass. One check that can be had and
fails means ``do not deploy``. Only when nothing fails, and at least one figure cannot be had, is it
``not enough evidence``. A failed validation gate always means ``do not deploy``: test stays sealed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from truefill.config.schema import EvaluationConfig
from truefill.evaluation.figures import Figure
from truefill.evaluation.gates import GateResult, count, failed, percent, plain
from truefill.evaluation.uncertainty import (
    PairedDifference,
    deflated_sharpe,
    expected_best_sharpe,
    sharpe_variance,
)

Answer = Literal["deploy", "do not deploy", "not enough evidence"]


@dataclass(frozen=True)
class TestEvidence:
    """What the one opening of the test split showed of the chosen policy."""

    __test__ = False

    gates: Sequence[GateResult]
    shortfall: str | None
    """Why there is no Sharpe ratio and no p-value (``metrics.evidence_shortfall``), or None."""
    net_return: float
    """Fraction over the split."""
    closed_trades: int
    sharpe_per_period: Figure
    skewness: Figure
    kurtosis: Figure
    """Raw: a normal distribution has 3."""
    bars: int
    baseline_returns: Mapping[str, float]
    """Baseline -> net return."""
    paired: Mapping[str, PairedDifference]
    """Baseline -> paired difference; the same keys."""
    seed_returns: Mapping[int, float]
    """Seed -> net return; every seed, all evaluated within this opening. Of a rule, which nobody
    trained, none."""
    stressed_return: float
    """Net return at ``cost_multiple`` times all costs."""
    slippage_returns: Mapping[float, float]
    """Slippage in bps -> net return."""
    looks: int
    """Policies ever scored on this split, from the ledger."""
    trial_sharpes: Sequence[float]
    """Per-period Sharpe ratios of those looks, where they have one."""
    openings: int
    """Openings of this test split by any policy or config."""
    contaminated: bool


@dataclass(frozen=True)
class Check:
    """One check. ``passed`` is None where its figure cannot be had."""

    check: str
    passed: bool | None
    text: str


@dataclass(frozen=True)
class Verdict:
    """The answer, one sentence, and every check behind it."""

    verdict: Answer
    headline: str
    reasons: tuple[Check, ...]
    contaminated: bool
    looks: int
    openings: int
    behaviour: str = ""
    """What the judged policy does, in words (``docs/policies.md``); it decides nothing."""

    def to_dict(self) -> dict[str, Any]:
        out = asdict(self)
        out["reasons"] = [asdict(reason) for reason in self.reasons]
        return out


def decide(
    validation_gates: Sequence[GateResult],
    test: TestEvidence | None,
    config: EvaluationConfig,
) -> Verdict:
    """Judge one run.

    Args:
        validation_gates: of the chosen policy on validation.
        test: None where test was not opened.
        config: the limits.
    """
    checks = [_validation_check(validation_gates)]
    if test is None:
        gated = not checks[0].passed
        why = "a validation gate failed" if gated else "the run stopped before it"
        checks.append(Check("test_opened", None, f"Test was not opened, because {why}."))
    else:
        checks += [
            *_test_gate_checks(test, config),
            *_baseline_checks(test),
            _deflated_check(test, config),
            _seed_check(test, config),
            _cost_check(test, config),
            _slippage_check(test),
            _contamination_check(test),
        ]
    answer = _answer(checks)
    return Verdict(
        verdict=answer,
        headline=_headline(answer, checks, test),
        reasons=tuple(checks),
        contaminated=test.contaminated if test else False,
        looks=test.looks if test else 0,
        openings=test.openings if test else 0,
    )


def _answer(checks: Sequence[Check]) -> Answer:
    if any(check.passed is False for check in checks):
        return "do not deploy"
    if any(check.passed is None for check in checks):
        return "not enough evidence"
    return "deploy"


def _headline(answer: Answer, checks: Sequence[Check], test: TestEvidence | None) -> str:
    if answer == "deploy" and test is not None:
        return (
            f"Deploy: all {len(checks)} checks passed; net return on test "
            f"{percent(test.net_return)} after costs."
        )
    wanted = False if answer == "do not deploy" else None
    against = [check for check in checks if check.passed is wanted]
    first = against[0].text.rstrip(".")
    start, what = ("Do not deploy", "failed")
    if answer == "not enough evidence":
        start, what = ("Not enough evidence", "cannot be judged")
    many = f"{len(against)} of {len(checks)} checks {what}; first: " if len(against) > 1 else ""
    return f"{start}: {many}{first[0].lower()}{first[1:]}."


def _validation_check(gates: Sequence[GateResult]) -> Check:
    bad = failed(gates)
    if not bad:
        return Check("validation_gates", True, f"All {len(gates)} validation gates passed.")
    why = "; ".join(gate.reason for gate in bad)
    text = f"{len(bad)} of {len(gates)} validation gates failed: {why}."
    return Check("validation_gates", False, text)


def _lacks_evidence(gate: GateResult, test: TestEvidence, config: EvaluationConfig) -> bool:
    """A failed gate that says "too little was seen", not "what was seen is bad"."""
    few_trades = gate.name == "min_closed_trades" and (
        test.shortfall is not None and test.closed_trades < config.min_closed_trades
    )
    return gate.value is None or few_trades or gate.name.startswith("min_rows")


def _test_gate_checks(test: TestEvidence, config: EvaluationConfig) -> list[Check]:
    bad = failed(test.gates)
    hard = [gate for gate in bad if not _lacks_evidence(gate, test, config)]
    soft = [gate for gate in bad if _lacks_evidence(gate, test, config)]
    checks = []
    if hard:
        why = "; ".join(gate.reason for gate in hard)
        text = f"{len(hard)} of {len(test.gates)} test gates failed: {why}."
        checks.append(Check("test_gates", False, text))
    if soft:
        why = "; ".join(gate.reason for gate in soft)
        text = f"{len(soft)} of {len(test.gates)} test gates cannot be judged: {why}."
        checks.append(Check("test_gates_evidence", None, text))
    return checks or [Check("test_gates", True, f"All {len(test.gates)} test gates passed.")]


def _baseline_checks(test: TestEvidence) -> list[Check]:
    """Net profit above every baseline: the paired interval lies above 0."""
    checks = []
    for name, paired in test.paired.items():
        label = name.replace("_", " ").replace("sma", "SMA")
        returns = f"{percent(test.net_return)} against {percent(test.baseline_returns[name])}"
        interval = (
            f"difference per bar {paired.difference * 1e4:.3f} bps, interval "
            f"{paired.low * 1e4:.3f} to {paired.high * 1e4:.3f}"
        )
        beaten = test.net_return > test.baseline_returns[name] and paired.low > 0.0
        if test.shortfall is not None and test.net_return > test.baseline_returns[name]:
            text = f"Whether it beats {label} cannot be judged: {test.shortfall} ({returns})."
            checks.append(Check(f"beats_{name}", None, text))
            continue
        p_value = "" if test.shortfall else f", p = {paired.p_value:.4f}"
        verb = "is above" if beaten else "is not reliably above"
        text = f"Net profit {verb} {label}: {returns}; {interval}{p_value}."
        checks.append(Check(f"beats_{name}", beaten, text))
    return checks


def _deflated_check(test: TestEvidence, config: EvaluationConfig) -> Check:
    name, needed = "deflated_sharpe", plain(config.min_deflated_sharpe)
    looks = f"{count(test.looks)} look{'s' if test.looks != 1 else ''}"
    sharpe, skewness, kurtosis = test.sharpe_per_period, test.skewness, test.kurtosis
    if test.shortfall is not None:
        return Check(name, None, f"The deflated Sharpe ratio cannot be had: {test.shortfall}.")
    if sharpe.value is None or skewness.value is None or kurtosis.value is None:
        why = sharpe.reason or skewness.reason or kurtosis.reason
        return Check(name, None, f"The deflated Sharpe ratio cannot be had: {why}.")
    variance = sharpe_variance(test.trial_sharpes, test.bars)
    figure = deflated_sharpe(
        sharpe.value,
        test.bars,
        skewness.value,
        kurtosis.value,
        trial_variance=variance,
        trials=test.looks,
    )
    if figure.value is None:
        return Check(name, None, f"The deflated Sharpe ratio cannot be had: {figure.reason}.")
    passed = figure.value >= config.min_deflated_sharpe
    luck = expected_best_sharpe(variance, test.looks)
    text = (
        f"Deflated Sharpe ratio {figure.value:.3f} over {looks} {'is' if passed else 'is not'} at "
        f"least {needed}: Sharpe per bar {sharpe.value:.4f}, luck alone would show {luck:.4f}."
    )
    return Check(name, passed, text)


def _seed_check(test: TestEvidence, config: EvaluationConfig) -> Check:
    if not test.seed_returns:
        text = (
            "A rule was judged: nothing was trained, so there are no seeds that could disagree; "
            f"its own net return on test is {percent(test.net_return)}."
        )
        return Check("seeds", test.net_return > 0.0, text)
    positive = sum(value > 0.0 for value in test.seed_returns.values())
    each = ", ".join(f"{seed}: {percent(value)}" for seed, value in test.seed_returns.items())
    text = (
        f"{positive} of {len(test.seed_returns)} seeds made a profit on test (needed "
        f"{config.min_positive_seeds}): {each}."
    )
    return Check("seeds", positive >= config.min_positive_seeds, text)


def _cost_check(test: TestEvidence, config: EvaluationConfig) -> Check:
    passed = test.stressed_return > 0.0
    text = (
        f"At {config.cost_multiple:g} times the costs the net return is "
        f"{percent(test.stressed_return)}, {'still' if passed else 'not'} a profit."
    )
    return Check("cost_stress", passed, text)


def _slippage_check(test: TestEvidence) -> Check:
    if not test.slippage_returns:
        return Check("slippage", None, "No slippage grid was replayed.")
    worst = min(test.slippage_returns, key=lambda bps: test.slippage_returns[bps])
    value = test.slippage_returns[worst]
    text = (
        f"In the worst cell of the slippage grid ({worst:g} bps more) the net return is "
        f"{percent(value)}, {'still' if value > 0.0 else 'not'} a profit."
    )
    return Check("slippage", value > 0.0, text)


def _contamination_check(test: TestEvidence) -> Check:
    if test.contaminated:
        text = (
            f"The test split is contaminated: it was opened {count(test.openings)} times, by more "
            "than one policy or config."
        )
        return Check("contamination", False, text)
    return Check("contamination", True, "The test split was opened once, by this policy only.")
