"""Bars one at a time, as they arrive: bit for bit what a replay of all of them gives."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from market_cases import Case, by_hand, engine_bars, engine_orders, engine_params, replay_case
from market_fuzz import GROUPS, NOTHING, blind_orders, random_case
from market_play import flat, limit, units
from truefill.market.bars import MarketBars, make_bars
from truefill.market.stream import Stream
from truefill.market.types import Account, Orders

ROWS = 64
FULL: dict[str, Any] = {"bars": 201, "accounts": ROWS, "symbols": 1, "lag": 2, "groups": GROUPS}
BARE: dict[str, Any] = {"bars": 201, "accounts": ROWS, "symbols": 3, "lag": 2, "groups": NOTHING}


def arriving(case: Case, t: int) -> MarketBars:
    """Bar ``t`` as it arrives: alone, with what is known of the bar before."""
    now = slice(t, t + 1)

    def cut(table: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: values[now] for name, values in table.items()}

    return make_bars(
        timestamps_s=case.timestamps_s[now], prices=cut(case.prices), costs=cut(case.costs),
        interest=case.interest[now], state=case.state[now], atr=case.atr[now],
        extra=cut(case.extra), previous_s=float(case.timestamps_s[t - 1]) if t else None,
        previous_atr=case.atr[t - 1] if t else None,
    )  # fmt: skip


def started(case: Case, t: int = 0, account: Account | None = None) -> Stream:
    """At the close of bar ``t``: fresh accounts, or ``account``."""
    return Stream(
        arriving(case, t), engine_params(case), lag=case.lag, num_accounts=case.shape[1],
        routes=case.route is not None, account=account,
    )  # fmt: skip


def orders_at(orders: Orders, t: int) -> Orders:
    """Those decided at the close of bar ``t``, [N, S]."""
    rows: Orders = jax.tree.map(lambda column: column[t], orders)
    return rows


def assert_same_bits(got: Any, wanted: Any, t: int) -> None:
    for ours, theirs in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
        assert np.array_equal(np.asarray(ours), np.asarray(theirs)), t


@pytest.mark.slow
@pytest.mark.parametrize("shape", [FULL, BARE], ids=["all rules", "bare"])
@pytest.mark.parametrize("seed", [1, 2])
def test_bars_that_arrive_one_by_one_give_the_bits_of_a_replay(
    shape: dict[str, Any], seed: int
) -> None:
    case = blind_orders(random_case(seed, **shape), seed + 1)
    accounts, results = jax.tree.map(np.asarray, replay_case(case))
    stream, orders = started(case), engine_orders(case)
    for t in range(1, case.shape[0]):
        result = stream.step(orders_at(orders, t - 1), arriving(case, t))
        assert_same_bits(result, jax.tree.map(lambda x: x[t - 1], results), t)  # noqa: B023
        assert_same_bits(stream.account, jax.tree.map(lambda x: x[t - 1], accounts), t)  # noqa: B023
    assert np.array_equal(np.asarray(stream.equity), accounts.equity[-1])


def saved(account: Account) -> bytes:
    """The account as a file of plain arrays."""
    file = BytesIO()
    np.savez(file, *[np.asarray(leaf) for leaf in jax.tree.leaves(account)])
    return file.getvalue()


def restored(content: bytes, like: Account) -> Account:
    with np.load(BytesIO(content), allow_pickle=False) as file:
        leaves = [file[name] for name in file.files]
    account: Account = jax.tree.unflatten(jax.tree.structure(like), leaves)
    return account


def test_a_stream_goes_on_from_a_saved_account() -> None:
    """Saved amid working and queued orders, and taken up by a new stream."""
    case = blind_orders(random_case(5, **FULL), 6)
    orders, first = engine_orders(case), started(case)
    for t in range(1, 100):
        first.step(orders_at(orders, t - 1), arriving(case, t))
    assert first.account.working is not None
    assert (np.asarray(first.account.working.kind) != 0).any()
    assert (np.asarray(first.account.queue.kind) != 0).any()
    kept = restored(saved(first.account), first.account)
    second = Stream(engine_bars(case), engine_params(case), lag=case.lag, account=kept)
    for t in range(100, 130):
        first.step(orders_at(orders, t - 1), arriving(case, t))
        second.step(orders_at(orders, t - 1), arriving(case, t))
        assert_same_bits(second.account, first.account, t)


def test_soft_rules_and_lag_zero_are_refused() -> None:
    case = by_hand([flat(100.0)], [units(1.0)])
    bars, params = engine_bars(case), engine_params(case)
    soft = params._replace(temperature=jnp.asarray(1e-3))
    with pytest.raises(ValueError, match="for gradients only"):
        Stream(bars, soft, lag=1)
    with pytest.raises(ValueError, match="lag"):
        Stream(bars, params, lag=0)


@pytest.mark.parametrize("routes", [True, False])
def test_a_route_that_does_not_fit_the_stream_is_refused(routes: bool) -> None:
    case = by_hand([flat(100.0)], [limit(units(1.0), 90.0)])
    orders = orders_at(engine_orders(case), 0)
    wrong = orders._replace(route=None) if routes else orders
    stream = Stream(engine_bars(case), engine_params(case), lag=1, routes=routes)
    with pytest.raises(ValueError, match="route"):
        stream.step(wrong, engine_bars(case))
