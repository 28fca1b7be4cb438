"""No edge: calm and wild stretches that nobody announces."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from truefill.core.registry import Params
from truefill.data.synthetic.base import Walk, World, source


class RegimeParams(Params):
    """No edge: the volatility switches between a calm and a wild regime."""

    ratio: float = Field(3.0, ge=1.0, description="volatility of the wild regime over the calm one")
    calm_bars: float = Field(400.0, gt=1.0, description="mean length of a calm stretch, bars")
    wild_bars: float = Field(100.0, gt=1.0, description="mean length of a wild stretch, bars")


@source("regime_switching", RegimeParams)
def regime_switching(p: RegimeParams, world: World, rng: np.random.Generator) -> Walk:
    """No edge: two volatilities by a hidden Markov chain, without drift in either."""
    noise = rng.standard_normal(world.bars)
    draws = rng.random(world.bars)
    share = p.wild_bars / (p.calm_bars + p.wild_bars)
    leave = (1.0 / p.calm_bars, 1.0 / p.wild_bars)
    wild = np.empty(world.bars, np.int64)
    state = int(draws[0] < share)
    wild[0] = state
    for t in range(1, world.bars):
        if draws[t] < leave[state]:
            state = 1 - state
        wild[t] = state
    calm = world.volatility**2 / (1.0 - share + share * p.ratio**2)
    variance = calm * np.array([1.0, p.ratio**2])[wild]
    return Walk(np.sqrt(variance) * noise - variance / 2.0, variance)
