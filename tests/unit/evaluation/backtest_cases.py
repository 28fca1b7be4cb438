"""Markets, policies and orders for the tests of backtests and trades."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from env_cases import NO_COSTS, config_of, random_split, split_of, with_windows
from truefill.data.split import SplitArrays
from truefill.env.setup import Environment, make_environment
from truefill.evaluation.backtest import Trace, replay_orders
from truefill.evaluation.policy import Memoryless
from truefill.market.types import Array, OrderKind

CONTRACT = "c" * 64
WINDOW, LAG, BARS = 3, 2, 120
COSTS = {"market.fee_bps": 7, "market.half_spread_bps": 3, "market.slippage_bps": 2,
         "market.interest_rate_annual": 0.5, "market.borrow_rate_annual": 0.4}  # fmt: skip


@dataclass(frozen=True)
class TableOfActions(Memoryless):
    """Looks its action up by the bar's number, which is the last feature of the window.

    ``decide`` returns [S, N] and refuses (with NaN) a window that does not end at the bar.
    """

    parameters: dict[str, Array]
    contract_sha256: str = CONTRACT

    @staticmethod
    def decide(
        parameters: dict[str, Array], memory: Any, values: Array, legal: Array | None
    ) -> tuple[Array, Any]:
        rows = values[: parameters["offsets"].shape[0]]
        bar = rows[-1].astype(jnp.int32)
        table = parameters["table"]
        action = table[bar].T
        right = jnp.all(rows == rows[-1] + parameters["offsets"][:, None], axis=0)
        return jnp.where(right, action, jnp.asarray(99, action.dtype)), memory


def numbered(split: SplitArrays) -> np.ndarray:
    """Features [T, S, 1] that hold the bar's number."""
    bars, symbols = split.close.shape
    return np.broadcast_to(np.arange(bars, dtype=np.float32)[:, None, None], (bars, symbols, 1))


def market(seed: int, bars: int = BARS) -> SplitArrays:
    """Two symbols with gaps and masked bars, features that count bars."""
    base = random_split(seed, bars=bars, masked=0.15)
    return split_of(
        base.close, opens=base.open, wick=0.01, features=numbered(base), present=base.present
    )


def env_of(split: SplitArrays, keys: dict[str, Any], **scenarios: Any) -> Environment:
    base = {"market.allow_short": True, "market.max_leverage": 2.0, "market.max_weight": 2.0,
            "env.window_bars": WINDOW, "market.decision_lag": LAG, **COSTS}  # fmt: skip
    return make_environment(config_of({**base, **keys}), split, "backtest", **scenarios)


def policy_of(actions: np.ndarray, window: int = WINDOW, symbols: int = 2) -> TableOfActions:
    """``actions`` [T, S]."""
    offsets = np.repeat(np.arange(1 - window, 1, dtype=np.float32), symbols)
    return TableOfActions({"table": jnp.asarray(actions), "offsets": jnp.asarray(offsets)})


DECODERS = {
    "short_flat_long": {"env.action": {"kind": "short_flat_long", "params": {"size": 0.7}},
                        "market.stop_loss": 0.05, "market.take_profit": 0.08,
                        "market.min_hold_bars": 2},
    "target_weight": {"env.action": {"kind": "target_weight"}, "market.no_trade_band": 0.05,
                      "market.atr_stops": {}, "market.decision_interval_bars": 3},
}  # fmt: skip
KINDS = [
    name if name == "short_flat_long" else pytest.param(name, marks=pytest.mark.slow)
    for name in DECODERS
]
"""One in the fast suite, all in the slow one."""


def drawn(kind: str, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if kind == "short_flat_long":
        return rng.integers(0, 3, (BARS, 2)).astype(np.int32)
    return rng.uniform(-1.2, 1.2, (BARS, 2)).astype(np.float32)


def replayed(
    closes: list[float],
    orders: list[tuple[OrderKind, float]],
    changes: dict[str, Any] | None = None,
    **keys: Any,
) -> tuple[Trace, SplitArrays]:
    """One symbol, lag 1, window 1, free of costs unless ``keys`` say otherwise; each bar opens at
    the last close, so an order of row t fills at closes[t]. ``changes`` to the split; its columns
    ``extra`` are one number a bar."""
    split = replace(split_of(closes), **(changes or {}))
    extra = {name: np.asarray(values)[:, None] for name, values in split.extra.items()}
    split = replace(split, extra=extra)
    base = {"market.allow_short": True, "market.max_leverage": 3.0, "market.max_weight": 3.0,
            "market.maintenance_margin": 0.0, **NO_COSTS}  # fmt: skip
    named = {key.replace("__", "."): value for key, value in keys.items()}
    env = make_environment(config_of({**base, **named}), split, "backtest")
    kind = np.zeros((1, len(closes), 1), np.int32)
    value = np.zeros((1, len(closes), 1))
    for t, (k, v) in enumerate(orders):
        kind[0, t, 0], value[0, t, 0] = k, v
    return replay_orders(kind, value, env, split)[0], split


HOLD = (OrderKind.HOLD, 0.0)


def units(value: float) -> tuple[OrderKind, float]:
    return (OrderKind.UNITS, value)


EVERYTHING: dict[str, Any] = {
    "env.action": {"kind": "short_flat_long"},
    "market.allow_short": True, "market.max_leverage": 2.0, "market.max_weight": 1.5,
    "market.maintenance_margin": 0.4, "market.decision_lag": 2, "market.min_hold_bars": 1,
    "market.stop_loss": 0.03, "market.take_profit": 0.03, "market.maker_fee_bps": 1,
    "market.participation": {"impact_bps": 20, "max_share": 0.5},
    "market.max_leverage_at_close": 0.9, "market.max_weight_at_close": 0.6,
    "market.no_trade": [{"start": "13:00", "end": "15:00"}],
    "market.symbols": {"S0": {"contract_multiplier": 2, "lot_size": 0.5},
                       "S1": {"derivative": True, "spread_multiplier": 2}},
    **COSTS,
}  # fmt: skip


def busy(seed: int, bars: int = 400) -> SplitArrays:
    """All that data can bring: events, rates, finer bars, thin and masked bars, a delisting."""
    base, rng = random_split(seed, bars=bars, masked=0.05), np.random.default_rng(seed)
    shape = base.close.shape
    rates = np.exp(np.cumsum(rng.normal(0.0, 0.002, (bars + 1, 2)), axis=0))
    last = np.zeros(shape, bool)
    last[bars - 20, 1] = True
    present = base.present & (np.arange(bars)[:, None] <= [bars, bars - 20])
    present[bars - 20, 1] = True
    middle = np.sqrt(base.high * base.low)
    extra = {
        "funding": rng.normal(0.0, 0.002, shape) * present,
        "dividend": np.where(present & (rng.random(shape) < 0.05), 0.5, 0.0),
        "split": np.where(present & (rng.random(shape) < 0.01), 1.1, 1.0),
        "rate_open": rates[:-1], "rate_close": rates[1:],
        "spread_multiplier": rng.uniform(1.0, 3.0, shape),
        "liquidity_multiplier": rng.uniform(0.5, 1.0, shape),
        "finer_high": np.stack([base.high, middle], axis=2),
        "finer_low": np.stack([middle, base.low], axis=2),
    }  # fmt: skip
    volume = np.where(present, rng.uniform(50.0, 500.0, shape), 0.0)
    split = replace(base, volume=volume, present=present, last=last, extra=extra)
    return with_windows(split, config_of(EVERYTHING))
