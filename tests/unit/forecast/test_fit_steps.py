"""Optimizers against optax and by hand, learning rates against literals, batch sizes."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from truefill.config.forecast import FitConfig
from truefill.forecast.fit import batch_size, optimizer
from truefill.forecast.fit.optimizer import Hyper, learning_rate

update = jax.jit(optimizer.update, static_argnums=0)
rate_at = jax.jit(learning_rate, static_argnums=0)


def rates(steps_per_epoch: int, at: list[int], **fit: object) -> list[float]:
    config = FitConfig(**{"learning_rate": 0.1, "epochs": 4, **fit})
    hyper = Hyper.of(config, steps_per_epoch)
    return [float(rate_at(config.schedule.kind, hyper, np.int32(step))) for step in at]


def test_a_constant_rate_after_its_warm_up():
    found = rates(10, [0, 1, 9, 19, 20, 39], schedule={"warmup_epochs": 2})
    assert found == pytest.approx([0.005, 0.01, 0.05, 0.1, 0.1, 0.1])
    assert rates(10, [0, 39]) == pytest.approx([0.1, 0.1])


def test_a_step_schedule():
    schedule = {"kind": "step", "factor": 0.5, "every_epochs": 1}
    found = rates(10, [0, 9, 10, 19, 20, 39], schedule=schedule)
    assert found == pytest.approx([0.1, 0.1, 0.05, 0.05, 0.025, 0.0125])
    after = rates(10, [9, 10, 19, 20], schedule={**schedule, "warmup_epochs": 1})
    assert after == pytest.approx([0.1, 0.1, 0.1, 0.05])  # counted from the warm-up's end


def test_a_cosine_schedule_ends_at_its_share():
    schedule = {"kind": "cosine", "end_share": 0.2}
    found = rates(1, [0, 1, 2, 3], schedule=schedule)
    assert found == pytest.approx([0.1, 0.08, 0.04, 0.02])  # cos of 0, 60, 120, 180 degrees
    assert rates(10, [39], schedule={"kind": "cosine"}) == pytest.approx([0.0], abs=1e-9)


def test_a_plateau_schedule_has_what_the_epochs_made_of_it():
    hyper = Hyper.of(FitConfig(learning_rate=0.1), 10)._replace(plateau=np.float32(0.25))
    assert float(rate_at("plateau", hyper, np.int32(7))) == pytest.approx(0.025)
    assert float(rate_at("constant", hyper, np.int32(7))) == pytest.approx(0.1)


OPTAX = {
    "adam": lambda d, m: optax.chain(optax.add_decayed_weights(d), optax.adam(0.1)),
    "adamw": lambda d, m: optax.adamw(0.1, weight_decay=d),
    "sgd": lambda d, m: optax.chain(optax.add_decayed_weights(d), optax.sgd(0.1, momentum=m)),
    "rmsprop": lambda d, m: optax.chain(
        optax.add_decayed_weights(d), optax.scale_by_rms(decay=0.99), optax.trace(m),
        optax.scale(-0.1),
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", sorted(OPTAX))
def test_optimizers_do_what_they_do_with_fixed_numbers(kind):
    config = FitConfig(
        optimizer=kind, learning_rate=0.1, weight_decay=0.3, momentum=0.8, max_grad_norm=None
    )
    hyper, reference = Hyper.of(config, 1), OPTAX[kind](0.3, 0.8)
    weights = expected = {"w": jnp.asarray([1.0, -2.0, 0.5], jnp.float32)}
    state, wanted_state = optimizer.begin(kind, weights), reference.init(weights)
    for gradient in ([0.3, -1.0, 2.0], [0.1, 0.2, -3.0], [0.0, 0.0, 1.0]):
        g = {"w": jnp.asarray(gradient, jnp.float32)}
        rate = np.float32(0.1)
        weights, state, _ = update(kind, g, state, weights, hyper, rate)
        step, wanted_state = jax.jit(reference.update)(g, wanted_state, expected)
        expected = optax.apply_updates(expected, step)
    assert weights["w"].dtype == jnp.float32
    assert np.asarray(weights["w"]) == pytest.approx(np.asarray(expected["w"]), rel=1e-5)


def test_gradients_are_clipped_by_their_global_norm():
    weights = {"a": jnp.zeros(1, jnp.float32), "b": jnp.zeros(1, jnp.float32)}
    gradient = {"a": jnp.full(1, 3.0, jnp.float32), "b": jnp.full(1, 4.0, jnp.float32)}
    for most, wanted in ((1.0, (-0.6, -0.8)), (10.0, (-3.0, -4.0)), (None, (-3.0, -4.0))):
        hyper = Hyper.of(FitConfig(optimizer="sgd", max_grad_norm=most), 1)
        state = optimizer.begin("sgd", weights)
        new, _, norm = update("sgd", gradient, state, weights, hyper, np.float32(1.0))
        assert float(norm) == pytest.approx(5.0)
        assert (float(new["a"][0]), float(new["b"][0])) == pytest.approx(wanted)


def test_the_automatic_batch_is_a_power_of_two_that_leaves_a_hundred_steps():
    auto = FitConfig(batch_size="auto")
    found = {rows: batch_size(auto, rows) for rows in (10, 6_399, 12_799, 12_800, 50_000, 10**7)}
    assert found == {10: 64, 6_399: 64, 12_799: 64, 12_800: 128, 50_000: 256, 10**7: 1024}
    assert batch_size(FitConfig(batch_size=300), 10) == 300
    assert batch_size(FitConfig(batch_size=300), 10, custom=True) == 10
