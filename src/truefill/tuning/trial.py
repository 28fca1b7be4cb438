"""One trial: its seeds trained one after another, each pruned, scored and remembered.

Everything lies in the trial's folder: ``seed-N/`` as any training has it (less its checkpoints once
it is done), ``seed-N/scores.json`` with what was judged, ``seed-N/result.json`` written last. A
trial that is started again goes on from there.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jax

from truefill.agents.bundle import load_bundle, save_bundle
from truefill.agents.checkpoint import load_tree
from truefill.agents.networks import ActorCritic, make_network
from truefill.agents.train import CHECKPOINT, train
from truefill.agents.update_log import Row
from truefill.config.load import portable
from truefill.config.schema import Config
from truefill.config.search import SearchConfig
from truefill.core.errors import ConfigError, DataError, NonFiniteError
from truefill.core.files import read_json, write_json
from truefill.data.dataset import load_split
from truefill.data.split import SplitArrays
from truefill.env.seen import agent_lineage, agent_split, forecasts_of
from truefill.env.setup import Environment, make_environment, make_spec
from truefill.evaluation.backtest import backtest
from truefill.tuning import regimes
from truefill.tuning.pruning import SERIES, Series, Watch, steps, trial_step
from truefill.tuning.scores import block_sums

RESULT = "result.json"
SCORES = "scores.json"


@dataclass(frozen=True)
class Trial:
    """What a trial needs to know."""

    config: Config
    """With the trial's values set."""
    search: SearchConfig
    seeds: tuple[int, ...]
    budget: int
    """Training steps of a seed in any trial of the study, at most."""
    folder: Path
    dataset: Path
    earlier: Mapping[str, Sequence[Series]]
    """By series, the complete trials of earlier generations."""
    look: Callable[[int, int, float | None], None]
    """Called with seed, step and (once known) net return of every policy that was evaluated."""
    progress: Callable[[int, float | None], None]
    """Called with steps done in this trial and the latest Sortino ratio on validation."""
    ancestors: list[dict[str, Any]] | None = None
    """What the bundle that training begins with has seen (:mod:`truefill.agents.warm`)."""

    @cached_property
    def train_split(self) -> SplitArrays:
        return self._seen("train")

    @cached_property
    def validation(self) -> SplitArrays:
        return self._seen("validation")

    def _seen(self, name: str) -> SplitArrays:
        """A split as agents see it."""
        forecasts = forecasts_of(self.config, self.dataset.parent, name)
        return agent_split(self.config, load_split(self.dataset, name), forecasts)

    @cached_property
    def held_out(self) -> Environment:
        """Validation under the rules of the backtest."""
        return make_environment(self.config, self.validation, "backtest")

    @cached_property
    def episodes(self) -> regimes.Episodes | None:
        """The regimes' fixed episodes."""
        if self.search.regimes is None:
            return None
        seen = make_environment(self.config, self.train_split, "train")
        seed = self.config.training.eval_seed
        return regimes.draw(seen, self.held_out, self.search.regimes, seed)

    def regime_score(self, network: ActorCritic) -> float | None:
        """The regime score of a policy."""
        assert self.episodes is not None
        return regimes.score(
            network, self.held_out, self.episodes, self.validation.periods_per_year
        )


def run_trial(trial: Trial) -> dict[str, Any]:
    """Train the seeds; what became of them, JSON-able.

    ``reason``: why the trial ended early, None where it is complete; ``seeds``: what each trained
    seed came to; ``sortino`` and ``regimes``: step -> value over the whole trial. A config that the
    environment refuses and a training that is not finite end the trial with their reason.
    """
    found: list[dict[str, Any]] = []
    before: dict[str, Series] = {name: {} for name in SERIES}
    reason = None
    for index, seed in enumerate(trial.seeds):
        path = trial.folder / f"seed-{seed}" / RESULT
        if not path.exists():
            write_json(path, _run_seed(trial, index, before))
        shutil.rmtree((path.parent / CHECKPOINT).parent, ignore_errors=True)
        result = read_json(path)
        found.append(result)
        before = {name: before[name] | steps(result[name]) for name in SERIES}
        trial.progress((index + 1) * trial.budget, None)
        reason = result["reason"]
        if reason is not None:
            break
    kept = [{k: v for k, v in result.items() if k not in SERIES} for result in found]
    return {"reason": reason, "seeds": kept, **before}


