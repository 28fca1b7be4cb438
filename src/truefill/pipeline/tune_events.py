"""What a search tells whoever watches it, and its log."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

State = Literal["waiting", "running", "complete", "pruned", "failed"]
ENDS: tuple[State, ...] = ("complete", "pruned", "failed")


@dataclass(frozen=True)
class TuneEvent:
    """What a search tells whoever watches it.

    Attributes:
        kind: ``line`` (a sentence for people and the log) or ``trial`` (one moved on).
        text: of a line.
        trial: number of the trial.
        state: of the trial.
        value: of a complete trial; of a running one the latest validation Sortino ratio.
        seed: the seed it is at.
        done, total: training steps of the trial, over its seeds.
        reason: why it was pruned or failed.
        finished, trials: of the study.
        best: number and value of the best complete trial so far.
        eta_s: seconds to the end of the study at the present rate.
    """

    kind: Literal["line", "trial"]
    text: str = ""
    trial: int = 0
    state: State = "waiting"
    value: float | None = None
    seed: int | None = None
    done: int = 0
    total: int = 0
    reason: str | None = None
    finished: int = 0
    trials: int = 0
    best: tuple[int, float] | None = None
    eta_s: float | None = None


Report = Callable[[TuneEvent], None]


@dataclass
class Teller:
    """Counts trials, knows the best, and tells of both; sentences go into ``log`` too.

    ``steps``: training steps of a trial.
    """

    report: Report
    log: Path
    steps: int
    trials: int = 0
    finished: int = 0
    best: tuple[int, float] | None = None
    ended: set[int] = field(default_factory=set)
    """Trials that this call brought to an end."""
    began: float = field(default_factory=time.monotonic)

    def line(self, text: str) -> None:
        """A sentence for people and the log."""
        if not text:
            return
        self.report(TuneEvent("line", text))
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        with self.log.open("a", encoding="utf-8") as file:
            file.write(f"{stamp} tune: {text}\n")

    def moved(
        self,
        trial: int,
        state: State,
        *,
        value: float | None = None,
        seed: int | None = None,
        done: int = 0,
        reason: str | None = None,
    ) -> None:
        """A trial waits, runs or has ended."""
        self.report(
            TuneEvent(
                "trial",
                trial=trial,
                state=state,
                value=value,
                seed=seed,
                done=done,
                total=self.steps,
                reason=reason,
                finished=self.finished,
                trials=self.trials,
                best=self.best,
                eta_s=self._eta_s(),
            )
        )

    def over(
        self,
        trial: int,
        state: State,
        *,
        value: float | None,
        reason: str | None,
        done: int = 0,
        earlier: bool = False,
    ) -> None:
        """A trial has come to its end, now or in an ``earlier`` call; told once."""
        if trial in self.ended:
            return
        self.finished += 1
        if value is not None and (self.best is None or value > self.best[1]):
            self.best = (trial, value)
        if not earlier:
            self.ended.add(trial)
            what = f"value {value:.6g}" if value is not None else reason
            self.line(f"trial {trial} {state}: {what}")
        self.moved(trial, state, value=value, reason=reason, done=done)

    def _eta_s(self) -> float | None:
        if not self.ended:
            return None
        spent = time.monotonic() - self.began
        return spent / len(self.ended) * (self.trials - self.finished)
