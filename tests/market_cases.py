"""Cases for the market's tests: plain numpy, replayed by the engine with ``replay_case`` and by the
independent ledger with ``market_compare.ledger_case``; each packs and shifts bars in its own way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
import numpy as np

from truefill.market.bars import MarketBars, make_bars
from truefill.market.replay import everything, replay
from truefill.market.types import NEVER, BarState, MarketParams, Orders

LONG_AGO = 1_700_000_000
FOREVER = 10**9
BARS = 8
OHLC = ("open", "high", "low", "close")
COSTS = ("fee", "half_spread", "slippage", "borrow")
ACCOUNT_RULES = {
    "initial_balance": 1_000.0, "cost_multiple": 1.0, "extra_slippage": 0.0, "decision_interval": 1,
    "max_leverage": 1.0, "maintenance": 0.0, "ruin_fraction": 0.0,
}  # fmt: skip
SYMBOL_RULES = {
    "allow_short": 1.0, "max_weight": 1e9, "lot": 0.0, "min_notional": 0.0, "band": 0.0,
    "min_hold": 0, "max_hold": FOREVER, "stop_loss": NEVER, "take_profit": NEVER, "use_atr": 0.0,
    "atr_stop": 2.0, "atr_target": 3.0, "atr_stop_min": 0.0, "atr_stop_max": NEVER,
    "atr_target_min": 0.0, "atr_target_max": NEVER, "trail_distance": NEVER,
    "trail_activation": NEVER, "trail_keep": 0.5, "trail_floor": 0.0,
}  # fmt: skip
WHOLE = ("decision_interval", "min_hold", "max_hold")


@dataclass(frozen=True)
class Case:
    """T bars of S symbols for N accounts. Orders of row t are decided at the close of bar t."""

    timestamps_s: np.ndarray
    prices: dict[str, np.ndarray]
    state: np.ndarray
    atr: np.ndarray
    costs: dict[str, np.ndarray]
    interest: np.ndarray
    rules: dict[str, np.ndarray]
    kind: np.ndarray
    value: np.ndarray
    lag: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Bars, accounts, symbols."""
        return self.state.shape[0], self.kind.shape[1], self.kind.shape[2]

    def with_orders(self, kind: np.ndarray, value: np.ndarray) -> Case:
        return replace(self, kind=kind, value=value)


# ---- by hand


def by_hand(
    bars: Sequence[Any],
    orders: Sequence[Any],
    *,
    lag: int = 1,
    seconds: float = 3_600.0,
    state: Sequence[Any] | None = None,
    atr: Any = 0.0,
    interest: float = 0.0,
    fee: float = 0.0,
    half_spread: float = 0.0,
    slippage: float = 0.0,
    borrow: float = 0.0,
    **rules: Any,
) -> Case:
    """One account. ``bars`` are (open, high, low, close), or one such tuple a symbol; ``orders``
    are (kind, value) or one a symbol, padded with HOLD; unnamed rules are off, unnamed costs 0.
    Flat bars at the last close follow, up to ``BARS``: one compiled shape for all cases."""
    table = np.asarray(bars, dtype=np.float64)
    table = table[:, None, :] if table.ndim == 2 else table
    quiet = np.repeat(table[-1:, :, 3:], 4, axis=2)
    table = np.concatenate([table, *[quiet] * max(BARS - len(table), 0)])
    total, symbols, _ = table.shape
    given = np.asarray(orders, dtype=np.float64).reshape(len(orders), -1, 2)
    filled = np.zeros((total - 1, 1, symbols, 2))
    filled[: len(orders), 0] = given[: total - 1]
    full = (total, symbols)
    tradable = np.full(full, float(BarState.TRADABLE))
    states = tradable.copy()
    if state is not None:
        states[: len(state)] = np.asarray(state, np.float64).reshape(len(state), -1)
    costs = {"fee": fee, "half_spread": half_spread, "slippage": slippage, "borrow": borrow}
    return Case(
        timestamps_s=LONG_AGO + seconds * np.arange(total),
        prices={name: table[:, :, i] for i, name in enumerate(OHLC)},
        state=states,
        atr=np.broadcast_to(np.resize(np.asarray(atr, np.float64), total)[:, None], full),
        costs={name: np.full(full, value) for name, value in costs.items()},
        interest=np.full(total, interest),
        rules=rule_arrays(1, symbols, rules),
        kind=filled[..., 0].astype(np.int32),
        value=filled[..., 1],
        lag=lag,
    )


def rule_arrays(accounts: int, symbols: int, rules: dict[str, Any]) -> dict[str, np.ndarray]:
    unknown = set(rules) - set(ACCOUNT_RULES) - set(SYMBOL_RULES)
    if unknown:
        raise KeyError(f"no such rule: {sorted(unknown)}")
    arrays = {}
    for defaults, shape in ((ACCOUNT_RULES, (accounts,)), (SYMBOL_RULES, (accounts, symbols))):
        for name, default in defaults.items():
            dtype = np.int32 if name in WHOLE else np.float64
            arrays[name] = np.broadcast_to(np.asarray(rules.get(name, default), dtype), shape)
    return arrays


# ---- the engine


def engine_bars(case: Case) -> MarketBars:
    return make_bars(
        timestamps_s=case.timestamps_s, prices=case.prices, costs=case.costs,
        interest=case.interest, state=case.state, atr=case.atr,
    )  # fmt: skip


def engine_params(case: Case) -> MarketParams:
    rules = {name: jnp.asarray(value) for name, value in case.rules.items()}
    return MarketParams(one=jnp.asarray(1.0), **rules)


def engine_orders(case: Case) -> Orders:
    return Orders(jnp.asarray(case.kind), jnp.asarray(case.value))


def replay_case(case: Case, record: Callable[..., Any] = everything) -> Any:
    """The engine's record of every bar, stacked."""
    return replay(
        engine_bars(case), engine_params(case), engine_orders(case), lag=case.lag, record=record
    )
