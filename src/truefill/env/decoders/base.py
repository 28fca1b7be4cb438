"""What an action decoder is, what it states about itself, and where decoders are registered.

An order carries its meaning (a side, a weight, a share of the cash) to the market, which works out
the units against the account as it is at the fill, not as it was at the decision.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from truefill.core.registry import Registry
from truefill.market.types import Account, Array, MarketParams, Orders


class Wish(NamedTuple):
    """Positions that a rule wants at a close, and what it knows of the accounts. N accounts."""

    desired: Array
    """float64 [N, S] in -1..1: the share of the largest position that the decoder orders."""
    side: Array | None
    """Sign of the position now, [N, S]; None where the rule does not see it."""
    legal: Array | None
    """bool [N, S, num_actions], where actions can be illegal and the rule sees which."""


@dataclass(frozen=True)
class Decoder:
    """One way to turn actions into orders. N accounts, S symbols.

    Attributes:
        num_actions: number of discrete actions per symbol; 0 = continuous values.
        orders: action -> orders [N, S]. The action is int32 [N, S] where it is discrete, else
            float32 [N, action_size], of any size: values beyond ``low`` and ``high`` are clipped.
        legal: account and limits -> bool [N, S, num_actions]; None where every action is legal.
            An illegal action becomes a HOLD order.
        needs_band: refuse a market without a no-trade band (resized every bar otherwise).
        needs_short: refuse a market without shorts (an action would do nothing otherwise).
        action_size: S -> continuous values of one account; None = one a symbol.
        low, high: range of a continuous value.
        max_weight, max_gross: largest |weight| of a symbol, and largest sum of them, that it
            orders; refuse a market that allows less. None = the market's limits cut.
        min_step: smallest distance between two weights that it orders; refuse a no-trade band
            that swallows it. None = no steps.
        toward: what a rule wants -> the action that comes nearest to it, as ``orders`` takes it;
            None = rules cannot be played through this decoder.
        needs_side: ``toward`` asks for the side of the position.
    """

    num_actions: int
    orders: Callable[[Array], Orders]
    legal: Callable[[Account, MarketParams], Array] | None = None
    needs_band: bool = False
    needs_short: bool = False
    action_size: Callable[[int], int] | None = None
    low: float = -1.0
    high: float = 1.0
    max_weight: float | None = None
    max_gross: float | None = None
    min_step: float | None = None
    toward: Callable[[Wish], Array] | None = None
    needs_side: bool = False

    @property
    def discrete(self) -> bool:
        return self.num_actions > 0


DECODERS: Registry[Callable[..., Decoder]] = Registry("action decoder")
