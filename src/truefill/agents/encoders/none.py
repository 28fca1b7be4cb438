"""No encoder: the layers see the flattened window as it is."""

from __future__ import annotations

from typing import Any

from truefill.agents.encoders.base import NONE, Encoder, Inputs, encoder
from truefill.core.registry import Params
from truefill.market.types import Array


class NoneParams(Params):
    """No encoder: memory and hidden layers see window and account state as they are."""


@encoder(NONE, NoneParams, multiply_adds=lambda p, inputs: 0)
class Identity(Encoder):
    """Stands in the registry for its name; networks leave it out."""

    def __init__(self, key: Array, params: NoneParams, inputs: Inputs) -> None:
        pass

    def __call__(self, market: Array, state: Array) -> Any:
        return market.reshape(-1, market.shape[-1])
