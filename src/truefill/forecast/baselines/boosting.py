"""Gradient boosted trees (extra ``boosting``: LightGBM), one thread, deterministic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import Field

from truefill.core.extras import need_extra
from truefill.core.registry import Params
from truefill.forecast.baselines.base import Forecast, History, Train, forecaster, inputs_of


class BoostingParams(Params):
    """Gradient boosted trees on the features of the row."""

    rounds: int = Field(100, ge=1, description="trees (a class)")
    learning_rate: float = Field(0.05, gt=0.0, description="share of each tree")
    leaves: int = Field(15, ge=2, description="most leaves of a tree")
    least_rows: int = Field(50, ge=1, description="least train rows in a leaf")
    seed: int = Field(0, ge=0, description="of what is drawn")


@dataclass(frozen=True)
class Boosting:
    trees: Any
    classes: int

    def predict(self, histories: Sequence[History]) -> Forecast:
        found = np.asarray(self.trees.predict(inputs_of(histories), num_threads=1), np.float64)
        return Forecast.of(found) if self.classes else Forecast(found)


@forecaster("boosting", BoostingParams, extra="boosting")
def boosting(p: BoostingParams, train: Train) -> Boosting:
    """Trees by the log loss, or by the squared error.

    Raises:
        UsageError: the extra is not installed.
    """
    library = need_extra("lightgbm", "boosting", where="forecaster boosting")
    classes = train.label.classes
    task = {"objective": "multiclass", "num_class": classes} if classes else {"objective": "l2"}
    options = {
        "learning_rate": p.learning_rate,
        "num_leaves": p.leaves,
        "min_data_in_leaf": p.least_rows,
        "seed": p.seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "verbosity": -1,
    }
    data = library.Dataset(inputs_of(train.histories), train.answers)
    return Boosting(library.train({**task, **options}, data, num_boost_round=p.rounds), classes)
