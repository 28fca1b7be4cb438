"""The registry of checks, and the tally that each of them keeps.

A check is one file in ``audit/checks``, registered with its stage and with what it proves. A later
stage of the system (forecasts, recurrent state) adds a file of its own and is covered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from truefill.audit.case import Case
from truefill.audit.evidence import Moved, Timed, count_known, moment, moved
from truefill.audit.mutations import mutate
from truefill.core.errors import TruefillError
from truefill.data.inputs import Inputs

MAX_FINDINGS = 200
"""Findings that a check keeps: one an item, with the first cut and mutation that found it."""
Progress = Callable[[int, int], None]
"""Called with comparisons done and planned."""


@dataclass(frozen=True)
class Finding:
    """A leak: what moved, where it was cut, what was changed."""

    check: str
    stage: str
    item: str
    cut: str
    mutation: str
    known: str
    before: str
    after: str

    def sentence(self) -> str:
        """For people: stage, item, cut and mutation."""
        return (
            f"{self.stage}: {self.item}, known by {self.known}, moved when what follows {self.cut} "
            f"was changed ({self.mutation}): {self.before} -> {self.after}"
        )


@dataclass
class Tally:
    """What a check did and found."""

    check: str
    stage: str
    progress: Progress = lambda done, planned: None
    cuts: set[int] = field(default_factory=set)
    mutations: dict[str, int] = field(default_factory=dict)
    """Mutation -> comparisons with it."""
    refused: dict[str, int] = field(default_factory=dict)
    """Mutation -> cuts at which the changed data were refused: neither a leak nor a proof."""
    reasons: dict[str, str] = field(default_factory=dict)
    """Mutation -> why it was refused first."""
    values: int = 0
    """Values that were compared."""
    notes: list[str] = field(default_factory=list)
    findings: dict[str, Finding] = field(default_factory=dict)
    done: int = 0
    planned: int = 0

    @property
    def comparisons(self) -> int:
        return sum(self.mutations.values())

    @property
    def result(self) -> str:
        if self.findings:
            return "leak"
        if self.comparisons:
            return "passed"
        return "inconclusive" if self.refused or not self.notes else "not applicable"

    def plan(self, comparisons: int) -> None:
        self.planned += comparisons

    def refuse(self, mutation: str, error: TruefillError) -> None:
        self.reasons.setdefault(mutation, error.what)
        self.refused[mutation] = self.refused.get(mutation, 0) + 1
        self._step()

    def compare(
        self, cut_s: int, mutation: str, before: Sequence[Timed], after: Sequence[Timed]
    ) -> None:
        """Whatever is known at ``cut_s`` must be the same in both."""
        self.cuts.add(cut_s)
        self.mutations[mutation] = self.mutations.get(mutation, 0) + 1
        self.values += count_known(before, cut_s)
        for timed in after:
            if timed.refused:
                self.reasons.setdefault(mutation, f"{timed.item} cannot be computed")
        for found in moved(before, after, cut_s):
            self.add(cut_s, mutation, found)
        self._step()

    def add(self, cut_s: int, mutation: str, found: Moved) -> None:
        """Keep a finding, if it is the first of its item."""
        if found.item not in self.findings and len(self.findings) < MAX_FINDINGS:
            self.findings[found.item] = Finding(
                self.check, self.stage, found.item, moment(cut_s), mutation,
                moment(found.known_s), found.before, found.after,
            )  # fmt: skip

    def _step(self) -> None:
        self.done += 1
        self.progress(self.done, max(self.planned, self.done))

    def as_dict(self, proves: str) -> dict[str, Any]:
        """The check's part of the certificate."""
        return {
            "check": self.check,
            "stage": self.stage,
            "proves": proves,
            "result": self.result,
            "cuts": len(self.cuts),
            "mutations": dict(sorted(self.mutations.items())),
            "refused": dict(sorted(self.refused.items())),
            "refused_because": dict(sorted(self.reasons.items())),
            "comparisons": self.comparisons,
            "values_compared": self.values,
            "notes": sorted(set(self.notes)),
            "findings": [asdict(finding) for finding in self.findings.values()],
        }


@dataclass(frozen=True)
class Audit:
    """One registered check."""

    name: str
    stage: str
    proves: str
    run: Callable[[Case, Tally], None]

    def __call__(self, case: Case, progress: Progress = lambda done, planned: None) -> Tally:
        tally = Tally(self.name, self.stage, progress)
        self.run(case, tally)
        return tally


AUDITS: dict[str, Audit] = {}
"""Every check by name, in the order of the chain."""


def audit(
    name: str, *, stage: str, proves: str
) -> Callable[[Callable[[Case, Tally], None]], Callable[[Case, Tally], None]]:
    """Decorator: register a check under ``name``."""

    def decorate(run: Callable[[Case, Tally], None]) -> Callable[[Case, Tally], None]:
        if name in AUDITS:
            raise ValueError(f"the audit {name!r} is registered twice")
        AUDITS[name] = Audit(name, stage, proves, run)
        return run

    return decorate


def sweep(
    tally: Tally,
    inputs: Inputs,
    produce: Callable[[Inputs], Sequence[Timed]],
    cuts: Iterable[int],
    mutations: Sequence[str],
    interval_s: float,
) -> None:
    """Every mutation at every cut, against what ``produce`` makes of ``inputs`` as they are."""
    cuts = list(cuts)
    tally.plan(len(cuts) * len(mutations))
    before = produce(inputs)
    for cut in cuts:
        for how in mutations:
            try:
                after = produce(mutate(inputs, cut, how, interval_s))
            except TruefillError as error:
                tally.refuse(how, error)
                continue
            tally.compare(cut, how, before, after)
