"""No edge: volatility that clusters, GARCH(1,1)."""

from __future__ import annotations

from typing import Self

import numpy as np
from pydantic import Field, model_validator

from truefill.core.registry import Params
from truefill.data.synthetic.base import Walk, World, source


class GarchParams(Params):
    """No edge: volatility clusters, GARCH(1,1)."""

    alpha: float = Field(0.08, ge=0.0, lt=1.0, description="weight of the last squared shock")
    beta: float = Field(0.90, ge=0.0, lt=1.0, description="weight of the last variance")

    @model_validator(mode="after")
    def _stationary(self) -> Self:
        if self.alpha + self.beta >= 1.0:
            raise ValueError("alpha + beta must be below 1: the variance would not be stationary")
        return self


@source("garch", GarchParams)
def garch(p: GarchParams, world: World, rng: np.random.Generator) -> Walk:
    """No edge: h = (1 - alpha - beta) volatility^2 + alpha h noise^2 + beta h, the last bar's."""
    noise = rng.standard_normal(world.bars)
    level = world.volatility**2
    variance = np.empty(world.bars)
    h = level
    for t in range(world.bars):
        variance[t] = h
        h = (1.0 - p.alpha - p.beta) * level + (p.alpha * noise[t] ** 2 + p.beta) * h
    return Walk(np.sqrt(variance) * noise - variance / 2.0, variance)
