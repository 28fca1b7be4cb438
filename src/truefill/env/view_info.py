"""What ``info`` holds beside observation and reward, for one account and for N.

``equity`` (account currency, at the close); ``legal`` (bool [S, A]) where the decoder forbids
actions and the config masks them; ``illegal`` (bool, one a symbol): the action just taken was, and
became a hold. When an episode ends also ``episode_summary``: ``net_return`` (fraction), ``bars``,
``closed_trades`` and ``turnover`` (traded notional / equity, summed over bars).

For N accounts every key is an array with accounts first, and ``_key`` says which accounts have it,
as Gymnasium's ``VectorEnv._add_info`` lays it out.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import numpy.typing as npt

from truefill.env.episodes import EnvArrays
from truefill.env.view_step import Close, Running

Bools = npt.NDArray[np.bool_]
Info = dict[str, Any]


def facts(close: Close, illegal: Bools) -> Info:
    """Of N accounts at a close that is on the host; fresh arrays, accounts first."""
    out: Info = {"equity": np.array(close.equity), "illegal": np.array(illegal)}
    if close.legal is not None:
        out["legal"] = np.array(close.legal)
    return out


def summary(arrays: EnvArrays, running: Running) -> Info:
    """The ``episode_summary`` of N episodes as they stand now."""
    account, steps, closed, turnover, balance = jax.device_get(
        (
            running.state.account.equity,
            running.state.steps,
            running.closed_trades,
            running.turnover,
            arrays.market.initial_balance,
        )
    )
    return {
        "net_return": account / balance - 1.0,
        "bars": steps.astype(np.int64),
        "closed_trades": closed.astype(np.int64),
        "turnover": np.array(turnover),
    }


def row(batch: Info, i: int) -> Info:
    """Account ``i`` alone: plain numbers, and arrays where it has more than one value."""
    return {
        key: value[i].item() if value.ndim == 1 else value[i].copy() for key, value in batch.items()
    }


def masked(batch: Info, where: Bools) -> Info:
    """``batch`` with a ``_key`` mask beside every key, and zeros where ``where`` is false."""
    out: Info = {}
    for key, value in batch.items():
        inner = isinstance(value, dict)
        out[key] = masked(value, where) if inner else _zero_elsewhere(value, where)
        out[f"_{key}"] = where.copy()
    return out


def along(where: Bools, like: npt.NDArray[Any]) -> Bools:
    """``where`` [N], shaped to broadcast against ``like`` [N, ...]."""
    return where.reshape(-1, *[1] * (like.ndim - 1))


def _zero_elsewhere(value: npt.NDArray[Any], where: Bools) -> npt.NDArray[Any]:
    kept: npt.NDArray[Any] = np.where(along(where, value), value, np.zeros((), value.dtype))
    return kept
