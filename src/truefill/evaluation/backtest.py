"""Backtest: a policy, or a list of orders, through the one market, bar by bar, everything kept."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from truefill.core.errors import PolicyError
from truefill.data.split import SplitArrays
from truefill.env import episodes
from truefill.env.episodes import EnvArrays, EnvSpec, EnvState, Pool
from truefill.env.setup import Environment
from truefill.evaluation.policy import Policy
from truefill.evaluation.pooled import add_up, bars_of, spread_accounts
from truefill.evaluation.trace import Trace as Trace
from truefill.evaluation.trades import closed_trades
from truefill.market.gates import refuse_soft
from truefill.market.replay import equity_only, everything, replay
from truefill.market.types import Account, Array, BarResult, Orders, Route

F64 = npt.NDArray[np.float64]


@partial(jax.jit, static_argnames=("decide", "spec", "length"))
def _run(
    parameters: Any,
    memory: Any,
    arrays: EnvArrays,
    start: Array,
    *,
    decide: Callable[..., tuple[Array, Any]],
    spec: EnvSpec,
    length: int,
) -> tuple[Account, BarResult]:
    """``length`` bars from ``start`` (int32 [N]), every bar recorded."""
    state = episodes.reset(spec, arrays, start)

    Going = tuple[EnvState, Any]

    def one_bar(going: Going, _: None) -> tuple[Going, tuple[Account, BarResult]]:
        state, memory = going
        seen = episodes.observe(spec, arrays, state)
        action, memory = decide(parameters, memory, seen.values, seen.legal)
        state, done = episodes.advance(spec, arrays, state, action.T)
        return (state, memory), (state.account, done.result)

    out: tuple[Account, BarResult] = jax.lax.scan(one_bar, (state, memory), None, length=length)[1]
    return out


def backtest(
    policy: Policy, env: Environment, split: SplitArrays, contract_sha256: str
) -> list[Trace]:
    """Trade ``split`` from its first full window to its end, once for each scenario of ``env``.

    Raises:
        PolicyError: the policy was trained on another feature contract, or the market is soft.
    """
    _refuse_soft(env)
    if policy.contract_sha256 != contract_sha256:
        raise PolicyError(
            f"the policy's feature contract is {policy.contract_sha256[:12]}, "
            f"the data's is {contract_sha256[:12]}",
            do="train on this dataset, or give the dataset the policy was trained on",
        )
    market = env.arrays.market
    count = max(market.cost_multiple.shape[0], market.extra_slippage.shape[0])
    if env.arrays.pool is not None:
        return _one_by_one(policy, env, env.arrays.pool, split, count)
    start = jnp.full(count, env.spec.first_bar, jnp.int32)
    length = env.arrays.bars.num_bars - 1 - env.spec.first_bar
    recorded = _run(
        policy.parameters, policy.initial(count), env.arrays, start,
        decide=policy.decide, spec=env.spec, length=length,
    )  # fmt: skip
    return _traces(recorded, market.initial_balance, split, env.spec.first_bar)


def _one_by_one(
    policy: Policy, env: Environment, pool: Pool, split: SplitArrays, scenarios: int
) -> list[Trace]:
    """An account a symbol, each with an equal share of the balance; the sum of each scenario."""
    arrays, start, length = spread_accounts(env.arrays, pool, scenarios)
    recorded = _run(
        policy.parameters, policy.initial(start.shape[0]), arrays, start,
        decide=policy.decide, spec=env.spec, length=length,
    )  # fmt: skip
    first, parts = env.spec.first_bar, []
    for n in range(start.shape[0]):
        symbol = n % len(split.symbols)
        bars = bars_of(pool, symbol)
        own = jax.tree.map(lambda x, n=n, bars=bars: x[:bars, n : n + 1], _kept(recorded))
        alone = split.only(split.symbols[symbol])
        parts += _traces(own, arrays.market.initial_balance[:1], alone, first)
    size = len(split.symbols)
    return [add_up(parts[k * size : (k + 1) * size], split, first) for k in range(scenarios)]


def replay_orders(
    kind: npt.NDArray[np.int32],
    value: F64,
    env: Environment,
    split: SplitArrays,
    route: Route | None = None,
) -> list[Trace]:
    """Trade lists of orders [N, T, S] (row t is decided at the close of bar t), everything kept.

    ``route`` [N, T, S] sends them as limit and stop orders; ``env`` must be made with routes.

    Raises:
        PolicyError: the market is soft.
    """
    _refuse_soft(env)
    first = env.spec.first_bar
    orders = _order_rows(kind, value, first, route)
    bars = jax.tree.map(lambda x: x[first:], env.arrays.bars)
    recorded = replay(bars, env.arrays.market, orders, lag=env.spec.lag, record=everything)
    return _traces(recorded, env.arrays.market.initial_balance, split, first)


def replay_equity(kind: npt.NDArray[np.int32], value: F64, env: Environment) -> F64:
    """The same for many lists, equity only, f64 [N, T]; row 0 is the starting balance."""
    _refuse_soft(env)
    first = env.spec.first_bar
    orders = _order_rows(kind, value, first)
    bars = jax.tree.map(lambda x: x[first:], env.arrays.bars)
    equity = replay(bars, env.arrays.market, orders, lag=env.spec.lag, record=equity_only)
    balance = np.broadcast_to(np.asarray(env.arrays.market.initial_balance), (1, kind.shape[0]))
    return np.concatenate([balance, np.asarray(equity)]).T


def _refuse_soft(env: Environment) -> None:
    try:
        refuse_soft(env.arrays.market)
    except ValueError as error:
        raise PolicyError(str(error), where="backtest", do="make the environment anew") from error


def _order_rows(
    kind: npt.NDArray[np.int32], value: F64, first: int, route: Route | None = None
) -> Orders:
    """[N, T, S] -> [T - 1 - first, N, S]."""

    def rows(x: npt.NDArray[Any]) -> Array:
        return jnp.asarray(np.ascontiguousarray(np.swapaxes(x, 0, 1)[first:-1]))

    return Orders(
        rows(kind),
        rows(value),
        None if route is None else Route(*(rows(np.asarray(x)) for x in route)),
    )


def _traces(
    recorded: tuple[Account, BarResult], initial_balance: Array, split: SplitArrays, first: int
) -> list[Trace]:
    account, result = jax.tree.map(np.asarray, _kept(recorded))
    balance = np.broadcast_to(np.asarray(initial_balance), account.equity.shape[1:])
    return [
        _trace(_one(account, n), _one(result, n), float(balance[n]), split, first)
        for n in range(account.equity.shape[1])
    ]


def _kept(recorded: tuple[Account, BarResult]) -> tuple[Account, BarResult]:
    """Records [T, N, ...] without waiting orders, which have no place in a trace."""
    account, result = recorded
    return account._replace(queue=Orders(account.cash, account.cash), working=None), result


def _one(tree: Any, n: int) -> Any:
    """Account ``n`` of records [T, N, ...]."""
    return jax.tree.map(lambda x: x[:, n], tree)


def _trace(
    account: Account, result: BarResult, balance: float, split: SplitArrays, first: int
) -> Trace:
    def start(values: F64, value: float) -> F64:
        return np.concatenate([np.full((1, *values.shape[1:]), value), values])

    legs = result.legs
    cost = sum(np.sum(np.asarray(leg.fee + leg.spread), axis=1) for leg in legs)
    financing = np.asarray(result.interest + result.borrow)
    if result.funding is not None:
        financing = financing + np.asarray(result.funding)
    none = np.zeros(financing.shape)
    dividends = none if result.dividends is None else np.asarray(result.dividends)
    weights = np.asarray(account.units * account.mark) / np.asarray(account.equity)[:, None]
    statuses, counts = np.unique(np.asarray(result.status), return_counts=True)
    return Trace(
        timestamps_s=split.timestamps_s[first:],
        equity=start(np.asarray(account.equity), balance),
        weights=start(weights, 0.0),
        turnover=start(np.asarray(result.turnover), 0.0),
        cost=start(np.asarray(cost), 0.0),
        financing=start(financing, 0.0),
        dividends=start(dividends, 0.0),
        close=split.close[first:],
        trades=closed_trades(legs, split, first),
        statuses={int(s): int(c) for s, c in zip(statuses, counts, strict=True)},
        ambiguous=int(np.sum(np.asarray(result.ambiguous))),
        resolved=0 if result.resolved is None else int(np.sum(np.asarray(result.resolved))),
    )
