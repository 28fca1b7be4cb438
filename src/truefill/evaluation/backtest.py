"""Backtest: a policy, or a list of orders, through the one market, bar by bar, everything kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import polars as pl

from truefill.core.errors import PolicyError
from truefill.data.split import SplitArrays
from truefill.env import episodes
from truefill.env.episodes import EnvArrays, EnvSpec, EnvState
from truefill.env.setup import Environment
from truefill.evaluation.policy import Policy
from truefill.market.replay import equity_only, everything, replay
from truefill.market.types import Account, Array, BarResult, ExitReason, Leg, Orders

F64 = npt.NDArray[np.float64]
REASONS = {reason.value: reason.name.lower() for reason in ExitReason}


@dataclass(frozen=True)
class Trace:
    """What one account did on one split. Row 0 is the close before the first decision fills.

    ``weights`` f64[T, S] are signed (units x mark / equity); ``cost`` and ``financing`` f64[T] are
    what each bar paid in fees, spread and slippage, and in interest and borrow fees.
    """

    timestamps_s: npt.NDArray[np.int64]
    equity: F64
    weights: F64
    turnover: F64
    cost: F64
    financing: F64
    close: F64
    trades: pl.DataFrame
    statuses: dict[int, int]
    ambiguous: int

    @property
    def weight(self) -> F64:
        return np.asarray(self.weights.sum(axis=1))

    @property
    def gross(self) -> F64:
        return np.asarray(np.abs(self.weights).sum(axis=1))

    @property
    def net_return(self) -> float:
        return float(self.equity[-1] / self.equity[0] - 1.0)

    @property
    def log_returns(self) -> F64:
        return np.diff(np.log(self.equity))

    def curve(self, split: str, strategy: str) -> pl.DataFrame:
        """Rows of backtest/equity.parquet."""
        peak = np.maximum.accumulate(self.equity)
        return pl.DataFrame(
            {
                "split": [split] * len(self.equity),
                "timestamp": _stamps(self.timestamps_s),
                "strategy": [strategy] * len(self.equity),
                "equity": self.equity,
                "weight": self.weight,
                "gross": self.gross,
                "drawdown": 1.0 - self.equity / peak,
                "close": self.close[:, 0],
                "cost": np.cumsum(self.cost),
                "financing": np.cumsum(self.financing),
            }
        )


def _stamps(seconds: npt.NDArray[np.int64]) -> pl.Series:
    stamps = pl.Series((seconds * 1_000_000).astype(np.int64))
    return stamps.cast(pl.Datetime("us", "UTC"))


@partial(jax.jit, static_argnames=("decide", "spec"))
def _run(
    parameters: Any, arrays: EnvArrays, start: Array, *, decide: Callable[..., Array], spec: EnvSpec
) -> tuple[Account, BarResult]:
    """All bars from ``start`` (int32 [N], equal) to the end of the data, every bar recorded."""
    state = episodes.reset(spec, arrays, start)

    def one_bar(state: EnvState, _: None) -> tuple[EnvState, tuple[Account, BarResult]]:
        seen = episodes.observe(spec, arrays, state)
        action = decide(parameters, seen.values, seen.legal)
        state, done = episodes.advance(spec, arrays, state, action.T)
        return state, (state.account, done.result)

    length = arrays.bars.num_bars - 1 - spec.first_bar
    out: tuple[Account, BarResult] = jax.lax.scan(one_bar, state, None, length=length)[1]
    return out


def backtest(
    policy: Policy, env: Environment, split: SplitArrays, contract_sha256: str
) -> list[Trace]:
    """Trade ``split`` from its first full window to its end, once for each scenario of ``env``.

    Raises:
        PolicyError: the policy was trained on another feature contract.
    """
    if policy.contract_sha256 != contract_sha256:
        raise PolicyError(
            f"the policy's feature contract is {policy.contract_sha256[:12]}, "
            f"the data's is {contract_sha256[:12]}",
            do="train on this dataset, or give the dataset the policy was trained on",
        )
    market = env.arrays.market
    count = max(market.cost_multiple.shape[0], market.extra_slippage.shape[0])
    start = jnp.full(count, env.spec.first_bar, jnp.int32)
    recorded = _run(policy.parameters, env.arrays, start, decide=policy.decide, spec=env.spec)
    return _traces(recorded, env, split, env.spec.first_bar)


def replay_orders(
    kind: npt.NDArray[np.int32], value: F64, env: Environment, split: SplitArrays
) -> list[Trace]:
    """Trade lists of orders [N, T, S] (row t is decided at the close of bar t), everything kept."""
    first = env.spec.first_bar
    orders = _order_rows(kind, value, first)
    bars = jax.tree.map(lambda x: x[first:], env.arrays.bars)
    recorded = replay(bars, env.arrays.market, orders, lag=env.spec.lag, record=everything)
    return _traces(recorded, env, split, first)


def replay_equity(kind: npt.NDArray[np.int32], value: F64, env: Environment) -> F64:
    """The same for many lists, equity only, f64 [N, T]; row 0 is the starting balance."""
    first = env.spec.first_bar
    orders = _order_rows(kind, value, first)
    bars = jax.tree.map(lambda x: x[first:], env.arrays.bars)
    equity = replay(bars, env.arrays.market, orders, lag=env.spec.lag, record=equity_only)
    balance = np.broadcast_to(np.asarray(env.arrays.market.initial_balance), (1, kind.shape[0]))
    return np.concatenate([balance, np.asarray(equity)]).T


def _order_rows(kind: npt.NDArray[np.int32], value: F64, first: int) -> Orders:
    """[N, T, S] -> [T - 1 - first, N, S]."""
    return Orders(
        jnp.asarray(np.ascontiguousarray(np.swapaxes(kind, 0, 1)[first:-1])),
        jnp.asarray(np.ascontiguousarray(np.swapaxes(value, 0, 1)[first:-1])),
    )


def _traces(
    recorded: tuple[Account, BarResult], env: Environment, split: SplitArrays, first: int
) -> list[Trace]:
    account, result = jax.tree.map(np.asarray, recorded)
    balance = np.broadcast_to(
        np.asarray(env.arrays.market.initial_balance), account.equity.shape[1:]
    )
    return [
        _trace(_one(account, n), _one(result, n), float(balance[n]), split, first)
        for n in range(account.equity.shape[1])
    ]


def _one(tree: Any, n: int) -> Any:
    """Account ``n`` of records [T, N, ...]; queues have no place in a trace."""
    if isinstance(tree, Account):
        tree = tree._replace(queue=Orders(tree.cash, tree.cash))
    return jax.tree.map(lambda x: x[:, n], tree)


def _trace(
    account: Account, result: BarResult, balance: float, split: SplitArrays, first: int
) -> Trace:
    def start(values: F64, value: float) -> F64:
        return np.concatenate([np.full((1, *values.shape[1:]), value), values])

    legs: tuple[Leg, ...] = (result.at_open, result.order, result.in_bar, result.at_end)
    cost = sum(np.sum(np.asarray(leg.fee + leg.spread), axis=1) for leg in legs)
    financing = np.asarray(result.interest + result.borrow)
    weights = np.asarray(account.units * account.mark) / np.asarray(account.equity)[:, None]
    statuses, counts = np.unique(np.asarray(result.status), return_counts=True)
    return Trace(
        timestamps_s=split.timestamps_s[first:],
        equity=start(np.asarray(account.equity), balance),
        weights=start(weights, 0.0),
        turnover=start(np.asarray(result.turnover), 0.0),
        cost=start(np.asarray(cost), 0.0),
        financing=start(financing, 0.0),
        close=split.close[first:],
        trades=closed_trades(legs, split, first),
        statuses={int(s): int(c) for s, c in zip(statuses, counts, strict=True)},
        ambiguous=int(np.sum(np.asarray(result.ambiguous))),
    )


def closed_trades(legs: tuple[Leg, ...], split: SplitArrays, first: int) -> pl.DataFrame:
    """Trades from flat to flat (or through a reversal), net of all costs, in order of exit."""
    rows: list[dict[str, object]] = []
    at = split.timestamps_s[first + 1 :]
    for s, symbol in enumerate(split.symbols):
        traded = sum(np.abs(np.asarray(leg.units[:, s])) for leg in legs)
        ended = sum((np.asarray(leg.reason[:, s]) != 0).astype(np.int64) for leg in legs)
        entry_bar, entry_price, entry_units = 0, 0.0, 0.0
        for t in np.flatnonzero((np.asarray(traded) > 0.0) | (np.asarray(ended) > 0)):
            for leg in legs:
                units, price = float(leg.units[t, s]), float(leg.price[t, s])
                reason, closed = int(leg.reason[t, s]), float(leg.closed_units[t, s])
                if reason:
                    profit = float(leg.profit[t, s])
                    rows.append(
                        {
                            "symbol": symbol,
                            "side": 1 if closed > 0.0 else -1,
                            "entry_time": at[entry_bar] * 1_000_000,
                            "exit_time": at[t] * 1_000_000,
                            "entry_price": entry_price,
                            "exit_price": price,
                            "units": abs(closed),
                            "bars_held": int(t - entry_bar),
                            "net_profit": profit,
                            "return": profit / (abs(entry_units) * entry_price),
                            "reason": REASONS[reason],
                        }
                    )
                left = units + closed  # what a reversal opens, or what an order opens or adds
                if reason and left != 0.0:
                    entry_bar, entry_price, entry_units = int(t), price, left
                elif reason:
                    entry_units = 0.0
                elif units != 0.0 and entry_units == 0.0:
                    entry_bar, entry_price, entry_units = int(t), price, units
                elif units * entry_units > 0.0:
                    total = entry_units + units
                    entry_price = (entry_units * entry_price + units * price) / total
                    entry_units = total
    return pl.DataFrame(rows, schema=TRADES).sort("exit_time", "symbol", maintain_order=True)


TRADES: dict[str, pl.DataType | type[pl.DataType]] = {
    "symbol": pl.String,
    "side": pl.Int64,
    "entry_time": pl.Datetime("us", "UTC"),
    "exit_time": pl.Datetime("us", "UTC"),
    "entry_price": pl.Float64,
    "exit_price": pl.Float64,
    "units": pl.Float64,
    "bars_held": pl.Int64,
    "net_profit": pl.Float64,
    "return": pl.Float64,
    "reason": pl.String,
}
"""Columns of backtest/trades.parquet, after split and strategy."""
