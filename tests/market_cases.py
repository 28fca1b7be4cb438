"""Cases for the market's tests: plain numpy, replayed by the engine with ``replay_case`` and by the
independent ledger with ``market_compare.ledger_case``; each packs and shifts bars in its own way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import jax.numpy as jnp
import numpy as np

from truefill.market.bars import MarketBars, make_bars
from truefill.market.replay import everything, replay
from truefill.market.types import NEVER, BarState, MarketParams, Orders, Route

LONG_AGO = 1_700_000_000
FOREVER = 10**9
BARS = 8
FINER_BARS = 3
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
# What a market may be compiled without, with values at which each does nothing.
OPTIONAL_ACCOUNT_RULES = {"leverage_at_close": 1e9}
OPTIONAL_SYMBOL_RULES = {
    "fill_buffer": 0.0, "impact": 0.0, "impact_exponent": 0.5, "max_participation": 1e9,
    "weight_at_close": 1e9, "derivative": 0.0,
}  # fmt: skip
OPTIONAL_COLUMNS = {
    "volume": 1e9, "funding": 0.0, "dividend": 0.0, "split": 1.0, "rate_open": 1.0,
    "rate_close": 1.0, "session_end": 0.0,
}  # fmt: skip
GROUP_PARTS = {
    "routes": ("fill_buffer",),
    "impact": ("impact",),
    "participation": ("max_participation",),
    "funding": ("funding",),
    "dividend": ("dividend",),
    "split": ("split",),
    "rates": ("rate_open", "rate_close"),
    "caps": ("leverage_at_close", "weight_at_close"),
    "derivatives": ("derivative",),
    "finer": ("finer_high", "finer_low"),
}
"""What makes each optional group neutral."""
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
    route: dict[str, np.ndarray] | None = None
    """type, price and gtc, each [T - 1, N, S]; None: all are market orders at the open."""
    extra: dict[str, np.ndarray] = field(default_factory=dict)
    """Optional columns of the bars, [T, S]; finer_high and finer_low [T, S, K]."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Bars, accounts, symbols."""
        return self.state.shape[0], self.kind.shape[1], self.kind.shape[2]

    def with_orders(
        self, kind: np.ndarray, value: np.ndarray, route: dict[str, np.ndarray] | None = None
    ) -> Case:
        return replace(self, kind=kind, value=value, route=route)


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
    **others: Any,
) -> Case:
    """One account. ``bars`` are (open, high, low, close), or one such tuple a symbol; ``orders``
    are (kind, value) or (kind, value, type, price, gtc), one or one a symbol, padded with HOLD;
    unnamed rules are off, unnamed costs 0. Flat bars at the last close follow, up to ``BARS``.

    ``others`` are rules, or optional columns of the bars: a number, one a bar, or [bars, symbols];
    ``finer``: for each bar, None or up to ``FINER_BARS`` pairs (high, low) (first symbol only).
    Cases that use anything optional get all of it, neutral where unnamed: two compiled shapes."""
    table = np.asarray(bars, dtype=np.float64)
    table = table[:, None, :] if table.ndim == 2 else table
    quiet = np.repeat(table[-1:, :, 3:], 4, axis=2)
    table = np.concatenate([table, *[quiet] * max(BARS - len(table), 0)])
    total, symbols, _ = table.shape
    filled, routed = _padded_orders(orders, total, symbols)
    full = (total, symbols)
    tradable = np.full(full, float(BarState.TRADABLE))
    states = tradable.copy()
    if state is not None:
        states[: len(state)] = np.asarray(state, np.float64).reshape(len(state), -1)
    costs = {"fee": fee, "half_spread": half_spread, "slippage": slippage, "borrow": borrow}
    optional = {*OPTIONAL_COLUMNS, *OPTIONAL_ACCOUNT_RULES, *OPTIONAL_SYMBOL_RULES}
    wide = routed or bool({"maker_fee", "finer", *optional} & set(others))
    columns = {"maker_fee": fee, **OPTIONAL_COLUMNS}
    given = {name: others.pop(name, default) for name, default in columns.items()}
    finer = _padded_finer(others.pop("finer", ()), full)
    extra = {name: _column(values, full, columns[name]) for name, values in given.items()} | finer
    neutral = {**OPTIONAL_ACCOUNT_RULES, **OPTIONAL_SYMBOL_RULES} if wide else {}
    return Case(
        timestamps_s=LONG_AGO + seconds * np.arange(total),
        prices={name: table[:, :, i] for i, name in enumerate(OHLC)},
        state=states,
        atr=np.broadcast_to(np.resize(np.asarray(atr, np.float64), total)[:, None], full),
        costs={name: np.full(full, value) for name, value in costs.items()},
        interest=np.full(total, interest),
        rules=rule_arrays(1, symbols, {**neutral, **others}),
        kind=filled["kind"].astype(np.int32),
        value=filled["value"],
        lag=lag,
        route={name: filled[name] for name in ("type", "price", "gtc")} if wide else None,
        extra=extra if wide else {},
    )


