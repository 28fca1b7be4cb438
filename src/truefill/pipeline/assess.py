"""Assess the policies of a run and every baseline on one split, through the one market."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import polars as pl

from truefill.agents.bundle import Bundle
from truefill.config.evaluation import FORECAST_ONLY
from truefill.config.schema import Config, GatesConfig
from truefill.config.symbol_rules import Rules
from truefill.core.files import write_json, write_parquet
from truefill.core.fingerprint import fingerprint
from truefill.data.split import SplitArrays
from truefill.env.setup import FOREVER, Environment, make_decoder, make_environment
from truefill.evaluation import baseline_orders as baselines
from truefill.evaluation.backtest import Trace, backtest, replay_equity, replay_orders
from truefill.evaluation.baseline_orders import OrderList, agent_profile
from truefill.evaluation.gates import GateResult, check_gates
from truefill.evaluation.metrics import EvidenceRule, Metrics, evidence_shortfall
from truefill.evaluation.policies import Given, UserPolicy, make_policy, played_as
from truefill.evaluation.threshold import Signal, measured, orders_of, over_all_symbols
from truefill.evaluation.uncertainty import paired_difference
from truefill.market.types import NEVER

FILES = ("equity.parquet", "trades.parquet", "metrics.json", "gates.json")
RANDOM = "random"


@dataclass(frozen=True)
class Assessment:
    """What one split showed."""

    metrics: dict[str, Metrics]
    """Strategy -> measures."""
    gates: tuple[GateResult, ...]
    own: dict[str, str]
    """SHA-256, by strategy, of each policy that is scored beside the agent: of the user's own, and
    of what trades the first forecast alone."""


def assess(
    config: Config,
    split: SplitArrays,
    policies: Mapping[str, Bundle],
    chosen: str,
    contract_sha256: str,
    rows: dict[str, int],
    folder: Path,
    *,
    signal: Signal | None = None,
) -> Assessment:
    """Backtest every policy and every baseline; write the split's files to ``folder``.

    Args:
        policies: by strategy: every seed's, the ensemble of all where there is one; or a rule.
        chosen: the one of them that is judged.
        signal: of the first forecast, which ``forecast_only`` trades by
            ``evaluation.forecast_threshold``, whether or not the agent sees it; it is a policy of
            its own, no baseline. None: there are no forecasts.
    """
    env = make_environment(config, split, "backtest")
    traces: dict[str, Trace] = {}
    for name, bundle in policies.items():
        with played_as(name, "agent"):
            traces[name] = backtest(bundle, env, split, contract_sha256)[0]
    agent, judged = traces[chosen], policies[chosen]
    own = _own_policies(config, env, judged)
    for name, policy in own.items():
        with played_as(name):
            traces[name] = backtest(policy, env, split, contract_sha256)[0]
    scored = {name: found.sha256 for name, found in own.items()}
    together = over_all_symbols(config, split) if env.arrays.pool is not None else env
    if signal is not None:
        orders = orders_of(signal.values, together, config.evaluation.forecast_threshold)
        [traces[FORECAST_ONLY]] = _replay([orders], together, split)
        scored[FORECAST_ONLY] = _forecast_id(config, signal)
    traces.update(_baselines(config, together, split, agent))
    draws, traces[RANDOM] = _random(config, together, split, agent)
    metrics = {
        name: _measure(config, trace, exempt=not (name in policies or name in scored))
        for name, trace in traces.items()
    }
    gates = check_gates(metrics[chosen], _gates_config(config, env.rules), rows=rows)
    facts = {
        "strategies": {name: found.to_dict() for name, found in metrics.items()},
        "random_net_returns": draws,
        "paired": _paired(
            config, agent, {name: t for name, t in traces.items() if name not in policies}
        ),
        **_stress(config, split, judged, contract_sha256),
        "shortfall": evidence_shortfall(
            _evidence_rule(config),
            agent.trades.height,
            agent.turnover[1:],
            agent.gross[1:],
            minimum=config.evaluation.min_closed_trades,
        ),
        "order_statuses": {name: trace.statuses for name, trace in traces.items()},
        "ambiguous_bars": agent.ambiguous,
        "resolved_bars": agent.resolved,
        "dividends": float(agent.dividends.sum()),
        "periods_per_year": split.periods_per_year,
    }
    curves = [trace.curve(split.name, name) for name, trace in traces.items()]
    trades = [
        trace.trades.select(
            pl.lit(split.name).alias("split"), pl.lit(name).alias("strategy"), pl.all()
        )
        for name, trace in traces.items()
    ]
    write_parquet(folder / FILES[0], pl.concat(curves))
    write_parquet(folder / FILES[1], pl.concat(trades))
    write_json(folder / FILES[2], facts)
    write_json(folder / FILES[3], [gate.to_dict() for gate in gates])
    return Assessment(metrics, gates, scored)


def _gates_config(config: Config, rules: tuple[Rules, ...]) -> GatesConfig:
    """The gates that can hold: an account that may short no symbol is always imbalanced."""
    if any(own.allow_short for own in rules):
        return config.gates
    return config.gates.model_copy(update={"max_action_imbalance": None})


def _passive(env: Environment) -> Environment:
    """The same bars, costs, impact, weight limits and financing, without the agent's stops and
    holding rules and without what depends on an order's size or on the session: a baseline that
    holds gets its position, whole, and is not stopped out. ``SIDE`` never tops up a sliver."""
    market = env.arrays.market
    never = jnp.full_like(market.stop_loss, NEVER)
    off = jnp.zeros_like(market.min_hold)
    free = market._replace(
        stop_loss=never,
        take_profit=never,
        use_atr=jnp.zeros_like(market.use_atr),
        trail_distance=never,
        trail_activation=never,
        min_hold=off,
        max_hold=jnp.full_like(market.max_hold, FOREVER),
        decision_interval=jnp.ones_like(market.decision_interval),
        band=jnp.zeros_like(market.band),
        lot=jnp.zeros_like(market.lot),
        min_notional=jnp.zeros_like(market.min_notional),
        max_participation=None,
        leverage_at_close=None,
        weight_at_close=None,
    )
    return replace(env, arrays=env.arrays._replace(market=free))


def _unhurried(env: Environment) -> Environment:
    """The agent's market, stops included, without its decision interval and minimum holding time:
    random agents copy how often the agent *did* trade, which those rules have shaped already."""
    market = env.arrays.market
    free = market._replace(
        min_hold=jnp.zeros_like(market.min_hold),
        decision_interval=jnp.ones_like(market.decision_interval),
    )
    return replace(env, arrays=env.arrays._replace(market=free))


def _baselines(
    config: Config, env: Environment, split: SplitArrays, agent: Trace
) -> dict[str, Trace]:
    """flat, buy_and_hold, constant_exposure, sma_cross."""
    first = env.spec.first_bar
    mean_weight = agent_profile(agent.weights[1:]).mean_weight
    cross = config.evaluation.sma_cross
    short = np.asarray([own.allow_short for own in env.rules])
    passive = {
        "flat": baselines.flat(split.close),
        "buy_and_hold": baselines.buy_and_hold(split.close),
        "constant_exposure": _from(
            baselines.constant_exposure(split.close[first:], mean_weight), first
        ),
    }
    active = baselines.sma_cross(split.close, cross.fast_bars, cross.slow_bars, allow_short=short)
    held = _replay(list(passive.values()), _passive(env), split)
    traded = _replay([active], env, split)
    return dict(zip([*passive, "sma_cross"], [*held, *traded], strict=True))


def _from(orders: OrderList, first: int) -> OrderList:
    """Orders of bars ``first`` .. T, with holds before them."""
    head = ((first, 0), (0, 0))
    return OrderList(np.pad(orders.kind, head), np.pad(orders.value, head))


def _forecast_id(config: Config, signal: Signal) -> str:
    """What the ledger knows the forecast's own strategy by."""
    rule = config.evaluation.forecast_threshold.model_dump(mode="json")
    return fingerprint({FORECAST_ONLY: rule, "signal": signal.name, "source": signal.source})


