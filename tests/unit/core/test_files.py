"""Artifacts are whole or absent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from truefill.core import files
from truefill.core.errors import ArtifactError


def test_a_writer_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "artifact.json"
    files.write_json(path, {"version": 1})

    def fails(temporary: Path) -> None:
        temporary.write_text("half")
        raise RuntimeError("disk on fire")

    with pytest.raises(RuntimeError, match="disk on fire"):
        files.write_atomic(path, fails)
    assert files.read_json(path) == {"version": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["artifact.json"]


def test_a_writer_that_fails_the_first_time_leaves_nothing(tmp_path: Path) -> None:
    def fails(temporary: Path) -> None:
        temporary.write_text("half")
        raise RuntimeError("disk on fire")

    with pytest.raises(RuntimeError):
        files.write_atomic(tmp_path / "new" / "artifact", fails)
    assert list((tmp_path / "new").iterdir()) == []


def test_a_process_killed_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "artifact.txt"
    files.write_text(path, "old")
    program = f"""
import os, signal
from pathlib import Path
from truefill.core.files import write_atomic
def write(temporary):
    temporary.write_text("half of the n")
    os.kill(os.getpid(), signal.SIGKILL)
write_atomic(Path({str(path)!r}), write)
"""
    done = subprocess.run([sys.executable, "-c", program], check=False, env=os.environ)
    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    assert path.with_name("artifact.txt" + files.PARTIAL_SUFFIX).read_text() == "half of the n"
    files.write_text(path, "new")
    assert [p.read_text() for p in tmp_path.iterdir()] == ["new"]


def test_json_is_sorted_and_refuses_nan(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    files.write_json(path, {"b": 1, "a": [1.5, None]})
    assert path.read_text().index('"a"') < path.read_text().index('"b"')
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(path, {"a": float("nan")})
    assert files.read_json(path) == {"b": 1, "a": [1.5, None]}


@pytest.mark.parametrize("content", ["{", "", "\x00", "{'a': 1}"])
def test_broken_json_names_the_file(tmp_path: Path, content: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(ArtifactError, match=r"x\.json"):
        files.read_json(path)


def test_what_is_not_there_is_an_artifact_error(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    for read in (files.read_json, files.read_parquet, files.read_arrays):
        with pytest.raises(ArtifactError, match="missing"):
            read(missing)


def test_broken_parquet_and_safetensors_are_artifact_errors(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_bytes(b"PAR1 nonsense")
    for read in (files.read_parquet, files.read_arrays):
        with pytest.raises(ArtifactError, match="broken"):
            read(broken)


def test_equal_tables_and_arrays_give_equal_bytes(tmp_path: Path) -> None:
    table = pl.DataFrame({"x": np.arange(1000) / 7, "s": ["a", "b"] * 500})
    arrays = {"b": np.arange(5.0), "a": np.ones((2, 3), np.float32)}
    for name in ("one", "two"):
        files.write_parquet(tmp_path / f"{name}.parquet", table.clone())
        ordered = arrays if name == "one" else dict(reversed(arrays.items()))
        meta = {"k": "v", "j": "w"} if name == "one" else {"j": "w", "k": "v"}
        files.write_arrays(tmp_path / f"{name}.safetensors", ordered, meta)
    for kind in ("parquet", "safetensors"):
        one, two = (tmp_path / f"{name}.{kind}" for name in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()
    assert files.read_parquet(tmp_path / "one.parquet").equals(table)
    back, meta = files.read_arrays(tmp_path / "two.safetensors")
    assert meta == {"k": "v", "j": "w"}
    assert all(np.array_equal(back[key], arrays[key]) for key in arrays)
    assert back["a"].dtype == np.float32


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)  # fmt: skip


@given(value=JSON)
def test_json_round_trip(value: object, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("json") / "x.json"
    files.write_json(path, value)
    assert files.read_json(path) == value
