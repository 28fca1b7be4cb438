"""What the repository says of itself is true."""

from __future__ import annotations

import re
import subprocess
import tomllib
from itertools import chain
from pathlib import Path

import pytest

import truefill
from truefill.cli.app import app


def targets(repository: Path) -> set[str]:
    text = (repository / "Makefile").read_text()
    return set(re.findall(r"^([a-z0-9-]+):", text, flags=re.MULTILINE))


def test_make_targets_of_the_documents_exist(repository: Path) -> None:
    known = targets(repository)
    files = [repository / "README.md", repository / ".ci" / "run", *repository.glob("docs/*.md")]
    named = {
        name
        for file in files
        for name in re.findall(r"(?:^|`|    )make ([a-z0-9-]+)\b", file.read_text(), re.MULTILINE)
    }
    assert {"demo", "test", "test-slow"} <= named <= known


def test_commands_of_the_readme_exist(repository: Path) -> None:
    registered = {command.name or command.callback.__name__ for command in app.registered_commands}  # type: ignore[union-attr]
    named = set(re.findall(r"bin/truefill ([a-z]+)", (repository / "README.md").read_text()))
    assert named and named <= registered


def test_files_of_the_readme_exist(repository: Path) -> None:
    text = (repository / "README.md").read_text()
    named = re.findall(r"^    ((?:examples|docs|src|tests|benchmarks)/\S*)", text, re.MULTILINE)
    named += re.findall(r"\]\(([^)#:]+)\)", text)
    assert len(named) > 15
    assert [name for name in named if not (repository / name).exists()] == []


def test_the_version_stands_once(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    assert project["version"] == truefill.__version__
    assert f"## {truefill.__version__}" in (repository / "CHANGELOG.md").read_text()


def test_the_lock_pins_every_dependency_and_names_no_host(repository: Path) -> None:
    lock = (repository / "requirements.lock").read_text()
    for extra in ("sb3", "foundation"):
        lock += (repository / f"requirements-{extra}.lock").read_text()
    lines = [line for line in lock.splitlines() if line and not line.startswith("#")]
    assert all(re.match(r"[a-z0-9._-]+==[^\s;]+( ; .+)?$", line) for line in lines)
    assert "://" not in lock
    pinned = {line.split("==")[0].replace("_", "-") for line in lines}
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    names = {re.split(r"[<>=\[ ]", w)[0].lower().replace("_", "-") for w in wanted}
    assert names <= pinned


@pytest.mark.parametrize("script", [".ci/run", ".ci/find-python"])
def test_ci_scripts_are_executable_and_parse(repository: Path, script: str) -> None:
    path = repository / script
    assert path.stat().st_mode & 0o111
    shell = "bash" if "bash" in path.read_text().splitlines()[0] else "sh"
    subprocess.run([shell, "-n", str(path)], check=True)


def test_a_python_that_is_too_old_gets_a_clear_message(repository: Path, tmp_path: Path) -> None:
    old = tmp_path / "python-old"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    script = repository / ".ci" / "find-python"
    done = subprocess.run(
        ["sh", str(script), str(old)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "needs Python 3.11 or later" in done.stderr
    assert "make setup PYTHON=" in done.stderr
