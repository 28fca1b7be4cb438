"""A bundle acts on what it was made for, and refuses everything else."""

from __future__ import annotations

import json
import shutil
from copy import deepcopy
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
import pytest

from config_cases import base_tree, put
from truefill.agents.bundle import FILES, INDEX, Bundle, load_bundle, save_bundle
from truefill.agents.networks import make_network
from truefill.config.load import parse_config, portable
from truefill.core.errors import ArtifactError, PolicyError
from truefill.env.setup import spec_for
from truefill.features.build import BuiltDataset, build_dataset

KINDS = {
    "flat_long": {},
    "hold_buy_sell_close": {"market.allow_short": True},
    "target_weight": {"market.no_trade_band": 0.1},
}


@pytest.fixture(scope="module")
def built() -> BuiltDataset:
    return build_dataset(parse_config(tree_of("flat_long")))


def tree_of(kind: str) -> dict[str, Any]:
    tree = base_tree()
    put(tree, "agent.network", {"hidden": [8]})
    put(tree, "env.action.kind", kind)
    for key, value in KINDS[kind].items():
        put(tree, key, value)
    return tree


def saved(folder: Path, built: BuiltDataset, kind: str) -> Path:
    """A bundle of a fresh network whose last layer is loud, so that its actions differ."""
    config = parse_config(tree_of(kind))
    spec = spec_for(config, tuple(built.lineage["symbols"]), len(built.lineage["features"]))
    network = make_network(jax.random.PRNGKey(1), spec, config.agent)
    arrays, rest = eqx.partition(network, eqx.is_array)
    loud = jax.tree.map(lambda leaf: leaf * 30.0 if leaf.ndim == 2 else leaf, arrays)
    save_bundle(folder, eqx.combine(loud, rest), portable(config), built.lineage, built.norm_stats)
    return folder


