"""The manifest finds every changed file; a key holds exactly what its stage depends on."""

from __future__ import annotations

import platform
import shutil
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import truefill
from config_cases import base_tree, put
from truefill.config.load import parse_config
from truefill.config.schema import Config
from truefill.core.errors import ArtifactError, ConfigError
from truefill.core.fingerprint import sha256_file
from truefill.data import table
from truefill.pipeline import artifacts
from truefill.pipeline.artifacts import CODE, Manifest, code_hash, stage_key
from truefill.pipeline.folder import input_hashes, run_identity
from truefill.pipeline.run import _Course

# ---- the manifest


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    """One stage with two files, booked under the key ``k``."""
    (tmp_path / "backtest").mkdir()
    (tmp_path / "backtest/metrics.json").write_text("{}")
    (tmp_path / "report.html").write_text("<html>")
    manifest = Manifest.open(tmp_path)
    manifest.record("verdict", "k", ["report.html", "backtest/metrics.json"])
    return manifest


def test_a_recorded_stage_is_done_under_its_key_alone(manifest: Manifest) -> None:
    again = Manifest.open(manifest.folder)
    assert again.done("verdict", "k")
    assert not again.done("verdict", "another key")
    assert not again.done("test", "k")
    assert again.outputs("verdict") == {
        name: sha256_file(manifest.folder / name)
        for name in ("backtest/metrics.json", "report.html")
    }
    assert again.stages["verdict"]["code_sha256"] == code_hash("verdict")


@pytest.mark.parametrize("name", ["backtest/metrics.json", "report.html"])
@pytest.mark.parametrize("damage", ["changed", "emptied", "missing"])
def test_a_damaged_file_is_named(manifest: Manifest, name: str, damage: str) -> None:
    path = manifest.folder / name
    if damage == "missing":
        path.unlink()
    else:
        path.write_text("" if damage == "emptied" else path.read_text() + " ")
    for question in (lambda: manifest.verify("verdict"), lambda: manifest.done("verdict", "k")):
        with pytest.raises(ArtifactError, match=r"missing|does not match") as caught:
            question()
        assert caught.value.where == str(path)
        again = name == "report.html" and damage != "missing"
        assert ("`truefill report RUN`" if again else "--fresh") in caught.value.do
    assert not manifest.done("verdict", "another key")


def test_but_leaves_out_the_named_file_only(manifest: Manifest) -> None:
    (manifest.folder / "report.html").unlink()
    manifest.verify("verdict", but=("report.html",))
    (manifest.folder / "backtest/metrics.json").write_text("[]")
    with pytest.raises(ArtifactError, match="does not match"):
        manifest.verify("verdict", but=("report.html",))


def test_a_file_that_was_not_written_cannot_be_recorded(manifest: Manifest) -> None:
    before = (manifest.folder / artifacts.MANIFEST).read_bytes()
    with pytest.raises(FileNotFoundError):
        manifest.record("test", "k", ["backtest/nothing.json"])
    assert (manifest.folder / artifacts.MANIFEST).read_bytes() == before
    assert "test" not in Manifest.open(manifest.folder).stages


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "{}",
        "[]",
        '{"facts": {}}',
        "\xff",
        '{"facts": {}, "stages": []}',
        '{"facts": {}, "stages": {"dataset": {"key": "k"}}}',
        '{"facts": null, "stages": {}}',
    ],
)
def test_a_damaged_manifest_is_an_artifact_error(tmp_path: Path, text: str) -> None:
    (tmp_path / artifacts.MANIFEST).write_text(text, encoding="latin-1")
    with pytest.raises(ArtifactError, match=r"not a manifest|not valid JSON"):
        Manifest.open(tmp_path)


# ---- the key: code, versions, device, inputs


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package's source that the keys are computed from."""
    copy = tmp_path / "truefill"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(truefill.__file__).parent, copy, ignore=ignored)
    package = SimpleNamespace(__file__=str(copy / "__init__.py"))
    monkeypatch.setattr(artifacts, "truefill", package)
    return copy


ALL = set(CODE)
AFTER_TRAINING = {"select", "validate", "test", "verdict", "tune", "audit"}
FORECASTING = {"forecast_plan", "fit", "forecast"}
DECIDES = {
    "core/fingerprint.py": ALL,
    "config/schema.py": ALL,
    "data/read.py": ALL,
    "features/trend.py": {"dataset", "tune", "audit"},
    "market/rules.py": ALL - {"dataset"},
    "nn/layers.py": ALL - {"dataset"},
    "env/rewards.py": ALL - {"dataset", "forecast_plan", "fit"},
    "agents/ppo.py": ALL - {"dataset", *FORECASTING},
    "forecast/protocol.py": {*FORECASTING, *AFTER_TRAINING},
    "pipeline/forecast_work.py": {*FORECASTING, *AFTER_TRAINING},
    "pipeline/stages.py": ALL - {"dataset"},
    "pipeline/worker.py": ALL - {"dataset"},
    "evaluation/metrics.py": {"forecast", *AFTER_TRAINING},
    "pipeline/assess.py": AFTER_TRAINING,
    "pipeline/ledger.py": AFTER_TRAINING,
    "pipeline/select.py": AFTER_TRAINING,
    "pipeline/rule.py": {"train", *AFTER_TRAINING},
    "report/page.py": {"verdict", "audit"},
    "cli/app.py": {"audit"},
}


