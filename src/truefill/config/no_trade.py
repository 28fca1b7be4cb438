"""Times without trading: by the clock, around funding, by interval, and when the market is wild.

Every kind closes bars for orders; stops and margin go on working. ``kind`` may be left out for the
daily window.
"""

from __future__ import annotations

from datetime import time
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from truefill.config.fields import (
    ClockTime,
    Duration,
    FilePath,
    Fraction,
    Moment,
    Positive,
    Section,
    Timezone,
    Weekday,
)

_EVERY_DAY: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
EIGHT_HOURLY = (time(0), time(8), time(16))
"""When most perpetuals pay funding."""


class Window(Section):
    """A daily span of time; past midnight it belongs to the day on which it starts."""

    kind: Literal["daily"] = Field("daily", description="the same span of every chosen day")
    start: ClockTime = Field(description="first bar start inside, HH:MM")
    end: ClockTime = Field(description="end (exclusive), HH:MM; equal to start = the whole day")
    timezone: Timezone = Field("UTC", description="timezone of days, start and end")
    days: tuple[Weekday, ...] = Field(_EVERY_DAY, min_length=1, description="days it holds")


class IntervalWindow(Section):
    """One span of time, or a file of them."""

    kind: Literal["interval"] = Field(description="one span of time, or a file of them")
    start: Moment | None = Field(None, description="first bar start inside")
    end: Moment | None = Field(None, description="end, exclusive")
    path: FilePath | None = Field(
        None, description="instead: CSV (columns start, end) or JSON (a list of such objects)"
    )
    timezone: Timezone = Field("UTC", description="timezone of naive moments in the file")

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if (self.path is None) == (self.start is None and self.end is None):
            raise ValueError("give start and end, or path")
        if self.path is None:
            if self.start is None or self.end is None:
                raise ValueError("start and end come together")
            if self.start >= self.end:
                raise ValueError("start must be before end")
        return self


class FundingWindow(Section):
    """A buffer around moments of funding, by the clock or by the files of funding."""

    kind: Literal["funding"] = Field(description="buffers around moments of funding")
    times: tuple[ClockTime, ...] = Field(EIGHT_HOURLY, description="moments of every day, HH:MM")
    timezone: Timezone = Field("UTC", description="timezone of times")
    events: bool = Field(
        False,
        description="true: instead of times, the moments of each symbol in data.events of kind "
        "funding",
    )
    before: Duration = Field(300.0, description="a bar that starts this long before is inside")
    after: Duration = Field(
        300.0, description="the buffer ends this long after the moment (exclusive)"
    )

    @model_validator(mode="after")
    def _some_time(self) -> Self:
        if self.before + self.after <= 0.0:
            raise ValueError("before and after cannot both be 0")
        if self.before + self.after >= 86_400.0:
            raise ValueError("before and after together must be shorter than a day")
        if self.events and self.times != EIGHT_HOURLY:
            raise ValueError("give times, or events: true, not both")
        if not self.times:
            raise ValueError("give at least one of times, or events: true")
        return self


class VolatilityGuard(Section):
    """Closes each symbol by itself while its recent returns are too wild or its spread too wide."""

    kind: Literal["volatility"] = Field(description="a guard against wild returns and wide spreads")
    window_bars: int = Field(
        180, ge=2, description="returns in the rolling standard deviation (sigma), bars"
    )
    absolute: Positive | None = Field(
        None, description="closes when sigma (of a bar's log return) exceeds this; null = off"
    )
    percentile: Fraction | None = Field(
        None, description="closes when sigma exceeds this quantile of train's; null = off"
    )
    spread_bps: Positive | None = Field(
        None, description="closes when (ask - close) / close exceeds this, bps; null = off"
    )
    ask: str | None = Field(
        None, description="column of the bars with the ask at the close (close is then the bid)"
    )
    hysteresis: Fraction = Field(
        0.2, description="opens again below (1 - hysteresis) x threshold, every one of them"
    )
    cooldown_bars: int = Field(
        20, ge=0, description="bars that stay closed after the last one that exceeded a threshold"
    )

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if self.absolute is None and self.percentile is None and self.spread_bps is None:
            raise ValueError("give absolute, percentile or spread_bps")
        if (self.spread_bps is None) != (self.ask is None):
            raise ValueError("spread_bps and ask come together")
        if self.hysteresis >= 1.0:
            raise ValueError("hysteresis must be below 1, or it would never open again")
        if self.percentile is not None and not 0.0 < self.percentile < 1.0:
            raise ValueError("percentile must lie between 0 and 1, e.g. 0.995")
        return self


def _kind(value: Any) -> Any:
    """The tag of an entry; without one it is a daily window."""
    return value.get("kind", "daily") if isinstance(value, dict) else getattr(value, "kind", None)


NoTrade = Annotated[
    Annotated[Window, Tag("daily")]
    | Annotated[IntervalWindow, Tag("interval")]
    | Annotated[FundingWindow, Tag("funding")]
    | Annotated[VolatilityGuard, Tag("volatility")],
    Discriminator(_kind),
]
"""One entry of ``market.no_trade``."""
