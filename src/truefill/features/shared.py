"""Steps that several features take on the same bars are taken once.

MACD and its signal line need the same two averages, four volatilities the same returns. A step
(a filter, :class:`~truefill.features.parts.LogReturns`) is a pure function of its state and its
input; so where another step of the same state was given the very same array, its result and its
new state are taken over. Nothing but time changes by that.

Only steps on what the bars themselves hold, and on results of such steps, are looked up: what one
feature made for itself no other one will ask for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from truefill.features.state import Stateful

Floats = npt.NDArray[np.float64]
Self = TypeVar("Self", bound=Stateful)
Input = TypeVar("Input")
_State = dict[str, Any]

_here = threading.local()


class Steps:
    """Steps taken on one portion of a history, by every thread that works on it."""

    def __init__(self, inputs: Iterable[Any]) -> None:
        self.inputs = {id(x): x for x in inputs}
        """Kept alive, so that an id stays that of the same object."""
        self.taken: dict[tuple[type, int], list[tuple[_State, _State, Floats]]] = {}
        """State before, state after and result, by the kind of step and the id of its input."""


@contextmanager
def sharing(steps: Steps) -> Iterator[None]:
    """Within it, this thread takes over what ``steps`` holds and adds what it computes."""
    _here.steps = steps
    try:
        yield
    finally:
        del _here.steps


def shared(push: Callable[[Self, Input], Floats]) -> Callable[[Self, Input], Floats]:
    """Decorator for ``push`` of a step: a :class:`Stateful` that never changes an array of its
    state in place. Its result can no longer be written to."""

    @wraps(push)
    def taken_once(self: Self, x: Input) -> Floats:
        steps: Steps | None = getattr(_here, "steps", None)
        if steps is None or id(x) not in steps.inputs:
            out = push(self, x)
            out.flags.writeable = False
            return out
        key = (type(self), id(x))
        before = _state(self)
        for known, after, out in steps.taken.get(key, ()):
            if _same(known, before):
                _take(self, after)
                return out
        out = push(self, x)
        out.flags.writeable = False
        steps.inputs[id(out)] = out
        steps.taken.setdefault(key, []).append((before, _state(self), out))
        return out

    return taken_once


def _state(step: Stateful) -> _State:
    """Attributes as they are now: arrays are not copied, they are only ever replaced."""
    return {n: _state(v) if isinstance(v, Stateful) else v for n, v in vars(step).items()}


def _take(step: Stateful, state: _State) -> None:
    for name, value in state.items():
        if isinstance(value, dict):
            _take(getattr(step, name), value)
        else:
            setattr(step, name, value)


def _same(one: _State, other: _State) -> bool:
    """Whether two states of one kind of step are equal to the bit."""
    for name, a in one.items():
        b = other[name]
        if a is b:
            continue
        if isinstance(a, dict):
            if not _same(a, b):
                return False
        elif isinstance(a, np.ndarray):
            if len(a) != len(b) or a.tobytes() != b.tobytes():
                return False
        elif repr(a) != repr(b):  # zero has a sign
            return False
    return True
