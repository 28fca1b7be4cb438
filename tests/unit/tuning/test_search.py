"""Proposals and their storage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from truefill.config.search import Dimension
from truefill.core.errors import TruefillError, UsageError
from truefill.tuning.search import Store, propose, values_of

SPACE = {
    "a": Dimension(low=1e-4, high=1e-2, log=True),
    "b": Dimension(low=2, high=8, step=2),
    "c": Dimension(low=0.0, high=1.0, step=0.25),
    "d": Dimension(choices=([8], [16, 16], None, "x", True)),
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(f"sqlite:///{tmp_path}/study.sqlite", "tune-x", "owner", fresh=False)
    yield opened
    opened.close()


def told(count: int) -> list[FrozenTrial]:
    """``count`` complete trials, worth what ``a`` is."""
    drawn = [propose([], SPACE, "random", 1, number) for number in range(count)]
    return [
        create_trial(
            state=TrialState.COMPLETE, value=trial.params["a"], params=trial.params,
            distributions=trial.distributions,
        )
        for trial in drawn
    ]  # fmt: skip


def test_drawn_values_are_in_their_ranges_and_of_their_kind() -> None:
    for number in range(30):
        values = values_of(propose([], SPACE, "random", 0, number).params, SPACE)
        assert 1e-4 <= values["a"] <= 1e-2
        assert values["b"] in (2, 4, 6, 8) and isinstance(values["b"], int)
        assert values["c"] in (0.0, 0.25, 0.5, 0.75, 1.0)
        assert values["d"] in ([8], [16, 16], None, "x", True)


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_proposal_depends_on_seed_number_and_told_trials_alone(
    sampler: str,
) -> None:
    earlier = told(12)
    one = propose(earlier, SPACE, sampler, 0, 13).params
    assert propose(earlier, SPACE, sampler, 0, 13).params == one
    assert propose(earlier, SPACE, sampler, 0, 14).params != one
    assert propose(earlier, SPACE, sampler, 1, 13).params != one
    if sampler == "tpe":
        assert propose(earlier[:11], SPACE, sampler, 0, 13).params != one


def test_tpe_goes_where_values_are_high() -> None:
    earlier = told(24)
    drawn = [propose(earlier, SPACE, "tpe", 0, n).params["a"] for n in range(24, 36)]
    blind = [propose(earlier, SPACE, "random", 0, n).params["a"] for n in range(24, 36)]
    assert sum(drawn) > 1.3 * sum(blind)


def test_a_proposal_is_a_running_trial_until_it_is_told(store: Store) -> None:
    store.add(propose([], SPACE, "tpe", 0, 0))
    [trial] = store.trials()
    assert (trial.number, trial.state) == (0, TrialState.RUNNING)
    assert trial.params == propose([], SPACE, "tpe", 0, 0).params
    # Killed on the way: some of it is there, the state is not; it is told again.
    store.storage.set_trial_intermediate_value(trial._trial_id, 10, 1.0)
    store.storage.set_trial_user_attr(trial._trial_id, "reason", None)
    store.tell(trial, TrialState.PRUNED, None, {10: 1.0, 20: 2.0}, {"reason": "why", "seeds": []})
    [trial] = store.trials()
    assert (trial.state, trial.value) == (TrialState.PRUNED, None)
    assert trial.intermediate_values == {10: 1.0, 20: 2.0}
    assert trial.user_attrs == {"reason": "why", "seeds": []}


def test_optuna_reads_the_study_from_outside(store: Store, tmp_path: Path) -> None:
    store.add(told(1)[0])
    store.add(propose([], SPACE, "tpe", 0, 1))
    study = optuna.load_study(study_name="tune-x", storage=f"sqlite:///{tmp_path}/study.sqlite")
    states = [trial.state for trial in study.trials]
    assert states == [TrialState.COMPLETE, TrialState.RUNNING]
    assert study.best_value == study.trials[0].params["a"]
    assert set(study.trials_dataframe().columns) >= {"number", "value", "params_a"}


@pytest.mark.slow
def test_another_study_of_that_name_is_refused_and_fresh_replaces_it(
    store: Store, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/study.sqlite"
    store.add(told(1)[0])
    with pytest.raises(UsageError, match="another study called tune-x"):
        Store.open(url, "tune-x", "somebody", fresh=False)
    assert len(Store.open(url, "tune-x", "owner", fresh=False).trials()) == 1
    assert Store.open(url, "tune-x", "somebody", fresh=True).trials() == []


@pytest.mark.parametrize(
    ("url", "kind", "what"),
    [
        ("nonsense", UsageError, "not the URL of a storage"),
        ("sqlite:////not/there/x.sqlite", TruefillError, "the storage cannot be used"),
    ],
)
def test_a_storage_that_cannot_be_used_says_so(url: str, kind: Any, what: str) -> None:
    with pytest.raises(kind, match=what):
        Store.open(url, "tune-x", "owner", fresh=False)


@pytest.mark.slow
def test_a_storage_that_is_lost_on_the_way_says_so(store: Store, tmp_path: Path) -> None:
    store.close()
    (tmp_path / "study.sqlite").write_bytes(b"no database any more" * 99)
    with pytest.raises(TruefillError, match="the storage cannot be used: ") as caught:
        store.add(propose([], SPACE, "random", 0, 0))
    assert "study.sqlite" in caught.value.where
    assert "restore the file" in caught.value.do


def test_a_missing_driver_names_the_extra_and_hides_the_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "psycopg", None)  # as if it were not installed
    with pytest.raises(UsageError) as caught:
        Store.open("postgresql://me:hunter2@db/x", "tune-x", "owner", fresh=False)
    assert "truefill[postgresql]" in caught.value.do
    assert "hunter2" not in str(caught.value)
