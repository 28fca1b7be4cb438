"""All four kinds on one scoreboard: scores by hand, skill where it was planted and nowhere else."""

from __future__ import annotations

import json

import numpy as np
import pytest

from forecast_cases import asked, bars_from, random_walk
from truefill.config.forecast import SkillConfig
from truefill.core.bootstrap import bootstrap_interval
from truefill.core.errors import ConfigError, DataError, UsageError
from truefill.forecast.baselines import Forecast
from truefill.forecast.compare import (
    Outcomes,
    baselines_for,
    baselines_of,
    compare,
    compare_all,
    with_quantiles,
)
from truefill.forecast.forms import WALKS
from truefill.forecast.kinds import (
    position_scores,
    quantile_levels,
    quantile_scores,
    row_score,
    with_levels,
)
from truefill.forecast.labels.trailing import volatility
from truefill.forecast.resample import ByTime, Resamples
from truefill.forecast.scoreboard import by_signal, score

FEW = SkillConfig(draws=300)
KINDS = ("class", "real", "quantile", "position")
N = 500


def shares(points: np.ndarray) -> Forecast:
    powers = np.exp(np.stack([-points, np.full(len(points), 0.1), points], axis=1))
    return Forecast.of(powers / powers.sum(axis=1, keepdims=True))


def world(kind: str, knows: float, seed: int = 0, n: int = N):
    """A member that sees a part of the move, three baselines that do not, and what came."""
    rng = np.random.default_rng(seed)
    moved = rng.standard_normal(n)
    label = np.digitize(moved, (-0.43, 0.43)).astype(np.float64) if kind == "class" else moved

    def told(part: float) -> Forecast:
        seen = part * moved + (1 - part) * rng.standard_normal(n)
        if kind == "class":
            return shares(seen)
        if kind == "quantile":
            errors = np.random.default_rng(0).standard_normal(300)
            return with_quantiles(max(part, 0.1) * seen, errors, (0.1, 0.5, 0.9))
        return Forecast(np.tanh(seen) if kind == "position" else max(part, 0.1) * seen)

    base = {name: told(0.0) for name in ("one", "two", "three")}
    return {"own": told(knows), "blind": told(0.0)}, base, Outcomes(label, moved, np.arange(n), 1)


def test_quantiles_by_hand():
    y = np.array([1.0, -1.0, 3.0, 0.0])
    f = Forecast(np.zeros(4), extra={"q10": np.full(4, -0.5), "q90": np.full(4, 2.0)})
    s = quantile_scores(y, f)
    assert s.pinball["q10"] == pytest.approx((0.15 + 0.45 + 0.35 + 0.05) / 4)
    assert s.pinball["q90"] == pytest.approx((0.1 + 0.3 + 0.9 + 0.2) / 4)
    assert s.mean_pinball == pytest.approx((s.pinball["q10"] + s.pinball["q90"]) / 2)
    told = {"low": 0.1, "high": 0.9, "nominal": pytest.approx(0.8), "coverage": 0.5, "width": 2.5}
    assert s.interval == told
    assert s.median.mae == pytest.approx(5 / 4)
    assert -row_score("quantile", y, f).mean() == pytest.approx(s.mean_pinball)
    one = quantile_scores(y, Forecast(np.zeros(4), extra={"q50": np.zeros(4), "skew": y}))
    assert one.interval is None and one.levels == (0.5,)
    assert one.mean_pinball == pytest.approx(one.median.mae / 2)
    json.dumps(s.to_dict())
    with pytest.raises(DataError, match="tells no quantile"):
        quantile_scores(y, Forecast(y))


def test_names_of_quantiles():
    f = Forecast(np.zeros(1), extra={"q2_5": np.zeros(1), "q97_5": np.ones(1), "skew": np.ones(1)})
    assert quantile_levels(f) == (0.025, 0.975)
    assert set(with_levels(f, (0.975,)).extra) == {"q97_5", "skew"}


def test_positions_by_hand():
    traded, position = np.array([0.02, -0.01, 0.03]), np.array([1.0, 0.5, -1.0])
    s = position_scores(traded, position)
    gains = np.array([0.02, -0.005, -0.03])
    assert s.mean_gain == pytest.approx(gains.mean())
    assert s.gain_std == pytest.approx(gains.std(ddof=1))
    assert s.sharpe.value == pytest.approx(gains.mean() / gains.std(ddof=1))
    assert (s.mean_position, s.mean_size) == (pytest.approx(0.5 / 3), pytest.approx(2.5 / 3))
    assert (s.share_long, s.share_short) == (2 / 3, 1 / 3)
    assert position_scores(traded, np.zeros(3)).sharpe.value is None


