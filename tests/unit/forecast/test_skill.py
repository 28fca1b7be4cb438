"""The test of Diebold and Mariano against published numbers and simulation; skill where there is
none, and where it was planted."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest

from forecast_cases import asked, bars_from, history, random_walk
from truefill.config.forecast import SkillConfig
from truefill.core.errors import DataError, UsageError
from truefill.forecast.baselines import Forecast
from truefill.forecast.compare import Outcomes, baselines_of, compare, forecasts_of
from truefill.forecast.labels.trailing import trailing_mean, volatility
from truefill.forecast.skill import diebold_mariano, score_interval, skill

FEW = SkillConfig(draws=400)


def shuffled_hundred(rng):
    """What random.sample(range(100), 100) of Python 2 drew."""
    pool, out = list(range(100)), []
    for i in range(100):
        j = int(rng.random() * (100 - i))
        out.append(pool[j])
        pool[j] = pool[99 - i]
    return np.array(out, np.float64)


@pytest.mark.parametrize(
    ("loss", "statistic", "p"),
    [
        (np.abs, 1.3275742446369585, 0.18737195617455585),
        (lambda e: e**2, 1.2112523589452902, 0.22868210381769466),
        (lambda e: e**4, 0.9124498079287283, 0.36374861695187799),
    ],
)
def test_published_output_one_step_ahead(loss, statistic, p):
    """The example of github.com/johntwk/Diebold-Mariano-Test (seed 123, Python 2)."""
    rng = random.Random(123)
    actual, first, second = (shuffled_hundred(rng) for _ in range(3))
    found = diebold_mariano(loss(actual - first) - loss(actual - second), horizon=1)
    assert found.statistic.value == pytest.approx(statistic, rel=1e-12)
    assert found.p_value.value == pytest.approx(p, rel=1e-12)


def test_published_output_three_steps_ahead():
    """Test data of the package dieboldmariano (1.1.0), absolute errors; its p is one-sided."""
    one = [0.3675, 0.5451, 0.2204, 0.8689, 0.6073, 0.8582, 0.4166, 0.3812, 0.7185, 0.3083, 0.4297,
           0.8616, 0.7241, 0.3451, 0.1968]  # fmt: skip
    two = [0.1279, 0.3680, 0.7687, 0.0997, 0.2720, 0.2880, 0.9160, 0.6113, 0.5453, 0.0679, 0.6073,
           0.6242, 0.4000, 0.1990, 0.8095]  # fmt: skip
    found = diebold_mariano(np.array(one) - np.array(two), horizon=3)
    assert found.statistic.value == pytest.approx(1.2109, abs=1e-3)
    assert 1.0 - found.p_value.value / 2.0 == pytest.approx(0.877, abs=1e-3)
    assert found.kernel == "rectangular"


def test_one_step_ahead_it_is_students_paired_test():
    """Student (1908), sleep: t = 4.0621 of 9 degrees of freedom, p = 0.002833, interval 0.70 to
    2.46."""
    extra = np.array([1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4])
    found = diebold_mariano(extra, horizon=1)
    assert found.statistic.value == pytest.approx(4.0621, abs=5e-5)
    assert found.p_value.value == pytest.approx(0.002833, abs=5e-7)
    assert (found.low.value, found.high.value) == pytest.approx((0.7001, 2.4599), abs=5e-5)


def test_a_variance_that_is_not_positive_is_told():
    wave = np.tile([1.0, -1.0], 20) + 0.01
    found = diebold_mariano(wave, horizon=2)
    assert found.kernel == "bartlett" and found.statistic.value is not None
    flat = diebold_mariano(np.full(20, 0.5), horizon=2)
    assert flat.statistic.value is None and flat.low.value is None and flat.difference == 0.5


def test_the_size_of_the_test_for_overlapping_outcomes():
    """A moving average of 4 terms: near 5 % by the corrected test, far more if the overlap is
    ignored."""
    rng = np.random.default_rng(0)
    right = ignored = 0
    for _ in range(400):
        noise = rng.standard_normal(123)
        series = noise[3:] + noise[2:-1] + noise[1:-2] + noise[:-3]
        right += diebold_mariano(series, horizon=4).p_value.value < 0.05
        ignored += diebold_mariano(series, horizon=1).p_value.value < 0.05
    assert right / 400 < 0.10 < 0.25 < ignored / 400


def test_skill_is_over_the_best_baseline():
    rng = np.random.default_rng(1)
    n = 300
    good, bad, mine = (rng.random(n) < q for q in (0.5, 0.3, 0.65))
    rows = {"good": good.astype(float), "bad": bad.astype(float)}
    found = skill(mine.astype(float), rows, at_s=np.arange(n), horizon=1, config=FEW)
    assert found.best == "good" and found.declared and 0.0 < found.low < found.high
    assert found.difference == pytest.approx(mine.mean() - good.mean())
    assert found.test.difference == pytest.approx(found.difference)
    assert found.scores[""] == pytest.approx(mine.mean())
    over_one = skill(
        mine.astype(float), {"bad": rows["bad"]}, at_s=np.arange(n), horizon=1, config=FEW
    )
    assert over_one.difference > found.difference
    assert json.loads(json.dumps(found.to_dict()))["best"] == "good"
    equal = skill(rows["good"], rows, at_s=np.arange(n), horizon=1, config=FEW)
    assert not equal.declared and equal.difference == 0.0


def test_the_interval_of_a_hit_rate():
    """As wide as the binomial's where rows do not depend on each other, wider where they come in
    runs, and of all symbols together."""
    rng = np.random.default_rng(6)
    hits = (rng.random(400) < 0.6).astype(float)
    found = score_interval(hits, at_s=np.arange(400), horizon=1)
    assert found.estimate == pytest.approx(hits.mean())
    assert found.high - found.low == pytest.approx(2 * 1.96 * np.sqrt(0.24 / 400), rel=0.25)
    runs = np.repeat(hits[:40], 10)
    wide = score_interval(runs, at_s=np.arange(400), horizon=10)
    assert wide.high - wide.low > 2.0 * (found.high - found.low)


def test_symbols_of_a_time_are_one_draw():
    """The same rows of fifty symbols are no more evidence than those of one."""
    rng = np.random.default_rng(2)
    one, other = (rng.random(80) < q for q in (0.6, 0.5))
    alone = skill(one * 1.0, {"b": other * 1.0}, at_s=np.arange(80), horizon=1, config=FEW)
    many = skill(
        np.tile(one * 1.0, 50), {"b": np.tile(other * 1.0, 50)},
        at_s=np.tile(np.arange(80), 50), horizon=1, config=FEW,
    )  # fmt: skip
    assert (many.low, many.high) == pytest.approx((alone.low, alone.high))
    assert many.test.statistic == alone.test.statistic or many.test.statistic.value == (
        pytest.approx(alone.test.statistic.value)
    )
    assert (many.times, many.rows) == (80, 4_000)


def test_blocks_are_no_shorter_than_the_horizon():
    rng = np.random.default_rng(3)
    noise = rng.standard_normal(200)
    found = skill(noise, {"b": np.zeros(200)}, at_s=np.arange(200), horizon=30, config=FEW)
    assert found.block_length >= 30


def test_too_few_rows_and_no_baseline_are_refused():
    with pytest.raises(DataError, match="too few to tell skill from luck 6 bars ahead"):
        skill(np.zeros(10), {"b": np.zeros(10)}, at_s=np.arange(10), horizon=6)
    with pytest.raises(UsageError, match="at least one"):
        skill(np.zeros(10), {}, at_s=np.arange(10), horizon=1)
    with pytest.raises(DataError, match="rows of b against"):
        skill(np.zeros(10), {"b": np.zeros(9)}, at_s=np.arange(10), horizon=1)
    with pytest.raises(DataError, match="too few for outcomes"):
        diebold_mariano(np.zeros(5), horizon=5)


def kind_of(label):
    return "class" if label.classes else "real"


KINDS = {
    "smoothed": ("logistic", {"horizon": 5}),
    "future_return": ("linear", {"horizon": 1}),
    "triple_barrier": ("logistic", {"limit_bars": 8, "volatility_bars": 20}),
}


def false_skill(label, count):
    """How often skill is declared on random walks of 400 bars, 250 of them train."""
    name, params = KINDS[label]
    declared = 0
    for seed in range(count):
        train, test = asked(label, random_walk(400, 1_000 + seed), 250, **params)
        found = forecasts_of(baselines_of(train.label), train, test)
        mine = found.pop(name)
        outcomes = Outcomes.of(train.label, test)
        declared += compare(
            mine, found, outcomes, kind=kind_of(train.label), config=FEW
        ).skill.declared
    return declared


def test_no_skill_on_a_few_random_walks():
    assert false_skill("smoothed", 12) <= 2


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_no_skill_on_random_walks(kind):
    """At most 5 % of 200 and what chance adds to it (one-sided 95 %)."""
    assert false_skill(kind, 200) <= 15


@pytest.mark.slow
def test_a_forecaster_against_a_twin_is_declared_by_chance_only():
    """Two forecasters that guess: each is equally good, so that nothing hides a loose interval."""
    rng, declared = np.random.default_rng(4), 0
    for _ in range(200):
        walk = np.convolve(rng.standard_normal(204), np.ones(5), "valid")  # overlap of 5
        found = skill(walk, {"twin": np.zeros(200)}, at_s=np.arange(200), horizon=5, config=FEW)
        declared += found.declared
    assert declared <= 15


@pytest.mark.parametrize(("kind", "name"), [("smoothed", "logistic"), ("future_return", "linear")])
def test_a_planted_lead_is_found(kind, name):
    """A feature that leads the next five returns, beside those of the past."""
    bars = random_walk(1_200, 8)
    ahead = np.convolve(np.append(bars.log_return[1:], np.zeros(5)), np.ones(5), "valid")
    lead = ahead + 0.02 * np.random.default_rng(0).standard_normal(1_200)
    x = np.column_stack([history(bars, np.arange(1)).features, lead])
    train, test = asked(kind, bars, 800, x, horizon=5)
    found = forecasts_of(baselines_of(train.label), train, test)
    mine = found.pop(name)
    outcomes = Outcomes.of(train.label, test)
    told = compare(mine, found, outcomes, kind=kind_of(train.label), config=FEW)
    assert told.skill.declared and told.skill.difference > 0.0
    assert told.traded[""].value > 0.4
    assert told.mean_score.low < told.skill.scores[""] < told.mean_score.high
    json.dumps(told.to_dict())


def test_skill_at_the_label_is_no_skill_at_the_trade():
    """On a random walk the label's own rule beats the majority by far, and has no correlation with
    what can be traded; against that rule nothing is left."""
    train, test = asked("smoothed", random_walk(6_000, 9), 3_000, horizon=10)
    found = forecasts_of(("majority", "random_walk", "logistic"), train, test)
    outcomes = Outcomes.of(train.label, test)
    rule = found.pop("random_walk")
    over_majority = compare(rule, {"m": found["majority"]}, outcomes, kind="class", config=FEW)
    assert over_majority.skill.declared and over_majority.skill.difference > 0.05
    assert abs(over_majority.traded[""].value) < 0.08
    over_rule = compare(found["logistic"], {"r": rule}, outcomes, kind="class", config=FEW)
    assert not over_rule.skill.declared


def test_knowing_how_wild_the_bars_are_is_no_skill():
    """A random walk whose volatility changes: a model that sees it beats the rule with one
    volatility, and not the one with that of late."""
    rng = np.random.default_rng(5)
    wild = np.exp(np.repeat(rng.normal(0.0, 1.0, 40), 150))
    bars = bars_from(100.0 * np.exp(np.cumsum(0.003 * wild * rng.standard_normal(6_000))))
    gap = np.nan_to_num(bars.close / trailing_mean(bars.close, 5) - 1.0)
    late = np.nan_to_num(volatility(bars, 24), nan=0.003)
    x = np.column_stack([gap, late, np.log(late + 1e-6), np.abs(gap)])
    train, test = asked("smoothed", bars, 3_000, x, horizon=5)
    found = forecasts_of(("random_walk", "scaled_walk", "logistic"), train, test)
    outcomes, mine = Outcomes.of(train.label, test), found.pop("logistic")
    over_one = compare(mine, {"r": found["random_walk"]}, outcomes, kind="class", config=FEW)
    assert over_one.skill.declared and abs(over_one.traded[""].value) < 0.08
    over_late = compare(mine, found, outcomes, kind="class", config=FEW)
    assert over_late.skill.best == "scaled_walk" and not over_late.skill.declared


def test_rows_without_an_outcome_are_left_out():
    train, test = asked("future_return", random_walk(300, 1), 200, horizon=2)
    outcomes = Outcomes.of(train.label, test)
    assert np.isnan(outcomes.value[-2:]).all() and np.isnan(outcomes.traded[-3:]).all()
    zero = Forecast(np.zeros(100))
    told = compare(zero, {"z": zero}, outcomes, kind="real", config=FEW)
    assert told.scores[""].rows == 98 and told.skill.rows == 98
