"""Encoders and policies in a user's file: what is wrong with them is told with file and line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import pytest

from config_cases import base_tree
from env_cases import environment, random_split
from network_cases import FEATURES, STATE, WINDOW, network_config
from truefill.agents.encoders import ENCODERS
from truefill.agents.encoders.base import Inputs, cost, make_encoders, require_independent
from truefill.config.load import parse_config
from truefill.core import plugins
from truefill.core.errors import ConfigError, PolicyError
from truefill.evaluation.backtest import backtest
from truefill.evaluation.policies import POLICIES, Given, UserPolicy, make_policy, played_as
from truefill.features.contract import FeatureSpec
from truefill.features.registry import CALCULATORS
from truefill.pipeline.preflight import _registered

ENCODER = """
import jax.numpy as jnp
import truefill
from truefill.agents.encoders import Encoder
from truefill.core.registry import Params
@truefill.encoder("mine", Params)
class Mine(Encoder):
    weight: object
    def __init__(self, key, params, inputs):
        self.weight = {weight}
    def __call__(self, market, state):
        return {out}
"""
POLICY = """
import jax.numpy as jnp
import truefill
from truefill.core.registry import Params
from truefill.evaluation.policies import OwnPolicy
@truefill.policy("own", Params)
class Own(OwnPolicy):
    row: object
    def __init__(self, params, given):
        self.row = {row}
    def initial(self, count):
        return jnp.zeros(count)
    def decide(self, memory, seen):
        {decide}
