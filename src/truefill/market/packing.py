"""A tree of small arrays as one vector: a call that passes one array costs a tenth of sixty."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from truefill.market.types import Array

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Packing:
    """How a tree lies in a float64 vector; integers and bools survive exactly. Hashable."""

    treedef: Any
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[np.dtype[Any], ...]
    sizes: tuple[int, ...]

    @staticmethod
    def of(tree: Any) -> Packing:
        """The packing of trees like this one (arrays, or what ``jax.eval_shape`` returns)."""
        leaves, treedef = jax.tree.flatten(tree)
        shapes = tuple(tuple(leaf.shape) for leaf in leaves)
        dtypes = tuple(np.dtype(leaf.dtype) for leaf in leaves)
        return Packing(treedef, shapes, dtypes, tuple(math.prod(shape) for shape in shapes))

    def pack(self, tree: Any) -> F64:
        """On the host.

        Raises:
            ValueError: the tree is not like the one that the packing is of.
        """
        leaves, treedef = jax.tree.flatten(tree)
        parts = [np.asarray(leaf, np.float64) for leaf in leaves]
        if treedef != self.treedef or tuple(part.shape for part in parts) != self.shapes:
            raise ValueError(f"not the shapes of before: {tuple(part.shape for part in parts)}")
        return np.concatenate([part.ravel() for part in parts])

    def pack_traced(self, tree: Any) -> Array:
        """Inside ``jit``."""
        leaves = jax.tree.leaves(tree)
        return jnp.concatenate([jnp.ravel(leaf).astype(jnp.float64) for leaf in leaves])

    def unpack(self, vector: Any) -> Any:
        """The tree; of numpy arrays if the vector is one, else of traced ones."""
        leaves, at = [], 0
        for shape, dtype, size in zip(self.shapes, self.dtypes, self.sizes, strict=True):
            part = vector[at : at + size].reshape(shape)
            leaves.append(part if dtype == np.float64 else part.astype(dtype))
            at += size
        return jax.tree.unflatten(self.treedef, leaves)
