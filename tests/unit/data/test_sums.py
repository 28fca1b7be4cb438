"""Sums of long columns: as exact as fsum, the same bits from any layout."""

from __future__ import annotations

from math import fsum, sqrt

import numpy as np
import pytest

from truefill.data.sums import mean_and_std


@pytest.mark.parametrize("count", [1, 7, 65_536, 200_003])
def test_mean_and_deviation_are_those_of_exact_sums(count: int) -> None:
    values = 4_000.0 + np.random.default_rng(0).standard_normal(count)
    mean, std = mean_and_std(values)
    exact = fsum(values.tolist()) / count
    assert mean == pytest.approx(exact, rel=1e-15)
    want = sqrt(fsum(((values - exact) ** 2).tolist()) / count)
    assert std == pytest.approx(want, rel=1e-13, abs=1e-15)


def test_layout_and_width_do_not_matter() -> None:
    values = np.random.default_rng(1).standard_normal(100_000).astype(np.float32)
    spread = np.zeros((100_000, 3), np.float32)
    spread[:, 1] = values
    same = {mean_and_std(v) for v in (values, spread[:, 1], values.astype(np.float64))}
    assert len(same) == 1


def test_a_constant_has_no_deviation() -> None:
    assert mean_and_std(np.full(100_001, 0.1))[1] <= 1e-16
