"""Baselines against closed forms, simulation and hand calculation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize

from forecast_cases import asked, bars_from, history, random_walk
from truefill.core.errors import DataError
from truefill.forecast.baselines import FORECASTERS, History, Train
from truefill.forecast.baselines.linear import fit_logistic, softmax
from truefill.forecast.baselines.naive import last_known
from truefill.forecast.baselines.solve import solve
from truefill.forecast.labels import LABELS, FittedLabel, fit_label
from truefill.forecast.labels.base import Walk
from truefill.forecast.labels.exits import first_exit


def fitted(name, train, **params):
    entry = FORECASTERS.get(name)
    return entry.make(entry.params(**params), train)


def test_the_last_value_is_the_newest_label_that_is_known():
    bars = bars_from([1.0, 2.0, 6.0, 3.0, 3.0, 9.0])
    label = FittedLabel("future_return", LABELS.parse("future_return", {"horizon": 2}))
    own = history(bars, np.arange(6))
    found = last_known(label, own)
    assert np.isnan(found[:2]).all()
    assert np.exp(found[2:]) == pytest.approx([6.0, 1.5, 0.5, 3.0])  # p[t] / p[t - 2]


def test_the_last_class_tells_its_followers_frequencies():
    train, test = asked("smoothed", random_walk(400, 2), 300, horizon=3)
    model = fitted("last_value", train)
    found = model.predict(test)
    assert (found.value == last_known(train.label, test[0])).all()
    last = last_known(train.label, train.histories[0])
    there = np.isfinite(last)
    rises = (train.answers[there & (last == 2)] == 2).sum() + 1
    assert model.table[2, 2] == pytest.approx(rises / ((last == 2).sum() + 3))


def test_the_majority_is_that_of_train():
    train, test = asked("smoothed", random_walk(200, 1), 150, horizon=3)
    found = fitted("majority", train).predict(test)
    shares = np.bincount(train.answers.astype(int), minlength=3) / len(train.answers)
    assert (found.value == shares.argmax()).all() and found.probability[7] == pytest.approx(shares)


def test_drift_of_a_return():
    train, test = asked("future_return", random_walk(200, 1), 150, horizon=4)
    steps = train.histories[0].bars.log_return[train.histories[0].rows]
    assert fitted("drift", train).predict(test).value == pytest.approx(4.0 * steps.mean())
    assert (fitted("random_walk", train).predict(test).value == 0.0).all()


def test_the_random_walk_rule_of_the_smoothed_label_is_calibrated_and_best():
    """On a random walk its probabilities come true, and nothing is right more often."""
    train, test = asked("smoothed", random_walk(30_000, 3), 10_000, horizon=10)
    found = fitted("random_walk", train).predict(test)
    truth = train.label.of("X", test[0].bars).value[test[0].rows]
    known = np.isfinite(truth)
    truth, found_p, value = truth[known], found.probability[known], found.value[known]
    right = (value == truth).mean()
    assert 0.60 < right < 0.64
    top = found_p.max(axis=1)
    assert right == pytest.approx(top.mean(), abs=0.02)
    for low, high in ((0.4, 0.5), (0.5, 0.6), (0.6, 0.8), (0.8, 1.0)):
        mine = (top > low) & (top <= high)
        assert (value == truth)[mine].mean() == pytest.approx(top[mine].mean(), abs=0.03)
    logistic = fitted("logistic", train).predict(test)
    assert (logistic.value[known] == truth).mean() < right + 0.01


def test_exits_of_a_brownian_motion():
    """Against the closed form without a limit, and a simulated walk of fine steps."""
    one = np.ones(1)
    fall, rise = first_exit(2.0 * one, one, one, 0.0, 1e4)
    assert (fall[0], rise[0]) == pytest.approx((2 / 3, 1 / 3))
    fall, rise = first_exit(one, one, one, 0.5, 1e4)
    assert rise[0] == pytest.approx(np.expm1(-1.0) / np.expm1(-2.0))
    fall, rise = first_exit(one, 1.5 * one, one, 0.3, 1.0)
    rng, n, paths = np.random.default_rng(0), 1_500, 4_000
    path = np.zeros(paths)
    ends = np.zeros(paths)
    for _ in range(n):
        path += 0.3 / n + rng.standard_normal(paths) / np.sqrt(n)
        ends = np.where(ends != 0, ends, (path >= 1.0) * 1.0 - (path <= -1.5))
    assert ((ends == -1).mean(), (ends == 1).mean()) == pytest.approx((fall[0], rise[0]), abs=0.025)
    fall, rise = first_exit(50.0 * one, 50.0 * one, one, 0.0, 1.0)
    assert (fall[0], rise[0]) == pytest.approx((0.0, 0.0), abs=1e-9)
    fall, rise = first_exit(one, np.array([np.inf]), one, 0.0, 1.0)
    assert fall[0] == pytest.approx(0.0, abs=1e-9) and rise[0] == pytest.approx(0.3173, abs=1e-4)


def test_the_random_walk_rule_of_the_triple_barrier():
    """Frequencies on a simulated walk whose highs and lows are those of 100 steps a bar."""
    step = 0.001 * np.random.default_rng(4).standard_normal(400_000)
    path = 100.0 * np.exp(np.cumsum(step)).reshape(-1, 100)
    bars = replace(bars_from(path[:, -1]), high=path.max(axis=1), low=path.min(axis=1))
    params = {"limit_bars": 10, "upper": 0.03, "lower": 0.02, "unit": "fraction"}
    label = FittedLabel("triple_barrier", LABELS.parse("triple_barrier", params))
    expected = label.of_a_walk("X", bars, Walk(0.0, 0.01))[0]
    value = label.of("X", bars).value
    value = value[np.isfinite(value)].astype(int)
    assert np.bincount(value, minlength=3) / len(value) == pytest.approx(expected, abs=0.04)


def test_ridge_is_the_solution_of_its_equations():
    rng = np.random.default_rng(0)
    bars = random_walk(120, 0)
    x = rng.standard_normal((120, 3)) * [1.0, 10.0, 0.0] + [0.0, 5.0, 7.0]  # the last is constant
    train, test = asked("future_return", bars, 80, x, horizon=1)
    model = fitted("linear", train, ridge=0.1)
    rows = train.histories[0].rows
    z = (x[rows, :2] - x[rows, :2].mean(axis=0)) / x[rows, :2].std(axis=0)
    y = train.answers
    w = np.linalg.solve(z.T @ z / len(y) + 0.1 * np.eye(2), z.T @ (y - y.mean()) / len(y))
    new = (x[test[0].rows, :2] - x[rows, :2].mean(axis=0)) / x[rows, :2].std(axis=0)
    assert model.predict(test).value == pytest.approx(new @ w + y.mean(), rel=1e-9)


def test_logistic_is_at_its_only_minimum():
    rng = np.random.default_rng(1)
    x = np.column_stack([rng.standard_normal((60, 2)), np.ones(60)])
    klass = (x[:, 0] + 0.5 * rng.standard_normal(60) > 0).astype(int) + (x[:, 1] > 1.0)
    wanted = np.eye(3)[klass]

    def objective(flat):
        w = flat.reshape(3, 3)
        share = softmax(x @ w)
        penalty = 0.01 * (w[:2] ** 2).sum() / 2 + 1e-6 * (w[2] ** 2).sum() / 2
        return -np.log((share * wanted).sum(axis=1)).mean() + penalty

    found = fit_logistic(x, wanted, 0.01)
    best = minimize(objective, np.zeros(9), tol=1e-10)
    assert objective(found.ravel()) <= best.fun + 1e-9
    assert softmax(x @ found) == pytest.approx(softmax(x @ best.x.reshape(3, 3)), abs=1e-3)


def test_logistic_without_one_of_the_classes_and_on_separable_rows():
    x = np.column_stack([np.linspace(-1, 1, 20), np.ones(20)])
    wanted = np.eye(3)[(x[:, 0] > 0).astype(int)]
    share = softmax(x @ fit_logistic(x, wanted, 1e-3))
    assert (share.argmax(axis=1) == wanted.argmax(axis=1)).all() and share[:, 2].max() < 1e-2


def test_cholesky_solves_like_lapack():
    rng = np.random.default_rng(2)
    half = rng.standard_normal((30, 12))
    a, b = half.T @ half, rng.standard_normal((12, 3))
    assert solve(a, b) == pytest.approx(np.linalg.solve(a, b), rel=1e-8)


def test_baselines_find_a_planted_lead():
    """The feature is next bar's return plus noise."""
    bars = random_walk(600, 6)
    ahead = np.append(bars.log_return[1:], 0.0)
    x = (ahead + 0.005 * np.random.default_rng(0).standard_normal(600))[:, None]
    train, test = asked("future_return", bars, 400, x, horizon=1)
    value = fitted("linear", train).predict(test).value[:-1]
    assert np.corrcoef(value, ahead[test[0].rows[:-1]])[0, 1] > 0.8


