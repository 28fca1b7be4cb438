"""Figures of a verdict: :mod:`truefill.core.figures` under the name that evaluation knows."""

from truefill.core.figures import Figure as Figure
from truefill.core.figures import ratio as ratio
