"""The same bits in any batch, scanned or step by step, in any place, with any rules on."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from market_cases import Case, engine_bars, engine_orders, engine_params
from market_compare import engine_record
from market_fuzz import GROUPS, NOTHING, SHAPES, Shape, blind_orders, random_case
from truefill.market import rules
from truefill.market.types import Orders

BARE = Shape(symbols=3, lag=2, groups=NOTHING)
FULL = SHAPES[1]
MANY = Shape(symbols=7, lag=1, groups=GROUPS, bars=61, accounts=301)


def wild(seed: int, shape: Shape) -> Case:
    """All rules of the shape on, in random mixes, and random orders."""
    case = random_case(
        seed, bars=shape.bars, accounts=shape.accounts, symbols=shape.symbols, lag=shape.lag,
        groups=shape.groups,
    )  # fmt: skip
    return blind_orders(case, seed + 1)


def accounts_of(case: Case, chosen: np.ndarray) -> Case:
    return replace(
        case,
        rules={name: values[chosen] for name, values in case.rules.items()},
        kind=case.kind[:, chosen],
        value=case.value[:, chosen],
        route={k: v[:, chosen] for k, v in case.route.items()} if case.route else None,
    )


@pytest.mark.parametrize("shape", [BARE, FULL], ids=["bare", "all rules"])
def test_bits_do_not_depend_on_the_place_in_the_batch(shape: Shape) -> None:
    case = wild(3, shape)
    order = np.roll(np.arange(64), 17)[::-1]
    whole, moved = engine_record(case), engine_record(accounts_of(case, order))
    for name, values in whole.items():
        assert np.array_equal(values[:, order], moved[name]), name


@pytest.mark.parametrize(
    "shape", [BARE, pytest.param(FULL, marks=pytest.mark.slow)], ids=["bare", "all rules"]
)
def test_one_account_step_by_step_scanned_and_in_a_batch_has_the_same_bits(shape: Shape) -> None:
    case = wild(3, shape)
    batch = engine_record(case)
    of_account = {"equity", "cash", "units", "entry", "best", "flow", "mark", "peak", "held"}
    of_result = {"log_return", "turnover", "interest", "borrow", "funding", "status"} & set(batch)
    row = jax.jit(lambda bars, t: bars.row(t))
    for n in (0, 29, 63):
        alone = accounts_of(case, np.array([n]))
        scanned = engine_record(alone)
        for name, values in scanned.items():
            assert np.array_equal(values, batch[name][:, [n]]), name
        bars, params, orders = engine_bars(alone), engine_params(alone), engine_orders(alone)
        mark = bars.mark(jnp.zeros(1, jnp.int32))
        account = rules.open_account(
            params, 1, shape.symbols, shape.lag, mark, routes=case.route is not None
        )
        for t in range(1, shape.bars):
            due: Orders = jax.tree.map(lambda rows: rows[t - 1], orders)  # noqa: B023
            account, result = rules.step_jit(account, due, row(bars, jnp.full(1, t)), params)
            for names, found in ((of_account, account), (of_result, result)):
                for name in names:
                    wanted = batch[name][t - 1, [n]]
                    assert np.array_equal(getattr(found, name), wanted), (name, t)


@pytest.mark.slow
@pytest.mark.parametrize("accounts", [1, 5, 64])
def test_bits_do_not_depend_on_the_size_of_the_batch(accounts: int) -> None:
    """Seven symbols, all rules: sums over symbols too, whatever the batch is vectorized in."""
    case = wild(3, MANY)
    whole = engine_record(case)
    chosen = np.arange(100, 100 + accounts)
    part = engine_record(accounts_of(case, chosen))
    for name, values in whole.items():
        assert np.array_equal(values[:, chosen], part[name]), name
