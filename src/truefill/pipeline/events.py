"""What a run tells whoever watches it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Event:
    """One message of a run in progress.

    Attributes:
        kind: ``stage`` (a stage starts, ends or is skipped), ``progress`` (a seed's training moved
            on), ``line`` (a sentence for people and the log).
        stage: ``check``, ``dataset``, ``train``, ``validate``, ``test``, ``verdict`` or ``report``.
        text: what happened, in words.
        seed: the seed a ``progress`` event is about.
        done: environment steps made so far.
        total: environment steps to make; 0 where there is no count.
        rate: environment steps a second, 0 while unknown.
        score: current validation score; None before the first evaluation.
    """

    kind: Literal["stage", "progress", "line"]
    stage: str
    text: str = ""
    seed: int | None = None
    done: int = 0
    total: int = 0
    rate: float = 0.0
    score: float | None = None

    @property
    def eta_s(self) -> float | None:
        """Seconds to the end at the current rate; None while it is unknown."""
        if self.rate <= 0.0 or self.total <= 0:
            return None
        return max(self.total - self.done, 0) / self.rate