def _padded_orders(
    orders: Sequence[Any], total: int, symbols: int
) -> tuple[dict[str, np.ndarray], bool]:
    """Orders as arrays [T - 1, 1, S], and whether any had a route."""
    columns = {"kind": 0.0, "value": 0.0, "type": 0.0, "price": 1.0, "gtc": 0.0}
    filled = {name: np.full((total - 1, 1, symbols), value) for name, value in columns.items()}
    routed = False
    for t, row in enumerate(orders[: total - 1]):
        one_symbol = not isinstance(row[0], Sequence)
        for s, order in enumerate([row] if one_symbol else row):
            routed |= len(order) > 2
            for name, value in zip(columns, order, strict=False):
                filled[name][t, 0, s] = value
    return filled, routed


def _column(values: Any, full: tuple[int, int], default: float) -> np.ndarray:
    """A number for all, or what the first bars have; ``default`` on the others."""
    given = np.asarray(values, np.float64)
    if given.ndim == 0:
        return np.full(full, float(given))
    column = np.full(full, default)
    column[: len(given)] = given.reshape(len(given), -1)
    return column


def _padded_finer(given: Sequence[Any], full: tuple[int, int]) -> dict[str, np.ndarray]:
    high = np.full((*full, FINER_BARS), -NEVER)
    low = np.full((*full, FINER_BARS), NEVER)
    for t, pairs in enumerate(given):
        for k, (top, bottom) in enumerate(pairs or ()):
            high[t, 0, k], low[t, 0, k] = top, bottom
    return {"finer_high": high, "finer_low": low}


def rule_arrays(accounts: int, symbols: int, rules: dict[str, Any]) -> dict[str, np.ndarray]:
    """Every rule at its value or off; of the optional ones those that are named."""
    known = {**ACCOUNT_RULES, **SYMBOL_RULES, **OPTIONAL_ACCOUNT_RULES, **OPTIONAL_SYMBOL_RULES}
    unknown = set(rules) - set(known)
    if unknown:
        raise KeyError(f"no such rule: {sorted(unknown)}")
    arrays = {}
    for name, default in {**ACCOUNT_RULES, **SYMBOL_RULES, **rules}.items():
        per_account = name in ACCOUNT_RULES or name in OPTIONAL_ACCOUNT_RULES
        shape = (accounts,) if per_account else (accounts, symbols)
        dtype = np.int32 if name in WHOLE else np.float64
        arrays[name] = np.broadcast_to(np.asarray(rules.get(name, default), dtype), shape)
    return arrays


def with_neutral(case: Case, groups: set[str]) -> Case:
    """The case with these optional groups compiled as before, but doing nothing."""
    neutral = {
        **OPTIONAL_ACCOUNT_RULES, **OPTIONAL_SYMBOL_RULES, **OPTIONAL_COLUMNS, "finer_high": -NEVER,
        "finer_low": NEVER,
    }  # fmt: skip
    off = {part for group in groups for part in GROUP_PARTS[group]}

    def changed(table: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {
            name: np.full_like(values, neutral[name]) if name in off else values
            for name, values in table.items()
        }

    kept = replace(case, rules=changed(case.rules), extra=changed(case.extra))
    if "routes" not in groups or case.route is None:
        return kept
    return replace(kept, route={**case.route, "type": np.zeros_like(case.route["type"])})


# ---- the engine


def engine_bars(case: Case) -> MarketBars:
    extra: Mapping[str, np.ndarray] = case.extra
    return make_bars(
        timestamps_s=case.timestamps_s, prices=case.prices, costs=case.costs,
        interest=case.interest, state=case.state, atr=case.atr, extra=extra,
    )  # fmt: skip


def engine_params(case: Case) -> MarketParams:
    rules = {name: jnp.asarray(value) for name, value in case.rules.items()}
    return MarketParams(one=jnp.asarray(1.0), **rules)


def engine_orders(case: Case) -> Orders:
    route = None
    if case.route is not None:
        route = Route(
            type=jnp.asarray(case.route["type"], jnp.int32),
            price=jnp.asarray(case.route["price"], jnp.float64),
            gtc=jnp.asarray(case.route["gtc"], jnp.bool_),
        )
    return Orders(jnp.asarray(case.kind, jnp.int32), jnp.asarray(case.value), route)


def replay_case(case: Case, record: Callable[..., Any] = everything) -> Any:
    """The engine's record of every bar, stacked."""
    return replay(
        engine_bars(case), engine_params(case), engine_orders(case), lag=case.lag, record=record
    )
