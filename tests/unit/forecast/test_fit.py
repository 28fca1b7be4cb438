"""A fit finds what was planted, keeps its best epoch, goes on after a kill, and says what fails."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fit_cases import WINDOW, classes, fitted, planted, returns, task
from truefill.config.forecast import FitConfig, LossConfig
from truefill.core.errors import ArtifactError, ConfigError, DataError, NonFiniteError
from truefill.forecast.fit import epoch, fit, fit_network
from truefill.forecast.fit.course import Course
from truefill.forecast.fit.prepare import Prepared
from truefill.forecast.fit.task import make_network

TRAIN = (planted(300), planted(200, seed=5, symbol="Y"))


WILD = task(
    returns(1, 2), "sharpe", epochs=5, params={"noise": 0.3}, learning_rate=1.0,
    schedule={"kind": "plateau", "patience_epochs": 1}, early_stopping={"min_delta": 9.0},
)  # fmt: skip


ONE_BATCH = {"batch_size": 512, "optimizer": "sgd", "max_grad_norm": None}


def bits(found, histories=TRAIN):
    return b"".join(one.value.tobytes() for one in found.predict(histories))


def test_a_planted_lead_is_found_on_bars_that_were_not_fitted():
    found = fitted(TRAIN, epochs=12)
    later = planted(300, seed=9)
    wanted = returns(1)[0].of("X", later.bars).value[later.rows]
    said = found.predict((later,))[0].value
    known = np.isfinite(wanted)
    assert np.corrcoef(said[known], wanted[known])[0, 1] > 0.8
    slope = np.polyfit(said[known], wanted[known], 1)[0]
    assert 0.8 < slope < 1.2  # in units of the label itself
    assert found.kind == "real" and found.facts["rows"]["holdout"] == 30


def test_the_same_seed_gives_the_same_bits_and_another_one_others():
    assert bits(fitted(TRAIN)) == bits(fitted(TRAIN))
    assert bits(fitted(TRAIN)) != bits(fitted(TRAIN, seed=2))


def test_fits_of_nearly_one_size_share_a_program_whatever_their_numbers():
    fitted(TRAIN)
    before = epoch._epoch._cache_size()
    fewer = (TRAIN[0], replace(TRAIN[1], rows=TRAIN[1].rows[:-9]))
    fitted(fewer, learning_rate=0.01, epochs=4, max_grad_norm=None, momentum=0.3)
    assert epoch._epoch._cache_size() == before


def test_a_row_has_the_same_bits_whatever_is_asked_beside_it():
    found = fit_network(WILD, TRAIN, 1)
    long = planted(700, seed=4)
    whole = [one.value for one in found.predict((long,))]
    for chosen in ([0], [696], [300, 301, 555], range(5, 262), range(1, 697, 2)):
        rows = np.array(chosen)
        part = found.predict((replace(long, rows=long.rows[rows]),))
        for one, every in zip(part, whole, strict=True):
            assert one.value.tobytes() == every[rows].tobytes()


def test_a_fit_that_was_killed_after_any_epoch_ends_in_the_same_bits(tmp_path):
    whole = fit_network(WILD, TRAIN, 3)
    assert [row["learning_rate"] for row in whole.history] == [1.0, 1.0, 0.5, 0.25, 0.125]
    for last in range(1, 5):
        path, seen = tmp_path / f"{last}.safetensors", []

        def kill(done, total, metric, last=last):
            if done == last:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            fit_network(WILD, TRAIN, 3, checkpoint=path, progress=kill)
        resumed = fit_network(WILD, TRAIN, 3, checkpoint=path, progress=told_to(seen))
        assert [told[:2] for told in seen] == [(n, 5) for n in range(last + 1, 6)]
        assert bits(resumed) == bits(whole)
        assert resumed.history == whole.history and resumed.facts == whole.facts


def told_to(seen):
    return lambda *told: seen.append(told)


def test_a_checkpoint_of_another_fit_is_refused(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    asked = task(returns(1), epochs=2)
    done = fit_network(asked, TRAIN, 1, checkpoint=path)
    assert bits(fit_network(asked, TRAIN, 1, checkpoint=path)) == bits(done)
    others = ((asked, 2, TRAIN), (task(returns(1), "mae", epochs=2), 1, TRAIN),
              (asked, 1, TRAIN[:1]), (asked, 1, (planted(300, noise=0.4), TRAIN[1])))  # fmt: skip
    for other, seed, histories in others:
        with pytest.raises(ArtifactError, match="of another fit"):
            fit_network(other, histories, seed, checkpoint=path)


def test_the_best_epochs_weights_are_kept_with_or_without_early_stopping():
    settings = {"epochs": 6, "learning_rate": 1.0}
    found = fitted(TRAIN, early_stopping=None, **settings)
    losses = [row["holdout"]["loss"] for row in found.history]
    best = int(np.argmin(losses)) + 1
    assert len(losses) == 6 and 1 <= best < 6 and found.facts["best_epoch"] == best
    assert bits(fitted(TRAIN, **{**settings, "epochs": best})) == bits(found)
    last = fitted(TRAIN, **settings, holdout=0.0)
    assert last.facts["best_epoch"] == 6 and "holdout" not in last.history[0]


def course_of(metrics, **fit):
    course, config = Course(64), FitConfig(**fit)
    for metric in metrics:
        course.history.append({})
        course.judge(config, metric)
        if course.stopped:
            break
    return course


def test_early_stopping_counts_epochs_without_a_better_metric():
    low = {"patience_epochs": 2, "metric": "loss", "mode": "min"}
    found = course_of([3.0, 2.0, 2.5, 1.9, 2.0, 1.9, 1.0], early_stopping=low)
    assert (found.best, found.best_epoch, found.epoch, found.stopped) == (1.9, 4, 6, "patience")
    high = {"patience_epochs": 2, "metric": "f1", "mode": "max"}
    found = course_of([0.1, 0.4, 0.3, None, 0.9], early_stopping=high)
    assert (found.best, found.best_epoch, found.epoch) == (0.4, 2, 4)
    small = {"patience_epochs": 2, "min_delta": 0.5}
    found = course_of([3.0, 2.6, 2.5, 2.0], early_stopping=small)
    assert (found.best, found.best_epoch, found.epoch) == (3.0, 1, 3)
    assert course_of([1.0, 2.0, 3.0, 4.0], early_stopping=None).stopped is None


def test_a_plateau_cuts_the_rate_after_each_patience():
    schedule = {"kind": "plateau", "factor": 0.5, "patience_epochs": 2}
    metrics = [3.0, 4.0, 4.0, 4.0, 4.0, 2.0, 3.0]
    assert course_of(metrics[:2], schedule=schedule, early_stopping=None).plateau == 1.0
    assert course_of(metrics[:3], schedule=schedule, early_stopping=None).plateau == 0.5
    assert course_of(metrics, schedule=schedule, early_stopping=None).plateau == 0.25


def test_a_holdout_is_judged_by_any_metric_of_its_kind():
    asked = {"early_stopping": {"metric": "huber", "mode": "min"}}
    row = fitted(TRAIN, epochs=1, **asked).history[0]["holdout"]
    assert set(row) == {"loss", "correlation", "huber"} and 0 < row["huber"] < row["loss"]
    judged = {"epochs": 2, "early_stopping": {"metric": "f1", "mode": "max"}}
    many = fit_network(
        task(classes(1, 2, histories=TRAIN), LossConfig(preset="classification"), **judged),
        TRAIN, 1,
    )  # fmt: skip
    scores = many.history[-1]["holdout"]
    assert set(scores) == {"loss", "accuracy", "f1"} and scores["accuracy"] > 0.4
    with pytest.raises(ConfigError, match=r"no metric 'f1'"):
        fitted(TRAIN, early_stopping={"metric": "f1", "mode": "max"})
    with pytest.raises(ConfigError, match=r"no metric 'pinball'"):
        fitted(TRAIN, early_stopping={"metric": "pinball"})


def test_gradient_descent_in_numpy_gives_the_same_losses():
    """One batch a epoch, filled up with rows that must weigh nothing, as the last batch always
    is; and rows without a label weigh nothing either."""
    found = fitted(TRAIN, epochs=4, **ONE_BATCH)
    prepared = Prepared.of(found.task, TRAIN)
    rows = prepared.chosen.fitted
    assert len(rows) < 512 and found.history[-1]["step"] == 4
    table, at = prepared.table.astype(np.float64), prepared.at[rows]
    x = np.stack([table[i - WINDOW + 1 : i + 1].ravel() for i in at])
    y = prepared.target[rows, 0].astype(np.float64)
    start = make_network(found.task, prepared.inputs, jax.random.PRNGKey(1))
    w, b = np.asarray(start.weight, np.float64)[:, 0], 0.0
    for row in found.history:
        error = x @ w + b - y
        down, level = 2 * x.T @ error / len(y), 2 * error.mean()
        assert row["loss"] == pytest.approx((error**2).mean(), rel=1e-4)
        assert row["grad_norm"] == pytest.approx(np.sqrt((down**2).sum() + level**2), rel=1e-3)
        w, b = w - 0.05 * down, b - 0.05 * level


def test_a_loss_of_ones_own_gets_whole_batches_without_nulls():
    def own(prediction, target):
        assert prediction.shape == target.shape and target.shape[1] == 2
        return jnp.mean(jnp.square(prediction - target)) + 0.0 * jnp.sum(target)

    found = fit_network(task(returns(1, 5), own, epochs=12), TRAIN, 1)
    assert found.kind == "real" and found.facts["rows"]["null"] == 10
    rows = found.facts["rows"]["fitted"]
    assert found.history[0]["step"] == rows // 64
    assert found.history[-1]["holdout"]["correlation"] > 0.4


def test_what_is_not_finite_stops_the_fit_by_epoch_and_step():
    with pytest.raises(NonFiniteError, match=r"step \d+ of 8 of epoch 1[\s\S]*learning_rate"):
        fitted(TRAIN, learning_rate=1e30)
    with pytest.raises(NonFiniteError, match="loss of the holdout is not finite after epoch 1"):
        fitted(TRAIN, learning_rate=1e30, **ONE_BATCH)  # one step, whose loss is still finite


def test_memory_that_ends_halves_an_automatic_batch(monkeypatch):
    asked = task(returns(1), epochs=2, batch_size="auto")
    usual = fit_network(asked, TRAIN, 1)
    real = fit.run_epoch

    def small_memory(learned, rest, data, hyper, key, shape):
        if shape.batch > 32:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating")
        return real(learned, rest, data, hyper, key, shape)

    monkeypatch.setattr(fit, "run_epoch", small_memory)
    found = fit_network(asked, TRAIN, 1)
    assert usual.facts["batch_size"] == 64 and found.facts["batch_size"] == 32
    assert "memory ended with batches of 64 rows" in found.history[0]["note"]
    assert "note" not in found.history[1]
    monkeypatch.undo()
    assert bits(found) == bits(fit_network(task(returns(1), epochs=2, batch_size=32), TRAIN, 1))
    monkeypatch.setattr(fit, "run_epoch", small_memory)
    with pytest.raises(jax.errors.JaxRuntimeError):
        fit_network(task(returns(1), batch_size=64), TRAIN, 1)


def test_what_cannot_be_fitted_is_refused_by_name():
    with pytest.raises(ConfigError, match="mixed precision needs a GPU"):
        fitted(TRAIN, mixed_precision=True)
    with pytest.raises(ConfigError, match="plateau schedule needs a holdout"):
        fitted(TRAIN, schedule={"kind": "plateau"}, holdout=0.0)
    with pytest.raises(ConfigError, match="the loss is for class targets"):
        fitted(TRAIN, LossConfig(preset="classification"))
    with pytest.raises(ConfigError, match="classes and of quantities"):
        fit_network(task((*returns(1), *classes(2, histories=TRAIN))), TRAIN, 1)
    with pytest.raises(DataError, match="dead_label"):
        flat = replace(TRAIN[0].bars, close=np.full(300, 2.0))
        fitted((replace(TRAIN[0], bars=flat),))
    bad = replace(task(returns(1)), network=lambda key, p, i: lambda x, key: x[0])
    with pytest.raises(ConfigError, match=r"float32\[13, 1, 1\] is asked"):
        fit_network(bad, TRAIN, 1)


def test_later_bars_change_no_statistic_and_no_weight():
    """What is not in a fitted or judging window is as if it were not there."""
    first = replace(TRAIN[0], rows=np.arange(WINDOW - 1, 290))
    other = first.features.copy()
    other[290:] = 1e6
    both, changed = (first, TRAIN[1]), (replace(first, features=other), TRAIN[1])
    assert bits(fitted(both), both) == bits(fitted(changed), both)


def test_statistics_know_nothing_of_the_holdout():
    asked = task(returns(1))
    before = Prepared.of(asked, TRAIN)
    fitted_at = before.at[before.chosen.fitted]
    last = int(fitted_at[fitted_at < 300].max())  # of X, whose newest bars judge
    assert last < before.at[before.chosen.holdout].min() < 300
    other = TRAIN[0].features.copy()
    other[last + 1 :] += 50.0
    after = Prepared.of(asked, (replace(TRAIN[0], features=other), TRAIN[1]))
    assert (after.standard.mean == before.standard.mean).all()
    assert (after.standard.std == before.standard.std).all()
