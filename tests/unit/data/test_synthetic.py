"""Synthetic markets: consistent bars, no edge, or a planted edge of known worth."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from truefill.config.schema import SyntheticConfig
from truefill.data import defects
from truefill.data.planted import PlantedRule, best_net_log_profit
from truefill.data.synthetic import synthetic_bars


def market(kind: str = "planted_signal", **options: object) -> SyntheticConfig:
    return SyntheticConfig(kind=kind, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["random_walk", "planted_signal"])
def test_bars_pass_every_defect_check_and_open_where_the_last_closed(kind: str) -> None:
    table = synthetic_bars(market(kind, bars=3_000, symbols=2), 300.0)
    numbered = table.with_row_index(defects.ROW, offset=1)
    defects.check_order(numbered, "synthetic")
    defects.check_prices(numbered, "synthetic")
    defects.check_interval(numbered, 300.0, "synthetic")
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
    """E[close | level touched] = level: made-up wicks would let a take-profit earn on pure noise."""
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


def test_the_causal_policy_beats_every_threshold_policy_on_a_long_market() -> None:
    table = synthetic_bars(market(bars=40_000), 60.0)
    signal, close = table["signal"].to_numpy(), table["close"].to_numpy()
    rule = PlantedRule(0.002, 0.7, fee_bps=2.0, half_spread_bps=1.0, slippage_bps=1.0)
    best = best_net_log_profit(rule, signal, close)
    gains, costs = rule.gains(signal[:-1]), rule.costs()
    bars = np.arange(len(gains))
    for enter, leave in product((0.2, 0.35, 0.5, 0.8), (-0.2, 0.0, 0.2)):
        at, plan = 0, []
        for s in signal[:-1]:
            if abs(s) > enter:
                at = int(np.sign(s))
            elif at * s < leave:
                at = 0
            plan.append(at + 1)
        chosen = np.array(plan)
        paid = costs[np.concatenate([[1], chosen[:-1]]), chosen]
        assert best.expected_log >= float((gains[bars, chosen] + paid).sum()) - 1e-9
    upper = best_net_log_profit(rule, signal, close, sees_future_signals=True)
    assert 0.8 * upper.expected_log < best.expected_log <= upper.expected_log
    assert best.realized_log == pytest.approx(best.expected_log, rel=0.05)


def test_costs_only_take_and_without_a_signal_nothing_can_be_earned() -> None:
    table = synthetic_bars(market(bars=2_000), 60.0)
    signal, close = table["signal"].to_numpy(), table["close"].to_numpy()
    profits = [
        best_net_log_profit(PlantedRule(0.002, 0.7, fee_bps=fee), signal, close).expected_log
        for fee in (0.0, 2.0, 10.0, 100.0)
    ]
    assert profits == sorted(profits, reverse=True) and profits[0] > 2.0
    idle = best_net_log_profit(PlantedRule(0.002, 0.0, fee_bps=1.0), signal, close)
    assert idle.expected_log == 0.0 and not idle.positions.any()


def test_long_or_flat_never_shorts() -> None:
    table = synthetic_bars(market(bars=500), 60.0)
    rule = PlantedRule(0.002, 0.7, fee_bps=1.0, allow_short=False)
    best = best_net_log_profit(rule, table["signal"].to_numpy(), table["close"].to_numpy())
    assert set(best.positions.tolist()) == {0, 1} and best.expected_log > 0.0
