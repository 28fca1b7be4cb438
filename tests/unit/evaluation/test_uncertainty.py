"""Bootstrap and Sharpe statistics against published numbers, theory and simulation."""

import math

import numpy as np
import pytest

from truefill.core.errors import DataError
from truefill.evaluation.uncertainty import (
    automatic_block_length,
    bootstrap_interval,
    deflated_sharpe,
    expected_best_sharpe,
    paired_difference,
    probabilistic_sharpe,
    seed_spread,
    sharpe_variance,
    stationary_indices,
)


def ar1(rho, n, generator):
    noise = generator.standard_normal(n + 200)
    out = np.zeros(n + 200)
    for i in range(1, n + 200):
        out[i] = rho * out[i - 1] + noise[i]
    return out[200:]


PAPER = {"trial_variance": 0.5 / 250}
"""Bailey & López de Prado (2014): annualized Sharpe 2.5, 1,250 daily returns, V = 1/2 a year."""
PAPER_SHARPE = 2.5 / math.sqrt(250)


def test_expected_best_sharpe_of_the_paper():
    assert expected_best_sharpe(0.5 / 250, 100) == pytest.approx(0.1132, abs=5e-5)


@pytest.mark.parametrize(
    ("trials", "skewness", "kurtosis", "published"),
    [(100, -3.0, 10.0, 0.9004), (46, -3.0, 10.0, 0.9505), (88, 0.0, 3.0, 0.9505)],
)
def test_deflated_sharpe_of_the_paper(trials, skewness, kurtosis, published):
    figure = deflated_sharpe(PAPER_SHARPE, 1250, skewness, kurtosis, trials=trials, **PAPER)
    assert figure.value == pytest.approx(published, abs=5e-5)


def test_probabilistic_sharpe_of_the_paper():
    """Bailey & López de Prado (2012): 24 monthly returns, annualized Sharpe 1.585, benchmark 0;
    0.982 if normal, 0.913 with skewness -2.448 and kurtosis 10.164."""
    monthly = 1.585 / math.sqrt(12)
    assert probabilistic_sharpe(monthly, 24, 0.0, 3.0).value == pytest.approx(0.982, abs=1e-3)
    skewed = probabilistic_sharpe(monthly, 24, -2.448, 10.164)
    assert skewed.value == pytest.approx(0.913, abs=1e-3)


def test_one_look_is_not_deflated_and_more_looks_deflate_more():
    one = deflated_sharpe(0.1, 500, 0.0, 3.0, trial_variance=0.01, trials=1)
    assert one == probabilistic_sharpe(0.1, 500, 0.0, 3.0)
    values = [
        deflated_sharpe(0.1, 500, 0.0, 3.0, trial_variance=0.001, trials=n).value
        for n in (1, 2, 5, 50, 500)
    ]
    assert values == sorted(values, reverse=True) and len(set(values)) == 5


def test_impossible_moments_are_undefined():
    assert probabilistic_sharpe(1.0, 100, 3.0, 1.0).value is None
    assert probabilistic_sharpe(1.0, 1, 0.0, 3.0).value is None


def test_variance_of_a_single_trial_is_that_of_luck():
    assert sharpe_variance([0.3], 101) == pytest.approx(0.01)
    assert sharpe_variance([0.1, 0.3], 101) == pytest.approx(0.02)


@pytest.mark.parametrize("rho", [0.3, 0.5, 0.8, -0.4])
def test_block_length_of_an_autoregression(rho):
    """Theory for AR(1): (2 |rho| / (1 - rho^2))^(2/3) n^(1/3)."""
    generator = np.random.default_rng(0)
    theory = (2 * abs(rho) / (1 - rho**2)) ** (2 / 3) * 2000 ** (1 / 3)
    found = np.mean([automatic_block_length(ar1(rho, 2000, generator)) for _ in range(25)])
    assert found == pytest.approx(theory, rel=0.25)


def test_block_length_of_noise_is_short_and_of_a_constant_is_one():
    generator = np.random.default_rng(1)
    assert np.mean([automatic_block_length(generator.standard_normal(2000)) for _ in range(20)]) < 3
    assert automatic_block_length(np.full(500, 0.1)) == 1.0
    assert automatic_block_length(np.arange(5.0)) == 1.0