def test_baselines_take_the_form_of_the_kind():
    train, test = asked("future_return", random_walk(600, 3), 400, horizon=2)
    names = baselines_of(train.label)
    plain = baselines_for("real", names, train, test)
    held = baselines_for("position", names, train, test)
    assert (held["random_walk"].value == 0.0).all()
    assert (held["linear"].value == np.sign(plain["linear"].value)).all()
    spread = baselines_for("quantile", names, train, test, (0.1, 0.5, 0.9))
    at = spread["random_walk"]
    assert quantile_levels(at) == (0.1, 0.5, 0.9)
    assert at.extra["q10"] == pytest.approx(np.full(200, np.quantile(train.answers, 0.1)))
    assert (at.value == at.extra["q50"]).all()
    outcomes = Outcomes.of(train.label, test)
    known = np.isfinite(outcomes.value)
    found = quantile_scores(outcomes.value[known], with_rows(at, known))
    assert found.interval["coverage"] == pytest.approx(0.8, abs=0.12)
    classes, rows = asked("smoothed", random_walk(600, 3), 400, horizon=3)
    walk = baselines_for("position", baselines_of(classes.label), classes, rows)
    assert set(np.unique(walk["majority"].value)) <= {-1.0, 0.0, 1.0}
    assert (walk["random_walk"].value == 0.0).all() and (walk["drift"].value != 0.0).any()


def with_rows(forecast: Forecast, rows: np.ndarray) -> Forecast:
    return Forecast(forecast.value[rows], extra={n: v[rows] for n, v in forecast.extra.items()})


def test_knowing_how_wild_the_bars_are_is_no_skill_in_quantiles():
    """Moves of no direction whose size changes: quantiles that follow it beat those of constant
    width, and not those that see the last bars."""
    rng = np.random.default_rng(5)
    wild = np.exp(np.repeat(rng.normal(0.0, 1.0, 40), 100))
    bars = bars_from(100.0 * np.exp(np.cumsum(0.003 * wild * rng.standard_normal(4_000))))
    train, test = asked("future_return", bars, 2_000, horizon=1)
    levels = (0.1, 0.5, 0.9)
    found = baselines_for("quantile", ("random_walk", "drift"), train, test, levels)
    assert set(found) == {"random_walk", "drift", *WALKS}
    late = np.nan_to_num(volatility(bars, 30), nan=0.003)[test[0].rows]
    size = 1.28 * late
    mine = Forecast(0.0 * late, extra={"q10": -size, "q50": 0.0 * late, "q90": size})
    outcomes = Outcomes.of(train.label, test)
    over_one = compare(
        mine, {"r": found["random_walk"]}, outcomes, kind="quantile", config=FEW
    ).skill
    assert over_one.declared and over_one.difference > 0.0
    over_all = compare(mine, found, outcomes, kind="quantile", config=FEW).skill
    assert over_all.best in WALKS and not over_all.declared


@pytest.mark.parametrize("kind", KINDS)
def test_planted_skill_is_declared_and_blindness_is_not(kind):
    members, base, outcomes = world(kind, 0.5)
    found = score(members, base, outcomes, kind, config=FEW)
    own, blind = found["forecasters"]["own"], found["forecasters"]["blind"]
    assert own["declared"] and own["skill"]["low"] > 0.0 and own["traded"] > 0.4
    assert not blind["declared"]
    theirs = found["baselines"][own["skill"]["best"]]["mean_score"]["estimate"]
    mine = own["mean_score"]["estimate"]
    assert own["skill"]["difference"] == pytest.approx(mine - theirs)
    low, high = own["mean_score"]["low"], own["mean_score"]["high"]
    assert low < own["mean_score"]["estimate"] < high
    assert (found["tested"], found["rows"], found["kind"]) == (2, N, kind)
    assert own["by_fold"] == {}
    signals = [b["traded"] for b in own["by_signal"]]
    assert signals[-1] > 0.3 > -0.3 > signals[0]
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_the_same_every_time_and_whoever_else_is_judged():
    """With one block length, company changes nothing."""
    members, base, outcomes = world("class", 0.3)
    both = score(members, base, outcomes, "class", config=FEW)
    assert both == score(members, base, outcomes, "class", config=FEW)
    alone = score({"own": members["own"]}, base, outcomes, "class", config=FEW)
    assert alone["block_length"] == both["block_length"]
    assert alone["forecasters"]["own"]["skill"] == both["forecasters"]["own"]["skill"]
    told = compare(members["own"], base, outcomes, kind="class", config=FEW)
    assert told.skill.to_dict() == alone["forecasters"]["own"]["skill"]


