"""Fits of earlier runs: taken whole and verified, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from truefill.core.errors import ArtifactError
from truefill.pipeline.fit_store import FitStore


def unit(folder: Path, text: str = "weights") -> Path:
    folder.mkdir(parents=True)
    (folder / "model").write_text(text)
    (folder / "facts.json").write_text("{}")
    return folder


def test_what_is_kept_is_taken(tmp_path: Path) -> None:
    store = FitStore(tmp_path / "runs")
    assert store.take("k", tmp_path / "other") is None
    store.keep("k", unit(tmp_path / "one"), ["model", "facts.json"])
    assert sorted(store.take("k", tmp_path / "other") or []) == ["facts.json", "model"]
    assert (tmp_path / "other/model").read_text() == "weights"


def test_the_first_one_stays(tmp_path: Path) -> None:
    store = FitStore(tmp_path / "runs")
    store.keep("k", unit(tmp_path / "one"), ["model"])
    store.keep("k", unit(tmp_path / "two", "others"), ["model"])
    store.take("k", tmp_path / "taken")
    assert (tmp_path / "taken/model").read_text() == "weights"
    assert [path.name for path in store.folder.iterdir()] == ["k"]


@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_a_damaged_fit_is_an_error_and_nothing_is_taken(tmp_path: Path, damage: str) -> None:
    store = FitStore(tmp_path / "runs")
    store.keep("k", unit(tmp_path / "one"), ["facts.json", "model"])
    path = store.folder / "k/model"
    path.write_text("others") if damage == "changed" else path.unlink()
    with pytest.raises(ArtifactError, match="not what it was"):
        store.take("k", tmp_path / "taken")
    assert not (tmp_path / "taken").exists()
