"""Statistics of every window of a series, each put together of windows half as long.

All windows of one length are made at once, so a value costs log2(window) steps, and it depends on
the values of its window alone, wherever that lies. Means and deviations are merged by the formulas
of Chan, Golub and LeVeque (1979), in which constant values have a mean of exactly the value and a
deviation of exactly 0.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Parts = tuple[Floats, ...]
"""Statistics of windows, an array each. Single values have no more than themselves."""
Merge = Callable[[Parts, int, Parts, int, Parts], None]
"""``merge(a, na, b, nb, out)`` writes those of ``na`` values followed by ``nb`` to ``out``."""

_kept = threading.local()


def sums(joined: Floats, window: int) -> Floats:
    """f64[n] of ``joined`` f64[window - 1 + n]; element j is that of the values from j on."""
    return _merged(joined, window, 1, _sums)[0].copy()


def means(joined: Floats, window: int) -> Floats:
    """As :func:`sums`."""
    return _merged(joined, window, 1, _means)[0].copy()


def squares(joined: Floats, window: int) -> Floats:
    """Sums of squared distances from the mean, as :func:`sums`."""
    return 0.0 * joined if window == 1 else _merged(joined, window, 2, _squares)[1].copy()


def squares_and_cubes(joined: Floats, window: int) -> Parts:
    """Sums of squared and of cubed distances from the mean, as :func:`sums`; ``window`` 2 at
    least."""
    _, second, third = _merged(joined, window, 3, _cubes)
    return second.copy(), third.copy()


def extremes(joined: Floats, window: int, take: np.ufunc) -> Floats:
    """Largest or smallest (``take``: maximum, minimum), as :func:`sums`."""
    joined = joined + 0.0  # zero has one sign only
    have = 1
    while have < window:  # of windows twice as long, or as long as is needed: they may overlap
        step = min(have, window - have)
        joined = take(joined[step:], joined[:-step])
        have += step
    return joined


def _merged(joined: Floats, window: int, parts: int, merge: Merge) -> Parts:
    """Statistics of every ``window`` neighbours of ``joined``, in memory that the next call of the
    thread writes to."""
    halves: Parts = (joined,)
    found: Parts = (joined,)
    size, done = 1, window & 1
    spare = _room(parts, len(joined))
    turn = [0, 0]
    while 2 * size <= window:
        count = len(halves[0]) - size
        out = _from(spare[turn[0]], 0, count)
        merge(_from(halves, 0, count), size, _from(halves, size, count), size, out)
        halves, size, turn[0] = out, 2 * size, 1 - turn[0]
        if window & size and done:
            count = len(halves[0]) - done
            out = _from(spare[2 + turn[1]], 0, count)
            merge(_from(found, 0, count), done, _from(halves, done, count), size, out)
            found, turn[1] = out, 1 - turn[1]
        elif window == size:
            return halves
        elif window & size:
            found = _from(spare[3], 0, count)
            for part, half in zip(found, halves, strict=True):
                part[:] = half
        done += window & size
    return found


def _room(parts: int, length: int) -> list[Parts]:
    """Four times ``parts`` arrays of ``length`` at least, the thread's own: threads that ask the
    system for memory at every step wait for each other."""
    known: list[Parts] = getattr(_kept, "room", [])
    if not known or len(known[0]) < parts or len(known[0][0]) < length:
        known = [tuple(np.empty(length) for _ in range(parts)) for _ in range(4)]
        _kept.room = known
    return [arrays[:parts] for arrays in known]


def _from(parts: Parts, start: int, count: int) -> Parts:
    return tuple(part[start : start + count] for part in parts)


def _sums(a: Parts, na: int, b: Parts, nb: int, out: Parts) -> None:
    np.add(a[0], b[0], out=out[0])


def _means(a: Parts, na: int, b: Parts, nb: int, out: Parts) -> None:
    mean = out[0]
    if na == nb:
        np.add(a[0], b[0], out=mean)
        mean *= 0.5
        return
    np.subtract(b[0], a[0], out=mean)
    mean *= nb / (na + nb)
    mean += a[0]


def _squares(a: Parts, na: int, b: Parts, nb: int, out: Parts) -> None:
    """Means, and sums of squared distances from them."""
    mean, squares = out[:2]
    step = np.subtract(b[0], a[0], out=mean)
    np.multiply(step, step, out=squares)
    squares *= na * nb / (na + nb)
    if na > 1:
        squares += a[1]
    if nb > 1:
        squares += b[1]
    step *= nb / (na + nb)
    mean += a[0]


def _cubes(a: Parts, na: int, b: Parts, nb: int, out: Parts) -> None:
    """Means, and sums of squared and cubed distances from them."""
    n = na + nb
    step, spare, cubes = out
    np.subtract(b[0], a[0], out=step)
    cubes[:] = 0.0
    if nb > 1:
        np.multiply(b[1], na / n, out=cubes)
    if na > 1:
        cubes -= np.multiply(a[1], nb / n, out=spare)
    cubes *= 3.0
    if na != nb:
        np.multiply(step, step, out=spare)
        spare *= na * nb * (na - nb) / (n * n)
        cubes += spare
    cubes *= step
    if na > 1:
        cubes += a[2]
    if nb > 1:
        cubes += b[2]
    _squares(a, na, b, nb, out)
