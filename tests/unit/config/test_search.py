"""Space files: what they may say, what may be searched, what the config fixes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from config_cases import base_tree, put
from truefill.config.default_space import default_space
from truefill.config.load import _parse, load_config, parse_config, paths_from
from truefill.config.schema import Config
from truefill.config.search import (
    Dimension,
    PruneConfig,
    SearchConfig,
    load_search,
    parse_search,
    space_file,
)
from truefill.config.space import Space, is_set, make_space, with_values
from truefill.config.space import put as put_values
from truefill.core.errors import ConfigError

ROOT = Path(__file__).resolve().parents[3]
RANGE = {"low": 0.1, "high": 0.2}


def config_with(**changes: Any) -> Config:
    tree = base_tree()
    for key, value in changes.items():
        put(tree, key.replace("__", "."), value)
    return parse_config(tree)


def space_of(config: Config, *keys: str) -> Space:
    return make_space(config, {key: Dimension(**RANGE) for key in keys}, where="a.search.yaml")


# ---- the file


def test_the_shipped_spaces_fit_their_configs() -> None:
    files = sorted((ROOT / "examples").glob("*.search.yaml"))
    assert files
    for path in files:
        config = path.with_name(path.name.replace(".search", ""))
        assert space_file(config) == path
        assert len(path.read_text().splitlines()) <= 60
        search = load_search(path)
        assert make_space(load_config(config), search.space, where=str(path)).free


@pytest.mark.parametrize(
    ("tree", "what"),
    [
        ({"trails": 3}, "unknown key 'trails'"),
        ({"trials": 0}, "trials: "),
        ({"space": {"a": {"low": 1}}}, "space.a: give low and high, or choices"),
        ({"space": {"a": {"low": 2, "high": 2}}}, "low 2 is not below high 2"),
        ({"space": {"a": {"low": 0, "high": 1, "log": True}}}, "log needs a low above 0, not 0"),
        ({"space": {"a": {"low": 1, "high": 9, "log": True, "step": 2}}}, "log or step, not both"),
        ({"space": {"a": {"low": 1, "high": 9, "step": 0.5}}}, "write low and high as 1.0"),
        ({"space": {"a": {"low": 1, "high": 2, "choices": [1]}}}, "not both"),
        ({"prune": {"sortino": False}}, "prune: nothing is left to prune by"),
        ({"prune": {"percentile": 101}}, "prune.percentile: "),
        ({"objective": "regime_score"}, "objective regime_score needs prune.regimes"),
        ({"prune": {"regimes": {"weights": {"normal": 0.6}}}}, "add up to 1.1, not to 1"),
        ({"prune": {"regimes": {"quantiles": [0.6, 0.4]}}}, "must ascend between 0 and 1"),
    ],
)
def test_a_wrong_search_is_refused_by_key(tree: dict[str, Any], what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_search(tree, where="a.search.yaml")
    assert what in caught.value.what
    assert caught.value.where == "a.search.yaml"


def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.search.yaml").write_text("- 1\n")
    with pytest.raises(ConfigError, match="must hold a mapping"):
        load_search(tmp_path / "a.search.yaml")


# ---- what may be searched


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("data.interval", "trials are compared on the same data"),
        ("features.0.clip", "the same observations"),
        ("market.fee_bps", "costs and limits are facts of the market"),
        ("market.max_leverage", "costs and limits are facts of the market"),
        ("evaluation.random_draws", "it is the yardstick"),
        ("gates.min_return", "it is the yardstick"),
        ("training.seeds", "seeds are replicates"),
        ("training.eval_episodes", "at the same evaluations"),
        ("training.warm_start", "no hyper-parameter of a training"),
        ("name", "says nothing about a policy"),
    ],
)
def test_what_is_no_hyper_parameter_is_refused_by_name(key: str, why: str) -> None:
    with pytest.raises(ConfigError) as caught:
        space_of(config_with(), key)
    assert caught.value.what.startswith(f"{key!r} cannot be searched: ")
    assert why in caught.value.what
    assert "agent.*" in caught.value.do


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("agent.ppo.gama", "Did you mean 'gamma'?"),
        ("agnt.ppo.gamma", "Did you mean 'agent'?"),
        ("agent.ppo.gamma.low", "'agent.ppo.gamma' has no keys"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest(key: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        space_of(config_with(), key)
    assert caught.value.what == f"unknown key {key!r}"
    assert caught.value.do == hint


@pytest.mark.parametrize(
    "key",
    ["market.stop_loss", "market.trailing_stop.distance", "env.action.params.threshold",
     "agent.ppo.learning_rate", "agent.ppo.learning_rate.end", "training.patience"],
)  # fmt: skip
def test_what_is_a_choice_can_be_searched(key: str) -> None:
    space = space_of(config_with(), key)
    assert list(space.free) == [key]
    assert space.fixed == {}


def test_a_key_inside_another_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"'agent.ppo.clip.end' lies inside 'agent.ppo.clip'"):
        space_of(config_with(), "agent.ppo.clip", "agent.ppo.clip.end")


# ---- what the config fixes


def test_keys_that_the_config_sets_are_fixed_with_their_values() -> None:
    config = config_with(
        agent__ppo={"gamma": 0.99, "clip": {"start": 0.2, "end": 0.1}, "learning_rate": 0.001},
        agent__network={"hidden": [8]},
    )
    keys = ("agent.ppo.gamma", "agent.ppo.clip", "agent.ppo.learning_rate", "agent.network",
            "agent.ppo.entropy")  # fmt: skip
    space = space_of(config, *keys)
    assert list(space.free) == ["agent.ppo.entropy"]
    assert space.fixed == {
        "agent.network": {"hidden": [8]},
        "agent.ppo.clip": {"start": 0.2, "end": 0.1},
        "agent.ppo.gamma": 0.99,  # the default, written out: set all the same
        "agent.ppo.learning_rate": 0.001,
    }


def test_set_on_the_command_line_fixes_too(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump(base_tree()))
    assert not is_set(load_config(path), "agent.ppo.gamma")
    assert is_set(load_config(path, ["agent.ppo.gamma=0.9"]), "agent.ppo.gamma")


def test_what_a_base_file_sets_is_set(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(
        yaml.safe_dump({**base_tree(), "agent": {"ppo": {"gamma": 0.9}}})
    )
    (tmp_path / "c.yaml").write_text("extends: base.yaml\n")
    assert is_set(load_config(tmp_path / "c.yaml"), "agent.ppo.gamma")


def test_nothing_left_to_search_is_an_error() -> None:
    with pytest.raises(ConfigError, match="the config sets every key of the space itself"):
        space_of(config_with(agent__ppo__gamma=0.9), "agent.ppo.gamma")
    with pytest.raises(ConfigError, match="the space is empty"):
        make_space(config_with(), {}, where="a.search.yaml")


def test_drawn_values_are_parsed_as_any_config() -> None:
    config = config_with()
    drawn = with_values(config, {"agent.ppo.gamma": 0.9, "agent.ppo.learning_rate": 0.002,
                                 "market.trailing_stop.distance": 0.01})  # fmt: skip
    assert drawn.agent.ppo.gamma == 0.9
    assert drawn.agent.ppo.learning_rate.start == 0.002
    assert drawn.market.trailing_stop is not None
    assert drawn.market.trailing_stop.distance == 0.01
    with pytest.raises(ConfigError, match="minibatch 1000 does not divide the rollout"):
        with_values(config, {"agent.ppo.minibatch": 1000})


@pytest.mark.parametrize("kind", ["ppo", "recurrent_ppo", "quantile_ppo", "recurrent_quantile_ppo"])
def test_every_learner_has_a_space_of_its_own_that_its_config_takes(kind: str) -> None:
    config = config_with(agent__kind=kind)
    wanted = default_space(config.agent)
    assert make_space(config, wanted, where="space").free == dict(sorted(wanted.items()))
    for end in ("low", "high"):
        values = {
            key: d.choices[0 if end == "low" else -1] if d.choices else getattr(d, end)
            for key, d in wanted.items()
        }
        assert with_values(config, values) != config
    assert ("agent.memory.units" in wanted) == kind.startswith("recurrent")
    assert ("agent.critic.cvar.alpha" in wanted) == ("quantile" in kind)


# ---- the winner's config


def test_what_was_set_and_the_winners_values_make_the_same_config_elsewhere(
    tmp_path: Path,
) -> None:
    for path in sorted((ROOT / "examples").glob("*.yaml")):
        if ".search." in path.name:
            continue
        config, folder = load_config(path), tmp_path / "runs" / "tune-x"
        folder.mkdir(parents=True, exist_ok=True)
        values = {"agent.ppo.gamma": 0.975}
        tree = put_values(config.model_dump(mode="json", exclude_unset=True), values)
        (folder / "best.yaml").write_text(yaml.safe_dump(paths_from(folder, tree)))
        assert load_config(folder / "best.yaml") == with_values(config, values)


def test_the_example_of_the_docs_is_a_search_of_defaults_and_more() -> None:
    text = (ROOT / "docs" / "tuning.md").read_text()
    [block] = re.findall(r"^```yml\n(.*?)^```$", text, re.M | re.S)
    search = parse_search(_parse(block, "docs/tuning.md"))
    assert make_space(config_with(), search.space, where="docs").free.keys() == search.space.keys()
    shown = search.model_copy(update={"seeds": None, "space": {}, "prune": PruneConfig()})
    assert shown == SearchConfig()  # the numbers shown are the defaults