@pytest.fixture(scope="module")
def folders(built: BuiltDataset, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("bundles")
    return {kind: saved(base / kind, built, kind) for kind in KINDS}


@pytest.fixture(scope="module")
def bundle(folders: dict[str, Path]) -> Bundle:
    return load_bundle(folders["flat_long"])


def observation(bundle: Bundle, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=bundle.spec.observation_size)


# ---- acting


@pytest.mark.parametrize("kind", ["flat_long", "target_weight"])
def test_it_acts_and_a_copy_acts_the_same(
    folders: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    one = load_bundle(folders[kind])
    shutil.copytree(folders[kind], tmp_path / "copy")
    two = load_bundle(tmp_path / "copy")
    assert one.sha256 == two.sha256
    seen = set()
    for seed in range(20):
        values = observation(one, seed)
        actions = one.act(values, contract_sha256=one.contract_sha256)
        assert actions.shape == (1,)
        assert actions.dtype == (np.float32 if kind == "target_weight" else np.int32)
        again = two.act(values.tolist(), contract_sha256=two.contract_sha256)
        assert actions.tobytes() == again.tobytes()
        seen.add(actions.item())
    assert len(seen) >= 2
    if kind == "flat_long":
        assert seen == {0, 1}


@pytest.mark.parametrize("change", [-1, 1, "empty", "matrix"])
def test_a_wrong_length_is_refused(bundle: Bundle, change: int | str) -> None:
    right = observation(bundle)
    wrong = {-1: right[:-1], 1: np.append(right, 0.0), "empty": [], "matrix": right[None]}[change]
    with pytest.raises(PolicyError, match="the observation has shape") as caught:
        bundle.act(wrong, contract_sha256=bundle.contract_sha256)
    assert f"[{bundle.spec.observation_size}]" in str(caught.value)


def test_another_contract_is_refused(bundle: Bundle) -> None:
    with pytest.raises(PolicyError, match="the observation's feature contract is dddddddddddd"):
        bundle.act(observation(bundle), contract_sha256="d" * 64)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_a_value_that_is_not_finite_is_refused(bundle: Bundle, value: float) -> None:
    values = observation(bundle)
    values[2] = value
    with (
        np.errstate(over="ignore"),
        pytest.raises(PolicyError, match=r"not finite at positions \[2\]"),
    ):
        bundle.act(values, contract_sha256=bundle.contract_sha256)


def test_illegal_actions_need_to_be_told_and_are_never_taken(folders: dict[str, Path]) -> None:
    bundle = load_bundle(folders["hold_buy_sell_close"])
    contract = bundle.contract_sha256
    values = observation(bundle)
    with pytest.raises(PolicyError, match="actions can be illegal") as caught:
        bundle.act(values, contract_sha256=contract)
    assert "legal" in caught.value.do
    for action in range(4):
        legal = np.arange(4)[None] == action
        assert bundle.act(values, contract_sha256=contract, legal=legal).tolist() == [action]
    free = bundle.act(values, contract_sha256=contract, legal=np.ones((1, 4), bool))
    barred = np.arange(4)[None] != free[:, None]
    other = bundle.act(values, contract_sha256=contract, legal=barred)
    assert other.tolist() != free.tolist()


# ---- its dataset


def test_its_own_dataset_is_fine(bundle: Bundle, built: BuiltDataset) -> None:
    bundle.require(built.lineage, built.norm_stats)
    bundle.require(json.loads(json.dumps(built.lineage)), json.loads(json.dumps(built.norm_stats)))


@pytest.mark.parametrize("field", ["mean", "std"])
def test_another_normalizer_is_refused(bundle: Bundle, built: BuiltDataset, field: str) -> None:
    stats = deepcopy(built.norm_stats)
    stats["r4"][field] = np.nextafter(stats["r4"][field], 1.0)
    with pytest.raises(PolicyError, match=r"other statistics than the policy's: r4\b"):
        bundle.require(built.lineage, stats)


def test_other_symbols_are_refused(bundle: Bundle, built: BuiltDataset) -> None:
    for symbols in (["SYN2"], ["SYN1", "SYN2"], []):
        with pytest.raises(PolicyError, match="the policy trades SYN1"):
            bundle.require({**built.lineage, "symbols": symbols}, built.norm_stats)


def test_another_feature_contract_is_refused(bundle: Bundle) -> None:
    tree = tree_of("flat_long")
    put(tree, "features.1.params", {"periods": 5})
    other = build_dataset(parse_config(tree))
    with pytest.raises(PolicyError, match="the policy's feature contract is") as caught:
        bundle.require(other.lineage, other.norm_stats)
    assert "train on this dataset" in caught.value.do


# ---- its files


@pytest.fixture
def copy(folders: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(folders["flat_long"], tmp_path / "bundle"))


def test_the_files_are_as_documented(copy: Path) -> None:
    assert {path.name for path in copy.iterdir()} == {*FILES, INDEX}
    assert b"/" + Path.home().name.encode() + b"/" not in (copy / "config.json").read_bytes()


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["flipped", "missing"])
def test_a_damaged_file_is_named(copy: Path, name: str, damage: str) -> None:
    path = copy / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    if damage == "missing":
        path.unlink()
    with pytest.raises(ArtifactError, match=r"missing|does not match its hash") as caught:
        load_bundle(copy)
    assert caught.value.where == str(path)


def test_a_file_swapped_with_anothers_is_found(copy: Path, folders: dict[str, Path]) -> None:
    foreign = folders["target_weight"] / "config.json"
    (copy / "config.json").write_bytes(foreign.read_bytes())
    with pytest.raises(ArtifactError, match="does not match its hash"):
        load_bundle(copy)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"files": null}', '{"files": {}}'])
def test_a_damaged_index_is_an_artifact_error(copy: Path, text: str) -> None:
    (copy / INDEX).write_text(text)
    with pytest.raises(ArtifactError):
        load_bundle(copy)


def test_a_folder_without_an_index_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="does not exist"):
        load_bundle(tmp_path)
