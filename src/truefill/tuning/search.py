"""The study: what Optuna proposes, and where it is kept.

Trials are proposed in generations of a fixed size. Each proposal comes from an in-memory study that
holds the told trials of earlier generations alone, by a sampler seeded by study and trial number;
so it depends on nothing else, and trial 11 is the same for one worker or ten, killed or not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.exceptions import StorageInternalError
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from truefill.config.search import Dimension, SearchConfig
from truefill.core.errors import TruefillError, UsageError
from truefill.core.fingerprint import canonical_json

OWNER = "truefill_study"
"""User attribute of a study: the fingerprint of what it searches."""

optuna.logging.set_verbosity(optuna.logging.WARNING)


def distribution(dimension: Dimension) -> BaseDistribution:
    """A dimension as Optuna knows it; choices that are lists or mappings go by their JSON text."""
    if dimension.choices is not None:
        return CategoricalDistribution([_encoded(choice) for choice in dimension.choices])
    low, high, step = dimension.low, dimension.high, dimension.step
    assert low is not None and high is not None
    if dimension.whole:
        return IntDistribution(int(low), int(high), log=dimension.log, step=int(step or 1))
    return FloatDistribution(float(low), float(high), log=dimension.log, step=step)


def _encoded(choice: Any) -> Any:
    return canonical_json(choice) if isinstance(choice, list | tuple | dict) else choice


def values_of(params: Mapping[str, Any], space: Mapping[str, Dimension]) -> dict[str, Any]:
    """Drawn parameters as config values, by key in order."""
    out = {}
    for key in sorted(params):
        choices = space[key].choices
        plain = {} if choices is None else {_encoded(choice): choice for choice in choices}
        value = plain.get(params[key], params[key])
        out[key] = json.loads(canonical_json(value))
    return out


def propose(
    earlier: Sequence[FrozenTrial],
    space: Mapping[str, Dimension],
    sampler: str,
    seed: int,
    number: int,
) -> FrozenTrial:
    """Trial ``number``, running, from the told trials of earlier generations."""
    study = optuna.create_study(direction="maximize", sampler=_sampler(sampler, seed, number))
    study.add_trials(earlier)
    asked = study.ask({key: distribution(space[key]) for key in sorted(space)})
    return create_trial(
        state=TrialState.RUNNING, params=asked.params, distributions=asked.distributions
    )


def _sampler(name: str, seed: int, number: int) -> BaseSampler:
    own = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    return TPESampler(seed=own) if name == "tpe" else RandomSampler(seed=own)


@dataclass
class Store:
    """The study in its storage (SQLite or PostgreSQL, Optuna's own tables)."""

    url: str
    storage: RDBStorage
    study_id: int

    @classmethod
    def open(cls, url: str, name: str, owner: str, *, fresh: bool) -> Store:
        """The study called ``name``, made where it is not there; ``fresh``: made anew.

        Raises:
            UsageError: the URL is wrong, its driver is missing, or a study of that name is not of
                ``owner``.
            TruefillError: the storage cannot be used.
        """
        storage = _storage(url)
        with _usable(url):
            known = {study.study_name: study._study_id for study in storage.get_all_studies()}
            if fresh and name in known:
                storage.delete_study(known.pop(name))
            if name not in known:
                known[name] = storage.create_new_study([StudyDirection.MAXIMIZE], name)
            attributes = storage.get_study_user_attrs(known[name])
            if OWNER not in attributes:
                storage.set_study_user_attr(known[name], OWNER, owner)
        if attributes.get(OWNER, owner) != owner:
            raise UsageError(
                f"the storage holds another study called {name}",
                where=shown(url),
                do="use another --storage, or --fresh to delete it",
            )
        return cls(url, storage, known[name])

    def trials(self) -> list[FrozenTrial]:
        """Every trial, by number."""
        with _usable(self.url):
            found = self.storage.get_all_trials(self.study_id)
        return sorted(found, key=lambda trial: trial.number)

    def add(self, trial: FrozenTrial) -> None:
        """Write a proposal, in one transaction."""
        with _usable(self.url):
            self.storage.create_new_trial(self.study_id, template_trial=trial)

    def tell(
        self,
        trial: FrozenTrial,
        state: TrialState,
        value: float | None,
        intermediate: Mapping[int, float],
        attributes: Mapping[str, Any],
    ) -> None:
        """Book what became of a running trial; its state comes last, so that a study killed on the
        way tells it again."""
        values = None if value is None else [value]
        with _usable(self.url):
            for step, seen in sorted(intermediate.items()):
                self.storage.set_trial_intermediate_value(trial._trial_id, step, seen)
            for key, attribute in attributes.items():
                self.storage.set_trial_user_attr(trial._trial_id, key, attribute)
            self.storage.set_trial_state_values(trial._trial_id, state, values)

    def close(self) -> None:
        """Let go of the database."""
        self.storage.remove_session()
        self.storage.engine.dispose()


def shown(url: str) -> str:
    """A storage's address without its password."""
    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return "--storage"


@contextmanager
def _usable(url: str) -> Iterator[None]:
    """Say in words that the storage cannot be used (any more)."""
    try:
        yield
    except ArgumentError:  # not even an address
        raise
    except (SQLAlchemyError, StorageInternalError) as error:
        server = not url.startswith("sqlite")
        raise TruefillError(
            f"the storage cannot be used: {type(error.__cause__ or error).__name__}",
            where=shown(url),
            do="is the server there, and may this user make tables? The same call then goes on"
            if server
            else "make room, or restore the file; without it the same trials are proposed again",
        ) from error


def _storage(url: str) -> RDBStorage:
    try:
        with _usable(url):
            return RDBStorage(url)
    except ImportError as error:
        raise UsageError(
            "the driver of this storage is not installed",
            where=shown(url),
            do="for PostgreSQL: pip install 'truefill[postgresql]'",
        ) from error
    except (ArgumentError, ValueError) as error:
        raise UsageError(
            "not the URL of a storage", where=shown(url),
            do="e.g. --storage postgresql://user@host/database",
        ) from error  # fmt: skip


def search_facts(search: SearchConfig) -> dict[str, Any]:
    """What makes a study itself: all of the search but how many trials it shall have."""
    facts = search.model_dump(mode="json")
    return {key: value for key, value in facts.items() if key not in ("trials", "space")}
