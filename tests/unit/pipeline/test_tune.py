"""A study's course, its workers played by a function: the same table whatever happens to it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from optuna.storages import RDBStorage

from small_run import TREE
from truefill.config.load import load_config, parse_config
from truefill.config.schema import Config
from truefill.config.search import SearchConfig, parse_search
from truefill.core.errors import ConfigError, TruefillError, UsageError, WorkerError
from truefill.core.files import read_json, write_json
from truefill.pipeline import host, tune_course
from truefill.pipeline.ledger import LEDGER, Ledger, Look
from truefill.pipeline.pool import Job
from truefill.pipeline.tune import TuneResult, make_plan, tune
from truefill.pipeline.tune_events import TuneEvent

TRIALS = 14
"""The sampler draws the first ten blindly; from the next generation on it learns."""
SEARCH = {
    "trials": TRIALS, "seeds": 2, "generation": 3, "folds": 2,
    "prune": {"startup_trials": 1, "percentile": 50},
    "space": {
        "agent.ppo.gae_lambda": {"low": 0.5, "high": 1.0},
        "agent.ppo.epochs": {"low": 1, "high": 4},
        "agent.ppo.gamma": {"low": 0.5, "high": 0.99},
    },
}  # fmt: skip
DIES, NEVER_FINITE = 3, 4
PLAIN = {
    name: getattr(RDBStorage, name)
    for name in ("set_trial_state_values", "set_trial_user_attr", "create_new_trial")
}


class KilledError(BaseException):
    """Stands for a kill of the parent."""


def config_of() -> Config:
    return parse_config(deepcopy(TREE))


def result_of(message: dict[str, Any]) -> dict[str, Any]:
    """What a worker would answer: a function of the config and of earlier generations."""
    config, given = json.loads(message["config"]), message["arguments"]
    lam, epochs = config["agent"]["ppo"]["gae_lambda"], config["agent"]["ppo"]["epochs"]
    earlier = [series["10"] for series in json.loads(json.dumps(given["earlier"]["sortino"]))]
    seeds = []
    for seed in given["seeds"]:
        logs = [lam - 0.7 + 0.01 * seed, 0.02 * epochs - 0.05]
        blocks = [{"all": [1.0, log, 0.001, log]} for log in logs]
        seeds.append({"seed": seed, "steps": 100, "blocks": blocks, "periods_per_year": 1.0})
    reason = None
    if earlier and lam < sum(earlier) / len(earlier):
        reason, seeds = "worse", [{**seeds[0], "blocks": None}]
    if given["number"] == NEVER_FINITE:
        reason, seeds = "not finite: loss", [{**seeds[0], "blocks": None}]
    return {"reason": reason, "seeds": seeds, "sortino": {"10": lam}, "regimes": {}}


class FakePool:
    """Does jobs in this process, in any order; may be killed after any number of them."""

    order: random.Random | None = None
    kill_after = -1
    asked: list[int] = []  # noqa: RUF012 - of the whole test

    def __init__(self, size: int, device: str, line: Callable[[str], None], lock: int) -> None:
        self.size = size

    def __enter__(self) -> FakePool:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def run(self, jobs: Sequence[Job]) -> None:
        todo = list(jobs)
        if FakePool.order is not None:
            FakePool.order.shuffle(todo)
        for job in todo:
            if FakePool.kill_after == 0:
                raise KilledError
            FakePool.kill_after -= 1
            self._do(job)

    def _do(self, job: Job) -> None:
        message = job.message
        folder = Path(message["folder"])
        if message["stage"] == "tune dataset":
            write_json(folder / "dataset/lineage.json", {"split_sha256": {"validation": "v"}})
            job.finished(["dataset/lineage.json"])
            return
        number = message["arguments"]["number"]
        FakePool.asked.append(number)
        look = Look(f"trial {number} step 10", 1, None, None)
        Ledger(Path(message["runs"]) / LEDGER).book_looks(message["run"], "validation", "v", [look])
        job.heard({"progress": [10, 0.5]})
        if number == DIES:
            assert job.failed is not None
            job.failed(WorkerError("the worker died after 4.2 s, 3 times without progress"))
        else:
            job.finished(result_of(message))


@pytest.fixture(autouse=True)
def _no_workers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(tune_course, "Pool", FakePool)
    monkeypatch.setattr(host, "probe_devices", lambda: {"cpu": ["one"]})
    FakePool.order, FakePool.kill_after, FakePool.asked = None, -1, []
    yield


def study(runs: Path, *, search: Any = SEARCH, **options: Any) -> TuneResult:
    return tune(config_of(), runs=runs, space=parse_search(search), **options)


def table(result: TuneResult) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = result.facts["trials"]
    return rows


def files(result: TuneResult) -> dict[str, bytes]:
    names = ("study.json", "trials.parquet", "best.yaml")
    return {name: (result.folder / name).read_bytes() for name in names}


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> TuneResult:
    """A study left alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tune_course, "Pool", FakePool)
        patch.setattr(host, "probe_devices", lambda: {"cpu": ["one"]})
        FakePool.order, FakePool.kill_after = None, -1
        return study(tmp_path_factory.mktemp("reference"), workers=1)