def test_resampled_means_are_those_of_the_plain_bootstrap():
    """The same draws as one series resampled row by row."""
    rng = np.random.default_rng(0)
    series, other = rng.standard_normal((2, 300))
    keys = [("", "forecaster", "a"), ("", "baseline", "b")]
    table = ByTime.of(dict(zip(keys, (series, other), strict=True)), np.arange(300), 1,
                      np.repeat([1, 2, 3], 100))  # fmt: skip
    drawn = Resamples.draw(table, draws=5_000, block_length=4.0, confidence=0.9, seed=3)
    plain = bootstrap_interval(series, draws=5_000, block_length=4.0, confidence=0.9, seed=3)
    assert drawn.interval(keys[0]) == pytest.approx((plain.low, plain.high))
    gap = bootstrap_interval(series - other, draws=5_000, block_length=4.0, confidence=0.9, seed=3)
    assert drawn.over_the_best(keys[0], keys[1:]) == pytest.approx((gap.low, gap.high))
    part = bootstrap_interval(series[100:200], draws=5_000, block_length=4.0, confidence=0.9)
    low, high = drawn.interval(keys[0], 2)
    assert high - low == pytest.approx(part.high - part.low, rel=0.1)


def test_every_resample_chooses_its_own_best_baseline():
    rng = np.random.default_rng(1)
    columns = rng.standard_normal((200, 3))
    keys = [("", "forecaster", "a"), ("", "baseline", "b"), ("", "baseline", "c")]
    table = ByTime.of(dict(zip(keys, columns.T, strict=True)), np.arange(200), 1)
    drawn = Resamples.draw(table, draws=1_000, block_length=3.0, confidence=0.9, seed=0)

    def over_the_best(samples: np.ndarray) -> np.ndarray:
        means = samples.mean(axis=1)
        return means[:, 0] - means[:, 1:].max(axis=1)

    plain = bootstrap_interval(
        columns, over_the_best, draws=1_000, block_length=3.0, confidence=0.9
    )
    found = drawn.over_the_best(keys[0], keys[1:])
    assert found == pytest.approx((plain.low, plain.high))
    assert table.best(keys[1:]) == keys[1 + int(columns[:, 1:].mean(axis=0).argmax())]


def test_better_probabilities_are_skill_in_log_loss_only():
    rng = np.random.default_rng(4)
    truth = rng.integers(0, 3, N).astype(np.float64)
    right = rng.random(N) < 0.5
    said = np.where(right, truth, (truth + 1) % 3).astype(int)

    def sure(top: float) -> Forecast:
        table = np.full((N, 3), (1 - top) / 2)
        table[np.arange(N), said] = top
        return Forecast.of(table)

    outcomes = Outcomes(truth, rng.standard_normal(N), np.arange(N), 1)
    found = score({"calm": sure(0.5), "bare": Forecast(said * 1.0)}, {"loud": sure(0.95)}, outcomes,
                  "class", config=FEW)  # fmt: skip
    calm = found["forecasters"]["calm"]
    assert not calm["declared"] and calm["skill"]["difference"] == 0.0
    assert calm["log_loss_skill"]["declared"] and calm["log_loss_skill"]["difference"] > 0.3
    assert found["forecasters"]["bare"]["log_loss_skill"] is None


