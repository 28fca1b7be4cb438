"""What cannot be written is an ArtifactError that says where, and leaves nothing."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from truefill.core.errors import ArtifactError
from truefill.core.files import write_atomic, write_text


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="cannot be written") as caught:
        write_text(tmp_path / "file" / "inner.json", "{}")
    assert caught.value.where == str(tmp_path / "file" / "inner.json")


def test_a_full_disk(tmp_path: Path) -> None:
    def full(path: Path) -> None:
        path.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(ArtifactError, match="No space left on device"):
        write_atomic(tmp_path / "a.json", full)
    assert list(tmp_path.iterdir()) == []
