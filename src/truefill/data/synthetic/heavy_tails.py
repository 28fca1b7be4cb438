"""No edge: returns with the tails of Student's t.

A t is a normal whose variance is drawn anew on every bar; given that variance the price is Brownian
inside the bar and a martingale.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from truefill.core.registry import Params
from truefill.data.synthetic.base import Walk, World, source


class HeavyTailsParams(Params):
    """No edge: Student's t returns."""

    degrees: float = Field(
        4.0, gt=2.0, description="degrees of freedom; moments from this order on do not exist"
    )


@source("heavy_tails", HeavyTailsParams)
def heavy_tails(p: HeavyTailsParams, world: World, rng: np.random.Generator) -> Walk:
    """No edge: independent Student's t returns, up to half their own variance as a correction."""
    noise = rng.standard_normal(world.bars)
    scale = (p.degrees - 2.0) / rng.chisquare(p.degrees, world.bars)
    variance = world.volatility**2 * scale
    return Walk(np.sqrt(variance) * noise - variance / 2.0, variance)
