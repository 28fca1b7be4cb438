"""Baselines as orders: what they do, and that they never see what comes after."""

import numpy as np
import pytest

from truefill.evaluation.baseline_orders import (
    AgentProfile,
    agent_profile,
    buy_and_hold,
    constant_exposure,
    flat,
    random_orders,
    sma_cross,
)
from truefill.market.types import OrderKind


def path(bars=400, symbols=2, seed=0):
    generator = np.random.default_rng(seed)
    return 100.0 * np.exp(np.cumsum(0.03 * generator.standard_normal((bars, symbols)), axis=0))


def profile(change=0.1, shares=(0.2, 0.5, 0.3), size=0.8, symbols=2):
    return AgentProfile(
        np.full(symbols, change), np.tile(shares, (symbols, 1)), np.full(symbols, size),
        np.full(symbols, 0.1),
    )  # fmt: skip


MAKERS = {
    "flat": flat,
    "buy_and_hold": buy_and_hold,
    "constant_exposure": lambda c: constant_exposure(c, np.array([0.4, -0.2])),
    "sma_cross": lambda c: sma_cross(c, 5, 20, allow_short=True),
    "random": lambda c: random_orders(c, profile(), draws=3, seed=7),
}


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("t", [0, 19, 20, 137, 398])
def test_no_order_depends_on_a_later_close(name, t):
    closes = path()
    changed = closes.copy()
    changed[t + 1 :] *= np.random.default_rng(1).uniform(0.2, 5.0, changed[t + 1 :].shape)
    before, after = MAKERS[name](closes), MAKERS[name](changed)
    rows = (Ellipsis, slice(0, t + 1), slice(None))
    np.testing.assert_array_equal(before.kind[rows], after.kind[rows])
    np.testing.assert_array_equal(before.value[rows], after.value[rows])


@pytest.mark.parametrize("name", MAKERS)
def test_shapes_and_types(name):
    orders = MAKERS[name](path())
    shape = (3, 400, 2) if name == "random" else (400, 2)
    assert orders.kind.shape == orders.value.shape == shape
    assert orders.kind.dtype == np.int32 and orders.value.dtype == np.float64
    assert np.isfinite(orders.value).all()


def test_flat_holds_and_buy_and_hold_is_long_everywhere():
    assert (flat(path()).kind == OrderKind.HOLD).all()
    orders = buy_and_hold(path())
    assert (orders.kind == OrderKind.SIDE).all() and (orders.value == 0.5).all()


def test_constant_exposure_trades_only_after_ten_percent_of_drift():
    """Weight 0.5: at a price 1 + g it is 0.5 (1 + g) / (1 + 0.5 g); 10 % off at g = 0.2222."""
    closes = 100.0 * np.array([[1.0], [1.22], [1.2223], [1.2223], [1.2223 * 1.23]])
    orders = constant_exposure(closes, np.array([0.5]))
    assert orders.kind[:, 0].tolist() == [1, 0, 1, 0, 1]
    assert set(orders.value[orders.kind == OrderKind.WEIGHT]) == {0.5}


def test_full_exposure_never_drifts():
    orders = constant_exposure(path(symbols=1), np.array([1.0]))
    assert (orders.kind == OrderKind.WEIGHT).sum() == 1


def test_sma_cross_follows_a_hand_computed_crossing():
    closes = np.array([[10.0], [10], [10], [13], [13], [7], [1]])
    orders = sma_cross(closes, 1, 3, allow_short=True)
    assert orders.kind[:, 0].tolist() == [0, 0, 0, 2, 2, 2, 2]
    assert orders.value[:, 0].tolist() == [0, 0, 0, 1, 1, -1, -1]
    long_only = sma_cross(closes, 1, 3, allow_short=False)
    assert long_only.value[:, 0].tolist() == [0, 0, 0, 1, 1, 0, 0]
    both = sma_cross(np.hstack([closes, closes]), 1, 3, allow_short=np.array([False, True]))
    assert (2.0 * both.value).T.tolist() == [[0, 0, 0, 1, 1, 0, 0], [0, 0, 0, 1, 1, -1, -1]]
    assert (sma_cross(closes, 5, 50, allow_short=True).kind == OrderKind.HOLD).all()


def test_constant_prices_never_cross():
    orders = sma_cross(np.full((300, 1), 1.1), 7, 30, allow_short=True)
    assert (orders.kind == OrderKind.HOLD).all()


def sides(orders):
    """Side in force after each bar, [D, T, S]."""
    rows = np.arange(orders.kind.shape[1])[None, :, None]
    last = np.maximum.accumulate(np.where(orders.kind == OrderKind.SIDE, rows, 0), axis=1)
    return np.sign(np.take_along_axis(orders.value, last, axis=1))


def test_random_agents_trade_as_often_as_long_and_as_large_as_the_agent():
    orders = random_orders(path(2_000), profile(), draws=40, seed=0)
    side = sides(orders)
    changes = (side[:, 1:] != side[:, :-1]).mean()
    assert changes == pytest.approx(0.1, rel=0.03)
    for code, share in zip((-1, 0, 1), (0.2, 0.5, 0.3), strict=True):
        assert (side == code).mean() == pytest.approx(share, abs=0.02)
    assert set(np.abs(orders.value[side != 0]).round(12)) <= {0.0, 0.8}
    assert np.abs(orders.value).max() == 0.8


def test_random_draws_differ_and_repeat_by_seed():
    one = random_orders(path(), profile(), draws=3, seed=0)
    same = random_orders(path(), profile(), draws=3, seed=0)
    other = random_orders(path(), profile(), draws=3, seed=1)
    np.testing.assert_array_equal(one.value, same.value)
    assert (one.value != other.value).any() and (one.value[0] != one.value[1]).any()


def test_an_agent_that_is_always_long_gives_random_agents_that_are_always_long():
    orders = random_orders(path(), profile(0.0, (0.0, 0.0, 1.0), 1.0), draws=2, seed=0)
    assert (sides(orders) == 1).all()
    assert (orders.kind == OrderKind.SIDE).sum() == 2 * 2


def test_profile_of_a_hand_made_path():
    weights = np.array([[0.0], [0.5], [0.7], [-0.6], [0.0], [0.0], [1.0], [1.0]])
    found = agent_profile(weights)
    assert found.change_rate[0] == pytest.approx(4 / 8)
    assert found.shares[0].tolist() == pytest.approx([1 / 8, 3 / 8, 4 / 8])
    assert found.size[0] == pytest.approx(3.8 / 5)
    assert found.mean_weight[0] == pytest.approx(2.6 / 8)
    assert agent_profile(np.zeros((5, 1))).size[0] == 0.0
