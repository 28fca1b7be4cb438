"""What a run will need, before it starts: an estimate from a rate table, never a measurement."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from typing import TYPE_CHECKING

from truefill.config.forecast import ForecastConfig
from truefill.config.schema import Config, NetworkConfig
from truefill.data.resolve import resolve
from truefill.data.splits import period_of
from truefill.pipeline.host import default_workers

if TYPE_CHECKING:
    from truefill.env.episodes import EnvSpec

# Measured once: PPO on one core, 4 epochs, one symbol, samples/s by hidden layers. The line through
# both gives seconds per sample = market_s + mac_s x multiply-adds of one forward pass.
RATES = {(64, 64): 6.0e5, (256, 256): 7.5e4}
_RATE_INPUTS, _RATE_OUTPUTS, _RATE_EPOCHS = 24, 6, 4
_GATES = {"gru": (3, 3), "lstm": (4, 4), "min_gru": (2, 0)}
"""Products of the observation, and of what is remembered, a unit and bar."""
_STEPWISE = 2.0
"""Products bar by bar are small, and take about twice the time of large ones."""

QUANTILE_S = 1.7e-8
"""A quantile's part of the loss, s a sample at 4 epochs."""
COMPILE_S = 12.0
FIT_ADDS_PER_S = 2.5e10
"""Multiply-adds a second of one core that fits a forecaster; a step is 3 forward passes."""
FIT_S, SCORE_S, OUTPUTS = 4.0, 30.0, 3
"""A fit's start, the scoring of a horizon, and outputs of a head."""
DATASET_S = 2.0
CELLS_PER_S = 2.0e6
BACKTEST_S = 15.0
BACKTEST_BARS_PER_S = 4.0e5
REPORT_S = 3.0
WORKER_BYTES = 450e6
PARENT_BYTES = 400e6
REPORT_BYTES = 6e6
CURVE_ROW_BYTES = 90
CHECKPOINTS_KEPT = 2


@dataclass(frozen=True)
class Estimate:
    """What a run is likely to need.

    Attributes:
        time_s: wall time on an idle machine, s.
        memory_bytes: peak of all processes together.
        disk_bytes: size of the run folder.
        breakdown: where it comes from, in words.
    """

    time_s: float
    memory_bytes: float
    disk_bytes: float
    breakdown: dict[str, str]


def estimate(config: Config, workers: int | None = None) -> Estimate:
    """Time, memory and disk of a whole run, from the config alone: bars are read only for the dates
    of splits that are given as a rule.

    Raises:
        ConfigError: the config has no environment, e.g. for an unknown decoder.
        DataError: such splits cannot be made of the bars.
    """
    config = resolve(config)
    seeds, asked = len(config.training.seeds), workers
    workers = workers or default_workers(seeds)
    workers = min(workers, seeds)
    rows = {name: split_rows(config, name) for name in ("train", "validation", "test")}
    total_rows = sum(rows.values())
    rate = samples_per_s(config)
    steps = 0 if config.agent.rule is not None else config.training.total_steps
    train_s = ceil(seeds / workers) * (steps / rate * 1.1 + COMPILE_S)
    forecast_s = 0.0 if config.forecast is None else _forecast_s(config, rows["train"], asked)
    dataset_s = DATASET_S + total_rows * len(config.features) / CELLS_PER_S
    curves = seeds + 5 + len(config.evaluation.policies) + config.evaluation.random_draws
    backtest_rows = rows["validation"] + rows["test"]
    backtest_s = BACKTEST_S + backtest_rows * curves / BACKTEST_BARS_PER_S
    return Estimate(
        time_s=dataset_s + forecast_s + train_s + backtest_s + REPORT_S,
        memory_bytes=_memory_bytes(config, total_rows, workers),
        disk_bytes=_disk_bytes(config, total_rows, backtest_rows),
        breakdown={
            "rows": "about " + ", ".join(f"{name} {count:,}" for name, count in rows.items()),
            "rate": f"{rate:,.0f} samples/s a core" if steps else "a rule: nothing is trained",
            "train": f"{seeds} seeds x {steps:,} steps, {workers} at a time: {train_s:,.0f} s"
            if steps
            else f"{train_s:,.0f} s",
            **({"forecast": f"{forecast_s:,.0f} s"} if forecast_s else {}),
            "others": f"dataset {dataset_s:.0f} s, backtests {backtest_s:.0f} s",
        },
    )


def _forecast_s(config: Config, rows: int, asked: int | None) -> float:
    """Fitting every unit, a core each, and scoring."""
    from truefill.forecast.networks import NETWORKS
    from truefill.forecast.networks.base import Inputs, multiply_adds
    from truefill.forecast.units import BASELINES, member_of, units_of

    forecast = config.forecast
    assert forecast is not None
    workers = asked or default_workers(len(units_of(forecast)))
    features = len(forecast.features) or len(config.features)
    seconds = 0.0
    for unit in units_of(forecast):
        if unit.member == BASELINES:
            continue
        member = member_of(forecast, unit.member)
        if member.network is None:
            continue
        inputs = Inputs(forecast.window_bars, features, len(unit.heads), OUTPUTS)
        adds = multiply_adds(member.network, NETWORKS.parse(member.network, member.params), inputs)
        epochs = (member.fit or forecast.fit).epochs
        seconds += 3 * adds * rows * _fitted_share(forecast, unit.fold) * epochs / FIT_ADDS_PER_S
        seconds += FIT_S
    return seconds / workers + SCORE_S * len(forecast.label.horizons)


