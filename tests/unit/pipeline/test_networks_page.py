"""docs/networks.md: its own network and its own policy are run as written."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import polars as pl
import pytest
import yaml

import truefill
from small_run import TREE
from truefill.agents.encoders import ENCODERS
from truefill.agents.networks import make_network
from truefill.config.load import load_config, parse_config
from truefill.config.schema import GatesConfig
from truefill.core import plugins
from truefill.core.errors import ConfigError, PolicyError
from truefill.core.files import read_json
from truefill.core.registry import PLUGGED
from truefill.evaluation.policies import POLICIES
from truefill.pipeline.estimate import env_spec
from truefill.pipeline.preflight import _registered, check

PAGE = Path(__file__).parents[3] / "docs" / "networks.md"


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    plugins._unregister(plugins._LOADED)
    plugins._LOADED.clear()
    assert not [e for registry in PLUGGED for e in registry if plugins.file_of(e)]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)


def written(folder: Path, **more: Any) -> Path:
    """The page's file and configs, merged into a run that takes seconds."""
    (folder / "mine.py").write_text("\n\n".join(blocks("python")))
    tree = {**TREE, "plugins": ["mine.py"]}
    _, network, policies = (yaml.safe_load(text) for text in blocks("yaml"))
    tree["env"] = {**tree["env"], **network["env"]}
    tree["agent"] = {**tree["agent"], **network["agent"]}
    tree["evaluation"] = {**tree["evaluation"], **policies["evaluation"]}
    tree["training"] = {
        **tree["training"], "seeds": [1], "total_steps": 8_192, "eval_every_steps": 4_096
    }  # fmt: skip
    tree["evaluation"]["min_positive_seeds"] = 1
    path = folder / "page.yaml"
    path.write_text(yaml.safe_dump({**tree, **more}))
    return path


def test_the_first_example_is_a_network() -> None:
    tree = yaml.safe_load(blocks("yaml")[0])
    path = {**TREE, **{key: {**TREE[key], **tree[key]} for key in ("env", "agent")}}
    config = parse_config(path)
    network = make_network(jax.random.PRNGKey(0), env_spec(config), config.agent)
    assert len(network.encoders) == 1 and len(network.policy_trunk) == 2


def test_a_check_knows_network_and_policies(tmp_path: Path) -> None:
    config = load_config(written(tmp_path))
    found = {c.name: c for c in check(config, runs=tmp_path)}
    assert found["network"].figure == "encoder decay, window 8 x 2" and found["network"].passed
    assert found["policies"].figure == "2 of your own"
    assert "decay" in ENCODERS and "calm" in POLICIES


@pytest.mark.slow
def test_the_page_runs_as_written(tmp_path: Path) -> None:
    off = dict.fromkeys(n for n in GatesConfig.model_fields if n != "min_rows")
    config = load_config(written(tmp_path, gates={**off, **TREE["gates"]}))
    result = truefill.run(config, runs=tmp_path / "runs", workers=1)
    assert result.verdict
    folder = result.folder
    metrics = read_json(folder / "backtest/metrics.json")
    curves = pl.read_parquet(folder / "backtest/equity.parquet")
    for split in ("validation", "test"):
        assert {"calm", "calm_long"} <= metrics[split].keys() & metrics["paired"][split].keys()
        calm, long = metrics[split]["calm"], metrics[split]["calm_long"]
        assert calm["closed_trades"] > long["closed_trades"] and long["total_cost"] > 0.0
    assert {"calm", "calm_long"} <= set(curves["strategy"].unique())
    assert "beats_calm" not in (folder / "verdict.json").read_text()
    assert "Calm long" in (folder / "report.html").read_text()
    with sqlite3.connect(tmp_path / "runs/ledger.sqlite") as ledger:
        looks = ledger.execute("SELECT policy, split, sharpe FROM looks WHERE seed = -2").fetchall()
    assert len({policy for policy, _, _ in looks}) == 2 and len(looks) == 4
    bundle_needs_its_file(folder / "train/seed-1/bundle", tmp_path / "mine.py")


def bundle_needs_its_file(folder: Path, file: Path) -> None:
    plugins._unregister(plugins._LOADED)
    plugins._LOADED.clear()
    with pytest.raises(PolicyError, match=r"'decay' is of the plug-in mine.py .* is not loaded"):
        truefill.load_bundle(folder)
    bundle = truefill.load_bundle(folder, plugins=[file])
    assert bundle.network.encoders[0].half_lives == (1.0, 4.0)
    seen = np.zeros(bundle.spec.observation_size)
    bundle.act(seen, contract_sha256=bundle.contract_sha256)
    file.write_text(file.read_text() + "\n")
    with pytest.raises(PolicyError, match="differs from the loaded one") as caught:
        truefill.load_bundle(folder, plugins=[file])
    assert "plugins=['mine.py']" in caught.value.do


def test_a_worker_refuses_a_file_that_has_changed(tmp_path: Path) -> None:
    config = load_config(written(tmp_path))
    before = plugins.load_plugins(config.plugins)
    (tmp_path / "mine.py").write_text((tmp_path / "mine.py").read_text() + "\n")
    with pytest.raises(ConfigError, match="changed since this run began"):
        plugins.require_unchanged(plugins.load_plugins(config.plugins), before)


@pytest.mark.parametrize(
    ("change", "name", "words"),
    [
        ({"encoder": {"kind": "decai"}}, "network", "no encoder is called 'decai'"),
        ({"encoder": {"kind": "cnn", "params": {"kernels": 3}}}, "network", "'kernels'"),
        ({"encoder": {"kind": "cnn", "params": {"kernel": 9}}}, "network", "spans 9 positions"),
        ({"policy": "clam"}, "policies", "no policy is called 'clam'"),
        ({"policy": "calm", "params": {"bar": 3}}, "policies", "'bar'"),
    ],
)
def test_a_check_names_what_is_wrong(
    tmp_path: Path, change: dict[str, Any], name: str, words: str
) -> None:
    config = load_config(written(tmp_path))
    tree = config.model_dump(mode="json")
    if name == "network":
        tree["agent"]["network"].update(change)
    else:
        tree["evaluation"]["policies"] = [change]
    found = {c.name: c for c in _registered(parse_config(tree))}
    assert not found[name].passed and words in found[name].figure
    assert "Did you mean" in found[name].do or "spans" in words
