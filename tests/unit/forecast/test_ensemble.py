"""Ensembles by hand, and that no row's combination saw its answer."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from truefill.core.errors import ConfigError, DataError, UsageError
from truefill.forecast.baselines import Forecast
from truefill.forecast.ensemble import (
    LEAST_ROWS,
    Answers,
    FittedEnsemble,
    fit_ensemble,
    mean_of,
    one_kind,
)

N, FOLDS, HORIZON = 2_400, 4, 3


def shares_of(logits: np.ndarray) -> Forecast:
    powers = np.exp(logits)
    return Forecast.of(powers / powers.sum(axis=1, keepdims=True))


def answers_of(value: np.ndarray, *, window: int = 5) -> Answers:
    """Four folds of bars 0 .. n - 1, labels 3 bars ahead, windows of 5."""
    at = np.arange(len(value))
    fold = np.repeat(np.arange(1, FOLDS + 1), len(value) // FOLDS)
    return Answers(value, at, np.maximum(at - window + 1, 0), at + HORIZON, fold)


def real_world(seed: int = 0) -> tuple[dict[str, Forecast], Answers]:
    """y = 2 a - b + noise; a third member knows nothing."""
    rng = np.random.default_rng(seed)
    a, b, c, noise = rng.standard_normal((4, N))
    members = {"a": Forecast(a), "b": Forecast(b), "c": Forecast(c)}
    return members, answers_of(2.0 * a - b + 0.3 * noise)


def class_world(seed: int = 0) -> tuple[dict[str, Forecast], Answers]:
    """One member points the right way, one the wrong way, one nowhere."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, N).astype(np.float64)
    pull = np.eye(3)[truth.astype(int)]
    noise = rng.standard_normal((3, N, 3))
    logits = {"good": pull + noise[0], "wrong": -pull + noise[1], "blind": noise[2]}
    return {name: shares_of(own) for name, own in logits.items()}, answers_of(truth)


def test_the_mean_of_each_kind_by_hand():
    one, two = np.array([[0.6, 0.3, 0.1]]), np.array([[0.1, 0.2, 0.7]])
    both = mean_of([Forecast.of(one), Forecast.of(two)], "class")
    assert both.probability == pytest.approx(np.array([[0.35, 0.25, 0.4]]))
    assert both.value.tolist() == [2.0]
    a = Forecast(np.array([1.0]), extra={"q10": np.array([0.0]), "q90": np.array([2.0])})
    b = Forecast(np.array([3.0]), extra={"q10": np.array([2.0]), "q90": np.array([6.0])})
    found = mean_of([a, b], "quantile")
    assert (found.value[0], found.extra["q10"][0], found.extra["q90"][0]) == (2.0, 1.0, 4.0)
    assert (
        mean_of([Forecast(np.array([1.0])), Forecast(np.array([-0.5]))], "position").value == 0.25
    )
    facts = [Forecast(np.array([1.0]), extra={"sigma": np.array([2.0]), "skew": np.array([0.0])}),
             Forecast(np.array([2.0]), extra={"sigma": np.array([4.0])})]  # fmt: skip
    only = mean_of(facts, "real")
    assert only.extra["sigma"][0] == 3.0 and set(only.extra) == {"sigma"}


def test_one_alone_stays_as_it_is_bit_for_bit():
    rng = np.random.default_rng(0)
    alone = shares_of(rng.standard_normal((50, 3)).astype(np.float32).astype(np.float64))
    found = mean_of([alone], "class")
    assert (found.probability == alone.probability).all() and (found.value == alone.value).all()


def test_weights_by_hand_and_that_they_add_up_to_one():
    """Inverse mean squared errors: 1 and 4 give 0.8 and 0.2."""
    truth = np.zeros(N)
    members = {"near": Forecast(np.ones(N)), "far": Forecast(np.full(N, -2.0))}
    found = fit_ensemble("weighted", members, answers_of(truth), "real", causal=True)
    assert found.whole.weights == pytest.approx((0.8, 0.2))
    assert found.combine(members).value == pytest.approx(np.full(N, 0.8 - 0.4))
    members, answers = class_world()
    weights = fit_ensemble("weighted", members, answers, "class", causal=True).whole.weights
    assert sum(weights) == pytest.approx(1.0) and weights[0] > weights[2] > weights[1]
    losses = [-np.log(own.probability[np.arange(N), answers.value.astype(int)]).mean()
              for own in members.values()]  # fmt: skip
    assert weights == pytest.approx((1 / np.array(losses)) / (1 / np.array(losses)).sum())


