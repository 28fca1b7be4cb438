"""What stops a trial early, what does not, and that a resumed one is judged alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from truefill.config.search import PruneConfig, RegimesConfig
from truefill.core.files import read_json
from truefill.tuning.pruning import Percentile, Series, Watch, trial_step

EARLIER: list[Series] = [{10: float(v), 20: float(v)} for v in range(1, 5)]  # 1, 2, 3, 4


@pytest.mark.parametrize(
    ("own", "stops"),
    [
        ({10: 2.4}, True),  # the better half of 1, 2, 3, 4 begins at 2.5
        ({10: 2.6}, False),
        ({10: 9.0, 20: 0.0}, False),  # the best so far counts, as in Optuna
        ({10: 0.0, 20: 2.4}, True),
        ({15: -9.0}, False),  # no earlier trial has this step
    ],
)
def test_the_worse_half_is_stopped(own: Series, stops: bool) -> None:
    prune = PruneConfig(startup_trials=4, percentile=50)
    assert Percentile.of(prune, EARLIER).stops(own) == stops


def test_it_waits_for_startup_trials_and_for_its_step() -> None:
    bad: Series = {10: -1.0}
    assert Percentile.of(PruneConfig(startup_trials=4), EARLIER).stops(bad)
    assert not Percentile.of(PruneConfig(startup_trials=5), EARLIER).stops(bad)
    assert not Percentile.of(PruneConfig(startup_trials=0), []).stops(bad)
    late = PruneConfig(startup_trials=4, from_step=11)
    assert not Percentile.of(late, EARLIER).stops(bad)
    assert Percentile.of(late, EARLIER).stops({10: -1.0, 20: -1.0})


def test_a_smaller_percentile_keeps_fewer() -> None:
    prune = PruneConfig(startup_trials=4, percentile=25)  # the best quarter begins at 3.25
    assert Percentile.of(prune, EARLIER).stops({10: 3.2})
    assert not Percentile.of(prune, EARLIER).stops({10: 3.3})


def test_trials_with_other_rollouts_meet_at_the_same_steps() -> None:
    assert [trial_step(s, 100, 250, 0) for s in (104, 128, 208, 256)] == [100, 100, 200, 250]
    assert trial_step(104, 100, 250, 500) == 600


def watch(path: Path, **changes: Any) -> Watch:
    options: dict[str, Any] = {
        "path": path, "prune": PruneConfig(startup_trials=4),
        "earlier": {"sortino": EARLIER, "regimes": EARLIER},
        "before": {"sortino": {}, "regimes": {}}, "place": lambda step: step, "end": 30,
        "regime_score": None, "every": 20, "look": lambda step: None, **changes,
    }  # fmt: skip
    return Watch(**options)


def row(step: int, sortino: float | None) -> dict[str, float | None]:
    return {"step": step, "sortino": sortino}


NETWORK: Any = None


def test_a_watch_stops_what_is_worse_and_says_why(tmp_path: Path) -> None:
    judge = watch(tmp_path / "s.json")
    assert judge(row(10, 3.0), NETWORK) is None
    judge = watch(tmp_path / "t.json")
    reason = judge(row(10, 1.0), NETWORK)
    assert reason == "Sortino ratio at step 10 is below the best 50 % of earlier trials"
    assert read_json(tmp_path / "t.json")["reason"] == reason


def test_a_trial_at_its_end_is_complete(tmp_path: Path) -> None:
    earlier = {"sortino": [{30: 5.0}] * 4, "regimes": []}
    judge = watch(tmp_path / "s.json", earlier=earlier)
    assert judge(row(30, -9.0), NETWORK) is None
    judge = watch(tmp_path / "t.json", earlier=earlier, end=60)  # another seed follows
    assert judge(row(30, -9.0), NETWORK) is not None


def test_an_undefined_ratio_judges_nothing(tmp_path: Path) -> None:
    judge = watch(tmp_path / "s.json")
    assert judge(row(10, None), NETWORK) is None
    assert judge.seen["sortino"] == {}


def test_earlier_seeds_of_the_trial_speak_for_it(tmp_path: Path) -> None:
    before: dict[str, Series] = {"sortino": {5: 4.0}, "regimes": {}}
    assert watch(tmp_path / "s.json", before=before)(row(10, 1.0), NETWORK) is None


def test_regimes_are_scored_at_their_own_interval_and_stop_too(tmp_path: Path) -> None:
    asked: list[int] = []

    def score(network: Any) -> float:
        asked.append(1)
        return 0.0

    prune = PruneConfig(startup_trials=4, sortino=False, regimes=RegimesConfig())
    judge = watch(tmp_path / "s.json", prune=prune, regime_score=score)
    assert judge(row(10, -9.0), NETWORK) is None  # not asked yet; Sortino ratios do not count
    assert not asked
    assert "regime score at step 20" in (judge(row(20, -9.0), NETWORK) or "")
    assert judge.seen == {"sortino": {10: -9.0, 20: -9.0}, "regimes": {20: 0.0}}


def test_without_pruning_everything_is_looked_at(tmp_path: Path) -> None:
    looked: list[int] = []
    judge = watch(tmp_path / "s.json", prune=None, look=looked.append)
    assert [judge(row(step, -9.0), NETWORK) for step in (10, 20)] == [None, None]
    assert looked == [10, 20]


def test_a_resumed_watch_judges_as_if_it_had_never_stopped(tmp_path: Path) -> None:
    """Killed after step 20, its last checkpoint before step 16: two evaluations come again."""
    facts: dict[str, Any] = {"end": 99, "every": 15, "regime_score": lambda network: 0.5}
    prune = PruneConfig(startup_trials=9, regimes=RegimesConfig())
    first = watch(tmp_path / "s.json", prune=prune, **facts)
    for step in (10, 16, 20):
        first(row(step, step / 10), NETWORK)
    assert first.seen["regimes"] == {16: 0.5}
    again = watch(tmp_path / "s.json", prune=prune, **facts)
    again(row(16, 1.6), NETWORK)
    assert again.seen == {"sortino": {10: 1.0, 16: 1.6}, "regimes": {16: 0.5}}
    for step in (20, 30):
        again(row(step, step / 10), NETWORK)
    assert again.seen["sortino"] == {10: 1.0, 16: 1.6, 20: 2.0, 30: 3.0}
    assert again.seen["regimes"] == {16: 0.5, 30: 0.5}
