"""Whose fault it is when a calculator fails: of a user's file, told with file and line.

What one of truefill's own calculators raises is a bug of ours, and stays what it is.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from truefill.core.errors import ConfigError, TruefillError
from truefill.core.registry import Entry
from truefill.features.base import Calculator

PLUGIN = "truefill_plugin_"
"""How the modules begin as which users' files are run."""


def user_file(entry: Entry[Calculator]) -> Path | None:
    """The user's file that made a calculator; None for one of truefill's."""
    made = (entry.facts["running"] or entry.make).__module__
    return Path(str(sys.modules[made].__file__)) if made.startswith(PLUGIN) else None


@contextmanager
def blamed(entry: Entry[Calculator], feature: str) -> Iterator[None]:
    """Within it, whatever a user's calculator raises becomes a ``ConfigError``."""
    path = user_file(entry)
    if path is None:
        yield
        return
    try:
        yield
    except TruefillError:
        raise
    except Exception as error:  # of the user's code: told with its place, nothing is hidden
        raise ConfigError(
            f"{entry.name} failed: {type(error).__name__}: {error}",
            where=f"features.{feature}: {path.name} line {line_of(error, path)}",
            do="repair the file",
        ) from error


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


def line_of(error: Exception, path: Path) -> int:
    """The last line of the file that was at work."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return error.lineno or 0
    frames = traceback.extract_tb(error.__traceback__)
    return next((f.lineno or 0 for f in reversed(frames) if f.filename == str(path)), 0)
