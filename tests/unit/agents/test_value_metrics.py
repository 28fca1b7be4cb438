"""Explained variance and R2, against numpy."""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np
import pytest

from truefill.agents.value_metrics import fit, fit_by_group


@pytest.mark.parametrize(
    ("value", "explained", "r2"),
    [
        ([1, 2, 3], 1.0, 1.0),
        ([2, 2, 2], 0.0, 0.0),
        ([11, 12, 13], 1.0, -149.0),  # one is blind to bias, the other is not
        ([3, 2, 1], -3.0, -3.0),
    ],
)
def test_by_hand(value: list[float], explained: float, r2: float) -> None:
    found = fit(jnp.asarray([value], jnp.float32), jnp.asarray([[1.0, 2.0, 3.0]], jnp.float32))
    assert float(found.explained_variance) == pytest.approx(explained)
    assert float(found.r2) == pytest.approx(r2)


def test_returns_that_do_not_vary_leave_both_undefined() -> None:
    found = fit(jnp.asarray([1.0, 2.0]), jnp.asarray([3.0, 3.0]))
    assert math.isnan(found.explained_variance) and math.isnan(found.r2)


def test_weights_count_rows_and_groups_stand_alone() -> None:
    rng = np.random.default_rng(0)
    value, target = rng.normal(size=(4, 6)), rng.normal(size=(4, 6))
    weight = rng.integers(0, 3, (4, 6))
    group = rng.integers(0, 3, (4, 6))
    repeated = np.repeat(np.arange(24), weight.ravel())
    weighted = fit(jnp.asarray(value), jnp.asarray(target), jnp.asarray(weight, jnp.float32))
    again = fit(jnp.asarray(value.ravel()[repeated]), jnp.asarray(target.ravel()[repeated]))
    np.testing.assert_allclose(weighted, again, rtol=1e-5)
    by = fit_by_group(jnp.asarray(value), jnp.asarray(target), jnp.asarray(group, jnp.int32), 4)
    for g in range(3):
        own = fit(jnp.asarray(value[group == g]), jnp.asarray(target[group == g]))
        np.testing.assert_allclose([x[g] for x in by], own, rtol=1e-5)
    assert math.isnan(by.r2[3])  # nobody is in it
