"""Files that are whole or absent: written beside, fsynced, renamed.

Every artifact goes through :func:`write_atomic`. Formats: JSON, Parquet, safetensors; no pickle.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from truefill.core.errors import ArtifactError

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

PARTIAL_SUFFIX = ".partial"


def write_atomic(path: Path, write: Callable[[Path], None]) -> None:
    """Call ``write(temporary_path)``, fsync the result and rename it to ``path``.

    A crash at any moment leaves the old file or the new one, never a part of either; what may be
    left is ``path`` + ``.partial``, which nothing reads and the next write replaces.

    Raises:
        ArtifactError: the disk is full, or writing there is not allowed.
    """
    temporary = path.with_name(path.name + PARTIAL_SUFFIX)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_renamed(path, temporary, write)
    except OSError as error:
        raise ArtifactError(
            f"cannot be written: {error.strerror or error}",
            where=str(path),
            do="make room or allow writing there; the same command then goes on",
        ) from error


def _write_renamed(path: Path, temporary: Path, write: Callable[[Path], None]) -> None:
    try:
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_bytes(path: Path, data: bytes) -> None:
    write_atomic(path, lambda temporary: _write(temporary, data))


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write :func:`json_text`."""
    write_text(path, json_text(value))


def json_text(value: Any) -> str:
    """Readable JSON, sorted keys, no NaN (an undefined figure is ``null`` with a reason beside)."""
    return json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n"


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError as error:
        raise ArtifactError("the file does not exist", where=str(path)) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ArtifactError(f"not valid JSON: {error}", where=str(path)) from error


def write_parquet(path: Path, table: pl.DataFrame) -> None:
    """zstd Parquet; the same table gives the same bytes."""
    buffer = BytesIO()
    table.write_parquet(buffer, compression="zstd")
    write_bytes(path, buffer.getvalue())


def read_parquet(path: Path) -> pl.DataFrame:
    import polars as pl

    try:
        return pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise ArtifactError(f"not a readable Parquet file: {error}", where=str(path)) from error


def write_arrays(
    path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None
) -> None:
    """safetensors with ``metadata`` (text) and its own SHA-256 beside the arrays."""
    from safetensors.numpy import save

    text = json.dumps(dict(metadata or {}), sort_keys=True)
    # safetensors writes its metadata map in no fixed order, so it travels as one JSON entry.
    entry = json.dumps({"sha256": _content_sha256(arrays, text), "text": text}, sort_keys=True)
    data = save({key: arrays[key] for key in sorted(arrays)}, metadata={"truefill": entry})
    write_bytes(path, data)


def read_arrays(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Arrays and metadata of a safetensors file that :func:`write_arrays` wrote.

    Raises:
        ArtifactError: it is unreadable, or its content does not match the hash it carries.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            meta = file.metadata() or {}
            arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, UnicodeDecodeError) as error:
        raise ArtifactError(f"not a readable safetensors file: {error}", where=str(path)) from error
    try:
        entry = json.loads(meta["truefill"])
        expected, text = entry["sha256"], entry["text"]
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ArtifactError("the file carries no hash of truefill's", where=str(path)) from error
    if _content_sha256(arrays, text) != expected:
        raise ArtifactError(
            "the content does not match the hash it carries",
            where=str(path),
            do="delete the file (the work since is done again), or run with --fresh",
        )
    return arrays, json.loads(text)


def _content_sha256(arrays: Mapping[str, np.ndarray], text: str) -> str:
    """SHA-256 over names, types, shapes, bytes and metadata."""
    digest = hashlib.sha256(text.encode())
    for key in sorted(arrays):
        array = arrays[key]
        digest.update(f"\0{key}\0{array.dtype}\0{array.shape}\0".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
