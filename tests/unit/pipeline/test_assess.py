"""Baselines meet the agent's market: random trades as often, passive ones are left alone."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest

from env_cases import config_of, split_of
from truefill.config.schema import Config
from truefill.data.split import SplitArrays
from truefill.env.setup import Environment, make_environment
from truefill.evaluation.backtest import Trace, backtest
from truefill.evaluation.baseline_orders import agent_profile
from truefill.evaluation.policy import Memoryless
from truefill.evaluation.threshold import Signal, net_of
from truefill.market.types import Array
from truefill.pipeline import assess as assess_module
from truefill.pipeline import stages
from truefill.pipeline.assess import FILES, assess

CONTRACT = "c" * 64
BARS = 1_500
BASELINES = ("flat", "buy_and_hold", "constant_exposure", "sma_cross", "random")
KEYS: dict[str, Any] = {
    "market.allow_short": True,
    "env.action.kind": "short_flat_long", "env.action.params": {"size": 0.5},
    "market.fee_bps": 2, "market.half_spread_bps": 1, "market.slippage_bps": 1,
    "evaluation": {"random_draws": 20, "bootstrap_draws": 50, "slippage_grid_bps": [0, 5, 10],
                   "sma_cross": {"fast_bars": 5, "slow_bars": 20}},
}  # fmt: skip
HURDLES: dict[str, Any] = {
    "market.stop_loss": 0.004, "market.take_profit": 0.006, "market.no_trade_band": 0.3,
    "market.min_hold_bars": 5, "market.max_hold_bars": 30, "market.decision_interval_bars": 12,
    "market.trailing_stop": {"distance": 0.003},
    "market.participation": {"max_share": 0.02}, "market.lot_size": 60.0,
    "market.min_notional": 6_000.0, "market.max_leverage_at_close": 0.1,
    "market.max_weight_at_close": 0.05,
}  # fmt: skip


@dataclass(frozen=True)
class BySignal(Memoryless):
    """Trades the sign of each symbol's own feature; flat while it is small."""

    parameters: Array
    contract_sha256: str = CONTRACT

    @staticmethod
    def decide(
        parameters: Array, memory: Any, values: Array, legal: Array | None
    ) -> tuple[Array, Any]:
        """The threshold is the parameter; the first rows of ``values`` are the features."""
        signal = values[:2]
        side = jnp.where(jnp.abs(signal) < parameters, 0.0, jnp.sign(signal))
        return (side + 1.0).astype(jnp.int32), memory


def two_symbols(change: float = 0.1) -> SplitArrays:
    """Two quiet symbols; the feature stays for 1 / ``change`` bars on average."""
    rng = np.random.default_rng(4)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.002, (BARS, 2)), axis=0))
    fresh = rng.random((BARS, 2)) < change
    fresh[0] = True
    row = np.maximum.accumulate(np.where(fresh, np.arange(BARS)[:, None], 0), axis=0)
    signal = np.take_along_axis(rng.normal(0.0, 1.0, (BARS, 2)), row, axis=0)
    return split_of(close, wick=0.001, features=signal[:, :, None])


def market(keys: dict[str, Any]) -> tuple[Config, SplitArrays, Environment, Trace]:
    config, split = config_of({**KEYS, **keys}), two_symbols()
    env = make_environment(config, split, "backtest")
    [agent] = backtest(BySignal(jnp.float32(0.4)), env, split, CONTRACT)
    return config, split, env, agent


