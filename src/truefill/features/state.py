"""What a streaming object carries from bar to bar, as plain numbers and arrays.

State lies in attributes. :meth:`Stateful.state` copies it out, :meth:`Stateful.restore` puts it
into an object made with the same parameters; from there on both give the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from truefill.core.registry import Entry

_PLAIN = (bool, int, float, str, type(None))
_GIVEN = (BaseModel, Entry)
"""What whoever restores has already: parameters, and the registered plug-in itself."""


class Stateful:
    """Its attributes are numbers, arrays, parameters, other such objects, or lists of these."""

    def state(self) -> dict[str, Any]:
        """A copy of the state: nested dicts and lists of numbers, text and arrays.

        Parameters are left out: whoever restores has them already.
        """
        return {name: _copy(value, name) for name, value in self._carried().items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take a state over; ``ValueError`` when it is that of something else."""
        mine = self._carried()
        if set(mine) != set(state):
            raise ValueError(
                f"a {type(self).__name__} keeps {', '.join(sorted(mine))}, "
                f"the state has {', '.join(sorted(state))}"
            )
        for name, value in state.items():
            setattr(self, name, _put(mine[name], value, name))

    def _carried(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if not isinstance(value, _GIVEN)}


def _copy(value: Any, name: str) -> Any:
    if isinstance(value, Stateful):
        return value.state()
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list | tuple):
        return [_copy(item, name) for item in value]
    if isinstance(value, dict):
        return {key: _copy(item, name) for key, item in value.items()}
    if isinstance(value, _PLAIN):
        return value
    raise TypeError(f"attribute {name} holds a {type(value).__name__}, which no state can carry")


def _put(old: Any, new: Any, name: str) -> Any:
    """``new`` in the shape of ``old``: objects with a state are filled, not replaced."""
    if isinstance(old, Stateful):
        old.restore(new)
        return old
    if isinstance(old, list | tuple) and any(isinstance(item, Stateful) for item in old):
        return type(old)(_put(a, b, name) for a, b in zip(old, new, strict=True))
    if isinstance(old, dict) and any(isinstance(item, Stateful) for item in old.values()):
        return {key: _put(old[key], value, name) for key, value in new.items()}
    return tuple(new) if isinstance(old, tuple) else _copy(new, name)


def pack(state: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """A state as JSON-able data and named arrays (``numpy.savez``); :func:`unpack` undoes it."""
    arrays: dict[str, npt.NDArray[Any]] = {}

    def walk(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {"dict": {key: walk(item) for key, item in value.items()}}
        if isinstance(value, list | tuple):
            return {"list": [walk(item) for item in value]}
        number = isinstance(value, float) and not isfinite(value)
        if number or isinstance(value, np.ndarray):
            name = f"a{len(arrays)}"
            arrays[name] = np.array(value)
            return {"number" if number else "array": name}
        return value

    return walk(state), arrays


def unpack(packed: Any, arrays: Mapping[str, npt.NDArray[Any]]) -> Any:
    """The state that :func:`pack` was given."""
    if not isinstance(packed, Mapping):
        return packed
    [(kind, value)] = packed.items()
    if kind == "dict":
        return {key: unpack(item, arrays) for key, item in value.items()}
    if kind == "list":
        return [unpack(item, arrays) for item in value]
    return float(arrays[value]) if kind == "number" else np.array(arrays[value])
