"""Features bar by bar: the same bits as over the whole history at once.

A :class:`FeatureStream` is for one symbol. It takes bars in portions of any size and can be saved
after any of them. What does not come from the symbol's own bars is given anew with each push, as a
field of the :class:`Context`: slow series and economic calendars as far as they are known, and the
bars of other symbols that closed since the push before (more does no harm).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from truefill.core.errors import DataError, UsageError
from truefill.data.sessions import Session
from truefill.features import normalize
from truefill.features.base import Floats
from truefill.features.blame import blamed, require_column
from truefill.features.compute import context_of, require_values
from truefill.features.contract import FeatureContract, FeatureSpec
from truefill.features.normalize import NormStats
from truefill.features.portions import running
from truefill.features.registry import CALCULATORS
from truefill.features.state import pack, unpack


@dataclass(frozen=True)
class StreamedRows:
    """``raw`` f64[n, F], NaN where there is no value; ``normalized`` f32[n, F], or None for a
    stream without statistics."""

    raw: Floats
    normalized: npt.NDArray[np.float32] | None


class FeatureStream:
    """Features of one symbol's bars as they come.

    Args:
        features: what to compute; a contract is checked against ``session`` and ``interval_s``.
        session: of the dataset.
        interval_s: length of a bar, seconds.
        stats: statistics of the train rows by feature name; without them nothing is normalized.
    """

    def __init__(
        self,
        features: FeatureContract | Sequence[FeatureSpec],
        session: Session,
        interval_s: float,
        stats: Mapping[str, NormStats] | None = None,
    ) -> None:
        if isinstance(features, FeatureContract):
            made_for = (features.session, features.interval_s)
            if made_for != (session.as_dict(), interval_s):
                raise UsageError("the contract is for another session or bar interval")
            features = features.features
        self.specs = tuple(features)
        self.session, self.interval_s, self.stats = session, interval_s, stats
        self._symbol: str | None = None
        self._last_s = 0
        self._seen = 0
        self._running = [_started(spec) for spec in self.specs]

    def push(self, bars: pl.DataFrame, **outside: Any) -> StreamedRows:
        """Features of the next n bars (canonical columns, one symbol, ascending).

        ``outside``: ``series``, ``others`` (contexts of other symbols, see :func:`context_of`) and
        whatever else a :class:`Context` holds that does not come from these bars.

        Raises:
            DataError: ``disorder`` for a bar that does not come after the one before it,
                ``null_feature`` for a value that is missing without reason. The stream is then of
                no more use.
        """
        raw = np.empty((bars.height, len(self.specs)), order="F")
        if bars.height:
            context = context_of(bars, self.session, self.interval_s, **outside)
            self._require_next(context.symbol, bars, context.timestamps_s)
            for i, (spec, carried) in enumerate(zip(self.specs, self._running, strict=True)):
                entry = CALCULATORS.get(spec.calculator)
                with np.errstate(all="ignore"), blamed(entry, spec.name):
                    values = carried.push(context)  # what is not finite is told below
                require_column(entry, values, len(context))
                raw[:, i] = values
                require_values(spec, context, raw[:, i], seen=self._seen)
            self._seen += bars.height
        return StreamedRows(raw, None if self.stats is None else self._normalized(raw, self.stats))

    def _require_next(self, symbol: str, bars: pl.DataFrame, starts_s: npt.NDArray[Any]) -> None:
        known = self._symbol or symbol
        others = set(bars["symbol"].unique().to_list()) - {known}
        if others:
            raise DataError(
                "one_symbol",
                f"the stream is of {known}, the bars are of {sorted(others)[0]}",
                where="bars",
                do="use one stream a symbol",
            )
        gaps = np.diff(starts_s, prepend=self._last_s if self._symbol else starts_s[0] - 1)
        if (gaps <= 0).any():
            at = int(np.argmax(gaps <= 0))
            raise DataError(
                "disorder",
                f"the bar at {np.datetime64(int(starts_s[at]), 's')} does not come after the one "
                "before it",
                where=f"bars row {at}",
                do="push every bar once, in order",
            )
        self._symbol, self._last_s = known, int(starts_s[-1])

    def _normalized(self, raw: Floats, stats: Mapping[str, NormStats]) -> npt.NDArray[np.float32]:
        out = np.empty(raw.shape, np.float32)
        for i, spec in enumerate(self.specs):
            out[:, i] = normalize.apply(spec, stats[spec.name], raw[:, i])
        return out

    def save(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """The state: JSON-able data, and arrays by name (as ``numpy.savez`` takes them)."""
        return pack(
            {
                "features": [spec.name for spec in self.specs],
                "symbol": self._symbol,
                "last_s": self._last_s,
                "seen": self._seen,
                "running": [carried.state() for carried in self._running],
            }
        )

    def restore(self, packed: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Go on where a stream of the same features was saved; ``UsageError`` for others."""
        state = unpack(packed, arrays)
        if state["features"] != [spec.name for spec in self.specs]:
            raise UsageError("the saved state is of other features", where="FeatureStream")
        self._symbol, self._last_s, self._seen = state["symbol"], state["last_s"], state["seen"]
        for carried, kept in zip(self._running, state["running"], strict=True):
            carried.restore(kept)


def _started(spec: FeatureSpec) -> Any:
    entry = CALCULATORS.get(spec.calculator)
    return running(entry, entry.params(**spec.params))
