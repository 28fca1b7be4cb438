"""What a model that was trained elsewhere may have seen.

A row is *contaminated* if its bar begins on the day of the training cutoff (UTC) or before it: the
model may know the very prices that it is asked for. Train rows too: an agent that is trained on
such forecasts learns to trust what the model remembers.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Protocol, runtime_checkable

import numpy as np

from truefill.core.errors import DataError
from truefill.forecast.baselines.base import Fitted, History
from truefill.forecast.labels.base import Bools


@runtime_checkable
class MayHaveSeen(Protocol):
    """A fitted forecaster that declares what it may have seen."""

    training_cutoff: date
    """The last day that its model may have seen data of."""


def contaminated_rows(fitted: Fitted, histories: Sequence[History]) -> Bools:
    """bool[n]: rows that the forecaster's model may have seen, history after history; none where a
    forecaster was fitted here, on train rows alone."""
    if isinstance(fitted, MayHaveSeen):
        return at_or_before(fitted.training_cutoff, histories)
    return np.zeros(sum(len(own.rows) for own in histories), np.bool_)


def at_or_before(cutoff: date, histories: Sequence[History]) -> Bools:
    """bool[n]: rows whose bars begin on the day of the cutoff or before it."""
    ends = _end_s(cutoff)
    return np.concatenate([own.bars.timestamps_s[own.rows] < ends for own in histories])


def refuse_overlap(cutoff: date, histories: Sequence[History], *, where: str) -> None:
    """Raise unless all rows lie after the cutoff.

    Raises:
        DataError: ``training_cutoff``: which rows do not.
    """
    for own in histories:
        stamps = own.bars.timestamps_s[own.rows]
        seen = stamps < _end_s(cutoff)
        if seen.any():
            first, last = (_text(int(t)) for t in (stamps[seen].min(), stamps[seen].max()))
            raise DataError(
                "training_cutoff",
                f"{int(seen.sum()):,} of {len(stamps):,} rows of {own.symbol}, {first} to {last}, "
                f"are not after the model's training cutoff {cutoff.isoformat()}: it may have seen "
                "their outcomes",
                where=where,
                do="move the rows behind the cutoff, take an older model, or say overlap: mark, "
                "and the result will say so",
            )


def _end_s(cutoff: date) -> int:
    after = datetime(cutoff.year, cutoff.month, cutoff.day, tzinfo=UTC) + timedelta(days=1)
    return int(after.timestamp())


def _text(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M")