def _fitted_share(forecast: ForecastConfig, fold: int) -> float:
    """Share of the train rows that a fold is fitted on, about."""
    protocol = forecast.out_of_fold
    if fold == 0 or protocol.kind == "k_fold":
        return 1.0
    if protocol.rolling:
        return protocol.least_train
    return protocol.least_train + (1 - protocol.least_train) * (fold - 1) / protocol.folds


def samples_per_s(config: Config) -> float:
    """Training rate of one core from :data:`RATES`, scaled by the network's multiply-adds."""
    (small, small_rate), (large, large_rate) = RATES.items()
    macs = [_dense(_RATE_INPUTS, hidden, _RATE_OUTPUTS) for hidden in (small, large)]
    mac_s = (1 / large_rate - 1 / small_rate) / (macs[1] - macs[0])
    market_s = 1 / small_rate - mac_s * macs[0]
    passes = (1 + 3 * config.agent.ppo.epochs) / (1 + 3 * _RATE_EPOCHS)
    own = multiply_adds(config) * mac_s * passes
    market_s *= env_spec(config).num_symbols
    if config.agent.quantiles > 1:
        own += config.agent.quantiles * QUANTILE_S * passes
    if config.agent.popart is not None:
        market_s *= 1 + config.agent.popart.holdout_envs / config.agent.ppo.num_envs
    return 1.0 / (own + market_s)


def multiply_adds(config: Config) -> int:
    """Multiply-adds of one forward pass of policy and value."""
    agent, spec = config.agent, env_spec(config)
    trunks = 1 if agent.network.shared_trunk else 2
    outputs = spec.action_size * max(spec.decoder.num_actions, 1) + agent.quantiles
    encoding, inputs = encoder_adds(spec, agent.network)
    remembering = 0
    if agent.recurrent:
        units, (seen, held) = agent.memory.units, _GATES[agent.memory.cell]
        inputs, remembering = units, units * (seen * inputs + held * units)
    dense = _dense(inputs, agent.network.hidden, outputs)
    return round(trunks * (encoding + _STEPWISE * remembering + dense))


def encoder_adds(spec: EnvSpec, network: NetworkConfig) -> tuple[int, int]:
    """Multiply-adds of the encoder, and columns that go on from it with the account state.

    Raises:
        ConfigError: there is no such encoder for this window.
    """
    from truefill.agents.encoders.base import Inputs, cost

    adds, units = cost(Inputs(spec.window, spec.num_features, spec.num_state, network))
    return (adds, units + spec.num_state) if units else (0, spec.observation_size)


def _dense(inputs: int, hidden: tuple[int, ...], outputs: int) -> int:
    sizes = (inputs, *hidden, outputs)
    return sum(a * b for a, b in pairwise(sizes))


def num_symbols(config: Config) -> int:
    """Symbols the config names; a file with a symbol column counts as one."""
    if config.data.synthetic is not None:
        return config.data.synthetic.symbols
    return max(1, len({bars.symbol for bars in config.data.bars}))


def env_spec(config: Config) -> EnvSpec:
    """The environment's shapes, as far as the config tells how many symbols there are."""
    from truefill.env.setup import spec_for

    symbols = tuple(str(i) for i in range(num_symbols(config)))
    return spec_for(config, symbols, num_seen(config))


def num_seen(config: Config) -> int:
    """Market features and forecasts that an agent sees."""
    from truefill.env.seen import seen_specs
    from truefill.features.build import specify_all

    if config.forecast is None and not config.env.features:
        return len(config.features)
    return len(seen_specs(config, specify_all(config)))


def split_rows(config: Config, name: str) -> int:
    """Bars a split can hold at most: its period, less the hours and days without a session."""
    period = period_of(config.data.splits, name)
    share = 1.0
    session = config.data.session
    if session is not None:
        end_h = session.end.hour + session.end.minute / 60 if session.end else 24.0
        start_h = session.start.hour + session.start.minute / 60
        share = len(session.days) / 7 * (((end_h - start_h) % 24.0) or 24.0) / 24.0
    bars = (period.end - period.start).total_seconds() / config.data.bar_interval * share
    if config.data.synthetic is not None:
        bars = min(bars, config.data.synthetic.bars)
    return max(1, round(bars)) * num_symbols(config)


def _memory_bytes(config: Config, rows: int, workers: int) -> float:
    ppo = config.agent.ppo
    rollout = ppo.num_envs * ppo.num_steps * (env_spec(config).observation_size * 4 + 200)
    table = rows * (len(config.features) * 8 + 120)
    weights = multiply_adds(config) * 4 * 8
    activations = ppo.minibatch * sum(config.agent.network.hidden) * 4 * 6
    return (
        PARENT_BYTES
        + 2 * table
        + workers * (WORKER_BYTES + 3 * rollout + table + weights + activations)
    )


def _disk_bytes(config: Config, rows: int, backtest_rows: int) -> float:
    seeds = len(config.training.seeds)
    weights = multiply_adds(config) * 4
    checkpoint = weights * 3 + config.agent.ppo.num_envs * env_spec(config).num_symbols * 400
    dataset = rows * (len(config.features) * 8 + 70)
    curves = backtest_rows * (seeds + 5) * CURVE_ROW_BYTES
    return dataset + curves + seeds * (2 * weights + CHECKPOINTS_KEPT * checkpoint) + REPORT_BYTES
