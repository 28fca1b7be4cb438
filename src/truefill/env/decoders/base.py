"""What an action decoder is, what it states about itself, and where decoders are registered.

An order carries its meaning (a side, a weight, a share of the cash) to the market, which works out
the units against the account as it is at the fill, not as it was at the decision.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from truefill.core.registry import Registry
from truefill.market.types import Account, Array, MarketParams, Orders


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

    @property
    def discrete(self) -> bool:
        return self.num_actions > 0


DECODERS: Registry[Callable[..., Decoder]] = Registry("action decoder")
