"""Chronos-Bolt (Ansari et al. 2024, extra ``foundation``): a pretrained model, asked as it is.

It gets the log closes up to a row and tells quantiles of the next ones: of step h, quantiles of the
log return over h bars. Labels of several steps get paths (``dependence.py``), in which each bar
opens at the close before it; highs and lows are not forecast, so labels that look at them are
refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, Field

from truefill.core.errors import ConfigError
from truefill.core.registry import Params
from truefill.forecast.baselines.base import Forecast, History, Train, forecaster
from truefill.forecast.foundation.batches import LEAST, Singles, contexts, in_batches
from truefill.forecast.foundation.bolt_model import BoltModel, folder_sha256, load_bolt
from truefill.forecast.foundation.cutoff import refuse_overlap
from truefill.forecast.foundation.dependence import paths_of, random_walk_levels
from truefill.forecast.foundation.distribution import Levels, of_quantiles
from truefill.forecast.foundation.paths import Asker, Paths, need_bars
from truefill.forecast.foundation.quantiles import QuantileFunction
from truefill.forecast.labels.base import Floats

WHERE = "forecaster chronos_bolt"


def _batch(given: int) -> int:
    if given < LEAST or given & (given - 1):
        raise ValueError(f"a power of two, at least {LEAST}")
    return given


class ChronosBoltParams(Params):
    """Quantiles of a pretrained Chronos-Bolt model, with the facts of their distribution."""

    model: str = Field(min_length=1, description="folder of a saved model, or its name on the hub")
    training_cutoff: date = Field(
        description="the last day that the model may have seen data of, as its makers tell"
    )
    overlap: Literal["refuse", "mark"] = Field(
        "refuse",
        description="rows up to the cutoff, train rows too: refuse: an error; mark: forecast, and "
        "the result says that they are contaminated",
    )
    revision: str | None = Field(
        None, description="commit of a model on the hub, which needs one: names there move on"
    )
    context_bars: int = Field(192, ge=2, description="closes that the model sees, at most")
    least_bars: int = Field(20, ge=2, description="closes that must be there; fewer are an error")
    batch: Annotated[int, AfterValidator(_batch)] = Field(
        256, description="rows at once, a power of two; halved when memory ends"
    )
    device: Literal["cpu", "cuda"] = Field("cpu", description="where the model runs")
    paths: int = Field(512, ge=2, description="paths that the label is asked of, a row")
    seed: int = Field(0, ge=0, description="of the dependence between steps in these paths")
    quantiles: Levels = Field((0.1, 0.5, 0.9), description="levels that are told")


@dataclass(frozen=True)
class ChronosBolt:
    """``training_cutoff`` makes :func:`~truefill.forecast.foundation.cutoff.contaminated_rows` tell
    which rows the model may have seen."""

    params: ChronosBoltParams
    asker: Asker
    model: BoltModel

    @property
    def training_cutoff(self) -> date:
        return self.params.training_cutoff

    @property
    def origin(self) -> dict[str, Any]:
        """JSON-able: the model that really answers: its hash, and what was declared of it."""
        p = self.params
        return {
            "model": p.model,
            "revision": p.revision,
            "weights_sha256": self.model.weights_sha256,
            "training_cutoff": p.training_cutoff.isoformat(),
        }

    def predict(self, histories: Sequence[History]) -> Forecast:
        """Forecasts of all rows.

        Raises:
            DataError: ``training_cutoff``: rows up to the cutoff, unless they are to be marked;
                ``short_history``: a row with fewer closes than ``least_bars``.
        """
        p = self.params
        if p.overlap == "refuse":
            refuse_overlap(p.training_cutoff, histories, where=WHERE)
        for own in histories:
            need_bars(own, p.least_bars - 1, where=WHERE)
        parts = [contexts(own.bars.close, own.rows, p.context_bars) for own in histories]
        values = self._quantiles(np.concatenate(parts))
        horizon = self.asker.label.horizon
        known = QuantileFunction.of(self.model.levels, values[:, :, horizon - 1])
        return self.asker.forecast(self._said(histories, values), of_quantiles(known, p.quantiles))

    def _quantiles(self, asked: Singles) -> Floats:
        """f64[n, Q, steps] of f32[n, context_bars]."""
        steps = self.asker.steps
        with self.model.ready():
            found = in_batches(
                lambda part: self.model.ask(part, steps),
                asked,
                self.params.batch,
                self.model.memory_ended,
                where=WHERE,
            )
        return found.astype(np.float64)

    def _said(self, histories: Sequence[History], values: Floats) -> Floats:
        """What the label says of the paths, all rows."""
        p, asker = self.params, self.asker
        levels = random_walk_levels(p.paths, asker.steps, p.seed)
        portion = asker.rows_at_once(p.paths)
        out = np.tile(asker.usual, (len(values), 1))
        begin = 0
        for own in histories:
            for at in range(0, len(own.rows), portion):
                rows = own.rows[at : at + portion]
                there = np.flatnonzero(rows >= asker.back)
                if len(there):
                    place = begin + at + there
                    paths = Paths(paths_of(self.model.levels, values[place], levels))
                    answers = asker.answers(own.symbol, own.bars, rows[there], paths)
                    out[place] = asker.said(answers)
            begin += len(own.rows)
        return out


@forecaster(
    "chronos_bolt",
    ChronosBoltParams,
    extra="foundation",
    family="zero_shot",
    origin=lambda p: folder_sha256(p.model),
)
def chronos_bolt(p: ChronosBoltParams, train: Train) -> ChronosBolt:
    """Nothing is fitted but how far the label looks.

    Raises:
        UsageError: the extra is not installed, or there is no such model.
        ConfigError: the label asks for more than closes, or farther than the model sees.
    """
    asker = Asker.of(train)
    if asker.needs - {"open"}:
        raise ConfigError(
            f"label {train.label.name} looks at highs or lows; this model forecasts closes",
            where=WHERE,
            do="ask block_bootstrap, whose paths have highs and lows, or another label",
        )
    model = load_bolt(p.model, revision=p.revision, device=p.device, where=WHERE)
    for name, asked, most in (
        ("context_bars", p.context_bars, model.context_length),
        ("the label's bars ahead", asker.steps, model.steps),
    ):
        if asked > most:
            raise ConfigError(f"{name}: {asked}, but the model has at most {most}", where=WHERE)
    return ChronosBolt(p, asker, model)
