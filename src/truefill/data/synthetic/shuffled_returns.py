"""No edge: a file's real bars in random order.

Each bar keeps its shape (high, low and close over the last close) and its volume; a gap becomes
part of its bar. What is lost is every order in time: trends, reversals, clusters of volatility. The
mean simple return is taken out, so the price has no drift; since bars are drawn without putting
back, what is left to come is known to 1 part in the number of bars.
"""

from __future__ import annotations

import numpy as np

from truefill.data.synthetic.base import Walk, World, source
from truefill.data.synthetic.real_returns import RealParams, real_bars


class ShuffledParams(RealParams):
    """No edge: real bars in random order; volatility and strength do not apply."""


@source("shuffled_returns", ShuffledParams)
def shuffled_returns(p: ShuffledParams, world: World, rng: np.random.Generator) -> Walk:
    """No edge: the bars of a file in random order, without their drift."""
    real = real_bars(p, world)
    order = rng.permutation(world.bars)
    drift = np.log(np.mean(np.exp(real.close)))
    return Walk(
        moves=real.close[order] - drift,
        inner=0.0,
        shape=(real.high[order], real.low[order]),
        volume=real.volume[order],
    )
