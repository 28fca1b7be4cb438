"""What a dataset took from outside its bars: slow series, economic calendars, sessions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from truefill.config.schema import Config
from truefill.data.inputs import Inputs
from truefill.data.joined import hole_warnings, joined_facts
from truefill.data.session_facts import calendar_facts
from truefill.data.sessions import session_of
from truefill.data.splits import before_test


def outside_facts(
    config: Config, inputs: Inputs, bars: pl.DataFrame, rows: Mapping[str, npt.NDArray[np.bool_]]
) -> tuple[dict[str, Any], list[str]]:
    """Facts for lineage, and warnings, of what came before the test split.

    Args:
        bars: the dataset's, in the session, sorted by symbol and time, [n].
        rows: [n] bool by split: those of train and validation.
    """
    known = bars.filter(pl.Series(np.logical_or.reduce(list(rows.values()))))
    starts = known["timestamp"].unique().sort().dt.epoch("s").to_numpy().astype(np.int64)
    closes = starts + round(config.data.bar_interval)
    session = session_of(config.data.session, config.data.bar_interval)
    read = inputs.bars.table.filter(before_test(config.data.splits))
    calendar, warnings = calendar_facts(session, read, known)
    facts = {
        "joined": joined_facts(inputs.series, inputs.releases, closes),
        "session_calendar": calendar,
    }
    return facts, [*warnings, *hole_warnings(inputs.releases, closes)]
