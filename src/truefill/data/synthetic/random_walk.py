"""No edge: independent normal returns; a price whose expected change is always 0."""

from __future__ import annotations

from typing import Any

import numpy as np

from truefill.data.synthetic.base import NoParams, Walk, World, source


@source("random_walk", NoParams)
def random_walk(p: Any, world: World, rng: np.random.Generator) -> Walk:
    """No edge: independent normal returns. Its column ``signal`` is worth nothing."""
    signal = rng.standard_normal(world.bars + 1)
    noise = rng.standard_normal(world.bars)
    sigma = world.volatility
    return Walk(sigma * noise - sigma**2 / 2.0, sigma**2, columns={"signal": signal[1:]})
