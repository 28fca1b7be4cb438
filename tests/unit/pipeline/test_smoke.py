"""``--smoke`` stays inside the train period, switches every gate off, and fits every config."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from config_cases import base_tree, put
from truefill.config.load import load_config, parse_config
from truefill.config.schema import Config
from truefill.core.errors import ConfigError, UsageError
from truefill.data.resolve import resolve
from truefill.env.setup import make_decoder
from truefill.pipeline.run import run
from truefill.pipeline.smoke import smoke_config
from truefill.pipeline.tune import tune

EXAMPLES = sorted((Path(__file__).resolve().parents[3] / "examples").glob("*.yaml"))
EXAMPLES = [path for path in EXAMPLES if ".search." not in path.name]


def config_with(**changes: Any) -> Config:
    tree = base_tree()
    for key, value in changes.items():
        put(tree, key.replace("__", "."), value)
    return parse_config(tree)


def require_small_and_inside(config: Config) -> Config:
    """The smoke config of ``config``, after the checks that hold for every one."""
    smoke = smoke_config(config)
    splits, train = smoke.data.splits, resolve(config).data.splits.train  # purged where labels look
    assert splits.train.start == train.start
    assert splits.train.end == splits.validation.start
    assert splits.validation.end == splits.test.start
    assert splits.test.end == train.end
    for name in ("train", "validation", "test"):
        period = getattr(splits, name)
        assert train.start <= period.start < period.end <= train.end
    gates = smoke.gates.model_dump()
    assert gates.pop("min_rows") == {"train": 1, "validation": 1, "test": 1}
    assert set(gates.values()) == {None}
    ppo = config.agent.ppo
    assert smoke.training.total_steps == 2 * ppo.num_envs * ppo.num_steps
    assert smoke.training.eval_every_steps == ppo.num_envs * ppo.num_steps
    assert smoke.training.seeds == config.training.seeds[:2]
    assert smoke.evaluation.random_draws == 20
    assert smoke.name == f"{config.name}-smoke"
    for section in ("market", "env", "agent", "features", "device"):
        assert getattr(smoke, section) == getattr(config, section), section
    assert smoke.data.bars == config.data.bars
    assert smoke.data.series == config.data.series
    assert parse_config(smoke.model_dump(mode="json")) == smoke
    return smoke


def test_a_config_may_not_be_called_like_a_smoke_run(tmp_path: Path) -> None:
    """A warm start is asked for less there."""
    called = config_with(name="mine-smoke")
    with pytest.raises(UsageError, match="ends as those of --smoke runs do"):
        run(called, runs=tmp_path)
    with pytest.raises(UsageError, match="ends as those of --smoke runs do"):
        tune(called, runs=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_there_are_examples() -> None:
    assert {"quickstart.yaml", "usdcop_ppo.yaml"} <= {path.name for path in EXAMPLES}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_has_a_smoke_config(path: Path) -> None:
    smoke = require_small_and_inside(load_config(path))
    make_decoder(smoke)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"training__seeds": [9], "evaluation__min_positive_seeds": 1},
        {"training__seeds": [9, 8], "evaluation__min_positive_seeds": 2},
        {"training__eval_episodes": 1},
        {"data__splits__train": {"start": "2020-01-01T05:00:00+02:00", "end": "2020-03-01"}},
        {"gates": {"min_return": 0.5, "min_rows": {"test": 9_999}}},
        {"env__window_bars": 100},
        {"training__total_steps": 32_768, "training__eval_every_steps": 32_768},
    ],
    ids=str,
)
def test_any_config_has_a_smoke_config(changes: dict[str, Any]) -> None:
    require_small_and_inside(config_with(**changes))


def test_the_cuts_leave_most_of_train_to_training() -> None:
    splits = smoke_config(config_with()).data.splits
    lengths = [
        (period.end - period.start) / timedelta(days=274)
        for period in (splits.train, splits.validation, splits.test)
    ]
    assert lengths == pytest.approx([0.7, 0.15, 0.15])


def test_a_smoke_run_is_not_the_run() -> None:
    config = config_with()
    assert smoke_config(config) != config
    assert smoke_config(smoke_config(config)).name == "small-smoke-smoke"


def test_a_train_period_too_short_for_three_windows_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"env\.window_bars 1000 does not fit") as caught:
        smoke_config(config_with(env__window_bars=1_000))
    assert "--smoke" in str(caught.value)
