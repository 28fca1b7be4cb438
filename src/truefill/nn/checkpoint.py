"""Pytrees to and from safetensors, every leaf under its path."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from truefill.core.errors import ArtifactError
from truefill.core.files import read_arrays, write_arrays

T = TypeVar("T")


def flatten(tree: Any, prefix: str = "") -> dict[str, np.ndarray]:
    """Leaves of ``tree`` by path."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {prefix + jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


def unflatten(template: T, arrays: Mapping[str, np.ndarray], prefix: str, where: str) -> T:
    """``template`` with its leaves replaced by ``arrays``.

    Raises:
        ArtifactError: a leaf is missing or has another shape or type than the template's.
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(template)
    out = []
    for path, leaf in leaves:
        name = prefix + jax.tree_util.keystr(path)
        if name not in arrays:
            raise ArtifactError(f"tensor {name!r} is missing", where=where)
        found = arrays[name]
        if found.shape != leaf.shape or found.dtype != leaf.dtype:
            raise ArtifactError(
                f"tensor {name!r} is {found.dtype}{list(found.shape)}, "
                f"expected {leaf.dtype}{list(leaf.shape)}",
                where=where,
            )
        out.append(jnp.asarray(found))
    result: T = jax.tree_util.tree_unflatten(structure, out)
    return result


def save_tree(path: Path, tree: Any, metadata: Mapping[str, str] | None = None) -> None:
    """Write ``tree`` to ``path``, whole or not at all."""
    write_arrays(path, flatten(tree), metadata)


def load_tree(path: Path, template: T) -> tuple[T, dict[str, str]]:
    """Read ``path`` into the shape of ``template`` (arrays or ``jax.ShapeDtypeStruct``)."""
    arrays, metadata = read_arrays(path)
    return unflatten(template, arrays, "", str(path)), metadata
