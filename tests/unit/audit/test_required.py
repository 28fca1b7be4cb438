"""``audit: required``: a run asks for a certificate of its own config, data and code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from data_cases import walk
from small_run import TREE
from truefill.audit.certificate import FILE, certificate
from truefill.config.load import load_config
from truefill.config.schema import Config
from truefill.core.errors import ArtifactError, UsageError
from truefill.core.files import write_json
from truefill.pipeline import artifacts
from truefill.pipeline.artifacts import Manifest
from truefill.pipeline.audit import STAGE, audit_key
from truefill.pipeline.folder import input_hashes, run_identity
from truefill.pipeline.run import RunResult, _Course, run

DO = "truefill audit CONFIG"
CHECK = {"check": "a/b", "cuts": 1, "comparisons": 1, "values_compared": 1, "findings": []}


class AdmittedError(Exception):
    """The run was let in: the auditor has no more to say."""


@pytest.fixture(autouse=True)
def only_the_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    def let_in(course: _Course) -> None:
        raise AdmittedError

    monkeypatch.setattr(_Course, "_preflight", let_in)
    monkeypatch.setattr(_Course, "_resolve_device", lambda course: "cpu")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return written(tmp_path)


def written(folder: Path, **changes: Any) -> Config:
    """The small run on a file of bars, with a certificate required."""
    walk(400).write_csv(folder / "bars.csv")
    splits = {"train": ("01", "08"), "validation": ("08", "12"), "test": ("12", "16")}
    tree = {
        **TREE,
        "data": {
            "bars": [{"path": "bars.csv"}],
            "interval": "1h",
            "splits": {
                name: {"start": f"2020-01-{a}", "end": f"2020-01-{b}"}
                for name, (a, b) in splits.items()
            },
        },
        "features": [{"name": "ret", "calculator": "log_return"}],
        "audit": "required",
        **changes,
    }
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(tree))
    return load_config(path)


def certified(config: Config, runs: Path, *, quick: bool = False, result: str = "passed") -> Path:
    """Book a certificate where ``truefill audit`` would; the run's folder."""
    inputs = input_hashes(config)
    folder = runs / f"{config.name}-{run_identity(config, inputs)[:6]}"
    folder.mkdir(parents=True)
    leaks = [{"check": "a/b"}] if result == "leak" else []
    made = certificate(
        name=config.name, config={}, inputs=inputs, code_sha256="", quick=quick,
        checks=[{**CHECK, "result": result, "findings": leaks}],
    )  # fmt: skip
    write_json(folder / FILE, made)
    Manifest.open(folder).record(STAGE, audit_key(config, inputs, "cpu"), [FILE])
    return folder


def start(config: Config, runs: Path) -> RunResult:
    return run(config, runs=runs, workers=1)


def refused(config: Config, runs: Path) -> str:
    with pytest.raises(UsageError) as caught:
        start(config, runs)
    assert caught.value.where == "audit: required" and caught.value.do == DO
    return caught.value.what


def test_without_a_certificate_the_run_is_refused(config: Config, tmp_path: Path) -> None:
    assert "there is no leak certificate" in refused(config, tmp_path / "runs")


def test_a_current_certificate_lets_the_run_in(config: Config, tmp_path: Path) -> None:
    folder = certified(config, tmp_path / "runs")
    with pytest.raises(AdmittedError):
        start(config, tmp_path / "runs")
    assert (folder / FILE).is_file()


def test_another_config_needs_another_certificate(config: Config, tmp_path: Path) -> None:
    certified(config, tmp_path / "runs")
    other = written(tmp_path, market={**TREE["market"], "fee_bps": 2})
    assert "no leak certificate of this config" in refused(other, tmp_path / "runs")


def test_other_data_need_another_certificate(config: Config, tmp_path: Path) -> None:
    certified(config, tmp_path / "runs")
    walk(400, seed=9).write_csv(tmp_path / "bars.csv")
    assert "no leak certificate of this config, these data" in refused(config, tmp_path / "runs")


def test_other_code_makes_the_certificate_stale(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certified(config, tmp_path / "runs")
    monkeypatch.setattr(artifacts, "code_hash", lambda stage: "other code")
    assert "stale" in refused(config, tmp_path / "runs")


def test_a_plugin_is_data_of_the_certificate(tmp_path: Path) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text("# one\n")
    config = written(tmp_path, plugins=["mine.py"])
    certified(config, tmp_path / "runs")
    plugin.write_text("# two\n")
    assert "no leak certificate" in refused(config, tmp_path / "runs")


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ({"quick": True}, "--quick"),
        ({"result": "leak"}, "did not pass: 1 leak was found"),
        ({"result": "inconclusive"}, "nothing is proven of a/b"),
    ],
)
def test_a_certificate_that_proves_too_little_is_refused(
    config: Config, tmp_path: Path, kind: dict[str, Any], said: str
) -> None:
    certified(config, tmp_path / "runs", **kind)
    assert said in refused(config, tmp_path / "runs")


def test_a_certificate_that_was_edited_is_refused(config: Config, tmp_path: Path) -> None:
    folder = certified(config, tmp_path / "runs", quick=True)
    path = folder / FILE
    path.write_text(path.read_text().replace('"quick": true', '"quick": false'))
    with pytest.raises(ArtifactError, match="does not match its hash"):
        start(config, tmp_path / "runs")


def test_where_none_is_required_a_stale_one_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = written(tmp_path, audit="optional")
    folder = certified(config, tmp_path / "runs")
    monkeypatch.setattr(artifacts, "code_hash", lambda stage: "other code")
    with pytest.raises(AdmittedError):
        start(config, tmp_path / "runs")
    assert not (folder / FILE).exists() and STAGE not in Manifest.open(folder).stages
