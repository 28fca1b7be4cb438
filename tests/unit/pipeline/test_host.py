"""What the machine says of itself."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from truefill.core.errors import TruefillError
from truefill.pipeline import host


def test_devices_are_found_without_jax_in_this_process() -> None:
    before = "jax" in sys.modules
    found = host.probe_devices()
    assert found["cpu"]
    assert ("jax" in sys.modules) == before


def test_a_jax_that_does_not_start_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "_PROBE", "raise ImportError('no jaxlib')")
    with pytest.raises(TruefillError, match="jax does not start: ImportError: no jaxlib"):
        host.probe_devices()


def test_figures_are_sane(tmp_path: Path) -> None:
    assert host.cores() >= 1
    assert host.default_workers(1) == 1
    assert host.memory_available_bytes() > 1e6
    assert host.disk_available_bytes(tmp_path / "a" / "b") > 0
    assert host.existing_parent(tmp_path / "a" / "b") == tmp_path
