"""How results and errors leave the program: plain words for people, JSON for programs.

With ``--json`` standard output holds exactly one JSON value; everything else goes to stderr.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

from truefill.core.errors import TruefillError

INTERRUPTED = 130


def print_json(value: Any) -> None:
    """``value`` as JSON on standard output."""
    sys.stdout.write(json.dumps(value, indent=2, sort_keys=True, default=str) + "\n")


def guarded(action: Callable[[], int], *, as_json: bool = False) -> int:
    """Run a command; its own exit code, or the one of the error it ended with.

    Errors that truefill raises on purpose are explained and give their code (1 or 2). Anything else
    is a bug and keeps its traceback.
    """
    try:
        return action()
    except TruefillError as error:
        if as_json:
            print_json({**error.as_dict(), "exit_code": error.exit_code})
        else:
            sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; the same command goes on from the last checkpoint\n")
        return INTERRUPTED


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Aligned columns; the last one is not padded, so that long text wraps by itself."""
    widths = [max(len(str(row[i])) for row in [header, *rows]) for i in range(len(header))]
    for row in [header, *rows]:
        cells = [str(cell).ljust(width) for cell, width in zip(row[:-1], widths, strict=False)]
        sys.stdout.write("  ".join([*cells, str(row[-1])]).rstrip() + "\n")


def human_time(seconds: float) -> str:
    """``42 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def human_bytes(count: float) -> str:
    """``512 B``, ``3.4 MB``, ``1.2 GB`` (powers of 1000)."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError("unreachable")
