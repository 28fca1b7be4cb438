"""What a forecasting network is, and where networks are registered: one file each.

A network turns the windows of a batch of rows into raw outputs; a loss says what these mean
(:mod:`truefill.forecast.losses`). A file under ``plugins:`` may register its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import equinox as eqx
import jax

from truefill.core.registry import Params, Registry
from truefill.market.types import Array


@dataclass(frozen=True)
class Inputs:
    """What a network is made for. ``window``: bars it sees; ``features`` of each; ``heads``:
    horizons; ``outputs``: raw outputs of each head."""

    window: int
    features: int
    heads: int
    outputs: int


class Network(eqx.Module):
    """Base of networks. Every array in it is learned.

    ``__init__(self, key, params, inputs)`` makes it.
    """

    def __call__(self, x: Array, key: Array | None) -> Array:
        """Raw outputs float32 [N, heads, outputs] of windows float32 [window, features, N], oldest
        bar first. Row n of the output depends on row n alone. ``key``: of dropout; None: none."""
        raise NotImplementedError


MakeNetwork = Callable[[Array, Any, Inputs], Network]
NETWORKS: Registry[MakeNetwork] = Registry("network", plugged=True)
N = TypeVar("N", bound=type[Network])


def network(name: str, params: type[Params], **facts: Any) -> Callable[[N], N]:
    """Decorator: register a network class under ``name``.

    Facts: ``multiply_adds``, (params, inputs) -> multiply-adds of one row's outputs, for estimates;
    None: not told.
    """
    register = NETWORKS.register(name, params, **{"multiply_adds": None, **facts})

    def decorate(made: N) -> N:
        register(made)
        return made

    return decorate


def parameters(made: Network) -> int:
    """How many numbers a network learns."""
    return sum(leaf.size for leaf in jax.tree.leaves(made))


def multiply_adds(name: str, params: Params, inputs: Inputs) -> int:
    """Multiply-adds of the outputs of one row; a gradient step takes about three times as many. Of
    a network that does not tell them: each parameter once a bar.

    Raises:
        ConfigError: no such network.
    """
    entry = NETWORKS.get(name)
    told = entry.facts["multiply_adds"]
    if told is not None:
        return int(told(params, inputs))
    key = jax.ShapeDtypeStruct((2,), "uint32")
    return inputs.window * parameters(jax.eval_shape(lambda k: entry.make(k, params, inputs), key))
