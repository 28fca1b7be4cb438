"""One finding, and all findings of a reading: what the policy makes of each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn

import polars as pl

from truefill.config.defects import RULES, Policy, Severity, severity_of
from truefill.core.errors import DataError

ROW = "__row__"
"""Column of a table being checked: the row's number in its file."""


@dataclass(frozen=True)
class Finding:
    """``row``: the first row of the defect (1 = first data row); ``others``: further rows."""

    rule: str
    severity: Severity
    what: str
    file: str
    row: int | None = None
    column: str | None = None
    others: int = 0
    do: str = ""

    @property
    def where(self) -> str:
        """File, row and column in words."""
        row = "" if self.row is None else f" row {self.row}"
        return self.file + row + ("" if self.column is None else f" column {self.column}")

    @property
    def text(self) -> str:
        """One line of the warnings in lineage."""
        return f"{self.where}: [{self.rule}] {self.what}{more(self.others + 1)}"

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "rule": self.rule,
            "severity": self.severity,
            "file": self.file,
            "row": self.row,
            "column": self.column,
            "rows": self.others + 1 if self.row is not None else 0,
            "what": self.what,
            "do": self.do,
        }


class DefectError(DataError):
    """A ``DataError`` that keeps the finding it was made of."""

    def __init__(self, finding: Finding, others: int = 0) -> None:
        self.finding = finding
        do = finding.do
        if others:
            rest = f"{others} more finding{'s' if others > 1 else ''}: see `truefill check`"
            do = f"{do}; {rest}" if do else rest
        what = finding.what + more(finding.others + 1)
        super().__init__(finding.rule, what, where=finding.where, do=do)

    def as_dict(self) -> dict[str, str]:
        return {**super().as_dict(), "error": DataError.__name__}


def refuse(
    rule: str,
    what: str,
    *,
    file: str,
    row: int | None = None,
    column: str | None = None,
    do: str = "",
    others: int = 0,
) -> NoReturn:
    """Raise the ``DataError`` that names rule, file, row and column."""
    mend = do or (RULES[rule].mend if rule in RULES else "")
    raise DefectError(Finding(rule, "error", what, file, row, column, others, mend))


def first_row(table: pl.DataFrame, broken: pl.Expr | pl.Series) -> tuple[dict[str, object], int]:
    """The first row where ``broken`` holds, and how many there are (0: an empty row)."""
    found = table.filter(broken)
    return (found.row(0, named=True) if found.height else {}), found.height


def more(count: int) -> str:
    """`` (and 3 more rows)``, or nothing."""
    others = count - 1
    return f" (and {others:,} more row{'s' if others > 1 else ''})" if others > 0 else ""


@dataclass
class Findings:
    """What a reading of one or more files has found, judged by ``policy``.

    ``known``: rows that warnings and records of repairs may tell of, those before the test split;
    errors may tell of all. ``file``: the file being read.
    """

    policy: Policy = field(default_factory=dict)
    known: pl.Expr = field(default_factory=lambda: pl.lit(value=True))
    file: str = ""
    found: list[Finding] = field(default_factory=list)

    def severity(self, rule: str) -> Severity:
        """How ``rule`` is treated here."""
        return severity_of(self.policy, rule)

    def add(
        self,
        rule: str,
        what: str,
        *,
        row: int | None = None,
        column: str | None = None,
        others: int = 0,
        do: str = "",
    ) -> None:
        """Note a defect of the present file."""
        severity = self.severity(rule)
        mend = RULES[rule].repair if severity == "repair" else do or RULES[rule].mend
        self.found.append(Finding(rule, severity, what, self.file, row, column, others, mend))

    def rows(self, rule: str, table: pl.DataFrame) -> pl.DataFrame:
        """The rows of ``table`` (with ``timestamp``) that a finding of ``rule`` may tell of."""
        return table if self.severity(rule) == "error" else table.filter(self.known)

    @property
    def errors(self) -> list[Finding]:
        """In the order in which they were found."""
        return [f for f in self.found if f.severity == "error"]

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Note a refusal inside instead of passing it on: the rest of this file cannot be read."""
        try:
            yield
        except DefectError as refusal:
            self.found.append(refusal.finding)

    def require(self) -> None:
        """Raise the first error, saying how many more there are."""
        if self.errors:
            raise DefectError(self.errors[0], len(self.errors) - 1)

    def kept(self, file: str) -> tuple[Finding, ...]:
        """Warnings and repairs of ``file``, for lineage."""
        return tuple(f for f in self.found if f.file == file and f.severity != "error")