@pytest.mark.parametrize("file", DECIDES)
def test_code_decides_the_stages_that_run_it(source: Path, file: str) -> None:
    before = {stage: stage_key(stage, "cpu", {}) for stage in CODE}
    path = source / file
    path.write_text(path.read_text() + "\n")
    after = {stage: stage_key(stage, "cpu", {}) for stage in CODE}
    assert {stage for stage in CODE if before[stage] != after[stage]} == DECIDES[file]


def test_a_new_or_renamed_source_file_counts(source: Path) -> None:
    before = code_hash("train")
    (source / "market/fees.py").write_text("")
    added = code_hash("train")
    (source / "market/fees.py").rename(source / "market/tolls.py")
    assert len({before, added, code_hash("train")}) == 3


def test_versions_device_and_inputs_are_in_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = {"dataset": {"train.parquet": "aa"}, "seed": 1}
    base = stage_key("train/seed-1", "cpu", inputs)
    assert stage_key("train/seed-1", "cpu", deepcopy(inputs)) == base
    others = [
        stage_key("train/seed-2", "cpu", inputs),
        stage_key("train/seed-1", "gpu", inputs),
        stage_key("train/seed-1", "cpu", {**inputs, "seed": 2}),
        stage_key("train/seed-1", "cpu", {**inputs, "dataset": {"train.parquet": "ab"}}),
    ]
    for library in artifacts.LIBRARIES:
        with monkeypatch.context() as patch:
            patch.setattr(artifacts, "version", lambda name, it=library: "0" if name == it else "1")
            others.append(stage_key("train/seed-1", "cpu", inputs))
    with monkeypatch.context() as patch:
        patch.setattr(platform, "python_version_tuple", lambda: ("3", "99", "1"))
        others.append(stage_key("train/seed-1", "cpu", inputs))
    assert len({base, *others}) == 1 + len(others)


# ---- the key: which part of the config decides which stage


def keys_of(folder: Path, workers: int | None = None, **changes: Any) -> dict[str, str]:
    """Stage -> key in a run of the small config with ``a__b`` changed, all outputs made up."""
    tree = base_tree()
    for key, value in {"training__seeds": [1, 2, 3], **changes}.items():
        put(tree, key.replace("__", "."), value)
    course = _Course(
        parse_config(tree), folder, "identity", {"bars.0": "aa"}, workers, lambda _: None, True
    )
    names = ("dataset", *(f"train/seed-{seed}" for seed in range(1, 5)), "select", "validate")
    course.manifest.stages = {name: {"artifacts": {name: "aa"}} for name in names}
    keys = {stage: course._key(stage) for stage in ("dataset", "select", "validate", "test")}
    return {**keys, "train": course._key("train", seed=1)}


ASSESSED = {"select", "validate", "test"}
CHANGES: list[tuple[dict[str, Any], set[str]]] = [
    ({"market__fee_bps": 1}, {"train", *ASSESSED}),
    ({"env__episode_bars": 7}, {"train", *ASSESSED}),
    ({"agent__ppo__gamma": 0.5}, {"train", *ASSESSED}),
    ({"training__total_steps": 400_000}, {"train", *ASSESSED}),
    ({"training__eval_seed": 3}, {"train", *ASSESSED}),
    ({"data__synthetic__seed": 9}, {"dataset", *ASSESSED}),
    ({"features__0__params": {"periods": 2}}, {"dataset", *ASSESSED}),
    ({"market__atr_stops": {"period": 5}}, {"dataset", "train", *ASSESSED}),
    ({"market__no_trade": [{"start": "17:00", "end": "18:00"}]}, {"dataset", "train", *ASSESSED}),
    ({"data__seasonality": {"fit": ["spread"]}}, {"dataset", *ASSESSED}),
    ({"evaluation__random_draws": 9}, ASSESSED),
    ({"gates__min_return": 0.1}, ASSESSED),
    ({"training__seeds": [1, 2, 3, 4]}, ASSESSED),
    ({"training__worker_timeout_s": 1}, ASSESSED),
    ({"training__tensorboard": True}, ASSESSED),
    ({"workers": 2}, set()),
]


