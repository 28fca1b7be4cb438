"""The engine and the independent ledger agree, bar by bar, with every rule switched on."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from market_compare import assert_same, engine_record, ledger_case
from market_fuzz import lively_orders, random_case

RULES = (
    "ORDER", "GAP_STOP", "TAKE_PROFIT", "MAX_HOLD", "STOP_LOSS", "TRAILING_STOP", "LIQUIDATION",
    "RUIN", "gapped target", "queue cancelled", "decision interval", "short refused",
    "already on that side", "weight cap", "band", "min hold: close", "min hold: reverse",
    "min hold: reduce", "lot", "leverage", "reversal", "partial reduction", "add", "ATR stop",
    "trailing level: distance", "trailing level: keep-profit", "written off", "ruined",
    "masked with position", "interest", "borrow", "ambiguous",
    "fresh position already beyond its stop", "status FILLED", "status NO_CHANGE",
    "status MIN_HOLD", "status NOT_TRADABLE", "status STOPPED", "status BELOW_MINIMUM",
    "status NO_ROOM",
)  # fmt: skip


def agree(seed: int, *, bars: int, symbols: int, lag: int) -> tuple[Counter[str], float]:
    """Run both; return how often each rule fired and the share of account-bars with money left."""
    case = random_case(seed, bars=bars, accounts=64, symbols=symbols, lag=lag)
    theirs, fired, case = ledger_case(case, lively_orders(case, seed + 1))
    assert_same(engine_record(case), theirs)
    return fired, float(np.mean(theirs["equity"] > 0.01 * case.rules["initial_balance"]))


def test_engine_agrees_with_the_ledger() -> None:
    fired: Counter[str] = Counter()
    for lag, symbols, seeds in ((1, 1, (10, 11)), (2, 3, (20, 21)), (3, 2, (30, 31))):
        for seed in seeds:
            counts, alive = agree(seed, bars=201, symbols=symbols, lag=lag)
            fired += counts
            assert alive > 0.9
    missing = [rule for rule in RULES if fired[rule] == 0]
    assert not missing, f"never fired: {missing}"


@pytest.mark.slow
def test_engine_agrees_with_the_ledger_over_ten_thousand_bars() -> None:
    """640,000 account-bars of two symbols."""
    fired, alive = agree(7, bars=10_001, symbols=2, lag=2)
    assert alive > 0.7
    rare = {"RUIN": 3}  # ruin is final: at most once an account
    missing = [rule for rule in RULES if fired[rule] < rare.get(rule, 10)]
    assert not missing, f"hardly ever fired: {[(rule, fired[rule]) for rule in missing]}"
