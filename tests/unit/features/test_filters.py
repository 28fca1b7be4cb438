"""Filters against slow exact loops; what constants, NaN, spikes and portions do to them."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import isnan, sqrt

import numpy as np
import pytest

from truefill.features.filters import (
    Ema,
    Filter,
    Lag,
    Max,
    Mean,
    MeanDeviation,
    Min,
    Skew,
    Std,
    Sum,
    Total,
    Wilder,
)

WINDOWED = [Sum, Mean, Std, Skew, Max, Min, MeanDeviation]
RECURSIVE: list[Callable[[], Filter]] = [
    lambda: Ema(0.1), lambda: Wilder(14), lambda: Wilder(1), Total, lambda: Lag(5), lambda: Lag(0)
]  # fmt: skip


def exact(kind: type, window: list[float]) -> float:
    """The statistic in rational arithmetic."""
    values = [Fraction(v) for v in window]
    n = len(values)
    mean = sum(values) / n
    if kind in (Max, Min, Sum, Mean):
        found = {Max: max(values), Min: min(values), Sum: sum(values), Mean: mean}[kind]
        return float(found)
    if kind is MeanDeviation:
        return float(sum(abs(v - mean) for v in values) / n)
    second = sum((v - mean) ** 2 for v in values)
    if kind is Std:
        return sqrt(second / (n - 1))
    third = sum((v - mean) ** 3 for v in values)
    return float(third / n) / sqrt(second / n) ** 3 if second else 0.0


def prices(count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return 4_000.0 * np.exp(0.001 * rng.standard_normal(count).cumsum())


@pytest.mark.parametrize("kind", WINDOWED)
@pytest.mark.parametrize("window", [2, 7, 32, 61])
def test_windows_equal_exact_arithmetic(kind: type, window: int) -> None:
    """Prices 4,000 with moves of 0.1 %: where sums of squares lose half their digits."""
    values = prices(90)
    found = kind(window).push(values)
    assert np.isnan(found[: window - 1]).all()
    want = [exact(kind, values[t - window + 1 : t + 1].tolist()) for t in range(window - 1, 90)]
    np.testing.assert_allclose(found[window - 1 :], want, rtol=1e-12, atol=1e-11)


@pytest.mark.parametrize("kind", [Mean, Std, Sum])
def test_long_windows_are_exact_too(kind: type) -> None:
    values = prices(5_100, seed=3)
    found = kind(5_000).push(values)
    for t in (4_999, 5_099):
        want = exact(kind, values[t - 4_999 : t + 1].tolist())
        assert found[t] == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize("window", [2, 10, 63, 300])
@pytest.mark.parametrize("value", [3_271.7699, 1e-8, 0.1, -7.3])
def test_constants_have_exactly_their_mean_and_no_deviation(window: int, value: float) -> None:
    values = np.concatenate([prices(50), np.full(2 * window, value)])
    assert (Std(window).push(values)[49 + window :] == 0.0).all()
    assert (Skew(window).push(values)[49 + window :] == 0.0).all()
    assert (Mean(window).push(values)[49 + window :] == value).all()
    assert (MeanDeviation(window).push(values)[49 + window :] == 0.0).all()


@pytest.mark.parametrize("kind", WINDOWED)
@pytest.mark.parametrize("spike", [1e300, np.nan, np.inf])
def test_what_left_the_window_left_no_trace(kind: type, spike: float) -> None:
    clean = prices(120, seed=1)
    spiked = clean.copy()
    spiked[40] = spike
    with np.errstate(over="ignore", invalid="ignore"):
        found = kind(20).push(spiked)
    whole = kind(20).push(clean)
    np.testing.assert_array_equal(found[:40], whole[:40])
    np.testing.assert_array_equal(found[60:], whole[60:])
    if isnan(spike):
        assert np.isnan(found[40:60]).all()


@pytest.mark.parametrize("kind", WINDOWED)
def test_a_window_does_not_depend_on_where_it_lies(kind: type) -> None:
    values = prices(200, seed=2)
    whole, late = kind(17).push(values), kind(17).push(values[83:])
    assert whole[83 + 16 :].tobytes() == late[16:].tobytes()


@pytest.mark.parametrize("make", [*(lambda k=k: k(9) for k in WINDOWED), *RECURSIVE])
def test_portions_and_restored_states_give_the_same_bits(make: Callable[[], Filter]) -> None:
    values = np.concatenate([np.full(3, np.nan), prices(20_000, seed=5)])
    whole = make().push(values)
    rng = np.random.default_rng(0)
    carried, parts, at = make(), [], 0
    while at < len(values):
        step = int(rng.choice([1, 2, 9, 700, 9_000]))
        parts.append(carried.push(values[at : at + step]))
        at += step
        again = make()
        again.restore(carried.state())
        carried = again
    assert np.concatenate(parts).tobytes() == whole.tobytes()
    assert np.isnan(whole[:3]).all()


def test_recursive_filters_equal_their_definitions() -> None:
    values = prices(60)
    ema, wilder = Ema(0.2).push(values), Wilder(5).push(values)
    want, smooth = values[0], values[:5].mean()
    assert ema[0] == want and np.isnan(wilder[:4]).all() and wilder[4] == pytest.approx(smooth)
    for t in range(1, 60):
        want += 0.2 * (values[t] - want)
        assert ema[t] == pytest.approx(want, rel=1e-13)
        if t > 4:
            smooth = (smooth * 4 + values[t]) / 5
            assert wilder[t] == pytest.approx(smooth, rel=1e-13)
    np.testing.assert_array_equal(Lag(3).push(values)[3:], values[:-3])
    np.testing.assert_allclose(Total().push(values), values.cumsum(), rtol=1e-14)


@pytest.mark.parametrize(
    "make", [lambda: Sum(0), lambda: Std(1), lambda: Ema(0.0), lambda: Ema(1.1), lambda: Lag(-1)]
)
def test_senseless_parameters_are_refused(make: Callable[[], Filter]) -> None:
    with pytest.raises(ValueError, match="must"):
        make()


def test_a_state_of_something_else_is_refused() -> None:
    with pytest.raises(ValueError, match="a Ema keeps alpha, carry, started"):
        Ema(0.1).restore(Sum(4).state())
