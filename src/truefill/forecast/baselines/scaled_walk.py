"""The label's own random walk with the volatility of late, recalibrated on train.

With one volatility for all of train the rule of a label is far off where volatility changes: it
then calls for moves that do not come, and any model that sees how wild the last bars were beats it
without a notion of where prices go. This one sees that too, and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import Field

from truefill.core.registry import Params
from truefill.forecast.baselines.base import Fitted, Forecast, History, Train, forecaster
from truefill.forecast.baselines.linear import LogisticParams, logistic
from truefill.forecast.labels.base import FittedLabel, Floats, Walk
from truefill.forecast.labels.trailing import volatility

FARTHEST = 6.0
"""Log odds are cut here; beyond, they say nothing that a recalibration could use."""


class ScaledWalkParams(Params):
    """Logistic regression on what random walks with the volatility of the last bars say."""

    windows: tuple[int, ...] = Field(
        (24, 96), min_length=1, description="bars whose volatilities are taken, one walk each"
    )
    ridge: float = Field(1e-3, gt=0.0, description="of the logistic regression")


@dataclass(frozen=True)
class ScaledWalk:
    label: FittedLabel
    windows: tuple[int, ...]
    usual: dict[str, float]
    model: Fitted

    def predict(self, histories: Sequence[History]) -> Forecast:
        return self.model.predict(_said(self.label, self.windows, self.usual, histories))


@forecaster(
    "scaled_walk",
    ScaledWalkParams,
    targets=("class",),
    reach_bars=lambda p: max(p.windows) + 1,
)
def scaled_walk(p: ScaledWalkParams, train: Train) -> ScaledWalk:
    usual = {own.symbol: float(train.walk(own.symbol).sigma) for own in train.histories}
    said = _said(train.label, p.windows, usual, train.histories)
    model = logistic(LogisticParams(ridge=p.ridge), Train(train.label, said, train.answers))
    return ScaledWalk(train.label, p.windows, usual, model)


def _said(
    label: FittedLabel,
    windows: tuple[int, ...],
    usual: dict[str, float],
    histories: Sequence[History],
) -> tuple[History, ...]:
    """The histories with the walks' log odds of fall and rise against still as features; where a
    window is not full yet, or nothing moved in it, with train's volatility."""
    out = []
    for own in histories:
        columns = []
        for window in windows:
            late = volatility(own.bars, window)
            sigma = np.where(np.nan_to_num(late) > 0.0, late, usual[own.symbol])
            columns += list(_odds(label.of_a_walk(own.symbol, own.bars, Walk(0.0, sigma))))
        out.append(History(own.symbol, own.bars, np.column_stack(columns), own.rows))
    return tuple(out)


def _odds(probability: Floats) -> tuple[Floats, Floats]:
    """Log odds of the first and of the last class against the middle one; 0 where unknown."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(np.clip(probability, 0.0, 1.0))
        odds = [np.clip(logs[:, c] - logs[:, 1], -FARTHEST, FARTHEST) for c in (0, 2)]
    return np.nan_to_num(odds[0]), np.nan_to_num(odds[1])
