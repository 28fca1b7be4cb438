"""Planted: each return takes part of the last one back."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from truefill.data.synthetic.autoregressive import last_return_chain, returns
from truefill.data.synthetic.base import NoParams, Walk, World, source
from truefill.data.synthetic.chain import Chain


def _predictor(p: Any, world: World) -> Chain:
    return last_return_chain(world, -1.0)


@source("mean_reversion", NoParams, predictor=_predictor)
def mean_reversion(p: Any, world: World, rng: np.random.Generator) -> Walk:
    """Planted: AR(1) returns with coefficient -sqrt(strength); the last return is the signal."""
    return returns(world, -sqrt(world.strength), rng)
