"""Other calculators on longer bars, built of the dataset's own, as of each bar's close.

A longer bar is used once it is closed and never before: at the close of the bar that ends with it,
or, where that bar is missing, at the next bar's. What the history begins in the middle of is no
whole bar, and is left out.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, field_validator
from pydantic_core.core_schema import ValidationInfo

from truefill.config.fields import Duration
from truefill.core.errors import ConfigError
from truefill.core.registry import Entry, Params
from truefill.data.resample import additive, session_grid
from truefill.features.base import (
    CALCULATORS,
    PER_BAR,
    Calculator,
    Context,
    Floats,
    Ints,
    Running,
    calculator,
    fact,
)
from truefill.features.portions import running

Rows = npt.NDArray[np.intp]


class HigherParams(Params):
    """Another calculator on longer bars, closed ones only."""

    timeframe: Duration = Field(
        gt=0.0, description="length of the longer bars (e.g. 4h, 1d); a multiple of data.interval"
    )
    calculator: str = Field(description="registered calculator that needs bars alone")
    params: dict[str, Any] = Field(
        default_factory=dict, description="its parameters; windows count longer bars"
    )
    align: Literal["utc", "session"] = Field(
        "utc",
        description="longer bars are counted from 1970-01-01 UTC, or from each session's open",
    )

    @field_validator("calculator")
    @classmethod
    def _of_bars_alone(cls, name: str) -> str:
        entry = CALCULATORS.get(name, where="higher.calculator")
        if entry.facts["irregular"]:
            raise ValueError(f"{name} goes by clocks of its own; use it without higher")
        return name

    @field_validator("params")
    @classmethod
    def _resolved(cls, given: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        if "calculator" not in info.data:
            return given
        name = info.data["calculator"]
        params = CALCULATORS.parse(name, given, where="higher.params")
        resolved: dict[str, Any] = params.model_dump(mode="json")
        return resolved


def _inner(p: HigherParams) -> tuple[Entry[Calculator], Any]:
    entry = CALCULATORS.get(p.calculator)
    return entry, entry.params(**p.params)


def _inner_fact(name: str) -> Any:
    return lambda p: fact(_inner(p)[0], name, _inner(p)[1])


@calculator(
    "higher",
    HigherParams,
    unit=lambda p: f"{_inner_fact('unit')(p)}; on bars of {p.timeframe:g} s",
    source="the calculator itself, on the longer bars that are closed",
    crosses_session=True,
    normalized=_inner_fact("normalized"),
    level=_inner_fact("level"),
    warmup=_inner_fact("warmup"),
    lookback=lambda p: _inner_fact("lookback")(p) + 1,
    columns=_inner_fact("columns"),
    irregular=True,
    timeframe=lambda p: p.timeframe,
)
class Higher(Running):
    """The value of the newest closed longer bar."""

    def __init__(self, p: HigherParams) -> None:
        self.p = p
        self.inner = running(*_inner(p))
        self.open: dict[str, Any] = {}
        self.extra: dict[str, Any] = {}
        self.begun = False
        self.value = float("nan")

    def push(self, bars: Context) -> Floats:
        if not len(bars):
            return np.zeros(0)
        _require_longer(self.p.timeframe, bars.interval_s)
        known = bars
        if self.open:
            known = bars.rows(0, 0).with_bars(self.open, self.extra).followed_by(bars)
        starts, over = self._places(known)
        first = np.flatnonzero(np.diff(starts, prepend=starts[0] - 1))
        last = np.append(first[1:], len(known)) - 1
        seen_at = np.where(over[last], last, last + 1)
        done = seen_at < len(known)
        whole = done.copy()
        if not self.begun and known.timestamps_s[0] != starts[0]:
            whole[0] = False
        self.begun = self.begun or bool(done.any())
        values = np.array([self.value])
        if whole.any():
            longer = _longer(known, starts, first, last, whole, self.p.timeframe)
            values = np.append(values, self.inner.push(longer))
        at = np.searchsorted(seen_at[whole], np.arange(len(known)), side="right")
        self.value = float(values[-1])
        self._keep(known.rows(len(known) if done[-1] else int(first[-1]), len(known)))
        return values[at][len(known) - len(bars) :]

    def _keep(self, left: Context) -> None:
        """Keep the bars of the longer one that is still open."""
        self.open = {name: getattr(left, name).copy() for name in PER_BAR} if len(left) else {}
        self.extra = {name: values.copy() for name, values in left.extra.items()}

    def _places(self, bars: Context) -> tuple[Ints, npt.NDArray[np.bool_]]:
        """Start (unix seconds) of the longer bar that each bar belongs to, and whether the longer
        one is over with it."""
        length = round(self.p.timeframe)
        if self.p.align == "utc" or bars.session is None:
            starts = bars.timestamps_s // length * length
            return starts, bars.closes_s >= starts + length
        opened, _, ends = session_grid(bars.session, bars.timestamps_s, bars.interval_s)
        starts = opened + (bars.timestamps_s - opened) // length * length
        return starts, ends | (bars.closes_s >= starts + length)


def _require_longer(timeframe_s: float, interval_s: float) -> None:
    if timeframe_s <= interval_s or timeframe_s % interval_s:
        raise ConfigError(
            f"a bar of {timeframe_s:g} s is not two or more whole bars of {interval_s:g} s",
            where="higher.timeframe",
            do="give a multiple of the dataset's bar interval",
        )


def _longer(
    bars: Context,
    starts: Ints,
    first: Rows,
    last: Rows,
    kept: npt.NDArray[np.bool_],
    timeframe_s: float,
) -> Context:
    """The longer bars of which bars ``first`` to ``last`` are made, where ``kept``."""
    made = {
        "timestamps_s": starts[first],
        "open": bars.open[first],
        "high": np.maximum.reduceat(bars.high, first),
        "low": np.minimum.reduceat(bars.low, first),
        "close": bars.close[last],
        "volume": np.add.reduceat(bars.volume, first),
        "session_fraction": bars.session_fraction[first],
        "weekday": bars.weekday[first],
    }
    extra = {
        name: np.add.reduceat(values, first) if additive(name) else values[last]
        for name, values in bars.extra.items()
    }
    return bars.with_bars(
        {name: values[kept] for name, values in made.items()},
        {name: values[kept] for name, values in extra.items()},
        timeframe_s,
    )