def test_two_symbols_are_stacked_in_order():
    label = LABELS.parse("smoothed", {"horizon": 3})
    bars = {"a": random_walk(80, 0, 0.002), "b": random_walk(90, 1, 0.03)}
    parts = [history(own, np.arange(20, 60)) for own in bars.values()]
    parts = [History(s, h.bars, h.features, h.rows) for s, h in zip(bars, parts, strict=True)]
    train = Train.of(fit_label("smoothed", label, bars), parts)
    assert len(train.answers) == 80 and train.walk("b").sigma > 10 * train.walk("a").sigma
    for name in ("random_walk", "last_value", "logistic"):
        model = fitted(name, train)
        both, alone = model.predict(parts), model.predict(parts[1:])
        assert (both.probability[40:] == alone.probability).all()


def test_rows_without_labels_or_features_are_refused():
    bars = random_walk(40, 0)
    label = FittedLabel("smoothed", LABELS.parse("smoothed", {"horizon": 3}), {"X": 0.01})
    with pytest.raises(DataError, match="no train row has the label smoothed"):
        Train.of(label, [history(bars, np.array([0, 1, 39]))])
    features = np.zeros((40, 2))
    features[12, 1] = np.nan
    train = Train.of(label, [history(bars, np.arange(5, 30), features)])
    assert len(train.histories[0].rows) == 25
    with pytest.raises(DataError, match="feature 1 of row 7 is not finite"):
        fitted("logistic", train)
