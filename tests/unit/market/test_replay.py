"""What a replay refuses, and that absent rules are rules that do nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market_bars import FINER_BARS
from market_cases import (
    OPTIONAL_ACCOUNT_RULES,
    OPTIONAL_COLUMNS,
    OPTIONAL_SYMBOL_RULES,
    Case,
    by_hand,
    engine_bars,
    engine_orders,
    engine_params,
    replay_case,
    rule_arrays,
)
from market_compare import engine_record
from market_fuzz import GROUPS, blind_orders, random_case
from market_play import flat, limit, units
from truefill.market.replay import replay
from truefill.market.types import NEVER


def waiting() -> Case:
    """A limit order, with all that it needs."""
    return by_hand([flat(100.0)], [limit(units(1.0), 90.0)])


@pytest.mark.parametrize("missing", ["maker_fee", "session_end"])
def test_orders_with_a_route_need_columns_of_the_bars(missing: str) -> None:
    case = waiting()
    case = replace(case, extra={k: v for k, v in case.extra.items() if k != missing})
    with pytest.raises(ValueError, match=f"limit and stop orders need {missing}"):
        replay_case(case)


def test_orders_with_a_route_need_a_fill_buffer() -> None:
    case = waiting()
    params = engine_params(case)._replace(fill_buffer=None)
    with pytest.raises(ValueError, match="fill_buffer"):
        replay(engine_bars(case), params, engine_orders(case), lag=1)


@pytest.mark.parametrize("cap", ["leverage_at_close", "weight_at_close"])
def test_caps_need_the_ends_of_sessions(cap: str) -> None:
    case = by_hand([flat(100.0)], [units(1.0)])
    shape = (1,) if cap in OPTIONAL_ACCOUNT_RULES else (1, 1)
    case = replace(case, rules=case.rules | {cap: np.ones(shape)})
    with pytest.raises(ValueError, match="session_end"):
        replay_case(case)


def test_soft_rules_are_refused() -> None:
    case = by_hand([flat(100.0)], [units(1.0)])
    soft = engine_params(case)._replace(temperature=jnp.asarray(1e-3))
    with pytest.raises(ValueError, match="for gradients only"):
        replay(engine_bars(case), soft, engine_orders(case), lag=1)


# ---- absent = neutral


def without(case: Case) -> Case:
    """The case without any optional array."""
    optional = {*OPTIONAL_ACCOUNT_RULES, *OPTIONAL_SYMBOL_RULES}
    rules = {name: values for name, values in case.rules.items() if name not in optional}
    return replace(case, rules=rules, extra={}, route=None)


def neutral(case: Case) -> Case:
    """The case with every optional array, at values at which each does nothing."""
    total, accounts, symbols = case.shape
    named = rule_arrays(accounts, symbols, {**OPTIONAL_ACCOUNT_RULES, **OPTIONAL_SYMBOL_RULES})
    extra: dict[str, Any] = {k: np.full((total, symbols), v) for k, v in OPTIONAL_COLUMNS.items()}
    finer = (total, symbols, FINER_BARS)
    extra |= {
        "maker_fee": np.full((total, symbols), 0.5),
        "session_end": (np.arange(total) % 5 == 0)[:, None] * np.ones((1, symbols)),
        "finer_high": np.zeros(finer),
        "finer_low": np.full(finer, NEVER),
    }
    route = {
        "type": np.zeros(case.kind.shape, np.int32),
        "price": np.ones(case.kind.shape),
        "gtc": np.zeros(case.kind.shape),
    }
    return replace(case, rules=named | case.rules, extra=extra, route=route)


@settings(max_examples=8)
@given(st.integers(0, 2**31))
def test_absent_rules_are_neutral_rules(seed: int) -> None:
    """Every kind of order, all the rules that are always there, 64 accounts x 200 bars."""
    drawn = random_case(seed, bars=201, accounts=64, symbols=2, lag=1, groups=GROUPS)
    case = without(blind_orders(drawn, seed + 1))
    absent, present = engine_record(case), engine_record(neutral(case))
    assert np.max(np.abs(present["equity"] / absent["equity"] - 1.0)) < 1e-12
    for name in ("status", "held", "in_bar.reason", "at_end.reason", "at_open.reason"):
        assert np.array_equal(present[name], absent[name]), name
    assert np.abs(absent["order.units"]).any(axis=(0, 2)).sum() > 50
