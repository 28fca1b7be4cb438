"""All calculators. A new family is one file and one name in the import below."""

from truefill.features import (
    accumulation,
    averages,
    bands,
    calendar,
    cross,
    directional,
    flow,
    higher,
    macro,
    moments,
    momentum,
    price,
    ranges,
    releases,
    token,
    trend,
    volatility,
    volume,
    vwap,
)
from truefill.features.base import CALCULATORS, Calculator, Context

FAMILIES = (
    price,
    averages,
    trend,
    directional,
    momentum,
    volatility,
    ranges,
    bands,
    moments,
    volume,
    accumulation,
    vwap,
    flow,
    macro,
    releases,
    calendar,
    token,
    cross,
    higher,
)

__all__ = ["CALCULATORS", "FAMILIES", "Calculator", "Context"]