def test_what_becomes_of_trials_is_in_the_table(reference: TuneResult) -> None:
    rows = table(reference)
    assert [row["trial"] for row in rows] == list(range(TRIALS))
    assert rows[DIES]["state"] == "failed"
    assert rows[DIES]["reason"] == tune_course.DIED  # no seconds: they are not the same twice
    assert (rows[NEVER_FINITE]["state"], rows[NEVER_FINITE]["reason"]) == (
        "pruned", "not finite: loss"
    )  # fmt: skip
    states = [row["state"] for row in rows]
    assert states.count("complete") >= 3
    assert "worse" in [row["reason"] for row in rows]
    assert all((row["value"] is None) == (row["state"] != "complete") for row in rows)
    best = max((row for row in rows if row["value"] is not None), key=lambda row: row["value"])
    assert reference.facts["best"]["trial"] == best["trial"]
    assert reference.facts["best"]["values"] == best["values"]
    regret = reference.facts["regret"]
    assert regret["value"] == regret["winner_on_validation"] - regret["out_of_fold"]
    read = pl.read_parquet(reference.folder / "trials.parquet")
    assert read["state"].to_list() == states
    assert read["agent.ppo.gae_lambda"].to_list() == [
        row["values"]["agent.ppo.gae_lambda"] for row in rows
    ]


def test_what_the_config_sets_is_never_drawn(reference: TuneResult) -> None:
    assert reference.facts["fixed"] == {"agent.ppo.gamma": 0.9}
    assert all("agent.ppo.gamma" not in row["values"] for row in table(reference))
    assert reference.best_config is not None
    best = load_config(reference.best_config)
    assert best.agent.ppo.gamma == 0.9
    assert best.agent.ppo.epochs == reference.facts["best"]["values"]["agent.ppo.epochs"]
    assert best.market == config_of().market


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_any_order_and_any_kill_give_the_same_study(
    reference: TuneResult, tmp_path: Path, seed: int
) -> None:
    FakePool.order = random.Random(seed)
    generator = random.Random(seed)
    for _ in range(30):
        FakePool.kill_after = generator.randrange(1, 5)
        with suppress(KilledError):
            result = study(tmp_path, workers=2)
            break
    else:
        raise AssertionError
    assert files(result) == files(reference)


