"""Networks that read a window bar by bar: LSTM (Hochreiter & Schmidhuber 1997), GRU (Cho et al.
2014), and an LSTM in both directions (Schuster & Paliwal 1997)."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from pydantic import Field

from truefill.config.fields import Count
from truefill.core.registry import Params
from truefill.forecast.networks.base import Inputs, Network, network
from truefill.forecast.networks.parts import Head, Rate, dense_adds, dropout, keys_of
from truefill.market.types import Array
from truefill.nn.layers import orthogonal
from truefill.nn.memory import Cell, Memory
from truefill.nn.windows import last, outputs


class RecurrentParams(Params):
    """Layers that read the window from its oldest bar to its newest."""

    layers: Count = Field(2, description="recurrent layers, one upon the other")
    units: Count = Field(64, description="units of each")
    hidden: tuple[Count, ...] = Field(
        (), description="units of fully connected layers between the last state and the heads"
    )
    dropout: Rate = Field(
        0.0, description="share of units silenced between layers and after fully connected ones"
    )


class LstmParams(RecurrentParams):
    """An LSTM reads the window from its oldest bar to its newest; its last state forecasts."""


class GruParams(RecurrentParams):
    """A GRU reads the window from its oldest bar to its newest; its last state forecasts."""


class BilstmParams(RecurrentParams):
    """LSTMs read the window in both directions; the last state of each forecasts."""


class Stack(eqx.Module):
    """Recurrent layers, each of one direction or (``both``) of two, whose outputs are joined."""

    layers: tuple[tuple[Memory, ...], ...]
    """By layer: that which reads forward, then that which reads backward."""
    rate: float = eqx.field(static=True)

    def __init__(
        self,
        key: Array,
        cell: Cell,
        features: int,
        params: RecurrentParams,
        *,
        both: bool = False,
    ) -> None:
        ways = 2 if both else 1
        sizes = [features, *[ways * params.units] * (params.layers - 1)]
        self.rate = params.dropout
        self.layers = tuple(
            tuple(
                Memory(one, cell, size, params.units, orthogonal=orthogonal)
                for one in jax.random.split(k, ways)
            )
            for k, size in zip(jax.random.split(key, params.layers), sizes, strict=True)
        )

    def __call__(self, x: Array, key: Array | None) -> Array:
        """The last state of the last layer, [ways * units, N], of windows [T, features, N]."""
        for layer, own in zip(self.layers[:-1], keys_of(key, len(self.layers) - 1), strict=True):
            read = [outputs(one, x, backward=bool(i)) for i, one in enumerate(layer)]
            x = dropout(
                read[0] if len(read) == 1 else jnp.concatenate(read, axis=1), self.rate, own
            )
        ends = [last(one, x, backward=bool(i)) for i, one in enumerate(self.layers[-1])]
        return ends[0] if len(ends) == 1 else jnp.concatenate(ends)


def stack_adds(gates: int, params: RecurrentParams, inputs: Inputs, ways: int = 1) -> int:
    """Multiply-adds of a :class:`Stack` of one row; ``gates``: 4 of an LSTM, 3 of a GRU."""
    sizes = [inputs.features, *[ways * params.units] * (params.layers - 1)]
    each = sum(size + params.units for size in sizes)
    return inputs.window * ways * gates * params.units * each


class Recurrent(Network):
    """A stack and a head; the cell and its directions are the subclass's."""

    stack: Stack
    head: Head

    def __call__(self, x: Array, key: Array | None) -> Array:
        stack_key, head_key = keys_of(key, 2)
        return self.head(self.stack(x, stack_key), head_key)


def _made(
    key: Array, cell: Cell, params: RecurrentParams, inputs: Inputs, *, both: bool = False
) -> tuple[Stack, Head]:
    stack_key, head_key = jax.random.split(key)
    ways = 2 if both else 1
    head = Head(head_key, ways * params.units, params.hidden, inputs, params.dropout)
    return Stack(stack_key, cell, inputs.features, params, both=both), head


def _adds(gates: int, params: RecurrentParams, inputs: Inputs, ways: int = 1) -> int:
    head = dense_adds(ways * params.units, params.hidden, inputs)
    return stack_adds(gates, params, inputs, ways) + head


@network("lstm", LstmParams, multiply_adds=lambda p, inputs: _adds(4, p, inputs))
class Lstm(Recurrent):
    """Layers of LSTM cells."""

    def __init__(self, key: Array, params: LstmParams, inputs: Inputs) -> None:
        self.stack, self.head = _made(key, "lstm", params, inputs)


@network("gru", GruParams, multiply_adds=lambda p, inputs: _adds(3, p, inputs))
class Gru(Recurrent):
    """Layers of GRU cells."""

    def __init__(self, key: Array, params: GruParams, inputs: Inputs) -> None:
        self.stack, self.head = _made(key, "gru", params, inputs)


@network("bilstm", BilstmParams, multiply_adds=lambda p, inputs: _adds(4, p, inputs, 2))
class Bilstm(Recurrent):
    """Layers of LSTM cells in both directions; each layer reads the outputs of both."""

    def __init__(self, key: Array, params: BilstmParams, inputs: Inputs) -> None:
        self.stack, self.head = _made(key, "lstm", params, inputs, both=True)