def test_positions_are_weighted_by_what_they_gained():
    rng = np.random.default_rng(1)
    moved = rng.standard_normal(N)
    up, half, down = (Forecast(size * np.sign(moved)) for size in (1.0, 0.5, -1.0))
    members = {"up": up, "half": half, "down": down}
    found = fit_ensemble("weighted", members, answers_of(moved), "position", causal=True)
    assert found.whole.weights == pytest.approx((2 / 3, 1 / 3, 0.0))
    lost = fit_ensemble("weighted", {"a": down, "b": down}, answers_of(moved), "position",
                        causal=True)  # fmt: skip
    assert lost.whole.weights == (0.5, 0.5)


def test_quantiles_are_weighted_by_their_pinball_loss():
    rng = np.random.default_rng(2)
    truth = rng.standard_normal(N)
    right = {"q10": np.full(N, -1.28), "q90": np.full(N, 1.28)}
    wide = {"q10": np.full(N, -5.0), "q90": np.full(N, 5.0)}
    members = {"right": Forecast(np.zeros(N), extra=right),
               "wide": Forecast(np.zeros(N), extra=wide)}  # fmt: skip
    found = fit_ensemble("weighted", members, answers_of(truth), "quantile", causal=True)
    assert found.whole.weights[0] > 0.7
    at = found.combine(members).extra["q90"][0]
    assert at == pytest.approx(1.28 * found.whole.weights[0] + 5.0 * found.whole.weights[1])


def test_stacking_finds_the_planted_combination():
    members, answers = real_world()
    found = fit_ensemble("stacked", members, answers, "real", causal=True)
    later, truth = real_world(5)
    told = found.combine(later).value
    assert np.mean((told - truth.value) ** 2) == pytest.approx(0.09, rel=0.2)
    slopes = [row[0] / own for row, own in zip(found.whole.model, found.whole.spread, strict=False)]
    assert slopes == pytest.approx([2.0, -1.0, 0.0], abs=0.05)
    shares, truth = class_world()
    stacked = fit_ensemble("stacked", shares, truth, "class", causal=True)
    new, outcome = class_world(7)
    share = stacked.combine(new)
    assert share.probability.sum(axis=1) == pytest.approx(np.ones(N))
    right = {name: (own.value == outcome.value).mean() for name, own in new.items()}
    assert (share.value == outcome.value).mean() > max(right.values()) + 0.05


@pytest.mark.parametrize("rule", ["weighted", "stacked"])
@pytest.mark.parametrize("world", [real_world, class_world])
def test_no_row_is_combined_by_its_own_answer_or_a_later_one(rule, world):
    """Other answers of a fold move only what is combined after it; those of the rows whose label
    reaches into the next fold do not move that one either."""
    members, answers = world()
    kind = "class" if world is class_world else "real"

    def said(value: np.ndarray) -> np.ndarray:
        given = replace(answers, value=value)
        found = fit_ensemble(rule, members, given, kind, causal=True).train_forecast
        return found.value if found.probability is None else found.probability

    def folds_that_stay(rows: np.ndarray) -> list[int]:
        value = answers.value.copy()
        value[rows] = 2.0 - value[rows]  # fall and rise change places
        same = said(value) == said(answers.value)
        return [k for k in range(1, 5) if same[answers.fold == k].all()]

    assert folds_that_stay(answers.fold == 4) == [1, 2, 3, 4]
    assert folds_that_stay(answers.fold == 3) == [1, 2, 3]
    assert folds_that_stay(answers.fold == 2) == [1, 2]
    second = answers.at_s[answers.fold == 2].min()
    reaching = (answers.fold == 1) & (answers.end_s >= second)
    assert reaching.sum() == HORIZON
    assert folds_that_stay(reaching) == [1, 2]
    before = (answers.fold == 1) & (answers.end_s < second) & (answers.end_s >= second - 9)
    assert folds_that_stay(before) == [1]


def test_the_first_fold_is_the_mean_and_says_so():
    members, answers = real_world()
    found = fit_ensemble("stacked", members, answers, "real", causal=True)
    assert [found.folds[k].rule for k in range(1, 5)] == ["mean", *["stacked"] * 3]
    assert found.folds[1].rows == 0
    assert found.folds[2].rows == N // FOLDS - HORIZON  # purged
    first = answers.fold == 1
    mean = np.mean([own.value[first] for own in members.values()], axis=0)
    assert found.train_forecast.value[first] == pytest.approx(mean)
    few = replace(answers, value=np.where(answers.fold < 3, np.nan, answers.value))
    assert fit_ensemble("weighted", members, few, "real", causal=True).folds[3].rule == "mean"
    assert LEAST_ROWS * 3 < N // FOLDS


