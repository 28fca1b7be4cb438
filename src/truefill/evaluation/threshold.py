"""Threshold strategies: what the signals of forecasters net after costs, through the one market.

The rule is that of the policy ``threshold`` (:mod:`truefill.env.policies.threshold`), as lists of
orders, so that any number of signals is replayed at once. T bars, S symbols.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from truefill.config.evaluation import ThresholdConfig
from truefill.config.schema import Config
from truefill.core.errors import DataError
from truefill.data.split import SplitArrays
from truefill.env.policies.threshold import held_after
from truefill.env.setup import Environment, make_environment
from truefill.evaluation.backtest import replay_orders
from truefill.evaluation.baseline_orders import OrderList
from truefill.evaluation.metrics import EvidenceRule, Metrics, measure
from truefill.evaluation.trace import Trace
from truefill.market.types import OrderKind

F64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

FIGURES = ("net_return", "sharpe", "closed_trades", "max_drawdown", "var_95", "cvar_95")
"""What is told of each signal: of an account over all symbols, net of all costs; the Sharpe ratio
a year; value at risk and its conditional mean of the returns of bars, as losses."""
CELLS = 4_000_000
"""Signals x bars x symbols that are replayed together at most: every bar of each is kept."""


class Signal(NamedTuple):
    """What a strategy trades."""

    name: str
    values: F64
    """[T, S], in its own unit; NaN where there is none."""
    source: str
    """SHA-256 of what makes it."""


def threshold_orders(
    signal: F64, *, enter: float, exit: float, allow_short: bool | Bools
) -> OrderList:
    """Long 1/S from a signal of ``enter`` on until it falls below ``exit``, shorts mirrored.

    Args:
        signal: [T, S], known at each close, in its own unit. NaN: there is none; nothing is ordered
            at that close, and the side that was wanted stays wanted.
        exit: above ``-enter``, at most ``enter``.
        allow_short: of all symbols, or one a symbol [S]; else a short signal is flat.
    """
    held = np.zeros(signal.shape[1], np.int64)
    sides = np.zeros(signal.shape)
    for t, row in enumerate(signal):
        held = held_after(held, row, enter=enter, exit=exit, allow_short=allow_short, xp=np)
        sides[t] = held
    kind = np.where(sides == 0.0, OrderKind.WEIGHT, OrderKind.SIDE)
    kind = np.where(np.isnan(signal), OrderKind.HOLD, kind).astype(np.int32)
    return OrderList(kind, np.where(np.isnan(signal), 0.0, sides / signal.shape[1]))


def orders_of(signal: F64, env: Environment, rule: ThresholdConfig) -> OrderList:
    """The orders of one signal [T, S] in a backtest environment: none before its first bar, shorts
    where the rules of the symbol let them."""
    allow_short = np.asarray([own.allow_short for own in env.rules]) & rule.short
    known = signal.astype(np.float64, copy=True)
    known[: env.spec.first_bar] = np.nan
    return threshold_orders(known, enter=rule.enter, exit=rule.exit, allow_short=allow_short)


def replay_signals(
    signals: Mapping[str, F64], config: Config, split: SplitArrays, rule: ThresholdConfig | None
) -> dict[str, Trace]:
    """Every signal [T, S] traded over ``split``, by one account over all symbols, in one replay.

    Args:
        rule: the thresholds; None = ``evaluation.forecast_threshold``.

    Raises:
        DataError: a signal is not of the split's bars and symbols.
    """
    env = over_all_symbols(config, split)
    rule = config.evaluation.forecast_threshold if rule is None else rule
    for name, signal in signals.items():
        if signal.shape != split.close.shape:
            raise DataError(
                "signal",
                f"{name} is {list(signal.shape)}, {split.name} {list(split.close.shape)}",
                do="give a row a bar and a column a symbol, NaN where there is none",
            )
    lists = [orders_of(signal, env, rule) for signal in signals.values()]
    size = max(1, CELLS // split.close.size)
    traces: list[Trace] = []
    for first in range(0, len(lists), size):
        part = lists[first : first + size]
        kind = np.stack([orders.kind for orders in part])
        value = np.stack([orders.value for orders in part])
        traces += replay_orders(kind, value, env, split)
    return dict(zip(signals, traces, strict=True))


def net_of(
    signals: Mapping[str, F64],
    config: Config,
    split: SplitArrays,
    rule: ThresholdConfig | None = None,
) -> dict[str, dict[str, object]]:
    """What trading each signal nets under the run's own costs: :data:`FIGURES` by name, JSON-able;
    one that cannot be had comes as ``{"value": None, "reason": ...}``. Arguments and errors as in
    :func:`replay_signals`."""
    found = replay_signals(signals, config, split, rule)
    told = {name: measured(trace, config).to_dict() for name, trace in found.items()}
    return {name: {key: own[key] for key in FIGURES} for name, own in told.items()}


def over_all_symbols(config: Config, split: SplitArrays) -> Environment:
    """The market of strategies that come as orders: one account over all symbols, also where the
    agent trades one symbol at a time."""
    env = config.env.model_copy(update={"episode_symbols": "all"})
    return make_environment(config.model_copy(update={"env": env}), split, "backtest")


def measured(trace: Trace, config: Config, rule: EvidenceRule = "closed_trades") -> Metrics:
    """Measures of a trace, which must show evidence by ``rule``."""
    return measure(
        trace.equity,
        trace.timestamps_s,
        trace.trades,
        weight=trace.weight,
        gross=trace.gross,
        turnover=trace.turnover,
        total_cost=float(trace.cost.sum()),
        total_financing=float(trace.financing.sum()),
        rule=rule,
        min_closed_trades=config.evaluation.min_closed_trades,
    )
