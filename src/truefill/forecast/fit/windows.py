"""Windows without copies: all histories lie once in one table, and a window is a place in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from truefill.core.errors import DataError
from truefill.forecast.baselines.base import History
from truefill.forecast.labels.base import Floats, Ints
from truefill.market.types import Array

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Standard:
    """Mean and standard deviation (population) of each input, f64[F]; 1 for a constant one."""

    mean: Floats
    std: Floats

    @staticmethod
    def of(features: Floats) -> Standard:
        """Of rows f64[n, F], summed one after another: the same bits everywhere."""
        n = len(features)
        mean = np.add.reduce(features, axis=0) / n
        std = np.sqrt(np.add.reduce((features - mean) ** 2, axis=0) / n)
        constant = features.max(axis=0) == features.min(axis=0)
        return Standard(np.where(constant, features[0], mean), np.where(constant, 1.0, std))

    def apply(self, features: Floats) -> F32:
        """Standardized, float32."""
        return np.asarray((features - self.mean) / self.std, np.float32)


@dataclass(frozen=True)
class Table:
    """The bars of all histories, one symbol's after the other's. features f64[T, F]; ``at`` i32[n]:
    where the asked rows lie in it, history after history."""

    features: Floats
    at: I32

    @staticmethod
    def of(histories: Sequence[History], window: int, names: Sequence[str] = ()) -> Table:
        """Of histories; what no asked window holds is 0.

        Raises:
            DataError: ``short_window``: a row has fewer bars than the window up to it;
                ``feature_value``: a feature inside an asked window is not finite; ``no_rows``.
        """
        parts, at, begin = [], [], 0
        for own in histories:
            inside = _inside(own, window)
            _require_finite(own, inside, names)
            parts.append(np.where(inside[:, None], own.features, 0.0))
            at.append(begin + own.rows)
            begin += len(own.features)
        if not sum(map(len, at)):
            raise DataError("no_rows", f"none of {len(histories)} histories asks for a row")
        return Table(np.concatenate(parts), np.concatenate(at).astype(np.int32))

    def seen(self, which: Ints, window: int) -> Floats:
        """f64[m, F]: the rows inside the windows of ``which`` of the asked rows, each once."""
        return self.features[_covered(self.at[which], window, len(self.features))]


def _inside(own: History, window: int) -> npt.NDArray[np.bool_]:
    """bool[T]: the bars that lie in an asked window."""
    if len(own.rows) and own.rows.min() < window - 1:
        row = int(own.rows.min())
        raise DataError(
            "short_window",
            f"row {row} of {own.symbol} has {row + 1} bars, a window has {window}",
            do=f"ask for rows from {window - 1} on",
        )
    return _covered(own.rows, window, len(own.features))


def _covered(at: npt.NDArray[np.integer], window: int, size: int) -> npt.NDArray[np.bool_]:
    steps = np.zeros(size + 1, np.int64)
    np.add.at(steps, at - (window - 1), 1)
    np.add.at(steps, at + 1, -1)
    return np.cumsum(steps[:-1]) > 0


def _require_finite(own: History, inside: npt.NDArray[np.bool_], names: Sequence[str]) -> None:
    bad = ~np.isfinite(own.features) & inside[:, None]
    if not bad.any():
        return
    row, column = (int(i) for i in np.argwhere(bad)[0])
    told = names[column] if names else f"feature {column}"
    raise DataError(
        "feature_value",
        f"{told} of {own.symbol} is {own.features[row, column]} on row {row} (bar start "
        f"{int(own.bars.timestamps_s[row])}), inside a window; {int(bad.sum()):,} such values",
        do="leave the rows out whose windows hold it",
    )


def rounded(n: int) -> int:
    """The least m 2^k >= n with 8 <= m <= 16: at most an eighth more, and few different ones, so
    that tables of nearly one size share a compiled program.

    >>> [rounded(n) for n in (1, 17, 100, 1000)]
    [1, 18, 104, 1024]
    """
    step = max(1, 1 << max(0, (n - 1).bit_length() - 4))
    return -(-n // step) * step


def padded(values: npt.NDArray, size: int) -> npt.NDArray:
    """``values`` with zeros behind, up to ``size`` rows."""
    out = np.zeros((size, *values.shape[1:]), values.dtype)
    out[: len(values)] = values
    return out


def take(table: Array, at: Array, window: int) -> Array:
    """Windows [window, F, n] that end at rows ``at`` [n] of ``table`` [T, F]."""
    places = at[None, :] - (window - 1) + jnp.arange(window, dtype=at.dtype)[:, None]
    found = table.at[places].get(mode="promise_in_bounds")
    return jnp.swapaxes(found, 1, 2)


@partial(jax.jit, static_argnums=2)
def windows(table: Array, at: Array, window: int) -> Array:
    """:func:`take`, compiled."""
    return take(table, at, window)
