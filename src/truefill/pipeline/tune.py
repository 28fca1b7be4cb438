"""``truefill tune``: a hyper-parameter search in a folder of its own.

The folder ``tune-NAME-ID6`` holds dataset/ (without test rows), trials/, study.sqlite (Optuna's
storage), and at the end trials.parquet, study.json and best.yaml. The same call again goes on.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from truefill.config.default_space import default_space
from truefill.config.load import portable
from truefill.config.schema import Config
from truefill.config.search import SearchConfig, load_search
from truefill.config.space import Space, make_space
from truefill.core.errors import ConfigError, UsageError
from truefill.core.fingerprint import fingerprint
from truefill.data.resolve import resolve
from truefill.pipeline.folder import input_hashes, locked
from truefill.pipeline.smoke import require_own_name
from truefill.pipeline.tune_events import Report, TuneEvent

REPLICATES = 3
"""Seeds a trial trains where the search does not say."""


@dataclass(frozen=True)
class TuneResult:
    """``facts``: as study.json holds them; ``best_config``: best.yaml, None where no trial is
    complete."""

    folder: Path
    facts: dict[str, Any]
    best_config: Path | None


@dataclass(frozen=True)
class Plan:
    """What is searched, decided before anything is written."""

    config: Config
    """As it was read: what it sets itself is known."""
    resolved: Config
    search: SearchConfig
    space: Space
    seeds: tuple[int, ...]
    seed: int
    inputs: dict[str, str]

    @property
    def identity(self) -> str:
        """SHA-256 of everything a trial depends on; how many there are does not matter."""
        settings = self.search.model_dump(mode="json", exclude={"trials", "seeds", "space"})
        free = {key: d.model_dump(mode="json") for key, d in self.space.free.items()}
        return fingerprint(
            {
                "config": portable(self.resolved), "inputs": self.inputs, "search": settings,
                "free": free, "fixed": self.space.fixed, "seeds": self.seeds, "seed": self.seed,
            }
        )  # fmt: skip

    @property
    def budget(self) -> int:
        """Training steps of a seed in any trial, at most."""
        drawn = self.space.free.get("training.total_steps")
        if drawn is None:
            return self.config.training.total_steps
        return int(max(drawn.choices)) if drawn.choices else int(drawn.high or 0)


def tune(
    config: Config,
    *,
    runs: str | Path = "runs",
    space: SearchConfig | str | Path | None = None,
    trials: int | None = None,
    workers: int | None = None,
    seed: int = 0,
    storage: str | None = None,
    fresh: bool = False,
    report: Report = lambda event: None,
) -> TuneResult:
    """Search hyper-parameters of ``config`` on train and validation. The same call again goes on
    where the last one stopped; test rows are not even written.

    Args:
        config: what to search; keys it sets itself are never drawn.
        runs: the runs folder; the study gets a folder of its own in it.
        space: the search, or its file; the learner's own space when absent.
        trials: trials in all, instead of the space's.
        workers: worker processes, at most one a trial of a generation; the cores when absent.
        seed: of the sampler.
        storage: URL of Optuna's storage; ``study.sqlite`` in the folder when absent.
        fresh: throw away what earlier calls made.
        report: called with every event.

    Raises:
        ConfigError: the space names a key that cannot be searched, or nothing is left to search.
        TruefillError: what failed, where, and what to do.
    """
    if not isinstance(config, Config):
        raise UsageError(
            f"tune takes a Config, not {type(config).__name__}", do="truefill.load_config(path)"
        )
    if workers is not None and workers < 1:
        raise UsageError(f"--workers must be at least 1, not {workers}")
    require_own_name(config)
    plan = make_plan(config, space, trials, seed)
    folder = Path(runs).absolute() / f"tune-{config.name}-{plan.identity[:6]}"
    from truefill.pipeline.tune_course import Course  # brings jax and optuna

    with locked(folder, lambda text: report(TuneEvent("line", text))) as lock:
        url = storage or f"sqlite:///{folder / 'study.sqlite'}"
        return Course(plan, folder, url, workers, report, lock, fresh).go()


def make_plan(
    config: Config, space: SearchConfig | str | Path | None, trials: int | None, seed: int
) -> Plan:
    """What :func:`tune` would search.

    Raises:
        ConfigError, UsageError: as there.
    """
    where = str(space) if isinstance(space, str | Path) else "space"
    search = load_search(space) if isinstance(space, str | Path) else space or SearchConfig()
    if trials is not None:
        if trials < 1:
            raise UsageError(f"--trials must be at least 1, not {trials}")
        search = search.model_copy(update={"trials": trials})
    if seed < 0:
        raise UsageError(f"--seed must not be negative, not {seed}")
    if config.agent.rule is not None:
        raise ConfigError(
            "a rule is not trained: there is nothing to search",
            where="agent.kind",
            do="tune a learner; runs of a rule with other parameters are runs of their own, and "
            "the ledger counts each",
        )
    known = config.training.seeds
    count = search.seeds or min(REPLICATES, len(known))
    if count > len(known):
        raise ConfigError(
            f"{count} seeds a trial, but training.seeds holds {len(known)}",
            where=where,
            do="lower seeds in the space, or give more training.seeds",
        )
    chosen = make_space(config, search.space or default_space(config.agent), where=where)
    inputs = input_hashes(config)
    return Plan(config, resolve(config), search, chosen, known[:count], seed, inputs)
