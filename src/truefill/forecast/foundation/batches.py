"""Contexts for a model, and asking it in batches that shrink when memory ends."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from truefill.core.errors import UsageError
from truefill.forecast.labels.base import Floats, Ints

Singles = npt.NDArray[np.float32]
LEAST = 8
"""Rows in the smallest batch. With fewer, matrix products take other paths through the processor
and a row's last bits move; from 8 on, on one thread, they do not (docs/forecasting.md)."""


def contexts(close: Floats, rows: Ints, length: int) -> Singles:
    """f32[n, length]: log of the closes up to each row's own, over it (the last value is 0); NaN
    where there is no bar yet."""
    logs = np.concatenate([np.full(length - 1, np.nan), np.log(close)])
    found = np.lib.stride_tricks.sliding_window_view(logs, length)[rows]
    return (found - found[:, -1:]).astype(np.float32)


def in_batches(
    ask: Callable[[Singles], Singles],
    asked: Singles,
    batch: int,
    memory_ended: Callable[[BaseException], bool],
    *,
    where: str,
) -> Singles:
    """f32[n, ...]: ``ask`` of the rows f32[n, length], ``batch`` at a time: a power of two, at
    least LEAST; a portion is filled up to the next one. When memory ends it is halved, for good.

    Raises:
        UsageError: memory ends at LEAST rows.
    """
    out: list[Singles] = []
    at = 0
    while at < len(asked):
        part = asked[at : at + batch]
        filled = _filled(part)
        found = _asked(ask, filled, memory_ended)
        if found is not None:
            out.append(found[: len(part)])
            at += len(part)
        elif len(filled) > LEAST:
            batch = len(filled) // 2
        else:
            raise UsageError(
                f"memory ends at a batch of {LEAST} rows",
                where=where,
                do="shorten context_bars, take a smaller model, or another device",
            )
    return np.concatenate(out)


def _asked(
    ask: Callable[[Singles], Singles],
    part: Singles,
    memory_ended: Callable[[BaseException], bool],
) -> Singles | None:
    """None when memory ended; what the failed call held is let go when this returns."""
    try:
        return ask(part)
    except (MemoryError, RuntimeError) as error:
        if not memory_ended(error):
            raise
        return None


def _filled(part: Singles) -> Singles:
    """Up to the next power of two, at least LEAST, with the first row again."""
    size = LEAST
    while size < len(part):
        size *= 2
    return np.concatenate([part, np.repeat(part[:1], size - len(part), axis=0)])
