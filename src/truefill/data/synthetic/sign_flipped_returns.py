"""No edge: a file's real bars in their order, each turned upside down or not by a fair coin.

Volatility keeps its clusters and its hours; directions are noise. A flipped bar's high is as far
above the last close as its low was below. With |r| given, exp(+-r) averages cosh r, whose logarithm
is taken off: the price is a martingale even for someone who knows every size.
"""

from __future__ import annotations

import numpy as np

from truefill.data.synthetic.base import Walk, World, source
from truefill.data.synthetic.real_returns import RealParams, real_bars


class FlippedParams(RealParams):
    """No edge: real bars with random signs; volatility and strength do not apply."""


@source("sign_flipped_returns", FlippedParams)
def sign_flipped_returns(p: FlippedParams, world: World, rng: np.random.Generator) -> Walk:
    """No edge: the bars of a file in their order, up or down by a coin."""
    real = real_bars(p, world)
    up = rng.random(world.bars) < 0.5
    top = np.where(up, real.high, -real.low)
    bottom = np.where(up, real.low, -real.high)
    moves = np.where(up, real.close, -real.close) - np.log(np.cosh(real.close))
    return Walk(moves=moves, inner=0.0, shape=(top, bottom), volume=real.volume)
