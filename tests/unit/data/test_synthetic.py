"""Synthetic markets: consistent bars, no edge, or a planted edge of known worth."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from truefill.config.schema import MarketConfig, SyntheticConfig
from truefill.data.defects import ROW, Findings
from truefill.data.defects.interval import check_interval
from truefill.data.defects.order import check_order
from truefill.data.defects.prices import check_prices
from truefill.data.defects.whole import Market, check_symbols
from truefill.data.planted import PlantedRule, best_net_log_profit
from truefill.data.sessions import session_of
from truefill.data.synthetic import synthetic_bars


def market(kind: str = "planted_signal", **options: object) -> SyntheticConfig:
    return SyntheticConfig(kind=kind, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["random_walk", "planted_signal"])
def test_bars_pass_every_defect_check_and_open_where_the_last_closed(kind: str) -> None:
    table = synthetic_bars(market(kind, bars=3_000, symbols=2), 300.0)
    numbered = table.with_row_index(ROW, offset=1)
    found = Findings(file="synthetic")
    check_order(numbered, 300.0, found)
    check_prices(numbered, found)
    check_interval(numbered, 300.0, found)
    check_symbols(numbered, 300.0, Market(session_of(None)), found)
    assert found.found == []
    for part in table.partition_by("symbol"):
        assert (part["open"][1:] == part["close"][:-1]).all()
    assert table["symbol"].unique().sort().to_list() == ["SYN1", "SYN2"]


def test_same_seed_same_bars_other_seed_other_bars() -> None:
    one, again = (synthetic_bars(market(bars=100, seed=3), 60.0) for _ in range(2))
    assert one.equals(again)
    assert not one.equals(synthetic_bars(market(bars=100, seed=4), 60.0))


@pytest.mark.parametrize(("kind", "explained"), [("random_walk", 0.0), ("planted_signal", 0.7)])
def test_the_signal_explains_the_stated_share_of_the_next_return(
    kind: str, explained: float
) -> None:
    table = synthetic_bars(market(kind, bars=40_000), 60.0)
    returns = np.diff(np.log(table["close"].to_numpy()))
    signal = table["signal"].to_numpy()
    assert np.corrcoef(signal[:-1], returns)[0, 1] ** 2 == pytest.approx(explained, abs=0.01)
    assert abs(np.corrcoef(signal[1:], returns)[0, 1]) < 0.02  # not of its own bar
    assert returns.std() == pytest.approx(0.002, rel=0.02)


def test_targets_and_stops_inside_the_bar_have_no_edge_of_their_own() -> None:
    """E[close | level touched] = level: made-up wicks would let a take-profit earn on noise."""
    table = synthetic_bars(market("random_walk", bars=200_000), 60.0)
    opens, high, low, close = (table[k].to_numpy() for k in ("open", "high", "low", "close"))
    for touched, level in (
        (high >= opens * 1.002, opens * 1.002),
        (low <= opens * 0.998, opens * 0.998),
    ):
        missed = (close / level - 1.0)[touched]
        assert abs(missed.mean()) < 4.0 * missed.std() / np.sqrt(len(missed))


def small(costs_bps: float, seed: int) -> tuple[PlantedRule, np.ndarray, np.ndarray]:
    table = synthetic_bars(market(bars=8, seed=seed, volatility=0.01), 60.0)
    rule = PlantedRule(0.01, 0.7, fee_bps=costs_bps, half_spread_bps=costs_bps / 2)
    return rule, table["signal"].to_numpy(), table["close"].to_numpy()


@pytest.mark.parametrize("costs_bps", [0.0, 5.0, 20.0, 100.0])
@pytest.mark.parametrize("seed", range(4))
def test_best_profit_equals_brute_force_over_every_path(costs_bps: float, seed: int) -> None:
    rule, signal, close = small(costs_bps, seed)
    gains, costs = rule.gains(signal[:-1]), rule.costs()
    totals = []
    for path in product(range(3), repeat=len(gains)):
        before = (1, *path[:-1])
        totals.append(
            sum(
                gains[t, p] + costs[b, p] for t, (b, p) in enumerate(zip(before, path, strict=True))
            )
        )
    best = best_net_log_profit(rule, signal, close, sees_future_signals=True)
    assert best.expected_log == pytest.approx(max(totals), abs=1e-15)
    causal = best_net_log_profit(rule, signal, close)
    assert causal.expected_log <= best.expected_log + 1e-15


@pytest.mark.parametrize("fee_bps", [8.0, pytest.param(15.0, marks=pytest.mark.slow)])
def test_the_causal_policy_beats_every_policy_of_its_form_on_a_long_market(fee_bps: float) -> None:
    """Sensible policies take the best of gain - cost + h[position]; h = 0 is the myopic one."""
    table = synthetic_bars(market(bars=20_000), 60.0)
    signal, close = table["signal"].to_numpy(), table["close"].to_numpy()
    rule = PlantedRule(0.002, 0.7, fee_bps=fee_bps, half_spread_bps=1.0, slippage_bps=1.0)
    best = best_net_log_profit(rule, signal, close)
    gains, costs = rule.gains(signal[:-1]), rule.costs()
    totals = {}
    for share in (-0.5, 0.0, 0.25, 0.5, 1.0, 2.0):
        held = -share * costs[1, 2] * np.array([1.0, 0.0, 1.0])
        choice = np.argmax(costs + gains[:, None, :] + held, axis=2)
        at, total = 1, 0.0
        for t in range(len(gains)):
            total += costs[at, choice[t, at]] + gains[t, choice[t, at]]
            at = int(choice[t, at])
        totals[share] = total
    assert best.expected_log > totals[0.0] + 1e-3
    assert best.expected_log > max(totals.values())
    upper = best_net_log_profit(rule, signal, close, sees_future_signals=True)
    assert best.expected_log < upper.expected_log
    assert best.realized_log == pytest.approx(best.expected_log, rel=0.05)


def test_costs_are_those_of_a_plain_ledger() -> None:
    """Trading at an unchanged price: what is left of 1 after entering, leaving and reversing."""
    fee, k, price = 0.001, 0.0005, 50.0
    costs = PlantedRule(0.01, 0.7, fee_bps=10.0, half_spread_bps=2.0, slippage_bps=3.0).costs()

    def traded(cash: float, units: float, change: float) -> tuple[float, float]:
        paid = change * price * (1.0 + k * np.sign(change))
        return cash - paid - fee * abs(paid), units + change

    long_units = 1.0 / (price * (1.0 + k) * (1.0 + fee))
    cash, units = traded(1.0, 0.0, long_units)
    assert np.exp(costs[1, 2]) == pytest.approx(cash + units * price, rel=1e-12)
    cash, units = traded(0.0, 1.0 / price, -1.0 / price)
    assert np.exp(costs[2, 1]) == pytest.approx(cash, rel=1e-12)
    cash, units = traded(1.0, 0.0, -1.0 / price)
    assert np.exp(costs[1, 0]) == pytest.approx(cash + units * price, rel=1e-12)
    cash, units = traded(2.0, -1.0 / price, 1.0 / price)
    assert np.exp(costs[0, 1]) == pytest.approx(cash, rel=1e-12)
    assert costs[2, 0] == costs[2, 1] + costs[1, 0] and costs[0, 2] == costs[0, 1] + costs[1, 2]
    assert not costs.diagonal().any()


def test_costs_only_take_and_without_a_signal_nothing_can_be_earned() -> None:
    table = synthetic_bars(market(bars=2_000), 60.0)
    signal, close = table["signal"].to_numpy(), table["close"].to_numpy()
    profits = [
        best_net_log_profit(PlantedRule(0.002, 0.7, fee_bps=fee), signal, close).expected_log
        for fee in (0.0, 2.0, 10.0, 30.0)
    ]
    assert profits == sorted(profits, reverse=True) and profits[0] > 2.0
    idle = best_net_log_profit(PlantedRule(0.002, 0.0, fee_bps=1.0), signal, close)
    assert idle.expected_log == 0.0 and not idle.positions.any()


def test_long_or_flat_never_shorts() -> None:
    table = synthetic_bars(market(bars=500), 60.0)
    rule = PlantedRule(0.002, 0.7, fee_bps=1.0, allow_short=False)
    best = best_net_log_profit(rule, table["signal"].to_numpy(), table["close"].to_numpy())
    assert set(best.positions.tolist()) == {0, 1} and best.expected_log > 0.0


def test_the_rule_of_a_config_carries_its_costs_and_no_strength_on_a_random_walk() -> None:
    costs = MarketConfig(fee_bps=1.0, half_spread_bps=2.0, slippage_bps=3.0, allow_short=True)
    assert PlantedRule.of(market(), costs) == PlantedRule(0.002, 0.7, 1.0, 2.0, 3.0, True)
    assert PlantedRule.of(market("random_walk"), costs).strength == 0.0