def test_block_length_is_free_of_scale():
    series = ar1(0.5, 800, np.random.default_rng(2))
    one = automatic_block_length(series)
    assert automatic_block_length(series * 1e-6) == pytest.approx(one, rel=1e-9)


def test_resampled_blocks_have_the_asked_mean_length_and_are_runs():
    generator = np.random.default_rng(0)
    rows = stationary_indices(1000, 400, 8.0, generator)
    breaks = (np.diff(rows, axis=1) % 1000 != 1).mean()
    assert breaks == pytest.approx(1 / 8, rel=0.03)
    assert rows.min() == 0 and rows.max() == 999
    counts = np.bincount(rows.ravel(), minlength=1000)
    assert counts.std() / counts.mean() < 0.2


def test_interval_covers_the_mean_of_an_autoregression():
    """AR(1), rho 0.5: about 95 % of intervals hold 0; those that ignore dependence miss a lot."""
    generator = np.random.default_rng(5)
    blocks = plain = 0
    for _ in range(120):
        series = ar1(0.5, 400, generator)
        interval = bootstrap_interval(series, draws=300, seed=1)
        blocks += interval.low <= 0.0 <= interval.high
        naive = bootstrap_interval(series, draws=300, seed=1, block_length=1.0)
        plain += naive.low <= 0.0 <= naive.high
    assert 0.86 <= blocks / 120 <= 1.0
    assert plain / 120 < 0.84


def test_interval_of_any_statistic():
    series = np.random.default_rng(0).standard_normal(500)
    spread = bootstrap_interval(series, lambda s: s.std(axis=1), draws=400)
    assert spread.low < spread.estimate < spread.high
    assert spread.estimate == pytest.approx(series.std())
    assert spread.high - spread.low == pytest.approx(2 * 1.96 / math.sqrt(1000), rel=0.3)


def test_p_is_never_zero_and_the_smallest_is_one_over_draws_plus_one():
    paired = paired_difference(np.full(50, 0.01) + np.linspace(0, 1e-4, 50), np.zeros(50), draws=99)
    assert paired.p_value == pytest.approx(1 / 100) and paired.low > 0.0


def test_no_difference_has_p_one_and_an_interval_of_zero():
    series = np.random.default_rng(0).standard_normal(100)
    paired = paired_difference(series, series, draws=50)
    assert (paired.difference, paired.low, paired.high, paired.p_value) == (0.0, 0.0, 0.0, 1.0)


def test_p_of_noise_is_spread_evenly():
    generator = np.random.default_rng(9)
    values = [
        paired_difference(generator.standard_normal(200), np.zeros(200), draws=99).p_value
        for _ in range(200)
    ]
    assert np.mean(np.array(values) <= 0.10) == pytest.approx(0.10, abs=0.06)
    assert np.mean(values) == pytest.approx(0.5, abs=0.07)


def test_same_seed_same_bits_also_over_many_chunks(monkeypatch):
    series = np.random.default_rng(0).standard_normal(300)
    one = bootstrap_interval(series, draws=100, seed=4)
    assert one == bootstrap_interval(series, draws=100, seed=4)
    assert one != bootstrap_interval(series, draws=100, seed=5)
    monkeypatch.setattr("truefill.core.bootstrap.CHUNK", 300 * 7)
    chunked = bootstrap_interval(series, draws=100, seed=4)
    assert chunked.low == pytest.approx(one.low, abs=0.05)


def test_bad_series_are_refused():
    with pytest.raises(DataError, match="finite"):
        bootstrap_interval(np.array([0.0, np.nan, 1.0]))
    with pytest.raises(DataError, match="at least 2"):
        bootstrap_interval(np.array([0.0]))
    with pytest.raises(DataError, match="against"):
        paired_difference(np.zeros(3), np.zeros(4))


def test_seed_spread_warns_above_thirty_percent():
    calm = seed_spread([1.0, 1.1, 0.9])
    assert calm.cv.value == pytest.approx(0.1) and calm.warning is None
    wild = seed_spread([1.0, 2.0, 0.1])
    assert wild.warning is not None and "30%" in wild.warning
    assert seed_spread([-1.0, 1.0]).warning is not None
    assert seed_spread([0.0, 0.0]).warning is None
    assert seed_spread([0.4]).cv.reason == "one seed has no spread"
    with pytest.raises(DataError):
        seed_spread([])