@pytest.fixture(scope="module")
def assessed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """The files of one assessment with two seeds, and what it returned."""
    folder = tmp_path_factory.mktemp("assessed")
    bundles: Any = {"seed-1": BySignal(jnp.float32(0.4)), "seed-2": BySignal(jnp.float32(1.5))}
    config = config_of({**KEYS, "market.stop_loss": 0.01})
    found = assess(config, two_symbols(), bundles, "seed-1", CONTRACT, {"validation": BARS}, folder)
    return folder, found


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"market.decision_interval_bars": 12, "market.min_hold_bars": 5},
        {"market.min_hold_bars": 20},
        {"market.stop_loss": 0.004, "market.take_profit": 0.004},
    ],
    ids=["plain", "interval 12, min hold 5", "min hold 20", "tight stops"],
)
def test_random_agents_change_side_as_often_as_the_agent(keys: dict[str, Any]) -> None:
    config, split, env, agent = market(keys)
    returns, median = assess_module._random(config, env, split, agent)
    mine = agent_profile(agent.weights[1:])
    theirs = agent_profile(median.weights[1:])
    assert mine.change_rate.min() > 0.01
    assert theirs.change_rate.mean() == pytest.approx(mine.change_rate.mean(), rel=0.3)
    assert theirs.size == pytest.approx(mine.size, rel=0.3)
    assert median.net_return == np.sort(returns)[len(returns) // 2]
    assert len(set(returns)) == len(returns) == 20


@pytest.mark.slow
@pytest.mark.parametrize("hurdle", [*HURDLES, "all"])
def test_passive_baselines_know_nothing_that_keeps_them_from_holding(hurdle: str) -> None:
    """Bit for bit what they are in a market without the hurdle; sma_cross trades as the agent."""
    _, split, free, agent = market({})
    keys = HURDLES if hurdle == "all" else {hurdle: HURDLES[hurdle]}
    config, _, env, _ = market(keys)
    calm = assess_module._baselines(config, free, split, agent)
    found = assess_module._baselines(config, env, split, agent)
    for name in ("flat", "buy_and_hold", "constant_exposure"):
        assert found[name].equity.tobytes() == calm[name].equity.tobytes(), name
        assert found[name].trades.equals(calm[name].trades), name
    assert found["buy_and_hold"].trades.height == 0
    assert found["buy_and_hold"].weights[2:] == pytest.approx(0.5, abs=0.1)
    if hurdle in ("market.stop_loss", "all"):
        assert not np.array_equal(found["sma_cross"].equity, calm["sma_cross"].equity)


def test_passive_baselines_pay_the_agents_costs() -> None:
    _, split, free, agent = market({})
    config, _, dear, _ = market({"market.fee_bps": 200})
    cheap = assess_module._baselines(config, free, split, agent)["buy_and_hold"]
    costly = assess_module._baselines(config, dear, split, agent)["buy_and_hold"]
    assert costly.cost.sum() > 10 * cheap.cost.sum() > 0.0
    assert costly.net_return < cheap.net_return


def test_passive_baselines_pay_for_their_share_of_the_volume() -> None:
    """The impact stays where the limit goes."""
    _, split, free, agent = market({})
    both = {"max_share": 0.02, "impact_bps": 50}
    config, _, thin, _ = market({"market.participation": both})
    cheap = assess_module._baselines(config, free, split, agent)["buy_and_hold"]
    costly = assess_module._baselines(config, thin, split, agent)["buy_and_hold"]
    assert costly.cost.sum() > 2 * cheap.cost.sum() > 0.0
    assert costly.weights[2] == pytest.approx(0.5, abs=0.05)


def test_sma_cross_goes_short_in_the_symbols_that_may() -> None:
    config, split, env, agent = market({
        "env.action": {"kind": "flat_long"}, "market.allow_short": False,
        "market.symbols": {"S1": {"allow_short": True}}})  # fmt: skip
    found = assess_module._baselines(config, env, split, agent)["sma_cross"]
    assert found.weights[:, 0].min() == 0.0 < found.weights[:, 0].max()
    assert found.weights[:, 1].min() < -0.3


def test_flat_costs_nothing(assessed: tuple[Path, Any]) -> None:
    folder, found = assessed
    curve = pl.read_parquet(folder / "equity.parquet").filter(pl.col("strategy") == "flat")
    assert curve["equity"].unique().to_list() == [10_000.0]
    for column in ("weight", "gross", "drawdown", "cost", "financing"):
        assert curve[column].unique().to_list() == [0.0], column
    flat = found.metrics["flat"]
    assert (flat.net_return.value, flat.closed_trades) == (0.0, 0)


def test_every_strategy_is_in_every_file(assessed: tuple[Path, Any]) -> None:
    folder, found = assessed
    names = {"seed-1", "seed-2", *BASELINES}
    facts = json.loads((folder / "metrics.json").read_text())
    curves = pl.read_parquet(folder / "equity.parquet")
    trades = pl.read_parquet(folder / "trades.parquet")
    assert {path.name for path in folder.iterdir()} == set(FILES)
    assert set(facts["strategies"]) == set(curves["strategy"]) == set(found.metrics) == names
    assert set(facts["paired"]) == set(BASELINES)
    assert {"seed-1", "seed-2"} <= set(trades["strategy"]) <= names
    assert set(curves["split"]) == set(trades["split"]) == {"train"}
    assert curves.group_by("strategy").len()["len"].unique().to_list() == [BARS]
    assert len(facts["random_net_returns"]) == 20
    for name in ("seed-1", "seed-2"):
        rows = trades.filter(pl.col("strategy") == name)
        assert facts["strategies"][name]["closed_trades"] == rows.height


def test_the_gates_are_the_chosen_seeds(assessed: tuple[Path, Any]) -> None:
    folder, found = assessed
    gates = {gate["name"]: gate for gate in json.loads((folder / "gates.json").read_text())}
    mine = found.metrics["seed-1"]
    assert found.metrics["seed-2"].net_return.value != mine.net_return.value
    assert gates["min_return"]["value"] == mine.net_return.value
    assert gates["min_closed_trades"]["value"] == mine.closed_trades


def test_an_ensemble_is_judged_where_there_is_one(tmp_path: Path) -> None:
    """Gates, comparisons and stress are about it; seeds stay what they are."""
    bundles: Any = {"seed-1": BySignal(jnp.float32(0.4)), "seed-2": BySignal(jnp.float32(1.5))}
    bundles["ensemble"] = BySignal(jnp.float32(0.8))
    config = config_of({**KEYS, "market.stop_loss": 0.01})
    rows = {"validation": BARS}
    found = assess(config, two_symbols(), bundles, "ensemble", CONTRACT, rows, tmp_path)
    mine = found.metrics["ensemble"].net_return.value
    assert mine not in [found.metrics[f"seed-{seed}"].net_return.value for seed in (1, 2)]
    facts = json.loads((tmp_path / "metrics.json").read_text())
    gates = {gate["name"]: gate for gate in json.loads((tmp_path / "gates.json").read_text())}
    assert gates["min_return"]["value"] == facts["slippage_grid"]["0.0"] == mine
    assert set(facts["paired"]) == set(BASELINES)
    bars = pl.read_parquet(tmp_path / "equity.parquet").filter(pl.col("strategy") == "ensemble")
    log_return = np.log(bars["equity"][-1] / bars["equity"][0]) / (len(bars) - 1)
    assert facts["paired"]["flat"]["difference"] == pytest.approx(log_return)
    assert facts["strategies"]["ensemble"]["closed_trades"] > 20


def test_the_forecast_alone_is_a_strategy_and_no_baseline(tmp_path: Path) -> None:
    """It is judged like an agent: it must show trades before it has a Sharpe ratio."""
    bundles: Any = {"seed-1": BySignal(jnp.float32(0.4))}
    settings = {**KEYS["evaluation"], "forecast_threshold": {"enter": 0.8, "exit": 0.4}}
    config, split = config_of({**KEYS, "evaluation": settings}), two_symbols()
    signal, rows = Signal("h1_signal", 2.0 * split.features[:, :, 0], "s"), {"validation": BARS}
    found = assess(config, split, bundles, "seed-1", CONTRACT, rows, tmp_path, signal=signal)
    facts = json.loads((tmp_path / "metrics.json").read_text())
    assert set(found.own) == {"forecast_only"} and len(found.own["forecast_only"]) == 64
    assert set(facts["paired"]) == {*BASELINES, "forecast_only"}
    mine = facts["strategies"]["forecast_only"]
    [alone] = net_of({"x": signal.values}, config, split).values()
    assert alone == {key: mine[key] for key in alone} and mine["closed_trades"] > 50
    few = {**settings, "min_closed_trades": 10_000}
    strict = config_of({**KEYS, "evaluation": few})
    poor = assess(strict, split, bundles, "seed-1", CONTRACT, rows, tmp_path, signal=signal)
    assert poor.metrics["forecast_only"].sharpe.value is None
    assert poor.metrics["sma_cross"].sharpe.value is not None
    other = {**settings, "forecast_threshold": {"enter": 0.9, "exit": 0.4}}
    again = config_of({**KEYS, "evaluation": other})
    assert assess_module._forecast_id(again, signal) != found.own["forecast_only"]


def test_stress_costs_what_it_should(assessed: tuple[Path, Any]) -> None:
    folder, found = assessed
    facts = json.loads((folder / "metrics.json").read_text())
    base = found.metrics["seed-1"].net_return.value
    assert found.metrics["seed-1"].closed_trades > 50
    assert facts["cost_stress"].keys() == {"x2.0"}
    assert facts["cost_stress"]["x2.0"] < base
    grid = [facts["slippage_grid"][bps] for bps in ("0.0", "5.0", "10.0")]
    assert grid[0] == base
    assert grid == sorted(grid, reverse=True)
    assert grid[2] < grid[1] < grid[0]


def test_stress_of_an_agent_that_never_trades_is_nothing(tmp_path: Path) -> None:
    bundles: Any = {"seed-1": BySignal(jnp.float32(99.0))}
    config = config_of(KEYS)
    found = assess(
        config, two_symbols(), bundles, "seed-1", CONTRACT, {"validation": BARS}, tmp_path
    )
    facts = json.loads((tmp_path / "metrics.json").read_text())
    assert found.metrics["seed-1"].net_return.value == 0.0
    assert facts["cost_stress"] == {"x2.0": 0.0}
    assert set(facts["slippage_grid"].values()) == {0.0}
    assert set(facts["random_net_returns"]) == {0.0}
    assert facts["shortfall"]


@pytest.mark.parametrize(
    ("kind", "params", "rule"),
    [
        ("target_weight", {}, "turnover"),
        ("zones", {}, "turnover"),
        ("volume_bins", {"form": "discrete"}, "turnover"),
        ("portfolio_weights", {}, "turnover"),
        ("score", {}, "closed_trades"),
        ("short_flat_long", {}, "closed_trades"),
        ("nine_actions", {}, "closed_trades"),
    ],
)
def test_agents_that_order_weights_show_turnover(
    kind: str, params: dict[str, Any], rule: str
) -> None:
    keys = {"market.allow_short": True, "market.no_trade_band": 0.05,
            "env.action.kind": kind, "env.action.params": params}  # fmt: skip
    assert assess_module._evidence_rule(config_of(keys)) == rule


def test_rows_that_cannot_be_traded_are_no_evidence() -> None:
    present = np.array([[True, True], [True, False], [True, True]])
    no_trade = np.array([[False, False], [False, False], [True, False]])
    split = replace(split_of(np.full((3, 2), 100.0), present=present), no_trade=no_trade)
    assert stages._tradable_rows(split) == 4
    closed = np.array([[True, False], [False, True], [True, False]])
    assert stages._tradable_rows(replace(split, closed=closed)) == 3


@pytest.mark.parametrize(
    ("market_wide", "symbols", "short"),
    [(True, {}, True), (False, {}, False), (False, {"S1": {"allow_short": True}}, True),
     (True, {"S0": {"allow_short": False}, "S1": {"allow_short": False}}, False)],
)  # fmt: skip
def test_the_imbalance_gate_is_for_accounts_that_may_short(
    tmp_path: Path, market_wide: bool, symbols: dict[str, Any], short: bool
) -> None:
    keys = {**KEYS, "market.allow_short": market_wide, "market.symbols": symbols,
            "env.action.kind": "flat_long"}  # fmt: skip
    bundles: Any = {"seed-1": BySignal(jnp.float32(99.0))}
    found = assess(
        config_of(keys), two_symbols(), bundles, "seed-1", CONTRACT, {"validation": BARS}, tmp_path
    )
    names = {gate.name for gate in found.gates}
    assert ("max_action_imbalance" in names) == short


def test_the_same_assessment_is_the_same_bytes(assessed: tuple[Path, Any], tmp_path: Path) -> None:
    folder, _ = assessed
    bundles: Any = {"seed-1": BySignal(jnp.float32(0.4)), "seed-2": BySignal(jnp.float32(1.5))}
    config = config_of({**KEYS, "market.stop_loss": 0.01})
    assess(config, two_symbols(), bundles, "seed-1", CONTRACT, {"validation": BARS}, tmp_path)
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes(), name
