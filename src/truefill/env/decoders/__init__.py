"""Action decoders: what an agent's action orders (``docs/actions.md`` has each one's meaning)."""

from truefill.env.decoders import choices, portfolio, sizes
from truefill.env.decoders.base import DECODERS, Decoder, Wish

__all__ = ["DECODERS", "Decoder", "Wish", "choices", "portfolio", "sizes"]
