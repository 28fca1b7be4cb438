"""Whose fault it is when a calculator fails: of a user's file, told with file and line.

What one of truefill's own calculators raises is a bug of ours, and stays what it is.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

import numpy as np

from truefill.core import plugins
from truefill.core.errors import ConfigError
from truefill.core.registry import Entry
from truefill.features.base import Calculator

user_file = plugins.file_of
"""The user's file that made a calculator; None for one of truefill's."""


def blamed(entry: Entry[Calculator], feature: str) -> AbstractContextManager[None]:
    """Within it, whatever a user's calculator raises becomes a ``ConfigError``."""
    return plugins.blamed(entry, f"features.{feature}")


def require_column(entry: Entry[Calculator], values: object, bars: int) -> None:
    """Refuse what is not one float64 a bar."""
    what = type(values).__name__
    if isinstance(values, np.ndarray):
        if values.dtype == np.float64 and values.shape == (bars,):
            return
        what = f"{values.dtype}[{', '.join(f'{n:,}' for n in values.shape)}]"
    path = user_file(entry)
    raise ConfigError(
        f"{entry.name} gave {what} for {bars:,} bars",
        where=f"calculator {entry.name}" + (f" of {path.name}" if path else ""),
        do="return float64[n], one value a bar",
    )


def repair(entry: Entry[Calculator]) -> str:
    """What to do about a value that is missing."""
    path = user_file(entry)
    if path is None:
        return "repair the column it reads"
    return (
        f"repair the column it reads, or {path.name}: leading bars without a value are its warmup, "
        "all others have one"
    )
