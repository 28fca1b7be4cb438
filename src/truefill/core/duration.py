"""Durations written as text: ``90s``, ``5m``, ``4h``, ``1d``, ``1w``."""

from __future__ import annotations

import re

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_PATTERN = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")


def parse_duration_s(text: str | int | float) -> float:
    """Seconds in a duration.

    >>> parse_duration_s("5m")
    300.0
    """
    if isinstance(text, int | float) and not isinstance(text, bool):
        return float(text)
    match = _PATTERN.fullmatch(str(text).strip())
    if match is None:
        raise ValueError(f"{text!r} is not a duration; write e.g. 90s, 5m, 4h, 1d")
    return float(match[1]) * _UNITS[match[2]]
