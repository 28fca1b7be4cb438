"""Training and backtest are one market: what may differ, and what is refused by name."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from truefill.config.symbol_rules import Rules
from truefill.core.errors import TruefillError
from truefill.env.episodes import EnvSpec
from truefill.market.bars import MarketBars

if TYPE_CHECKING:
    from truefill.env.setup import Environment

COSTS = ("fee", "slippage", "borrow", "maker_fee")
"""Columns of the bars that are the same on every bar."""
RULE_COLUMNS = ("maker_fee", "volume", "session_end")
"""Optional columns of the bars that stand for a rule of the config; the others come with data."""


def check_parity(train: Environment, backtest: Environment) -> None:
    """Refuse a backtest whose rules are not the training's.

    Raises:
        TruefillError: naming the field that differs, beyond reward interval, drawdown stop, episode
            length and starting balance.
    """
    for field in fields(EnvSpec):
        _equal(field.name, getattr(train.spec, field.name), getattr(backtest.spec, field.name))
    for group, allowed in (("market", {"initial_balance"}), ("reward", {"interval"})):
        a, b = getattr(train.arrays, group), getattr(backtest.arrays, group)
        for name in a._fields:
            if name not in allowed:
                _equal(f"{group}.{name}", getattr(a, name), getattr(b, name))
    _check_bars(train.arrays.bars, backtest.arrays.bars)
    for name in Rules._fields:
        own, other = ([getattr(r, name) for r in env.rules] for env in (train, backtest))
        _equal(name, own, other)
    _equal("no_trade", train.no_trade, backtest.no_trade)


def _check_bars(train: MarketBars, backtest: MarketBars) -> None:
    for name in RULE_COLUMNS:
        _equal(f"the column {name}", name in train.columns, name in backtest.columns)
    if train.num_bars and backtest.num_bars:
        _equal("interest", train.per_bar[0, 0], backtest.per_bar[0, 0])
        for name in COSTS:
            if name in train.columns:
                _equal(name, train.column(name)[0], backtest.column(name)[0])


def _equal(name: str, a: Any, b: Any) -> None:
    """Arrays with equal values, equal objects, or both absent."""
    absent = a is None or b is None
    arrays = hasattr(a, "shape") and hasattr(b, "shape")
    same = a is b if absent else np.array_equal(np.asarray(a), np.asarray(b)) if arrays else a == b
    if not same:
        raise TruefillError(f"{name} differs between training and backtest", where="parity")
