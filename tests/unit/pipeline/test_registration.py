"""``gymnasium.make("truefill/Market-v0")`` and ``make_vec``, in fresh interpreters."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import pytest
from gymnasium.utils.env_checker import check_env

import truefill
from config_cases import base_tree
from truefill.config.load import parse_config
from truefill.config.schema import Config
from truefill.core.errors import SealedTestError, UsageError
from truefill.env.gym_single import MarketEnv
from truefill.env.gym_view import MarketVectorEnv
from truefill.pipeline.registration import ENV_ID
from view_cases import examples

HEAVY = {"jax", "numpy", "gymnasium", "polars"}


def tree() -> dict[str, Any]:
    return {**base_tree(), "env": {"action": {"kind": "flat_long"}, "episode_bars": 7}}


@pytest.fixture(scope="module")
def config() -> Config:
    return parse_config(tree())


def printed(program: str) -> str:
    """What ``program`` prints in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ,
    )
    return done.stdout.strip()


def test_importing_truefill_imports_nothing_heavy() -> None:
    modules = printed("import sys, truefill; print(*sys.modules)").split()
    assert HEAVY & set(modules) == set()


@pytest.mark.parametrize(
    "program",
    [
        "import truefill, gymnasium",
        "import gymnasium, truefill",
        "import importlib.util, truefill; importlib.util.find_spec('gymnasium'); import gymnasium",
        "import truefill, gymnasium.spaces, gymnasium",
    ],
)
def test_either_import_may_come_first(program: str) -> None:
    told = f"{program}; spec = gymnasium.spec({ENV_ID!r}); print(spec.id, 'jax' in sys.modules)"
    assert printed(f"import sys; {told}") == f"{ENV_ID} False"


def test_the_module_in_the_id_does_without_an_import() -> None:
    text = json.dumps(tree())
    program = f"""
import sys, gymnasium, json
assert "truefill" not in sys.modules
try:
    gymnasium.make("truefill:{ENV_ID}", config=json.loads({text!r}))
except Exception as error:
    print(type(error).__name__)
"""
    assert printed(program) == "UsageError"  # found and called: a config is no dict


@pytest.mark.filterwarnings("ignore:.*A Box observation space m..imum value is")
def test_make_gives_the_single_environment(config: Config) -> None:
    env = gymnasium.make(ENV_ID, config=config, render_mode="ansi")
    assert type(env.unwrapped) is MarketEnv
    env.reset(seed=1, options={"start": 30})
    env.step(1)
    line = str(env.render())
    assert line.startswith("bar 31 2020-01-02T") and "equity" in line
    check_env(gymnasium.make(ENV_ID, config=config).unwrapped)


def test_make_vec_gives_one_vector_environment_and_not_copies(
    config: Config, tmp_path: Path
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps(tree()))  # JSON is YAML
    vectors = [
        gymnasium.make_vec(ENV_ID, num_envs=5, config=given) for given in (config, path, str(path))
    ]
    for env in vectors:
        assert type(env) is MarketVectorEnv
        assert env.num_envs == 5
    first, second, third = (env.reset(seed=3)[0].tobytes() for env in vectors)
    assert (
        first == second == third == truefill.make_env(config, num_envs=5).reset(seed=3)[0].tobytes()
    )


def test_splits_are_train_and_validation_and_test_is_sealed(config: Config) -> None:
    train, validation = (
        gymnasium.make(ENV_ID, config=config, split=split).reset(options={"start": 30})[0]
        for split in ("train", "validation")
    )
    assert not (train == validation).all()
    for make in (gymnasium.make, gymnasium.make_vec):
        with pytest.raises(SealedTestError, match="sealed"):
            make(ENV_ID, config=config, split="test")
        with pytest.raises(UsageError, match="no split is called 'tset'"):
            make(ENV_ID, config=config, split="tset")


def test_the_examples_of_the_page_run(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(repository)
    codes = examples(repository, sb3=False)
    assert len(codes) == 2
    for code in codes:
        exec(code, {})
    assert "equity" in capsys.readouterr().out
