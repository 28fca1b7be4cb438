"""All calculators. A new family is one file and one name in the import below."""

from truefill.features import calendar, macro, price, trend, volatility
from truefill.features.base import CALCULATORS, Calculator, Context

FAMILIES = (price, trend, volatility, macro, calendar)

__all__ = ["CALCULATORS", "FAMILIES", "Calculator", "Context"]
