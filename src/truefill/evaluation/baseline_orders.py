"""Baselines as lists of orders, replayed through the one market on the agent's bars and costs.

An order at row t is decided at the close of bar t, from closes up to and including t. Shapes: T
bars, S symbols, D draws. Values are signed weights (notional / equity).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from truefill.market.types import OrderKind

F64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
I32 = npt.NDArray[np.int32]

REBALANCE_AT = 0.10
"""Constant exposure trades again once a weight has drifted by this share of itself."""
TIE = 1e-12
"""Averages this close (relative) are equal: rounding never trades."""


class OrderList(NamedTuple):
    """Orders of one baseline; [T, S], or [D, T, S] for draws."""

    kind: I32
    """OrderKind codes."""
    value: F64


class AgentProfile(NamedTuple):
    """How an agent traded, per symbol: what random and constant-exposure baselines copy."""

    change_rate: F64
    """[S], changes of side (short, flat, long) per bar."""
    shares: F64
    """[S, 3], shares of bars short, flat and long."""
    size: F64
    """[S], mean |weight| while in a position; 0 where there never was one."""
    mean_weight: F64
    """[S], mean signed weight over all bars."""


def agent_profile(weights: F64) -> AgentProfile:
    """Profile of signed weights [T, S] at each close, the account starting flat."""
    side = np.sign(weights)
    before = np.vstack([np.zeros((1, weights.shape[1])), side[:-1]])
    held = np.abs(side).sum(axis=0)
    return AgentProfile(
        change_rate=(side != before).mean(axis=0),
        shares=np.stack([(side == s).mean(axis=0) for s in (-1.0, 0.0, 1.0)], axis=1),
        size=np.abs(weights).sum(axis=0) / np.maximum(held, 1.0),
        mean_weight=weights.mean(axis=0),
    )


def _hold(*shape: int) -> OrderList:
    return OrderList(np.full(shape, OrderKind.HOLD, np.int32), np.zeros(shape))


def flat(closes: F64) -> OrderList:
    """Never trades."""
    return _hold(*closes.shape)


def buy_and_hold(closes: F64) -> OrderList:
    """Long 1/S of equity in every symbol from the first bar on.

    The order is "be long" (``SIDE``) and stands at every bar: it trades once, at the first bar that
    can be traded, and never tops up. It is meant for a market without stops, holding rules, caps at
    the close and limits by order size (``pipeline/assess.py`` takes them away); after a liquidation
    it buys again.
    """
    value = np.full(closes.shape, 1.0 / closes.shape[1])
    return OrderList(np.full(closes.shape, OrderKind.SIDE, np.int32), value)


def constant_exposure(closes: F64, mean_weight: F64) -> OrderList:
    """Hold ``mean_weight`` [S] of equity, the agent's own mean signed weight.

    Trades again only at a close where drift has moved a weight by more than ``REBALANCE_AT`` of
    itself since the last trade; the drift is computed from closes, without costs.
    """
    orders = _hold(*closes.shape)
    reference = closes[0]
    for t, close in enumerate(closes):
        growth = close / reference
        equity = 1.0 + float((mean_weight * (growth - 1.0)).sum())
        drifted = mean_weight * growth / max(equity, TIE)
        off = np.abs(drifted - mean_weight) > REBALANCE_AT * np.abs(mean_weight)
        if t == 0 or off.any():
            orders.kind[t] = OrderKind.WEIGHT
            orders.value[t] = mean_weight
            reference = close
    return orders


def sma_cross(
    closes: F64, fast_bars: int, slow_bars: int, *, allow_short: bool | Bools
) -> OrderList:
    """Long 1/S while the fast average of closes is above the slow one, else short (or flat).

    ``allow_short``: of all symbols, or one a symbol [S].
    Nothing is ordered before ``slow_bars`` closes exist, nor while the two averages are equal.
    """
    orders = _hold(*closes.shape)
    if len(closes) < slow_bars:
        return orders
    windows = np.lib.stride_tricks.sliding_window_view
    slow = windows(closes, slow_bars, axis=0).mean(axis=-1)
    fast = windows(closes, fast_bars, axis=0).mean(axis=-1)[slow_bars - fast_bars :]
    gap = fast - slow
    decided = np.abs(gap) > TIE * np.abs(slow)
    below = np.where(allow_short, -1.0, 0.0)
    side = np.where(gap > 0.0, 1.0, below) / closes.shape[1]
    orders.kind[slow_bars - 1 :] = np.where(decided, OrderKind.SIDE, OrderKind.HOLD)
    orders.value[slow_bars - 1 :] = np.where(decided, side, 0.0)
    return orders


def random_orders(closes: F64, profile: AgentProfile, *, draws: int, seed: int) -> OrderList:
    """Agents without skill that trade as often, as long and as large as the agent did.

    At each close a new side is drawn with probability q from the agent's own shares of short, flat
    and long. With q = change_rate / (1 - sum of squared shares) the expected number of changes is
    the agent's and so are the shares of time; q is capped at 1. The first side is drawn at bar 0.

    Returns:
        [draws, T, S]; ``HOLD`` between draws.
    """
    bars, symbols = closes.shape
    generator = np.random.Generator(np.random.PCG64(seed))
    stays = (profile.shares**2).sum(axis=1)
    rate = np.minimum(profile.change_rate / np.maximum(1.0 - stays, TIE), 1.0)
    decides = generator.random((draws, bars, symbols)) < rate
    decides[:, 0] = True
    pick = generator.random((draws, bars, symbols))
    short, not_long = profile.shares[:, 0], profile.shares[:, 0] + profile.shares[:, 1]
    side = np.where(pick < short, -1.0, np.where(pick < not_long, 0.0, 1.0))
    kind = np.where(decides, OrderKind.SIDE, OrderKind.HOLD).astype(np.int32)
    return OrderList(kind, np.where(decides, side * profile.size, 0.0))