def test_folds_tell_where_the_skill_was():
    members, base, outcomes = world("real", 0.6)
    folds = np.repeat([1, 2, 3, 4, 5], [246, 3, 83, 84, 84])
    value = members["own"].value.copy()
    value[folds != 1] = members["blind"].value[folds != 1]
    found = score({"own": Forecast(value)}, base, outcomes, "real", config=FEW, folds=folds)
    told = found["forecasters"]["own"]["by_fold"]
    assert told["1"]["low"] > 0.0 > told["3"]["low"]
    assert told["1"]["rows"] == 246
    assert told["2"] == {"rows": 3, "times": 3, "reason": "3 times are too few"}
    rows = {n: -((outcomes.value - b.value) ** 2) for n, b in base.items()}
    mine, best = -((outcomes.value - value) ** 2), set()
    for fold in (1, 3, 4, 5):
        theirs = {name: own[folds == fold].mean() for name, own in rows.items()}
        assert told[str(fold)]["best"] == max(theirs, key=theirs.get)
        gap = mine[folds == fold].mean() - max(theirs.values())
        assert told[str(fold)]["difference"] == pytest.approx(gap)
        best.add(told[str(fold)]["best"])
    assert len(best) > 1  # every fold has a best baseline of its own
    with pytest.raises(DataError, match="one time lie in two folds"):
        twice = Outcomes(outcomes.value, outcomes.traded, np.arange(N) // 2, 1)
        score({"own": Forecast(value)}, base, twice, "real", config=FEW, folds=np.arange(N) % 2)


def test_tenths_of_the_signal_by_hand():
    points = np.repeat(np.arange(10.0), 20)
    traded = np.concatenate([np.tile([k, k + 2.0], 10) for k in range(10)])
    bins = by_signal(points, traded, np.arange(200), 1, 0.95)
    assert [b["rows"] for b in bins] == [20] * 10
    assert [b["traded"] for b in bins] == pytest.approx(np.arange(1.0, 11.0))
    reach = 1.959964 * np.sqrt(20.0) / 20
    assert bins[0]["traded_high"] == pytest.approx(1.0 + reach)
    flat = by_signal(np.zeros(50), np.ones(50), np.arange(50), 1, 0.95)
    assert len(flat) == 1 and flat[0]["rows"] == 50
    traded[:40] = np.nan
    assert sum(b["rows"] for b in by_signal(points, traded, np.arange(200), 1, 0.95)) == 160
    assert by_signal(points, np.full(200, np.nan), np.arange(200), 1, 0.95) == []
    few = by_signal(np.arange(20.0), np.arange(20.0), np.arange(20), 1, 0.95)
    assert few[0]["traded_low"] == {"value": None, "reason": "fewer than 8 rows"}


def test_intervals_of_tenths_know_that_outcomes_overlap():
    """Sums of 5 neighbouring moves, all in one bin: wider than if they were independent."""
    rng = np.random.default_rng(5)
    moved = np.convolve(rng.standard_normal(2_004), np.ones(5), "valid")
    right, ignored = (
        by_signal(np.zeros(2_000), moved, np.arange(2_000), h, 0.95)[0] for h in (5, 1)
    )
    wide, narrow = (b["traded_high"] - b["traded_low"] for b in (right, ignored))
    bartlett = 1.0 + 2.0 * sum((1 - k / 5) ** 2 for k in range(1, 5))
    assert wide / narrow == pytest.approx(np.sqrt(bartlett), rel=0.1)


def test_positions_are_judged_where_there_is_a_return_to_trade():
    members, base, outcomes = world("position", 0.5)
    traded = np.where(np.arange(N) < 100, np.nan, outcomes.traded)
    label = np.where(np.arange(N) < 50, np.nan, outcomes.value)
    held = Outcomes(label, traded, outcomes.at_s, 1)
    assert score(members, base, held, "position", config=FEW)["rows"] == N - 100
    bins = score(members, base, held, "position", config=FEW)["forecasters"]["own"]["by_signal"]
    assert sum(b["rows"] for b in bins) == N - 100


def test_what_does_not_fit_together_is_refused():
    members, base, outcomes = world("quantile", 0.5)
    wide = {
        name: Forecast(f.value, extra={**f.extra, "q99": f.value + 9}) for name, f in base.items()
    }
    assert score(members, wide, outcomes, "quantile", config=FEW) == score(
        members, base, outcomes, "quantile", config=FEW
    )
    with pytest.raises(ConfigError, match="tells the quantiles"):
        score(wide | members, base, outcomes, "quantile", config=FEW)
    classes, _, _ = world("class", 0.5)
    with pytest.raises(ConfigError, match="gives classes, the others a real"):
        score(classes, base, outcomes, "real", config=FEW)
    with pytest.raises(UsageError, match="no forecaster"):
        score({}, base, outcomes, "real", config=FEW)
    with pytest.raises(UsageError, match="at least one"):
        score(members, {}, outcomes, "real", config=FEW)
    broken = {"own": Forecast(np.full(N, np.nan))}
    with pytest.raises(DataError, match="finite"):
        compare_all(broken, base, outcomes, kind="real", config=FEW)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["real", "quantile", "position"])
def test_blind_members_are_declared_by_chance_only(kind):
    """Two members a time that know nothing, outcomes that overlap by 3: of 240 tests at most 5 %
    and what chance adds (one-sided 95 %)."""
    declared = 0
    for seed in range(120):
        members, base, plain = world(kind, 0.0, 1_000 + seed, 250)
        moved = np.convolve(np.append(plain.traded, [0.0, 0.0]), np.ones(3), "valid")
        outcomes = Outcomes(moved, moved, plain.at_s, 3)
        one = {"one": base["one"]}  # several would hide a loose interval
        found = score(members, one, outcomes, kind, config=SkillConfig(draws=200))
        declared += sum(own["declared"] for own in found["forecasters"].values())
    assert declared <= 18
