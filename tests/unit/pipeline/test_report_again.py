"""``truefill report`` writes the page again from verified artifacts, or changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from truefill.config.schema import Config
from truefill.core.errors import ArtifactError, UsageError
from truefill.pipeline.artifacts import Manifest
from truefill.pipeline.folder import write_report
from truefill.pipeline.run import run


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("verdict.json", '"verdict": "', '"verdict": " '),
        ("backtest/metrics.json", '"chosen": "seed-1"', '"chosen": "seed-2"'),
        ("dataset/lineage.json", '"rows": {', '"rows":  {'),
        ("train/seed-1/training.json", '"seed": 1', '"seed": 2'),
        ("train/seed-1/bundle/bundle.json", "a", "b"),
    ],
)
def test_a_tampered_artifact_stops_it(copied: Path, name: str, old: str, new: str) -> None:
    path = copied / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    before = content(copied)
    with pytest.raises(ArtifactError, match="does not match its hash") as caught:
        write_report(copied)
    assert caught.value.where == str(path)
    assert content(copied) == before


def test_a_missing_artifact_stops_it(copied: Path) -> None:
    (copied / "backtest/trades.parquet").unlink()
    before = content(copied)
    with pytest.raises(ArtifactError, match="missing"):
        write_report(copied)
    assert content(copied) == before


@pytest.mark.parametrize("damage", ["deleted", "changed"])
def test_the_page_itself_comes_back_in_the_same_bytes(
    tiny: Config, copied: Path, damage: str
) -> None:
    before = content(copied)
    if damage == "deleted":
        (copied / "report.html").unlink()
    else:
        (copied / "report.html").write_text("scribbled over")
    with pytest.raises(ArtifactError, match=r"report\.html"):
        run(tiny, runs=copied.parent, workers=1, skip_checks=True)
    assert write_report(copied) == copied / "report.html"
    after = content(copied)
    assert after["report.html"] == before["report.html"]
    assert after["manifest.json"] == before["manifest.json"]
    stages = run(tiny, runs=copied.parent, workers=1, skip_checks=True).stages
    assert set(stages.values()) == {"skipped"}
    assert len(stages) == 5


def test_a_page_by_newer_code_is_booked(
    tiny: Config, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page differs: its new hash is in the manifest, and the run still skips every stage."""
    monkeypatch.setattr("truefill.report.html.render_report", lambda folder: "<p>another page")
    write_report(copied)
    assert (copied / "report.html").read_text() == "<p>another page"
    Manifest.open(copied).verify("verdict")
    stages = run(tiny, runs=copied.parent, workers=1, skip_checks=True).stages
    assert set(stages.values()) == {"skipped"}


def test_a_run_without_a_verdict_has_no_report(copied: Path, tmp_path: Path) -> None:
    manifest = Manifest.open(copied)
    del manifest.stages["verdict"]
    manifest.save()
    (tmp_path / "empty").mkdir()
    for folder in (copied, tmp_path / "empty"):
        with pytest.raises(UsageError, match="the run has no verdict yet") as caught:
            write_report(folder)
        assert caught.value.where == str(folder)
    assert not (tmp_path / "empty/report.html").exists()
