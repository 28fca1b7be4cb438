"""What a source is: it says what it holds, and hands it out in pages.

Libraries do the network work (pages, rate limits, retries). A source turns their answers into
tables; what is common to all (closed bars, duplicates, revisions, storing) is done once, above it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import polars as pl
from pydantic import Field

from truefill.config.fields import Moment
from truefill.core import extras
from truefill.core.errors import TruefillError, UsageError
from truefill.core.registry import Params, Registry
from truefill.data.snapshots import Kind

PRICES = ("open", "high", "low", "close", "volume")
UTC_US = pl.Datetime("us", "UTC")


class FetchError(TruefillError):
    """A source did not give what was asked for; what is stored stays as it was."""


class Period(Params):
    """Parameters of every source that is asked for a period."""

    start: Moment = Field(description="first moment wanted (date or ISO timestamp)")
    end: Moment | None = Field(None, description="end, exclusive; null = now")


@dataclass(frozen=True)
class About:
    """What a source will hand out.

    Attributes:
        kind: bars are stamped with their START; a row of the other kinds stands at its moment.
        symbol: whose rows they are.
        interval_s: of bars; None for the other kinds.
        columns: beside ``timestamp``, all float64.
        request: what else decides the content, JSON-able, without secrets, dates and paths.
        whole: everything is asked for every time, since old rows are restated by design (adjusted
            prices), or since asking costs nothing (a folder).
        tolerance: fraction by which two answers may differ and still be the same.
        final_after_s: seconds after its stamp at which a row is final; None = ``interval_s``, or
            the stamp itself for rows that are no bars.
    """

    kind: Kind
    symbol: str
    interval_s: float | None
    columns: tuple[str, ...]
    request: dict[str, Any]
    whole: bool = False
    tolerance: float = 0.0
    final_after_s: float | None = None

    @property
    def length_s(self) -> float:
        """Seconds after its stamp at which a row is final."""
        return self.final_after_s if self.final_after_s is not None else self.interval_s or 0.0


class Source(Protocol):
    """One kind of rows of one symbol, from one place."""

    @property
    def about(self) -> About: ...

    def pages(self, start: datetime | None, until: datetime) -> Iterator[pl.DataFrame]:
        """Tables of ``timestamp`` (datetime[us, UTC]) and the columns, in order of time; rows may
        come twice, and a bar may be unclosed. ``start``: none older is needed; None: all."""
        ...


SOURCES: Registry[Callable[[Any], Source]] = Registry("source")


def need_extra(module: str, extra: str) -> Any:
    """Import ``module``. Raises ``UsageError`` that names the extra it comes with."""
    return extras.need_extra(module, extra, where=f"source {extra}")


def need_key(name: str, source: str) -> str:
    """The environment variable ``name``. Raises ``UsageError`` where it is not set."""
    value = os.environ.get(name)
    if not value:
        raise UsageError(
            f"the environment variable {name} is not set",
            where=f"source {source}",
            do=f"set {name} to your key; it is never stored",
        )
    return value


@contextmanager
def asking(source: str, symbol: str, *errors: type[BaseException]) -> Iterator[None]:
    """Turn a library's own errors into a :class:`FetchError` that says whom was asked."""
    try:
        yield
    except errors as error:
        text = " ".join(f"{error}".split())[:300] or type(error).__name__
        raise FetchError(
            f"{type(error).__name__}: {text}",
            where=f"source {source}, {symbol}",
            do="what is stored stays as it was; the same command asks again",
        ) from error


def to_stamps(milliseconds: list[int]) -> pl.Series:
    """Epoch milliseconds as datetime[us, UTC]."""
    return (pl.Series(milliseconds, dtype=pl.Int64) * 1_000).cast(UTC_US)


def table_of(stamps: pl.Series, columns: dict[str, list[Any]]) -> pl.DataFrame:
    """``timestamp`` and float64 columns."""
    values = {name: pl.Series(cells, dtype=pl.Float64) for name, cells in columns.items()}
    return pl.DataFrame({"timestamp": stamps.cast(UTC_US), **values})


def session_dates(stamps: pl.Series, timezone: str) -> pl.Series:
    """Daily bars at 00:00 UTC of their local date, wherever in the day their source stamps them."""
    local = stamps.dt.convert_time_zone(timezone)
    return local.dt.date().cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