"""
ONE = "jnp.ones((), jnp.float32)"
LAST = "market[-1] * self.weight"
LONG = "return jnp.full((2, memory.shape[0]), 2), memory"


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    plugins._unregister(plugins._LOADED)
    plugins._LOADED.clear()


def loaded(folder: Path, text: str, name: str = "mine.py") -> Path:
    path = folder / name
    path.write_text(text)
    plugins.load_plugins([path])
    return path


def made(weight: str = ONE, out: str = LAST) -> Any:
    inputs = Inputs(WINDOW, FEATURES, STATE, network_config("mine"))
    return make_encoders(jax.random.PRNGKey(0), inputs, 1), inputs


@pytest.mark.parametrize(
    ("weight", "out", "words", "where"),
    [
        ("1 / 0", LAST, "mine failed: ZeroDivisionError", "mine.py line 10"),
        (ONE, "market[-1] @ market", "mine failed: ", "mine.py line 12"),
        (ONE, "market", r"mine gave float32\[7, 3, 13\] for 13 accounts", ""),
        (ONE, "market[-1] > 0", r"mine gave bool\[3, 13\]", ""),
        (ONE, "market[-1] * jnp.ones(1)", r"mine gave float64\[3, 13\]", ""),
        ("jnp.arange(3)", LAST, "mine holds int", ""),
        ("'text'", LAST, "mine holds str, and only float32 arrays can be learned", ""),
    ],
)
def test_a_broken_encoder_is_named(
    tmp_path: Path, weight: str, out: str, words: str, where: str
) -> None:
    loaded(tmp_path, ENCODER.format(weight=weight, out=out))
    with pytest.raises(ConfigError, match=words) as caught:
        made()
    assert caught.value.where == "agent.network.encoder" + (f": {where}" if where else "")
    assert caught.value.do


def test_an_encoder_that_mixes_accounts_is_refused(tmp_path: Path) -> None:
    """Trained among many and then alone, it would be blind."""
    mixes = "market[-1] - market[-1].mean(axis=1, keepdims=True)"
    loaded(tmp_path, ENCODER.format(weight=ONE, out=mixes))
    with pytest.raises(ConfigError, match="mine gives an account something else when it is alone"):
        require_independent(made()[1])
    loaded(tmp_path, ENCODER.format(weight=ONE, out=LAST))
    require_independent(made()[1])


def test_the_preflight_makes_policies(tmp_path: Path) -> None:
    """A feature that there is not is found before anything is trained."""
    asks = POLICY.format(row="given.rows('nope')", decide=LONG)
    path = loaded(
        tmp_path,
        asks.replace("row: object", "row: object = eqx.field(static=True)").replace(
            "import truefill", "import equinox as eqx, truefill", 1
        ),
    )
    tree = {**base_tree(), "plugins": [str(path)]}
    tree["evaluation"] = {"policies": [{"policy": "own"}]}
    [found] = [c for c in _registered(parse_config(tree)) if c.name == "policies"]
    assert not found.passed and "no feature is called 'nope'" in found.figure


def test_one_file_may_hold_every_kind(tmp_path: Path) -> None:
    """And an encoder that does not tell its cost is counted."""
    text = ENCODER.format(weight=ONE, out=LAST) + POLICY.format(row=1, decide=LONG)
    path = loaded(tmp_path, text)
    (_, units), inputs = made()
    adds, same = cost(inputs)
    assert units == same == FEATURES and adds >= 1
    assert plugins.hashes_with([path], ENCODERS) == plugins.hashes_with([path], POLICIES)
    assert plugins.hashes_with([path], CALCULATORS) == {}
    assert plugins.sha256_of(ENCODERS, "mine") == plugins.sha256_of(POLICIES, "own")
    assert plugins.sha256_of(ENCODERS, "cnn") == {}
    other = tmp_path / "other.py"
    other.write_text(ENCODER.format(weight="1", out=LAST).replace('"mine"', '"cnn"'))
    with pytest.raises(ConfigError, match="encoder 'cnn' is taken by truefill itself"):
        plugins.load_plugins([other])
    with pytest.raises(ConfigError, match=r"mine is an encoder of mine\.py, which this config"):
        plugins.load_plugins([path])
        plugins.require_named([], ENCODERS, "mine", "agent.network.encoder")


def given_of(env: Any, **norm: Any) -> Given:
    features = tuple(
        FeatureSpec(
            name=f"f{i}", calculator="c", params={}, normalizer=kind, low=10.0, high=30.0,
            pre_clip=None, clip=None, clip_low=None, warmup_bars=0, lookback_bars=1,
            values_needed=None, unit="x", level=False,
        )
        for i, kind in enumerate(("zscore", "minmax", "none"))
    )  # fmt: skip
    stats = {name: {"mean": 2.0, "std": 4.0} for name in ("f0", "f1", "f2")}
    return Given(env.spec, features, stats, "0" * 64)


def test_a_policy_sees_features_in_their_own_unit() -> None:
    env = environment(random_split(2), {"env.window_bars": 3})
    given = given_of(env)
    count = env.spec.num_features
    rows = [given.rows(f"f{i}", back) for back in (0, 2) for i in range(3)]
    everything = list(range(env.spec.observation_size))
    assert everything[rows[0]] == [2 * count, 2 * count + 3] and everything[rows[4]] == [1, 4]
    assert given.raw("f0", 0.5) == 4.0 and given.normalized("f0", 4.0) == 0.5
    assert given.raw("f1", 0.5) == 20.0 and given.normalized("f1", 20.0) == 0.5
    assert given.raw("f2", 0.5) == 0.5
    state = env.spec.state_features
    last = given.state_rows(state[-1])
    assert last.stop == env.spec.observation_size
    assert given.state_rows(state[0]).start == 3 * count
    for call in (lambda: given.rows("f9"), lambda: given.rows("f0", 3),
                 lambda: given.state_rows("postion")):  # fmt: skip
        with pytest.raises(ConfigError) as caught:
            call()
        assert caught.value.do


def own_policy(folder: Path, **text: Any) -> tuple[UserPolicy, Any, Any]:
    split = random_split(2, masked=0.0)
    keys = {"market.allow_short": True, "env.action.kind": "short_flat_long"}
    env = environment(split, keys, "backtest")
    loaded(folder, POLICY.format(**{"row": "1.0", "decide": LONG, **text}), "own.py")
    return make_policy("own", {}, given_of(env), "evaluation.policies.0"), env, split


@pytest.mark.parametrize(
    ("text", "words", "line"),
    [
        ({"row": "given.rows('f7')"}, "no feature is called 'f7'", 10),
        ({"decide": "return 1 / 0, memory"}, "own failed: ZeroDivisionError", 14),
        ({"decide": "return jnp.zeros(2), memory"}, r"the policy gave float64\[2\]", 0),
        ({"decide": LONG + "[None]"}, "begins with .* in memory and goes on with", 0),
        ({"row": "'text'"}, "own holds str, which is no number and no array", 0),
    ],
)
def test_a_broken_policy_is_named(
    tmp_path: Path, text: dict[str, str], words: str, line: int
) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        own_policy(tmp_path, **text)
    assert caught.value.where.startswith("evaluation.policies.0")
    assert f"own.py line {line}" in caught.value.where or not line


@pytest.mark.slow
def test_an_action_that_does_not_exist_stops_the_backtest(tmp_path: Path) -> None:
    good, env, split = own_policy(tmp_path)
    trace = backtest(good, env, split, good.contract_sha256)[0]
    assert trace.weights.max() > 0.1
    bad, env, split = own_policy(tmp_path, decide=LONG.replace("2)", "3)"))
    assert bad.sha256 != good.sha256
    words = r"^evaluation\.policies: own gave an action outside 0\.\.2"
    with pytest.raises(PolicyError, match=words), played_as("own"):
        backtest(bad, env, split, bad.contract_sha256)


def test_strategies_have_names_of_their_own() -> None:
    tree = base_tree()
    for names in (["flat"], ["a", "a"]):
        tree["evaluation"] = {"policies": [{"policy": name} for name in names]}
        with pytest.raises(ConfigError, match="is there twice"):
            parse_config(tree)
    tree["evaluation"]["policies"][1]["label"] = "b"
    own = parse_config(tree).evaluation.policies
    assert [one.name for one in own] == ["a", "b"]
