"""The registry of checks, and the tally that each of them keeps.

A check is one file in ``audit/checks``, registered with its stage and with what it proves. A later
stage of the system (forecasts, recurrent state) adds a file of its own and is covered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from truefill.audit.case import Case
from truefill.audit.evidence import Moved, Timed, count_known, differ, moment, moved
from truefill.audit.mutations import NOT_FINITE, differs
from truefill.core.errors import TruefillError
from truefill.data.inputs import Inputs

MAX_FINDINGS = 200
"""Findings that a check keeps: one an item, with the first cut and mutation that found it."""
MAX_NAMED = 5
"""Items that a sentence names."""
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
    """What a check did and found.

    A comparison proves something only where the change was one, could be computed, and reached the
    stage that is looked at. A check of which that cannot be said is inconclusive, never passed.
    """

    check: str
    stage: str
    progress: Progress = lambda done, planned: None
    cuts: set[int] = field(default_factory=set)
    mutations: dict[str, int] = field(default_factory=dict)
    """Mutation -> comparisons with it."""
    refused: dict[str, int] = field(default_factory=dict)
    """Mutation -> cuts at which the changed data were refused: neither a leak nor a proof."""
    unchanged: dict[str, int] = field(default_factory=dict)
    """Mutation -> cuts at which it changed nothing: no proof either."""
    reasons: dict[str, str] = field(default_factory=dict)
    """Mutation -> why it was refused first."""
    reacted: int = 0
    """Comparisons in which the change moved something that became known after the cut."""
    values: int = 0
    """Values that were compared."""
    notes: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    """What a check itself says against its having proven anything."""
    absent: str = ""
    """Why there is nothing to check."""
    findings: dict[str, Finding] = field(default_factory=dict)
    done: int = 0
    planned: int = 0
    _refused_cuts: set[int] = field(default_factory=set)
    _items: dict[str, list[int]] = field(default_factory=dict)
    """Item -> how often it was compared, and how often it could not be computed."""

    @property
    def comparisons(self) -> int:
        return sum(self.mutations.values())

    @property
    def result(self) -> str:
        if self.findings:
            return "leak"
        if self.absent and not self.comparisons and not self.refused:
            return "not applicable"
        return "inconclusive" if self.shortcomings() else "passed"

    def shortcomings(self) -> list[str]:
        """Why what was compared is no proof, in sentences. That numbers which are none are refused
        is no doubt by itself: most stages must."""
        refused = sum(n for how, n in self.refused.items() if how not in NOT_FINITE)
        bare = sorted(self._refused_cuts - self.cuts)
        lost = sorted(item for item, (had, gone) in self._items.items() if gone > had)
        found = list(self.doubts)
        if not self.comparisons or not self.values:
            found.append("nothing was compared")
        elif not self.reacted:
            found.append("no change moved anything after a cut either: none reached this stage")
        if refused > self.comparisons:
            found.append(f"{refused} of {refused + self.comparisons} changes were refused")
        if bare:
            found.append(f"at {len(bare)} cuts, {moment(bare[0])} first, every change was refused")
        if lost:
            names = ", ".join(lost[:MAX_NAMED]) + (", ..." if len(lost) > MAX_NAMED else "")
            found.append(f"refused more often than compared: {names}")
        return found

    def plan(self, comparisons: int) -> None:
        self.planned += comparisons

    def refuse(self, cut_s: int, mutation: str, error: TruefillError) -> None:
        """The changed data were refused."""
        self.reasons.setdefault(mutation, error.what)
        self.refused[mutation] = self.refused.get(mutation, 0) + 1
        self._refused_cuts.add(cut_s)
        self._step()

    def skip(self, mutation: str) -> None:
        """The change was none."""
        self.unchanged[mutation] = self.unchanged.get(mutation, 0) + 1
        self._step()

    def compare(
        self,
        cut_s: int,
        mutation: str,
        before: Sequence[Timed],
        after: Sequence[Timed],
        *,
        reacted: bool | None = None,
    ) -> None:
        """Whatever is known at ``cut_s`` must be the same in both; ``reacted``: whether the change
        moved anything later, where the evidence does not tell."""
        self.cuts.add(cut_s)
        self.mutations[mutation] = self.mutations.get(mutation, 0) + 1
        self.reacted += differ(before, after) if reacted is None else reacted
        gone = {timed.item for timed in (*before, *after) if timed.refused}
        for item in sorted(gone):  # the same audit gives the same bytes
            self.reasons.setdefault(mutation, f"{item} cannot be computed")
        for timed in before:
            self._items.setdefault(timed.item, [0, 0])[timed.item in gone] += 1
        self.values += count_known([t for t in before if t.item not in gone], cut_s)
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

    def _remarks(self) -> list[str]:
        """What is said beside the figures, and why nothing was proven where nothing was."""
        result = self.result
        said = {*self.notes, *(self.shortcomings() if result == "inconclusive" else [])}
        return sorted(said | ({self.absent} if result == "not applicable" else set()))

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
            "unchanged": dict(sorted(self.unchanged.items())),
            "comparisons": self.comparisons,
            "reacted": self.reacted,
            "values_compared": self.values,
            "notes": self._remarks(),
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
    case: Case,
    tally: Tally,
    inputs: Inputs,
    produce: Callable[[Inputs], Sequence[Timed]],
    cuts: Iterable[int],
    mutations: Sequence[str],
) -> None:
    """Every mutation at every cut, against what ``produce`` makes of ``inputs`` as they are."""
    cuts = list(cuts)
    tally.plan(len(cuts) * len(mutations))
    before = produce(inputs)
    for cut in cuts:
        for how in mutations:
            changed = case.changed(inputs, cut, how)
            if not differs(inputs, changed):
                tally.skip(how)
                continue
            try:
                after = produce(changed)
            except TruefillError as error:
                tally.refuse(cut, how, error)
                continue
            tally.compare(cut, how, before, after)
