"""A stage is done while its key holds; a stage whose inputs are out of date is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from truefill.config.schema import Config
from truefill.core.errors import TruefillError, UsageError
from truefill.pipeline.artifacts import MANIFEST, Manifest
from truefill.pipeline.ledger import Ledger
from truefill.pipeline.run import RunResult, run


def go(config: Config, folder: Path, only: str | None = None) -> RunResult:
    """Run ``config`` in the runs folder of ``folder``."""
    return run(config, runs=folder.parent, only=only, workers=1, skip_checks=True)


def make_stale(folder: Path, stage: str) -> None:
    """Pretend that ``stage`` was done by other code."""
    manifest = Manifest.open(folder)
    manifest.stages[stage]["key"] = "0" * 64
    manifest.save()


def content(folder: Path) -> dict[str, bytes]:
    """Every file but the log, the timing and the lock."""
    skipped = ("log.txt", "timing.json", ".lock")
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in skipped
    }


@pytest.mark.parametrize("only", [None, "dataset", "train", "validate", "test", "verdict"])
def test_everything_is_skipped_while_nothing_changed(
    tiny: Config, copied: Path, only: str | None
) -> None:
    before = content(copied)
    result = go(tiny, copied, only)
    assert result.folder == copied
    assert set(result.stages.values()) == {"skipped"}
    assert set(result.stages) == ({only} if only else {"dataset", "train", "validate", "test",
                                                       "verdict"})  # fmt: skip
    assert content(copied) == before


REFUSED = [
    ("train", "dataset", "dataset"),
    ("validate", "dataset", "dataset"),
    ("validate", "train/seed-1", "train/seed-1"),
    ("validate", "select", "select"),
    ("test", "validate", "validate"),
    ("test", "train/seed-1", "train/seed-1"),
    ("verdict", "dataset", "dataset"),
    ("verdict", "select", "select"),
    ("verdict", "validate", "validate"),
    ("verdict", "test", "test"),
]


@pytest.mark.parametrize(("only", "stale", "named"), REFUSED)
def test_a_stage_refuses_inputs_out_of_date(
    tiny: Config, copied: Path, only: str, stale: str, named: str
) -> None:
    make_stale(copied, stale)
    before = content(copied)
    with pytest.raises(UsageError, match=f"stage {only} needs {named}, which is out of date") as e:
        go(tiny, copied, only)
    assert e.value.exit_code == 2
    assert str(copied) in e.value.where
    assert f"--until {only}" in e.value.do
    after = content(copied)
    assert before.keys() == after.keys()
    assert [name for name in before if before[name] != after[name]] in ([], [MANIFEST])
    assert Manifest.open(copied).stages == json.loads(before[MANIFEST])["stages"]


@pytest.mark.parametrize("only", ["train", "validate", "test", "verdict"])
def test_a_stage_alone_refuses_an_empty_folder(tiny: Config, tmp_path: Path, only: str) -> None:
    with pytest.raises(UsageError, match=f"stage {only} needs dataset, which is not done") as e:
        go(tiny, tmp_path / "runs" / "x", only)
    assert e.value.exit_code == 2
    [folder] = [path for path in (tmp_path / "runs").iterdir() if path.is_dir()]
    assert Manifest.open(folder).stages == {}
    assert not (folder / "backtest").exists()
    assert Ledger(tmp_path / "runs/ledger.sqlite").openings() == []


def test_a_stale_dataset_is_built_again_and_the_same_bytes_keep_the_rest(
    tiny: Config, copied: Path
) -> None:
    before = content(copied)
    make_stale(copied, "dataset")
    stages = go(tiny, copied).stages
    assert stages.pop("dataset") == "done"
    assert set(stages.values()) == {"skipped"}
    assert content(copied) == before


def test_a_stale_verdict_is_made_again_in_the_same_bytes(tiny: Config, copied: Path) -> None:
    before = content(copied)
    make_stale(copied, "verdict")
    assert go(tiny, copied, "verdict").stages == {"verdict": "done"}
    assert content(copied) == before


def test_a_test_that_was_not_booked_is_not_in_the_verdict(tiny: Config, copied: Path) -> None:
    """Killed after writing the test's files and before booking them: they count for nothing."""
    manifest = Manifest.open(copied)
    del manifest.stages["test"]
    manifest.save()
    result = go(tiny, copied, "verdict")
    assert result.stages == {"verdict": "done"}
    assert "test" not in json.loads((copied / "backtest/metrics.json").read_text())
    assert result.verdict == "not enough evidence"
    assert "test" not in Manifest.open(copied).stages


def test_a_changed_artifact_stops_the_stages_that_read_it(tiny: Config, copied: Path) -> None:
    path = copied / "backtest/validation/gates.json"
    path.write_text(path.read_text().replace("true", "false", 1))
    for only in ("test", "verdict", None):
        with pytest.raises(TruefillError, match="does not match its hash") as caught:
            go(tiny, copied, only)
        assert caught.value.where == str(path)


def test_a_folder_of_another_run_is_refused(tiny: Config, copied: Path) -> None:
    manifest = Manifest.open(copied)
    manifest.facts["run"] = "f" * 64
    manifest.save()
    before = content(copied)
    with pytest.raises(TruefillError, match="the folder holds a run of another config") as caught:
        go(tiny, copied)
    assert caught.value.where == str(copied)
    assert content(copied) == before


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_runs_folder_that_cannot_be_is_bad_usage(
    tiny: Config, tmp_path: Path, place: str
) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="the run folder cannot be made") as caught:
        run(tiny, runs=tmp_path / place, workers=1, skip_checks=True)
    assert caught.value.exit_code == 2
    assert "--runs" in caught.value.do
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"only": "tran"}, "Did you mean 'train'"),
        ({"until": "select"}, "no stage is called 'select'"),
        ({"only": "train", "until": "test"}, "not both"),
        ({"workers": 0}, "at least 1"),
    ],
    ids=str,
)
def test_wrong_options_are_bad_usage(
    tiny: Config, tmp_path: Path, options: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        run(tiny, runs=tmp_path / "runs", **options)
    assert not (tmp_path / "runs").exists()
