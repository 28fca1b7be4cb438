"""All sources. A new one is one file and one name in the import below."""

from truefill.fetch import alpaca, exchanges, klines, polygon, yahoo
from truefill.fetch.base import SOURCES

FILES = (alpaca, exchanges, klines, polygon, yahoo)

__all__ = ["FILES", "SOURCES"]
