"""The soft market: its gradients are those of its own equity, and it becomes the market."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import truefill
from market_cases import Case, engine_bars, engine_params, with_neutral
from market_fuzz import GROUPS, random_case
from truefill.market.bars import MarketBars
from truefill.market.differentiable import SoftEquity, soft_weights
from truefill.market.replay import equity_only, replay
from truefill.market.types import Array, BarState, MarketParams, OrderKind, Orders

BARS, ACCOUNTS, SYMBOLS = 7, 6, 2
WEIGHTS = (BARS - 1, ACCOUNTS, SYMBOLS)
ALL_RULES = frozenset(GROUPS - {"routes", "finer"})
STEP = 2e-7
"""Of the finite differences, a weight; a switch is wide 1e-3 at least, and a lot 5e-5."""
SEEDS = st.integers(0, 10**6)
EXAMPLES = 12


def soft_case(seed: int) -> Case:
    """Every rule in random mixes, with lots so coarse that a finite difference sees one edge."""
    case = random_case(
        seed, bars=BARS, accounts=ACCOUNTS, symbols=SYMBOLS, lag=1, groups=ALL_RULES
    )  # fmt: skip
    share = case.rules["initial_balance"][:, None] / case.prices["close"][0]
    if "rate_close" in case.extra:
        share = share / case.extra["rate_close"][0]
    return replace(
        case, rules=case.rules | {"lot": np.where(case.rules["lot"] > 0.0, 0.05 * share, 0.0)}
    )


def random_weights(seed: int) -> Array:
    return jnp.asarray(np.random.default_rng(seed + 1).uniform(-1.2, 1.2, WEIGHTS))


@jax.jit
def final(bars: MarketBars, params: MarketParams, weights: Array, temperature: float) -> Array:
    """Soft equity at the last close, [N]."""
    return soft_weights(bars, params, weights, lag=1, temperature=temperature).soft[-1]


@jax.jit
def gradient(bars: MarketBars, params: MarketParams, weights: Array, temperature: float) -> Array:
    """Of each account's final equity with respect to its own weights, [T - 1, N, S]."""
    return jax.grad(lambda w: final(bars, params, w, temperature).sum())(weights)


many = jax.jit(jax.vmap(final, in_axes=(None, None, 0, None)))


def differences(
    bars: MarketBars, params: MarketParams, weights: Array, temperature: float
) -> np.ndarray:
    """Central finite differences of all weights, two steps, extrapolated; accounts are apart."""
    shape = (BARS - 1, SYMBOLS, BARS - 1, ACCOUNTS, SYMBOLS)
    unit = np.zeros(shape)
    for t in range(BARS - 1):
        for s in range(SYMBOLS):
            unit[t, s, t, :, s] = 1.0
    unit = unit.reshape(-1, *WEIGHTS)

    def central(step: float) -> np.ndarray:
        up = many(bars, params, weights + step * unit, temperature)
        down = many(bars, params, weights - step * unit, temperature)
        slopes = np.asarray(up - down) / (2.0 * step)
        return slopes.reshape(BARS - 1, SYMBOLS, ACCOUNTS).transpose(0, 2, 1)

    return (4.0 * central(STEP) - central(2.0 * STEP)) / 3.0


@pytest.mark.slow
@settings(max_examples=EXAMPLES)
@given(SEEDS, st.sampled_from([1e-2, 1e-3]))
def test_gradients_are_those_of_finite_differences(seed: int, temperature: float) -> None:
    """Stops, targets, trailing, band, lots, minimum, impact, participation, caps, margin, funding,
    dividends, splits, rates: to 1e-5, or 1e-8 of the balance for a weight of one, the rounding."""
    case, weights = soft_case(seed), random_weights(seed)
    bars, params = engine_bars(case), engine_params(case)
    got = np.asarray(gradient(bars, params, weights, temperature))
    wanted = differences(bars, params, weights, temperature)
    noise = 1e-8 * case.rules["initial_balance"][:, None]
    assert np.all(np.isfinite(got))
    assert np.all(np.abs(got - wanted) <= 1e-5 * np.abs(wanted) + noise)
    assert (got != 0.0).any(axis=(0, 2)).sum() >= 2


def flat_prices(case: Case) -> Case:
    """Every price the same: levels exactly at a price, ties all over."""
    first = {name: np.full_like(values, 100.0) for name, values in case.prices.items()}
    return replace(case, prices=first)


