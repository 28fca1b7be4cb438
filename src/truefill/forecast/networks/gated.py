"""LSTM in both directions, CNN and attention, trained together; a small network reads the newest
bar and weighs them for every row (mixture of experts: Jacobs et al. 1991; sizes: system 003)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from pydantic import Field

from truefill.config.fields import Count
from truefill.core.registry import Params
from truefill.forecast.networks.attention import Attention, AttentionParams
from truefill.forecast.networks.base import Inputs, Network, multiply_adds, network
from truefill.forecast.networks.cnn import Cnn, CnnParams
from truefill.forecast.networks.parts import RELU, dense_adds, keys_of
from truefill.forecast.networks.recurrent import Bilstm, BilstmParams
from truefill.market.types import Array
from truefill.nn.layers import Dense, activate, hidden


class GatedParams(Params):
    """LSTM in both directions, CNN and attention trained together, weighed row by row."""

    bilstm: BilstmParams = Field(
        BilstmParams(units=128, hidden=(128,)), description="parameters of the LSTM"
    )
    cnn: CnnParams = Field(CnnParams(), description="parameters of the CNN")
    attention: AttentionParams = Field(AttentionParams(), description="parameters of the attention")
    gate: Count = Field(64, description="hidden units of the network that weighs the three")


def _adds(params: GatedParams, inputs: Inputs) -> int:
    parts = ("bilstm", "cnn", "attention")
    gate = dense_adds(inputs.features, (params.gate,), Inputs(1, inputs.features, 1, 3))
    return gate + sum(multiply_adds(name, getattr(params, name), inputs) for name in parts)


@network("gated", GatedParams, multiply_adds=_adds)
class Gated(Network):
    """The outputs of the three, weighed by a softmax over them that is the row's own."""

    bilstm: Bilstm
    cnn: Cnn
    attention: Attention
    gate: Dense
    choice: Dense

    def __init__(self, key: Array, params: GatedParams, inputs: Inputs) -> None:
        keys = jax.random.split(key, 5)
        self.bilstm = Bilstm(keys[0], params.bilstm, inputs)
        self.cnn = Cnn(keys[1], params.cnn, inputs)
        self.attention = Attention(keys[2], params.attention, inputs)
        self.gate = hidden(keys[3], inputs.features, params.gate, RELU)
        self.choice = Dense(keys[4], params.gate, 3, 0.1)

    def weights(self, x: Array) -> Array:
        """float32 [N, 3]: share of LSTM, CNN and attention in the outputs of each row."""
        score = self.choice(activate(RELU, self.gate(x[-1])))
        return jax.nn.softmax(score, axis=0).T

    def __call__(self, x: Array, key: Array | None) -> Array:
        keys = keys_of(key, 3)
        members = (self.bilstm, self.cnn, self.attention)
        each = jnp.stack([m(x, k) for m, k in zip(members, keys, strict=True)], axis=1)
        return (self.weights(x)[:, :, None, None] * each).sum(axis=1)
