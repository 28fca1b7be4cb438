"""A figure that can be had, or the reason why not. Never an infinity, never a NaN."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True)
class Figure:
    """A finite number, or ``None`` with the reason.

    >>> Figure(1.5).as_json()
    1.5
    >>> Figure.undefined("zero variance").as_json()
    {'value': None, 'reason': 'zero variance'}
    """

    value: float | None
    reason: str | None = None

    def __post_init__(self) -> None:
        if self.value is None:
            if not self.reason:
                raise ValueError("an undefined figure needs a reason")
        elif not math.isfinite(self.value):
            raise ValueError(f"a figure is finite or undefined, not {self.value}")

    @classmethod
    def undefined(cls, reason: str) -> Self:
        return cls(None, reason)

    def as_json(self) -> float | dict[str, str | None]:
        """The number itself, or ``{"value": null, "reason": ...}``."""
        if self.value is None:
            return {"value": None, "reason": self.reason}
        return self.value

    @classmethod
    def from_json(cls, data: Any) -> Self:
        """What :meth:`as_json` wrote.

        Raises:
            ValueError: ``data`` is neither a number nor an undefined figure.
        """
        if isinstance(data, dict):
            return cls(data["value"], data.get("reason"))
        if isinstance(data, bool) or not isinstance(data, int | float):
            raise ValueError(f"{data!r} is not a figure")
        return cls(float(data))


def ratio(numerator: float, denominator: float, reason: str) -> Figure:
    """``numerator / denominator``; undefined with ``reason`` where that is not finite."""
    if denominator == 0.0:
        return Figure.undefined(reason)
    value = numerator / denominator
    return Figure(value) if math.isfinite(value) else Figure.undefined(reason)