def test_k_fold_combines_by_all_others_purged_on_both_sides():
    members, answers = real_world()
    found = fit_ensemble("stacked", members, answers, "real", causal=False, embargo_s=10)
    assert {own.rule for own in found.folds.values()} == {"stacked"}
    size = N // FOLDS
    # behind a fold: windows of 5 that start after its last label (3 ahead) and 10 more
    behind = HORIZON + 10 + 4
    expected = [3 * size - behind, 3 * size - HORIZON - behind, 3 * size - HORIZON - behind,
                3 * size - HORIZON]  # fmt: skip
    assert [found.folds[k].rows for k in range(1, 5)] == expected
    value = answers.value.copy()
    value[answers.fold == 2] *= -3.0
    other = fit_ensemble("stacked", members, replace(answers, value=value), "real", causal=False,
                         embargo_s=10)  # fmt: skip
    same = other.train_forecast.value == found.train_forecast.value
    assert same[answers.fold == 2].all() and not same[answers.fold == 1].all()


@pytest.mark.parametrize("rule", ["mean", "weighted", "stacked"])
@pytest.mark.parametrize("world", [real_world, class_world])
def test_what_was_written_combines_to_the_same_bits(rule, world):
    members, answers = world()
    members["still"] = members.pop(next(iter(members)))
    members["dead"] = next(iter(members.values()))
    kind = "class" if world is class_world else "real"
    if kind == "real":
        members["dead"] = Forecast(np.full(N, 0.25))  # has no spread
    found = fit_ensemble(rule, members, answers, kind, causal=True)
    again = FittedEnsemble.from_dict(json.loads(json.dumps(found.to_dict(), allow_nan=False)))
    assert again.to_dict() == found.to_dict() and again.train_forecast is None
    one, two = found.combine(members), again.combine(members)
    assert (one.value == two.value).all() and again.members == tuple(members)
    if kind == "class":
        assert (one.probability == two.probability).all()


def test_rows_of_symbols_in_turn_stay_in_their_order():
    """Two symbols one after the other: folds lie apart in the arrays."""
    members, answers = real_world()
    twice = Answers(*(np.tile(own, 2) for own in vars(answers).values()))
    both = {name: Forecast(np.tile(own.value, 2)) for name, own in members.items()}
    found = fit_ensemble("stacked", both, twice, "real", causal=True).train_forecast.value
    assert (found[:N] == found[N:]).all()
    alone = fit_ensemble("stacked", members, answers, "real", causal=True).train_forecast.value
    assert found[:N] == pytest.approx(alone, abs=1e-9)


def test_null_answers_are_not_fitted_but_combined():
    members, answers = real_world()
    value = np.where(np.arange(N) % 7 == 0, np.nan, answers.value)
    found = fit_ensemble("weighted", members, replace(answers, value=value), "real", causal=True)
    assert found.whole.rows == int(np.isfinite(value).sum())
    assert np.isfinite(found.train_forecast.value).all()


def test_what_cannot_be_combined_is_refused():
    members, answers = real_world()
    classes, _ = class_world()
    for kind in ("quantile", "position"):
        with pytest.raises(ConfigError, match="cannot be stacked"):
            fit_ensemble("stacked", members, answers, kind, causal=True)
    with pytest.raises(ConfigError, match="gives classes"):
        fit_ensemble("mean", {**members, "k": classes["good"]}, answers, "real", causal=True)
    with pytest.raises(ConfigError, match="no probabilities"):
        fit_ensemble("mean", {**classes, "k": members["a"]}, answers, "class", causal=True)
    q = Forecast(np.zeros(N), extra={"q10": np.zeros(N), "q90": np.zeros(N)})
    p = Forecast(np.zeros(N), extra={"q20": np.zeros(N), "q90": np.zeros(N)})
    with pytest.raises(ConfigError, match=r"tells the quantiles \[0.2, 0.9\]"):
        fit_ensemble("mean", {"q": q, "p": p}, answers, "quantile", causal=True)
    with pytest.raises(ConfigError, match="beyond -1"):
        mean_of([Forecast(np.array([1.5]))], "position")
    with pytest.raises(ConfigError, match="a class, two a real"):
        one_kind({"one": "class", "two": "real"})
    assert one_kind({"one": "real", "two": "real"}) == "real"
    with pytest.raises(UsageError, match="needs a member"):
        fit_ensemble("mean", {}, answers, "real", causal=True)
    with pytest.raises(DataError, match="of a is not finite"):
        broken = {"a": Forecast(np.full(N, np.nan))}
        fit_ensemble("mean", broken, answers, "real", causal=True)
    found = fit_ensemble("mean", members, answers, "real", causal=True)
    with pytest.raises(UsageError, match="no forecast of b"):
        found.combine({"a": members["a"], "c": members["c"]})