@pytest.mark.parametrize(("changes", "decides"), CHANGES, ids=lambda v: "-".join(sorted(v)))
def test_the_config_decides(tmp_path: Path, changes: dict[str, Any], decides: set[str]) -> None:
    before, after = keys_of(tmp_path), keys_of(tmp_path, **changes)
    assert {stage for stage in before if before[stage] != after[stage]} == decides


def test_each_seed_has_its_own_key_and_needs_its_dataset(tmp_path: Path) -> None:
    def course(outputs: str, inputs: str = "aa") -> _Course:
        course = _Course(
            parse_config(base_tree()),
            tmp_path,
            "id",
            {"bars.0": inputs},
            None,
            lambda _: None,
            True,
        )
        course.manifest.stages = {"dataset": {"artifacts": {"train.parquet": outputs}}}
        return course

    one = course("aa")
    assert one._key("train", seed=1) != one._key("train", seed=2)
    assert one._key("train", seed=1) != course("ab")._key("train", seed=1)
    assert one._key("train", seed=1) == course("aa", "ab")._key("train", seed=1)
    assert one._key("dataset") != course("aa", "ab")._key("dataset")


# ---- what a run is


def bars_config(path: Path | str) -> Config:
    tree = base_tree()
    del tree["data"]["synthetic"]
    tree["data"]["bars"] = [{"path": str(path), "symbol": "X"}]
    return parse_config(tree)


def identity(path: Path | str) -> str:
    config = bars_config(path)
    return run_identity(config, input_hashes(config))


def test_a_run_is_its_config_and_data_wherever_they_lie(tmp_path: Path) -> None:
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "bars.csv").write_text("timestamp,close\n2020-01-01,1\n")
    same = identity(tmp_path / "here/bars.csv")
    assert identity(tmp_path / "there/bars.csv") == same
    (tmp_path / "there/bars.csv").write_text("timestamp,close\n2020-01-01,2\n")
    assert identity(tmp_path / "there/bars.csv") != same
    (tmp_path / "here/bars.csv").rename(tmp_path / "here/other.csv")
    assert identity(tmp_path / "here/other.csv") != same


def test_every_setting_is_in_the_identity() -> None:
    tree = base_tree()
    base = run_identity(parse_config(tree), {})
    found = {base}
    for key, value in (("name", "x"), ("device", "cpu"), ("market.fee_bps", 1),
                       ("training.worker_timeout_s", 1), ("gates.min_return", 0.5)):  # fmt: skip
        other = base_tree()
        put(other, key, value)
        found.add(run_identity(parse_config(other), {}))
    assert len(found) == 6


def test_a_sample_counts_by_its_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = bars_config("sample:eurusd_1h")
    shipped = table.SAMPLE_FOLDER / "eurusd_1h.csv"
    assert input_hashes(config) == {"bars.0": sha256_file(shipped)}
    changed = tmp_path / shipped.name
    changed.write_bytes(shipped.read_bytes().replace(b"1", b"2", 1))
    monkeypatch.setattr(table, "SAMPLE_FOLDER", tmp_path)
    assert input_hashes(config) == {"bars.0": sha256_file(changed)}
    assert sha256_file(changed) != sha256_file(shipped)


@pytest.mark.parametrize("kind", ["series", "releases", "events", "exchange_rates", "finer_bars"])
def test_every_file_is_an_input_whose_change_builds_the_dataset_again(
    tmp_path: Path, kind: str
) -> None:
    entries: dict[str, Any] = {
        "series": {"columns": {"v": "cpi"}, "publication_lag": "1d"},
        "releases": {"known_ahead": "7d"},
        "events": {"kind": "funding", "symbol": "X", "column": "rate"},
        "exchange_rates": {"symbols": ["X"]},
        "finer_bars": {"symbol": "X"},
    }
    tree = base_tree()
    del tree["data"]["synthetic"]
    tree["data"]["bars"] = [{"path": str(tmp_path / "bars.csv"), "symbol": "X"}]
    tree["data"][kind] = [{"path": str(tmp_path / "other.csv"), **entries[kind]}]
    if kind == "finer_bars":
        tree["data"]["finer_interval"] = "5m"
    config = parse_config(tree)
    (tmp_path / "bars.csv").write_text("timestamp,close\n2020-01-01,1\n")

    def course(text: str) -> _Course:
        (tmp_path / "other.csv").write_text(text)
        inputs = input_hashes(config)
        assert inputs.keys() == {"bars.0", f"{kind}.0"}
        identity = run_identity(config, inputs)
        return _Course(config, tmp_path, identity, inputs, None, lambda _: None, True)

    before, after = course("timestamp,rate\n2020-01-01,1\n"), course("timestamp,rate\n")
    assert before.identity != after.identity
    assert before._key("dataset") != after._key("dataset")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.csv"):
        input_hashes(bars_config(tmp_path / "nowhere.csv"))
