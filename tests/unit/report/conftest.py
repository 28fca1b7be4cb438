"""Fabricated run folders, written once a session."""

from __future__ import annotations

from pathlib import Path

import pytest

from unit.report.fabricate import fabricate


@pytest.fixture(scope="session")
def opened_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose test split was opened."""
    return fabricate(tmp_path_factory.mktemp("opened") / "sample-3f9a1c")


@pytest.fixture(scope="session")
def closed_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that failed its validation gates."""
    return fabricate(tmp_path_factory.mktemp("closed") / "sample-3f9a1c", opened=False)
