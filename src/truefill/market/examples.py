"""The smallest markets, for examples in docstrings: no costs, no limits, round numbers."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from truefill.market.bars import MarketBars, make_bars
from truefill.market.types import NEVER, MarketParams, OrderKind, Orders

FREE = {"fee": 0.0, "half_spread": 0.0, "slippage": 0.0, "borrow": 0.0}


def two_bars(*, open: float, close: float) -> tuple[MarketBars, MarketParams]:
    """A bar at ``open``, then one that opens there and closes at ``close``; 1,000 in cash."""
    before, after = np.full((1, 1), open), np.full((1, 1), close)
    closes = np.concatenate([before, after])
    opens = np.concatenate([before, before])
    bars = make_bars(
        timestamps_s=np.asarray([0.0, 3_600.0]),
        prices={
            "open": opens,
            "high": np.maximum(opens, closes),
            "low": np.minimum(opens, closes),
            "close": closes,
        },
        costs={name: np.asarray(cost) for name, cost in FREE.items()},
        interest=0.0,
    )
    return bars, no_limits(balance=1_000.0)


def no_limits(*, balance: float, symbols: int = 1) -> MarketParams:
    """Every rule off: no stops, no lots, no band; shorts and any leverage allowed."""
    account = {name: jnp.asarray([value]) for name, value in {
        "initial_balance": balance, "cost_multiple": 1.0, "extra_slippage": 0.0,
        "max_leverage": NEVER, "maintenance": 0.0, "ruin_fraction": 1e-6,
    }.items()}  # fmt: skip
    symbol = {name: jnp.full((1, symbols), value) for name, value in {
        "allow_short": 1.0, "max_weight": NEVER, "lot": 0.0, "min_notional": 0.0, "band": 0.0,
        "stop_loss": NEVER, "take_profit": NEVER, "use_atr": 0.0, "atr_stop": 1.0,
        "atr_target": 1.0, "atr_stop_min": NEVER, "atr_stop_max": NEVER, "atr_target_min": NEVER,
        "atr_target_max": NEVER, "trail_distance": NEVER, "trail_activation": NEVER,
        "trail_keep": 0.0, "trail_floor": 0.0,
    }.items()}  # fmt: skip
    return MarketParams(
        one=jnp.asarray(1.0),
        decision_interval=jnp.ones(1, jnp.int32),
        min_hold=jnp.zeros((1, symbols), jnp.int32),
        max_hold=jnp.full((1, symbols), 2**30, jnp.int32),
        **account,
        **symbol,
    )


def weight(value: float) -> Orders:
    """One order of one account: this target weight."""
    return Orders(jnp.full((1, 1), OrderKind.WEIGHT, jnp.int32), jnp.full((1, 1), value))
