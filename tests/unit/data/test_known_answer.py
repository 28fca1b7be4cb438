"""The best policy of each planted market earns what it is said to earn, also in the one market."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import polars as pl
import pytest

import truefill
from config_cases import base_tree
from truefill.config.load import parse_config
from truefill.config.schema import Config
from truefill.core.errors import ConfigError
from truefill.data.known_answer import KnownAnswer, evaluate, known_answer
from truefill.data.planted import PlantedRule, best_net_log_profit
from truefill.data.sessions import Session
from truefill.data.split import to_arrays
from truefill.data.synthetic import SOURCES, synthetic_bars, synthetic_series
from truefill.env.setup import make_environment
from truefill.evaluation.backtest import replay_orders
from truefill.market.types import OrderKind

PLANTED = sorted(entry.name for entry in SOURCES if entry.facts["predictor"] is not None)
COSTS = {"fee_bps": 1.0, "half_spread_bps": 0.5, "slippage_bps": 0.5, "allow_short": True}


def config_of(kind: str, market: dict[str, Any] | None = None, **options: Any) -> Config:
    tree = base_tree()
    tree["data"]["synthetic"] = {"kind": kind, **options}
    tree["data"]["splits"] = {"kind": "fractions", "train": 0.98, "validation": 0.01, "test": 0.01}
    tree["features"] = tree["features"][:1]
    tree["market"] = {"borrow_rate_annual": 0.0, **COSTS, **(market or {})}
    return parse_config(tree)


@lru_cache
def market(kind: str, bars: int, strength: float) -> tuple[pl.DataFrame, dict[str, Any]]:
    config = config_of(kind, bars=bars, strength=strength)
    assert config.data.synthetic is not None
    return synthetic_bars(config.data.synthetic, 3_600.0), synthetic_series(config.data)


def answer(
    kind: str, fee_bps: float = 1.0, strength: float = 0.2, params: Any = None, **more: Any
) -> KnownAnswer:
    config = config_of(kind, {"fee_bps": fee_bps, **more}, strength=strength, params=params or {})
    assert config.data.synthetic is not None
    return known_answer(config.data.synthetic, config.market, 3_600.0)


def test_the_planted_ones_are_these() -> None:
    assert PLANTED == ["calendar_effect", "lead_lag", "mean_reversion", "momentum",
                       "planted_signal"]  # fmt: skip


@pytest.mark.parametrize("kind", PLANTED)
def test_a_long_path_gives_the_expected_figures(kind: str) -> None:
    """Within four standard errors, block by block."""
    best = answer(kind)
    bars, series = market(kind, 60_000, 0.2)
    found = best.realize(bars, series)
    blocks = found.log_returns[: 100 * 599].reshape(100, -1).mean(axis=1)
    error = blocks.std() / np.sqrt(len(blocks))
    assert abs(blocks.mean() - best.expected_log_per_bar) < 4.0 * error
    assert 4.0 * error < 0.15 * best.expected_log_per_bar
    assert found.net_sharpe == pytest.approx(best.net_sharpe, rel=0.06)
    assert best.net_sharpe_annual == pytest.approx(best.net_sharpe * np.sqrt(8_766.0))
    held = found.positions
    assert np.mean(held[1:] != held[:-1]) == pytest.approx(best.trades_per_bar, rel=0.06)
    assert np.mean(held != 0) == pytest.approx(best.in_market, abs=0.03)


@pytest.mark.parametrize("kind", PLANTED)
@pytest.mark.parametrize("fee_bps", [3.0, pytest.param(0.5, marks=pytest.mark.slow)])
def test_no_other_policy_of_its_form_does_better(kind: str, fee_bps: float) -> None:
    """Enter where |z| is large, leave where it has turned: the myopic one, and with bands."""
    best = answer(kind, fee_bps)
    assert best.chain is not None
    z = best.chain.z
    for enter, leave in ((0.0, 0.0), (0.3, -0.3), (0.6, 0.0)):
        side = np.where(np.abs(z) > enter, np.sign(z), 0.0)
        choice = np.stack(
            [np.where((side == 0) & (held * z > leave), held, side) + 1 for held in (-1, 0, 1)],
            axis=1,
        ).astype(np.int64)
        other = evaluate(best.rule, best.chain, choice, 8_766.0)
        assert other.trades_per_bar > 0.0
        assert other.expected_log_per_bar <= best.expected_log_per_bar + 1e-12
    myopic = np.argmax((best.rule.costs() + best.rule.gains(z)[:, None, :]), axis=2)
    other = evaluate(best.rule, best.chain, myopic, 8_766.0)
    assert other.expected_log_per_bar <= best.expected_log_per_bar + 1e-12
    if kind in ("calendar_effect", "lead_lag"):  # what is seen now lasts: worth paying for
        assert other.expected_log_per_bar < best.expected_log_per_bar - 1e-7


@pytest.mark.parametrize("kind", PLANTED)
def test_more_strength_earns_more_and_costs_only_take(kind: str) -> None:
    params = {"every_bars": 4} if kind == "lead_lag" else {}  # fewer states
    by_strength = [
        answer(kind, strength=s, params=params).net_sharpe for s in (0.0, 0.05, 0.2, 0.5)
    ]
    assert by_strength == sorted(set(by_strength)) and by_strength[0] == 0.0
    by_cost = [answer(kind, fee, params=params).expected_log_per_bar for fee in (0.0, 1.0, 5.0)]
    assert by_cost == sorted(by_cost, reverse=True) and by_cost[-1] < by_cost[0]
    assert answer(kind, params=params, allow_short=False).expected_log_per_bar < by_cost[1]


@pytest.mark.parametrize("kind", PLANTED)
@pytest.mark.parametrize(
    ("fee_bps", "strength"),
    [(1.0, 0.0), pytest.param(2_000.0, 0.2, marks=pytest.mark.slow)],  # slow to settle
)
def test_without_strength_or_at_high_costs_it_never_trades(
    kind: str, fee_bps: float, strength: float
) -> None:
    params = {"every_bars": 4} if kind == "lead_lag" else {}
    config = config_of(kind, {"fee_bps": fee_bps}, strength=strength, params=params, bars=2_000)
    assert config.data.synthetic is not None
    best = known_answer(config.data.synthetic, config.market, 3_600.0)
    figures = (best.expected_log_per_bar, best.net_sharpe, best.trades_per_bar, best.in_market)
    assert figures == (0.0, 0.0, 0.0, 0.0)
    bars = synthetic_bars(config.data.synthetic, 3_600.0)
    found = best.realize(bars, synthetic_series(config.data))
    assert not found.positions.any() and found.net_sharpe == 0.0


@pytest.mark.parametrize("kind", sorted({e.name for e in SOURCES} - set(PLANTED)))
def test_where_no_edge_exists_flat_is_best(kind: str) -> None:
    real = {"file": {"path": "sample:eurusd_1h"}} if "returns" in kind else {}
    config = config_of(kind, params=real)
    assert config.data.synthetic is not None
    best = known_answer(config.data.synthetic, config.market, 3_600.0)
    assert best.chain is None and best.net_sharpe == best.expected_log_per_bar == 0.0
    assert not best.positions(pl.DataFrame({"close": [1.0, 2.0]}), {}).any()


def test_on_the_planted_signal_it_is_the_policy_that_was_known_before() -> None:
    bars, series = market("planted_signal", 20_000, 0.2)
    best = answer("planted_signal")
    rule = PlantedRule(0.002, 0.2, 1.0, 0.5, 0.5)
    other = best_net_log_profit(rule, bars["signal"].to_numpy(), bars["close"].to_numpy())
    found = best.realize(bars, series)
    assert np.mean(other.positions != found.positions) < 0.01
    assert found.log_returns.sum() == pytest.approx(other.realized_log, rel=0.01)


def test_shorts_pay_what_they_borrow() -> None:
    free, dear = answer("calendar_effect"), answer("calendar_effect", borrow_rate_annual=2.0)
    assert dear.expected_log_per_bar < free.expected_log_per_bar
    future = answer("calendar_effect", borrow_rate_annual=2.0, derivative=True)
    assert future.expected_log_per_bar == free.expected_log_per_bar


def test_orders_that_wait_have_no_known_answer() -> None:
    with pytest.raises(ConfigError, match="fill at the next open"):
        answer("momentum", decision_lag=2)


@pytest.mark.parametrize("kind", PLANTED)
def test_the_one_market_pays_the_same(kind: str) -> None:
    """The best positions as orders, replayed through the market: full size again at each change,
    costs, fills at the open. A short drifts there between two trades, so it is near, not equal."""
    config = config_of(kind, bars=4_000, strength=0.2, seed=2)
    built = truefill.build_dataset(config)
    lineage, table = built.lineage, built.tables["train"]
    split = to_arrays(
        "train", table, symbols=lineage["symbols"], feature_names=["r"],
        session=Session.from_dict(lineage["session"]), interval_s=3_600.0,
        market_columns=lineage["market_columns"],
    )  # fmt: skip
    best = answer(kind)
    assert config.data.synthetic is not None
    bars = synthetic_bars(config.data.synthetic, 3_600.0)
    bars = bars.filter(pl.col("timestamp").is_in(table["timestamp"].to_list()))
    found = best.realize(bars, synthetic_series(config.data))
    decided = np.append(found.positions[1:], 0)
    orders = decided[None, :, None].astype(np.float64)
    kinds = np.full(orders.shape, OrderKind.SIDE, np.int32)
    [trace] = replay_orders(kinds, orders, make_environment(config, split, "backtest"), split)
    assert np.array_equal(np.sign(trace.weights[1:, 0]), found.positions[1:])
    assert trace.log_returns.sum() == pytest.approx(found.log_returns.sum(), rel=0.03, abs=0.005)
    simple = np.diff(trace.equity) / trace.equity[:-1]
    sharpe = simple.mean() / simple.std(ddof=1)
    assert sharpe == pytest.approx(found.net_sharpe, rel=0.05)
