"""A critic's outputs: quantiles, their tail, their loss."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from truefill.agents import critic, risk
from truefill.agents.coefficients import split
from truefill.config.schema import AgentConfig, CvarConfig


def column(*values: float) -> jax.Array:
    """One account's outputs, [V, 1]."""
    return jnp.asarray(values, jnp.float32)[:, None]


@pytest.mark.parametrize(
    ("alpha", "at_risk", "conditional"),
    [
        (0.25, -8.0, -8.0),  # the lowest quarter is the lowest quantile
        (0.5, -2.0, -5.0),  # two of four
        (0.375, -2.0, (-8.0 - 0.5 * 2.0) / 1.5),  # one and half of the next
        (0.1, -8.0, -8.0),  # less than one: part of it
        (1.0, 6.0, 0.0),  # all: the mean
    ],
)
def test_the_tail_is_the_lowest_mass(alpha: float, at_risk: float, conditional: float) -> None:
    found = critic.tail(column(-8.0, -2.0, 4.0, 6.0), jnp.float32(alpha))
    assert [x.item() for x in found] == pytest.approx([at_risk, conditional], abs=1e-5)


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.33, 0.9])
def test_the_tails_advantage_is_nothing_on_average(alpha: float) -> None:
    """Over returns that fall as the critic says, and only then."""
    atoms = np.sort(np.random.default_rng(0).normal(size=32)).astype(np.float32)
    tail = critic.tail(jnp.asarray(atoms)[:, None], jnp.float32(alpha))
    found = critic.tail_advantage(jnp.asarray(atoms), *tail, jnp.float32(alpha))
    assert float(jnp.mean(found)) == pytest.approx(0.0, abs=1e-5)
    worse = critic.tail_advantage(jnp.asarray(atoms) - 1.0, *tail, jnp.float32(alpha))
    assert float(jnp.mean(worse)) < -0.9
    better = jnp.maximum(jnp.asarray(atoms), tail[0])
    assert float(jnp.mean(critic.tail_advantage(better, *tail, jnp.float32(alpha)))) >= 0.0


def test_the_quantile_huber_loss_by_its_formula() -> None:
    rng = np.random.default_rng(1)
    outputs, target, kappa = rng.normal(size=(3, 5)), rng.normal(size=5), 0.7
    total = np.zeros(5)
    for i, tau in enumerate((1 / 6, 3 / 6, 5 / 6)):
        u = target - outputs[i]
        huber = np.where(np.abs(u) <= kappa, 0.5 * u**2, kappa * (np.abs(u) - 0.5 * kappa))
        total += np.abs(tau - (u < 0)) * huber / kappa / 3
    found = critic.quantile_huber(jnp.asarray(outputs), jnp.asarray(target), jnp.asarray(kappa))
    np.testing.assert_allclose(found, total, rtol=1e-6)


def test_an_output_is_pushed_up_by_tau_and_down_by_one_minus_tau() -> None:
    """Far from the target; with u the other way round the two would be exchanged."""
    slope = jax.grad(lambda x, y: critic.quantile_huber(x, y, 0.01).sum())
    above = slope(column(0.0, 0.0, 0.0, 0.0), jnp.asarray([5.0]))[:, 0] * 4
    np.testing.assert_allclose(above, [-0.125, -0.375, -0.625, -0.875], rtol=1e-6)
    below = slope(column(0.0, 0.0, 0.0, 0.0), jnp.asarray([-5.0]))[:, 0] * 4
    np.testing.assert_allclose(below, [0.875, 0.625, 0.375, 0.125], rtol=1e-6)


def test_its_minimiser_is_the_quantile() -> None:
    sample = np.random.default_rng(2).standard_t(3, size=4_001)
    tau = (np.arange(8) + 0.5) / 8
    quantiles = np.quantile(sample, tau)

    @jax.jit
    def slope(shift: float) -> jax.Array:
        outputs = jnp.asarray(np.repeat(quantiles[:, None], len(sample), axis=1)) + shift
        loss = jax.grad(lambda x: critic.quantile_huber(x, jnp.asarray(sample), 1e-6).mean())
        return loss(outputs).sum(axis=1) * 8

    np.testing.assert_allclose(slope(0.0), 0.0, atol=1e-3)
    assert (slope(0.2) > 0.005).all() and (slope(-0.2) < -0.005).all()


def test_a_drawn_return_is_one_of_the_quantiles_each_as_often() -> None:
    outputs = jnp.asarray([[1.0], [2.0], [3.0]], jnp.float32)
    found = [critic.drawn(outputs, jnp.asarray([u], jnp.float32)).item() for u in (0.0, 0.34, 0.67)]
    assert found == [1.0, 2.0, 3.0]
    assert critic.drawn(outputs, jnp.asarray([0.99999999], jnp.float32)).item() == 3.0


def test_the_weight_rises_on_its_ramp_and_with_the_dual() -> None:
    _, numbers = split(
        AgentConfig(kind="quantile_ppo", critic={"cvar": {"weight": 0.4, "ramp_updates": 10}}),
        1,
    )
    zero = jnp.zeros(())
    found = [float(risk.weight(numbers, zero, jnp.asarray(n))) for n in (0, 5, 10, 99)]
    assert found == pytest.approx([0.0, 0.2, 0.4, 0.4])
    assert float(risk.weight(numbers, jnp.asarray(1.0), jnp.asarray(10))) == pytest.approx(1.4)
    _, at_once = split(
        AgentConfig(kind="quantile_ppo", critic={"cvar": {"weight": 0.4, "ramp_updates": 0}}), 1
    )
    assert float(risk.weight(at_once, zero, jnp.asarray(0))) == pytest.approx(0.4)


def test_the_dual_rises_while_the_limit_is_missed_and_falls_back() -> None:
    config = CvarConfig(limit=-0.02, dual_learning_rate=10.0)
    _, numbers = split(AgentConfig(kind="quantile_ppo", critic={"cvar": config}), 1)

    def after(dual: float, found: float) -> float:
        return float(risk.next_dual(jnp.asarray(dual), jnp.asarray(found), numbers, config))

    assert after(0.0, -0.05) == pytest.approx(0.3)
    assert after(0.3, -0.01) == pytest.approx(0.2)
    assert after(0.0, -0.01) == 0.0
    assert after(0.9, -5.0) == 1.0
    free = CvarConfig(weight=1.0)
    assert float(risk.next_dual(jnp.asarray(0.0), jnp.asarray(-9.0), numbers, free)) == 0.0
