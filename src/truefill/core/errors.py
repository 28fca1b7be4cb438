"""Every error truefill raises on purpose, each with the exit code the command line gives it.

An error says *what* is wrong, *where* (file, row, column, key) and *what to do*.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class TruefillError(Exception):
    """The run failed. ``what`` happened ``where``, and what to ``do`` about it."""

    exit_code = 1

    def __init__(self, what: str, *, where: str = "", do: str = "") -> None:
        self.what = what
        self.where = where
        self.do = do
        super().__init__(str(self))

    def __str__(self) -> str:
        parts = [f"{self.where}: {self.what}" if self.where else self.what]
        if self.do:
            parts.append(f"  -> {self.do}")
        return "\n".join(parts)

    def as_dict(self) -> dict[str, str]:
        """The same facts for ``--json``."""
        return {
            "error": type(self).__name__,
            "what": self.what,
            "where": self.where,
            "do": self.do,
        }


class UsageError(TruefillError):
    """Bad usage of a command or function."""

    exit_code = 2


class ConfigError(UsageError):
    """The configuration is wrong; nothing has been run."""


class DataError(TruefillError):
    """Input data break a rule. ``rule`` is the rule's name."""

    def __init__(self, rule: str, what: str, *, where: str = "", do: str = "") -> None:
        self.rule = rule
        super().__init__(f"[{rule}] {what}", where=where, do=do)

    def as_dict(self) -> dict[str, str]:
        return {**super().as_dict(), "rule": self.rule}


class ArtifactError(TruefillError):
    """An artifact is missing, changed or half-written."""


class SealedTestError(TruefillError):
    """Something tried to read test rows before the test was opened."""


class PolicyError(TruefillError):
    """A policy bundle was asked for something outside its contract."""


class NonFiniteError(TruefillError):
    """Training produced a NaN or an infinity; the message names the tensor."""


class WorkerError(TruefillError):
    """A worker process died or stopped making progress."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``"Did you mean 'x'?"``, or the list of what is known when nothing is near."""
    known = sorted(known)
    near = get_close_matches(name, known, n=1, cutoff=0.6)
    if near:
        return f"Did you mean '{near[0]}'?"
    return "Known: " + ", ".join(known) if known else "Nothing is known here."
