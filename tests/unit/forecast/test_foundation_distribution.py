"""Facts of a predictive distribution, from samples and from quantiles."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from scipy.special import ndtri
from scipy.stats import skew

from truefill.forecast.foundation.distribution import (
    BINS,
    Levels,
    of_quantiles,
    of_samples,
    quantile_name,
)
from truefill.forecast.foundation.quantiles import QuantileFunction

LEVELS = (0.1, 0.5, 0.9)
DECILES = np.arange(1, 10) / 10.0


def slow_facts(x: np.ndarray, levels: tuple[float, ...]) -> dict[str, float]:
    """One row, as the definitions read."""
    mean, sigma = float(np.mean(x)), float(np.std(x))
    counts = [0] * BINS
    for value in x:
        place = int(np.floor((value - mean) / (sigma / 2.0))) + BINS // 2
        counts[min(max(place, 0), BINS - 1)] += 1
    shares = [c / len(x) for c in counts if c]
    low, middle, high = (float(np.quantile(x, level)) for level in (levels[0], 0.5, levels[-1]))
    out = {"mean": mean, "sigma": sigma, "skew": float(skew(x))}
    out |= {quantile_name(level): float(np.quantile(x, level)) for level in levels}
    out["tail_ratio"] = (high - middle) / (middle - low)
    out["entropy"] = -sum(p * np.log(p) for p in shares) / np.log(BINS)
    out["p_rise"] = float(np.mean(x > 0) + np.mean(x == 0) / 2)
    return out


def test_facts_of_samples_are_their_definitions() -> None:
    rng = np.random.default_rng(3)
    x = np.concatenate([rng.standard_normal((3, 501)), rng.exponential(2.0, (3, 501)) - 1.0]) * 0.01
    x[0, :7] = 0.0
    levels = (0.025, 0.1, 0.5, 0.9)
    found = of_samples(x, levels)
    for i, row in enumerate(x):
        slow = slow_facts(row, levels)
        assert set(found) == set(slow)
        for name, value in slow.items():
            assert found[name][i] == pytest.approx(value, abs=1e-12), name
    assert found["tail_ratio"][4] > 1.5 and found["skew"][4] > 1.0


def test_a_row_has_the_same_bits_alone_and_in_any_order_of_samples() -> None:
    x = np.random.default_rng(4).standard_normal((5, 64))
    together = of_samples(x, LEVELS)
    alone = of_samples(np.ascontiguousarray(x[2:3, ::-1]), LEVELS)
    for name, values in together.items():
        assert values[2:3].tobytes() == alone[name].tobytes()


@pytest.mark.parametrize("at", [0.0, -0.3, 0.1])
def test_a_distribution_without_width_has_facts(at: float) -> None:
    flat = QuantileFunction(DECILES, np.full((1, 9), at))
    for found in (of_samples(np.full((1, 7), at), LEVELS), of_quantiles(flat, LEVELS)):
        assert found["mean"][0] == pytest.approx(at, abs=1e-15) and found["q10"][0] == at
        assert [found[name][0] for name in ("sigma", "skew", "entropy")] == [0.0, 0.0, 0.0]
        assert found["tail_ratio"][0] == 1.0
        assert found["p_rise"][0] == pytest.approx(0.5 * (1.0 + np.sign(at)))


def test_deciles_of_a_normal_distribution() -> None:
    """What the docstrings say of them."""
    found = of_quantiles(QuantileFunction(DECILES, 0.02 * ndtri(DECILES)[None]), LEVELS)
    assert found["mean"][0] == pytest.approx(0.0, abs=1e-15)
    assert found["sigma"][0] / 0.02 == pytest.approx(0.995, abs=0.001)
    assert found["q10"][0] == pytest.approx(0.02 * ndtri(0.1))
    assert found["tail_ratio"][0] == pytest.approx(1.0) and found["p_rise"][0] == 0.5
    assert found["entropy"][0] == pytest.approx(0.76, abs=0.01)
    assert found["skew"][0] == pytest.approx(0.0, abs=1e-9)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.lists(st.floats(-1.0, 1.0), min_size=9, max_size=9), st.booleans())
def test_facts_of_quantiles_are_those_of_many_samples_of_them(
    values: list[float], tied: bool
) -> None:
    """Also where quantiles cross or coincide."""
    row = np.round(values, 1) if tied else np.asarray(values)
    known = QuantileFunction.of(DECILES, row[None])
    u = (np.arange(20_000) + 0.5) / 20_000
    samples = known.at(u)
    assert (np.diff(samples[0]) >= 0.0).all()
    mean, second, third = known.moments()
    off = samples[0] - samples[0].mean()
    assert mean[0] == pytest.approx(samples[0].mean(), abs=5e-4)
    assert second[0] == pytest.approx(np.mean(off**2), abs=1e-3)
    assert third[0] == pytest.approx(np.mean(off**3), abs=1e-2)
    for x in (-0.7, 0.0, 0.2):
        share = np.mean(samples[0] < x) + np.mean(samples[0] == x) / 2
        assert known.cdf(np.array([x]))[0] == pytest.approx(share, abs=5e-4)


def test_beyond_the_outer_quantiles_the_density_carries_on() -> None:
    known = QuantileFunction(np.array([0.2, 0.5, 0.9]), np.array([[-1.0, 0.0, 4.0]]))
    found = known.at(np.array([0.02, 0.2, 0.35, 0.7, 0.9, 0.99]))[0]
    low, high = 0.2 * 1.0 / 0.3, 0.1 * 4.0 / 0.4
    expected = [-1.0 + low * np.log(0.1), -1.0, -0.5, 2.0, 4.0, 4.0 - high * np.log(0.1)]
    assert found == pytest.approx(expected)
    at = np.array([-1.5])
    assert known.cdf(at)[0] == pytest.approx(0.2 * np.exp(-0.5 / low))


@pytest.mark.parametrize("levels", [(0.1, 0.9), (0.5, 0.9), (0.9, 0.5, 0.1), (0.0, 0.5, 0.9)])
def test_levels_that_say_nothing_of_the_tails_are_refused(levels: tuple[float, ...]) -> None:
    with pytest.raises(ValidationError, match=r"levels ascend|the median"):
        TypeAdapter(Levels).validate_python(levels)