def masked(case: Case) -> Case:
    """Hardly a bar: masked from the third on."""
    state = case.state.copy()
    state[2:] = BarState.MASKED
    return replace(case, state=state)


@pytest.mark.slow
@settings(max_examples=EXAMPLES)
@given(SEEDS, st.sampled_from([1.0, 1e-2, 1e-3, 1e-6]))
def test_no_gradient_is_nan_or_infinite(seed: int, temperature: float) -> None:
    """Random weights, flat accounts, tied prices, masked bars, optional rules off."""
    case, weights = soft_case(seed), random_weights(seed)
    off = with_neutral(case, set(ALL_RULES))
    zero = jnp.zeros(WEIGHTS)
    for some, orders in (
        (case, weights), (case, zero), (off, weights), (off, zero), (flat_prices(case), weights),
        (flat_prices(case), zero), (masked(case), weights), (masked(case), zero),
    ):  # fmt: skip
        bars, params = engine_bars(some), engine_params(some)
        value = np.asarray(final(bars, params, orders, temperature))
        slope = np.asarray(gradient(bars, params, orders, temperature))
        assert np.all(np.isfinite(value)) and np.all(np.isfinite(slope))
        assert np.all(value <= 1e3 * some.rules["initial_balance"])


def hard(case: Case, weights: Array) -> np.ndarray:
    kind = jnp.full(WEIGHTS, OrderKind.WEIGHT, jnp.int32)
    bars, params = engine_bars(case), engine_params(case)
    return np.asarray(replay(bars, params, Orders(kind, weights), lag=1, record=equity_only)[-1])


def test_soft_equity_becomes_that_of_the_market() -> None:
    """The error falls with the temperature; away from ties it is gone at 1e-6."""
    temperatures = (1e-2, 1e-3, 1e-4, 1e-6, 1e-8)
    errors = []
    for seed in range(20):
        case, weights = soft_case(seed), random_weights(seed)
        wanted = hard(case, weights)
        bars, params = engine_bars(case), engine_params(case)
        soft = [np.asarray(final(bars, params, weights, t)) for t in temperatures]
        errors.append([np.abs(equity / wanted - 1.0) for equity in soft])
    table = np.array(errors).transpose(1, 0, 2).reshape(len(temperatures), -1)
    middle = np.median(table, axis=1)
    mean = np.minimum(table, 1.0).mean(axis=1)
    assert middle[0] > 1e-3
    assert np.all(np.diff(middle) < 0.0) and np.all(np.diff(mean) < 0.0)
    assert np.mean(table[3] < 1e-6) > 0.98
    assert np.mean(table[4] < 1e-8) > 0.98


def test_a_soft_result_cannot_be_reported() -> None:
    """Its type is no array, soft rules are refused, and nothing that reports knows of it."""
    case = soft_case(1)
    bars, params = engine_bars(case), engine_params(case)
    soft = soft_weights(bars, params, random_weights(1), lag=1, temperature=1e-3)
    assert type(soft) is SoftEquity
    with pytest.raises(TypeError):
        soft / 1_000.0  # type: ignore[operator]
    kind = jnp.full(WEIGHTS, OrderKind.WEIGHT, jnp.int32)
    melted = params._replace(temperature=jnp.asarray(1e-3))
    with pytest.raises(ValueError, match="for gradients only"):
        replay(bars, melted, Orders(kind, random_weights(1)), lag=1)
    assert not [path for path in reporting_files() if "differentiable" in imports(path)]


def reporting_files() -> list[Path]:
    root = Path(truefill.__file__).parent
    return [path for part in ("evaluation", "report", "tuning", "pipeline", "cli", "env")
            for path in sorted((root / part).rglob("*.py"))]  # fmt: skip


def imports(path: Path) -> set[str]:
    """Last parts of the names that a file imports."""
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            found += [node.module or "", *(alias.name for alias in node.names)]
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
    return {name.rpartition(".")[2] for name in found}


@pytest.mark.parametrize("temperature", [0.0, -1e-3, 0])
def test_a_temperature_is_positive(temperature: Any) -> None:
    case = soft_case(1)
    with pytest.raises(ValueError, match="temperature"):
        soft_weights(engine_bars(case), engine_params(case), random_weights(1), lag=1,
                     temperature=temperature)  # fmt: skip
