"""How far a fit has come, and the checkpoint it goes on from."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from truefill.config.forecast import FitConfig
from truefill.core.errors import ArtifactError
from truefill.core.files import read_arrays, write_arrays
from truefill.forecast.fit.epoch import Learned
from truefill.nn.checkpoint import flatten, unflatten


@dataclass
class Course:
    """What the epochs have told so far; part of every checkpoint."""

    batch_size: int
    history: list[dict[str, Any]] = field(default_factory=list)
    best: float | None = None
    """The best metric on the holdout."""
    best_epoch: int = 0
    since_best: int = 0
    plateau: float = 1.0
    """What the plateau schedule has made of the learning rate."""
    since_cut: int = 0
    """Epochs without a better metric since the rate was last cut, or was better."""
    stopped: str | None = None
    """Why the fit has ended: epochs or patience."""

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return len(self.history)

    def judge(self, fit: FitConfig, metric: float | None) -> bool:
        """Book an epoch's metric (None: not defined); is it the best so far?"""
        stopping = fit.early_stopping
        sign = -1.0 if stopping is not None and stopping.mode == "max" else 1.0
        delta = 0.0 if stopping is None else stopping.min_delta
        better = metric is not None and (
            self.best is None or sign * metric < sign * self.best - delta
        )
        if better:
            self.best, self.best_epoch, self.since_best, self.since_cut = metric, self.epoch, 0, 0
            return True
        self.since_best += 1
        self.since_cut += 1
        schedule = fit.schedule
        if schedule.kind == "plateau" and self.since_cut >= schedule.patience_epochs:
            self.plateau *= schedule.factor
            self.since_cut = 0
        if stopping is not None and self.since_best >= stopping.patience_epochs:
            self.stopped = "patience"
        return False


@dataclass
class State:
    """All that decides how a fit goes on. ``kept``: the weights of the best epoch, once there is
    one."""

    learned: Learned
    kept: Any
    course: Course

    def save(self, path: Path, task_sha256: str) -> None:
        """Write the checkpoint, whole or not at all."""
        arrays = {**flatten(self.learned, "learned"), **flatten(self.kept, "kept")}
        text = json.dumps(asdict(self.course), allow_nan=False)
        write_arrays(path, arrays, {"task_sha256": task_sha256, "course": text})

    def load(self, path: Path, task_sha256: str) -> State:
        """The checkpoint's state, in the shapes of this one.

        Raises:
            ArtifactError: it is damaged, or of another task, data or seed.
        """
        arrays, told = read_arrays(path)
        if told.get("task_sha256") != task_sha256:
            raise ArtifactError(
                "the checkpoint is of another fit: task, train rows or seed differ",
                where=str(path),
                do="delete it to begin anew, or fit what it was made for",
            )
        course = Course(**json.loads(told["course"]))
        learned = unflatten(self.learned, arrays, "learned", str(path))
        kept = unflatten(self.learned.weights, arrays, "kept", str(path))
        return State(learned, kept, course)


def copied(tree: Any) -> Any:
    """The same values in arrays of their own, which outlive a donation."""
    return jax.tree.map(jnp.copy, tree)
