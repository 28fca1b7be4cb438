"""What a worker does for a search: build the dataset without its test rows, and run one trial."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from truefill.agents.warm import ancestors
from truefill.config.search import parse_search
from truefill.data.dataset import load_lineage, write_dataset
from truefill.pipeline.api import build_dataset
from truefill.pipeline.folder import keep_only_own
from truefill.pipeline.ledger import Look
from truefill.pipeline.stages import Work, check_warm_start
from truefill.tuning.pruning import SERIES, steps
from truefill.tuning.trial import Trial, run_trial


def trial_folder(number: int) -> str:
    """Where a trial lies in its study's folder."""
    return f"trials/{number:04d}"


def dataset(work: Work) -> list[str]:
    """dataset/: train and validation; the test rows are not written at all."""
    names = write_dataset(build_dataset(work.config), work.dataset)
    return [f"dataset/{name}" for name in names]


def trial(
    work: Work,
    number: int,
    search: dict[str, Any],
    seeds: list[int],
    budget: int,
    earlier: dict[str, list[dict[str, float]]],
) -> dict[str, Any]:
    """trials/NNNN/: one trial. Every evaluation is a look, booked before anything is decided by
    it."""
    began = check_warm_start(work)
    folder = work.folder / trial_folder(number)
    keep_only_own(folder, work.key)
    split_sha256 = load_lineage(work.dataset)["split_sha256"]["validation"]

    def look(seed: int, step: int, net_return: float | None) -> None:
        seen = Look(f"trial {number} step {step}", seed, None, net_return)
        work.ledger.book_looks(work.run, "validation", split_sha256, [seen])

    return run_trial(
        Trial(
            config=work.config,
            search=parse_search(search),
            seeds=tuple(seeds),
            budget=budget,
            folder=folder,
            dataset=work.dataset,
            earlier={name: [steps(series) for series in earlier[name]] for name in SERIES},
            look=look,
            progress=work.progress,
            ancestors=None if began is None else ancestors(began),
        )
    )


STAGES: dict[str, Callable[..., Any]] = {"tune dataset": dataset, "tune trial": trial}
"""What a worker can be asked to do."""
