"""``truefill new`` writes a project that passes its own check, and overwrites nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from truefill.cli.app import app
from truefill.config.load import load_config
from truefill.pipeline.preflight import check

runner = CliRunner()


def test_a_new_project_passes_its_check(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    done = runner.invoke(app, ["new", str(folder)])
    assert done.exit_code == 0, done.output
    assert {"config.yaml", "bars.csv", "README.md", "ATTRIBUTION.md"} <= {
        path.name for path in folder.iterdir()
    }
    config = load_config(folder / "config.yaml")
    assert config.data.bars[0].path == (folder / "bars.csv").resolve()
    failed = [c for c in check(config, runs=tmp_path / "runs") if not c.passed]
    assert failed == []
    assert not (tmp_path / "runs").exists()


def test_every_section_of_its_config_is_commented() -> None:
    from truefill.pipeline.project import FILES

    lines = FILES["config.yaml"].read_text().splitlines()
    assert sum("#" in line for line in lines) > 30


@pytest.mark.parametrize("kind", ["full folder", "file"])
def test_it_refuses_what_is_not_empty(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "mine"
    if kind == "file":
        target.write_text("precious")
    else:
        target.mkdir()
        (target / "config.yaml").write_text("precious")
    done = runner.invoke(app, ["new", str(target)])
    assert done.exit_code == 2
    assert "error:" in done.stderr
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path.read_text() for path in files] == ["precious"]