@pytest.mark.slow
def test_a_study_killed_while_it_tells_ends_the_same(
    reference: TuneResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two results, and in the middle of one."""
    for name, at in (("set_trial_state_values", 3), ("set_trial_user_attr", 8),
                     ("create_new_trial", 1)):  # fmt: skip

        def dying(
            self: Any, key: int, *given: Any, _at: int = at, _name: str = name, **more: Any
        ) -> Any:
            """``key``: the trial's, of which SQLite counts from 1; of a new one its study's."""
            if (self.get_n_trials(key) == 13) if _name == "create_new_trial" else (key == _at):
                raise KilledError
            return PLAIN[_name](self, key, *given, **more)

        with monkeypatch.context() as patch, pytest.raises(KilledError):
            patch.setattr(RDBStorage, name, dying)
            study(tmp_path)
    assert files(study(tmp_path)) == files(reference)


@pytest.mark.slow
def test_finished_trials_are_not_tried_again_and_more_can_be_asked_for(
    reference: TuneResult, tmp_path: Path
) -> None:
    short = study(tmp_path, trials=5)
    assert len(table(short)) == 5
    FakePool.asked = []
    assert files(study(tmp_path, trials=5)) == files(short)
    assert FakePool.asked == []
    longer = study(tmp_path)
    assert FakePool.asked == list(range(5, TRIALS))
    assert (longer.folder, files(longer)) != (reference.folder, None)
    assert files(longer) == files(reference)
    assert len(table(study(tmp_path, trials=2))) == TRIALS  # a study does not shrink


@pytest.mark.slow
def test_a_study_made_with_other_code_is_refused_until_it_is_begun_anew(
    reference: TuneResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = study(tmp_path, trials=3)
    monkeypatch.setattr(tune_course, "code_hash", lambda stage: "other")
    with pytest.raises(TruefillError, match="begun with another code_sha256") as caught:
        study(tmp_path)
    assert "--fresh" in caught.value.do
    FakePool.asked = []
    again = study(tmp_path, trials=3, fresh=True)
    assert sorted(FakePool.asked) == [0, 1, 2]
    assert table(again) == table(result)


def test_another_space_seed_or_config_is_another_study(tmp_path: Path) -> None:
    wider = deepcopy(SEARCH)
    wider["space"]["agent.ppo.epochs"]["high"] = 5  # type: ignore[index]
    asked = ((SEARCH, None, 0), (SEARCH, 99, 0), (wider, None, 0), (SEARCH, None, 1))
    plans = [make_plan(config_of(), parse_search(s), trials, n) for s, trials, n in asked]
    same, more, other_space, other_seed = (plan.identity for plan in plans)
    assert same == more
    assert len({same, other_space, other_seed}) == 3


@pytest.mark.slow
def test_every_evaluation_is_a_look_once(reference: TuneResult, tmp_path: Path) -> None:
    assert reference.facts["looks"] == {"study": TRIALS, "on_validation": TRIALS}
    other = Look("another run", 1, None, None)
    Ledger(tmp_path / LEDGER).book_looks("run", "validation", "v", [other])
    study(tmp_path)
    study(tmp_path)
    result = study(tmp_path, fresh=True)
    assert result.facts["looks"] == {"study": TRIALS, "on_validation": TRIALS + 1}


def test_a_drawn_config_that_is_refused_is_a_pruned_trial(tmp_path: Path) -> None:
    search = {**SEARCH, "trials": 6, "space": {"agent.ppo.num_steps": {"choices": [32, 7]}}}
    tree = deepcopy(TREE)
    del tree["agent"]["ppo"]["num_steps"]
    result = tune(parse_config(tree), runs=tmp_path, space=parse_search(search))
    for row in table(result):
        if row["values"]["agent.ppo.num_steps"] == 7:
            assert row["state"] == "pruned"
            assert row["reason"].startswith("refused: ")
            assert "minibatch 512 does not divide the rollout" in row["reason"]
    assert {row["values"]["agent.ppo.num_steps"] for row in table(result)} == {7, 32}


@pytest.mark.slow
def test_a_space_that_is_always_refused_ends_the_study(tmp_path: Path) -> None:
    search = {**SEARCH, "space": {"agent.ppo.epochs": {"low": -9, "high": -1}}}
    for _ in range(2):
        with pytest.raises(TruefillError, match="none of 3 trials could be trained") as caught:
            study(tmp_path, search=search)
        assert "agent.ppo.epochs" in caught.value.what


@pytest.mark.slow
def test_who_watches_sees_every_trial_end_once(tmp_path: Path) -> None:
    seen: list[TuneEvent] = []
    study(tmp_path, report=seen.append)
    ended = [
        e.trial for e in seen if e.kind == "trial" and e.state in ("complete", "pruned", "failed")
    ]
    assert sorted(ended) == list(range(TRIALS))
    running = next(event for event in seen if event.state == "running")
    assert (running.done, running.total, running.seed) == (10, 2 * 40_960, 1)
    last = seen[-1]
    assert (last.finished, last.trials) == (TRIALS, TRIALS)
    assert last.best is not None
    lines = [event.text for event in seen if event.kind == "line"]
    assert "fixed by the config: agent.ppo.gamma = 0.9" in lines
    assert [line for line in lines if line.startswith("trial 4 pruned: not finite")]


def test_bad_usage_is_told_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"3 seeds a trial, but training.seeds holds 2"):
        study(tmp_path, search={**SEARCH, "seeds": 3})
    with pytest.raises(UsageError, match="--trials must be at least 1"):
        study(tmp_path, trials=0)
    with pytest.raises(UsageError, match="--workers must be at least 1"):
        study(tmp_path, workers=0)
    with pytest.raises(UsageError, match="tune takes a Config"):
        tune("c.yaml")  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_without_a_space_the_learners_own_is_searched(tmp_path: Path) -> None:
    result = tune(config_of(), runs=tmp_path, space=SearchConfig(trials=1))
    assert set(result.facts["fixed"]) == {
        "agent.network.hidden", "agent.ppo.gamma", "agent.ppo.learning_rate"
    }  # fmt: skip
    assert set(table(result)[0]["values"]) == {
        "agent.ppo.clip", "agent.ppo.entropy", "agent.ppo.epochs", "agent.ppo.gae_lambda"
    }  # fmt: skip
    assert read_json(result.folder / "study.json") == result.facts