def _run_seed(trial: Trial, index: int, before: Mapping[str, Series]) -> dict[str, Any]:
    """Train one seed and score its best policy, unless it is stopped on the way."""
    seed = trial.seeds[index]
    folder = trial.folder / f"seed-{seed}"
    try:
        watch = _watch(trial, index, before)
        _train(trial, index, watch)
    except NonFiniteError as error:
        return _ended(seed, folder, f"not finite: {error.what}")
    except ConfigError as error:
        return _ended(seed, folder, f"refused: {error.what}")
    except DataError as error:
        if error.rule != "short_split":  # what is drawn can be too long for the data
            raise
        return _ended(seed, folder, f"refused: {error.what}")
    done = read_json(folder / "training.json")
    facts = {key: done[key] for key in ("steps", "best_step", "best_score", "stopped")}
    scored = _score(trial, seed, done["best_step"]) if watch.reason is None else _UNSCORED
    return {"seed": seed, "reason": watch.reason, **facts, **scored, **watch.seen}


_UNSCORED = {"blocks": None, "periods_per_year": None, "policy_sha256": None}


def _ended(seed: int, folder: Path, reason: str) -> dict[str, Any]:
    """A seed whose training came to no end."""
    path = folder / SCORES
    seen = read_json(path) if path.exists() else {}
    facts = {"steps": None, "best_step": None, "best_score": None, "stopped": "failed"}
    return {
        "seed": seed, "reason": reason, **facts, **_UNSCORED,
        **{name: seen.get(name, {}) for name in SERIES},
    }  # fmt: skip


def _watch(trial: Trial, index: int, before: Mapping[str, Series]) -> Watch:
    seed, training = trial.seeds[index], trial.config.training
    regimes_on = trial.episodes is not None

    def place(step: int) -> int:
        start = index * trial.budget
        return trial_step(step, training.eval_every_steps, training.total_steps, start)

    return Watch(
        path=trial.folder / f"seed-{seed}" / SCORES,
        prune=trial.search.prune,
        earlier=trial.earlier,
        before=before,
        place=place,
        end=(len(trial.seeds) - 1) * trial.budget + training.total_steps,
        regime_score=trial.regime_score if regimes_on else None,
        every=trial.search.regimes.every_steps if trial.search.regimes is not None else 1,
        look=lambda step: trial.look(seed, step, None),
    )


def _train(trial: Trial, index: int, watch: Watch) -> None:
    seed = trial.seeds[index]

    def progress(done: int, score: float | None, row: Row) -> None:
        trial.progress(index * trial.budget + min(done, trial.budget), watch.latest)

    train(
        trial.config,
        trial.train_split,
        trial.validation,
        seed,
        trial.folder / f"seed-{seed}",
        progress,
        judge=watch,
    )


def _score(trial: Trial, seed: int, best_step: int) -> dict[str, Any]:
    """The best policy as a bundle, and what it does on validation, in blocks."""
    folder = trial.folder / f"seed-{seed}"
    lineage = agent_lineage(trial.config, trial.dataset)
    spec = make_spec(trial.config, trial.train_split)
    template = make_network(jax.random.PRNGKey(0), spec, trial.config.agent)
    best, _ = load_tree(folder / "best.safetensors", template)
    save_bundle(
        folder / "bundle",
        best,
        portable(trial.config),
        lineage,
        read_json(trial.dataset / "norm_stats.json"),
        ancestors=trial.ancestors,
    )
    bundle = load_bundle(folder / "bundle")
    folds = trial.search.folds
    if trial.search.objective == "regime_score":
        assert trial.episodes is not None
        blocks = regimes.cells(best, trial.held_out, trial.episodes, folds)
        years, net_return = trial.validation.periods_per_year, None
    else:
        [trace] = backtest(bundle, trial.held_out, trial.validation, lineage["contract_sha256"])
        blocks, years = block_sums(trace, folds)
        net_return = trace.net_return
    trial.look(seed, best_step, net_return)
    return {"blocks": blocks, "periods_per_year": years, "policy_sha256": bundle.sha256}
