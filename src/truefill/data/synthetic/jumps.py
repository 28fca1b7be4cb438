"""No edge: a random walk that jumps between bars.

A jump falls between a close and the next open: an order decided at that close fills behind it, and
no stop or target is met inside it. Elsewhere a bar opens where the last one closed.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from truefill.core.registry import Params
from truefill.data.synthetic.base import Walk, World, source


class JumpParams(Params):
    """No edge: rare jumps between bars."""

    probability: float = Field(
        0.005, gt=0.0, lt=1.0, description="share of bars that open with a jump"
    )
    share: float = Field(
        0.4, gt=0.0, lt=1.0, description="share of the return's variance that comes from jumps"
    )


@source("jumps", JumpParams)
def jumps(p: JumpParams, world: World, rng: np.random.Generator) -> Walk:
    """No edge: normal returns, and now and then a normal jump at the open."""
    noise = rng.standard_normal(world.bars)
    jumps_here = rng.random(world.bars) < p.probability
    sizes = rng.standard_normal(world.bars)
    variance = world.volatility**2
    calm = (1.0 - p.share) * variance
    size = p.share * variance / p.probability
    # E exp(gap) = 1: a jump of mean -size / 2 has none of its own.
    gaps = np.where(jumps_here, np.sqrt(size) * sizes - size / 2.0, 0.0)
    gaps[0] = 0.0
    inside = np.sqrt(calm) * noise - calm / 2.0
    return Walk(gaps + inside, calm, gaps)