def _replay(orders: list[OrderList], env: Environment, split: SplitArrays) -> list[Trace]:
    kind = np.stack([order.kind for order in orders])
    value = np.stack([order.value for order in orders])
    return replay_orders(kind, value, env, split)


def _random(
    config: Config, env: Environment, split: SplitArrays, agent: Trace
) -> tuple[list[float], Trace]:
    """Net returns of all draws, and the median draw in full."""
    env = _unhurried(env)
    first = env.spec.first_bar
    profile = agent_profile(agent.weights[1:])
    settings = config.evaluation
    drawn = baselines.random_orders(
        split.close[first:], profile, draws=settings.random_draws, seed=settings.seed
    )
    head = ((0, 0), (first, 0), (0, 0))
    orders = OrderList(np.pad(drawn.kind, head), np.pad(drawn.value, head))
    equity = replay_equity(orders.kind, orders.value, env)
    returns = equity[:, -1] / equity[:, 0] - 1.0
    median = int(np.argsort(returns, kind="stable")[len(returns) // 2])
    one = OrderList(orders.kind[median : median + 1], orders.value[median : median + 1])
    return returns.tolist(), replay_orders(one.kind, one.value, env, split)[0]


def _evidence_rule(config: Config) -> EvidenceRule:
    """Agents that order a weight at every decision (their decoder needs a band) show turnover: they
    resize, and seldom close. All others show closed trades."""
    return "turnover" if make_decoder(config).needs_band else "closed_trades"


def _own_policies(config: Config, env: Environment, agent: Bundle) -> dict[str, UserPolicy]:
    """Those of ``evaluation.policies``, by strategy, made for the agent's contract."""
    if not config.evaluation.policies:
        return {}
    given = Given.of(env.spec, agent.contract, agent.norm_stats)
    return {
        own.name: make_policy(own.policy, own.params, given, f"evaluation.policies.{i}")
        for i, own in enumerate(config.evaluation.policies)
    }


def _measure(config: Config, trace: Trace, *, exempt: bool) -> Metrics:
    return measured(trace, config, "exempt" if exempt else _evidence_rule(config))


def _paired(config: Config, agent: Trace, traces: Mapping[str, Trace]) -> dict[str, Any]:
    settings = config.evaluation
    return {
        name: paired_difference(
            agent.log_returns,
            trace.log_returns,
            draws=settings.bootstrap_draws,
            confidence=settings.confidence,
            seed=settings.seed,
        ).to_dict()
        for name, trace in traces.items()
    }


def _stress(
    config: Config, split: SplitArrays, bundle: Bundle, contract_sha256: str
) -> dict[str, Any]:
    """The judged policy at multiplied costs, and over the slippage grid, as accounts of one run."""
    settings = config.evaluation
    grid = settings.slippage_grid_bps
    scenarios = make_environment(
        config,
        split,
        "backtest",
        cost_multiples=(settings.cost_multiple, *(1.0 for _ in grid)),
        extra_slippage_bps=(0.0, *grid),
    )
    stressed, *cells = backtest(bundle, scenarios, split, contract_sha256)
    return {
        "cost_stress": {f"x{settings.cost_multiple}": stressed.net_return},
        "slippage_grid": {str(bps): cell.net_return for bps, cell in zip(grid, cells, strict=True)},
    }
