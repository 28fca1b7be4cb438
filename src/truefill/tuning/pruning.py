"""When a trial is stopped early: Optuna's percentile pruner, fed with earlier generations only.

What other workers do at the moment cannot matter, so a study prunes the same trials at the same
steps whatever the number of workers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from truefill.agents.networks import ActorCritic
from truefill.agents.update_log import Row
from truefill.config.search import PruneConfig
from truefill.core.files import read_json, write_json

if TYPE_CHECKING:
    from optuna.study import Study

Series = dict[int, float]
"""Step -> value. A trial's steps go on from seed to seed (:func:`trial_step`)."""
SERIES = ("sortino", "regimes")
WORDS = {"sortino": "Sortino ratio", "regimes": "regime score"}


def trial_step(step: int, every: int, total: int, before: int) -> int:
    """Where an evaluation stands in its trial: at the multiple of ``every`` that it crossed (or at
    the end), so that trials with rollouts of other sizes meet at the same steps; ``before``: steps
    of the seeds before this one."""
    return before + (total if step >= total else step // every * every)


@dataclass
class Percentile:
    """One series of earlier complete trials, in an Optuna study of their own."""

    prune: PruneConfig
    study: Study

    @classmethod
    def of(cls, prune: PruneConfig, earlier: Sequence[Series]) -> Percentile:
        import optuna

        complete = optuna.trial.TrialState.COMPLETE
        study = optuna.create_study(direction="maximize")
        for series in earlier:
            study.add_trial(
                optuna.trial.create_trial(
                    state=complete, value=0.0, intermediate_values=dict(series)
                )
            )
        return cls(prune, study)

    def stops(self, own: Series) -> bool:
        """Is a trial with these values so far to be stopped at its last step?"""
        from optuna.pruners import PercentilePruner
        from optuna.trial import TrialState, create_trial

        pruner = PercentilePruner(
            self.prune.percentile,
            n_startup_trials=self.prune.startup_trials,
            n_warmup_steps=self.prune.from_step,
        )
        trial = create_trial(state=TrialState.RUNNING, intermediate_values=dict(own))
        return pruner.prune(self.study, trial)


@dataclass
class Watch:
    """Judges the evaluations of one seed of a trial; a ``train(judge=...)``.

    What it saw is written to ``path`` with every evaluation, so that a seed which goes on from its
    checkpoint is judged as if it had never stopped.

    Attributes:
        prune: None = only look.
        earlier: by series, what complete trials of earlier generations had.
        before: by series, what this trial's earlier seeds had.
        place: evaluation step of this seed -> step in the trial.
        end: the trial's last step, at which it is complete and nothing is left to prune.
        regime_score: of a network; None where regimes are off or it is undefined.
        every: training steps of this seed between two regime scores.
        look: called with each evaluation's step, before it is judged.
    """

    path: Path
    prune: PruneConfig | None
    earlier: Mapping[str, Sequence[Series]]
    before: Mapping[str, Series]
    place: Callable[[int], int]
    end: int
    regime_score: Callable[[ActorCritic], float | None] | None
    every: int
    look: Callable[[int], None]
    seen: dict[str, Series] = field(default_factory=dict)
    reason: str | None = None
    latest: float | None = None
    _scored: Series = field(default_factory=dict)
    """Evaluation step of this seed at which regimes were scored -> its multiple of ``every``."""

    def __post_init__(self) -> None:
        self.seen = {name: {} for name in SERIES}
        if self.path.exists():
            known = read_json(self.path)
            self.reason = known["reason"]
            self.seen = {name: steps(known[name]) for name in SERIES}
            self._scored = steps(known["scored"])
            self.latest = max(self.seen["sortino"].items(), default=(0, None))[1]

    def __call__(self, row: Row, network: ActorCritic) -> str | None:
        assert row["step"] is not None
        step = round(row["step"])
        at = self.place(step)
        self.look(step)
        # A resumed training evaluates again what came after its checkpoint.
        self.seen = {n: {s: v for s, v in was.items() if s < at} for n, was in self.seen.items()}
        self._scored = {s: k for s, k in self._scored.items() if s < step}
        values = {"sortino": row["sortino"], "regimes": self._regimes(step, network)}
        self.seen |= {
            name: {**self.seen[name], at: value}
            for name, value in values.items()
            if value is not None
        }
        self.latest = row["sortino"]
        self.reason = self._judge(at)
        written = {**self.seen, "reason": self.reason, "scored": self._scored}
        write_json(self.path, written)
        return self.reason

    def _regimes(self, step: int, network: ActorCritic) -> float | None:
        """The regime score, at the first evaluation on or after each multiple of ``every``."""
        if self.regime_score is None or step // self.every <= max(self._scored.values(), default=0):
            return None
        self._scored[step] = step // self.every
        return self.regime_score(network)

    def _judge(self, at: int) -> str | None:
        if self.prune is None or at >= self.end:
            return None
        wanted = {"sortino": self.prune.sortino, "regimes": self.prune.regimes is not None}
        for name in SERIES:
            own = {**self.before[name], **self.seen[name]}
            if not wanted[name] or at not in own:
                continue
            if Percentile.of(self.prune, self.earlier[name]).stops(own):
                kept = f"{self.prune.percentile:g} %"
                return f"{WORDS[name]} at step {at:,} is below the best {kept} of earlier trials"
        return None


def steps(series: Mapping[str, float]) -> Series:
    """A series as JSON has it, with its steps as numbers again."""
    return {int(step): value for step, value in series.items()}
