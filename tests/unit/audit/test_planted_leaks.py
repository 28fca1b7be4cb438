"""The auditor finds planted leaks, knows nothing of them, and calls nothing honest a leak."""

from __future__ import annotations

import numpy as np
import pytest

import planted_features
import planted_pipeline
from audit_cases import CLEAN, chain_of, config_of, few, found_by
from truefill.audit.registry import audit
from truefill.features.base import Context, Floats

QUICK_FEATURES = (
    "centred_mean", "shifted_back", "scaled_whole", "left_label", "by_value_date", "day_argmax",
    "zero_phase", "other_ahead",
)  # fmt: skip
QUICK_PIPELINE = ("mended_by_interpolation", "no_purge", "normalized_by_split")
"""One of each kind; ``tests/golden/test_planted_leaks.py`` goes through all."""


def test_planted_features_are_found_among_honest_ones() -> None:
    leaky = {name: (name, {}) for name in QUICK_FEATURES}
    with planted_features.planted(leaky):
        found = found_by(config_of({**CLEAN, **leaky}), chain_of(), ["features"], quick=True)
    named = {item.split(" ")[0] for items in found.values() for item in items}
    assert named == set(leaky)


@pytest.mark.parametrize("name", QUICK_PIPELINE)
def test_planted_stages_are_found(name: str) -> None:
    planted = planted_pipeline.LEAKS[name]
    assert found_by(few(), chain_of(**planted.stages), [planted.group], quick=True)


def test_an_honest_dataset_passes() -> None:
    assert found_by(few(), chain_of(), ["dataset"], quick=True) == {}


def test_a_leaky_function_can_take_the_place_of_a_stage() -> None:
    """The auditor needs no registration: whatever calculates is audited."""
    from truefill.audit import chain as real

    def calculate(spec: object, bars: Context) -> Floats:
        values = real.calculate(spec, bars)  # type: ignore[arg-type]
        return np.roll(values, -1)

    found = found_by(few(), chain_of(calculate=calculate), ["features"], quick=True)
    assert {item.split(" ")[0] for item in found["features/canary"]} >= {"ret", "rsi", "vol"}


def test_a_check_is_registered_once() -> None:
    with pytest.raises(ValueError, match="registered twice"):
        audit("features/canary", stage="features", proves="again")(lambda case, tally: None)
